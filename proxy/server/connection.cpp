// One client connection: waits for readability without holding a buffer, scans one head after another out of the
// thread's buffer, answers hits on the spot and everything else through run_exchange. Requests that wait have no
// coroutine as long as all goes well: for a hit that is in Redis (`ask`), for the app when a read passes by or is a
// plain miss (Answering).
#include <sys/socket.h>

#include "proxy/exchange/fill.hpp"
#include "proxy/exchange/forward.hpp"
#include "proxy/exchange/refuse.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/server/server.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

using rules::Errc;
using rules::Scan;

namespace {

bool is_open_after(const Exchange& exchange, const Client& client) noexcept
{
    return exchange.keep_alive && !client.gone() && client.transport.aborted() == Errc::ok;
}

}  // namespace

// An open connection has a coroutine only while there is something to wait for but its next request: hits are answered
// where their bytes are read, and an idle connection is no more than its socket and its deadline.
Server::Connection::Connection(Server& s, Listener::Accepted accepted)
    : server(s),
      hold(s.services_.tasks),
      client(s.services_, std::move(accepted.socket), std::move(accepted.address)),
      patience(client.transport)
{
    server.connections_.push_back(*this);
    ++server.open_count_;
    server.services_.counters.open_connections.fetch_add(1, std::memory_order_relaxed);
}

Server::Connection::~Connection()
{
    client.transport.close();
    server.connections_.erase(server.connections_.iterator_to(*this));
    --server.open_count_;
    server.limit_.open.fetch_sub(1, std::memory_order_relaxed);
    server.services_.counters.open_connections.fetch_sub(1, std::memory_order_relaxed);
    server.services_.counters.add(Counter::connections_closed);
}

void Server::wait_for_request(ConnectionPtr connection)
{
    connection->idle = true;
    connection->patience.arm(services_.wheel, services_.config->timeouts.client_idle);
    Transport& transport = connection->client.transport;
    transport.when_ready(Direction::read, *connection.release());
}

void Server::Connection::complete(bool&& ready)
{
    ConnectionPtr self(this);
    try {
        server.on_readable(std::move(self), ready);
    } catch (...) {
        Tasks::report("connection", std::current_exception());
    }
}

/// A request that has come is answered, also by who is about to stop: its client cannot know that it was not read.
bool Server::may_read_once_more(const Client& client) const noexcept
{
    return services_.stopping && client.transport.aborted() == Errc::ok;
}

/// The connection ends when nobody keeps it.
void Server::on_readable(ConnectionPtr connection, bool ready)
{
    if (connection->patience.expired) return services_.counters.add(Counter::client_timeouts);
    if (!ready && !may_read_once_more(connection->client)) return;
    const IoTry got = connection->client.transport.try_read(services_.read_buffer);
    if (got.blocked() && !services_.stopping) return wait_for_request(std::move(connection));
    if (!got.ok()) return;
    connection->patience.disarm();
    connection->idle = false;
    services_.counters.add(Counter::bytes_in, got.bytes);
    std::string_view input(services_.read_buffer.data(), got.bytes);
    const Stop stop = answer_hits(*connection, input);
    go_on(std::move(connection), stop, input);
}

/// Asks the shared store without a coroutine. False: the connection and the exchange are as they were.
bool Server::ask(ConnectionPtr& connection, ExchangePtr& exchange)
{
    Connection& asker = *connection;
    asker.asking = std::move(exchange);
    Exchange& asking = *asker.asking;
    if (services_.cache.begin_ask(asking.key, asking.variant, asking.key, asking.now, asker)) {
        connection.release();
        return true;
    }
    exchange = std::move(asker.asking);
    return false;
}

void Server::Connection::complete(std::optional<Found>&& found)
{
    ConnectionPtr self(this);
    try {
        asking->store_time = recent_instant() - asking->begun;  // it asked as it came
        server.on_found(std::move(self), std::move(asking), std::move(found));
    } catch (...) {
        Tasks::report("connection", std::current_exception());
    }
}

