// RFC 9111 §3.3 and §3.4: a part of a response is stored as that part, serves the ranges within it, and grows.
#include "tests/support/answers.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const file_rules = R"(
rules:
  - name: file
    match: GET /files/{id}
    key: file:{id}
    ttl: 60s
  - name: file-write
    match: PUT /files/{id}
    purge: "file:{id}"
)";

const std::string whole = "0123456789";

/// The app answers one range as it is asked for, and everything else with the whole.
Handler ranges(std::string etag = R"("v1")")
{
    return [etag](Conversation& conversation) {
        conversation.keep = true;
        const std::string range = conversation.request.field("Range");
        const std::size_t dash = range.find('-');
        if (dash == std::string::npos) {
            conversation.wire.send(answer(200, {"ETag: " + etag}, whole));
            return;
        }
        const std::size_t first = std::stoul(range.substr(6)), last = std::stoul(range.substr(dash + 1));
        const std::string place = "Content-Range: bytes " + std::to_string(first) + "-" + std::to_string(last) + "/10";
        conversation.wire.send(answer(206, {"ETag: " + etag, place}, whole.substr(first, last - first + 1)));
    };
}

void await_stored(Stage& stage, const std::string& path, const std::string& range)
{
    await_condition("the part is stored", [&] { return is_hit(stage.get(path, {"Range: " + range})); });
}

}  // namespace

TEST_CASE_TEMPLATE("a part is stored and serves every range within it, as the whole would", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(file_rules));
    stage.origin.on("/files/1").handle(ranges());
    const Response first = stage.get("/files/1", {"Range: bytes=2-7"});
    CHECK(first.status == 206);
    CHECK(first.body == "234567");
    CHECK(first.cache_status() == "larder; fwd=uri-miss; stored");
    CHECK(stage.origin.last("/files/1").field("Range") == "bytes=2-7");
    await_stored(stage, "/files/1", "bytes=2-7");
    const std::size_t asked = stage.origin.requests("/files/1");
    struct Row {
        std::string range, place, body;
    };
    for (const Row& row : {Row{"bytes=2-7", "bytes 2-7/10", "234567"}, Row{"bytes=3-3", "bytes 3-3/10", "3"},
                           Row{"bytes=7-7", "bytes 7-7/10", "7"}}) {
        CAPTURE(row.range);
        const Response part = stage.get("/files/1", {"Range: " + row.range});
        CHECK(part.status == 206);
        CHECK(is_hit(part));
        CHECK(part.body == row.body);
        CHECK(part.field("Content-Range") == row.place);
        CHECK(part.field("Content-Length") == std::to_string(row.body.size()));
        CHECK(part.field("ETag") == R"("v1")");
    }
    CHECK(stage.get("/files/1", {"Range: bytes=10-"}).status == 416);
    CHECK(stage.get("/files/1", {"Range: bytes=2-3", R"(If-Range: "v1")"}).body == "23");
    CHECK(stage.get("/files/1", {"Range: bytes=2-3", R"(If-None-Match: "v1")"}).status == 304);
    CHECK(stage.origin.requests("/files/1") == asked);
    CHECK(stage.larder->metric("larder_parts_stored_total") >= 1);
}

TEST_CASE_TEMPLATE("a part is never given for the whole, and the whole takes its place", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(file_rules));
    stage.origin.on("/files/1").handle(ranges());
    stage.get("/files/1", {"Range: bytes=0-4"});
    await_stored(stage, "/files/1", "bytes=0-4");
    CHECK(stage.request("HEAD", "/files/1").status == 200);
    CHECK(stage.get("/files/1", {"Range: bytes=0-1,3-4"}).cache_status() == "larder; fwd=request; detail=range");
    const Response all = stage.get("/files/1");
    CHECK(all.status == 200);
    CHECK(all.body == whole);
    CHECK(all.cache_status() == "larder; fwd=uri-miss; stored");
    CHECK(stage.fill("/files/1").body == whole);
    CHECK(stage.get("/files/1", {"Range: bytes=8-"}).body == "89");
}

TEST_CASE("parts of one version that touch become one, and the whole when nothing is missing (section 3.4)")
{
    Stage stage(over<Embedded>(file_rules));
    stage.origin.on("/files/1").handle(ranges());
    stage.get("/files/1", {"Range: bytes=0-3"});
    CHECK(stage.get("/files/1", {"Range: bytes=2-6"}).cache_status() == "larder; fwd=partial; stored");
    CHECK(is_hit(stage.get("/files/1", {"Range: bytes=1-5"})));
    CHECK(stage.get("/files/1", {"Range: bytes=1-5"}).body == "12345");
    CHECK(stage.get("/files/1", {"Range: bytes=7-9"}).body == "789");
    const Response all = stage.get("/files/1");
    CHECK(is_hit(all));
    CHECK(all.status == 200);
    CHECK(all.body == whole);
    CHECK(all.field("Content-Range").empty());
    CHECK(all.field("Content-Length") == "10");
    CHECK(stage.origin.requests("/files/1") == 3);
}

TEST_CASE("parts with a gap between them, of another version, or with weak tags are not joined")
{
    Stage stage(over<Embedded>(file_rules));
    stage.origin.on("/files/gap").handle(ranges());
    stage.get("/files/gap", {"Range: bytes=0-1"});
    CHECK(stage.get("/files/gap", {"Range: bytes=5-6"}).body == "56");
    CHECK(is_hit(stage.get("/files/gap", {"Range: bytes=5-6"})));
    CHECK(stage.get("/files/gap", {"Range: bytes=0-6"}).cache_status() == "larder; fwd=partial; stored");

    stage.origin.on("/files/new").handle(ranges());
    stage.get("/files/new", {"Range: bytes=0-4"});
    stage.origin.on("/files/new").handle(ranges(R"("v2")"));
    stage.get("/files/new", {"Range: bytes=5-9"});
    const Response again = stage.get("/files/new", {"Range: bytes=0-4"});
    CHECK(again.cache_status() == "larder; fwd=partial; stored");
    CHECK(again.field("ETag") == R"("v2")");

    stage.origin.on("/files/weak").handle(ranges(R"(W/"v1")"));
    stage.get("/files/weak", {"Range: bytes=0-4"});
    stage.get("/files/weak", {"Range: bytes=5-9"});
    CHECK_FALSE(is_hit(stage.get("/files/weak")));
}

