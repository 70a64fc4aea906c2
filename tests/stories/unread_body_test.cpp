// What stands behind a request on its connection: the body of a request that was refused is never taken for a request,
// and what was pipelined behind it gets its own answer, at its own time. And a HEAD leaves nobody without a body.
#include <utility>

#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const std::string smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\nX-Request-ID: smuggled\r\n\r\n";

/// A body that begins with blanks and goes on with one request after another.
std::string body_of_requests(std::size_t blanks_count, std::size_t size)
{
    std::string body(blanks_count, ' ');
    while (body.size() < size) body += smuggled;
    body.resize(size);
    return body;
}

/// The bytes until the peer closes or resets.
std::string all_that_comes(Wire& wire)
{
    try {
        return wire.take_to_end();
    } catch (const Ended&) {
        return std::exchange(wire.unread(), {});
    }
}

std::size_t count_of(std::string_view mark, std::string_view text)
{
    std::size_t count = 0;
    for (std::size_t at = text.find(mark); at != std::string_view::npos; at = text.find(mark, at + 1)) ++count;
    return count;
}

/// Sends the rest of a body whose request has been refused, and one more request. Whether the connection has ended or
/// the rest was read past, nothing but that last request may be answered.
void check_rest_is_no_request(HttpClient& client, const std::string& rest_of_body)
{
    try {
        client.send_bytes(rest_of_body +
                          "GET /after HTTP/1.1\r\nHost: app.test\r\nX-Request-ID: after\r\nConnection: close\r\n\r\n");
    } catch (const Ended&) {
        // Closed already: as good.
    }
    const std::string rest = all_that_comes(client.wire());
    CAPTURE(rest.substr(0, 2000));
    CHECK(count_of("smuggled", rest) == 0);
    CHECK(count_of("HTTP/1.1 ", rest) <= 1);
    CHECK(count_of("HTTP/1.1 ", rest) == count_of("X-Request-ID: after\r\n", rest));
}

/// The kinds of request that a body may come with.
const char* const write_rules = R"(
rules:
  - name: by-path
    match: POST /by-path/{id}
    purge: ["item:{id}"]
    on_store_error: reject
  - name: by-body
    match: POST /by-body
    purge: ["item:{body.id}"]
    on_store_error: reject
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 60s
)";

std::string post(const std::string& target, const std::string& framing)
{
    return "POST " + target + " HTTP/1.1\r\nHost: app.test\r\nX-Request-ID: posted\r\n" + framing + "\r\n\r\n";
}

std::string with_length(std::size_t size) { return "Content-Length: " + std::to_string(size); }

/// A body that is sent in two parts, the second after the answer.
struct SplitBody {
    const char* target;
    std::size_t size, first;
};

void check_answer_of(const Response& response, int status, const std::string& request_id)
{
    CHECK(response.status == status);
    CHECK(response.field("X-Request-ID") == request_id);
}

}  // namespace

TEST_CASE("when the app cannot be reached, what is still to come of a body is no request")
{
    StageOptions options;
    options.rules = write_rules;
    Stage stage(options);
    stage.origin.stop_listening();
    // A body that names what to purge is read ahead for a little more than 64 KiB.
    for (const SplitBody& row : {SplitBody{"/passed", 200'000, 65'536}, SplitBody{"/passed", 200'000, 1'000},
                                 SplitBody{"/by-path/1", 200'000, 65'536}, SplitBody{"/by-body", 200'000, 70'000}}) {
        CAPTURE(std::string(row.target));
        CAPTURE(row.first);
        const std::string body = body_of_requests(row.first, row.size);
        {
            auto client = stage.connect();
            client->send_bytes(post(row.target, with_length(row.size)) + body.substr(0, row.first));
            check_answer_of(client->read(), 502, "posted");
            check_rest_is_no_request(*client, body.substr(row.first));
        }
        // All at once: how much of it has been read when the answer goes out is up to the kernel.
        auto client = stage.connect();
        client->send_bytes(post(row.target, with_length(row.size)) + body);
        check_answer_of(client->read(), 502, "posted");
        check_rest_is_no_request(*client, "");
    }
    CHECK(stage.origin.requests() == 0);
}

TEST_CASE("when the app cannot be reached, a request behind a whole body is answered in its turn")
{
    StageOptions options;
    options.rules = write_rules;
    Stage stage(options);
    stage.origin.stop_listening();
    const std::string json = R"({"id": 1})";
    for (const char* target : {"/passed", "/by-path/1", "/by-body"}) {
        CAPTURE(std::string(target));
        for (const bool chunked : {false, true}) {
            CAPTURE(chunked);
            auto client = stage.connect();
            client->send_bytes((chunked ? post(target, "Transfer-Encoding: chunked") + "9\r\n" + json + "\r\n0\r\n\r\n"
                                        : post(target, with_length(json.size())) + json) +
                               "GET /behind HTTP/1.1\r\nHost: app.test\r\nX-Request-ID: behind\r\n\r\n");
            CHECK_NOTHROW(check_answer_of(client->read(), 502, "posted"));
            CHECK_NOTHROW(check_answer_of(client->read(), 502, "behind"));
        }
    }
}

