// Many readers, one fetch; and what a write does to a fetch that is under way. Over both stores.
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

template <class Backend>
StageOptions with(const std::string& rules)
{
    StageOptions options = over<Backend>(rules);
    options.store_timeout = "5s";  // a busy machine is not Redis away
    return options;
}

}  // namespace

TEST_CASE_TEMPLATE("fifty concurrent readers of one key cost the origin one request", Backend, Embedded, OverRedis)
{
    Stage stage(with<Backend>(item_rules));
    stage.origin.on("/items/1").hold();
    std::vector<std::future<Response>> readers;
    for (int i = 0; i < 50; ++i) readers.push_back(stage.start_get("/items/1"));
    stage.origin.await_requests("/items/1", 1);
    // Workers may each have begun a fetch of their own if the embedded store or Redis could not tell them; one process
    // has one fill per key, so 49 have joined.
    await_condition("all others wait", [&] { return stage.larder->metric("larder_fill_joins_total") >= 49; });
    stage.origin.release("/items/1");
    int stored_count = 0, collapsed_count = 0;
    for (auto& reader : readers) {
        const Response response = reader.get();
        CHECK(response.status == 200);
        CHECK(response.body == "GET /items/1 #1");
        if (response.cache_status() == "larder; fwd=uri-miss; stored") ++stored_count;
        if (response.cache_status() == "larder; fwd=uri-miss; collapsed") ++collapsed_count;
    }
    CHECK(stored_count == 1);
    CHECK(collapsed_count == 49);
    CHECK(stage.origin.requests("/items/1") == 1);
}

TEST_CASE_TEMPLATE("an answer that cannot be stored releases all who wait at once", Backend, Embedded, OverRedis)
{
    Stage stage(with<Backend>(item_rules));
    stage.origin.on("/items/1").hold().reply(200, "private", "mine");
    std::vector<std::future<Response>> readers;
    for (int i = 0; i < 20; ++i) readers.push_back(stage.start_get("/items/1"));
    stage.origin.await_requests("/items/1", 1);
    await_condition("all others wait", [&] { return stage.larder->metric("larder_fill_joins_total") >= 19; });
    const milliseconds before = monotonic_time();
    stage.origin.release("/items/1");
    for (auto& reader : readers) CHECK(reader.get().body == "mine");
    // Each went alone: one after the other would be far slower, and nobody got another's private answer.
    CHECK(stage.origin.requests("/items/1") == 20);
    CHECK(monotonic_time() - before < step_limit() / 4);
}

TEST_CASE("a key whose answers can be stored again is stored at the second request, not when the memory ends")
{
    Stage stage(with<Embedded>(item_rules));
    auto& route = stage.origin.on("/items/1").reply(200, "private", "mine");
    CHECK(stage.get("/items/1").cache_status() == "larder; fwd=uri-miss; detail=private");
    CHECK(stage.get("/items/1").cache_status() == "larder; fwd=bypass; detail=private");
    route.reply(200, "", "everybody's");
    CHECK(stage.get("/items/1").cache_status() == "larder; fwd=bypass; detail=private");
    CHECK(stage.get("/items/1").cache_status() == "larder; fwd=uri-miss; stored");
    CHECK(is_hit(stage.get("/items/1")));
}

TEST_CASE_TEMPLATE("those who wait get the bytes while the fill is still running", Backend, Embedded, OverRedis)
{
    Stage stage(with<Backend>(item_rules));
    std::promise<void> go_on;
    auto allowed = go_on.get_future().share();
    stage.origin.on("/items/1").handle([allowed](Conversation& conversation) {
        conversation.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        allowed.wait();
        conversation.wire.send("later");
        conversation.keep = true;
    });
    auto first = stage.connect();
    first->send("GET", "/items/1");
    CHECK(first->wire().take_through("first").ends_with("\r\n\r\nfirst"));  // streamed, not held until whole
    auto second = stage.start_get("/items/1");
    go_on.set_value();
    CHECK(first->wire().take(5) == "later");
    CHECK(second.get().body == "firstlater");
}

TEST_CASE_TEMPLATE("a client that leaves does not abort the fill", Backend, Embedded, OverRedis)
{
    Stage stage(with<Backend>(item_rules));
    stage.origin.on("/items/1").hold();
    auto client = stage.connect();
    client->send("GET", "/items/1");
    stage.origin.await_requests("/items/1", 1);
    client->wire().reset();
    stage.origin.release("/items/1");
    const Response response = stage.fill("/items/1");
    CHECK(response.body == "GET /items/1 #1");
    CHECK(stage.origin.requests("/items/1") == 1);
}

