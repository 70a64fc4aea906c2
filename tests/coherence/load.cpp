#include "tests/coherence/load.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/steady_timer.hpp>
#include <charconv>

#include "tests/support/eventually.hpp"

namespace larder::tests {

namespace {

constexpr std::chrono::milliseconds deadline_tick{20};
constexpr std::chrono::milliseconds avoidance{100};  // after a failure, as a load balancer would
constexpr std::chrono::milliseconds health_period{25};
constexpr std::chrono::milliseconds nobody_there_pause{5};
constexpr int purge_attempts = 3;

void rethrow(std::exception_ptr error)
{
    if (error) std::rethrow_exception(error);
}

bool is_hit(std::string_view cache_status)
{
    return cache_status.find("; hit") != std::string_view::npos || cache_status.starts_with("HIT");
}

int status_of(std::string_view head)
{
    int status = 0;
    const std::size_t space = head.find(' ');
    if (space != std::string_view::npos) std::from_chars(head.data() + space + 1, head.data() + space + 4, status);
    return status;
}

/// The next number in the text, which loses it; false at its end.
bool take_number(std::string_view& text, std::uint32_t& value)
{
    while (text.starts_with(' ')) text.remove_prefix(1);
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (ec != std::errc{}) return false;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return true;
}

}  // namespace

struct Load::Connection {
    explicit Connection(asio::io_context& context) : socket(context) {}
    tcp::socket socket;
    std::uint16_t port = 0;        // that it was made to; another one now: the replica was restarted
    Nanoseconds deadline = never;  // of the exchange under way
    std::string buffer;
    std::size_t consumed = 0;
};

struct Load::Client {
    Client(asio::io_context& context, std::uint64_t seed, std::uint16_t number, bool patient)
        : random(seed), number(number), patient(patient)
    {
        for (auto& connection : connections) connection = std::make_unique<Connection>(context);
    }
    std::mt19937_64 random;
    std::uint16_t number;
    bool patient;
    std::array<std::unique_ptr<Connection>, replicas_count> connections;
    std::array<Nanoseconds, replicas_count> avoid_until{};
    std::string request, buffer;
};

Load::Load(const LoadOptions& options, Proxies& proxies, std::uint64_t seed) : options_(options), proxies_(proxies)
{
    history_.items = options.items;
    history_.cache_statuses.emplace_back("(none)");
    std::mt19937_64 random(seed);
    for (int i = 0; i < options.clients; ++i) {
        clients_.push_back(std::make_shared<Client>(context_, random(), static_cast<std::uint16_t>(i), i % 4 == 3));
        ++running_;
        asio::co_spawn(context_, run_client(clients_.back()), rethrow);
    }
    asio::co_spawn(context_, run_deadlines(), rethrow);
    for (int replica = 0; replica < replicas_count; ++replica) asio::co_spawn(context_, run_health(replica), rethrow);
    thread_ = std::thread([this] { context_.run(); });
}

Load::~Load()
{
    context_.stop();
    if (thread_.joinable()) thread_.join();
}

History Load::stop(std::chrono::milliseconds limit)
{
    stopping_ = true;
    std::atomic<bool> ended{false};
    const auto look = [&] {
        asio::post(context_, [&] { ended = running_ == 0; });
        return ended.load();
    };
    eventually(look, limit);
    context_.stop();
    thread_.join();
    return std::move(history_);
}

asio::awaitable<void> Load::pause(std::chrono::milliseconds time)
{
    asio::steady_timer timer(context_, time);
    co_await timer.async_wait(no_throw);
}

/// One for all exchanges: a deadline is late by a tick at most, and costs nothing.
asio::awaitable<void> Load::run_deadlines()
{
    for (;;) {
        co_await pause(deadline_tick);
        const Nanoseconds now = precise_time();
        for (const auto& client : clients_) {
            for (const auto& connection : client->connections) {
                if (connection->deadline > now) continue;
                boost::system::error_code ignored;
                connection->socket.close(ignored);
                connection->deadline = never;
            }
        }
    }
}

/// Notes when the replica says that nothing of its own is waiting any more.
asio::awaitable<void> Load::run_health(int replica)
{
    std::string buffer;
    const std::string request = "GET /health/cache HTTP/1.1\r\nHost: checker\r\nConnection: close\r\n\r\n";
    for (;;) {
        co_await pause(health_period);
        const std::uint16_t port = proxies_.admin_port(replica);
        if (port == 0 || proxies_.ports()[static_cast<std::size_t>(replica)] == 0) continue;
        const Nanoseconds asked = precise_time();
        tcp::socket socket(context_);
        const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), port);
        auto [ec] = co_await socket.async_connect(endpoint, no_throw);
        if (ec) continue;
        const bool sent = co_await write_all(socket, request);
        if (!sent) continue;
        buffer.clear();
        Incoming answer;
        const bool received = co_await read_message(socket, buffer, answer);
        if (!received) continue;
        if (answer.body.find(R"("status":"ok")") == std::string_view::npos) continue;
        history_.calms.push_back({asked, precise_time(), static_cast<std::uint8_t>(replica)});
    }
}

