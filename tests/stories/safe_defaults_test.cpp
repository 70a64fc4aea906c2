// What is not answered from the cache or not stored unless a rule says so, each with its reason word.
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const one_rule = R"(
rules:
  - name: page
    match: GET /page
    key: page:{query.a|}
    ttl: 60s
)";

}  // namespace

TEST_CASE("a request that may carry an identity or more than the key names passes by, with the reason")
{
    struct Row {
        const char* why;
        std::string target;
        std::vector<std::string> fields;
        const char* status;
    };
    const Row rows[] = {
        {"Authorization", "/page", {"Authorization: Bearer x"}, "larder; fwd=request; detail=authorization"},
        {"Cookie", "/page", {"Cookie: sid=1"}, "larder; fwd=request; detail=cookie"},
        {"a parameter the key does not name", "/page?b=1", {}, "larder; fwd=request; detail=query-parameter"},
        {"a named parameter twice", "/page?a=1&a=2", {}, "larder; fwd=request; detail=repeated-parameter"},
        {"another protocol", "/page", {"Connection: Upgrade", "Upgrade: chat"}, "larder; fwd=request; detail=upgrade"},
    };
    Stage stage(over<Embedded>(one_rule));
    stage.fill("/page");
    for (const Row& row : rows) {
        CAPTURE(std::string(row.why));
        for (int i = 0; i < 2; ++i) CHECK(stage.get(row.target, row.fields).cache_status() == row.status);
    }
    const Response with_body = stage.request("GET", "/page", {}, "a body");
    CHECK(with_body.cache_status() == "larder; fwd=request; detail=request-body");
    CHECK(stage.origin.last("/page").body == "a body");
    CHECK(stage.request("POST", "/page", {}, "x").cache_status() == "larder; fwd=method");
}