TEST_CASE_TEMPLATE("a fill that a write has overtaken is answered but not stored", Backend, Embedded, OverRedis)
{
    Stage stage(with<Backend>(item_rules));
    stage.origin.on("GET /items/1").hold().reply(200, "", "old");
    auto early = stage.start_get("/items/1");
    stage.origin.await_requests("GET /items/1", 1);
    CHECK(stage.request("PUT", "/items/1", {}, "new").status == 200);

    // A reader who begins after the write was acknowledged must not join the older fetch.
    auto late = stage.start_get("/items/1");
    stage.origin.await_requests("GET /items/1", 2);
    stage.origin.release("GET /items/1");
    const Response early_response = early.get();
    CHECK(early_response.body == "old");
    CHECK(early_response.cache_status().find("stored") == std::string::npos);
    CHECK(late.get().status == 200);
    CHECK(stage.origin.requests("GET /items/1") == 2);
}

TEST_CASE_TEMPLATE("a body fetched before a write is never served after it", Backend, Embedded, OverRedis)
{
    Stage stage(with<Backend>(item_rules));
    // The first fetch reads the old value, then stalls; the value changes; the second fetch reads the new one.
    std::promise<void> go_on;
    auto allowed = go_on.get_future().share();
    std::atomic<int> value{1};
    stage.origin.on("GET /items/1").handle([&, allowed](Conversation& conversation) {
        const std::string body = "value " + std::to_string(value.load());
        if (conversation.number == 1) allowed.wait();
        conversation.wire.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
        conversation.keep = true;
    });
    stage.origin.on("PUT /items/1").handle([&](Conversation& conversation) {
        read_body(conversation.wire, conversation.request, 1000);
        value = 2;
        conversation.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        conversation.keep = true;
    });
    auto early = stage.start_get("/items/1");
    stage.origin.await_requests("GET /items/1", 1);
    CHECK(stage.request("PUT", "/items/1", {}, "2").status == 200);
    CHECK(stage.get("/items/1").body == "value 2");
    go_on.set_value();
    CHECK(early.get().body == "value 1");
    for (int i = 0; i < 10; ++i) CHECK(stage.get("/items/1").body == "value 2");
}