/// Waits for the upstream's answer, with the connection and what hands it out.
/// @tparam Step  Forwarding or FillLeader
template <class Step>
class Server::Answering final : public Completion<bool> {
  public:
    Answering(Server& server, ConnectionPtr connection, ExchangePtr exchange, std::unique_ptr<Step> step)
        : server_(server), connection_(std::move(connection)), exchange_(std::move(exchange)), step_(std::move(step))
    {
    }

    /// True: it belongs to itself from now on. What ends the wait is a deadline, the upstream's or the store's, or, of
    /// a request that passes by, that the client has gone. False: `go_on_in_coroutine`.
    bool begin() { return step_->begin_at_once(*this); }
    void go_on_in_coroutine()
    {
        Begun begun = std::move(step_);
        server_.services_.tasks.spawn("connection", server_.run_connection(std::move(connection_), Stop::exchange, {},
                                                                           std::move(exchange_), {}, std::move(begun)));
    }

    void complete(bool&& ready) override
    {
        const std::unique_ptr<Answering> self(this);
        try {
            if (!step_->answer_at_once(ready)) return go_on_in_coroutine();
            step_.reset();
            server_.on_answered(std::move(connection_), *exchange_);
        } catch (...) {
            Tasks::report("connection", std::current_exception());
        }
    }
    void abandon() noexcept override { const std::unique_ptr<Answering> self(this); }

  private:
    Server& server_;
    ConnectionPtr connection_;
    ExchangePtr exchange_;
    std::unique_ptr<Step> step_;  // borrows from the connection
};

template <class Step>
void Server::wait_for_answer(ConnectionPtr connection, ExchangePtr exchange, std::unique_ptr<Step> step)
{
    auto waiting =
        std::make_unique<Answering<Step>>(*this, std::move(connection), std::move(exchange), std::move(step));
    if (!waiting->begin()) return waiting->go_on_in_coroutine();
    waiting.release();
}

/// Makes the request in `scratch_` an exchange of its own, which may wait; what has come behind it goes to the inbox.
ExchangePtr Server::take_request(Client& client, std::string_view input)
{
    ExchangePtr exchange = std::exchange(scratch_, services_.exchanges.take());
    own(services_, *exchange, client);
    input.remove_prefix(exchange->head.bytes.size());
    if (input.empty())
        client.inbox.clear();
    else
        client.inbox = std::string(input);  // a new one: the input may be in the old
    return exchange;
}

/// Begins to answer the request in `scratch_` without a coroutine. False: the connection is as it was, and `exchange`
/// is the request if it had to be taken.
bool Server::begin_at_once(ConnectionPtr& connection, ExchangePtr& exchange, std::string_view input)
{
    Client& client = connection->client;
    if (may_pass_at_once(services_, *scratch_)) {
        exchange = take_request(client, input);
        auto forwarding = begin_pass(services_, client, exchange);
        wait_for_answer(std::move(connection), std::move(exchange), std::move(forwarding));
        return true;
    }
    if (looked_ && may_fill_at_once(services_, *scratch_)) {
        exchange = take_request(client, input);
        auto leader = begin_miss(services_, client, exchange, std::move(looked_));
        if (!leader) return false;
        wait_for_answer(std::move(connection), std::move(exchange), std::move(leader));
        return true;
    }
    if (services_.cache.embedded() || !may_be_found(services_, *scratch_)) return false;
    exchange = take_request(client, input);
    return ask(connection, exchange);
}

/// After `answer_hits`, while the connection has no coroutine.
void Server::go_on(ConnectionPtr connection, Stop stop, std::string_view input)
{
    Client& client = connection->client;
    if (stop == Stop::drained && input.empty() && !services_.stopping) {
        client.inbox.clear();
        return wait_for_request(std::move(connection));
    }
    ExchangePtr exchange;
    if (stop == Stop::exchange && !client.blocked() && begin_at_once(connection, exchange, input)) return;
    go_on_in_coroutine(std::move(connection), stop, input, std::move(exchange));
}

