#include "tests/support/wire.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

namespace larder::tests {

Wire::Wire(int fd, SSL* ssl) : fd_(fd), ssl_(ssl) { ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) | O_NONBLOCK); }

Wire::~Wire() { close(); }

std::unique_ptr<Wire> Wire::to_port(std::uint16_t port, int receive_buffer_bytes)
{
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) throw std::runtime_error("socket: " + std::string(std::strerror(errno)));
    if (receive_buffer_bytes > 0) {
        ::setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        const int error = errno;
        ::close(fd);
        throw Ended("connect to port " + std::to_string(port) + ": " + std::strerror(error));
    }
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return std::make_unique<Wire>(fd);
}

std::unique_ptr<Wire> Wire::to_unix(const std::string& path)
{
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        const int error = errno;
        if (fd >= 0) ::close(fd);
        throw Ended("connect to " + path + ": " + std::strerror(error));
    }
    return std::make_unique<Wire>(fd);
}

bool Wire::wait(short events, milliseconds limit)
{
    pollfd entry{fd_, events, 0};
    return ::poll(&entry, 1, static_cast<int>(limit.count())) > 0;
}

std::size_t Wire::send_some(std::string_view bytes)
{
    if (fd_ < 0) throw Ended("send on a closed connection");
    if (ssl_) {
        const int sent = SSL_write(ssl_, bytes.data(), static_cast<int>(std::min<std::size_t>(bytes.size(), 1 << 20)));
        if (sent > 0) return static_cast<std::size_t>(sent);
        const int error = SSL_get_error(ssl_, sent);
        if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE) return 0;
        throw Ended("TLS write failed");
    }
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) return static_cast<std::size_t>(sent);
    if (errno == EAGAIN || errno == EINTR) return 0;
    throw Ended("send: " + std::string(std::strerror(errno)));
}

void Wire::send(std::string_view bytes)
{
    while (!bytes.empty()) {
        const std::size_t sent = send_some(bytes);
        bytes.remove_prefix(sent);
        if (sent == 0 && !wait(POLLOUT, limit_)) throw TooLate("the peer did not take the bytes in time");
    }
}

bool Wire::receive()
{
    if (fd_ < 0) throw Ended("receive on a closed connection");
    char buffer[65536];
    for (;;) {
        if (ssl_) {
            const int got = SSL_read(ssl_, buffer, sizeof buffer);
            if (got > 0) {
                unread_.append(buffer, static_cast<std::size_t>(got));
                return true;
            }
            const int error = SSL_get_error(ssl_, got);
            if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) return false;
        } else {
            const ssize_t got = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
            if (got > 0) {
                unread_.append(buffer, static_cast<std::size_t>(got));
                return true;
            }
            if (got == 0) return false;
            if (errno != EAGAIN && errno != EINTR) throw Ended("receive: " + std::string(std::strerror(errno)));
        }
        if (!wait(POLLIN, limit_)) throw TooLate("nothing arrived in time; unread so far: " + unread_.substr(0, 2000));
    }
}

std::string Wire::take_through(std::string_view mark)
{
    std::size_t from = 0;
    for (;;) {
        const std::size_t at = unread_.find(mark, from);
        if (at != std::string::npos) return take(at + mark.size());
        from = unread_.size() < mark.size() ? 0 : unread_.size() - mark.size() + 1;
        if (!receive()) throw Ended("the stream ended early; unread so far: " + unread_.substr(0, 2000));
    }
}

std::string Wire::take(std::size_t bytes_count)
{
    while (unread_.size() < bytes_count) {
        if (!receive()) throw Ended("the stream ended early; unread so far: " + unread_.substr(0, 2000));
    }
    std::string taken = unread_.substr(0, bytes_count);
    unread_.erase(0, bytes_count);
    return taken;
}

std::string Wire::take_to_end()
{
    while (receive()) {}
    return std::exchange(unread_, {});
}

std::size_t Wire::discard(std::size_t most)
{
    if (!unread_.empty()) {
        const std::size_t count = std::min(most, unread_.size());
        unread_.erase(0, count);
        return count;
    }
    for (;;) {
        const ssize_t got = ::recv(fd_, nullptr, most, MSG_DONTWAIT | MSG_TRUNC);
        if (got >= 0) return static_cast<std::size_t>(got);
        if (errno != EAGAIN && errno != EINTR) throw Ended("receive: " + std::string(std::strerror(errno)));
        if (!wait(POLLIN, limit_)) throw TooLate("nothing arrived in time");
    }
}

bool Wire::is_silent_for(milliseconds window)
{
    if (!unread_.empty() || (ssl_ && SSL_pending(ssl_) > 0)) return false;
    return !wait(POLLIN, window);
}

bool Wire::is_closed_by_peer()
{
    try {
        return unread_.empty() && !receive();
    } catch (const Ended&) {
        return true;
    } catch (const TooLate&) {
        return false;
    }
}

void Wire::shutdown_send() { ::shutdown(fd_, SHUT_WR); }

void Wire::reset()
{
    const linger at_once{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    if (ssl_) SSL_set_quiet_shutdown(ssl_, 1);
    close();
}

void Wire::close()
{
    if (ssl_) {
        SSL_shutdown(ssl_);
        SSL_free(ssl_);
        ssl_ = nullptr;
    }
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

void Wire::interrupt()
{
    if (fd_ >= 0) ::shutdown(fd_, SHUT_RDWR);
}

}  // namespace larder::tests