TEST_CASE_TEMPLATE("an expired response that was purged while it was asked about does not stand in when the app fails",
                   Backend, Embedded, OverRedis)
{
    Stage stage(with<Backend>(R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 200ms
    stale_if_error: 10m
  - name: item-write
    match: PUT /items/{id}
    purge: ["item:{id}"]
)"));
    auto& route = stage.origin.on("GET /items/1").reply(200, "", "good");
    CHECK(stage.get("/items/1").body == "good");
    route.hold().reply(503, "", "bad");
    std::vector<std::future<Response>> readers;
    await_condition("it has expired", [&] {
        readers.push_back(stage.start_get("/items/1"));
        return stage.origin.requests("GET /items/1") >= 2;
    });
    bool is_purged = false;
    SUBCASE("purged") { is_purged = true; }
    SUBCASE("not purged") {}
    if (is_purged) CHECK(stage.request("PUT", "/items/1", {}, "x").status == 200);
    stage.origin.release("GET /items/1");
    int waited_count = 0;
    for (auto& reader : readers) {
        const Response response = reader.get();
        if (response.cache_status().find("fwd=stale") == std::string::npos) continue;  // it had not expired yet
        ++waited_count;
        CHECK(response.body == (is_purged ? "bad" : "good"));
        CHECK(response.status == (is_purged ? 503 : 200));
    }
    CHECK(waited_count >= 1);
}

TEST_CASE_TEMPLATE("while a write is under way its key is neither served nor stored, and afterwards it is", Backend,
                   Embedded, OverRedis)
{
    Stage stage(with<Backend>(item_rules));
    stage.fill("/items/1");
    stage.origin.on("PUT /items/1").hold();
    auto writer = stage.start_request("PUT", "/items/1", {}, "x");
    stage.origin.await_requests("PUT /items/1", 1);
    CHECK(stage.get("/items/1").cache_status() == "larder; fwd=bypass; detail=write-open");
    stage.origin.release("PUT /items/1");
    CHECK(writer.get().status == 200);
    stage.fill("/items/1");
}

TEST_CASE_TEMPLATE("while a write is under way readers share the fetch that is sent after they came, and no older one",
                   Backend, Embedded, OverRedis)
{
    Stage stage(with<Backend>(item_rules));
    stage.origin.on("PUT /items/1").hold();
    auto writer = stage.start_request("PUT", "/items/1", {}, "x");
    stage.origin.await_requests("PUT /items/1", 1);
    stage.origin.on("GET /items/1").hold();
    auto first = stage.start_get("/items/1");
    stage.origin.await_requests("GET /items/1", 1);
    std::vector<std::future<Response>> later;
    for (int i = 0; i < 20; ++i) later.push_back(stage.start_get("/items/1"));
    await_condition("they wait", [&] { return stage.larder->metric("larder_fill_joins_total") >= 19; });
    stage.origin.release("GET /items/1");
    const Response alone = first.get();
    CHECK(alone.cache_status() == "larder; fwd=bypass; detail=write-open");
    CHECK(alone.body == "GET /items/1 #1");
    int collapsed_count = 0;
    for (auto& reader : later) {
        const Response response = reader.get();
        CHECK(response.body == "GET /items/1 #2");
        if (response.cache_status() == "larder; fwd=bypass; collapsed; detail=write-open") ++collapsed_count;
    }
    CHECK(collapsed_count == 19);
    CHECK(stage.origin.requests("GET /items/1") == 2);
    CHECK(stage.get("/items/1").cache_status() == "larder; fwd=bypass; detail=write-open");  // nothing was stored
    stage.origin.release("PUT /items/1");
    CHECK(writer.get().status == 200);
}

TEST_CASE_TEMPLATE("while a write is under way an answer that is one reader's own releases the others at once", Backend,
                   Embedded, OverRedis)
{
    Stage stage(with<Backend>(item_rules));
    stage.origin.on("PUT /items/1").hold();
    auto writer = stage.start_request("PUT", "/items/1", {}, "x");
    stage.origin.await_requests("PUT /items/1", 1);
    stage.origin.on("GET /items/1").hold().reply(200, "private", "mine");
    std::vector<std::future<Response>> readers;
    for (int i = 0; i < 20; ++i) readers.push_back(stage.start_get("/items/1"));
    await_condition("they wait", [&] { return stage.larder->metric("larder_fill_joins_total") >= 18; });
    const milliseconds before = monotonic_time();
    stage.origin.release("GET /items/1");
    for (auto& reader : readers) CHECK(reader.get().body == "mine");
    CHECK(stage.origin.requests("GET /items/1") == 20);
    CHECK(monotonic_time() - before < step_limit() / 4);
    stage.origin.release("PUT /items/1");
    CHECK(writer.get().status == 200);
}

TEST_CASE_TEMPLATE("writers and readers in a race never show a reader an older value than the last one acknowledged",
                   Backend, Embedded, OverRedis)
{
    Stage stage(with<Backend>(item_rules));
    std::atomic<int> value{0};
    stage.origin.on("GET /items/1").handle([&](Conversation& conversation) {
        const std::string body = std::to_string(value.load());
        conversation.wire.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
        conversation.keep = true;
    });
    stage.origin.on("PUT /items/1").handle([&](Conversation& conversation) {
        read_body(conversation.wire, conversation.request, 1000);
        value = std::stoi(conversation.request.body);
        conversation.wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        conversation.keep = true;
    });
    std::atomic<int> acknowledged{0}, violations{0}, hits{0};
    std::atomic<bool> done{false};
    std::vector<std::future<void>> readers;
    for (int i = 0; i < 6; ++i) {
        readers.push_back(std::async(std::launch::async, [&] {
            HttpClient client(stage.larder->port());
            while (!done) {
                const int before = acknowledged;
                const Response response = client.get("/items/1");
                if (std::stoi(response.body) < before) ++violations;
                if (is_hit(response)) ++hits;
            }
        }));
    }
    HttpClient writer(stage.larder->port());
    for (int i = 1; i <= 300; ++i) {
        const Response answer = writer.request("PUT", "/items/1", {}, std::to_string(i));
        CHECK(answer.status == 200);
        acknowledged = i;
        const int hits_before = hits;
        if (i % 10 == 0) await_condition("someone gets a hit", [&] { return hits > hits_before; });
    }
    done = true;
    for (auto& reader : readers) reader.get();
    CHECK(violations == 0);
    CHECK(hits > 0);
}

}  // namespace larder::tests
