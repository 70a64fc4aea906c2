// RFC 9111 §5.2.1: what a client's Cache-Control does, where it is respected and where it is not.
#include "tests/support/answers.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const respecting = R"(
rules:
  - name: page
    match: GET /{rest*}
    key: page:{path}
    ttl: 60s
    stale_if_error: 1m
    client_cache_control: respect
)";

const char* const ignoring = R"(
rules:
  - name: page
    match: GET /{rest*}
    key: page:{path}
    ttl: 60s
)";

}  // namespace

TEST_CASE("by default no stranger voids the cache: what a client's Cache-Control says is nothing to a rule")
{
    Stage stage(over<Embedded>(ignoring));
    stage.fill("/a");
    for (const std::string field : {"Cache-Control: no-cache", "Cache-Control: max-age=0", "Cache-Control: no-store",
                                    "Cache-Control: min-fresh=1000", "Pragma: no-cache"})
        CHECK(is_hit(stage.get("/a", {field})));
    CHECK(stage.get("/b", {"Cache-Control: only-if-cached"}).status == 200);
    CHECK(stage.origin.requests("/a") == 1);
}

TEST_CASE_TEMPLATE("respected: no-cache, max-age and min-fresh have a fresh response validated", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(respecting));
    stage.origin.on("/a").header("ETag", "\"v1\"").reply(200, "", "hello");
    stage.fill("/a");
    stage.origin.on("/a").reply(304, "", "");
    std::size_t requests = stage.origin.requests("/a");
    for (const std::string field :
         {"Cache-Control: no-cache", "Cache-Control: max-age=0", "Cache-Control: min-fresh=1000", "Pragma: no-cache"}) {
        CAPTURE(field);
        const Response response = stage.get("/a", {field});
        CHECK(response.status == 200);
        CHECK(response.body == "hello");
        CHECK(response.cache_status().starts_with("larder; fwd=request; fwd-status=304"));
        CHECK(response.cache_status().ends_with("; detail=client-cache-control"));
        CHECK(stage.origin.requests("/a") == ++requests);
        CHECK(stage.origin.last("/a").field("If-None-Match") == "\"v1\"");
    }
    for (const std::string field : {"Cache-Control: max-age=50", "Cache-Control: min-fresh=5", "Cache-Control: foo",
                                    "Cache-Control: only-if-cached", "Cache-Control: no-store"}) {
        CAPTURE(field);
        CHECK(is_hit(stage.get("/a", {field})));
    }
    CHECK(stage.origin.requests("/a") == requests);
}

TEST_CASE("respected: what no-cache brings is stored for the others")
{
    Stage stage(over<Embedded>(respecting));
    stage.fill("/a");
    CHECK(stage.get("/a", {"Cache-Control: no-cache"}).body == "GET /a #2");
    const Response hit = stage.get("/a");
    CHECK(is_hit(hit));
    CHECK(hit.body == "GET /a #2");
}

TEST_CASE("respected: only-if-cached gives what is stored, or 504, and the origin is not asked")
{
    Stage stage(over<Embedded>(respecting));
    const Response nothing = stage.get("/a", {"Cache-Control: only-if-cached"});
    CHECK(nothing.status == 504);
    CHECK(nothing.field("Content-Type") == "application/problem+json");
    CHECK(nothing.body.find("only-if-cached") != std::string::npos);
    CHECK(nothing.cache_status() == "larder; detail=only-if-cached");
    CHECK(stage.origin.requests("/a") == 0);
    stage.fill("/a");
    CHECK(is_hit(stage.get("/a", {"Cache-Control: only-if-cached"})));
    CHECK(stage.get("/a", {"Cache-Control: only-if-cached, max-age=0"}).status == 504);
    CHECK(stage.get("/a", {"Cache-Control: only-if-cached", "Cookie: a=b"}).status == 504);  // passes by
    CHECK(stage.origin.requests("/a") == 1);
    await_condition("all three are counted", [&] {  // the last one when its answer has left
        return stage.larder->metric("larder_forwards_total", "reason=\"only-if-cached\"") == 3;
    });
}

TEST_CASE("respected: max-stale gets what has expired, but not what must be revalidated or was purged")
{
    Stage stage(over<Embedded>(std::string(respecting) + R"(
  - name: write
    match: PUT /{rest*}
    purge: "page:{path}"
)"));
    stage.origin.on("/a").header("ETag", "\"v1\"").header("Age", "100").reply(200, "max-age=60", "hello");
    stage.get("/a");
    const Response stale = stage.get("/a", {"Cache-Control: max-stale=100"});
    CHECK(stale.body == "hello");
    CHECK(is_hit(stale));
    CHECK(stale.cache_status().find("ttl=-4") != std::string::npos);
    CHECK(stale.age() >= 100);
    CHECK(is_hit(stage.get("/a", {"Cache-Control: max-stale"})));
    CHECK(stage.origin.requests("/a") == 1);
    CHECK_FALSE(is_hit(stage.get("/a", {"Cache-Control: max-stale=10"})));

    stage.request("PUT", "/a");
    CHECK_FALSE(is_hit(stage.get("/a", {"Cache-Control: max-stale"})));

    for (const std::string forbids : {"must-revalidate", "proxy-revalidate", "s-maxage=60", "no-cache"}) {
        CAPTURE(forbids);
        const std::string path = "/" + forbids.substr(0, 4);
        stage.origin.on(path).header("ETag", "\"v1\"").header("Age", "100").reply(200, "max-age=60, " + forbids, "x");
        stage.get(path);
        CHECK_FALSE(is_hit(stage.get(path, {"Cache-Control: max-stale"})));
    }
}

TEST_CASE("respected: who insists on validation gets the failure, not what is stored; who allows it gets that")
{
    Stage stage(over<Embedded>(respecting));
    stage.origin.on("/a").header("ETag", "\"v1\"").reply(200, "max-age=60", "hello");
    stage.fill("/a");
    stage.origin.on("/a").reply(503, "", "away");
    CHECK(stage.get("/a", {"Cache-Control: no-cache"}).status == 503);
    CHECK(is_hit(stage.get("/a")));

    stage.origin.on("/b").handle(
        in_turn({answer(200, {"Cache-Control: max-age=60, stale-if-error=0", "Age: 100", "ETag: \"v1\""}, "hello"),
                 answer(503, {}, "away")}));
    stage.get("/b");
    CHECK(stage.get("/b").status == 503);
    const Response stale = stage.get("/b", {"Cache-Control: stale-if-error=100"});
    CHECK(stale.status == 200);
    CHECK(stale.body == "hello");
    CHECK(stale.cache_status() == "larder; fwd=stale; fwd-status=503; detail=stale-on-error");
}

TEST_CASE("without a rule, by the origin's word alone, requests are respected, unless the operator says ignore")
{
    for (const bool ignored : {false, true}) {
        const std::string options = std::string(by_origin) + (ignored ? "client_cache_control: ignore\n" : "");
        Stage stage(over<Embedded>("rules: []\n", options));
        stage.origin.on("/a").reply(200, "max-age=60", "hello");
        stage.fill("/a");
        CHECK(is_hit(stage.get("/a", {"Cache-Control: no-cache"})) == ignored);
        CHECK((stage.get("/b", {"Cache-Control: only-if-cached"}).status == 504) != ignored);
    }
}

TEST_CASE("the word of the whole process counts for rules that say nothing")
{
    Stage stage(over<Embedded>(ignoring, "client_cache_control: respect\n"));
    stage.fill("/a");
    CHECK_FALSE(is_hit(stage.get("/a", {"Cache-Control: no-cache"})));
}

}  // namespace larder::tests
