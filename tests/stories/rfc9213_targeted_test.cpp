// RFC 9213: fields that are aimed at this cache or at caches like it.
#include "tests/support/answers.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

TEST_CASE_TEMPLATE("Larder-Cache-Control decides, is not sent on, and holds after a 304 that does not repeat it",
                   Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>("rules: []\n", by_origin));
    const std::string ours = "Larder-Cache-Control: max-age=60", general = "Cache-Control: no-store",
                      cdn = "CDN-Cache-Control: no-store";
    stage.origin.on("/a").handle(in_turn(
        {answer(200, {ours, general, cdn, "Age: 100", "ETag: \"v1\""}, "hello"), answer(304, {"ETag: \"v1\""})}));
    const Response first = stage.get("/a");
    CHECK(first.cache_status() == "larder; fwd=uri-miss; stored");
    CHECK_FALSE(first.has("Larder-Cache-Control"));
    CHECK(first.field("CDN-Cache-Control") == "no-store");
    CHECK(first.field("Cache-Control") == "no-store");
    await_condition("it is stored", [&] { return stage.larder->metric("larder_memory_entries") >= 1; });
    const Response hit = stage.fill("/a");
    CHECK_FALSE(hit.has("Larder-Cache-Control"));
    CHECK(hit.field("Cache-Control") == "no-store");
    CHECK(stage.origin.last("/a").field("If-None-Match") == "\"v1\"");
}

TEST_CASE("Larder-Cache-Control is not sent on by what passes by either")
{
    Stage stage(over<Embedded>("rules: []\n"));
    stage.origin.on("/a").header("Larder-Cache-Control", "max-age=60").reply(200, "", "hello");
    CHECK_FALSE(stage.get("/a").has("Larder-Cache-Control"));
}

TEST_CASE("CDN-Cache-Control decides before Cache-Control and Expires; what is no dictionary is not there")
{
    Stage stage(over<Embedded>("rules: []\n", by_origin));
    stage.origin.on("/a").header("CDN-Cache-Control", "max-age=60").reply(200, "private", "x");
    CHECK(is_hit(stage.fill("/a")));
    stage.origin.on("/b").header("CDN-Cache-Control", "no-store").reply(200, "max-age=60", "x");
    CHECK(stage.get("/b").cache_status() == "larder; fwd=uri-miss; detail=no-store");
    stage.origin.on("/c").header("CDN-Cache-Control", "max-age=60, &").reply(200, "private", "x");
    CHECK(stage.get("/c").cache_status() == "larder; fwd=uri-miss; detail=private");
    stage.origin.on("/d").header("CDN-Cache-Control", "max-age=1.5").reply(200, "max-age=60", "x");
    CHECK(stage.get("/d").cache_status() == "larder; fwd=uri-miss; detail=no-lifetime");
}

}  // namespace larder::tests
