// Misses, hits and what they say; lifetimes; conditional requests and HEAD. The same stories over both stores.
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const event_rules = R"(
rules:
  - name: event-list
    match: GET /api/events
    key: events:list:{query.page|1}
    ttl: 60s
  - name: event
    match: GET /api/events/{id}
    key: event:{id}
    ttl: 30m
)";

}  // namespace

TEST_CASE_TEMPLATE("a miss is stored, and the next reader gets it from the cache with Age and Cache-Status", Backend,
                   Embedded, OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    stage.origin.on("/api/events/7").header("Content-Type", "application/json").reply(200, "", R"({"id":7})");

    const Response miss = stage.get("/api/events/7");
    CHECK(miss.status == 200);
    CHECK(miss.body == R"({"id":7})");
    CHECK(miss.cache_status() == "larder; fwd=uri-miss; stored");

    const Response hit = stage.fill("/api/events/7");
    CHECK(hit.status == 200);
    CHECK(hit.body == R"({"id":7})");
    CHECK(hit.field("Content-Type") == "application/json");
    CHECK(hit.age() >= 0);
    CHECK(hit.age() <= 20);
    const long ttl = std::strtol(hit.cache_status().c_str() + std::string("larder; hit; ttl=").size(), nullptr, 10);
    CHECK(ttl <= 1800);
    CHECK(ttl >= 1780);
    CHECK(stage.origin.requests("/api/events/7") == 1);
}

TEST_CASE("in the embedded store an answer is stored before its last byte goes out: the next reader gets a hit")
{
    Stage stage(over<Embedded>(event_rules));
    for (int i = 0; i < 50; ++i) {
        const std::string target = "/api/events/" + std::to_string(i);
        CHECK(stage.get(target).cache_status() == "larder; fwd=uri-miss; stored");
        CHECK(is_hit(stage.get(target)));
    }
}

TEST_CASE_TEMPLATE("a key with a default value is the same with and without the parameter", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    const std::string body = stage.fill("/api/events").body;
    const Response named = stage.get("/api/events?page=1");
    CHECK(is_hit(named));
    CHECK(named.body == body);
    CHECK(stage.get("/api/events?page=2").cache_status() == "larder; fwd=uri-miss; stored");
}

TEST_CASE_TEMPLATE("an empty body is a body: it is stored and served", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    stage.origin.on("/api/events/0").reply(200, "", "");
    stage.fill("/api/events/0");
    const Response hit = stage.get("/api/events/0");
    CHECK(hit.status == 200);
    CHECK(hit.field("Content-Length") == "0");
    CHECK(hit.body.empty());
}

