// RFC 9111 §4.3 and §3.2: asking the origin whether what is stored still holds, and what its answer changes. An Age
// above max-age makes a response stale when it arrives, so that nobody has to wait.
#include "tests/support/answers.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const no_rules = "rules: []\n";
const std::string stale = "Cache-Control: max-age=60";
const std::string old = "Age: 100";
const std::string modified = "Last-Modified: Sat, 01 Jan 2022 00:00:00 GMT";

bool is_validated(const Response& response)
{
    return response.cache_status().starts_with("larder; fwd=stale; fwd-status=304");
}

void await_stored(Stage& stage)
{
    await_condition("it is stored", [&] { return stage.larder->metric("larder_memory_entries") >= 1; });
}

}  // namespace

TEST_CASE_TEMPLATE(
    "4.3.1, 4.3.4: stale on arrival, it is stored, asked about with both validators, and fresh after the 304", Backend,
    Embedded, OverRedis)
{
    Stage stage(over<Backend>(no_rules, by_origin));
    stage.origin.on("/a").handle(in_turn({
        answer(200, {stale, old, "ETag: \"v1\"", modified, "X-Kept: 1", "X-New: old"}, "hello"),
        answer(304, {"Cache-Control: max-age=100", "ETag: \"v1\"", "X-New: new", "Content-Length: 0"}),
    }));
    CHECK(stage.get("/a").cache_status() == "larder; fwd=uri-miss; stored");
    await_stored(stage);
    const Response validated = stage.get("/a", {"If-None-Match: \"other\"", "If-Modified-Since: x"});
    const Request asked = stage.origin.last("/a");
    CHECK(asked.field("If-None-Match") == "\"v1\"");
    CHECK(asked.fields_count("If-None-Match") == 1);
    CHECK(asked.field("If-Modified-Since") == "Sat, 01 Jan 2022 00:00:00 GMT");
    CHECK(asked.fields_count("If-Modified-Since") == 1);
    CHECK(validated.status == 200);
    CHECK(validated.body == "hello");
    CHECK(is_validated(validated));
    CHECK(validated.age() < 50);

    const Response hit = stage.fill("/a");
    CHECK(hit.body == "hello");
    CHECK(hit.field("Cache-Control") == "max-age=100");
    CHECK(hit.field("X-Kept") == "1");
    CHECK(hit.field("X-New") == "new");
    CHECK(hit.field("Content-Length") == "5");
    CHECK(hit.field("Last-Modified") == "Sat, 01 Jan 2022 00:00:00 GMT");
    CHECK(stage.origin.requests("/a") == 2);
}

TEST_CASE("4.3.4: a 304 without Date is of now, and its Age counts")
{
    Stage stage(over<Embedded>(no_rules, by_origin));
    const std::string long_ago = "Date: Sat, 01 Jan 2022 00:00:00 GMT";
    stage.origin.on("/now").handle(
        in_turn({answer(200, {stale, long_ago, "ETag: \"a\""}, "x"), answer(304, {"ETag: \"a\""})}));
    stage.get("/now");
    CHECK(is_validated(stage.get("/now")));
    CHECK(is_hit(stage.get("/now")));
    CHECK(stage.get("/now").field("Date") != "Sat, 01 Jan 2022 00:00:00 GMT");

    stage.origin.on("/aged").handle(
        in_turn({answer(200, {stale, old, "ETag: \"a\""}, "x"), answer(304, {"ETag: \"a\"", "Age: 40"})}));
    stage.get("/aged");
    stage.get("/aged");
    const Response hit = stage.get("/aged");
    CHECK(is_hit(hit));
    CHECK(hit.age() >= 40);
    CHECK(hit.fields_count("Age") == 1);
}

TEST_CASE(
    "4.3.1: with Last-Modified alone that is asked with, without validators nothing is, and weak tags are sent as they "
    "are")
{
    Stage stage(over<Embedded>(no_rules, by_origin));
    stage.origin.on("/date").handle(in_turn({answer(200, {stale, old, modified}, "x"), answer(304, {})}));
    stage.get("/date");
    CHECK(is_validated(stage.get("/date")));
    CHECK_FALSE(stage.origin.last("/date").has("If-None-Match"));
    CHECK(is_hit(stage.get("/date")));

    stage.origin.on("/weak").handle(
        in_turn({answer(200, {stale, old, "ETag: W/\"a\""}, "x"), answer(304, {"ETag: W/\"a\""})}));
    stage.get("/weak");
    CHECK(is_validated(stage.get("/weak")));
    CHECK(stage.origin.last("/weak").field("If-None-Match") == "W/\"a\"");

    stage.origin.on("/none").reply(200, "max-age=60", "x").header("Age", "100");
    CHECK(stage.get("/none").cache_status() == "larder; fwd=uri-miss; detail=zero-lifetime");
}

TEST_CASE_TEMPLATE("4.3.4: a 304 about another response is not used: it is fetched again without conditions", Backend,
                   Embedded, OverRedis)
{
    Stage stage(over<Backend>(no_rules, by_origin));
    stage.origin.on("/a").handle(in_turn({
        answer(200, {stale, old, "ETag: \"v1\""}, "first"),
        answer(304, {"Cache-Control: max-age=100", "ETag: \"v2\""}),
        answer(200, {"Cache-Control: max-age=100", "ETag: \"v2\""}, "second"),
    }));
    stage.get("/a");
    await_stored(stage);
    const Response again = stage.get("/a");
    CHECK(again.status == 200);
    CHECK(again.body == "second");
    CHECK(again.cache_status() == "larder; fwd=stale; stored");
    CHECK_FALSE(stage.origin.last("/a").has("If-None-Match"));
    CHECK(stage.origin.requests("/a") == 3);
    CHECK(stage.fill("/a").body == "second");
    CHECK(stage.larder->metric("larder_validations_mismatched_total") == 1);
}

