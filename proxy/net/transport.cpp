#include "proxy/net/transport.hpp"

#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/local/stream_protocol.hpp>
#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <vector>

#include "proxy/net/wake_up.hpp"

namespace larder::proxy {

using rules::Errc;

TlsContext::TlsContext(const std::string& ca_file) : context_(SSL_CTX_new(TLS_client_method()))
{
    if (!context_) throw std::runtime_error("TLS cannot be initialised");
    SSL_CTX_set_min_proto_version(context_, TLS1_2_VERSION);
    SSL_CTX_set_verify(context_, SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_mode(context_,
                     SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    const int loaded = ca_file.empty() ? SSL_CTX_set_default_verify_paths(context_)
                                       : SSL_CTX_load_verify_locations(context_, ca_file.c_str(), nullptr);
    if (loaded != 1) {
        SSL_CTX_free(context_);
        throw std::runtime_error("the CA file " + ca_file + " cannot be used");
    }
}

TlsContext::~TlsContext() { SSL_CTX_free(context_); }

Transport::Transport(Descriptor socket, asio::io_context& context)
    : socket_(std::move(socket)), watched_(context), context_(context)
{
    if (!watched_.add(fd())) abort(Errc::client_gone);
}

Transport::~Transport() { close(); }

namespace {

/// A look-up outlives whoever waits for it: getaddrinfo cannot be interrupted, a deadline must not wait for it.
struct NameLookup {
    NameLookup(asio::io_context& context, WakeUp& w) : resolver(context), waiter(&w) {}
    asio::ip::tcp::resolver resolver;
    WakeUp* waiter;
    error_code error;
    asio::ip::tcp::resolver::results_type results;
    bool done = false;
};

}  // namespace

asio::awaitable<Errc> Transport::connect(const config::Endpoint& endpoint, const TlsContext* tls,
                                         const std::string& server_name, rules::Milliseconds timeout,
                                         DeadlineWheel& wheel)
{
    WakeUp resolved(context_);
    auto on_expiry = [this, &resolved] {
        abort(Errc::upstream_connect_timeout);
        resolved.wake();
    };
    DeadlineOf<decltype(on_expiry)> deadline(on_expiry);
    deadline.arm(wheel, timeout);

    if (!endpoint.unix_path.empty()) {
        const asio::local::stream_protocol::endpoint target(endpoint.unix_path);
        const bool connected = co_await connect_to(target.data(), static_cast<socklen_t>(target.size()));
        if (aborted_ != Errc::ok) co_return aborted_;
        if (!connected) co_return Errc::upstream_refused;
    } else {
        std::vector<asio::ip::tcp::endpoint> targets;
        error_code ec;
        const auto address = asio::ip::make_address(endpoint.host, ec);
        if (!ec) {
            targets.emplace_back(address, endpoint.port);
        } else {
            const std::string service = std::to_string(endpoint.port);
            const auto lookup = std::make_shared<NameLookup>(context_, resolved);
            lookup->resolver.async_resolve(endpoint.host, service, [lookup](error_code error, auto results) {
                lookup->error = error;
                lookup->results = std::move(results);
                lookup->done = true;
                if (lookup->waiter) lookup->waiter->wake();
            });
            co_await resolved.wait();
            lookup->waiter = nullptr;
            if (aborted_ != Errc::ok) co_return aborted_;
            if (!lookup->done || lookup->error) co_return Errc::upstream_unresolved;
            for (const auto& result : lookup->results) targets.emplace_back(result.endpoint());
        }
        bool connected = false;
        for (const asio::ip::tcp::endpoint& target : targets) {
            connected = co_await connect_to(target.data(), static_cast<socklen_t>(target.size()));
            if (aborted_ != Errc::ok) co_return aborted_;
            if (connected) break;
        }
        if (!connected) co_return Errc::upstream_refused;
        const int on = 1;
        ::setsockopt(fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        ::setsockopt(fd(), SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    }
    if (tls) {
        const Errc shaken = co_await handshake(*tls, server_name);
        if (shaken != Errc::ok) co_return aborted_ != Errc::ok ? aborted_ : shaken;
    }
    co_return Errc::ok;
}

asio::awaitable<bool> Transport::connect_to(const sockaddr* address, socklen_t size)
{
    close();
    socket_ = Descriptor(::socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket_) co_return false;
    int error = ::connect(fd(), address, size) == 0 ? 0 : errno;
    if (error != 0 && error != EINPROGRESS) co_return false;
    // Not before: a socket that is neither connected nor connecting counts as hung up.
    if (!watched_.add(fd())) co_return false;
    if (error == 0) co_return true;
    const bool ready = co_await wait(Direction::write);
    socklen_t error_size = sizeof error;
    co_return ready&& ::getsockopt(fd(), SOL_SOCKET, SO_ERROR, &error, &error_size) == 0 && error == 0;
}

asio::awaitable<Errc> Transport::handshake(const TlsContext& tls, const std::string& server_name)
{
    ssl_ = SSL_new(tls.get());
    if (!ssl_) co_return Errc::upstream_tls;
    SSL_set_fd(ssl_, fd());
    error_code ec;
    asio::ip::make_address(server_name, ec);
    if (ec) {
        SSL_set_tlsext_host_name(ssl_, server_name.c_str());
        SSL_set1_host(ssl_, server_name.c_str());
    } else {
        X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl_), server_name.c_str());
    }
    SSL_set_connect_state(ssl_);
    for (;;) {
        ERR_clear_error();
        const int done = SSL_do_handshake(ssl_);
        if (done == 1) co_return Errc::ok;
        const int why = SSL_get_error(ssl_, done);
        if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) co_return Errc::upstream_tls;
        const Direction direction = why == SSL_ERROR_WANT_READ ? Direction::read : Direction::write;
        const bool ready = co_await wait(direction);
        if (!ready) co_return Errc::upstream_tls;
    }
}

namespace {

IoTry from_ssl(SSL* ssl, int result, Watched& watched) noexcept
{
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_WANT_READ: watched.blocked(Direction::read); return {IoTry::Kind::blocked, Direction::read, 0};
    case SSL_ERROR_WANT_WRITE: watched.blocked(Direction::write); return {IoTry::Kind::blocked, Direction::write, 0};
    case SSL_ERROR_ZERO_RETURN: return {IoTry::Kind::end, Direction::read, 0};
    default: return {IoTry::Kind::failed, Direction::read, 0};
    }
}

}  // namespace

namespace {

// glibc's wrappers are points where a thread may be cancelled, which in a process of several threads takes them two
// atomic steps each. Nobody cancels a thread here. (Sanitizers look at what goes through the wrappers.)
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
ssize_t receive(int fd, std::span<char> into) noexcept { return ::recv(fd, into.data(), into.size(), 0); }
ssize_t send(int fd, const iovec& piece) noexcept { return ::send(fd, piece.iov_base, piece.iov_len, MSG_NOSIGNAL); }
ssize_t send(int fd, const msghdr& message) noexcept { return ::sendmsg(fd, &message, MSG_NOSIGNAL); }
#else
ssize_t receive(int fd, std::span<char> into) noexcept
{
    return ::syscall(SYS_recvfrom, fd, into.data(), into.size(), 0, nullptr, nullptr);
}
ssize_t send(int fd, const iovec& piece) noexcept
{
    return ::syscall(SYS_sendto, fd, piece.iov_base, piece.iov_len, MSG_NOSIGNAL, nullptr, 0);
}
ssize_t send(int fd, const msghdr& message) noexcept { return ::syscall(SYS_sendmsg, fd, &message, MSG_NOSIGNAL); }
#endif

/// A message of several pieces costs the kernel more than a copy of them costs here, up to some 8 KiB; for 1 KiB that
/// is a thirtieth of the whole call.
ssize_t send(int fd, std::span<const iovec> pieces) noexcept
{
    if (pieces.size() == 1) return send(fd, pieces.front());
    constexpr std::size_t joined_bytes = 8 * 1024;
    std::size_t total = 0;
    for (const iovec& piece : pieces) total += piece.iov_len;
    if (total > joined_bytes) {
        msghdr message{};
        message.msg_iov = const_cast<iovec*>(pieces.data());
        message.msg_iovlen = pieces.size();
        return send(fd, message);
    }
    char joined[joined_bytes];
    char* end = joined;
    for (const iovec& piece : pieces) end = std::copy_n(static_cast<const char*>(piece.iov_base), piece.iov_len, end);
    return send(fd, iovec{joined, total});
}

}  // namespace

IoTry Transport::try_read(std::span<char> into) noexcept
{
    if (aborted_ != Errc::ok || !socket_) return {};
    if (ssl_) {
        ERR_clear_error();
        const int n = SSL_read(ssl_, into.data(), static_cast<int>(std::min<std::size_t>(into.size(), 1u << 30)));
        if (n > 0) return {IoTry::Kind::ok, Direction::read, static_cast<std::size_t>(n)};
        return from_ssl(ssl_, n, watched_);
    }
    if (!watched_.is_readable()) return {IoTry::Kind::blocked, Direction::read, 0};  // a system call less
    for (;;) {
        const ssize_t n = receive(fd(), into);
        if (n > 0 && static_cast<std::size_t>(n) < into.size()) watched_.drained();
        if (n > 0) return {IoTry::Kind::ok, Direction::read, static_cast<std::size_t>(n)};
        if (n == 0) return {IoTry::Kind::end, Direction::read, 0};
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            watched_.blocked(Direction::read);
            return {IoTry::Kind::blocked, Direction::read, 0};
        }
        return {};
    }
}

