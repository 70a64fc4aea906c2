// The app server of the bench. GET /1024/anything answers 1024 bytes of JSON that may be cached for an hour; other
// methods answer 204. With a delay every answer waits so long, any number of them at once.
// usage: backend PORT [DELAY_MS]      GET /requests says how many requests there were
#include <chrono>
#include <ctime>
#include <deque>
#include <unordered_map>

#include "bench/tools/sockets.hpp"

using namespace bench;
using Clock = std::chrono::steady_clock;

namespace {

struct Due {
    Clock::time_point at;
    Connection* client;
    int fd;  // of the client when it asked: it may have left
    std::string answer;
};

std::unordered_map<std::string, std::string> answers;
std::deque<Due> delayed;
std::unordered_map<Connection*, int> open_clients;
std::uint64_t requests_count = 0;

/// Of when this program was started: an answer with a date of long ago is not fresh.
std::string date_field()
{
    const std::time_t now = std::time(nullptr);
    char text[64];
    return {text, std::strftime(text, sizeof text, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", std::gmtime(&now))};
}

std::string with_length(const std::string& body)
{
    static const std::string date = date_field();
    return "HTTP/1.1 200 OK\r\nServer: bench\r\nContent-Type: application/json\r\nCache-Control: public, "
           "max-age=3600\r\n" +
           date + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

const std::string& answer_to(std::string_view request)
{
    static std::string said;
    static const std::string no_content = "HTTP/1.1 204 No Content\r\nServer: bench\r\n\r\n";
    if (!request.starts_with("GET ")) return no_content;
    if (request.starts_with("GET /requests ")) return said = with_length(std::to_string(requests_count - 1));
    const std::size_t slash = request.find('/', 5);
    std::string size(request.substr(5, slash == std::string_view::npos ? 0 : slash - 5));
    std::string& answer = answers[size];
    if (answer.empty()) answer = with_length(std::string(std::strtoul(size.c_str(), nullptr, 10), 'x'));
    return answer;
}

}  // namespace

int main(int count, char** args)
{
    prepare_process();
    const int listener = listen_on(std::atoi(args[1]));
    const std::chrono::milliseconds delay(count > 2 ? std::atoi(args[2]) : 0);
    Loop loop;
    loop.watch(listener, nullptr);
    std::array<char, 65536> buffer;
    for (;;) {
        int timeout_ms = -1;
        if (!delayed.empty()) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(delayed.front().at - Clock::now()).count();
            timeout_ms = left > 0 ? static_cast<int>(left) : 0;
        }
        loop.turn(timeout_ms, [&](void* what, std::uint32_t events) {
            if (!what) {
                return accept_all(loop, listener, [](Connection* client) { open_clients[client] = client->fd; });
            }
            Connection& client = *static_cast<Connection*>(what);
            if (events & EPOLLOUT) return loop.send_on(client);
            const ssize_t received = recv(client.fd, buffer.data(), buffer.size(), 0);
            if (received <= 0) {
                open_clients.erase(&client);
                close(client.fd);
                delete &client;
                return;
            }
            client.in.append(buffer.data(), static_cast<std::size_t>(received));
            for (;;) {
                const std::size_t end = client.in.find("\r\n\r\n");
                if (end == std::string::npos) return;
                const std::string_view head = std::string_view(client.in).substr(0, end);
                const long body = head.starts_with("GET ") ? 0 : std::max(0L, number_after(head, "\nContent-Length: "));
                if (client.in.size() < end + 4 + static_cast<std::size_t>(body)) return;
                ++requests_count;
                const std::string& answer = answer_to(client.in);
                if (delay.count() == 0)
                    loop.send(client, answer, {});
                else
                    delayed.push_back({Clock::now() + delay, &client, client.fd, answer});
                client.in.erase(0, end + 4 + static_cast<std::size_t>(body));
            }
        });
        while (!delayed.empty() && delayed.front().at <= Clock::now()) {
            const Due& due = delayed.front();
            const auto still = open_clients.find(due.client);
            if (still != open_clients.end() && still->second == due.fd) loop.send(*due.client, due.answer, {});
            delayed.pop_front();
        }
    }
}
