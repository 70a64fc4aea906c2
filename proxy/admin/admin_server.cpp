#include "proxy/admin/admin_server.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http.hpp>
#include <boost/json/array.hpp>
#include <boost/system/system_error.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "proxy/admin/answer.hpp"
#include "proxy/admin/dashboard.hpp"
#include "proxy/admin/request.hpp"
#include "proxy/admin/stranger.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/observe/log.hpp"
#include "rules/base/text.hpp"
#include "rules/explain/explain.hpp"
#include "rules/http/fields.hpp"

namespace larder::proxy {

namespace {

namespace http = boost::beast::http;
using Protocol = asio::generic::stream_protocol;
using Response = AdminResponse;
using rules::Method;

constexpr std::chrono::milliseconds pause_after_failed_accept{100};
constexpr std::chrono::milliseconds linger_time{2'000};
constexpr std::chrono::seconds pause_between_logs{10};

/// JSON by `format=json`, or because nothing else is accepted as gladly.
bool wants_json(const rules::RequestHead& head, std::string_view format)
{
    if (!format.empty()) return format == "json";
    bool json = false;
    for (const rules::Field& field : head.fields.all)
        if (rules::equals_ignoring_case(field.name, "accept"))
            rules::for_each_element(field.value, [&json](std::string_view type) {
                json = json || rules::trim(type.substr(0, type.find(';'))) == "application/json";
            });
    return json;
}

Response answer_explain(const rules::RequestHead& head, const config::ConfigPtr& config)
{
    const std::string_view query = head.query;
    if (!config) return make_problem(http::status::service_unavailable, "there is no configuration yet");
    const std::string target = "/explain?" + std::string(query);
    const auto parsed = boost::urls::parse_origin_form(target);
    if (!parsed)
        return make_problem(http::status::bad_request, "the query is not a valid URL query; percent-encode it");

    std::string method = "GET";
    std::string url, format;
    std::vector<std::pair<std::string, std::string>> headers;
    for (const auto& parameter : parsed->params()) {
        const std::string value{parameter.value};
        if (parameter.key == "method") {
            method = value;
        } else if (parameter.key == "url") {
            url = value;
        } else if (parameter.key == "format") {
            format = value;
        } else if (parameter.key == "header") {
            const auto colon = value.find(':');
            if (colon == std::string::npos || !rules::is_token(std::string_view{value}.substr(0, colon)))
                return make_problem(http::status::bad_request, "a header is written header=Name:%20value");
            headers.emplace_back(value.substr(0, colon), rules::trim(std::string_view{value}.substr(colon + 1)));
        } else {
            return make_problem(http::status::bad_request,
                                "explain knows the parameters method, url, header and format");
        }
    }
    if (!rules::is_token(method)) return make_problem(http::status::bad_request, "the method is not a token");
    if (url.empty()) return make_problem(http::status::bad_request, "say which: /explain?method=GET&url=/path");
    if (!format.empty() && format != "text" && format != "json")
        return make_problem(http::status::bad_request, "the format is text or json");
    const rules::Rulebook book{config->rules, *config->matcher, config->cache, config->client_cache_control};
    const rules::Explanation told = rules::explain(book, method, url, headers);
    if (wants_json(head, format)) return make_answer(http::status::ok, "application/json", rules::to_json(told));
    return make_answer(http::status::ok, "text/plain; charset=utf-8", rules::to_text(told));
}

/// Kubernetes asks with ?verbose=1 as well.
Response answer_probe(const Probe& probe, std::string_view query)
{
    const bool verbose = query.starts_with("verbose") && (query.size() == 7 || query[7] == '=' || query[7] == '&');
    return make_answer(probe.passes() ? http::status::ok : http::status::service_unavailable,
                       "text/plain; charset=utf-8", probe.text(verbose));
}

Response answer_safe_method(const rules::RequestHead& head, const AdminHandlers& handlers)
{
    const std::string_view path = head.path;
    if (path == "/livez" || path == "/healthz") return answer_probe(handlers.alive(), head.query);
    if (path == "/readyz") return answer_probe(handlers.ready(), head.query);
    if (path == "/metrics")
        return make_answer(http::status::ok, "text/plain; version=0.0.4; charset=utf-8", handlers.metrics());
    if (path == "/explain") return answer_explain(head, handlers.config());
    if (path == "/") return answer_dashboard();
    if (path == "/rules") return make_answer(http::status::ok, "application/json", handlers.rules_json());
    if (path == "/events") return make_answer(http::status::ok, "application/json", handlers.events_json());
    return make_problem(http::status::not_found,
                        "there are / (the dashboard), /livez, /readyz, /health/cache, /metrics, /explain, /rules, "
                        "/events, /switches, POST /purge, POST /drain and POST /-/reload");
}

asio::ip::tcp::endpoint tcp_endpoint(const Protocol::endpoint& generic)
{
    asio::ip::tcp::endpoint tcp;
    tcp.resize(generic.size());
    std::copy_n(reinterpret_cast<const char*>(generic.data()), generic.size(), reinterpret_cast<char*>(tcp.data()));
    return tcp;
}

bool is_from_here(AdminStream& stream)
{
    error_code ec;
    const Protocol::endpoint peer = stream.socket().remote_endpoint(ec);
    if (ec) return false;
    return peer.protocol().family() == AF_UNIX || tcp_endpoint(peer).address().is_loopback();
}

/// Who asks, for the log.
std::string address_of(AdminStream& stream)
{
    error_code ec;
    const Protocol::endpoint peer = stream.socket().remote_endpoint(ec);
    if (ec) return "unknown";
    if (peer.protocol().family() == AF_UNIX) return "unix socket";
    const asio::ip::address address = tcp_endpoint(peer).address();
    return address.to_string();
}

Response answer_drain(const AdminRequest& request, std::string_view from, const AdminHandlers& handlers)
{
    if (request.head.method != Method::post) return make_wrong_method("POST");
    log_event(config::LogLevel::info, "draining: not ready from now on, and each answer ends its connection",
              {{"from", from}});
    handlers.drain();
    return make_answer(http::status::ok, "text/plain; charset=utf-8", "draining\n");
}

/// As Prometheus answers it: 200, or 500 with what is wrong.
asio::awaitable<Response> answer_reload(const AdminRequest& request, const AdminHandlers& handlers)
{
    if (request.head.method != Method::post && request.head.method != Method::put)
        co_return make_wrong_method("POST, PUT");
    const ReloadTold told = co_await handlers.reload();
    if (!told.ok) {
        std::string detail = "the configuration is refused, and the one before stays in force";
        for (const std::string& error : told.errors) (detail += "\n") += error;
        boost::json::array errors(told.errors.begin(), told.errors.end());
        co_return make_problem(http::status::internal_server_error, detail, {{"errors", std::move(errors)}});
    }
    std::string text = "reloaded\n";
    for (const std::string& option : told.kept) text += "wants a restart, and stays as it was: " + option + "\n";
    co_return make_answer(http::status::ok, "text/plain; charset=utf-8", std::move(text));
}

/// Does it change something, if its method lets it?
bool changes_something(std::string_view path) noexcept
{
    return path == "/purge" || path == "/drain" || path == "/-/reload" || path == "/switches";
}

asio::awaitable<Response> answer(const AdminRequest& request, AdminStream& stream, const AdminHandlers& handlers,
                                 AdminCounts& counts)
{
    try {
        const std::string_view path = request.head.path;
        if (changes_something(path)) {
            std::string from = address_of(stream);
            const config::ConfigPtr config = handlers.config();
            const bool is_safe = request.head.method == Method::get || request.head.method == Method::head;
            if (config && !is_safe) {
                // A hook that runs beside us has no token at hand, and whoever is there could stop us anyway.
                const bool from_here = path != "/purge" && is_from_here(stream);
                if (auto refusal = refuse_stranger(request.head, *config, from_here)) {
                    ++(refusal->is_site ? counts.site_refusals : counts.token_refusals);
                    log_event(config::LogLevel::warn,
                              refusal->is_site ? "an admin request was refused: a web page of another site may have "
                                                 "sent it"
                                               : "an admin request was refused: no token, or a wrong one",
                              {{"from", std::string_view(from)}});
                    co_return std::move(refusal->response);
                }
            }
            if (path == "/drain") co_return answer_drain(request, from, handlers);
            if (path == "/-/reload") co_return co_await answer_reload(request, handlers);
            if (path == "/switches")
                co_return co_await answer_switches(request, std::move(from), handlers.config, handlers.switches);
            co_return co_await answer_purge(request, std::move(from), config, handlers.purge);
        }
        if (request.head.method != Method::get && request.head.method != Method::head)
            co_return make_wrong_method("GET, HEAD");
        if (path == "/health/cache") {
            std::string health = co_await handlers.health_json();
            co_return make_answer(http::status::ok, "application/json", std::move(health));
        }
        co_return answer_safe_method(request.head, handlers);
    } catch (const std::exception&) {
        co_return make_problem(http::status::internal_server_error, "the answer could not be made");
    }
}

Protocol::endpoint resolve(asio::io_context& context, const config::Endpoint& endpoint)
{
    if (!endpoint.unix_path.empty()) return asio::local::stream_protocol::endpoint{endpoint.unix_path};
    if (endpoint.host.empty()) return asio::ip::tcp::endpoint{asio::ip::tcp::v4(), endpoint.port};
    asio::ip::tcp::resolver resolver{context};
    return resolver.resolve(endpoint.host, std::to_string(endpoint.port), asio::ip::tcp::resolver::passive)
        .begin()
        ->endpoint();
}

// Only a socket: a path mistyped in the configuration must not cost a file.
void remove_socket(const std::string& path) noexcept
{
    struct stat status {};
    if (::lstat(path.c_str(), &status) == 0 && S_ISSOCK(status.st_mode)) ::unlink(path.c_str());
}

/// In the order in which connections are given up for new ones.
enum class Phase : std::uint8_t {
    waiting,    // for a complete request, or, after the last answer, for the client's end
    writing,    // an answer
    answering,  // never given up
};

struct Connection {
    explicit Connection(Protocol::socket socket) : stream(std::move(socket)) {}

    AdminStream stream;
    Phase phase = Phase::waiting;
    std::uint64_t since = 0;  // when the phase began, in State::turns
    bool dropped = false;     // closed, and about to end
};

}  // namespace

struct AdminServer::State {
    asio::io_context& context;
    config::Endpoint endpoint;  // with the port that was chosen
    AdminHandlers handlers;
    AdminLimits limits;
    asio::basic_socket_acceptor<Protocol> acceptor{context};
    std::unordered_set<Connection*> connections{};
    asio::steady_timer change{context, asio::steady_timer::time_point::max()};  // cancelled when a connection ends
    bool stopping = false;
    AdminCounts counts{};
    std::uint64_t turns = 0;                      // a clock that counts what happens
    std::optional<rules::Instant> drop_logged{};  // when

