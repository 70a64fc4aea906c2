// Writes that purge before they are answered: from path, query, body and response, exact and by pattern.
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
  - name: event-write
    match: POST|PUT|PATCH|DELETE /api/events/{id?}
    purge: ["event:{id}", "events:list:*"]
)";

}  // namespace

TEST_CASE_TEMPLATE("a write has purged the item and every page of the list before it is answered", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    for (int round = 0; round < 20; ++round) {
        stage.fill("/api/events/7");
        stage.fill("/api/events");
        stage.fill("/api/events?page=2");
        stage.fill("/api/events/8");
        CHECK(stage.request("PUT", "/api/events/7", {}, "{}").status == 200);
        // An exact purge removes the entry; one by pattern leaves it where it is and makes it invalid.
        CHECK(stage.get("/api/events/7").cache_status().starts_with("larder; fwd="));
        CHECK(stage.get("/api/events").cache_status() == "larder; fwd=miss; stored; detail=purged");
        CHECK_FALSE(is_hit(stage.get("/api/events?page=2")));
        CHECK(is_hit(stage.get("/api/events/8")));
    }
}

TEST_CASE_TEMPLATE("an absent optional value skips its pattern and leaves the others", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    stage.fill("/api/events/7");
    stage.fill("/api/events");
    CHECK(stage.request("POST", "/api/events", {}, "{}").status == 200);
    CHECK(is_hit(stage.get("/api/events/7")));
    CHECK_FALSE(is_hit(stage.get("/api/events")));
}

TEST_CASE_TEMPLATE("a write that the app refuses or fails purges too: it may have changed something", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    for (const int status : {400, 404, 500, 503}) {
        stage.fill("/api/events/7");
        stage.origin.on("PUT /api/events/7").reply(status, "", "no");
        CHECK(stage.request("PUT", "/api/events/7", {}, "{}").status == status);
        CHECK_FALSE(is_hit(stage.get("/api/events/7")));
    }
}

TEST_CASE_TEMPLATE("values for a purge come from the JSON body of the write", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(R"(
rules:
  - name: followers
    match: GET /users/{id}/followers
    key: followers:{id}
    ttl: 5m
  - name: follow
    match: POST /follow
    purge: ["followers:{body.user_id}", "followers:{body.items.0.id}"]
)"));
    for (const char* id : {"1", "2", "3"}) stage.fill("/users/" + std::string(id) + "/followers");
    CHECK(
        stage
            .request("POST", "/follow", {"Content-Type: application/json"}, R"({"user_id": 1, "items": [{"id": "2"}]})")
            .status == 200);
    CHECK(stage.origin.last("/follow").body == R"({"user_id": 1, "items": [{"id": "2"}]})");
    CHECK_FALSE(is_hit(stage.get("/users/1/followers")));
    CHECK_FALSE(is_hit(stage.get("/users/2/followers")));
    CHECK(is_hit(stage.get("/users/3/followers")));
}

TEST_CASE_TEMPLATE("a chunked JSON body serves as well, and reaches the app whole", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(R"(
rules:
  - name: followers
    match: GET /users/{id}/followers
    key: followers:{id}
    ttl: 5m
  - name: follow
    match: POST /follow
    purge: ["followers:{body.user_id}"]
)"));
    stage.fill("/users/1/followers");
    stage.fill("/users/2/followers");
    HttpClient client(stage.larder->port());
    client.send_bytes(
        "POST /follow HTTP/1.1\r\nHost: app.test\r\nContent-Type: application/json\r\nTransfer-Encoding: "
        "chunked\r\n\r\n"
        "5\r\n{\"use\r\n9\r\nr_id\": 1}\r\n0\r\n\r\n");
    CHECK(client.read().status == 200);
    CHECK(stage.origin.last("/follow").body == R"({"user_id": 1})");
    CHECK_FALSE(is_hit(stage.get("/users/1/followers")));
    CHECK(is_hit(stage.get("/users/2/followers")));
}

TEST_CASE_TEMPLATE("a value that is missing widens the purge to the whole family", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(R"(
rules:
  - name: followers
    match: GET /users/{id}/followers
    key: followers:{id}
    ttl: 5m
  - name: profile
    match: GET /users/{id}
    key: profile:{id}
    ttl: 5m
  - name: follow
    match: POST /follow
    purge: ["followers:{body.user_id}"]
)"));
    struct Row {
        const char* why;
        std::string body;
    };
    const Row rows[] = {{"no such member", R"({"other": 1})"},
                        {"not JSON at all", "user_id=1"},
                        {"no body", ""},
                        {"an object is no value", R"({"user_id": {"a": 1}})"},
                        {"above 64 KiB", R"({"user_id": 1, "x": ")" + std::string(70'000, 'x') + "\"}"}};
    for (const Row& row : rows) {
        CAPTURE(std::string(row.why));
        stage.fill("/users/1/followers");
        stage.fill("/users/2/followers");
        stage.fill("/users/1");
        CHECK(stage.request("POST", "/follow", {"Content-Type: application/json"}, row.body).status == 200);
        CHECK_FALSE(is_hit(stage.get("/users/1/followers")));
        CHECK_FALSE(is_hit(stage.get("/users/2/followers")));
        CHECK(is_hit(stage.get("/users/1")));
    }
}

