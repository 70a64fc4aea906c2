// The floor of a hit in memory: epoll, one read, one write of the same answer. It looks at nothing it reads.
// usage: floor_canned PORT BODY_BYTES
#include "bench/tools/sockets.hpp"

using namespace bench;

int main(int, char** args)
{
    prepare_process();
    const int listener = listen_on(std::atoi(args[1]));
    const std::string body(std::strtoul(args[2], nullptr, 10), 'x');
    const std::string head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: public, max-age=3600\r\nAge: 12\r\n"
        "Content-Length: " +
        std::to_string(body.size()) + "\r\n\r\n";
    const std::string answer = head + (body.size() <= 16384 ? body : "");
    const std::string_view rest = body.size() <= 16384 ? "" : std::string_view(body);
    Loop loop;
    loop.watch(listener, nullptr);
    std::array<char, 65536> buffer;
    for (;;) {
        loop.turn(-1, [&](void* what, std::uint32_t events) {
            if (!what) return accept_all(loop, listener);
            Connection& client = *static_cast<Connection*>(what);
            if (events & EPOLLOUT) return loop.send_on(client);
            if (recv(client.fd, buffer.data(), buffer.size(), 0) > 0) return loop.send(client, answer, rest);
            close(client.fd);
            delete &client;
        });
    }
}
