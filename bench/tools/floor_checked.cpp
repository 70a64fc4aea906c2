// The floor of a hit in memory that is checked at Redis: epoll, one read and one write of the same answer, and between
// them one GET for all requests that come until none is ready. It looks at nothing it reads but the number of replies.
// usage: floor_checked PORT REDIS BODY_BYTES   (REDIS: a port, or the path of a unix socket)
#include <deque>
#include <vector>

#include "bench/tools/sockets.hpp"

using namespace bench;

int main(int, char** args)
{
    prepare_process();
    const int listener = listen_on(std::atoi(args[1]));
    Connection redis{connect_to(args[2])};
    const std::string body(std::strtoul(args[3], nullptr, 10), 'x');
    const std::string answer =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: public, max-age=3600\r\nAge: 12\r\n"
        "Content-Length: " +
        std::to_string(body.size()) + "\r\n\r\n" + body;
    constexpr std::string_view look = "*2\r\n$3\r\nGET\r\n$5\r\nfloor\r\n";
    constexpr std::string_view reply = "$-1\r\n";
    Loop loop;
    loop.watch(listener, nullptr);
    loop.watch(redis.fd, &redis);
    std::array<char, 65536> buffer;
    std::vector<Connection*> asked;                 // in this turn
    std::deque<std::vector<Connection*>> checking;  // a look of an earlier turn each
    std::size_t received = 0;
    const auto answer_checked = [&] {
        const ssize_t count = recv(redis.fd, buffer.data(), buffer.size(), 0);
        if (count == 0) std::exit(0);
        for (received += count > 0 ? static_cast<std::size_t>(count) : 0; received >= reply.size();
             received -= reply.size()) {
            for (Connection* client : checking.front()) loop.send(*client, answer, {});
            checking.pop_front();
        }
    };
    const auto handle = [&](void* what, std::uint32_t events) {
        if (!what) return accept_all(loop, listener);
        Connection& ready = *static_cast<Connection*>(what);
        if (events & EPOLLOUT) return loop.send_on(ready);
        if (&ready == &redis) return answer_checked();
        if (recv(ready.fd, buffer.data(), buffer.size(), 0) > 0) return asked.push_back(&ready);
        close(ready.fd);
        ready.fd = -1;  // kept: a look for it may be on its way
    };
    for (;;) {
        loop.turn_until_dry(handle, [&] { return !asked.empty(); });
        if (asked.empty()) continue;
        loop.send(redis, look, {});
        checking.push_back(std::move(asked));
        asked.clear();
    }
}