TEST_CASE_TEMPLATE("a chunked response is stored whole and served with its length or chunked, byte for byte", Backend,
                   Embedded, OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    const std::string body = pattern_bytes(0, 100'000);
    stage.origin.on("/api/events/7").chunked(777).reply(200, "", body);
    CHECK(stage.get("/api/events/7").body == body);
    const Response hit = stage.fill("/api/events/7");
    CHECK(hit.ended_properly);
    CHECK(hit.body == body);
}

TEST_CASE_TEMPLATE("an entry is gone when its ttl is over", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(R"(
rules:
  - name: short
    match: GET /short
    key: short
    ttl: 200ms
)"));
    stage.get("/short");
    await_condition("the origin is asked again", [&] {
        stage.get("/short");
        return stage.origin.requests("/short") >= 2;
    });
}

TEST_CASE_TEMPLATE("without a rule a request passes by and says so", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    for (int i = 0; i < 2; ++i) {
        CHECK(stage.get("/other").cache_status() == "larder; fwd=bypass; detail=no-rule");
    }
    CHECK(stage.origin.requests("/other") == 2);
}

TEST_CASE("what is stored under one host, path or query is not served for another when the rule names no key")
{
    Stage stage(over<Embedded>(R"(
rules:
  - name: pages
    match: GET /pages/{rest*}
    ttl: 60s
)"));
    stage.fill("/pages/a?x=1&y=2");
    CHECK(is_hit(stage.get("/pages/a?y=2&x=1")));  // the query is sorted
    CHECK_FALSE(is_hit(stage.get("/pages/a?x=1")));
    CHECK_FALSE(is_hit(stage.get("/pages/b?x=1&y=2")));
    HttpClient client(stage.larder->port());
    client.send_bytes("GET /pages/a?x=1&y=2 HTTP/1.1\r\nHost: other.test\r\n\r\n");
    CHECK_FALSE(is_hit(client.read()));
}

TEST_CASE_TEMPLATE("If-None-Match and If-Modified-Since are answered with 304 from the entry", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    stage.origin.on("/api/events/7")
        .header("ETag", "\"v1\"")
        .header("Last-Modified", "Sat, 01 Jan 2022 00:00:00 GMT")
        .reply(200, "", "hello");
    stage.fill("/api/events/7");

    const Response same = stage.get("/api/events/7", {"If-None-Match: \"v0\", W/\"v1\""});
    CHECK(same.status == 304);
    CHECK(same.body.empty());
    CHECK(same.field("ETag") == "\"v1\"");
    CHECK(stage.get("/api/events/7", {"If-None-Match: *"}).status == 304);
    CHECK(stage.get("/api/events/7", {"If-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT"}).status == 304);

    CHECK(stage.get("/api/events/7", {"If-None-Match: \"v2\""}).body == "hello");
    CHECK(stage.get("/api/events/7", {"If-Modified-Since: Fri, 31 Dec 2021 00:00:00 GMT"}).status == 200);
    // If-None-Match wins (RFC 9110 13.2.2).
    CHECK(stage.get("/api/events/7", {"If-None-Match: \"v2\"", "If-Modified-Since: Sat, 01 Jan 2022 00:00:00 GMT"})
              .status == 200);
    CHECK(stage.origin.requests("/api/events/7") == 1);
}

TEST_CASE("a conditional request that misses fills the cache with the whole answer")
{
    Stage stage(over<Embedded>(event_rules));
    stage.origin.on("/api/events/7").header("ETag", "\"v1\"").reply(200, "", "hello");
    const Response first = stage.get("/api/events/7", {"If-None-Match: \"v1\""});
    CHECK((first.status == 304 || first.body == "hello"));
    const Response second = stage.fill("/api/events/7");
    CHECK(second.status == 200);
    CHECK(second.body == "hello");
}

TEST_CASE_TEMPLATE("HEAD is answered from the entry of GET", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    stage.origin.on("/api/events/7").header("X-Kind", "event").reply(200, "", "hello");
    stage.fill("/api/events/7");
    auto client = stage.connect();
    const Response head = client->request("HEAD", "/api/events/7");
    CHECK(head.status == 200);
    CHECK(is_hit(head));
    CHECK(head.field("Content-Length") == "5");
    CHECK(head.field("X-Kind") == "event");
    CHECK(client->get("/api/events/7").body == "hello");  // no stray body bytes between the two
    CHECK(stage.origin.requests("/api/events/7") == 1);
}

TEST_CASE("HEAD that misses leaves no entry without a body behind")
{
    Stage stage(over<Embedded>(event_rules));
    stage.origin.on("/api/events/7").reply(200, "", "hello");
    const Response head = stage.request("HEAD", "/api/events/7");
    CHECK(head.status == 200);
    CHECK(head.field("Content-Length") == "5");
    CHECK(stage.get("/api/events/7").body == "hello");
    CHECK(stage.get("/api/events/7").body == "hello");
}

TEST_CASE("LARDER_CACHE=off passes everything through")
{
    StageOptions options = over<Embedded>(event_rules);
    options.environment = {"LARDER_CACHE=off"};
    Stage stage(options);
    for (int i = 1; i <= 2; ++i) {
        const Response response = stage.get("/api/events/7");
        CHECK(response.cache_status() == "larder; fwd=bypass; detail=cache-off");
        CHECK(response.body == "GET /api/events/7 #" + std::to_string(i));
    }
}

TEST_CASE("without a file the origin's own headers decide")
{
    ScriptedOrigin origin;
    origin.on("/stored").reply(200, "max-age=60", "hello");
    LarderProcess larder(
        "", {}, {"--upstream", "http://127.0.0.1:" + std::to_string(origin.port()), "--listen", "127.0.0.1:0"});
    HttpClient client(larder.port());
    CHECK(client.get("/stored").body == "hello");
    CHECK(is_hit(client.get("/stored")));
    client.get("/silent");
    CHECK_FALSE(is_hit(client.get("/silent")));
}

}  // namespace larder::tests
