// One byte stream: TCP, unix socket, or TLS over either. Reads and writes are tried without waiting; when they would
// block the caller waits for readiness. No buffer is held while waiting, which keeps idle connections small.
// Used for clients, the upstream and Redis alike.
#pragma once

#include <openssl/ssl.h>
#include <sys/uio.h>

#include <boost/asio/ip/tcp.hpp>
#include <concepts>
#include <span>
#include <string>

#include "config/config.hpp"
#include "proxy/net/asio.hpp"
#include "proxy/net/deadline.hpp"
#include "proxy/net/descriptor.hpp"
#include "proxy/net/poller.hpp"
#include "rules/base/errors.hpp"

namespace larder::proxy {

/// A client-side TLS context: system certificates or a CA file, peer and host name always verified, TLS 1.2 at least.
class TlsContext {
  public:
    /// @param ca_file empty: the system's certificates. Throws std::runtime_error when the file cannot be used.
    explicit TlsContext(const std::string& ca_file);
    ~TlsContext();
    TlsContext(const TlsContext&) = delete;
    TlsContext& operator=(const TlsContext&) = delete;
    SSL_CTX* get() const noexcept { return context_; }

  private:
    SSL_CTX* context_;
};

/// What a try gave. `bytes` counts only with `ok`. `blocked` names the direction to wait for (TLS may need the other).
struct IoTry {
    enum class Kind : std::uint8_t { ok, blocked, end, failed } kind = Kind::failed;
    Direction wait_for = Direction::read;
    std::size_t bytes = 0;

    bool ok() const noexcept { return kind == Kind::ok; }
    bool blocked() const noexcept { return kind == Kind::blocked; }
};

/// Single-threaded: belongs to the io_context it was made with. At most one wait per direction at a time.
class Transport {
  public:
    explicit Transport(asio::io_context& context) : watched_(context), context_(context) {}
    /// Takes over an accepted socket, which does not block.
    explicit Transport(Descriptor socket, asio::io_context& context);
    ~Transport();
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;

    /// Resolves, connects and, with `tls`, shakes hands. Ends at the latest after `timeout`.
    /// @param server_name  checked against the certificate and sent as SNI; used with `tls` only
    /// Errors: upstream_unresolved, upstream_refused, upstream_connect_timeout, upstream_tls. Callers that speak to
    /// something else than the upstream translate them.
    asio::awaitable<rules::Errc> connect(const config::Endpoint& endpoint, const TlsContext* tls,
                                         const std::string& server_name, rules::Milliseconds timeout,
                                         DeadlineWheel& wheel);

    IoTry try_read(std::span<char> into) noexcept;
    /// Writes what it can of the pieces, in order.
    IoTry try_write(std::span<const iovec> pieces) noexcept;

    /// Waits until a try in that direction is worth it. False when `abort` or `close` ended the wait.
    asio::awaitable<bool> wait(Direction direction);
    /// The same for whoever is no coroutine. `waiting` is completed later, never from within the call, or abandoned
    /// with the io_context.
    void when_ready(Direction direction, Completion<bool>& waiting) { watched_.wait(direction, waiting); }
    /// The same with `handler(bool)`, for which memory is needed.
    template <std::invocable<bool> Handler>
    void when_ready(Direction direction, Handler handler)
    {
        watched_.async_wait(direction, std::move(handler));
    }

    /// Writes all of it, waiting as needed. False on failure or abort; the caller's deadline ends a wait by `abort`.
    asio::awaitable<bool> write_all(std::string_view bytes);

    /// Ends present and future waits with false and makes tries fail; remembers why. First reason wins.
    void abort(rules::Errc why) noexcept;
    rules::Errc aborted() const noexcept { return aborted_; }
    /// Ends the present waits with false, without forbidding later ones. The next `try_read` asks the kernel, whatever
    /// the events have told so far.
    void cancel_waits() noexcept;

    /// Half-close: the peer sees the end of the stream, reading goes on.
    void shutdown_send() noexcept;
    void close() noexcept;
    bool is_open() const noexcept { return static_cast<bool>(socket_); }
    bool is_tls() const noexcept { return ssl_ != nullptr; }
    /// True when bytes have been decrypted already and a try_read would give them without the socket being readable.
    bool has_pending() const noexcept { return ssl_ && SSL_pending(ssl_) > 0; }

    /// False: nothing has come since the last read, up to the last turn of the event loop.
    bool may_be_readable() const noexcept { return ssl_ || watched_.is_readable(); }

    /// Bytes that were written and that the peer has not acknowledged yet; 0 where the kernel does not say.
    std::uint64_t unacknowledged() noexcept;

    asio::io_context& context() noexcept { return context_; }
    int fd() const noexcept { return socket_.get(); }

  private:
    asio::awaitable<bool> connect_to(const sockaddr* address, socklen_t size);
    asio::awaitable<rules::Errc> handshake(const TlsContext& tls, const std::string& server_name);

    Descriptor socket_;
    Watched watched_;
    asio::io_context& context_;
    SSL* ssl_ = nullptr;
    std::string tls_out_;  // one TLS record's worth of gathered pieces: SSL_write has no gather form
    rules::Errc aborted_ = rules::Errc::ok;
};

/// Aborts a transport when its time is up, with the name of the deadline that was missed.
class TransportDeadline final : public Deadline {
  public:
    explicit TransportDeadline(Transport& transport) : transport_(transport) {}
    void arm(DeadlineWheel& wheel, rules::Milliseconds after, rules::Errc why) noexcept
    {
        why_ = why;
        Deadline::arm(wheel, after);
    }

  private:
    void on_expiry() noexcept override { transport_.abort(why_); }
    Transport& transport_;
    rules::Errc why_ = rules::Errc::ok;
};

}  // namespace larder::proxy
