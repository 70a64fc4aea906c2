// Sends requests at a fixed rate whatever comes back, and measures each from the moment it was due, so that a server
// which stands still is charged for all who would have come meanwhile (no coordinated omission).
// usage: open_loop PORT RATE SECONDS CONNECTIONS TARGETS_FILE
// The file has a line for each request, used in turn: "GET /path" or "POST /path". Prints JSON, times in microseconds.
#include <algorithm>
#include <chrono>
#include <deque>
#include <fstream>
#include <memory>
#include <vector>

#include "bench/tools/sockets.hpp"

using namespace bench;
using Clock = std::chrono::steady_clock;

namespace {

struct Client : Connection {
    Clock::time_point due;
    bool is_read = false;  // the head of the answer
};

double percentile(const std::vector<double>& sorted, double share)
{
    return sorted[std::min(sorted.size() - 1, static_cast<std::size_t>(static_cast<double>(sorted.size()) * share))];
}

}  // namespace

int main(int, char** args)
{
    prepare_process();
    const double rate = std::atof(args[2]);
    const double seconds = std::atof(args[3]);
    std::vector<std::string> requests;
    std::ifstream file(args[5]);
    for (std::string line; std::getline(file, line);)
        requests.push_back(line + " HTTP/1.1\r\nHost: bench\r\n" +
                           (line.starts_with("GET") ? "\r\n" : "Content-Length: 0\r\n\r\n"));
    if (requests.empty()) die("open_loop: no targets");
    Loop loop;
    std::vector<std::unique_ptr<Client>> clients;
    std::vector<Client*> idle;
    for (int i = 0; i < std::atoi(args[4]); ++i) {
        clients.push_back(std::make_unique<Client>());
        clients.back()->fd = connect_to(args[1]);
        loop.watch(clients.back()->fd, clients.back().get());
        idle.push_back(clients.back().get());
    }
    const auto total = static_cast<std::size_t>(rate * seconds);
    const std::chrono::duration<double> step(1 / rate);
    const Clock::time_point begun = Clock::now();
    std::vector<double> times;
    times.reserve(total);
    std::deque<Clock::time_point> late;
    std::size_t sent = 0, failed = 0;
    std::array<char, 65536> buffer;
    const auto due_at = [&](std::size_t index) {
        return begun + std::chrono::duration_cast<Clock::duration>(step * static_cast<double>(index));
    };
    std::size_t asked = 0;
    const auto ask = [&](Client& client, Clock::time_point due) {
        client.due = due;
        client.is_read = false;
        client.in.clear();
        loop.send(client, requests[asked++ % requests.size()], {});
    };
    const Clock::time_point give_up = due_at(total) + std::chrono::seconds(20);
    while (times.size() < total && Clock::now() < give_up) {
        while (sent < total && due_at(sent) <= Clock::now()) late.push_back(due_at(sent++));
        while (!late.empty() && !idle.empty()) {
            Client* client = idle.back();
            idle.pop_back();
            ask(*client, late.front());
            late.pop_front();
        }
        // Never asleep while a request is due within a millisecond: epoll counts in those.
        const bool is_near = sent < total && due_at(sent) - Clock::now() < std::chrono::milliseconds(1);
        loop.turn(is_near ? 0 : 1, [&](void* what, std::uint32_t events) {
            Client& client = *static_cast<Client*>(what);
            if (events & EPOLLOUT) return loop.send_on(client);
            const ssize_t count = recv(client.fd, buffer.data(), buffer.size(), 0);
            if (count <= 0) die("open_loop: the server has closed a connection");
            std::string_view bytes(buffer.data(), static_cast<std::size_t>(count));
            if (!client.is_read) {
                client.in += bytes;
                const std::size_t end = client.in.find("\r\n\r\n");
                if (end == std::string::npos) return;
                if (client.in.compare(9, 1, "2") != 0) ++failed;
                std::transform(client.in.begin(), client.in.begin() + static_cast<long>(end), client.in.begin(),
                               [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
                client.awaited_bytes =
                    end + 4 + static_cast<std::size_t>(std::max(0L, number_after(client.in, "\ncontent-length: ")));
                client.is_read = true;
                bytes = client.in;
            }
            client.awaited_bytes -= bytes.size();
            if (client.awaited_bytes > 0) return;
            times.push_back(std::chrono::duration<double, std::micro>(Clock::now() - client.due).count());
            idle.push_back(&client);
        });
    }
    if (times.empty()) die("open_loop: no answer");
    std::sort(times.begin(), times.end());
    std::printf(
        "{\"answers\": %zu, \"wanted\": %zu, \"failed\": %zu, \"p50\": %.0f, \"p90\": %.0f, \"p99\": %.0f, "
        "\"p999\": %.0f, \"max\": %.0f}\n",
        times.size(), total, failed, percentile(times, 0.5), percentile(times, 0.9), percentile(times, 0.99),
        percentile(times, 0.999), times.back());
}
