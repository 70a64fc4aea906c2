// The floor of a miss that is stored in Redis: a look, a lease, the request to a kept-alive backend connection, its
// answer to the client, and the entry to Redis behind it. What is for Redis leaves in one write once no socket is
// ready; of its replies only the lengths are looked at, which are always the same.
//
// usage: floor_miss PORT BACKEND_PORT REDIS   (REDIS: a port, or the path of a unix socket)
#include <deque>
#include <span>
#include <vector>

#include "bench/tools/sockets.hpp"

using namespace bench;

namespace {

enum class Step { look, lease, store };

struct Client : Connection {
    std::string request, target;
    Connection* backend = nullptr;
};

struct Waiting {
    Step step;
    Client* client;
};

Connection redis;
std::string commands;
std::deque<Waiting> waiting;
std::vector<Connection*> idle;

std::size_t reply_bytes(Step step)
{
    switch (step) {
    case Step::look: return std::string_view("*2\r\n$-1\r\n$-1\r\n").size();
    case Step::lease: return std::string_view("+OK\r\n$0\r\n\r\n$-1\r\n").size();
    case Step::store: return std::string_view("+OK\r\n+OK\r\n:1\r\n").size();
    }
    return 0;
}

void add_argument(std::string_view begin, std::string_view rest = {})
{
    ((((commands += '$') += std::to_string(begin.size() + rest.size())) += "\r\n") += begin) += rest;
    commands += "\r\n";
}

void ask(Step step, Client& client, std::string_view answer = {})
{
    const std::string_view target = client.target;
    if (step == Step::look) {
        commands += "*3\r\n$4\r\nMGET\r\n";
        add_argument("e:", target);
        commands += "$1\r\nq\r\n";
    } else if (step == Step::lease) {
        commands += "*6\r\n$3\r\nSET\r\n";
        add_argument("l:", target);
        commands += "$5\r\nfloor\r\n$2\r\nNX\r\n$2\r\nPX\r\n$4\r\n3000\r\n*4\r\n$8\r\nGETRANGE\r\n";
        add_argument("e:", target);
        commands += "$1\r\n0\r\n$3\r\n127\r\n*2\r\n$3\r\nGET\r\n$1\r\nq\r\n";
    } else {
        commands += "*5\r\n$3\r\nSET\r\n";
        add_argument("n:", target);
        add_argument(answer);
        commands += "$2\r\nPX\r\n$7\r\n3600000\r\n*3\r\n$6\r\nRENAME\r\n";
        add_argument("n:", target);
        add_argument("e:", target);
        commands += "*2\r\n$6\r\nUNLINK\r\n";
        add_argument("l:", target);
    }
    waiting.push_back({step, &client});
}

void forward(Loop& loop, Client& client, const std::string& backend)
{
    if (idle.empty()) {
        auto* fresh = new Connection{connect_to(backend)};
        fresh->in = "backend";
        loop.watch(fresh->fd, fresh);
        idle.push_back(fresh);
    }
    client.backend = idle.back();
    idle.pop_back();
    client.backend->peer = &client;
    loop.send(*client.backend, client.request, {});
}

void answer(Loop& loop, Connection& backend, std::string_view bytes)
{
    const std::size_t head = bytes.find("\r\n\r\n");
    const long length = number_after(bytes, "\nContent-Length: ");
    const bool is_whole =
        head != std::string_view::npos && length >= 0 && bytes.size() == head + 4 + static_cast<std::size_t>(length);
    if (!is_whole) die("floor_miss: not a short answer of the bench's backend");
    Client& client = static_cast<Client&>(*backend.peer);
    loop.send(client, bytes, {});
    ask(Step::store, client, bytes);
    client.backend = nullptr;
    idle.push_back(&backend);
}

void read_replies(Loop& loop, const std::string& backend, std::span<char> room)
{
    static std::size_t received = 0;
    const ssize_t count = recv(redis.fd, room.data(), room.size(), 0);
    if (count == 0) std::exit(0);
    received += count > 0 ? static_cast<std::size_t>(count) : 0;
    while (!waiting.empty() && received >= reply_bytes(waiting.front().step)) {
        const Waiting done = waiting.front();
        waiting.pop_front();
        received -= reply_bytes(done.step);
        if (done.step == Step::look) ask(Step::lease, *done.client);
        if (done.step == Step::lease) forward(loop, *done.client, backend);
    }
}

}  // namespace

int main(int, char** args)
{
    prepare_process();
    const int listener = listen_on(std::atoi(args[1]));
    redis.fd = connect_to(args[3]);
    Loop loop;
    loop.watch(listener, nullptr);
    loop.watch(redis.fd, &redis);
    std::array<char, 65536> buffer;
    const auto handle = [&](void* what, std::uint32_t events) {
        if (!what) {
            for (int fd; (fd = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK)) >= 0;) {
                make_ready(fd);
                auto* client = new Client;
                client->fd = fd;
                loop.watch(fd, client);
            }
            return;
        }
        Connection& ready = *static_cast<Connection*>(what);
        if (events & EPOLLOUT) return loop.send_on(ready);
        if (&ready == &redis) return read_replies(loop, args[2], buffer);
        const ssize_t count = recv(ready.fd, buffer.data(), buffer.size(), 0);
        if (count <= 0) {
            close(ready.fd);
            ready.fd = -1;  // kept: a reply for it may be on its way
            return;
        }
        const std::string_view bytes(buffer.data(), static_cast<std::size_t>(count));
        if (!ready.in.empty()) return answer(loop, ready, bytes);
        auto& client = static_cast<Client&>(ready);
        client.request = bytes;
        const std::size_t from = bytes.find(' ') + 1;
        client.target = bytes.substr(from, bytes.find(' ', from) - from);
        ask(Step::look, client);
    };
    for (;;) {
        loop.turn_until_dry(handle, [] { return !commands.empty(); });
        if (commands.empty()) continue;
        loop.send(redis, commands, {});
        commands.clear();
    }
}
