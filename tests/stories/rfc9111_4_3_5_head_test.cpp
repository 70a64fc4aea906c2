// RFC 9111 §4.3.5: what the answer to a HEAD says about the stored response of a GET.
#include "tests/support/answers.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

/// A response that is stale when it arrives, by 40 seconds.
std::string stale(const std::vector<std::string>& more)
{
    std::vector<std::string> fields = {"Cache-Control: max-age=60", "Age: 100", R"(ETag: "v1")"};
    fields.insert(fields.end(), more.begin(), more.end());
    return answer(200, fields, "stored");
}

std::string head_answer(const std::vector<std::string>& fields)
{
    std::string text = "HTTP/1.1 200 OK\r\n";
    for (const std::string& field : fields) text += field + "\r\n";
    return text + "\r\n";
}

}  // namespace

TEST_CASE_TEMPLATE("a HEAD of something stale goes to the app, and one that describes it renews its fields and times",
                   Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>("rules: []\n", by_origin));
    stage.origin.on("GET /a").handle(in_turn({stale({"X-Old: 1", "X-Both: old"}), answer(500, {}, "asked again")}));
    stage.origin.on("HEAD /a").handle(
        in_turn({head_answer({"Cache-Control: max-age=600", R"(ETag: "v1")", "Content-Length: 6", "X-Both: new"})}));
    stage.get("/a");
    await_condition("it is renewed", [&] {
        CHECK(stage.request("HEAD", "/a").status == 200);
        return stage.larder->metric("larder_head_renewals_total") == 1;
    });
    CHECK(stage.origin.last("HEAD /a").field("If-None-Match").empty());
    const Response renewed = stage.get("/a");
    CHECK(is_hit(renewed));
    CHECK(renewed.body == "stored");
    CHECK(renewed.field("X-Both") == "new");
    CHECK(renewed.field("X-Old") == "1");
    CHECK(renewed.field("Cache-Control") == "max-age=600");
    CHECK(renewed.age() < 100);
    CHECK(stage.origin.requests("GET /a") == 1);
}

TEST_CASE("a HEAD of another version renews nothing")
{
    Stage stage(over<Embedded>("rules: []\n", by_origin));
    const std::vector<std::pair<std::string, std::vector<std::string>>> heads = {
        {"tag", {"Cache-Control: max-age=600", R"(ETag: "v2")"}},
        {"date", {"Cache-Control: max-age=600", "Last-Modified: Mon, 07 Sep 2026 10:00:00 GMT"}},
        {"length", {"Cache-Control: max-age=600", R"(ETag: "v1")", "Content-Length: 7"}},
        {"no-store", {"Cache-Control: no-store", R"(ETag: "v1")", "Content-Length: 6"}},
    };
    for (const auto& [why, fields] : heads) {
        CAPTURE(why);
        stage.origin.on("GET /" + why).handle(in_turn({stale({}), answer(200, {}, "asked again")}));
        stage.origin.on("HEAD /" + why).handle(in_turn({head_answer(fields)}));
        stage.get("/" + why);
        CHECK(stage.request("HEAD", "/" + why).status == 200);
        CHECK(stage.get("/" + why).body == "asked again");
    }
    CHECK(stage.larder->metric("larder_head_renewals_total") == 0);
}

TEST_CASE("a HEAD that a client has forced through, and that describes something else, voids what is still fresh")
{
    Stage stage(over<Embedded>("rules: []\n", by_origin));
    stage.origin.on("GET /a").handle(in_turn({answer(200, {"Cache-Control: max-age=600", R"(ETag: "v1")"}, "stored"),
                                              answer(200, {"Cache-Control: max-age=600", R"(ETag: "v2")"}, "new")}));
    stage.origin.on("HEAD /a").handle(in_turn({head_answer({R"(ETag: "v2")", "Content-Length: 3"})}));
    stage.fill("/a");
    CHECK(is_hit(stage.request("HEAD", "/a")));
    stage.request("HEAD", "/a", {"Cache-Control: no-cache"});
    CHECK(stage.get("/a").body == "new");
    CHECK(stage.larder->metric("larder_purges_total", R"(source="invalidation")") == 1);
}

TEST_CASE("an error in answer to a HEAD says nothing of what is stored")
{
    Stage stage(over<Embedded>("rules: []\n", by_origin));
    stage.origin.on("GET /a").handle(in_turn({answer(200, {"Cache-Control: max-age=600", R"(ETag: "v1")"}, "stored")}));
    stage.origin.on("HEAD /a").reply(404, "", "");
    stage.fill("/a");
    CHECK(stage.request("HEAD", "/a", {"Cache-Control: no-cache"}).status == 404);
    CHECK(is_hit(stage.get("/a")));
}

}  // namespace larder::tests
