// The way to the app: TCP, unix socket and TLS; connections that die; apps that refuse, stall or talk nonsense.
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

/// The answer to a failing upstream: problem+json that carries the request id.
void check_problem(const Response& response, int status)
{
    CHECK(response.status == status);
    CHECK(response.field("Content-Type") == "application/problem+json");
    CHECK(response.ended_properly);
    const std::string id = response.field("X-Request-ID");
    CHECK_FALSE(id.empty());
    CHECK(response.body.find("\"" + id + "\"") != std::string::npos);
    CHECK(response.body.find("\"status\":" + std::to_string(status)) != std::string::npos);
}

}  // namespace

TEST_CASE("a reused connection that died before the answer is replaced once, without a word to the client")
{
    Stage stage({});
    auto client = stage.connect();
    CHECK(client->get("/a").status == 200);
    await_condition("the upstream connection is idle", [&] { return stage.origin.close_idle_connections() > 0; });
    CHECK(client->get("/a").body == "GET /a #2");

    // The harder case: the app takes the request on the old connection and closes without answering.
    stage.origin.on("/b").handle([](Conversation& conversation) {
        if (conversation.number == 1) return;
        conversation.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        conversation.keep = true;
    });
    CHECK(client->get("/b").body == "ok");
    CHECK(stage.origin.requests("/b") == 2);
    CHECK(stage.larder->metric("larder_upstream_retries_total") >= 1);
}

TEST_CASE_TEMPLATE("misses that follow each other on one connection are answered whatever the app does", Backend,
                   Embedded, OverRedis)
{
    Stage stage(over<Backend>(item_rules));
    const auto sends = [&](const std::string& target, std::vector<std::string> pieces, bool keep = true) {
        stage.origin.on(target).handle([pieces, keep](Conversation& conversation) {
            for (const std::string& piece : pieces) conversation.wire.send(piece);
            conversation.keep = keep;
        });
    };
    const std::string head = "HTTP/1.1 200 OK\r\n", private_field = "Cache-Control: private\r\n";
    sends("/items/whole", {head + "Content-Length: 2\r\n\r\nok"});
    sends("/items/head-in-pieces", {head + "Conte", "nt-Length: 2\r\n\r\nok"});
    sends("/items/body-in-pieces", {head + "Content-Length: 2\r\n\r\no", "k"});
    sends("/items/body-later", {head + "Content-Length: 2\r\n\r\n", "ok"});
    sends("/items/chunked", {head + "Transfer-Encoding: chunked\r\n\r\n1\r\no\r\n", "1\r\nk\r\n0\r\n\r\n"});
    sends("/items/until-close", {head + "\r\nok"}, false);
    sends("/items/interim", {"HTTP/1.1 103 Early Hints\r\n\r\n", head + "Content-Length: 2\r\n\r\nok"});
    sends("/items/not-storable", {head + private_field + "Content-Length: 2\r\n\r\nok"});
    sends("/items/not-storable-later", {head + private_field + "Content-Length: 2\r\n\r\n", "ok"});
    sends("/items/empty", {head + "Content-Length: 0\r\n\r\n"});
    sends("/items/nothing", {"HTTP/1.1 204 No Content\r\n\r\n"});
    sends("/items/error", {"HTTP/1.1 500 Oops\r\nContent-Length: 2\r\n\r\nno"});
    sends("/items/nonsense", {"SSH-2.0-OpenSSH_9.2\r\n\r\n"}, false);
    sends("/items/cut-head", {"HTTP/1.1 200 OK\r\nContent-Le"}, false);
    stage.origin.on("/items/died").handle([](Conversation& conversation) {
        if (conversation.number == 1) return;  // as if it had just closed a connection that it had kept
        conversation.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        conversation.keep = true;
    });

    struct Expected {
        const char* name;
        int status;
        const char* body;
        bool stored;
    };
    const Expected all[] = {
        {"whole", 200, "ok", true},
        {"head-in-pieces", 200, "ok", true},
        {"body-in-pieces", 200, "ok", true},
        {"body-later", 200, "ok", true},
        {"chunked", 200, "ok", true},
        {"until-close", 200, "ok", false},
        {"interim", 200, "ok", true},
        {"not-storable", 200, "ok", false},
        {"empty", 200, "", true},
        {"not-storable-later", 200, "ok", false},
        {"nothing", 204, "", true},
        {"error", 500, "no", false},
        {"nonsense", 502, "", false},
        {"cut-head", 502, "", false},
        {"died", 200, "ok", true},
    };
    auto client = stage.connect();
    int others = 0;
    for (const Expected& expected : all) {
        CAPTURE(expected.name);
        // A miss before leaves a connection to the app, so that this one need not wait for any.
        CHECK(client->get("/items/other-" + std::to_string(++others)).status == 200);
        const std::string target = std::string("/items/") + expected.name;
        const Response miss = client->get(target);
        CHECK(miss.status == expected.status);
        if (expected.status != 502) CHECK(miss.body == expected.body);
        CHECK(contains(miss.cache_status(), "fwd=uri-miss"));
        CHECK(contains(miss.cache_status(), "; stored") == expected.stored);
        CHECK(miss.ended_properly);
        if (!expected.stored) continue;
        const Response hit = stage.fill(target);
        CHECK(hit.status == expected.status);
        CHECK(hit.body == expected.body);
        CHECK(stage.origin.requests(target) == (target == "/items/died" ? 2 : 1));
    }
    CHECK(client->get("/items/other-1").status == 200);
}

