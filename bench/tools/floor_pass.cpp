// The floor of a request that passes by: bytes from the client to a kept-alive backend connection, bytes back. Of the
// answer it reads its length, to know when the connection is free again.
// usage: floor_pass PORT BACKEND_PORT
#include <vector>

#include "bench/tools/sockets.hpp"

using namespace bench;

namespace {

std::vector<Connection*> idle;

Connection& connect_backend(Loop& loop, const std::string& backend)
{
    if (!idle.empty()) {
        Connection* taken = idle.back();
        idle.pop_back();
        return *taken;
    }
    auto* fresh = new Connection{connect_to(backend)};
    fresh->in = "backend";
    loop.watch(fresh->fd, fresh);
    return *fresh;
}

void pass_back(Loop& loop, Connection& backend, std::string_view bytes)
{
    Connection* client = backend.peer;
    if (!client) return;  // it has left
    if (backend.awaited_bytes == 0) {
        const std::size_t head = bytes.find("\r\n\r\n");
        const long length = number_after(bytes, "\nContent-Length: ");
        if (head == std::string_view::npos || length < 0) die("floor_pass: not an answer of the bench's backend");
        backend.awaited_bytes = head + 4 + static_cast<std::size_t>(length);
    }
    loop.send(*client, bytes, {});
    backend.awaited_bytes -= bytes.size();
    if (backend.awaited_bytes > 0) return;
    backend.peer = client->peer = nullptr;
    idle.push_back(&backend);
}

}  // namespace

int main(int, char** args)
{
    prepare_process();
    const int listener = listen_on(std::atoi(args[1]));
    Loop loop;
    loop.watch(listener, nullptr);
    std::array<char, 65536> buffer;
    for (;;) {
        loop.turn(-1, [&](void* what, std::uint32_t events) {
            if (!what) return accept_all(loop, listener);
            Connection& ready = *static_cast<Connection*>(what);
            if (events & EPOLLOUT) return loop.send_on(ready);
            const ssize_t count = recv(ready.fd, buffer.data(), buffer.size(), 0);
            if (count > 0) {
                const std::string_view bytes(buffer.data(), static_cast<std::size_t>(count));
                if (!ready.in.empty()) return pass_back(loop, ready, bytes);
                if (!ready.peer) {
                    ready.peer = &connect_backend(loop, args[2]);
                    ready.peer->peer = &ready;
                }
                return loop.send(*ready.peer, bytes, {});
            }
            if (ready.peer) ready.peer->peer = nullptr;
            close(ready.fd);
            delete &ready;
        });
    }
}