int Load::choose_replica(Client& client)
{
    const Nanoseconds now = precise_time();
    const auto first = static_cast<int>(client.random() % replicas_count);
    for (int i = 0; i < replicas_count; ++i) {
        const int replica = (first + i) % replicas_count;
        const auto index = static_cast<std::size_t>(replica);
        if (proxies_.ports()[index] != 0 && client.avoid_until[index] <= now) return replica;
    }
    return -1;
}

asio::awaitable<void> Load::run_client(std::shared_ptr<Client> client)
{
    while (!stopping_) {
        const int replica = choose_replica(*client);
        if (replica < 0) {
            co_await pause(nobody_there_pause);
            continue;
        }
        if (static_cast<int>(client->random() % 1000) < options_.write_per_mille)
            co_await write(*client, replica);
        else
            co_await read(*client, replica);
    }
    --running_;
}

/// @param buffer  holds the bytes that `answer` looks at
asio::awaitable<bool> Load::ask(Client& client, int replica, const std::string& request, Nanoseconds limit,
                                Incoming& answer, std::string& buffer)
{
    const auto index = static_cast<std::size_t>(replica);
    Connection& connection = *client.connections[index];
    const std::uint16_t port = proxies_.ports()[index];
    bool done = false;
    connection.deadline = precise_time() + limit;
    if (connection.port != port || !connection.socket.is_open()) {
        boost::system::error_code ec;
        connection.socket.close(ec);
        connection.port = port;
        const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), port);
        auto [connect_ec] = co_await connection.socket.async_connect(endpoint, no_throw);
        if (!connect_ec) connection.socket.set_option(tcp::no_delay(true), ec);
        done = !connect_ec;
    } else {
        done = true;
    }
    buffer.clear();
    if (done) done = co_await write_all(connection.socket, request);
    if (done) done = co_await read_message(connection.socket, buffer, answer);
    connection.deadline = never;
    const bool closes = done && find_field(answer.head, "Connection").starts_with("close");
    if (!done || closes) {
        boost::system::error_code ignored;
        connection.socket.close(ignored);
    }
    if (!done) client.avoid_until[index] = precise_time() + avoidance;
    co_return done;
}

std::string Load::address(std::mt19937_64& random, View view, std::uint32_t item) const
{
    if (view == View::list) return "/items?page=" + std::to_string(random() % 4);
    std::string number = std::to_string(item);
    std::string folder = view == View::item ? "items" : "details";
    std::string before = "/";
    if (options_.aliases && random() % 2 == 0) {
        static const char digits[] = "0123456789ABCDEF";
        const auto encode = [](std::string& text, std::size_t at) {
            const auto code = static_cast<unsigned char>(text[at]);
            text.replace(at, 1, {'%', digits[code / 16], digits[code % 16]});
        };
        switch (random() % 4) {
        case 0: encode(number, 0); break;
        case 1: encode(folder, random() % folder.size()); break;
        case 2: before = "/./"; break;
        case 3: before = "/other/../"; break;
        }
    }
    std::string path = before + folder + "/" + number;
    if (view == View::detail) path += random() % 2 == 0 ? "?lang=en" : "?lang=fr";
    return path;
}

asio::awaitable<void> Load::read(Client& client, int replica)
{
    const auto dice = static_cast<int>(client.random() % 1000);
    View view = View::item;
    if (dice < options_.list_per_mille)
        view = View::list;
    else if (dice < options_.list_per_mille + options_.detail_per_mille)
        view = View::detail;
    const auto item = static_cast<std::uint32_t>(client.random() % options_.items);
    client.request = "GET " + address(client.random, view, item) + " HTTP/1.1\r\nHost: checker\r\n\r\n";
    Read read;
    read.item = static_cast<std::uint16_t>(item);
    read.client = client.number;
    read.replica = static_cast<std::uint8_t>(replica);
    read.view = static_cast<std::uint8_t>(view);
    read.begin = precise_time();
    Incoming answer;
    const Nanoseconds limit = client.patient ? options_.long_patience : options_.patience;
    const bool done = co_await ask(client, replica, client.request, limit, answer, client.buffer);
    read.end = precise_time();
    if (!done || status_of(answer.head) != 200) {
        failed_reads_.fetch_add(1, std::memory_order_relaxed);
        co_return;
    }
    take_read(answer, read, view);
}

