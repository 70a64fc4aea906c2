#include "proxy/net/tasks.hpp"

#include <boost/asio/co_spawn.hpp>

#include "proxy/observe/log.hpp"

namespace larder::proxy {

void Tasks::end_one() noexcept
{
    if (--running_ == 0 && stop_when_none_) context_.stop();
}

void Tasks::report(std::string_view what, const std::exception_ptr& error) noexcept
try {
    std::rethrow_exception(error);
} catch (const std::exception& e) {
    log_event(config::LogLevel::error, "a task ended by an exception: please report this",
              {{"task", what}, {"error", std::string_view(e.what())}});
}

void Tasks::spawn(std::string_view what, asio::awaitable<void> task)
{
    ++running_;
    auto ended = [this, what](std::exception_ptr error) {
        end_one();
        if (error) report(what, error);
    };
    asio::co_spawn(context_, std::move(task), std::move(ended));
}

}  // namespace larder::proxy
