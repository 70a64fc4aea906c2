#include "proxy/admin/admin_server.hpp"

#include <openssl/crypto.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/system/system_error.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "proxy/admin/answer.hpp"
#include "proxy/observe/log.hpp"
#include "rules/base/text.hpp"
#include "rules/explain/explain.hpp"

namespace larder::proxy {

namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using Protocol = asio::generic::stream_protocol;
using Stream = beast::basic_stream<Protocol>;
using Request = AdminRequest;
using Response = AdminResponse;

constexpr std::chrono::milliseconds pause_after_failed_accept{100};
constexpr std::chrono::milliseconds linger_time{2'000};

Response answer_explain(std::string_view target, const config::ConfigPtr& config)
{
    if (!config) return make_problem(http::status::service_unavailable, "there is no configuration yet");
    const auto parsed = boost::urls::parse_origin_form(target);
    if (!parsed)
        return make_problem(http::status::bad_request, "the query is not a valid URL query; percent-encode it");

    std::string method = "GET";
    std::string url;
    std::vector<std::pair<std::string, std::string>> headers;
    for (const auto& parameter : parsed->params()) {
        const std::string value{parameter.value};
        if (parameter.key == "method") {
            method = value;
        } else if (parameter.key == "url") {
            url = value;
        } else if (parameter.key == "header") {
            const auto colon = value.find(':');
            if (colon == std::string::npos || !rules::is_token(std::string_view{value}.substr(0, colon)))
                return make_problem(http::status::bad_request, "a header is written header=Name:%20value");
            headers.emplace_back(value.substr(0, colon), rules::trim(std::string_view{value}.substr(colon + 1)));
        } else {
            return make_problem(http::status::bad_request, "explain knows the parameters method, url and header");
        }
    }
    if (!rules::is_token(method)) return make_problem(http::status::bad_request, "the method is not a token");
    if (url.empty()) return make_problem(http::status::bad_request, "say which: /explain?method=GET&url=/path");
    return make_answer(http::status::ok, "text/plain; charset=utf-8",
                       rules::explain(config->rules, *config->matcher, config->cache, method, url, headers));
}

Response answer_safe_method(std::string_view target, const AdminHandlers& handlers)
{
    const std::string_view path = target.substr(0, target.find('?'));
    if (path == "/healthz") return make_answer(http::status::ok, "application/json", handlers.health_json());
    if (path == "/readyz") {
        if (handlers.ready()) return make_answer(http::status::ok, "application/json", "{\"status\":\"ready\"}\n");
        return make_problem(http::status::service_unavailable, "starting or draining");
    }
    if (path == "/metrics")
        return make_answer(http::status::ok, "text/plain; version=0.0.4; charset=utf-8", handlers.metrics());
    if (path == "/explain") return answer_explain(target, handlers.config());
    return make_problem(http::status::not_found, "there are /healthz, /readyz, /metrics, /explain and POST /purge");
}

asio::ip::tcp::endpoint tcp_endpoint(const Protocol::endpoint& generic)
{
    asio::ip::tcp::endpoint tcp;
    tcp.resize(generic.size());
    std::copy_n(reinterpret_cast<const char*>(generic.data()), generic.size(), reinterpret_cast<char*>(tcp.data()));
    return tcp;
}

std::string_view path_of(const Request& request)
{
    const std::string_view target{request.target().data(), request.target().size()};
    return target.substr(0, target.find('?'));
}

/// Who asks, for the log.
std::string address_of(Stream& stream)
{
    error_code ec;
    const Protocol::endpoint peer = stream.socket().remote_endpoint(ec);
    if (ec) return "unknown";
    if (peer.protocol().family() == AF_UNIX) return "unix socket";
    const asio::ip::address address = tcp_endpoint(peer).address();
    return address.to_string();
}

bool is_for_this_machine(const config::Endpoint& endpoint)
{
    if (!endpoint.unix_path.empty() || endpoint.host == "localhost") return true;
    error_code ec;
    const asio::ip::address address = asio::ip::make_address(endpoint.host, ec);
    return !ec && address.is_loopback();
}

/// May this request change something? Empty: yes. The comparison takes as long for a wrong token as for the right one.
std::optional<Response> refuse_stranger(const Request& request, const config::Config& config)
{
    const std::string& token = config.admin_token;
    if (token.empty()) {
        if (!config.admin || is_for_this_machine(*config.admin)) return std::nullopt;
        return make_problem(http::status::forbidden,
                            "admin: is not on loopback, so this wants a token: set admin_token_file");
    }
    constexpr std::string_view scheme = "Bearer ";
    const auto field = request[http::field::authorization];
    const std::string_view given{field.data(), field.size()};
    const bool is_bearer = rules::equals_ignoring_case(given.substr(0, scheme.size()), scheme);
    const std::string_view shown = is_bearer ? given.substr(scheme.size()) : std::string_view{};
    if (shown.size() == token.size() && CRYPTO_memcmp(shown.data(), token.data(), token.size()) == 0)
        return std::nullopt;
    Response refusal = make_problem(http::status::unauthorized,
                                    "this wants the token of admin_token_file, as Authorization: Bearer TOKEN");
    refusal.set(http::field::www_authenticate, "Bearer");
    return refusal;
}

asio::awaitable<Response> answer(const Request& request, Stream& stream, const AdminHandlers& handlers)
{
    try {
        if (path_of(request) == "/purge") {
            std::string from = address_of(stream);
            const config::ConfigPtr config = handlers.config();
            if (config && request.method() == http::verb::post) {
                if (auto refusal = refuse_stranger(request, *config)) {
                    log_event(config::LogLevel::warn, "an admin request was refused: no token, or a wrong one",
                              {{"from", std::string_view(from)}});
                    co_return std::move(*refusal);
                }
            }
            co_return co_await answer_purge(request, std::move(from), config, handlers.purge);
        }
        if (request.method() != http::verb::get && request.method() != http::verb::head)
            co_return make_wrong_method("GET, HEAD");
        co_return answer_safe_method({request.target().data(), request.target().size()}, handlers);
    } catch (const std::exception&) {
        co_return make_problem(http::status::internal_server_error, "the answer could not be made");
    }
}

// The answer to a request that could not be read; empty: the client is gone or too slow, and gets none.
std::optional<Response> answer_unreadable(error_code ec)
{
    if (ec == http::error::header_limit || ec == http::error::buffer_overflow)
        return make_problem(http::status::request_header_fields_too_large, "the request head is above the limit");
    if (ec == http::error::body_limit)
        return make_problem(http::status::payload_too_large, "the request body is above the limit");
    if (ec == http::error::end_of_stream || ec == http::error::partial_message) return std::nullopt;
    if (ec.category() == http::make_error_code(http::error::end_of_stream).category())
        return make_problem(http::status::bad_request, "the request could not be parsed");
    return std::nullopt;
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

}  // namespace

struct AdminServer::State {
    asio::io_context& context;
    config::Endpoint endpoint;  // with the port that was chosen
    AdminHandlers handlers;
    AdminLimits limits;
    asio::basic_socket_acceptor<Protocol> acceptor{context};
    std::unordered_set<Stream*> streams{};                                      // the open connections
    asio::steady_timer change{context, asio::steady_timer::time_point::max()};  // cancelled when a connection ends
    bool stopping = false;
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

std::uint16_t AdminServer::port() const noexcept { return state_->endpoint.port; }

namespace {

// Closing with unread bytes would make the kernel throw our answer away: let the client read it first (RFC 9112 §9.6).
asio::awaitable<void> linger(Stream& stream)
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

// Serves one connection until it closes, errs, or misses a deadline.
asio::awaitable<void> run_connection(Stream& stream, const AdminHandlers& handlers, const AdminLimits& limits)
{
    beast::flat_buffer buffer;
    for (;;) {
        http::request_parser<http::string_body> parser;
        parser.header_limit(limits.head_bytes);
        parser.body_limit(limits.body_bytes);
        stream.expires_after(limits.timeout);
        auto [read_error, received] = co_await http::async_read(stream, buffer, parser, no_throw);

        std::optional<Response> response;
        bool keep_alive = false;
        bool to_head = false;
        if (read_error) {
            response = answer_unreadable(read_error);
            if (!response) co_return;
        } else {
            response = co_await answer(parser.get(), stream, handlers);
            keep_alive = parser.get().keep_alive();
            to_head = parser.get().method() == http::verb::head;
            response->version(parser.get().version());
        }
        response->keep_alive(keep_alive);
        response->prepare_payload();
        if (to_head) response->body().clear();

        stream.expires_after(limits.timeout);
        auto [write_error, sent] = co_await http::async_write(stream, *response, no_throw);
        if (write_error || !keep_alive) break;
    }
    co_await linger(stream);
}

}  // namespace

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
        if (state->streams.size() >= state->limits.connections) continue;  // closes it

        auto stream = std::make_shared<Stream>(std::move(socket));
        state->streams.insert(stream.get());
        auto serve = [state, stream]() -> asio::awaitable<void> {
            return run_connection(*stream, state->handlers, state->limits);
        };
        auto ended = [state, stream](std::exception_ptr) {
            state->streams.erase(stream.get());
            state->change.cancel();
        };
        asio::co_spawn(state->context, std::move(serve), std::move(ended));
    }
    while (!state->streams.empty()) co_await state->change.async_wait(no_throw);
}

void AdminServer::stop()
{
    asio::post(state_->context, [state = state_] {
        state->stopping = true;
        error_code ignored;
        state->acceptor.close(ignored);
        state->change.cancel();
        for (Stream* stream : state->streams) stream->close();
    });
}

}  // namespace larder::proxy