void Server::go_on_in_coroutine(ConnectionPtr connection, Stop stop, std::string_view input, ExchangePtr exchange)
{
    services_.tasks.spawn("connection",
                          run_connection(std::move(connection), stop, input, std::move(exchange), {}, {}));
}

/// A hit is answered here, a plain miss is filled; everything else needs a coroutine.
void Server::on_found(ConnectionPtr connection, ExchangePtr exchange, std::optional<Found>&& found)
{
    Client& client = connection->client;
    if (found && answer_found(services_, client, *exchange, *found))
        return go_on_after(std::move(connection), *exchange);
    if (found && may_fill_at_once(services_, *exchange))
        if (auto leader = begin_miss(services_, client, exchange, looked_in_vain(*found)))
            return wait_for_answer(std::move(connection), std::move(exchange), std::move(leader));
    services_.tasks.spawn("connection", run_connection(std::move(connection), Stop::exchange, {}, std::move(exchange),
                                                       std::move(found), {}));
}

void Server::on_answered(ConnectionPtr connection, Exchange& exchange)
{
    Client& client = connection->client;
    if (client.gone()) {
        exchange.count.outcome = rules::Outcome::client_gone;
        exchange.keep_alive = false;
    }
    finish_exchange(services_, client, exchange);
    go_on_after(std::move(connection), exchange);
}

/// The answer has been handed to the client. What came behind the request is in its inbox.
void Server::go_on_after(ConnectionPtr connection, const Exchange& exchange)
{
    Client& client = connection->client;
    std::string_view input = client.inbox;
    Stop stop = Stop::end;
    if (is_open_after(exchange, client)) {
        stop = Stop::drained;
        if (client.blocked())
            stop = Stop::blocked;
        else if (!input.empty())
            stop = answer_hits(*connection, input);
    }
    go_on(std::move(connection), stop, input);
}

Server::Stop Server::answer_hits(Connection& connection, std::string_view& input)
{
    Client& client = connection.client;
    std::string& out = services_.out;
    out.clear();
    const rules::Instant begun = recent_instant();
    const rules::WallTime now = recent_wall();
    Stop stop = Stop::drained;
    while (!input.empty() && stop == Stop::drained) {
        Exchange& exchange = *scratch_;
        const Scan scan = rules::scan_request(input, services_.request_limits, exchange.head);
        if (scan == Scan::incomplete) break;
        if (scan != Scan::ok) {
            services_.counters.add_head_fault(scan);
            refuse_head(client, rules::status_for(scan), rules::word(scan), rules::text(scan));
            stop = Stop::end;
            break;
        }
        connection.patience.disarm();
        exchange.now = now;
        exchange.begun = begun;
        judge(services_, exchange);
        if (!answer_at_once(services_, client, exchange, looked_)) {
            stop = Stop::exchange;
            break;
        }
        input.remove_prefix(exchange.head.bytes.size());
        if (!exchange.keep_alive) stop = Stop::end;
        constexpr std::size_t batch_bytes = 64 * 1024;
        if (out.size() < batch_bytes && !client.blocked()) continue;
        client.put(out);
        out.clear();
        if (client.blocked() && stop == Stop::drained) stop = Stop::blocked;
    }
    if (!out.empty()) client.put(out);
    out.clear();
    if (stop == Stop::drained && client.gone()) stop = Stop::end;
    if (stop == Stop::drained && client.blocked()) stop = Stop::blocked;
    return stop;
}