TEST_CASE("a fresh connection that dies is no reason to ask again: 502")
{
    Stage stage({});
    stage.origin.on("/a").drop();
    check_problem(stage.get("/a"), 502);
    CHECK(stage.origin.requests("/a") == 1);
}

TEST_CASE("a POST is never sent twice once the app may have seen it")
{
    Stage stage({});
    auto client = stage.connect();
    CHECK(client->get("/warm").status == 200);
    stage.origin.on("/b").handle([](Conversation& conversation) {
        read_body(conversation.wire, conversation.request, 1000);  // acted upon, then died
    });
    check_problem(client->request("POST", "/b", {}, "pay"), 502);
    CHECK(stage.origin.requests("/b") == 1);
}

TEST_CASE("a GET is not repeated once a part of its answer has come")
{
    Stage stage({});
    auto client = stage.connect();
    CHECK(client->get("/warm").status == 200);
    stage.origin.on("/b").raw("HTTP/1.1 200 OK\r\nContent-Le");
    check_problem(client->get("/b"), 502);
    CHECK(stage.origin.requests("/b") == 1);
}

TEST_CASE("an app that refuses connections gives 502")
{
    Stage stage({});
    stage.origin.stop_listening();
    for (int i = 0; i < 3; ++i) check_problem(stage.get("/a"), 502);
}