TEST_CASE("when a write is refused because Redis is away, the bytes of its body are no request")
{
    StageOptions options = over<OverRedis>(write_rules);
    options.workers = 1;
    Stage stage(options);
    stage.redis->kill();
    await_condition("the loss is noticed",
                    [&] { return stage.get("/items/1").cache_status() == "larder; fwd=bypass; detail=store-away"; });
    for (const SplitBody& row :
         {SplitBody{"/by-path/1", smuggled.size(), 0}, SplitBody{"/by-path/1", 40 + smuggled.size(), 40},
          SplitBody{"/by-path/1", 200'000, 65'536}, SplitBody{"/by-body", 200'000, 70'000}}) {
        CAPTURE(std::string(row.target));
        CAPTURE(row.size);
        CAPTURE(row.first);
        const std::string body = body_of_requests(row.first, row.size);
        auto client = stage.connect();
        client->send_bytes(post(row.target, with_length(row.size)) + body.substr(0, row.first));
        check_answer_of(client->read(), 503, "posted");
        check_rest_is_no_request(*client, body.substr(row.first));
    }
    CHECK(stage.origin.requests("/smuggled") == 0);
    CHECK(stage.origin.requests("/by-path/1") + stage.origin.requests("/by-body") == 0);
}

TEST_CASE("when a write is refused because Redis is away, a request behind its whole body is answered in its turn")
{
    StageOptions options = over<OverRedis>(write_rules);
    options.workers = 1;
    Stage stage(options);
    stage.redis->kill();
    await_condition("the loss is noticed",
                    [&] { return stage.get("/items/1").cache_status() == "larder; fwd=bypass; detail=store-away"; });
    const std::string json = R"({"id": 1})";
    for (const char* target : {"/by-path/1", "/by-body"}) {
        CAPTURE(std::string(target));
        auto client = stage.connect();
        client->send_bytes(post(target, with_length(json.size())) + json +
                           "GET /behind HTTP/1.1\r\nHost: app.test\r\nX-Request-ID: behind\r\n\r\n");
        CHECK_NOTHROW(check_answer_of(client->read(), 503, "posted"));
        CHECK_NOTHROW(check_answer_of(client->read(), 200, "behind"));
    }
    CHECK(stage.origin.requests("/behind") == 2);
}

TEST_CASE_TEMPLATE("a pipelined request is judged at its own turn: what has expired while it waited is no hit", Backend,
                   Embedded, OverRedis)
{
    Stage stage(over<Backend>(
        "rules:\n  - name: item\n    match: GET /item\n    key: item\n    ttl: 300ms\n    stale_if_error: 10m\n"));
    stage.origin.on("/slow").hold();
    stage.fill("/item");
    auto client = stage.connect();
    client->send_bytes(
        "GET /slow HTTP/1.1\r\nHost: app.test\r\n\r\n"
        "GET /item HTTP/1.1\r\nHost: app.test\r\n\r\n");
    stage.origin.await_requests("/slow", 1);
    // A HEAD looks at what is stored and renews nothing.
    await_condition("the item has expired", [&] { return !is_hit(stage.request("HEAD", "/item")); });
    const std::size_t fetched_count = stage.origin.requests("GET /item");
    stage.origin.release("/slow");
    CHECK(client->read().body == "GET /slow #1");
    const Response item = client->read();
    CHECK_FALSE(is_hit(item));
    CHECK(item.status == 200);
    CHECK(stage.origin.requests("GET /item") == fetched_count + 1);
}

TEST_CASE_TEMPLATE("a HEAD that finds an entry stale has it refreshed by a GET, so that later readers get the body",
                   Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 200ms
    stale_while_revalidate: 10m
)"));
    // As many apps do: a HEAD is answered as if there were nothing.
    stage.origin.on("HEAD /items/1").reply(200, "", "");
    stage.origin.on("GET /items/1").reply(200, "", "old");
    CHECK(stage.fill("/items/1").body == "old");
    stage.origin.on("GET /items/1").reply(200, "", "new");
    const std::size_t asked_count = stage.origin.requests("/items/1");
    await_condition("a refresh begins", [&] {
        CHECK(stage.request("HEAD", "/items/1").status == 200);
        return stage.origin.requests("/items/1") > asked_count;
    });
    CHECK(stage.origin.requests("HEAD /items/1") == 0);
    bool whole = true;
    await_condition("the new body is there", [&] {
        const Response response = stage.get("/items/1");
        whole = whole && (response.body == "old" || response.body == "new");
        return response.body == "new";
    });
    CHECK(whole);
}

}  // namespace larder::tests
