// What goes through, both ways: fields, bodies, trailers, interim responses, upgrades and event streams.
#include "tests/support/stage.hpp"

namespace larder::tests {

TEST_CASE("hop-by-hop fields stay on their hop, both ways, and with them those that Connection names")
{
    Stage stage({});
    stage.origin.on("/a").raw(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: X-Private, close\r\nX-Private: 1\r\nKeep-Alive: "
        "timeout=5\r\n"
        "Proxy-Authenticate: Basic\r\nX-End: kept\r\n\r\nok");
    const Response response =
        stage.get("/a", {"Connection: X-Mine, keep-alive", "X-Mine: 1", "Keep-Alive: timeout=5",
                         "Proxy-Authorization: Basic eA==", "TE: gzip", "X-End: kept", "Proxy-Connection: keep-alive"});
    CHECK(response.body == "ok");
    const Request request = stage.origin.last("/a");
    for (const char* name : {"X-Mine", "Keep-Alive", "Proxy-Authorization", "TE", "Proxy-Connection"}) {
        CHECK_MESSAGE(!request.has(name), name);
    }
    CHECK(request.field("Connection").find("X-Mine") == std::string::npos);
    CHECK(request.field("X-End") == "kept");
    CHECK_FALSE(response.has("X-Private"));
    CHECK_FALSE(response.has("Keep-Alive"));
    CHECK(response.field("X-End") == "kept");
}

TEST_CASE("Connection cannot remove what Larder itself has added or must keep")
{
    Stage stage({});
    stage.get("/a", {"Connection: Host, X-Forwarded-For, X-Request-ID, close"});
    const Request request = stage.origin.last("/a");
    CHECK(request.field("Host") == "app.test");
    CHECK(request.has("X-Forwarded-For"));
    CHECK(request.has("X-Request-ID"));
}

TEST_CASE("the app learns who asked, by which protocol and host, and through what")
{
    Stage stage({});
    stage.get("/a");
    const Request request = stage.origin.last("/a");
    CHECK(request.field("X-Forwarded-For") == "127.0.0.1");
    CHECK(request.field("X-Forwarded-Proto") == "http");
    CHECK(request.field("X-Forwarded-Host") == "app.test");
    CHECK(request.field("Host") == "app.test");
    CHECK(request.field("Via").find("larder") != std::string::npos);
    CHECK(request.field("Via").starts_with("1.1 "));
    CHECK_FALSE(request.field("X-Request-ID").empty());
    CHECK(request.fields_count("X-Forwarded-For") == 1);
}

TEST_CASE("X-Forwarded fields of a client that is not trusted are not believed, those of a trusted proxy are kept")
{
    const std::vector<std::string> claims{"X-Forwarded-For: 10.0.0.1", "X-Forwarded-Proto: https",
                                          "X-Forwarded-Host: shop.test"};
    {
        Stage stage({});
        stage.get("/a", claims);
        const Request request = stage.origin.last("/a");
        CHECK(request.field("X-Forwarded-For") == "127.0.0.1");
        CHECK(request.field("X-Forwarded-Proto") == "http");
        CHECK(request.field("X-Forwarded-Host") == "app.test");
        CHECK(request.fields_count("X-Forwarded-Proto") == 1);
    }
    StageOptions options;
    options.options = "trusted_proxies: [127.0.0.0/8]\n";
    Stage stage(options);
    stage.get("/a", claims);
    const Request request = stage.origin.last("/a");
    CHECK(request.field("X-Forwarded-For") == "10.0.0.1, 127.0.0.1");
    CHECK(request.field("X-Forwarded-Proto") == "https");
    CHECK(request.field("X-Forwarded-Host") == "shop.test");
}

TEST_CASE("a request id is kept when there is one and made when there is none")
{
    Stage stage({});
    const Response kept = stage.get("/a", {"X-Request-ID: abc-123"});
    CHECK(stage.origin.last("/a").field("X-Request-ID") == "abc-123");
    stage.get("/a");
    const std::string first = stage.origin.last("/a").field("X-Request-ID");
    stage.get("/a");
    const std::string second = stage.origin.last("/a").field("X-Request-ID");
    CHECK_FALSE(first.empty());
    CHECK(first != second);
}

TEST_CASE("methods, targets and fields go through as they came")
{
    Stage stage({});
    auto client = stage.connect();
    for (const char* method : {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"}) {
        CAPTURE(method);
        const Response response = client->request(method, "/a%20b/%7Ec?q=%2F&q=2", {"X-A: 1", "x-a: 2"});
        CHECK(response.status == 200);
        const Request request = stage.origin.all().back();
        CHECK(request.method == method);
        CHECK(request.target == "/a%20b/%7Ec?q=%2F&q=2");
        CHECK(request.fields_count("X-A") == 2);
    }
    CHECK(client->request("OPTIONS", "*").status == 200);
    CHECK(stage.origin.all().back().target == "*");
}

TEST_CASE("a chunked upload and a chunked download go through, with their trailers")
{
    Stage stage({});
    stage.origin.on("/a")
        .chunked(10)
        .trailer("X-Checksum", "abc")
        .header("Trailer", "X-Checksum")
        .reply(200, "", "0123456789abc");
    auto client = stage.connect();
    client->send_bytes(
        "POST /a HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nConnection: TE\r\nTrailer: X-Sum\r\nTransfer-Encoding: "
        "chunked\r\n\r\n"
        "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n");
    const Response response = client->read();
    CHECK(response.body == "0123456789abc");
    CHECK(response.ended_properly);
    REQUIRE(response.trailers.size() == 1);
    CHECK(response.trailers[0] == std::pair<std::string, std::string>{"X-Checksum", "abc"});
    const Request request = stage.origin.last("/a");
    CHECK(request.body == "hello world");
    REQUIRE(request.trailers.size() == 1);
    CHECK(request.trailers[0] == std::pair<std::string, std::string>{"X-Sum", "1"});
    CHECK(client->get("/b").body == "GET /b #1");  // the connection is still in step
}

TEST_CASE("a response without a length goes through, and its end is the end")
{
    Stage stage({});
    const std::string body = pattern_bytes(0, 300'000);
    stage.origin.on("/a").until_close().reply(200, "", body);
    CHECK(stage.get("/a").body == body);
}

TEST_CASE("204, 304 and HEAD have no body, and the connection stays in step")
{
    Stage stage({});
    stage.origin.on("/204").reply(204, "", "");
    stage.origin.on("/304").header("ETag", "\"1\"").reply(304, "", "");
    stage.origin.on("/big").reply(200, "", std::string(1000, 'x'));
    auto client = stage.connect();
    CHECK(client->get("/204").status == 204);
    CHECK(client->get("/304", {"If-None-Match: \"1\""}).status == 304);
    const Response head = client->request("HEAD", "/big");
    CHECK(head.field("Content-Length") == "1000");
    CHECK(client->get("/a").body == "GET /a #1");
}

TEST_CASE("Expect: 100-continue: the client is asked for the body and then answered")
{
    Stage stage({});
    auto client = stage.connect();
    client->send_bytes("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    CHECK(client->wire().take_through("\r\n\r\n").starts_with("HTTP/1.1 100"));
    client->send_bytes("hello");
    CHECK(client->read().body == "POST /a #1");
    CHECK(stage.origin.last("/a").body == "hello");
}

TEST_CASE("Expect: 100-continue: a refusal of the app reaches the client before it has sent the body")
{
    Stage stage({});
    stage.origin.on("/a").early().reply(403, "", "no");
    auto client = stage.connect();
    client->send_bytes("POST /a HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n");
    const Response response = client->read();
    CHECK(response.status == 403);
    CHECK(response.body == "no");
}

TEST_CASE("interim responses are passed on before the final one")
{
    Stage stage({});
    stage.origin.on("/a")
        .interim("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n")
        .reply(200, "", "hello");
    const Response response = stage.get("/a");
    CHECK(response.body == "hello");
    REQUIRE(response.interim.size() == 1);
    CHECK(response.interim[0].status == 103);
    CHECK(response.interim[0].field("Link") == "</style.css>; rel=preload");
}

TEST_CASE("an interim response is not sent to an HTTP/1.0 client")
{
    Stage stage({});
    stage.origin.on("/a").interim("HTTP/1.1 103 Early Hints\r\n\r\n").reply(200, "", "hello");
    auto client = stage.connect();
    client->send_bytes("GET /a HTTP/1.0\r\n\r\n");
    const Response response = client->read();
    CHECK(response.interim.empty());
    CHECK(response.body == "hello");
}

TEST_CASE("an upgraded connection carries bytes both ways until either side ends it")
{
    Stage stage({});
    stage.origin.on("/chat").handle([](Conversation& conversation) {
        conversation.wire.send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: chat\r\n\r\nwelcome");
        for (;;) {
            if (conversation.wire.unread().empty() && !conversation.wire.receive()) break;
            const std::string heard = std::exchange(conversation.wire.unread(), {});
            if (heard == "bye") break;
            conversation.wire.send("echo " + heard);
        }
    });
    auto client = stage.connect();
    client->send("GET", "/chat", {"Connection: Upgrade", "Upgrade: chat", "Sec-WebSocket-Key: x"});
    const Response response = client->read();
    CHECK(response.status == 101);
    CHECK(equal_ignoring_case(response.field("Connection"), "Upgrade"));
    CHECK(response.field("Upgrade") == "chat");
    CHECK(client->wire().take(7) == "welcome");
    for (int i = 0; i < 5; ++i) {
        const std::string said = "message " + std::to_string(i);
        client->send_bytes(said);
        CHECK(client->wire().take(5 + said.size()) == "echo " + said);
    }
    client->send_bytes("bye");
    CHECK(client->wire().is_closed_by_peer());
    CHECK(stage.origin.last("/chat").field("Upgrade") == "chat");
}

TEST_CASE("an upgrade that the app declines is an ordinary exchange")
{
    Stage stage({});
    auto client = stage.connect();
    CHECK(client->get("/a", {"Connection: Upgrade", "Upgrade: h2c"}).body == "GET /a #1");
    CHECK(client->get("/a").body == "GET /a #2");
}

TEST_CASE("each event of a stream arrives before the next one is sent")
{
    Stage stage({});
    std::mutex mutex;
    std::condition_variable turn;
    int allowed = 0;
    stage.origin.on("/events").handle([&](Conversation& conversation) {
        conversation.wire.send(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (int i = 1; i <= 5; ++i) {
            std::unique_lock lock(mutex);
            turn.wait(lock, [&] { return allowed >= i; });
            conversation.wire.send("9\r\ndata: " + std::to_string(i) + "\n\n\r\n");
        }
        conversation.wire.send("0\r\n\r\n");
        conversation.keep = true;
    });
    auto client = stage.connect();
    client->send("GET", "/events");
    const Response head = read_response_head(client->wire());
    CHECK(head.field("Content-Type") == "text/event-stream");
    for (int i = 1; i <= 5; ++i) {
        {
            const std::lock_guard lock(mutex);
            allowed = i;
        }
        turn.notify_all();
        CHECK(client->wire().take_through("\n\n").find("data: " + std::to_string(i)) != std::string::npos);
    }
}

TEST_CASE("an app that answers a big upload early is heard")
{
    Stage stage({});
    stage.origin.on("/upload").early().reply(413, "", "too much");
    auto client = stage.connect();
    client->send_bytes("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 50000000\r\n\r\n");
    const std::string piece(65536, 'x');
    // Sends on until the connection takes no more or the answer is there, as a client does that looks at both.
    try {
        for (std::uint64_t sent = 0; sent < 50'000'000 && client->wire().is_silent_for(milliseconds{0});) {
            sent += client->wire().send_some(std::string_view(piece).substr(0, 50'000'000 - sent));
        }
    } catch (const Ended&) {
    }
    const Response response = client->read();
    CHECK(response.status == 413);
    CHECK(response.body == "too much");
}

}  // namespace larder::tests