    void enter(Connection& connection, Phase phase)
    {
        connection.phase = phase;
        connection.since = ++turns;
    }
    bool make_room();
    asio::awaitable<void> run_connection(Connection& connection);
};

AdminServer::AdminServer(asio::io_context& context, const config::Endpoint& endpoint, AdminHandlers handlers,
                         AdminLimits limits)
    : state_(new State{.context = context, .endpoint = endpoint, .handlers = std::move(handlers), .limits = limits})
{
    const Protocol::endpoint at = resolve(context, endpoint);
    if (!endpoint.unix_path.empty()) remove_socket(endpoint.unix_path);  // left by a process that was killed
    auto& acceptor = state_->acceptor;
    acceptor.open(at.protocol());
    if (endpoint.unix_path.empty()) acceptor.set_option(asio::socket_base::reuse_address{true});
    acceptor.bind(at);
    acceptor.listen();
    if (endpoint.unix_path.empty()) state_->endpoint.port = tcp_endpoint(acceptor.local_endpoint()).port();
}

AdminServer::~AdminServer()
{
    if (!state_->endpoint.unix_path.empty()) remove_socket(state_->endpoint.unix_path);
}

std::string AdminServer::listens_on() const { return state_->endpoint.to_string(); }

const AdminCounts& AdminServer::counts() const noexcept { return state_->counts; }

std::uint16_t AdminServer::port() const noexcept { return state_->endpoint.port; }

namespace {

// Closing with unread bytes would make the kernel throw our answer away: let the client read it first (RFC 9112 §9.6).
asio::awaitable<void> linger(AdminStream& stream)
{
    error_code ignored;  // the client may be gone already, which is fine
    stream.socket().shutdown(asio::socket_base::shutdown_send, ignored);
    constexpr std::size_t most_bytes = 4 * 1024 * 1024;
    std::vector<char> thrown_away(64 * 1024);
    stream.expires_after(linger_time);
    for (std::size_t drained = 0; drained < most_bytes;) {
        auto [error, count] = co_await stream.async_read_some(asio::buffer(thrown_away), no_throw);
        if (error) co_return;
        drained += count;
    }
}

}  // namespace

/// Closes a connection when all places are taken, so that nobody shuts others out by waiting. False: none may go.
bool AdminServer::State::make_room()
{
    std::size_t count = 0;
    Connection* first = nullptr;
    for (Connection* connection : connections) {
        if (connection->dropped) continue;
        ++count;
        if (connection->phase == Phase::answering) continue;
        if (!first || std::pair(connection->phase, connection->since) < std::pair(first->phase, first->since))
            first = connection;
    }
    if (count < limits.connections) return true;

    ++counts.connections_dropped;
    if (const rules::Instant now = instant_now(); !drop_logged || now - *drop_logged >= pause_between_logs) {
        drop_logged = now;
        log_event(config::LogLevel::warn,
                  "all places of the admin port are taken: connections that wait make room for new ones",
                  {{"limit", static_cast<std::int64_t>(limits.connections)},
                   {"dropped", static_cast<std::int64_t>(counts.connections_dropped)}});
    }
    if (!first) return false;
    first->dropped = true;
    first->stream.close();
    return true;
}

/// Serves one connection until it closes, errs, misses a deadline or is dropped. Every answer that is an error is the
/// last one.
asio::awaitable<void> AdminServer::State::run_connection(Connection& connection)
{
    AdminStream& stream = connection.stream;
    std::string inbox;
    for (;;) {
        stream.expires_after(limits.timeout);
        AdminRequest request;
        const RequestRead read = co_await read_request(stream, inbox, limits.head, limits.body_bytes, request);
        if (!read.complete && read.status == 0) co_return;

        Response response;
        if (read.complete) {
            enter(connection, Phase::answering);
            response = co_await answer(request, stream, handlers, counts);
            response.version(request.head.minor_version == 0 ? 10 : 11);
        } else {
            ++counts.malformed;
            response = make_problem(static_cast<http::status>(read.status), read.why);
        }
        const bool keep_alive = read.complete && request.head.keep_alive && response.result_int() < 400;
        response.keep_alive(keep_alive);
        response.prepare_payload();
        if (read.complete && request.head.method == Method::head) response.body().clear();

        enter(connection, Phase::writing);
        stream.expires_after(limits.timeout);
        auto [write_error, sent] = co_await http::async_write(stream, response, no_throw);
        enter(connection, Phase::waiting);
        if (write_error || !keep_alive) break;
    }
    co_await linger(stream);
}

asio::awaitable<void> AdminServer::run()
{
    const std::shared_ptr<State> state = state_;
    while (!state->stopping) {
        auto [accept_error, socket] = co_await state->acceptor.async_accept(no_throw);
        if (state->stopping) break;
        if (accept_error) {
            // Out of descriptors, most likely: a pause, so that the failure does not become a busy loop.
            state->change.expires_after(pause_after_failed_accept);
            co_await state->change.async_wait(no_throw);
            state->change.expires_at(asio::steady_timer::time_point::max());
            continue;
        }
        if (!state->make_room()) continue;  // closes the new one

        auto connection = std::make_shared<Connection>(std::move(socket));
        state->enter(*connection, Phase::waiting);
        state->connections.insert(connection.get());
        auto serve = [state, connection]() -> asio::awaitable<void> { return state->run_connection(*connection); };
        auto ended = [state, connection](std::exception_ptr) {
            state->connections.erase(connection.get());
            state->change.cancel();
        };
        asio::co_spawn(state->context, std::move(serve), std::move(ended));
    }
    while (!state->connections.empty()) co_await state->change.async_wait(no_throw);
}

void AdminServer::stop()
{
    asio::post(state_->context, [state = state_] {
        state->stopping = true;
        error_code ignored;
        state->acceptor.close(ignored);
        state->change.cancel();
        for (Connection* connection : state->connections) connection->stream.close();
    });
}

}  // namespace larder::proxy
