#include "proxy/admin/admin_server.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>
#include <filesystem>
#include <semaphore>
#include <stdexcept>
#include <string>
#include <thread>

#include "proxy/admin/dashboard.hpp"

using namespace larder::proxy;
using asio::ip::tcp;
namespace config = larder::config;

namespace {

// A server on a thread of its own, as in the program, and clients that wait for it.
struct Stage {
    explicit Stage(AdminLimits limits = {}) : server(context, config::Endpoint{"127.0.0.1", 0, ""}, handlers(), limits)
    {
        auto run = [this] { return server.run(); };
        asio::co_spawn(context, run, [this](std::exception_ptr failure) { ended = !failure; });
        thread = std::thread{[this] { context.run(); }};
    }
    ~Stage() { stop(); }
    void stop()
    {
        if (!thread.joinable()) return;
        server.stop();
        thread.join();
    }

    AdminHandlers handlers()
    {
        return {.alive =
                    [] {
                        return Probe{"livez", {{"worker-0", ProbeCheck::State::ok, {}}}};
                    },
                .ready =
                    [this] {
                        const auto state = ready.load() ? ProbeCheck::State::ok : ProbeCheck::State::failed;
                        return Probe{
                            "readyz",
                            {{"redis", ProbeCheck::State::degraded, "is away"}, {"shutdown", state, "draining"}}};
                    },
                .health_json = [this] { return health(); },
                .metrics = [this]() -> std::string { return metrics; },
                .config = [this]() -> config::ConfigPtr {
                    if (broken) throw std::runtime_error{"a bug"};
                    auto config = std::make_shared<config::Config>();
                    config->admin_token = token;
                    config->matcher = std::make_unique<larder::rules::Matcher>(config->rules);
                    return config;
                },
                .rules_json = [] { return std::string{"{\"rules\":[]}\n"}; },
                .events_json = [] { return std::string{"{\"events\":[]}\n"}; },
                .purge = [this](std::vector<larder::rules::PurgeTarget> targets) { return purge(std::move(targets)); },
                .drain = [this] { ready = false; },
                .reload = [this] { return reload(); },
                .switches = {.now = [this] { return switches; },
                             .change = [this](config::Switches next) { return change(std::move(next)); }}};
    }
    asio::awaitable<std::string> health() { co_return "{\"store\":\"down\",\"degraded\":[\"store-away\"]}"; }
    asio::awaitable<ReloadTold> reload()
    {
        ReloadTold told;
        told.ok = !broken_file;
        if (broken_file) told.errors = {"larder.yaml:3:1: wrong", "larder.yaml:4:1: wrong, too"};
        if (!broken_file) told.kept = {"listen", "memory"};
        co_return told;
    }
    asio::awaitable<std::string> change(config::Switches next)
    {
        switches = std::move(next);
        co_return std::string();
    }
    asio::awaitable<HandPurge> purge(std::vector<larder::rules::PurgeTarget> targets)
    {
        purged += targets.size();
        if (held) {
            purging.release();
            co_await let_go.async_wait(no_throw);
        }
        HandPurge done;
        done.kind = outcome;
        done.error = larder::rules::Errc::store_unreachable;
        done.positions.assign(outcome == HandPurge::Kind::appended ? 1 : 0, 1795262807752238);
        co_return done;
    }
    std::string post_purge(const std::string& body) { return send(order("Host: localhost\r\n", body)); }
    static std::string order(const std::string& lines, const std::string& body = R"({"keys": ["event:42"]})")
    {
        return "POST /purge HTTP/1.1\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: " +
               std::to_string(body.size()) + "\r\n" + lines + "\r\n" + body;
    }

    tcp::socket connect()
    {
        tcp::socket socket{client_context};
        socket.connect({asio::ip::address_v4::loopback(), server.port()});
        return socket;
    }
    static std::string read_to_end(tcp::socket& socket)
    {
        std::string reply;
        error_code ec;
        asio::read(socket, asio::dynamic_buffer(reply), ec);
        return reply;
    }
    // The whole reply to raw bytes that ask for the connection to be closed.
    std::string send(const std::string& bytes)
    {
        tcp::socket socket = connect();
        asio::write(socket, asio::buffer(bytes));
        return read_to_end(socket);
    }
    std::string request(const std::string& method, const std::string& target)
    {
        return send(method + " " + target + " HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n");
    }

