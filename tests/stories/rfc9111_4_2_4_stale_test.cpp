// RFC 9111 §4.2.4 and RFC 5861: when something stale may be served, and when nothing but the origin's answer will do.
#include "tests/support/answers.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

/// A response that is stale when it arrives, by 40 seconds.
std::string stale(const std::string& cache_control)
{
    return answer(200, {"Cache-Control: max-age=60, " + cache_control, "Age: 100", "ETag: \"v1\""}, "stored");
}

std::string rule(const std::string& options)
{
    return "rules:\n  - name: page\n    match: GET /{rest*}\n    key: page:{path}\n" + options;
}

}  // namespace

TEST_CASE_TEMPLATE(
    "RFC 5861 4: stale-if-error of the response covers a close, a reset, a time-out and 500, 502, 503, 504", Backend,
    Embedded, OverRedis)
{
    Stage stage(over<Backend>("rules: []\n", by_origin));
    for (const int status : {500, 502, 503, 504}) {
        const std::string path = "/" + std::to_string(status);
        stage.origin.on(path).handle(in_turn({stale("stale-if-error=600"), answer(status, {}, "broken")}));
        stage.get(path);
        await_condition("it is stored", [&] {
            const Response response = stage.get(path);
            return response.body == "stored" &&
                   response.cache_status() ==
                       "larder; fwd=stale; fwd-status=" + std::to_string(status) + "; detail=stale-on-error";
        });
    }
    stage.origin.on("/closed").handle(in_turn({stale("stale-if-error=600"), ""}));
    stage.get("/closed");
    await_condition("it is stored", [&] {
        const Response response = stage.get("/closed");
        return response.status == 200 && response.cache_status() == "larder; fwd=stale; detail=stale-on-error";
    });
    stage.origin.on("/501").handle(in_turn({stale("stale-if-error=600"), answer(501, {}, "broken")}));
    stage.get("/501");
    CHECK(stage.get("/501").status == 501);
}

TEST_CASE("RFC 5861 4: an app that says nothing in time is an error too")
{
    StageOptions options = over<Embedded>("rules: []\n", by_origin);
    ScriptedOrigin origin;
    options.upstream =
        "upstream: {url: \"http://127.0.0.1:" + std::to_string(origin.port()) + "\", first_byte_timeout: 300ms}\n";
    Stage stage(options);
    auto& route = origin.on("/a");
    route.header("Age", "100").header("ETag", "\"v1\"").reply(200, "max-age=60, stale-if-error=600", "stored");
    stage.get("/a");
    route.silent();
    const Response response = stage.get("/a");
    CHECK(response.body == "stored");
    CHECK(response.cache_status() == "larder; fwd=stale; detail=stale-on-error");
}

TEST_CASE("what forbids stale answers shuts the windows of response and rule, for errors and while revalidating")
{
    Stage stage(over<Embedded>(rule("    stale_while_revalidate: 1h\n    stale_if_error: 1h\n")));
    for (const std::string forbids : {"must-revalidate, stale-if-error=600, stale-while-revalidate=600",
                                      "proxy-revalidate, stale-if-error=600, stale-while-revalidate=600",
                                      "no-cache, stale-if-error=600, stale-while-revalidate=600", "s-maxage=50"}) {
        CAPTURE(forbids);
        const std::string path = "/" + forbids.substr(0, 4);
        stage.origin.on(path).handle(in_turn({stale(forbids), answer(503, {}, "broken"), ""}));
        stage.get(path);
        CHECK(stage.get(path).status == 503);
        CHECK(stage.get(path).status == 502);
    }
    stage.origin.on("/open").handle(in_turn({stale("foo"), answer(503, {}, "broken")}));
    stage.get("/open");
    CHECK(is_hit(stage.get("/open")));
}

TEST_CASE("RFC 5861 3: within stale-while-revalidate the stored response comes at once and is renewed behind it")
{
    Stage stage(over<Embedded>("rules: []\n", by_origin));
    stage.origin.on("/a").handle(in_turn(
        {stale("stale-while-revalidate=600"), answer(304, {"Cache-Control: max-age=60", "ETag: \"v1\"", "X-New: 1"})}));
    stage.get("/a");
    const Response response = stage.get("/a");
    CHECK(is_hit(response));
    CHECK(response.cache_status().find("ttl=-") != std::string::npos);
    CHECK(response.age() >= 100);
    await_condition("it is renewed", [&] { return stage.get("/a").field("X-New") == "1"; });
    CHECK(stage.origin.requests("/a") == 2);
}

TEST_CASE("what a write has purged is served in no window")
{
    Stage stage(over<Embedded>(rule("    stale_while_revalidate: 1h\n    stale_if_error: 1h\n") +
                               "  - {name: write, match: \"PUT /{rest*}\", purge: \"page:{path}\"}\n"));
    stage.origin.on("/a").handle(in_turn({stale("foo"), answer(200, {}, ""), answer(503, {}, "broken")}));
    stage.get("/a");
    stage.request("PUT", "/a");
    CHECK(stage.get("/a").status == 503);
}

}  // namespace larder::tests