TEST_CASE("a path that can be read in two ways is never cached")
{
    Stage stage(over<Embedded>(R"(
rules:
  - name: files
    match: GET /files/{rest*}
    key: file:{rest}
    ttl: 60s
)"));
    for (const char* target : {"/files/a%2Fb", "/files//a", "/files/a;v=1", "/files/..%5Ca"}) {
        CAPTURE(target);
        for (int i = 0; i < 2; ++i) {
            CHECK(stage.get(target).cache_status() == "larder; fwd=request; detail=ambiguous-path");
        }
    }
    CHECK(stage.get("/files/a%2Fb").status == 200);
    CHECK(stage.origin.last("/files/a%2Fb").target == "/files/a%2Fb");  // passed on as it came
}

TEST_CASE("a response that must not be shared is not stored, with the reason")
{
    struct Row {
        const char* why;
        int status;
        const char* cache_control;
        std::pair<const char*, const char*> field;
        const char* detail;
    };
    const Row rows[] = {
        {"Set-Cookie", 200, "", {"Set-Cookie", "sid=1"}, "set-cookie"},
        {"no-store", 200, "no-store", {"X-A", "1"}, "no-store"},
        {"private", 200, "private, max-age=60", {"X-A", "1"}, "private"},
        {"Vary: *", 200, "", {"Vary", "*"}, "vary-any"},
        {"Vary: * in a list", 200, "", {"Vary", "Accept, *"}, "vary-any"},
        {"an error has no ttl", 500, "", {"X-A", "1"}, "status"},
        {"a 302 has no ttl", 302, "", {"Location", "/"}, "status"},
        {"nothing to serve without asking", 200, "max-age=0", {"X-A", "1"}, "zero-lifetime"},
    };
    for (const Row& row : rows) {
        CAPTURE(std::string(row.why));
        Stage stage(over<Embedded>(one_rule));
        stage.origin.on("/page")
            .header(row.field.first, row.field.second)
            .reply(row.status, row.cache_control, "hello");
        const Response first = stage.get("/page");
        CHECK(first.status == row.status);
        CHECK(first.cache_status() == "larder; fwd=uri-miss; detail=" + std::string(row.detail));
        CHECK_FALSE(is_hit(stage.get("/page")));
        CHECK(stage.origin.requests("/page") == 2);
    }
}

TEST_CASE("the request's own no-store keeps its answer out of the cache")
{
    Stage stage(over<Embedded>(one_rule));
    stage.get("/page", {"Cache-Control: no-store"});
    CHECK_FALSE(is_hit(stage.get("/page")));
}

TEST_CASE("an identity in the key, or shared: true, lets requests with one be cached")
{
    Stage stage(over<Embedded>(R"(
rules:
  - name: mine
    match: GET /mine
    key: mine:{cookie.sid}
    ttl: 60s
  - name: ours
    match: GET /ours
    key: ours
    ttl: 60s
    shared: true
  - name: token
    match: GET /token
    key: token:{header.Authorization}
    ttl: 60s
    cache_control: override
)"));
    CHECK(stage.fill("/mine", {"Cookie: sid=1"}).body == "GET /mine #1");
    CHECK(stage.fill("/mine", {"Cookie: theme=dark; sid=2"}).body == "GET /mine #2");
    CHECK(stage.get("/mine", {"Cookie: sid=1"}).body == "GET /mine #1");
    CHECK(is_hit(stage.fill("/ours", {"Cookie: sid=1"})));
    CHECK(is_hit(stage.fill("/token", {"Authorization: Bearer a"})));
    CHECK_FALSE(is_hit(stage.get("/token", {"Authorization: Bearer b"})));
}

TEST_CASE("shared: true does not lift RFC 9111 3.5: an answer to Authorization needs the origin's word")
{
    Stage stage(over<Embedded>(R"(
rules:
  - name: ours
    match: GET /ours/{id}
    key: ours:{id}
    ttl: 60s
    shared: true
)"));
    const Response silent = stage.get("/ours/1", {"Authorization: Bearer a"});
    CHECK(silent.cache_status() == "larder; fwd=uri-miss; detail=authorization-not-public");
    CHECK_FALSE(is_hit(stage.get("/ours/1", {"Authorization: Bearer a"})));
    stage.origin.on("/ours/2").reply(200, "public, max-age=60", "hello");
    CHECK(is_hit(stage.fill("/ours/2", {"Authorization: Bearer a"})));
}

TEST_CASE("query: ignore and ignore_query let parameters out of the key")
{
    Stage stage(over<Embedded>(R"(
rules:
  - name: all
    match: GET /all
    key: all
    ttl: 60s
    query: ignore
  - name: some
    match: GET /some
    key: some
    ttl: 60s
    ignore_query: [tracking, debug]
)"));
    stage.fill("/all?a=1");
    CHECK(is_hit(stage.get("/all?b=2")));
    stage.fill("/some?utm_source=x&gclid=1");
    CHECK(is_hit(stage.get("/some?fbclid=2&debug=1")));
    CHECK(stage.get("/some?b=2").cache_status() == "larder; fwd=request; detail=query-parameter");
}

TEST_CASE("strip_set_cookie stores the answer without its cookies")
{
    Stage stage(over<Embedded>(R"(
rules:
  - name: page
    match: GET /page
    key: page
    ttl: 60s
    strip_set_cookie: true
)"));
    stage.origin.on("/page").header("Set-Cookie", "sid=1").reply(200, "", "hello");
    CHECK_FALSE(stage.get("/page").has("Set-Cookie"));
    CHECK_FALSE(stage.fill("/page").has("Set-Cookie"));
}

TEST_CASE_TEMPLATE("Vary selects variants, and each says why it missed", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(one_rule));
    stage.origin.on("/page").header("Vary", "Accept-Language").handle([](Conversation& conversation) {
        const std::string body = "in " + conversation.request.field("Accept-Language");
        conversation.wire.send("HTTP/1.1 200 OK\r\nVary: Accept-Language\r\nContent-Length: " +
                               std::to_string(body.size()) + "\r\n\r\n" + body);
        conversation.keep = true;
    });
    CHECK(stage.get("/page", {"Accept-Language: de"}).body == "in de");
    CHECK(stage.get("/page", {"Accept-Language: fr"}).cache_status() == "larder; fwd=vary-miss; stored");
    CHECK(stage.fill("/page", {"Accept-Language: de"}).body == "in de");
    CHECK(stage.fill("/page", {"Accept-Language: fr"}).body == "in fr");
    if (!Backend::over_redis) CHECK(stage.origin.requests("/page") == 2);
}

TEST_CASE_TEMPLATE("a purge takes every variant of its key", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(std::string(one_rule) + R"(
  - name: write
    match: PUT /page
    purge: ["page:*"]
)"));
    stage.origin.on("GET /page").header("Vary", "Accept-Language").reply(200, "", "hello");
    stage.fill("/page", {"Accept-Language: de"});
    stage.fill("/page", {"Accept-Language: fr"});
    stage.request("PUT", "/page", {}, "x");
    CHECK_FALSE(is_hit(stage.get("/page", {"Accept-Language: fr"})));
    CHECK_FALSE(is_hit(stage.get("/page", {"Accept-Language: de"})));
}

TEST_CASE("Accept-Encoding is normalised before it selects a variant")
{
    Stage stage(over<Embedded>(one_rule));
    stage.origin.on("/page").header("Vary", "Accept-Encoding").reply(200, "", "hello");
    stage.fill("/page", {"Accept-Encoding: gzip, deflate"});
    CHECK(is_hit(stage.get("/page", {"Accept-Encoding: deflate,gzip"})));
}

TEST_CASE_TEMPLATE("a key has at most 16 variants, and a new one takes the place of the oldest", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(one_rule));
    stage.origin.on("/page").header("Vary", "X-Device").reply(200, "", "hello");
    for (int i = 0; i < 16; ++i) stage.fill("/page", {"X-Device: " + std::to_string(i)});
    const Response one_more = stage.get("/page", {"X-Device: 16"});
    CHECK(one_more.body == "hello");
    CHECK(one_more.cache_status() == "larder; fwd=vary-miss; stored");
    stage.fill("/page", {"X-Device: 16"});  // it is stored while the client reads
    CHECK(is_hit(stage.get("/page", {"X-Device: 1"})));
    CHECK(stage.get("/page", {"X-Device: 0"}).cache_status() == "larder; fwd=vary-miss; stored");
    stage.fill("/page", {"X-Device: 0"});
    CHECK_FALSE(is_hit(stage.get("/page", {"X-Device: 1"})));
    CHECK(stage.larder->metric("larder_variants_replaced_total") >= 2);
}

TEST_CASE_TEMPLATE("the origin's lifetime wins over the rule's, and override turns that round", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(R"(
rules:
  - name: respectful
    match: GET /respect/{id}
    key: respect:{id}
    ttl: 60s
  - name: stubborn
    match: GET /override/{id}
    key: override:{id}
    ttl: 60s
    cache_control: override
)"));
    const auto ttl_of = [](const Response& response) {
        const std::string status = response.cache_status();
        return std::strtol(status.c_str() + status.find("ttl=") + 4, nullptr, 10);
    };
    stage.origin.on("/respect/long").reply(200, "max-age=600", "x");
    CHECK(ttl_of(stage.fill("/respect/long")) > 500);
    stage.origin.on("/respect/shared").reply(200, "max-age=600, s-maxage=300", "x");
    CHECK(ttl_of(stage.fill("/respect/shared")) <= 300);
    CHECK(ttl_of(stage.fill("/respect/shared")) > 200);
    stage.origin.on("/respect/silent").reply(200, "", "x");
    CHECK(ttl_of(stage.fill("/respect/silent")) <= 60);

    stage.origin.on("/override/private").reply(200, "private, max-age=0", "x");
    CHECK(ttl_of(stage.fill("/override/private")) <= 60);
    stage.origin.on("/override/no-store").reply(200, "no-store", "x");
    CHECK(stage.get("/override/no-store").cache_status() == "larder; fwd=uri-miss; detail=no-store");
    CHECK_FALSE(is_hit(stage.get("/override/no-store")));
}

TEST_CASE("ttl can be given per status, and a plain one holds for 404 at a tenth")
{
    Stage stage(over<Embedded>(R"(
rules:
  - name: plain
    match: GET /plain/{id}
    key: plain:{id}
    ttl: 100s
  - name: table
    match: GET /table/{id}
    key: table:{id}
    ttl: {200: 60s, 500: 5s}
)"));
    const auto ttl_of = [](const Response& response) {
        const std::string status = response.cache_status();
        return std::strtol(status.c_str() + status.find("ttl=") + 4, nullptr, 10);
    };
    stage.origin.on("/plain/404").reply(404, "", "no");
    const Response missing = stage.fill("/plain/404");
    CHECK(missing.status == 404);
    CHECK(ttl_of(missing) <= 10);
    stage.origin.on("/plain/301").header("Location", "/").reply(301, "", "");
    CHECK(ttl_of(stage.fill("/plain/301")) > 50);
    stage.origin.on("/table/500").reply(500, "", "oh");
    CHECK(ttl_of(stage.fill("/table/500")) <= 5);
    stage.origin.on("/table/404").reply(404, "", "no");
    CHECK(stage.get("/table/404").cache_status() == "larder; fwd=uri-miss; detail=status");
}

TEST_CASE_TEMPLATE("a body above max_object streams through whole and is not stored", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(one_rule, "max_object: 100KiB\n"));
    for (const bool chunked : {false, true}) {
        CAPTURE(chunked);
        const std::string body = pattern_bytes(0, 100 * 1024 + 1);
        Route& route = stage.origin.on(chunked ? "/page?a=2" : "/page?a=1");
        if (chunked) route.chunked(5000);
        route.reply(200, "", body);
        const std::string target = chunked ? "/page?a=2" : "/page?a=1";
        const Response first = stage.get(target);
        CHECK(first.body == body);
        // Of a chunked body the size is not known when the head goes out.
        if (!chunked) CHECK(first.cache_status() == "larder; fwd=uri-miss; detail=too-large");
        const Response second = stage.get(target);
        CHECK(second.body == body);
        CHECK_FALSE(is_hit(second));
    }
    stage.origin.on("/page?a=3").reply(200, "", pattern_bytes(0, 100 * 1024));
    CHECK(is_hit(stage.fill("/page?a=3")));
}

TEST_CASE_TEMPLATE("a body that was cut short is never stored", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(one_rule));
    const std::string body = pattern_bytes(0, 50'000);
    for (const bool chunked : {false, true}) {
        CAPTURE(chunked);
        const std::string target = chunked ? "/page?a=2" : "/page?a=1";
        Route& route = stage.origin.on(target).cut_after(20'000);
        if (chunked) route.chunked(5000);
        route.reply(200, "", body);
        for (int i = 1; i <= 3; ++i) {
            const Response response = stage.get(target);
            // The client can tell, too: nothing had gone out yet, or what went out is cut.
            CHECK((response.status == 502 || !response.ended_properly));
            CHECK_FALSE(is_hit(response));
            CHECK(stage.origin.requests(target) == static_cast<std::size_t>(i));
        }
    }
}

TEST_CASE("a body that ends with the connection has no provable end and is not stored")
{
    Stage stage(over<Embedded>(one_rule));
    stage.origin.on("/page").until_close().reply(200, "", "hello");
    CHECK(stage.get("/page").body == "hello");
    CHECK_FALSE(is_hit(stage.get("/page")));
}

TEST_CASE("a 206 from the origin is passed on and not stored")
{
    Stage stage(over<Embedded>(one_rule));
    stage.origin.on("/page").header("Content-Range", "bytes 0-4/10").reply(206, "max-age=60", "01234");
    CHECK(stage.get("/page", {"Range: bytes=0-4"}).body == "01234");
    stage.origin.on("/page").reply(200, "max-age=60", "0123456789");
    CHECK(stage.get("/page").body == "0123456789");
}

TEST_CASE("an answer that could not be stored is remembered, and later readers go straight to the origin")
{
    Stage stage(over<Embedded>(one_rule));
    stage.origin.on("/page").reply(200, "private", "hello");
    CHECK(stage.get("/page").cache_status() == "larder; fwd=uri-miss; detail=private");
    // Nobody waits for it any more; the reason is still the one of the answer itself.
    CHECK(stage.get("/page").cache_status() == "larder; fwd=bypass; detail=private");
}

}  // namespace larder::tests
