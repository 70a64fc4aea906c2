#include "proxy/upstream/pool.hpp"

#include <sys/socket.h>

#include <algorithm>

#include "proxy/net/clock.hpp"

namespace larder::proxy {

using rules::Errc;

UpstreamPool::UpstreamPool(asio::io_context& context, const config::Upstream& options, DeadlineWheel& wheel,
                           Counters& counters, InflightLimit& inflight)
    : context_(context), wheel_(wheel), counters_(counters), inflight_(inflight)
{
    use(options);
}

void UpstreamPool::use(const config::Upstream& options)
{
    const bool is_another = !options_ || options.endpoint != options_->endpoint || options.tls != options_->tls ||
                            options.host_header != options_->host_header || options.ca_file != options_->ca_file;
    options_ = std::make_shared<const config::Upstream>(options);
    if (!is_another) return;
    ++upstream_;
    tls_ = options.tls ? std::make_shared<const TlsContext>(options.ca_file) : nullptr;
    counters_.upstream_idle.fetch_sub(static_cast<std::int64_t>(idle_.size()), std::memory_order_relaxed);
    close_all();
}

namespace {

/// Open and silent. An upstream that has closed, or has sent bytes nobody asked for, must not be given a request: its
/// next bytes would be taken for the answer.
bool is_silent(Transport& transport) noexcept
{
    char byte = 0;
    const ssize_t n = ::recv(transport.fd(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
}

}  // namespace

UpstreamPtr UpstreamPool::take_idle(bool may_retry)
{
    while (!idle_.empty()) {
        UpstreamPtr connection = std::move(idle_.back());
        idle_.pop_back();
        counters_.upstream_idle.fetch_sub(1, std::memory_order_relaxed);
        const bool expired = recent_instant() - connection->idle_since > options_->keep_alive;
        if (expired || connection->transport.has_pending()) continue;
        // The poller tells of what comes. Whoever cannot send his request again asks the kernel all the same: the end
        // may have come since the poller's last turn.
        const bool may_have_spoken = connection->transport.may_be_readable() || !may_retry;
        if (may_have_spoken && !is_silent(connection->transport)) continue;
        connection->reused = true;
        counters_.add(Counter::upstream_reuses);
        return connection;
    }
    return nullptr;
}

asio::awaitable<rules::Result<UpstreamPtr>> UpstreamPool::connect()
{
    auto connection = std::make_unique<UpstreamConnection>(context_, upstream_);
    const std::shared_ptr<const config::Upstream> to = options_;
    const std::shared_ptr<const TlsContext> tls = tls_;
    const std::string& name = to->endpoint.host;
    const Errc error =
        co_await connection->transport.connect(to->endpoint, tls.get(), name, to->connect_timeout, wheel_);
    if (error != Errc::ok) co_return error;
    counters_.add(Counter::upstream_connects);
    co_return std::move(connection);
}

void UpstreamPool::put_back(UpstreamPtr connection)
{
    connection->deadline.disarm();
    if (idle_.size() >= options_->pool_size || connection->made_for != upstream_) return;
    connection->idle_since = recent_instant();
    idle_.push_back(std::move(connection));
    counters_.upstream_idle.fetch_add(1, std::memory_order_relaxed);
}

void UpstreamPool::close_expired()
{
    const rules::Instant now = instant_now();
    const auto kept = std::find_if(idle_.begin(), idle_.end(),
                                   [&](const UpstreamPtr& c) { return now - c->idle_since <= options_->keep_alive; });
    counters_.upstream_idle.fetch_sub(kept - idle_.begin(), std::memory_order_relaxed);
    idle_.erase(idle_.begin(), kept);
}

}  // namespace larder::proxy
