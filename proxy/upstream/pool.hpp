// Connections to the upstream that one worker keeps alive. Last in, first out: the warmest is used first and the rest
// fall idle and are closed. Single-threaded.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "config/config.hpp"
#include "proxy/net/transport.hpp"
#include "proxy/observe/counters.hpp"

namespace larder::proxy {

struct UpstreamConnection {
    UpstreamConnection(asio::io_context& context, std::uint64_t made_for)
        : made_for(made_for), transport(context), deadline(transport)
    {
    }
    const std::uint64_t made_for;  // which of the pool's upstreams
    Transport transport;
    TransportDeadline deadline;
    std::string inbox;    // received, not consumed yet; empty while idle
    bool reused = false;  // has carried an exchange before this one
    rules::Instant idle_since{};
};
using UpstreamPtr = std::unique_ptr<UpstreamConnection>;

/// Requests under way to the upstream, of the whole process.
struct InflightLimit {
    std::atomic<std::uint32_t> now{0};
    std::atomic<std::uint32_t> most{0};  // 0: any number, and they are not counted
};

class UpstreamPool {
  public:
    UpstreamPool(asio::io_context& context, const config::Upstream& options, DeadlineWheel& wheel, Counters& counters,
                 InflightLimit& inflight);

    /// From now on. What is under way to another upstream goes on there, and its connections are not used again.
    void use(const config::Upstream& options);

    /// An idle connection that is still open and silent, as far as is known; null when there is none.
    /// @param may_retry  the request can be sent again: the kernel is not asked once more whether it is open
    UpstreamPtr take_idle(bool may_retry);
    /// A new connection. Errors: upstream_unresolved, upstream_refused, upstream_connect_timeout, upstream_tls.
    asio::awaitable<rules::Result<UpstreamPtr>> connect();
    /// Takes back a connection whose exchange has ended cleanly.
    void put_back(UpstreamPtr connection);
    /// Closes what has been idle for longer than `keep_alive`. Called about once a second.
    void close_expired();
    void close_all() noexcept { idle_.clear(); }

    /// Until the next `use`: not to be kept over a wait.
    const config::Upstream& options() const noexcept { return *options_; }
    DeadlineWheel& wheel() noexcept { return wheel_; }
    Counters& counters() noexcept { return counters_; }
    InflightLimit& inflight() noexcept { return inflight_; }

  private:
    asio::io_context& context_;
    std::shared_ptr<const config::Upstream> options_;
    DeadlineWheel& wheel_;
    Counters& counters_;
    InflightLimit& inflight_;
    std::shared_ptr<const TlsContext> tls_;  // null without TLS
    std::uint64_t upstream_ = 0;             // counts those that were used
    std::vector<UpstreamPtr> idle_;
};

}  // namespace larder::proxy
