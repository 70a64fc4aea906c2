// What the bench's own programs share: sockets on loopback, an epoll descriptor, a connection that may have bytes
// left to send. They are floors to measure against, not servers: bad input and errors end the program.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

namespace bench {

[[noreturn]] inline void die(const char* what)
{
    std::perror(what);
    std::exit(1);
}

inline void prepare_process()
{
    std::signal(SIGPIPE, SIG_IGN);
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
}

inline void make_ready(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

inline sockaddr_in loopback(int port)
{
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

inline int listen_on(int port)
{
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    const int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const sockaddr_in address = loopback(port);
    if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) die("bind");
    if (listen(fd, 4096) < 0) die("listen");
    return fd;
}

/// @param to  a port on loopback, or the path of a unix socket
inline int connect_to(const std::string& to)
{
    int fd = -1;
    if (to.starts_with('/')) {
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, to.c_str(), sizeof address.sun_path - 1);
        if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) die(to.c_str());
    } else {
        fd = socket(AF_INET, SOCK_STREAM, 0);
        const sockaddr_in address = loopback(std::atoi(to.c_str()));
        if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) die(to.c_str());
    }
    make_ready(fd);
    return fd;
}

struct Connection {
    int fd = -1;
    std::string unsent{};
    Connection* peer = nullptr;  // of a pair that bytes go back and forth between
    std::string in{};
    std::size_t awaited_bytes = 0;
};

class Loop {
  public:
    Loop() : epoll_(epoll_create1(0)) {}

    void watch(int fd, void* what, std::uint32_t events = EPOLLIN, int operation = EPOLL_CTL_ADD)
    {
        epoll_event event{};
        event.events = events;
        event.data.ptr = what;
        epoll_ctl(epoll_, operation, fd, &event);
    }
    /// Calls `handle(what, events)` for each descriptor that is ready. Returns how many those were.
    template <typename Handle>
    int turn(int timeout_ms, Handle handle)
    {
        std::array<epoll_event, 256> events{};
        const int count = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout_ms);
        for (int i = 0; i < count; ++i) handle(events[i].data.ptr, events[i].events);
        return count;
    }
    /// Turns until nothing is ready, as long as `is_worth_it()`: what is gathered meanwhile leaves in one write.
    template <typename Handle, typename IsWorthIt>
    void turn_until_dry(Handle handle, IsWorthIt is_worth_it)
    {
        int timeout_ms = -1;
        while (turn(timeout_ms, handle) > 0 && is_worth_it()) timeout_ms = 0;
    }
    /// Sends head and body at once, and what does not fit when there is room.
    void send(Connection& to, std::string_view head, std::string_view body)
    {
        std::size_t sent = 0;
        if (to.unsent.empty()) {
            std::array<iovec, 2> parts{
                {{const_cast<char*>(head.data()), head.size()}, {const_cast<char*>(body.data()), body.size()}}};
            msghdr message{};
            message.msg_iov = parts.data();
            message.msg_iovlen = parts.size();
            const ssize_t count = body.empty() ? ::send(to.fd, head.data(), head.size(), MSG_NOSIGNAL)
                                               : sendmsg(to.fd, &message, MSG_NOSIGNAL);
            sent = count > 0 ? static_cast<std::size_t>(count) : 0;
            if (sent == head.size() + body.size()) return;
            watch(to.fd, &to, EPOLLIN | EPOLLOUT, EPOLL_CTL_MOD);
        }
        if (sent < head.size()) to.unsent.append(head.substr(sent));
        to.unsent.append(body.substr(sent > head.size() ? sent - head.size() : 0));
    }
    void send_on(Connection& to)
    {
        const ssize_t count = ::send(to.fd, to.unsent.data(), to.unsent.size(), MSG_NOSIGNAL);
        if (count > 0) to.unsent.erase(0, static_cast<std::size_t>(count));
        if (to.unsent.empty()) watch(to.fd, &to, EPOLLIN, EPOLL_CTL_MOD);
    }

  private:
    int epoll_;
};

/// Takes in and watches every client that waits. Calls `add(client)` for each.
template <typename Add>
void accept_all(Loop& loop, int listener, Add add)
{
    for (;;) {
        const int fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
        if (fd < 0) return;
        make_ready(fd);
        auto* client = new Connection{fd};
        loop.watch(fd, client);
        add(client);
    }
}
inline void accept_all(Loop& loop, int listener)
{
    accept_all(loop, listener, [](Connection*) {});
}

/// The number after `name` (`\nContent-Length: `); -1: the head has no such field.
inline long number_after(std::string_view head, std::string_view name)
{
    const std::size_t at = head.find(name);
    return at == std::string_view::npos ? -1 : std::strtol(head.data() + at + name.size(), nullptr, 10);
}

}  // namespace bench