IoTry Transport::try_write(std::span<const iovec> pieces) noexcept
{
    if (aborted_ != Errc::ok || !socket_) return {};
    if (ssl_) {
        constexpr std::size_t record_bytes = 16 * 1024;
        tls_out_.clear();
        for (const iovec& piece : pieces) {
            const std::size_t room = record_bytes - tls_out_.size();
            tls_out_.append(static_cast<const char*>(piece.iov_base), std::min(room, piece.iov_len));
            if (tls_out_.size() == record_bytes) break;
        }
        if (tls_out_.empty()) return {IoTry::Kind::ok, Direction::write, 0};
        ERR_clear_error();
        const int n = SSL_write(ssl_, tls_out_.data(), static_cast<int>(tls_out_.size()));
        if (n > 0) return {IoTry::Kind::ok, Direction::write, static_cast<std::size_t>(n)};
        return from_ssl(ssl_, n, watched_);
    }
    for (;;) {
        const ssize_t n = send(fd(), pieces);
        if (n >= 0) return {IoTry::Kind::ok, Direction::write, static_cast<std::size_t>(n)};
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
            watched_.blocked(Direction::write);
            return {IoTry::Kind::blocked, Direction::write, 0};
        }
        return {};
    }
}

asio::awaitable<bool> Transport::wait(Direction direction)
{
    return watched_.async_wait(direction, asio::use_awaitable);
}