TEST_CASE_TEMPLATE("a part that comes late does not displace the whole", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(file_rules));
    std::promise<void> whole_is_stored;
    auto may_go_on = whole_is_stored.get_future().share();
    stage.origin.on("/files/1").handle([may_go_on](Conversation& conversation) {
        if (conversation.request.has("Range")) may_go_on.wait();
        ranges()(conversation);
    });
    auto late = stage.start_get("/files/1", {"Range: bytes=0-4"});
    stage.origin.await_requests("/files/1", 1);
    CHECK(stage.fill("/files/1").body == whole);
    whole_is_stored.set_value();
    CHECK(late.get().body == "01234");
    const Response again = stage.get("/files/1");
    CHECK(is_hit(again));
    CHECK(again.body == whole);
}

TEST_CASE_TEMPLATE("a write voids a part like everything else under its key", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(file_rules));
    stage.origin.on("GET /files/1").handle(ranges());
    stage.get("/files/1", {"Range: bytes=0-4"});
    await_stored(stage, "/files/1", "bytes=0-4");
    stage.request("PUT", "/files/1", {}, "x");
    CHECK_FALSE(is_hit(stage.get("/files/1", {"Range: bytes=0-4"})));
}

TEST_CASE("a stale part is validated, and a 304 renews it")
{
    Stage stage(over<Embedded>("rules: []\n", by_origin));
    const std::vector<std::string> fields = {R"(ETag: "v1")", "Content-Range: bytes 0-4/10"};
    stage.origin.on("/a").handle(
        in_turn({answer(206, {fields[0], fields[1], "Cache-Control: max-age=60", "Age: 100"}, "01234"),
                 answer(304, {fields[0], "Cache-Control: max-age=60"})}));
    stage.get("/a", {"Range: bytes=0-4"});
    const Response renewed = stage.get("/a", {"Range: bytes=1-2"});
    CHECK(renewed.status == 206);
    CHECK(renewed.body == "12");
    CHECK(renewed.cache_status() == "larder; fwd=stale; fwd-status=304; stored");
    CHECK(stage.origin.last("/a").field("If-None-Match") == R"("v1")");
    CHECK(stage.origin.last("/a").field("Range").empty());
    CHECK(is_hit(stage.get("/a", {"Range: bytes=1-2"})));
}

TEST_CASE("what is no single part with a known place goes through and is not stored")
{
    Stage stage(over<Embedded>(file_rules));
    const std::string range = "Range: bytes=0-4";
    const std::vector<std::pair<std::string, std::string>> answers = {
        {"no place", answer(206, {}, "01234")},
        {"size unknown", answer(206, {"Content-Range: bytes 0-4/*"}, "01234")},
        {"another length", answer(206, {"Content-Range: bytes 0-4/10"}, "012")},
        {"several", answer(206, {"Content-Type: multipart/byteranges; boundary=x"}, "--x--")},
        {"two places", answer(206, {"Content-Range: bytes 0-4/10", "Content-Range: bytes 5-9/10"}, "01234")},
        {"varies", answer(206, {"Content-Range: bytes 0-4/10", "Vary: Accept-Encoding"}, "01234")},
        {"private", answer(206, {"Content-Range: bytes 0-4/10", "Cache-Control: private"}, "01234")},
        {"chunked, another length",
         "HTTP/1.1 206 X\r\nContent-Range: bytes 0-4/10\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n012\r\n0\r\n\r\n"},
    };
    std::size_t number = 0;
    for (const auto& [why, text] : answers) {
        CAPTURE(why);
        const std::string path = "/files/" + std::to_string(++number);
        stage.origin.on(path).handle(in_turn({text}));
        CHECK(stage.get(path, {range}).status == 206);
        CHECK_FALSE(is_hit(stage.get(path, {range})));
    }
    CHECK(stage.larder->metric("larder_parts_stored_total") == 0);
}

TEST_CASE("an app that has no ranges is asked for the whole once: it is stored, and the range cut out of it")
{
    Stage stage(over<Embedded>(file_rules));
    stage.origin.on("/files/1").reply(200, "", whole);
    const Response part = stage.get("/files/1", {"Range: bytes=2-3"});
    CHECK(part.status == 206);
    CHECK(part.body == "23");
    CHECK(part.cache_status() == "larder; fwd=uri-miss; stored");
    CHECK(is_hit(stage.get("/files/1")));
    CHECK(stage.origin.requests("/files/1") == 1);
}

TEST_CASE("what a range teaches about storing does not count for the whole")
{
    Stage stage(over<Embedded>(file_rules));
    stage.origin.on("/files/1").handle([](Conversation& conversation) {
        const bool part = !conversation.request.field("Range").empty();
        conversation.wire.send(part ? answer(206, {"Content-Range: bytes 0-4/10", "Cache-Control: private"}, "01234")
                                    : answer(200, {}, whole));
        conversation.keep = true;
    });
    CHECK(stage.get("/files/1", {"Range: bytes=0-4"}).status == 206);
    CHECK(stage.get("/files/1").cache_status() == "larder; fwd=uri-miss; stored");
}

}  // namespace larder::tests