TEST_CASE("4.3.3: a full answer to the question takes the place of what is stored")
{
    Stage stage(over<Embedded>(no_rules, by_origin));
    stage.origin.on("/a").handle(in_turn({answer(200, {stale, old, "ETag: \"v1\""}, "first"),
                                          answer(200, {"Cache-Control: max-age=100", "ETag: \"v2\""}, "second")}));
    stage.get("/a");
    CHECK(stage.get("/a").body == "second");
    const Response hit = stage.get("/a");
    CHECK(is_hit(hit));
    CHECK(hit.field("ETag") == "\"v2\"");
}

TEST_CASE("4.3.3: a 5xx to the question is passed on, and what is stored is asked about again")
{
    Stage stage(over<Embedded>(no_rules, by_origin));
    stage.origin.on("/a").handle(in_turn(
        {answer(200, {stale, old, "ETag: \"v1\""}, "first"), answer(503, {}, "away"), answer(304, {"ETag: \"v1\""})}));
    stage.get("/a");
    const Response failed = stage.get("/a");
    CHECK(failed.status == 503);
    CHECK(failed.body == "away");
    const Response back = stage.get("/a");
    CHECK(back.body == "first");
    CHECK(is_validated(back));
}

TEST_CASE("a 304 that nobody asked for is not stored and does not stand for anything")
{
    Stage stage(over<Embedded>(no_rules, by_origin));
    stage.origin.on("/a").handle(in_turn({answer(304, {"Cache-Control: max-age=100", "ETag: \"v1\""})}));
    CHECK(stage.get("/a").status == 304);
    CHECK_FALSE(is_hit(stage.get("/a")));
    CHECK(stage.origin.requests("/a") == 2);
}

TEST_CASE("4.3.2: If-Match and If-Unmodified-Since are the origin's to judge, whatever is stored")
{
    Stage stage(over<Embedded>(no_rules, by_origin));
    stage.origin.on("/a").header("ETag", "\"v1\"").reply(200, "max-age=60", "hello");
    stage.fill("/a");
    stage.origin.on("/a").reply(412, "", "no");
    for (const std::string condition : {"If-Match: \"v0\"", "If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT"}) {
        const Response response = stage.get("/a", {condition});
        CHECK(response.status == 412);
        CHECK(response.cache_status() == "larder; fwd=request; detail=condition");
    }
    CHECK(is_hit(stage.get("/a")));
}

TEST_CASE("3.2: a 304 that names more fields to vary by is heeded")
{
    Stage stage(over<Embedded>(no_rules, by_origin));
    stage.origin.on("/a").handle(
        in_turn({answer(200, {stale, old, "ETag: \"v1\""}, "english"),
                 answer(304, {"Cache-Control: max-age=100", "ETag: \"v1\"", "Vary: Accept-Language"}),
                 answer(200, {"Cache-Control: max-age=100", "Vary: Accept-Language"}, "french")}));
    stage.get("/a", {"Accept-Language: en"});
    CHECK(is_validated(stage.get("/a", {"Accept-Language: en"})));
    CHECK(stage.get("/a", {"Accept-Language: fr"}).body == "french");
    CHECK(stage.get("/a", {"Accept-Language: en"}).body == "english");
    CHECK(stage.origin.requests("/a") == 3);
}

TEST_CASE_TEMPLATE("4: what must be validated for each request is not shared by those who ask together", Backend,
                   Embedded, OverRedis)
{
    Stage stage(over<Backend>(no_rules, by_origin));
    stage.origin.on("/a").header("ETag", "\"v1\"").reply(200, "no-cache", "hello");
    stage.get("/a");
    await_condition("it is stored", [&] {
        stage.get("/a");
        return stage.origin.last("/a").has("If-None-Match");
    });
    const std::size_t before = stage.origin.requests("/a");
    stage.origin.on("/a").hold();
    std::vector<std::future<Response>> readers;
    for (int i = 0; i < 5; ++i) readers.push_back(stage.start_get("/a"));
    stage.origin.await_requests("/a", before + 5);  // nobody waits for another's answer
    stage.origin.release("/a");
    for (auto& reader : readers) CHECK(reader.get().body == "hello");
}

TEST_CASE("4: who waits for an answer that turns out to need validation asks for himself")
{
    Stage stage(over<Embedded>(no_rules, by_origin));
    stage.origin.on("/a").hold().header("ETag", "\"v1\"").reply(200, "no-cache", "hello");
    std::vector<std::future<Response>> readers;
    for (int i = 0; i < 5; ++i) readers.push_back(stage.start_get("/a"));
    stage.origin.await_requests("/a", 1);
    await_condition("all others wait", [&] { return stage.larder->metric("larder_fill_joins_total") >= 4; });
    stage.origin.release("/a");
    for (auto& reader : readers) CHECK(reader.get().body == "hello");
    CHECK(stage.origin.requests("/a") == 5);
}

}  // namespace larder::tests
