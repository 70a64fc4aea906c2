#include "proxy/server/server.hpp"

#include "proxy/net/pause.hpp"
#include "proxy/observe/log.hpp"

namespace larder::proxy {

asio::awaitable<void> Server::run_listener()
{
    constexpr int batch = 64;
    constexpr rules::Milliseconds exhausted_pause{100};
    bool exhausted_logged = false;
    Pause pause(services_.context, services_.wheel);
    while (accepting_) {
        const bool ready = co_await listener_.wait();
        if (!ready || !accepting_) break;
        for (int i = 0; i < batch; ++i) {
            std::optional<Listener::Accepted> accepted;
            const Listener::Try tried = listener_.try_accept(accepted);
            if (tried == Listener::Try::none) break;
            if (tried == Listener::Try::exhausted) {
                // Out of file descriptors: a pause, or the readiness of the socket would keep us spinning.
                if (!exhausted_logged)
                    log_event(config::LogLevel::error, "connections cannot be accepted: no file descriptors left",
                              {{"open", static_cast<std::int64_t>(open_count_)}});
                exhausted_logged = true;
                co_await pause.wait(exhausted_pause);
                break;
            }
            exhausted_logged = false;
            services_.counters.add(Counter::connections_accepted);
            const std::uint64_t open = limit_.open.fetch_add(1, std::memory_order_relaxed);
            const std::uint64_t most = limit_.most.load(std::memory_order_relaxed);
            if (open < most) {
                wait_for_request(std::make_unique<Connection>(*this, std::move(*accepted)));
                continue;
            }
            services_.counters.add(Counter::connections_refused);
            if (open < most + ConnectionLimit::told_at_once)
                services_.tasks.spawn("refusal",
                                      run_refusal(std::make_unique<Connection>(*this, std::move(*accepted))));
            else
                limit_.open.fetch_sub(1, std::memory_order_relaxed);
        }
    }
}

void Server::stop_accepting() noexcept
{
    accepting_ = false;
    listener_.close();
    for (Connection& connection : connections_)
        if (connection.idle) connection.client.transport.cancel_waits();
}

void Server::abort_all() noexcept
{
    for (Connection& connection : connections_) connection.client.transport.abort(rules::Errc::shutting_down);
}

}  // namespace larder::proxy
