// RFC 9111 §4.1: choosing among the responses that are stored for one key.
#include "tests/support/answers.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

/// Answers with the values that it varies by, so that a wrong choice shows.
Handler varying(const std::string& vary)
{
    return [vary](Conversation& conversation) {
        const Request& request = conversation.request;
        const std::string body =
            request.field("Foo") + "|" + request.field("Bar") + "|" + request.field("Accept-Encoding");
        conversation.wire.send(answer(200, {"Cache-Control: max-age=60", "Vary: " + vary}, body));
        conversation.keep = true;
    };
}

}  // namespace

TEST_CASE_TEMPLATE("each request gets the response to a request like it, in any order of fields and values", Backend,
                   Embedded, OverRedis)
{
    Stage stage(over<Backend>("rules: []\n", by_origin));
    stage.origin.on("/a").handle(varying("Foo, bar"));
    CHECK(stage.fill("/a", {"Foo: 1", "Bar: 2"}).body == "1|2|");
    CHECK(stage.fill("/a", {"Foo: 2", "Bar: 1"}).body == "2|1|");
    CHECK(stage.fill("/a", {"Foo: 1"}).body == "1||");
    CHECK(stage.fill("/a", {}).body == "||");
    const std::size_t before = stage.origin.requests("/a");

    CHECK(stage.get("/a", {"bar: 2", "FOO:   1  ", "Other: 3"}).body == "1|2|");
    CHECK(stage.get("/a", {"Bar: 1", "Foo: 2"}).body == "2|1|");
    CHECK(stage.get("/a", {"Foo: 1"}).body == "1||");
    CHECK(stage.get("/a").body == "||");
    CHECK(stage.origin.requests("/a") == before);

    CHECK(stage.get("/a", {"Foo: 3"}).cache_status() == "larder; fwd=vary-miss; stored");
    CHECK_FALSE(is_hit(stage.get("/a", {"Foo:"})));              // empty is not absent
    CHECK_FALSE(is_hit(stage.get("/a", {"Foo: 1", "Foo: 2"})));  // two lines are one list
    CHECK(stage.origin.requests("/a") == before + 3);
}

TEST_CASE("a default answer that forgets Vary does not take the place of those that do not")
{
    Stage stage(over<Embedded>("rules: []\n", by_origin));
    stage.origin.on("/a").handle([](Conversation& conversation) {
        const std::string foo = conversation.request.field("Foo");
        std::vector<std::string> fields = {"Cache-Control: max-age=60"};
        if (!foo.empty()) fields.emplace_back("Vary: Foo");
        conversation.wire.send(answer(200, fields, foo));
        conversation.keep = true;
    });
    CHECK(stage.fill("/a", {"Foo: 1"}).body == "1");
    CHECK(stage.fill("/a").body.empty());
    CHECK(stage.get("/a", {"Foo: 1"}).body == "1");
    CHECK(stage.get("/a", {"Foo: 2"}).body == "2");
    CHECK(is_hit(stage.get("/a")));
    CHECK(stage.origin.requests("/a") == 3);
}

TEST_CASE("a response that names another field to vary by is chosen by both from then on")
{
    Stage stage(over<Embedded>("rules: []\n", by_origin));
    stage.origin.on("/a").handle([](Conversation& conversation) {
        const bool second = conversation.request.field("Foo") == "2";
        conversation.wire.send(answer(200, {"Cache-Control: max-age=60", second ? "Vary: Bar" : "Vary: Foo"},
                                      conversation.request.field("Foo") + conversation.request.field("Bar")));
        conversation.keep = true;
    });
    stage.fill("/a", {"Foo: 1", "Bar: 1"});
    CHECK(stage.get("/a", {"Foo: 2", "Bar: 1"}).body == "21");
    CHECK(is_hit(stage.get("/a", {"Foo: 2", "Bar: 1"})));
    CHECK(stage.get("/a", {"Foo: 2", "Bar: 2"}).body == "22");
    CHECK(stage.get("/a", {"Foo: 1", "Bar: 1"}).body == "11");
}

TEST_CASE("a star among other names is never stored")
{
    Stage stage(over<Embedded>("rules: []\n", by_origin));
    stage.origin.on("/star").handle(varying("Foo, *"));
    CHECK(stage.get("/star").cache_status() == "larder; fwd=uri-miss; detail=vary-any");
}

TEST_CASE("Accept-Encoding that means the same gets the same response, preferences included")
{
    Stage stage(over<Embedded>("rules: []\n", by_origin));
    stage.origin.on("/a").handle(varying("Accept-Encoding"));
    stage.fill("/a", {"Accept-Encoding: gzip, br"});
    CHECK(is_hit(stage.get("/a", {"Accept-Encoding: br;q=1.0,GZIP"})));
    CHECK_FALSE(is_hit(stage.get("/a", {"Accept-Encoding: gzip;q=0.5, br"})));
    CHECK_FALSE(is_hit(stage.get("/a", {"Accept-Encoding: gzip"})));
}

}  // namespace larder::tests
