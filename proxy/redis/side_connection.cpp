#include "proxy/redis/side_connection.hpp"

#include "proxy/redis/resp.hpp"

// g++ 12 takes Asio's recycling of coroutine frames for a mismatch, here as in sentinel_topology.
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"

namespace larder::proxy {

using rules::Errc;
using rules::Milliseconds;
using rules::Result;

std::string_view connect_reason(Errc error) noexcept
{
    switch (error) {
    case Errc::upstream_unresolved: return "name could not be resolved";
    case Errc::upstream_refused: return "connection refused";
    case Errc::upstream_connect_timeout: return "connect deadline missed";
    case Errc::upstream_tls: return "TLS handshake failed";
    default: return rules::text(error);
    }
}

SideConnection::SideConnection(asio::io_context& context, DeadlineWheel& wheel) : wheel_(wheel), transport_(context) {}

asio::awaitable<std::string> SideConnection::open(config::Endpoint endpoint, const TlsContext* tls, std::string user,
                                                  std::string password, Milliseconds timeout)
{
    const Errc connected = co_await transport_.connect(endpoint, tls, endpoint.host, timeout, wheel_);
    if (connected != Errc::ok) co_return std::string(connect_reason(connected));
    std::string login;
    if (!append_login(login, user, password)) co_return std::string();
    const bool sent = co_await transport_.write_all(login);
    if (!sent) co_return std::string("connection closed");
    const Result<Reply> reply = co_await next(timeout);
    if (!reply) co_return std::string(rules::text(reply.error()));
    if (reply->is_error()) co_return "AUTH: " + reply->text;
    co_return std::string();
}

asio::awaitable<bool> SideConnection::send(std::vector<std::string> words, Milliseconds timeout)
{
    const std::vector<std::string_view> args(words.begin(), words.end());
    std::string bytes;
    append_command(bytes, args);
    TransportDeadline deadline(transport_);
    deadline.arm(wheel_, timeout, Errc::store_timeout);
    const bool sent = co_await transport_.write_all(bytes);
    co_return sent;
}

asio::awaitable<Result<Reply>> SideConnection::next(Milliseconds timeout)
{
    bool late = false;
    auto on_expiry = [this, &late] {
        late = true;
        transport_.cancel_waits();
    };
    DeadlineOf<decltype(on_expiry)> deadline(on_expiry);
    deadline.arm(wheel_, timeout);
    for (;;) {
        Reply reply;
        if (reader_.next(reply)) co_return reply;
        if (reader_.failed()) co_return Errc::store_malformed;
        const IoTry tried = transport_.try_read(reader_.room());
        if (tried.ok()) {
            reader_.received(tried.bytes);
            continue;
        }
        if (!tried.blocked()) co_return Errc::store_unreachable;
        const bool ready = co_await transport_.wait(tried.wait_for);
        if (ready) continue;
        if (late && transport_.aborted() == Errc::ok) co_return Errc::store_timeout;
        co_return Errc::store_unreachable;
    }
}

asio::awaitable<Result<Reply>> SideConnection::ask(std::vector<std::string> words, Milliseconds timeout)
{
    const bool sent = co_await send(std::move(words), timeout);
    if (!sent) co_return Errc::store_unreachable;
    Result<Reply> reply = co_await next(timeout);
    co_return reply;
}

}  // namespace larder::proxy
