#include "proxy/server/listener.hpp"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>

namespace larder::proxy {

namespace {

std::string failed(const char* what) { return std::string(what) + ": " + std::strerror(errno); }

std::string address_text(const sockaddr_storage& peer)
{
    char text[INET6_ADDRSTRLEN] = "";
    if (peer.ss_family == AF_INET) {
        ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(peer).sin_addr, text, sizeof text);
    } else if (peer.ss_family == AF_INET6) {
        const in6_addr& address = reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(&address))
            ::inet_ntop(AF_INET, &address.s6_addr[12], text, sizeof text);
        else
            ::inet_ntop(AF_INET6, &address, text, sizeof text);
    }
    return text;
}

}  // namespace

Listener::~Listener() { close(); }

std::string Listener::open(const config::Endpoint& endpoint, bool joins)
{
    constexpr int backlog = 4096;
    // SO_REUSEPORT, which the workers need among themselves, would let a second process of the same user in as well,
    // with a cache of its own that purges here do not reach. A bind without it fails while anybody listens.
    const bool exclusive = endpoint.unix_path.empty() && endpoint.port != 0 && !joins;
    if (!endpoint.unix_path.empty()) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (endpoint.unix_path.size() >= sizeof address.sun_path) return "the path of the unix socket is too long";
        std::memcpy(address.sun_path, endpoint.unix_path.data(), endpoint.unix_path.size());
        const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) return failed("socket");
        ::unlink(endpoint.unix_path.c_str());
        if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
            ::listen(fd, backlog) != 0) {
            std::string why = failed("bind");
            ::close(fd);
            return why;
        }
        unlink_path_ = endpoint.unix_path;
        socket_.assign(fd);
        return {};
    }
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const char* host = endpoint.host.empty() ? "0.0.0.0" : endpoint.host.c_str();
    if (const int error = ::getaddrinfo(host, std::to_string(endpoint.port).c_str(), &hints, &found); error != 0)
        return std::string("the address cannot be resolved: ") + ::gai_strerror(error);
    std::string why = "no address";
    for (const addrinfo* one = found; one; one = one->ai_next) {
        const int fd = ::socket(one->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            why = failed("socket");
            continue;
        }
        const int on = 1;
        ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        if (exclusive) {
            const int probe = ::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
            ::setsockopt(probe, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
            const bool free = probe >= 0 && ::bind(probe, one->ai_addr, one->ai_addrlen) == 0;
            if (!free) why = failed("bind");
            if (probe >= 0) ::close(probe);
            if (!free) {
                ::close(fd);
                continue;
            }
        }
        ::setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
        // Inherited by what is accepted: one system call less per connection.
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (::bind(fd, one->ai_addr, one->ai_addrlen) != 0 || ::listen(fd, backlog) != 0) {
            why = failed("bind");
            ::close(fd);
            continue;
        }
        sockaddr_storage bound{};
        socklen_t size = sizeof bound;
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
        port_ = ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                                  : reinterpret_cast<sockaddr_in&>(bound).sin_port);
        socket_.assign(fd);
        why.clear();
        break;
    }
    ::freeaddrinfo(found);
    return why;
}

std::string Listener::share(const Listener& other)
{
    const int fd = ::fcntl(const_cast<Listener&>(other).socket_.native_handle(), F_DUPFD_CLOEXEC, 0);
    if (fd < 0) return failed("dup");
    socket_.assign(fd);
    return {};
}

Listener::Try Listener::try_accept(std::optional<Accepted>& accepted)
{
    for (;;) {
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        const int fd =
            ::accept4(socket_.native_handle(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            accepted.emplace(Accepted{Descriptor(fd), address_text(peer)});
            return Try::accepted;
        }
        switch (errno) {
        case EINTR:
        case ECONNABORTED: continue;
        case EAGAIN: return Try::none;
        default: return Try::exhausted;
        }
    }
}

asio::awaitable<bool> Listener::wait()
{
    auto [ec] = co_await socket_.async_wait(asio::posix::stream_descriptor::wait_read, no_throw);
    co_return !ec;
}

void Listener::close() noexcept
{
    error_code ignored;
    if (socket_.is_open()) socket_.close(ignored);
    if (!unlink_path_.empty()) ::unlink(unlink_path_.c_str());
    unlink_path_.clear();
}

}  // namespace larder::proxy