TEST_CASE("an answer that is no HTTP gives 502")
{
    const char* const answers[] = {
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX-A : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200",
    };
    for (const char* answer : answers) {
        CAPTURE(answer);
        Stage stage({});
        stage.origin.on("/a").raw(answer);
        check_problem(stage.get("/a"), 502);
    }
    Stage stage({});
    stage.origin.on("/a").raw("HTTP/1.1 200 OK\r\nX-Long: " + std::string(200'000, 'a') + "\r\n\r\n");
    check_problem(stage.get("/a"), 502);
}

TEST_CASE("a body that is cut short is cut short for the client, too")
{
    Stage stage({});
    stage.origin.on("/length").cut_after(10).reply(200, "", std::string(100, 'x'));
    stage.origin.on("/chunked").chunked(10).cut_after(17).reply(200, "", std::string(100, 'x'));
    for (const char* target : {"/length", "/chunked"}) {
        CAPTURE(target);
        const Response response = stage.get(target);
        CHECK(response.status == 200);
        CHECK(response.body == std::string(10, 'x'));  // what came is not lost
        CHECK_FALSE(response.ended_properly);
    }
}

TEST_CASE("an app that says nothing gives 504 when its time is over")
{
    ScriptedOrigin origin;
    origin.on("/silent").silent();
    const std::string upstream =
        "upstream:\n  url: http://127.0.0.1:" + std::to_string(origin.port()) + "\n  first_byte_timeout: 200ms\n";
    const std::string rules = "rules:\n  - name: stored\n    match: GET /silent\n    key: silent\n    ttl: 60s\n";
    for (const std::string& part : {std::string(), rules}) {  // passed and filled alike
        LarderProcess larder(upstream + part);
        HttpClient client(larder.port());
        check_problem(client.get("/silent"), 504);
        CHECK(client.get("/other").status == 200);  // the client's connection survives
        check_problem(client.request("POST", "/silent", {}, "x"), 504);
    }
}

TEST_CASE("an app that stops in the middle of a body is cut off when its time is over")
{
    ScriptedOrigin origin;
    origin.on("/stall").handle([](Conversation& conversation) {
        conversation.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nstart");
        while (conversation.wire.receive()) {}
    });
    LarderProcess larder("upstream:\n  url: http://127.0.0.1:" + std::to_string(origin.port()) +
                         "\n  idle_timeout: 200ms\n");
    HttpClient client(larder.port());
    const Response response = client.get("/stall");
    CHECK(response.status == 200);
    CHECK(response.body == "start");
    CHECK_FALSE(response.ended_properly);
}

TEST_CASE("the app may be behind a unix socket")
{
    const TemporaryDirectory directory;
    const std::string path = directory.path() + "/app.sock";
    ScriptedOrigin origin(ScriptedOrigin::Kind::unix_socket, path);
    LarderProcess larder("upstream: unix:" + path + "\n");
    HttpClient client(larder.port());
    CHECK(client.get("/a").body == "GET /a #1");
    CHECK(client.request("POST", "/b", {}, "hello").body == "POST /b #1");
    CHECK(origin.last("/a").field("Host") == "app.test");
    CHECK(origin.connections() == 1);
}

TEST_CASE("the app may speak TLS, with a certificate that is checked")
{
    const Certificates certificates = make_certificates();
    const TemporaryDirectory directory;
    const std::string authority = directory.write("ca.pem", certificates.authority);
    ScriptedOrigin origin(ScriptedOrigin::Kind::tls, "", certificates);
    const std::string body = pattern_bytes(0, 3'000'000);
    origin.on("/big").chunked(10'000).reply(200, "", body);
    for (const char* host : {"localhost", "127.0.0.1"}) {
        CAPTURE(host);
        LarderProcess larder("upstream:\n  url: https://" + std::string(host) + ":" + std::to_string(origin.port()) +
                             "\n  ca_file: " + authority + "\n");
        HttpClient client(larder.port());
        CHECK(client.get("/a").status == 200);
        CHECK(client.get("/big").body == body);
        CHECK(client.request("POST", "/up", {}, body).status == 200);
        CHECK(origin.last("/up").body_bytes == body.size());
    }
}

TEST_CASE("an app whose certificate is not signed by the given authority, or is for another name, gives 502")
{
    const Certificates other = make_certificates();
    const TemporaryDirectory directory;
    const std::string wrong_authority = directory.write("other.pem", other.authority);
    {
        ScriptedOrigin origin(ScriptedOrigin::Kind::tls);
        LarderProcess larder("upstream:\n  url: https://localhost:" + std::to_string(origin.port()) +
                             "\n  ca_file: " + wrong_authority + "\n");
        HttpClient client(larder.port());
        check_problem(client.get("/a"), 502);
        CHECK(origin.requests() == 0);
    }
    const Certificates elsewhere = make_certificates("DNS:elsewhere.test");
    const std::string authority = directory.write("elsewhere.pem", elsewhere.authority);
    ScriptedOrigin origin(ScriptedOrigin::Kind::tls, "", elsewhere);
    LarderProcess larder("upstream:\n  url: https://localhost:" + std::to_string(origin.port()) +
                         "\n  ca_file: " + authority + "\n");
    HttpClient client(larder.port());
    check_problem(client.get("/a"), 502);
    CHECK(origin.requests() == 0);
}

TEST_CASE("an entry within stale_if_error is served when the app fails, and a purged one never")
{
    StageOptions options;
    options.rules = R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 200ms
    stale_if_error: 10m
  - name: item-write
    match: PUT /items/{id}
    purge: ["item:{id}"]
)";
    Stage stage(options);
    stage.origin.on("GET /items/1").reply(200, "", "good");
    stage.get("/items/1");
    stage.origin.on("GET /items/1").reply(503, "", "bad");
    await_condition("the entry has expired", [&] {
        stage.get("/items/1");
        return stage.origin.requests("GET /items/1") >= 2;
    });
    const Response stale = stage.get("/items/1");
    CHECK(stale.status == 200);
    CHECK(stale.body == "good");
    CHECK(stage.request("PUT", "/items/1", {}, "x").status == 200);
    const Response purged = stage.get("/items/1");
    CHECK(purged.status == 503);
    CHECK(purged.body == "bad");
}

TEST_CASE("an entry within stale_while_revalidate is served at once and refreshed behind it")
{
    StageOptions options;
    options.rules = R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 200ms
    stale_while_revalidate: 10m
)";
    Stage stage(options);
    stage.origin.on("/items/1").reply(200, "", "old");
    stage.get("/items/1");
    stage.origin.on("/items/1").hold().reply(200, "", "new");
    // While the origin answers nobody, every reader is served: fresh, then stale.
    await_condition("a refresh begins", [&] {
        CHECK(stage.get("/items/1").body == "old");
        return stage.origin.requests("/items/1") >= 2;
    });
    await_condition("it is served stale", [&] {  // in the millisecond in which it expires the ttl is 0
        return stage.get("/items/1").cache_status().starts_with("larder; hit; ttl=-");
    });
    CHECK(stage.origin.requests("/items/1") == 2);  // one refresh, not one a reader
    stage.origin.release("/items/1");
    await_condition("the new body is there", [&] { return stage.get("/items/1").body == "new"; });
}

TEST_CASE("an expired entry with a validator is asked about, and a 304 renews it")
{
    StageOptions options;
    options.rules = R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 200ms
    stale_if_error: 10m
)";
    Stage stage(options);
    stage.origin.on("/items/1").handle([](Conversation& conversation) {
        if (conversation.request.field("If-None-Match") == "\"v1\"") {
            conversation.wire.send("HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\n\r\n");
        } else {
            conversation.wire.send("HTTP/1.1 200 OK\r\nETag: \"v1\"\r\nContent-Length: 5\r\n\r\nhello");
        }
        conversation.keep = true;
    });
    stage.get("/items/1");
    Response renewed;
    await_condition("the entry is revalidated", [&] {
        renewed = stage.get("/items/1");
        return stage.origin.requests("/items/1") >= 2;
    });
    CHECK(renewed.status == 200);
    CHECK(renewed.body == "hello");
    CHECK(renewed.cache_status().starts_with("larder; fwd=stale"));
    CHECK(stage.origin.last("/items/1").field("If-None-Match") == "\"v1\"");
}

}  // namespace larder::tests
