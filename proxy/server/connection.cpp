// The loop of one client connection: waits for readability without holding a buffer, scans one head after another out
// of the thread's buffer, answers hits on the spot and everything else through run_exchange.
#include <sys/socket.h>

#include "proxy/exchange/refuse.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/server/server.hpp"

namespace larder::proxy {

using rules::Errc;
using rules::Scan;

/// The connection stands in the list of open ones for as long as this lives, however it ends.
class Server::Registration {
  public:
    Registration(Server& server, Connection& connection) : server_(server), connection_(connection)
    {
        server_.connections_.push_back(connection_);
        ++server_.open_count_;
        server_.services_.counters.open_connections.fetch_add(1, std::memory_order_relaxed);
    }
    ~Registration()
    {
        connection_.client.transport.close();
        server_.connections_.erase(server_.connections_.iterator_to(connection_));
        --server_.open_count_;
        server_.limit_.open.fetch_sub(1, std::memory_order_relaxed);
        server_.services_.counters.open_connections.fetch_sub(1, std::memory_order_relaxed);
        server_.services_.counters.add(Counter::connections_closed);
    }
    Registration(const Registration&) = delete;
    Registration& operator=(const Registration&) = delete;

  private:
    Server& server_;
    Connection& connection_;
};

asio::awaitable<void> Server::run_connection(Descriptor socket, std::string address)
{
    Connection connection(services_, std::move(socket), std::move(address));
    const Registration registration(*this, connection);
    co_await serve_connection(connection);
}

asio::awaitable<void> Server::run_refusal(Descriptor socket, std::string address)
{
    Connection connection(services_, std::move(socket), std::move(address));
    const Registration registration(*this, connection);
    refuse_head(connection.client, 503, "connection-limit", "as many connections are open as may be",
                "Retry-After: 1\r\n");
    if (connection.client.blocked()) co_await connection.client.flush();
    co_await linger(connection);
}

asio::awaitable<void> Server::serve_connection(Connection& connection)
{
    Client& client = connection.client;
    for (;;) {
        // An empty line that nothing follows is no head yet (RFC 9112 §2.2).
        connection.idle = client.inbox.empty() || client.inbox == "\r\n";
        if (connection.idle) {
            if (services_.draining) break;
            connection.patience.arm(services_.wheel, services_.config.timeouts.client_idle);
        } else if (!connection.patience.armed()) {
            // One deadline for the whole head, so that trickling bytes do not buy time.
            connection.patience.arm(services_.wheel, services_.config.timeouts.client_head);
        }
        const bool ready = co_await client.transport.wait(Direction::read);
        if (connection.patience.expired) {
            services_.counters.add(Counter::client_timeouts);
            if (!connection.idle)
                refuse_head(client, 408, rules::word(Errc::client_timeout), "the request head did not arrive in time");
            break;
        }
        if (!ready) break;
        const IoTry got = client.transport.try_read(services_.read_buffer);
        if (got.blocked()) continue;
        if (!got.ok()) break;
        if (connection.idle) connection.patience.disarm();
        connection.idle = false;
        services_.counters.add(Counter::bytes_in, got.bytes);
        const std::string_view received(services_.read_buffer.data(), got.bytes);
        const bool open = co_await serve_requests(connection, received);
        if (!open) {
            co_await linger(connection);
            break;
        }
    }
    connection.patience.disarm();
}

void Server::refuse_head(Client& client, int status, std::string_view word, std::string_view text,
                         std::string_view extra_fields)
{
    scratch_.head.clear();
    scratch_.count = ExchangeCount{};
    scratch_.keep_alive = false;
    scratch_.request_id = make_request_id();
    std::string out = std::move(services_.out);  // answers to the requests before this one come first
    services_.out.clear();
    append_problem(out, scratch_, status, word, text, extra_fields);
    services_.counters.add_response(status);
    client.put(out);
}

asio::awaitable<bool> Server::serve_requests(Connection& connection, std::string_view received)
{
    Client& client = connection.client;
    if (!client.inbox.empty()) client.inbox += received;
    std::string_view input = client.inbox.empty() ? received : std::string_view(client.inbox);
    std::string& out = services_.out;
    out.clear();
    bool open = true;
    rules::Instant begun = instant_now();
    rules::WallTime now = wall_now();
    while (open && !input.empty()) {
        Exchange& exchange = scratch_;
        exchange.head.clear();
        const Scan scan = rules::scan_request(input, services_.request_limits, exchange.head);
        if (scan == Scan::incomplete) break;
        if (scan != Scan::ok) {
            services_.counters.add_head_fault(scan);
            refuse_head(client, rules::status_for(scan), rules::word(scan), rules::text(scan));
            open = false;
            break;
        }
        connection.patience.disarm();
        exchange.now = now;
        exchange.begun = begun;
        judge(services_, exchange);
        if (answer_at_once(services_, client, exchange)) {
            input.remove_prefix(exchange.head.bytes.size());
            open = exchange.keep_alive;
            constexpr std::size_t batch_bytes = 64 * 1024;
            if (out.size() < batch_bytes && !client.blocked()) continue;
            client.put(out);
            out.clear();
            if (!client.blocked()) continue;
            client.inbox = std::string(input);
            const bool there = co_await client.flush();
            input = client.inbox;
            open = open && there;
            continue;
        }
        const std::shared_ptr<Exchange> owned = own(services_, exchange, client);
        client.inbox = std::string(input.substr(exchange.head.bytes.size()));
        if (!out.empty()) client.put(out);
        out.clear();
        if (client.blocked()) co_await client.flush();
        co_await run_exchange(services_, client, owned);
        finish_exchange(services_, client, *owned);
        out.clear();
        begun = instant_now();
        now = wall_now();
        open = owned->keep_alive && !client.gone() && client.transport.aborted() == Errc::ok;
        input = client.inbox;
    }
    if (!out.empty()) client.put(out);
    out.clear();
    std::string rest(input);
    client.inbox = std::move(rest);
    if (client.blocked()) co_await client.flush();
    co_return open && !client.gone();
}

asio::awaitable<void> Server::linger(Connection& connection)
{
    Client& client = connection.client;
    if (client.transport.aborted() != Errc::ok) {
        // An answer was cut: a reset says so even where only the close tells the end of a body.
        const ::linger reset{1, 0};
        ::setsockopt(client.transport.fd(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
        co_return;
    }
    if (client.gone()) co_return;
    // Closing with unread bytes would make the kernel throw our answer away: let the client read it first (RFC 9112
    // §9.6).
    client.transport.shutdown_send();
    constexpr rules::Milliseconds patience{2'000};
    constexpr std::size_t most_bytes = 4 * 1024 * 1024;
    connection.patience.arm(services_.wheel, patience);
    for (std::size_t drained = 0; drained < most_bytes && !connection.patience.expired;) {
        const IoTry got = client.transport.try_read(services_.read_buffer);
        if (got.ok()) {
            drained += got.bytes;
            continue;
        }
        if (!got.blocked()) break;
        const bool ready = co_await client.transport.wait(Direction::read);
        if (!ready) break;
    }
}

}  // namespace larder::proxy