/// Takes a connection over, until there is nothing to wait for but its next request.
/// @param input     what is received and not answered: in the shared buffer, and valid until the first suspension
/// @param exchange  the request to go on with, of which `found` is what the cache has said, and `begun` what forwards
///                  it already; null: it is in `scratch_`
asio::awaitable<void> Server::run_connection(ConnectionPtr owned, Stop stop, std::string_view input,
                                             ExchangePtr exchange, std::optional<Found> found, Begun begun)
{
    Connection& connection = *owned;
    Client& client = connection.client;
    for (;;) {
        bool needs_coroutine = false;  // the last request did: so may the next
        while (stop == Stop::exchange || stop == Stop::blocked) {
            bool open = true;
            if (stop == Stop::exchange) {
                if (!exchange) exchange = take_request(client, input);
                if (client.blocked()) co_await client.flush();
                std::optional<Found> known = std::exchange(found, std::nullopt);
                Begun going = std::exchange(begun, Begun());
                co_await run_exchange(services_, client, exchange, std::move(known), std::move(going));
                finish_exchange(services_, client, *exchange);
                open = is_open_after(*exchange, client);
                const bool may_miss =
                    exchange->count.verdict == rules::Verdict::miss && may_fill_at_once(services_, *exchange);
                needs_coroutine = exchange->count.verdict != rules::Verdict::hit && !may_miss &&
                                  !may_pass_at_once(services_, *exchange);
                exchange.reset();
            } else {
                client.inbox = std::string(input);
                open = co_await client.flush();
            }
            input = client.inbox;
            stop = open ? answer_hits(connection, input) : Stop::end;
        }
        if (stop == Stop::end) {
            if (client.blocked()) co_await client.flush();
            co_await linger(connection);
            break;
        }
        client.inbox = std::string(input);

        // An empty line that nothing follows is no head yet (RFC 9112 §2.2).
        connection.idle = client.inbox.empty() || client.inbox == "\r\n";
        const rules::Milliseconds idle_limit = services_.config->timeouts.client_idle;
        constexpr rules::Milliseconds pause_limit{100};  // then it goes on without a coroutine
        const bool may_rest = client.inbox.empty() && pause_limit < idle_limit;
        if (connection.idle) {
            if (services_.stopping) break;
            if (may_rest && !needs_coroutine) co_return wait_for_request(std::move(owned));
            connection.patience.arm(services_.wheel, may_rest ? pause_limit : idle_limit);
        } else if (!connection.patience.armed()) {
            // One deadline for the whole head, so that trickling bytes do not buy time.
            connection.patience.arm(services_.wheel, services_.config->timeouts.client_head);
        }
        const bool ready = co_await client.transport.wait(Direction::read);
        if (connection.patience.expired && connection.idle && may_rest && !services_.stopping) {
            connection.patience.expired = false;
            wait_for_request(std::move(owned));
            co_return;
        }
        if (connection.patience.expired) {
            services_.counters.add(Counter::client_timeouts);
            if (!connection.idle)
                refuse_head(client, 408, rules::word(Errc::client_timeout), "the request head did not arrive in time");
            break;
        }
        if (!ready && !may_read_once_more(client)) break;
        const IoTry got = client.transport.try_read(services_.read_buffer);
        if (got.blocked()) {
            input = client.inbox;
            continue;
        }
        if (!got.ok()) break;
        if (connection.idle) connection.patience.disarm();
        connection.idle = false;
        services_.counters.add(Counter::bytes_in, got.bytes);
        input = {services_.read_buffer.data(), got.bytes};
        if (!client.inbox.empty()) input = client.inbox += input;
        stop = answer_hits(connection, input);
    }
    connection.patience.disarm();
}

asio::awaitable<void> Server::run_refusal(ConnectionPtr owned)
{
    Connection& connection = *owned;
    refuse_head(connection.client, 503, "connection-limit", "as many connections are open as may be",
                "Retry-After: 1\r\n");
    if (connection.client.blocked()) co_await connection.client.flush();
    co_await linger(connection);
}

void Server::refuse_head(Client& client, int status, std::string_view word, std::string_view text,
                         std::string_view extra_fields)
{
    scratch_->head.clear();
    scratch_->count = ExchangeCount{};
    scratch_->keep_alive = false;
    scratch_->request_id = rules::text_of(make_request_id());
    std::string out = std::move(services_.out);  // answers to the requests before this one come first
    services_.out.clear();
    append_problem(out, *scratch_, status, word, text, extra_fields);
    services_.counters.add_response(status);
    client.put(out);
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
