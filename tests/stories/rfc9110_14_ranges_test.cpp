// RFC 9110 §14: parts of what is stored as a whole.
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const file_rules = R"(
rules:
  - name: file
    match: GET /files/{id}
    key: file:{id}
    ttl: 60s
)";

std::string body_of(std::size_t size)
{
    std::string body;
    while (body.size() < size) body += "line " + std::to_string(body.size()) + "\n";
    body.resize(size);
    return body;
}

}  // namespace

TEST_CASE_TEMPLATE("a part of what is stored is a 206 with the stored fields and Content-Range", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(file_rules));
    const std::string body = body_of(30'000);
    stage.origin.on("/files/1").header("ETag", R"("v1")").header("Content-Type", "text/plain").reply(200, "", body);
    stage.fill("/files/1");
    struct Row {
        std::string range, content_range;
        std::size_t first, size;
    };
    for (const Row& row :
         {Row{"bytes=0-99", "bytes 0-99/30000", 0, 100}, Row{"bytes=29990-", "bytes 29990-29999/30000", 29'990, 10},
          Row{"bytes=-5", "bytes 29995-29999/30000", 29'995, 5},
          Row{"bytes=5-29999", "bytes 5-29999/30000", 5, 29'995}}) {
        CAPTURE(row.range);
        const Response part = stage.get("/files/1", {"Range: " + row.range});
        CHECK(part.status == 206);
        CHECK(part.body == body.substr(row.first, row.size));
        CHECK(part.field("Content-Range") == row.content_range);
        CHECK(part.field("Content-Length") == std::to_string(row.size));
        CHECK(part.field("Content-Type") == "text/plain");
        CHECK(part.field("ETag") == R"("v1")");
        CHECK_FALSE(part.field("Date").empty());
        CHECK_FALSE(part.field("Age").empty());
        CHECK(is_hit(part));
    }
    CHECK(stage.origin.requests("/files/1") == 1);
    CHECK(stage.get("/files/1").body == body);
}

TEST_CASE_TEMPLATE("several parts are one multipart/byteranges", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(file_rules));
    const std::string body = body_of(30'000);
    stage.origin.on("/files/1").header("Content-Type", "text/plain").reply(200, "", body);
    stage.fill("/files/1");
    auto client = stage.connect();
    const Response parts = client->get("/files/1", {"Range: bytes=0-9,20000-20009"});
    CHECK(parts.status == 206);
    CHECK(is_hit(parts));
    const std::string type = parts.field("Content-Type"), before = "multipart/byteranges; boundary=";
    REQUIRE(type.starts_with(before));
    const std::string boundary = type.substr(before.size());
    CHECK(parts.field("Content-Range").empty());
    CHECK(parts.body == "\r\n--" + boundary + "\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-9/30000\r\n\r\n" +
                            body.substr(0, 10) + "\r\n--" + boundary +
                            "\r\nContent-Type: text/plain\r\nContent-Range: bytes 20000-20009/30000\r\n\r\n" +
                            body.substr(20'000, 10) + "\r\n--" + boundary + "--\r\n");
    // The connection is where it should be.
    CHECK(client->get("/files/1", {"Range: bytes=1-2"}).body == body.substr(1, 2));
}

TEST_CASE("a range behind the end is a 416 that says how long it is")
{
    Stage stage(over<Embedded>(file_rules));
    stage.origin.on("/files/1").reply(200, "", "0123456789");
    stage.fill("/files/1");
    const Response none = stage.get("/files/1", {"Range: bytes=10-"});
    CHECK(none.status == 416);
    CHECK(none.field("Content-Range") == "bytes */10");
    CHECK_FALSE(none.field("Date").empty());
    CHECK(none.body.empty());
    CHECK(stage.get("/files/1").body == "0123456789");
}

TEST_CASE("conditions come before ranges, and If-Range asks for the whole of another version")
{
    Stage stage(over<Embedded>(file_rules));
    stage.origin.on("/files/1").header("ETag", R"("v2")").reply(200, "", "0123456789");
    stage.fill("/files/1");
    const std::string range = "Range: bytes=0-1";
    CHECK(stage.get("/files/1", {range, R"(If-None-Match: "v2")"}).status == 304);
    CHECK(stage.get("/files/1", {range, R"(If-None-Match: "v1")"}).status == 206);
    CHECK(stage.get("/files/1", {range, R"(If-Range: "v2")"}).status == 206);
    const Response whole = stage.get("/files/1", {range, R"(If-Range: "v1")"});
    CHECK(whole.status == 200);
    CHECK(whole.body == "0123456789");
}

TEST_CASE("HEAD has no ranges, and neither has what is no 200")
{
    Stage stage(over<Embedded>(file_rules));
    stage.origin.on("/files/1").reply(200, "", "0123456789");
    stage.origin.on("/files/2").reply(404, "max-age=60", "0123456789");
    stage.fill("/files/1");
    CHECK(stage.request("HEAD", "/files/1", {"Range: bytes=0-1"}).field("Content-Length") == "10");
    CHECK(stage.get("/files/2").status == 404);
    await_condition("it is stored", [&] { return is_hit(stage.get("/files/2")); });
    CHECK(stage.get("/files/2", {"Range: bytes=0-1"}).body == "0123456789");
}

TEST_CASE("several ranges of what is not stored, and one with a condition, are the app's to answer")
{
    Stage stage(over<Embedded>(file_rules));
    stage.origin.on("/files/1").header("Content-Range", "bytes 0-1/10").reply(206, "max-age=60", "01");
    for (const std::vector<std::string>& fields :
         {std::vector<std::string>{"Range: bytes=0-1,5-6"}, {"Range: bytes=0-1", R"(If-None-Match: "v1")"}}) {
        CHECK(stage.get("/files/1", fields).cache_status() == "larder; fwd=request; detail=range");
        CHECK("Range: " + stage.origin.last("/files/1").field("Range") == fields.front());
        CHECK_FALSE(is_hit(stage.get("/files/1", fields)));
    }
}

}  // namespace larder::tests