asio::awaitable<bool> Transport::write_all(std::string_view bytes)
{
    while (!bytes.empty()) {
        const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
        const IoTry written = try_write(std::span<const iovec>(&piece, 1));
        if (written.ok()) {
            bytes.remove_prefix(written.bytes);
        } else if (written.blocked()) {
            const bool ready = co_await wait(written.wait_for);
            if (!ready) co_return false;
        } else {
            co_return false;
        }
    }
    co_return true;
}

std::uint64_t Transport::unacknowledged() noexcept
{
    int bytes = 0;
    return ::ioctl(fd(), SIOCOUTQ, &bytes) == 0 && bytes > 0 ? static_cast<std::uint64_t>(bytes) : 0;
}

void Transport::abort(Errc why) noexcept
{
    if (aborted_ == Errc::ok) aborted_ = why;
    watched_.abort();
}

void Transport::cancel_waits() noexcept
{
    watched_.cancel();
    watched_.doubt();
}

void Transport::shutdown_send() noexcept
{
    if (ssl_) SSL_shutdown(ssl_);
    if (socket_) ::shutdown(fd(), SHUT_WR);
}

void Transport::close() noexcept
{
    if (ssl_) {
        SSL_free(ssl_);
        ssl_ = nullptr;
    }
    watched_.remove();
    socket_.close();
}

}  // namespace larder::proxy
