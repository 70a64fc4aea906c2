// The floor of a hit in Redis: epoll, one read and one write for each request, and one GET of its target in between.
// The GETs of all requests of a loop turn leave in one write, replies are not copied. It finds the target between the
// first two spaces and looks at nothing else.
// usage: floor_redis PORT REDIS   (a port, or the path of a unix socket)
#include <deque>
#include <vector>

#include "bench/tools/sockets.hpp"

using namespace bench;

namespace {

struct Redis {
    Connection connection;
    std::string commands;
    std::deque<Connection*> waiting;
    std::vector<char> buffer = std::vector<char>(1 << 20);
    std::size_t begin = 0, end = 0;
};

void ask(Redis& redis, Connection& client, std::string_view request)
{
    const std::size_t from = request.find(' ') + 1;
    const std::string_view target = request.substr(from, request.find(' ', from) - from);
    redis.commands += "*2\r\n$3\r\nGET\r\n$";
    redis.commands += std::to_string(target.size());
    redis.commands += "\r\n";
    redis.commands += target;
    redis.commands += "\r\n";
    redis.waiting.push_back(&client);
}

/// Answers the clients whose replies are all there.
void read_replies(Redis& redis, Loop& loop)
{
    if (redis.begin > 0 && redis.buffer.size() - redis.end < 65536) {
        std::memmove(redis.buffer.data(), redis.buffer.data() + redis.begin, redis.end - redis.begin);
        redis.end -= redis.begin;
        redis.begin = 0;
    }
    if (redis.end == redis.buffer.size()) redis.buffer.resize(redis.buffer.size() * 2);
    const ssize_t count =
        recv(redis.connection.fd, redis.buffer.data() + redis.end, redis.buffer.size() - redis.end, 0);
    if (count == 0) std::exit(0);
    if (count < 0) return;
    redis.end += static_cast<std::size_t>(count);
    while (redis.begin < redis.end) {
        const std::string_view reply(redis.buffer.data() + redis.begin, redis.end - redis.begin);
        const std::size_t line = reply.find("\r\n");
        if (line == std::string_view::npos) return;
        const long length = std::strtol(reply.data() + 1, nullptr, 10);
        if (length < 0) die("floor_redis: a target that the bench has not stored");
        const std::size_t size = static_cast<std::size_t>(length);
        if (reply.size() < line + 2 + size + 2) return;
        std::array<char, 160> head{};
        const int head_size = std::snprintf(head.data(), head.size(),
                                            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                            "Cache-Control: public, max-age=3600\r\nAge: 12\r\n"
                                            "Content-Length: %zu\r\n\r\n",
                                            size);
        loop.send(*redis.waiting.front(), {head.data(), static_cast<std::size_t>(head_size)},
                  reply.substr(line + 2, size));
        redis.waiting.pop_front();
        redis.begin += line + 2 + size + 2;
    }
    redis.begin = redis.end = 0;
}

}  // namespace

int main(int, char** args)
{
    prepare_process();
    const int listener = listen_on(std::atoi(args[1]));
    Redis redis;
    redis.connection.fd = connect_to(args[2]);
    Loop loop;
    loop.watch(listener, nullptr);
    loop.watch(redis.connection.fd, &redis.connection);
    std::array<char, 65536> buffer;
    for (;;) {
        loop.turn(-1, [&](void* what, std::uint32_t events) {
            if (!what) return accept_all(loop, listener);
            Connection& ready = *static_cast<Connection*>(what);
            if (events & EPOLLOUT) return loop.send_on(ready);
            if (&ready == &redis.connection) return read_replies(redis, loop);
            const ssize_t count = recv(ready.fd, buffer.data(), buffer.size(), 0);
            if (count > 0) return ask(redis, ready, {buffer.data(), static_cast<std::size_t>(count)});
            close(ready.fd);
            ready.fd = -1;  // kept: a reply for it may be on its way
        });
        if (redis.commands.empty()) continue;
        loop.send(redis.connection, redis.commands, {});
        redis.commands.clear();
    }
}
