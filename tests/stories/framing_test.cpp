// What a client may send and what it may not: keep-alive, pipelining, HTTP/1.0, and a refusal on any doubt.
#include "tests/support/stage.hpp"

namespace larder::tests {

TEST_CASE("one connection serves many requests")
{
    Stage stage({});
    auto client = stage.connect();
    for (int i = 1; i <= 10; ++i) CHECK(client->get("/a").body == "GET /a #" + std::to_string(i));
    CHECK(stage.origin.connections() == 1);  // and the upstream connection is kept as well
}

TEST_CASE("Connection: close is obeyed, and only then")
{
    Stage stage({});
    auto client = stage.connect();
    const Response last = client->get("/a", {"Connection: close"});
    CHECK(equal_ignoring_case(last.field("Connection"), "close"));
    CHECK(client->wire().is_closed_by_peer());
}

TEST_CASE("twenty requests in one packet are answered in order")
{
    StageOptions options;
    options.rules = "rules:\n  - name: stored\n    match: GET /stored/{id}\n    key: stored:{id}\n    ttl: 60s\n";
    Stage stage(options);
    stage.fill("/stored/1");
    auto client = stage.connect();
    std::string bytes;
    for (int i = 0; i < 20; ++i) {
        const std::string target = i % 3 == 0 ? "/stored/1" : "/passed/" + std::to_string(i);
        if (i % 5 == 4) {
            bytes += "POST " + target + " HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
        } else {
            bytes += "GET " + target + " HTTP/1.1\r\nHost: app.test\r\n\r\n";
        }
    }
    client->send_bytes(bytes);
    for (int i = 0; i < 20; ++i) {
        CAPTURE(i);
        const Response response = client->read();
        CHECK(response.status == 200);
        const std::string target = i % 3 == 0 ? "/stored/1" : "/passed/" + std::to_string(i);
        const std::string method = i % 5 == 4 ? "POST " : "GET ";
        CHECK(response.body.starts_with(method + target + " #"));
    }
}

TEST_CASE("a request that arrives byte by byte is understood")
{
    Stage stage({});
    auto client = stage.connect();
    const std::string bytes =
        "POST /a HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3\r\nabc\r\n2;ext=1\r\nde\r\n0\r\n\r\n";
    for (const char byte : bytes) client->send_bytes(std::string_view(&byte, 1));
    CHECK(client->read().body == "POST /a #1");
    CHECK(stage.origin.last("/a").body == "abcde");
}

TEST_CASE("an HTTP/1.0 client gets an answer it can read, and the connection is closed unless it asked to keep it")
{
    Stage stage({});
    stage.origin.on("/chunked").chunked(3).reply(200, "", "hello world");
    {
        auto client = stage.connect();
        client->send_bytes("GET /chunked HTTP/1.0\r\n\r\n");
        const Response response = client->read();
        CHECK(response.status == 200);
        CHECK_FALSE(response.has("Transfer-Encoding"));
        CHECK(response.body == "hello world");
        CHECK(client->wire().is_closed_by_peer());
    }
    auto client = stage.connect();
    client->send_bytes("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK(client->read().body == "GET /a #1");
    client->send_bytes("GET /a HTTP/1.0\r\n\r\n");
    CHECK(client->read().body == "GET /a #2");
}

TEST_CASE("an empty line before a request line is ignored")
{
    Stage stage({});
    auto client = stage.connect();
    client->send_bytes("\r\nGET /a HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(client->read().status == 200);
}

TEST_CASE("an absolute-form target is served, and its host wins over Host")
{
    Stage stage({});
    auto client = stage.connect();
    client->send_bytes("GET http://b.test/a?x=1 HTTP/1.1\r\nHost: a.test\r\n\r\n");
    CHECK(client->read().status == 200);
    const Request request = stage.origin.last("/a");
    CHECK(request.field("Host") == "b.test");
    CHECK((request.target == "/a?x=1" || request.target == "http://b.test/a?x=1"));
}

TEST_CASE("any doubt about framing is a 400, the connection ends, and the origin hears nothing of it")
{
    struct Row {
        const char* why;
        std::string bytes;
    };
    const std::string post = "POST /a HTTP/1.1\r\nHost: a\r\n";
    const std::string get = "GET /a HTTP/1.1\r\nHost: a\r\n";
    const Row rows[] = {
        {"Content-Length beside chunked", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {"two different lengths", post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"},
        {"a list of lengths", post + "Content-Length: 5, 6\r\n\r\nhello!"},
        {"a signed length", post + "Content-Length: +5\r\n\r\nhello"},
        {"a length with garbage", post + "Content-Length: 5x\r\n\r\nhello"},
        {"an empty length", post + "Content-Length: \r\n\r\n"},
        {"a length beyond 64 bits", post + "Content-Length: 99999999999999999999\r\n\r\nhello"},
        {"an unknown coding", post + "Transfer-Encoding: gzip\r\n\r\n"},
        {"chunked not last", post + "Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"},
        {"chunked twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {"chunked with a vertical tab", post + "Transfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n"},
        {"Transfer-Encoding in HTTP/1.0", "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
        {"a folded line", get + "X-A: 1\r\n folded\r\n\r\n"},
        {"a bare LF", "GET /a HTTP/1.1\nHost: a\n\n"},
        {"a bare LF in one line", get + "X-A: 1\nX-B: 2\r\n\r\n"},
        {"a bare CR", get + "X-A: 1\rX-B: 2\r\n\r\n"},
        {"NUL in a value", get + std::string("X-A: 1\0002\r\n\r\n", 12)},
        {"a space before the colon", get + "X-A : 1\r\n\r\n"},
        {"a space before a name", "GET /a HTTP/1.1\r\n Host: a\r\n\r\n"},
        {"no colon", get + "X-A\r\n\r\n"},
        {"an empty name", get + ": 1\r\n\r\n"},
        {"no Host", "GET /a HTTP/1.1\r\n\r\n"},
        {"two Hosts", get + "Host: b\r\n\r\n"},
        {"a Host that is none", "GET /a HTTP/1.1\r\nHost: a b\r\n\r\n"},
        {"two spaces in the request line", "GET  /a HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"no version", "GET /a\r\nHost: a\r\n\r\n"},
        {"another version", "GET /a HTTP/2.0\r\nHost: a\r\n\r\n"},
        {"a control byte in the target", "GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"a method that is no token", "G@T /a HTTP/1.1\r\nHost: a\r\n\r\n"},
    };
    Stage stage({});
    for (const Row& row : rows) {
        CAPTURE(std::string(row.why));
        auto client = stage.connect();
        client->send_bytes(row.bytes);
        Response response;
        CHECK_NOTHROW(response = client->read());
        CHECK(response.status == 400);
        CHECK(response.field("Content-Type") == "application/problem+json");
        CHECK(client->wire().is_closed_by_peer());
    }
    CHECK(stage.origin.requests() == 0);
}

TEST_CASE("a chunk that is malformed ends the exchange: no second request is read out of it")
{
    const char* const bodies[] = {
        "x\r\nabc\r\n0\r\n\r\n",        "3\nabc\r\n0\r\n\r\n",     "3\r\nabcd\r\n0\r\n\r\n",
        "-3\r\nabc\r\n0\r\n\r\n",       "0x3\r\nabc\r\n0\r\n\r\n", "3 \r\nabc\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nabc\r\n", "3\r\nabc\n0\r\n\r\n",     "\r\n3\r\nabc\r\n0\r\n\r\n"};
    Stage stage({});
    for (const char* body : bodies) {
        CAPTURE(body);
        auto client = stage.connect();
        client->send_bytes("POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + std::string(body) +
                           "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
        int status = 0;
        try {
            status = client->read().status;
        } catch (const Ended&) {
            // Closed without an answer is as good, once the head has gone to the origin.
        }
        CHECK((status == 400 || status == 0));
        CHECK(client->wire().is_closed_by_peer());
    }
    CHECK(stage.origin.requests("/smuggled") == 0);
}

TEST_CASE("what is too long is refused by name: 414, 431, 413")
{
    StageOptions options;
    options.options = "limits:\n  request_body: 1KiB\n";
    Stage stage(options);
    struct Row {
        const char* why;
        std::string bytes;
        int status;
    };
    const std::string post = "POST /a HTTP/1.1\r\nHost: a\r\n";
    std::string many_fields;
    for (int i = 0; i < 500; ++i) many_fields += "X-" + std::to_string(i) + ": 1\r\n";
    const Row rows[] = {
        {"the target", "GET /" + std::string(20'000, 'a') + " HTTP/1.1\r\nHost: a\r\n\r\n", 414},
        {"one field", "GET /a HTTP/1.1\r\nHost: a\r\nX-A: " + std::string(50'000, 'a') + "\r\n\r\n", 431},
        {"too many fields", "GET /a HTTP/1.1\r\nHost: a\r\n" + many_fields + "\r\n", 431},
        {"a body by its length", post + "Content-Length: 1025\r\n\r\n", 413},
    };
    for (const Row& row : rows) {
        CAPTURE(std::string(row.why));
        auto client = stage.connect();
        client->send_bytes(row.bytes);
        Response response;
        CHECK_NOTHROW(response = client->read());
        CHECK(response.status == row.status);
        CHECK(response.field("Content-Type") == "application/problem+json");
        CHECK(client->wire().is_closed_by_peer());
    }
    CHECK(stage.origin.requests() == 0);

    auto client = stage.connect();
    client->send_bytes(post + "Transfer-Encoding: chunked\r\n\r\n800\r\n" + std::string(2048, 'a') + "\r\n0\r\n\r\n");
    CHECK(client->read().status == 413);
}

TEST_CASE("a head that does not come to its end in time is a 408")
{
    StageOptions options;
    options.options = "timeouts:\n  client_head: 200ms\n";
    Stage stage(options);
    auto client = stage.connect();
    client->send_bytes("GET /a HTTP/1.1\r\nHost:");
    CHECK(client->read().status == 408);
    CHECK(client->wire().is_closed_by_peer());
}

TEST_CASE("an idle connection is closed without a word when its time is over")
{
    StageOptions options;
    options.options = "timeouts:\n  client_idle: 200ms\n";
    Stage stage(options);
    auto client = stage.connect();
    CHECK(client->get("/a").status == 200);
    CHECK(client->wire().is_closed_by_peer());
    CHECK(client->wire().unread().empty());
}

TEST_CASE("a refusal carries a request id, as problem+json and as a field")
{
    Stage stage({});
    auto client = stage.connect();
    client->send_bytes("GET /a HTTP/1.1\r\nHost: a\r\nX-A : 1\r\n\r\n");
    const Response response = client->read();
    CHECK(response.status == 400);
    const std::string id = response.field("X-Request-ID");
    CHECK_FALSE(id.empty());
    CHECK(response.body.find(id) != std::string::npos);
    CHECK(response.body.find("\"status\":400") != std::string::npos);
    CHECK(response.field("Date").ends_with(" GMT"));
    CHECK(stage.larder->metric("larder_responses_total", "4xx") == 1);
}

TEST_CASE("CONNECT is refused: this is no forward proxy")
{
    Stage stage({});
    auto client = stage.connect();
    client->send_bytes("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n");
    CHECK(client->read().status / 100 == 4);
    CHECK(stage.origin.requests() == 0);
}

}  // namespace larder::tests
