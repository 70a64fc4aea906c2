#include "proxy/net/run_all.hpp"

#include <exception>

#include "proxy/net/wake_up.hpp"

namespace larder::proxy {

namespace {

/// Touches `left` only when the part has ended: a frame that is destroyed where it waits has nobody to tell.
asio::awaitable<void> run_part(asio::awaitable<void> part, std::size_t& left, WakeUp& all_ended)
{
    std::exception_ptr bug;
    try {
        co_await std::move(part);
    } catch (...) {
        bug = std::current_exception();
    }
    if (--left == 0) all_ended.wake();
    if (bug) std::rethrow_exception(bug);
}

}  // namespace

asio::awaitable<void> run_all(Tasks& tasks, std::string_view what, std::vector<asio::awaitable<void>> parts)
{
    if (parts.empty()) co_return;
    if (parts.size() == 1) {
        co_await std::move(parts.front());
        co_return;
    }
    std::size_t left = parts.size();
    WakeUp all_ended(tasks.context());
    for (asio::awaitable<void>& part : parts) tasks.spawn(what, run_part(std::move(part), left, all_ended));
    co_await all_ended.wait();
}

}  // namespace larder::proxy