void Load::take_read(const Incoming& answer, const Read& seen, View view)
{
    Read read = seen;
    const std::string_view cache_status = find_field(answer.head, "Cache-Status");
    const std::string_view value = cache_status.substr(0, cache_status.find('\r'));
    read.cache_status = intern(value);
    reads_.fetch_add(1, std::memory_order_relaxed);
    if (is_hit(value)) hits_.fetch_add(1, std::memory_order_relaxed);

    std::string_view body = answer.body;
    bool right = true;
    if (view == View::list) {
        right = body.starts_with("list ");
        body.remove_prefix(std::min<std::size_t>(5, body.size()));
        for (std::uint32_t item = 0; right && item < options_.items; ++item) {
            read.item = static_cast<std::uint16_t>(item);
            right = take_number(body, read.version);
            if (right) history_.reads.push_back(read);
        }
    } else {
        std::uint32_t item = 0;
        right = body.starts_with("item ");
        body.remove_prefix(std::min<std::size_t>(5, body.size()));
        right = right && take_number(body, item) && item == seen.item && take_number(body, read.version);
        if (right) history_.reads.push_back(read);
    }
    if (!right) ++history_.wrong_answers;
}

std::uint16_t Load::intern(std::string_view cache_status)
{
    if (cache_status.empty()) return 0;
    std::string text(cache_status);
    // what is left of its life is not worth a word of its own
    const std::size_t ttl = text.find("ttl=");
    if (ttl != std::string::npos) text.resize(ttl + 4);
    const auto [at, added] =
        status_numbers_.try_emplace(text, static_cast<std::uint16_t>(history_.cache_statuses.size()));
    if (added) history_.cache_statuses.push_back(text);
    return at->second;
}

asio::awaitable<void> Load::write(Client& client, int replica)
{
    const auto item = static_cast<std::uint32_t>(client.random() % options_.items);
    Write write;
    write.id = ++last_write_id_;
    write.item = static_cast<std::uint16_t>(item);
    write.client = client.number;
    write.replica = static_cast<std::uint8_t>(replica);
    client.request = "PUT " + address(client.random, View::item, item) +
                     " HTTP/1.1\r\nHost: checker\r\nX-Write-Id: " + std::to_string(write.id) +
                     "\r\nX-Replica: " + std::to_string(replica) + "\r\nContent-Length: 2\r\n\r\n{}";
    write.begin = precise_time();
    Incoming answer;
    const bool done = co_await ask(client, replica, client.request, options_.long_patience, answer, client.buffer);
    if (done) {
        const int status = status_of(answer.head);
        if (status == 200)
            write.outcome = WriteOutcome::acknowledged;
        else if (status == 503)
            write.outcome = WriteOutcome::refused;
        const std::string_view purge = find_field(answer.head, "X-Cache-Purge");
        write.deferred = purge.starts_with("deferred");
        if (write.outcome == WriteOutcome::acknowledged) {
            const bool purged = co_await this->purge(client, item);
            if (!purged) write.outcome = WriteOutcome::unknown;
        }
    }
    write.end = precise_time();
    history_.writes.push_back(write);
}

/// What an application without Larder does between the backend's answer and its own. An instance that is down needs no
/// purge: it starts empty.
asio::awaitable<bool> Load::purge(Client& client, std::uint32_t item)
{
    const std::vector<PurgeRequest> requests = proxies_.purges_after_write(item);
    for (const PurgeRequest& request : requests) {
        const auto& port = proxies_.ports()[static_cast<std::size_t>(request.replica)];
        bool done = false;
        for (int attempt = 0; attempt < purge_attempts && !done && port != 0; ++attempt) {
            Incoming answer;
            done = co_await ask(client, request.replica, request.text, options_.long_patience, answer, client.buffer);
            if (done && status_of(answer.head) >= 500) co_return false;
        }
        if (!done && port != 0) co_return false;
    }
    co_return true;
}

}  // namespace larder::tests