    std::atomic<bool> broken_file{false};
    config::Switches switches;
    std::string metrics = "larder_ready 1\n", token;  // set before the first request
    std::atomic<bool> ready{true}, broken{false}, held{false};
    std::binary_semaphore purging{0};
    std::atomic<HandPurge::Kind> outcome{HandPurge::Kind::appended};
    std::atomic<std::size_t> purged{0};
    bool ended = false;
    asio::io_context context, client_context;
    asio::steady_timer let_go{context, asio::steady_timer::time_point::max()};
    AdminServer server;
    std::thread thread;
};

bool says(const std::string& reply, const std::string& text) { return reply.find(text) != std::string::npos; }
std::string body_of(const std::string& reply) { return reply.substr(reply.find("\r\n\r\n") + 4); }

}  // namespace

TEST_CASE("health/cache is 200 while the process runs, and its body says what is degraded")
{
    Stage stage;
    stage.ready = false;
    const std::string reply = stage.request("GET", "/health/cache");
    CHECK(reply.starts_with("HTTP/1.1 200 "));
    CHECK(says(reply, "Content-Type: application/json\r\n"));
    CHECK(body_of(reply) == "{\"store\":\"down\",\"degraded\":[\"store-away\"]}");
}

TEST_CASE("a probe says ok, and a line for each check when it is asked for more or fails")
{
    Stage stage;
    for (const char* path : {"/livez", "/healthz"}) {
        CAPTURE(path);
        const std::string reply = stage.request("GET", path);
        CHECK(reply.starts_with("HTTP/1.1 200 "));
        CHECK(says(reply, "Content-Type: text/plain; charset=utf-8\r\n"));
        CHECK(body_of(reply) == "ok");
        CHECK(body_of(stage.request("GET", std::string(path) + "?verbose")) == "[+]worker-0 ok\nlivez check passed\n");
    }
    CHECK(body_of(stage.request("GET", "/readyz")) == "ok");
    const std::string lines = "[!]redis is away\n[+]shutdown ok\nreadyz check passed\n";
    for (const char* query : {"verbose", "verbose=1", "verbose&exclude=x"}) {
        CAPTURE(query);
        CHECK(body_of(stage.request("GET", std::string("/readyz?") + query)) == lines);
    }
    CHECK(body_of(stage.request("GET", "/readyz?verbosely")) == "ok");
    stage.ready = false;
    const std::string refused = stage.request("GET", "/readyz");
    CHECK(refused.starts_with("HTTP/1.1 503 "));
    CHECK(body_of(refused) == "[!]redis is away\n[-]shutdown failed: draining\nreadyz check failed\n");
}

