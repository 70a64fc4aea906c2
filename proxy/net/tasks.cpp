#include "proxy/net/tasks.hpp"

#include <boost/asio/co_spawn.hpp>
#include <exception>

#include "proxy/observe/log.hpp"

namespace larder::proxy {

void Tasks::spawn(std::string_view what, asio::awaitable<void> task)
{
    ++running_;
    auto ended = [this, what](std::exception_ptr error) {
        if (--running_ == 0 && stop_when_none_) context_.stop();
        if (!error) return;
        try {
            std::rethrow_exception(error);
        } catch (const std::exception& e) {
            log_event(config::LogLevel::error, "a task ended by an exception: please report this",
                      {{"task", what}, {"error", std::string_view(e.what())}});
        }
    };
    asio::co_spawn(context_, std::move(task), std::move(ended));
}

}  // namespace larder::proxy