TEST_CASE_TEMPLATE("values for a purge come from the response: Location", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(R"(
rules:
  - name: page
    match: GET /pages/{id}
    key: page:{path}
    ttl: 5m
  - name: create
    match: POST /pages
    purge: ["page:{response.header.Location}"]
)"));
    stage.fill("/pages/1");
    stage.fill("/pages/2");
    stage.origin.on("POST /pages").header("Location", "/pages/1").reply(201, "", "");
    CHECK(stage.request("POST", "/pages", {}, "{}").status == 201);
    CHECK_FALSE(is_hit(stage.get("/pages/1")));
    CHECK(is_hit(stage.get("/pages/2")));
}

TEST_CASE_TEMPLATE("every purge rule that matches applies", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 5m
  - name: count
    match: GET /count
    key: count
    ttl: 5m
  - name: item-write
    match: PUT /items/{id}
    purge: ["item:{id}"]
  - name: any-write
    match: PUT /{rest*}
    purge: ["count"]
)"));
    stage.fill("/items/1");
    stage.fill("/count");
    stage.request("PUT", "/items/1", {}, "{}");
    CHECK_FALSE(is_hit(stage.get("/items/1")));
    CHECK_FALSE(is_hit(stage.get("/count")));
}

TEST_CASE_TEMPLATE("an alias with percent-encoded letters is one entry with the plain path and is purged with it",
                   Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    struct Row {
        const char* why;
        const char* read;
        const char* write;
    };
    const Row rows[] = {{"read by an alias", "/api/events/%37", "/api/events/7"},
                        {"written by an alias", "/api/events/7", "/api/events/%37"},
                        {"dot segments in the read", "/api/x/../events/7", "/api/events/7"},
                        {"dot segments in the write", "/api/events/7", "/api/events/./7"},
                        {"an encoded literal", "/api/%65vents/7", "/api/events/7"}};
    for (const Row& row : rows) {
        CAPTURE(std::string(row.why));
        stage.get(row.read);
        stage.get(row.read);
        CHECK(stage.request("PUT", row.write, {}, "{}").status == 200);
        CHECK_FALSE(is_hit(stage.get(row.read)));
        CHECK(stage.request("PUT", row.write, {}, "{}").status == 200);
        CHECK_FALSE(is_hit(stage.get("/api/events/7")));
    }
}

TEST_CASE_TEMPLATE("a value with a star or a colon purges its own key and no other", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    stage.fill("/api/events/7");
    stage.fill("/api/events/*");
    CHECK(stage.request("PUT", "/api/events/*", {}, "{}").status == 200);
    CHECK(is_hit(stage.get("/api/events/7")));
    CHECK_FALSE(is_hit(stage.get("/api/events/*")));
}

TEST_CASE("writes purge also while LARDER_CACHE=off, so that another replica serves nothing stale")
{
    Stage stage(over<OverRedis>(event_rules));
    stage.fill("/api/events/7");
    LarderProcess off("upstream: http://127.0.0.1:" + std::to_string(stage.origin.port()) +
                          "\nnamespace: story\nstore: " + stage.redis->url() + "\n" + event_rules,
                      {"LARDER_CACHE=off"});
    HttpClient client(off.port());
    CHECK(client.request("PUT", "/api/events/7", {}, "{}").status == 200);
    CHECK_FALSE(is_hit(stage.get("/api/events/7")));
}

TEST_CASE("a write through one replica is seen by a reader of another as soon as it is answered")
{
    Stage stage(over<OverRedis>(event_rules));
    LarderProcess other("upstream: http://127.0.0.1:" + std::to_string(stage.origin.port()) +
                        "\nnamespace: story\nstore: " + stage.redis->url() + "\n" + event_rules);
    HttpClient writer(stage.larder->port()), reader(other.port());
    for (int round = 0; round < 50; ++round) {
        await_condition("the reader's replica has stored it", [&] { return is_hit(reader.get("/api/events/7")); });
        CHECK(is_hit(writer.get("/api/events/7")));  // stored by one, served by both
        CHECK(writer.request("PUT", "/api/events/7", {}, "{}").status == 200);
        CHECK_FALSE(is_hit(reader.get("/api/events/7")));
    }
}

TEST_CASE("neither a purge by pattern nor anything else scans the keys of Redis")
{
    Stage stage(over<OverRedis>(event_rules));
    for (int i = 0; i < 100; ++i) stage.get("/api/events?page=" + std::to_string(i));
    CHECK(stage.request("POST", "/api/events", {}, "{}").status == 200);
    CHECK_FALSE(is_hit(stage.get("/api/events?page=5")));
    for (const char* command : {"scan", "keys", "flushdb", "flushall", "smembers"}) {
        CHECK_MESSAGE(stage.redis->calls(command) == 0, command);
    }
}

}  // namespace larder::tests