TEST_CASE("drain is asked for by POST, by who may change something, and makes readyz fail")
{
    Stage stage;
    CHECK(says(stage.request("GET", "/drain"), "HTTP/1.1 405 "));
    CHECK(says(stage.request("GET", "/drain"), "Allow: POST\r\n"));
    CHECK(says(stage.send("POST /drain HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n"
                          "Connection: close\r\n\r\n"),
               "HTTP/1.1 403 "));
    CHECK(stage.request("GET", "/readyz").starts_with("HTTP/1.1 200 "));
    const std::string reply =
        stage.send("POST /drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    CHECK(reply.starts_with("HTTP/1.1 200 "));
    CHECK(body_of(reply) == "draining\n");
    CHECK(stage.request("GET", "/readyz").starts_with("HTTP/1.1 503 "));
}

TEST_CASE("metrics come with the content type of their format")
{
    Stage stage;
    const std::string reply = stage.request("GET", "/metrics");
    CHECK(says(reply, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    CHECK(body_of(reply) == "larder_ready 1\n");
}

TEST_CASE("the dashboard is a page that no other page may frame, and whose policy names its own style and script only")
{
    Stage stage;
    const std::string reply = stage.request("GET", "/?interval=500");
    CHECK(reply.starts_with("HTTP/1.1 200 "));
    CHECK(says(reply, "Content-Type: text/html; charset=utf-8\r\n"));
    CHECK(says(reply, "X-Content-Type-Options: nosniff\r\n"));
    CHECK(says(reply, "Referrer-Policy: no-referrer\r\n"));
    CHECK(says(reply, "Cache-Control: no-store\r\n"));
    CHECK(says(reply, "Content-Security-Policy: default-src 'none'; script-src 'sha256-"));
    CHECK(says(reply, "frame-ancestors 'none'"));
    CHECK_FALSE(says(reply, "unsafe"));
    CHECK(body_of(reply) == dashboard_page());
    // One of each, as the policy takes the first, and nothing that it would refuse.
    const std::string page = body_of(reply);
    for (const std::string part : {"<script", "</script>", "<style", "</style>"}) {
        CAPTURE(part);
        CHECK(page.find(part) != std::string::npos);
        CHECK(page.find(part) == page.rfind(part));
    }
    for (const char* part : {" style=", " onclick=", " src=", "<link rel=\"stylesheet"}) {
        CAPTURE(part);
        CHECK_FALSE(says(page, part));
    }
}

TEST_CASE("what the dashboard asks for is JSON")
{
    Stage stage;
    for (const char* path : {"/rules", "/events"}) {
        CAPTURE(path);
        const std::string reply = stage.request("GET", path);
        CHECK(says(reply, "Content-Type: application/json\r\n"));
        CHECK(says(reply, "Cache-Control: no-store\r\n"));
        CHECK(stage.request("POST", path).starts_with("HTTP/1.1 405 "));
    }
    CHECK(stage.request("POST", "/").starts_with("HTTP/1.1 405 "));
    CHECK(body_of(stage.request("HEAD", "/")).empty());
}

TEST_CASE("a HEAD is answered with the head of the GET")
{
    Stage stage;
    const std::string reply = stage.request("HEAD", "/metrics");
    CHECK(says(reply, "Content-Length: 15\r\n"));
    CHECK(body_of(reply).empty());
}

TEST_CASE("what is not there is a problem document")
{
    Stage stage;
    const std::string missing = stage.request("GET", "/nothing");
    CHECK(missing.starts_with("HTTP/1.1 404 "));
    CHECK(says(missing, "Content-Type: application/problem+json\r\n"));
    CHECK(boost::json::parse(body_of(missing)).at("status").as_int64() == 404);
    const std::string wrong_method = stage.request("DELETE", "/metrics");
    CHECK(wrong_method.starts_with("HTTP/1.1 405 "));
    CHECK(says(wrong_method, "Allow: GET, HEAD\r\n"));
}

TEST_CASE("explain tells about the request that its parameters describe")
{
    Stage stage;
    const std::string reply =
        stage.request("GET", "/explain?method=GET&url=/a%3Fpage=2&header=Cookie:%20sid=1&header=X-Tenant:%207");
    CHECK(reply.starts_with("HTTP/1.1 200 "));
    CHECK(says(reply, "Content-Type: text/plain; charset=utf-8\r\n"));
    CHECK(says(body_of(reply), "request: GET /a?page=2"));
    CHECK(says(body_of(reply), "no-rule"));
}

TEST_CASE("explain says what is wrong with its parameters")
{
    Stage stage;
    for (const char* query :
         {"", "?method=GET", "?url=/&header=none", "?url=/&color=red", "?url=/&method=G%20T", "?url=%zz"}) {
        CAPTURE(query);
        const std::string reply = stage.request("GET", std::string{"/explain"} + query);
        CHECK(reply.starts_with("HTTP/1.1 400 "));
        CHECK(boost::json::parse(body_of(reply)).at("status").as_int64() == 400);
    }
}

TEST_CASE("a purge is answered with the positions that the log gave it")
{
    Stage stage;
    const std::string reply = stage.post_purge(R"({"keys": ["event:42"], "patterns": ["list:*"]})");
    CHECK(reply.starts_with("HTTP/1.1 200 "));
    const boost::json::value told = boost::json::parse(body_of(reply));
    CHECK(told.at("positions").at(0).as_int64() == 1795262807752238);
    CHECK(told.at("keys").at(0).as_string() == "event:42");
    CHECK(told.at("patterns").at(0).as_string() == "list:*");
    CHECK(stage.purged == 2);
}

TEST_CASE("a dry run does not reach the log")
{
    Stage stage;
    CHECK(stage.post_purge(R"({"keys": ["event:42"], "dry_run": true})").starts_with("HTTP/1.1 200 "));
    CHECK(stage.purged == 0);
}

TEST_CASE("a purge that the log does not have yet is a 503 that says what became of it")
{
    Stage stage;
    struct Row {
        HandPurge::Kind kind;
        const char* says;
        bool deferred;
    };
    for (const Row& row :
         {Row{HandPurge::Kind::deferred, "queued", true}, Row{HandPurge::Kind::unanswered, "may or may not", false},
          Row{HandPurge::Kind::stopping, "another replica", false}}) {
        stage.outcome = row.kind;
        const std::string reply = stage.post_purge(R"({"keys": ["event:42"]})");
        CAPTURE(reply);
        CHECK(reply.starts_with("HTTP/1.1 503 "));
        CHECK(says(reply, "Content-Type: application/problem+json\r\n"));
        CHECK(says(reply, row.says));
        CHECK(says(reply, "\"deferred\":true") == row.deferred);
    }
}

TEST_CASE("a handler that throws costs its own request a 500 and nothing else")
{
    Stage stage;
    stage.broken = true;
    CHECK(stage.request("GET", "/explain?url=/").starts_with("HTTP/1.1 500 "));
    CHECK(stage.request("GET", "/healthz").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("requests above a limit, or that cannot be parsed, are refused by status and the connection closed")
{
    Stage stage;
    const std::string get = "GET /healthz HTTP/1.1\r\nHost: a\r\n";
    CHECK(stage.send(get + "X: " + std::string(32 * 1024, 'x') + "\r\n\r\n").starts_with("HTTP/1.1 431 "));
    CHECK(stage.send(get + "Content-Length: 1048577\r\n\r\n").starts_with("HTTP/1.1 413 "));
    CHECK(stage.send("GET\r\n\r\n").starts_with("HTTP/1.1 400 "));
}

TEST_CASE("requests sent in one packet are answered in their order")
{
    Stage stage;
    const std::string replies = stage.send(
        "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    REQUIRE(says(replies, "HTTP/1.1 200 "));
    CHECK(replies.find("HTTP/1.1 200 ") < replies.find("HTTP/1.1 404 "));
}

TEST_CASE("a client that does not finish its request is dropped at the deadline")
{
    Stage stage{{.timeout = std::chrono::milliseconds{20}}};
    tcp::socket socket = stage.connect();
    asio::write(socket, asio::buffer(std::string{"GET /healthz HT"}));
    CHECK(Stage::read_to_end(socket).empty());
}

TEST_CASE("bytes that can be read in two ways, or not at all, are one 400 and the end, and are counted")
{
    Stage stage;
    const std::string behind = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";
    const char* const heads[] = {
        "GET /healthz HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a/b\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        "GET healthz HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /purge HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /purge HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\r\n",
        "POST /purge HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\n12345",
    };
    for (const std::string head : heads) {
        CAPTURE(head);
        const std::string reply = stage.send(head + behind);
        CHECK(reply.starts_with("HTTP/1.1 400 "));
        CHECK(says(reply, "Connection: close\r\n"));
        CHECK_FALSE(says(reply, "HTTP/1.1 404 "));
    }
    stage.stop();
    CHECK(stage.server.counts().malformed == std::size(heads));
}

TEST_CASE("a body comes by length or in chunks, in one packet with what follows or after a 100")
{
    Stage stage;
    const std::string head = "POST /purge HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    const std::string chunks =
        "Transfer-Encoding: chunked\r\n\r\n7\r\n{\"keys\"\r\nd;x=y\r\n: [\"event:1\"]\r\n1\r\n}\r\n";
    const std::string last = "GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n";
    std::string replies = stage.send(head + chunks + "0\r\nX: y\r\n\r\n" + last);
    CHECK(replies.starts_with("HTTP/1.1 200 "));
    CHECK(says(replies, "HTTP/1.1 404 "));
    replies = stage.send(head + "Content-Length: 21\r\n\r\n{\"keys\": [\"event:1\"]}" + last);
    CHECK(replies.starts_with("HTTP/1.1 200 "));
    CHECK(says(replies, "HTTP/1.1 404 "));
    CHECK(stage.purged == 2);

    tcp::socket socket = stage.connect();
    asio::write(socket, asio::buffer(head + "Connection: close\r\nExpect: 100-continue\r\nContent-Length: 21\r\n\r\n"));
    std::string go_on(25, ' ');
    asio::read(socket, asio::buffer(go_on));
    CHECK(go_on == "HTTP/1.1 100 Continue\r\n\r\n");
    asio::write(socket, asio::buffer("{\"keys\": [\"event:1\"]}", 21));
    CHECK(Stage::read_to_end(socket).starts_with("HTTP/1.1 200 "));
    CHECK(stage.purged == 3);

    const std::string large = "100000\r\n" + std::string(1 << 20, ' ') + "\r\n1\r\n \r\n0\r\n\r\n";
    CHECK(stage.send(head + "Transfer-Encoding: chunked\r\n\r\n" + large).starts_with("HTTP/1.1 413 "));
}

TEST_CASE("an answer that is an error ends the connection")
{
    Stage stage;
    for (const char* line : {"GET /nothing", "DELETE /metrics", "GET /explain", "GET /purge"}) {
        CAPTURE(line);
        const std::string reply = stage.send(line + std::string(" HTTP/1.1\r\nHost: a\r\n\r\n"));
        CHECK(says(reply, "Connection: close\r\n"));
    }
}

TEST_CASE("without a token a purge is refused when a web page of another site may have sent it")
{
    struct Row {
        const char* why;
        const char* lines;
        const char* says;  // empty: it is taken
    };
    const Row rows[] = {
        {"an address", "Host: 127.0.0.1\r\n", ""},
        {"an address and a port", "Host: 127.0.0.1:9090\r\n", ""},
        {"an address of IPv6", "Host: [::1]:9090\r\n", ""},
        {"localhost", "Host: LocalHost:9090\r\n", ""},
        {"its own origin", "Host: localhost:9090\r\nOrigin: http://localhost:9090\r\n", ""},
        {"its own page", "Host: localhost\r\nSec-Fetch-Site: same-origin\r\n", ""},
        {"typed by a user", "Host: localhost\r\nSec-Fetch-Site: none\r\n", ""},
        {"a name may have been rebound", "Host: evil.test\r\n", "Host is neither"},
        {"with a port", "Host: evil.test:9090\r\nOrigin: http://evil.test:9090\r\n", "Host is neither"},
        {"a name that looks like it", "Host: localhost.evil.test\r\n", "Host is neither"},
        {"an address as a name", "Host: 127.0.0.1.evil.test\r\n", "Host is neither"},
        {"another origin", "Host: 127.0.0.1\r\nOrigin: http://evil.test\r\n", "Origin names"},
        {"another port", "Host: localhost:9090\r\nOrigin: http://localhost:3000\r\n", "Origin names"},
        {"a sandboxed page", "Host: localhost\r\nOrigin: null\r\n", "Origin names"},
        {"two origins", "Host: localhost\r\nOrigin: http://localhost\r\nOrigin: http://evil.test\r\n", "Origin names"},
        {"across sites", "Host: localhost\r\nSec-Fetch-Site: cross-site\r\n", "Sec-Fetch-Site says"},
        {"another port, without Origin", "Host: localhost\r\nSec-Fetch-Site: same-site\r\n", "Sec-Fetch-Site says"},
    };
    Stage stage;
    std::size_t taken = 0, refused = 0;
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const std::string reply = stage.send(Stage::order(row.lines));
        const bool is_taken = *row.says == 0;
        ++(is_taken ? taken : refused);
        CHECK(reply.starts_with(is_taken ? "HTTP/1.1 200 " : "HTTP/1.1 403 "));
        CHECK(says(reply, row.says));
        CHECK(says(reply, "set admin_token_file") != is_taken);
        CHECK(stage.purged == taken);
    }
    stage.stop();
    CHECK(stage.server.counts().site_refusals == refused);
}

TEST_CASE("who shows the token may purge from anywhere, and who does not from nowhere")
{
    Stage stage;
    stage.token = "s3cret";
    const std::string lines = "Host: larder.internal\r\nOrigin: http://console.internal\r\n";
    CHECK(stage.send(Stage::order(lines + "Authorization: Bearer s3cret\r\n")).starts_with("HTTP/1.1 200 "));
    CHECK(stage.send(Stage::order("Host: localhost\r\n")).starts_with("HTTP/1.1 401 "));
    CHECK(stage.purged == 1);
    stage.stop();
    CHECK(stage.server.counts().token_refusals == 1);
}

TEST_CASE("when all places are taken, who waits longest without a request makes room for who comes")
{
    Stage stage{{.connections = 3}};
    const std::string get = "GET /health/cache HTTP/1.1\r\nHost: a\r\n\r\n";
    const auto ask = [&](tcp::socket& socket) {
        asio::write(socket, asio::buffer(get));
        std::string reply;
        asio::read_until(socket, asio::dynamic_buffer(reply), "]}");
        CHECK(reply.starts_with("HTTP/1.1 200 "));
    };
    tcp::socket silent = stage.connect(), unfinished = stage.connect(), first = stage.connect();
    asio::write(unfinished, asio::buffer(get, 20));
    ask(first);  // so that all three have been accepted
    std::vector<tcp::socket> later;
    for (tcp::socket* longest : {&silent, &unfinished}) {
        ask(later.emplace_back(stage.connect()));
        CHECK(Stage::read_to_end(*longest).empty());
    }
    asio::write(first, asio::buffer("GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n", 36));
    CHECK(says(Stage::read_to_end(first), "HTTP/1.1 404 "));
}

TEST_CASE("who does not take an answer makes room for who comes, and a purge under way does not")
{
    Stage stage{{.connections = 1}};
    stage.metrics.assign(32 << 20, 'x');  // more than the kernel holds
    tcp::socket deaf = stage.connect();
    asio::write(deaf, asio::buffer(std::string{"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"}));
    char byte = 0;
    asio::read(deaf, asio::buffer(&byte, 1));
    CHECK(stage.request("GET", "/healthz").starts_with("HTTP/1.1 200 "));

    stage.held = true;
    tcp::socket purge = stage.connect();
    asio::write(purge, asio::buffer(Stage::order("Host: localhost\r\n")));
    stage.purging.acquire();
    tcp::socket late = stage.connect();
    CHECK(Stage::read_to_end(late).empty());
    asio::post(stage.context, [&stage] { stage.let_go.cancel(); });
    CHECK(Stage::read_to_end(purge).starts_with("HTTP/1.1 200 "));
    stage.stop();
    CHECK(stage.server.counts().connections_dropped >= 2);
}

TEST_CASE("stop closes the idle connections and ends run")
{
    Stage stage;
    tcp::socket idle = stage.connect();
    asio::write(idle, asio::buffer(std::string{"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"}));
    char byte = 0;
    asio::read(idle, asio::buffer(&byte, 1));
    stage.stop();
    CHECK(stage.ended);
    CHECK(says(Stage::read_to_end(idle), "TTP/1.1 200 "));
    tcp::socket late{stage.client_context};
    error_code refused;
    late.connect({asio::ip::address_v4::loopback(), stage.server.port()}, refused);
    CHECK(refused);
}

TEST_CASE("a port in use is an error at once")
{
    Stage stage;
    asio::io_context context;
    CHECK_THROWS_AS((AdminServer{context, config::Endpoint{"127.0.0.1", stage.server.port(), ""}, stage.handlers()}),
                    boost::system::system_error);
}

TEST_CASE("the server can listen on a unix socket, which goes with it")
{
    const std::string path = std::filesystem::temp_directory_path() / ("larder_admin_" + std::to_string(::getpid()));
    asio::io_context context;
    {
        AdminServer server{context, config::Endpoint{"", 0, path}, {}};
        CHECK(std::filesystem::is_socket(path));
    }
    CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a reload is answered as Prometheus answers it: 200, or 500 with every error")
{
    Stage stage;
    const auto order = [&stage](const std::string& method) {
        return stage.send(method + " /-/reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    };
    const std::string done = order("POST");
    CHECK(done.starts_with("HTTP/1.1 200 "));
    CHECK(body_of(done) ==
          "reloaded\nwants a restart, and stays as it was: listen\nwants a restart, and stays as it was: memory\n");
    CHECK(order("PUT").starts_with("HTTP/1.1 200 "));
    CHECK(says(stage.request("GET", "/-/reload"), "Allow: POST, PUT\r\n"));
    stage.broken_file = true;
    const std::string refused = order("POST");
    CHECK(refused.starts_with("HTTP/1.1 500 "));
    CHECK(says(refused, R"("errors":["larder.yaml:3:1: wrong","larder.yaml:4:1: wrong, too"])"));
}

TEST_CASE("what changes something at run time is not for web pages of other sites")
{
    Stage stage;
    for (const char* target : {"/-/reload", "/switches"}) {
        const std::string reply =
            stage.send("POST " + std::string(target) +
                       " HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nContent-Length: 0\r\n"
                       "Connection: close\r\n\r\n");
        CHECK_MESSAGE(reply.starts_with("HTTP/1.1 403 "), target);
    }
}
