// RFC 9111 §4.4: what a write voids without any purge rule.
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const invalidated_rules = R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 60s
  - name: list
    match: GET /items
    key: items:{query.page|1}
    ttl: 60s
  - name: mine
    match: GET /mine/{id}
    key: mine:{header.X-User}:{id}
    ttl: 60s
  - name: hook
    match: POST /hooks
    purge: ["item:9"]
)";

}  // namespace

TEST_CASE_TEMPLATE("a successful unsafe method voids what is stored for its own target (RFC 9111 section 4.4)", Backend,
                   Embedded, OverRedis)
{
    Stage stage(over<Backend>(invalidated_rules));
    for (const char* method : {"PUT", "POST", "PATCH", "DELETE", "FOO", "M-SEARCH"}) {
        CAPTURE(method);
        stage.fill("/items/7");
        stage.fill("/items/8");
        CHECK(stage.request(method, "/items/7", {}, "{}").status == 200);
        CHECK_FALSE(is_hit(stage.get("/items/7")));
        CHECK(is_hit(stage.get("/items/8")));
    }
    await_condition("they are counted",
                    [&] { return stage.larder->metric("larder_purges_total", "source=\"invalidation\"") == 6; });
    CHECK(stage.larder->metric("larder_purges_total", "source=\"write\"") == 0);
}

TEST_CASE("safe methods void nothing")
{
    Stage stage(over<Embedded>(invalidated_rules));
    stage.fill("/items/7");
    for (const char* method : {"OPTIONS", "TRACE", "HEAD"}) stage.request(method, "/items/7");
    CHECK(is_hit(stage.get("/items/7")));
}

TEST_CASE_TEMPLATE("a redirect voids, an error does not", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(invalidated_rules));
    for (const int status : {200, 201, 204, 301, 303, 307}) {
        CAPTURE(status);
        stage.fill("/items/7");
        stage.origin.on("PUT /items/7").reply(status, "", "");
        CHECK(stage.request("PUT", "/items/7", {}, "{}").status == status);
        CHECK_FALSE(is_hit(stage.get("/items/7")));
    }
    for (const int status : {400, 404, 409, 500, 503}) {
        CAPTURE(status);
        stage.fill("/items/7");
        stage.origin.on("PUT /items/7").reply(status, "", "no");
        CHECK(stage.request("PUT", "/items/7", {}, "{}").status == status);
        CHECK(is_hit(stage.get("/items/7")));
    }
}

TEST_CASE_TEMPLATE("Location and Content-Location of the same origin are voided, whatever form they have", Backend,
                   Embedded, OverRedis)
{
    Stage stage(over<Backend>(invalidated_rules));
    const std::string host = "app.test";  // what the client calls it
    for (const char* field : {"Location", "Content-Location"}) {
        for (const std::string& reference :
             {std::string("/items/7"), std::string("items/7"), std::string("./items/7#part"), std::string("/items/%37"),
              std::string("//") + host + "/items/7", "http://" + host + "/items/7", "https://" + host + "/items/7",
              "HTTP://" + host + "/a/../items/7"}) {
            CAPTURE(field);
            CAPTURE(reference);
            stage.fill("/items/7");
            stage.origin.on("POST /items").reply(201, "", "").header(field, reference);
            CHECK(stage.request("POST", "/items", {}, "{}").status == 201);
            CHECK_FALSE(is_hit(stage.get("/items/7")));
        }
    }
}

TEST_CASE("Location of another origin, or that is none, voids nothing")
{
    Stage stage(over<Embedded>(invalidated_rules));
    const std::string host = "app.test";  // what the client calls it
    stage.fill("/items/7");
    for (const std::string& reference :
         {std::string("http://evil.test/items/7"), std::string("//evil.test/items/7"), "ftp://" + host + "/items/7",
          "http://user@" + host + "/items/7", std::string("http://app.test:81/items/7"), std::string("http://["),
          std::string("%zz"), std::string("mailto:7")}) {
        CAPTURE(reference);
        stage.origin.on("POST /hooks").reply(201, "", "").header("Location", reference);
        CHECK(stage.request("POST", "/hooks", {}, "{}").status == 201);
        CHECK(is_hit(stage.get("/items/7")));
    }
    stage.origin.on("POST /hooks").reply(500, "", "").header("Location", "/items/7");
    CHECK(stage.request("POST", "/hooks", {}, "{}").status == 500);
    CHECK(is_hit(stage.get("/items/7")));
}

TEST_CASE_TEMPLATE("the answers of everybody are voided, whoever writes", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(invalidated_rules));
    stage.fill("/mine/7", {"X-User: ann"});
    stage.fill("/mine/7", {"X-User: bob"});
    stage.fill("/mine/8", {"X-User: bob"});
    CHECK(stage.request("DELETE", "/mine/7", {"X-User: admin"}).status == 200);
    CHECK_FALSE(is_hit(stage.get("/mine/7", {"X-User: ann"})));
    CHECK_FALSE(is_hit(stage.get("/mine/7", {"X-User: bob"})));
    CHECK(is_hit(stage.get("/mine/8", {"X-User: bob"})));
}

TEST_CASE_TEMPLATE("the query is a part of the target", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(invalidated_rules));
    stage.fill("/items?page=1");
    stage.fill("/items?page=2");
    CHECK(stage.request("POST", "/items?page=2", {}, "{}").status == 200);
    CHECK(is_hit(stage.get("/items?page=1")));
    CHECK_FALSE(is_hit(stage.get("/items?page=2")));
    // A parameter that no key names does not hide what is written to.
    stage.fill("/items/7");
    CHECK(stage.request("PUT", "/items/7?notify=1", {}, "{}").status == 200);
    CHECK_FALSE(is_hit(stage.get("/items/7")));
}

TEST_CASE_TEMPLATE("without rules, by the origin's word alone, a write voids its own URL too", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>("rules: []\n", "cache: respect-origin\n"));
    stage.origin.on("GET /page?a=1").reply(200, "max-age=60", "page");
    stage.fill("/page?a=1");
    CHECK(stage.request("POST", "/page?a=1", {}, "{}").status == 200);
    CHECK_FALSE(is_hit(stage.get("/page?a=1")));
}

TEST_CASE("what nobody caches is no purge: a write beside the rules asks nothing of the log")
{
    Stage stage(over<OverRedis>(invalidated_rules));
    CHECK(stage.request("POST", "/login", {}, "{}").status == 200);
    CHECK(stage.larder->metric("larder_purge_records_total") == 0);
}

}  // namespace larder::tests
