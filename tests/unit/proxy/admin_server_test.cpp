#include "proxy/admin/admin_server.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/json.hpp>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <thread>

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
        return {.ready = [this] { return ready.load(); },
                .health_json = [] { return std::string{"{\"store\":\"down\",\"degraded\":[\"store-away\"]}"}; },
                .metrics = []() -> std::string { return "larder_ready 1\n"; },
                .config = [this]() -> config::ConfigPtr {
                    if (broken) throw std::runtime_error{"a bug"};
                    auto config = std::make_shared<config::Config>();
                    config->matcher = std::make_unique<larder::rules::Matcher>(config->rules);
                    return config;
                },
                .purge = [this](std::vector<larder::rules::PurgeTarget> targets) { return purge(std::move(targets)); }};
    }
    asio::awaitable<HandPurge> purge(std::vector<larder::rules::PurgeTarget> targets)
    {
        purged += targets.size();
        HandPurge done;
        done.kind = outcome;
        done.error = larder::rules::Errc::store_unreachable;
        done.positions.assign(outcome == HandPurge::Kind::appended ? 1 : 0, 1795262807752238);
        co_return done;
    }
    std::string post_purge(const std::string& body)
    {
        return send("POST /purge HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n" +
                    ("Content-Length: " + std::to_string(body.size()) + "\r\n\r\n") + body);
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

    std::atomic<bool> ready{true}, broken{false};
    std::atomic<HandPurge::Kind> outcome{HandPurge::Kind::appended};
    std::atomic<std::size_t> purged{0};
    bool ended = false;
    asio::io_context context, client_context;
    AdminServer server;
    std::thread thread;
};

bool says(const std::string& reply, const std::string& text) { return reply.find(text) != std::string::npos; }
std::string body_of(const std::string& reply) { return reply.substr(reply.find("\r\n\r\n") + 4); }

}  // namespace

TEST_CASE("healthz is 200 while the process runs, and its body says what is degraded")
{
    Stage stage;
    stage.ready = false;
    const std::string reply = stage.request("GET", "/healthz");
    CHECK(reply.starts_with("HTTP/1.1 200 "));
    CHECK(says(reply, "Content-Type: application/json\r\n"));
    CHECK(body_of(reply) == "{\"store\":\"down\",\"degraded\":[\"store-away\"]}");
}

TEST_CASE("readyz is 200 when ready and 503 while starting or draining")
{
    Stage stage;
    CHECK(stage.request("GET", "/readyz").starts_with("HTTP/1.1 200 "));
    stage.ready = false;
    CHECK(stage.request("GET", "/readyz?verbose").starts_with("HTTP/1.1 503 "));
}

TEST_CASE("metrics come with the content type of their format")
{
    Stage stage;
    const std::string reply = stage.request("GET", "/metrics");
    CHECK(says(reply, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    CHECK(body_of(reply) == "larder_ready 1\n");
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
    CHECK(stage.send(get + "X: " + std::string(16 * 1024, 'x') + "\r\n\r\n").starts_with("HTTP/1.1 431 "));
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

TEST_CASE("a connection above the limit is closed at once, and those within it go on")
{
    Stage stage{{.connections = 1}};
    const std::string get = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    tcp::socket first = stage.connect();
    asio::write(first, asio::buffer(get));
    char byte = 0;
    asio::read(first, asio::buffer(&byte, 1));  // it is being served
    tcp::socket second = stage.connect();
    CHECK(Stage::read_to_end(second).empty());
    asio::write(first, asio::buffer("GET /nothing HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 55));
    CHECK(says(Stage::read_to_end(first), "HTTP/1.1 404 "));
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
