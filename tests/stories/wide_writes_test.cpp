// Writes that keep readers from the cache while they run: how long, and whose fault it is.
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const wide_rules = R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 60s
  - name: list
    match: GET /list
    key: list
    ttl: 60s
  - name: item-write
    match: PUT /items/{id}
    purge: ["item:{id}"]
  - name: import
    match: POST /import
    purge: ["*"]
)";

constexpr const char* passes_by = "larder; fwd=bypass; detail=write-open";

std::string beside(const Stage& stage, const std::string& rules)
{
    return "upstream: http://127.0.0.1:" + std::to_string(stage.origin.port()) +
           "\nnamespace: story\nstore: " + stage.redis->url() + "\n" + rules;
}

double marked_passes(LarderProcess& larder, const std::string& rule)
{
    return larder.metric("larder_marked_passes_total", "rule=\"" + rule + "\"");
}
/// A request is counted when its answer has gone out: the client may be quicker.
void await_marked_passes(LarderProcess& larder, const std::string& rule, double count)
{
    await_condition("passes are counted for " + rule, [&] { return marked_passes(larder, rule) == count; });
}

}  // namespace

TEST_CASE_TEMPLATE("readers that a write keeps from the cache are counted by the rule of the write", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(wide_rules));
    stage.fill("/items/1");
    stage.fill("/list");
    stage.origin.on("POST /import").hold();
    stage.origin.on("PUT /items/1").hold();
    auto item = stage.start_request("PUT", "/items/1", {}, "x");
    stage.origin.await_requests("PUT /items/1", 1);
    CHECK(stage.get("/items/1").cache_status() == passes_by);
    CHECK(is_hit(stage.get("/list")));
    auto import = stage.start_request("POST", "/import", {}, "x");
    stage.origin.await_requests("POST /import", 1);
    for (int i = 0; i < 3; ++i) CHECK(stage.get("/list").cache_status() == passes_by);
    CHECK(stage.get("/items/2").cache_status() == passes_by);
    await_marked_passes(*stage.larder, "item-write", 1);
    await_marked_passes(*stage.larder, "import", 4);
    CHECK(stage.larder->metric("larder_open_marks") == 2);
    stage.origin.release("POST /import");
    CHECK(import.get().status == 200);
    CHECK_FALSE(is_hit(stage.get("/list")));
    stage.fill("/list");
    CHECK(stage.get("/items/1").cache_status() == passes_by);
    stage.origin.release("PUT /items/1");
    CHECK(item.get().status == 200);
    stage.fill("/items/1");
    await_marked_passes(*stage.larder, "item-write", 2);
    CHECK(marked_passes(*stage.larder, "other") == 0);
}

TEST_CASE("another replica names the rule too, and one that has no such rule counts it as other")
{
    Stage stage(over<OverRedis>(wide_rules));
    std::string renamed = wide_rules;
    renamed.replace(renamed.find("name: import"), 12, "name: import-of-old");
    LarderProcess same(beside(stage, wide_rules)), different(beside(stage, renamed));
    stage.origin.on("POST /import").hold();
    auto import = stage.start_request("POST", "/import", {}, "x");
    stage.origin.await_requests("POST /import", 1);
    CHECK(HttpClient(same.port()).get("/list").cache_status() == passes_by);
    CHECK(HttpClient(different.port()).get("/list").cache_status() == passes_by);
    await_marked_passes(same, "import", 1);
    CHECK(marked_passes(different, "import-of-old") == 0);
    await_marked_passes(different, "other", 1);
    stage.origin.release("POST /import");
    CHECK(import.get().status == 200);
}

TEST_CASE("the log names a rule whose writes keep many requests from the cache")
{
    Stage stage(over<Embedded>(wide_rules));
    stage.origin.on("POST /import").hold();
    auto import = stage.start_request("POST", "/import", {}, "x");
    stage.origin.await_requests("POST /import", 1);
    auto client = stage.connect();
    for (int i = 0; i < 200; ++i) client->get("/list");
    await_condition("the log says it", [&] {
        return contains(stage.larder->log(),
                        "warn writes of a rule keep many requests from the cache rule=import "
                        "reason=write-open");
    });
    stage.origin.release("POST /import");
    CHECK(import.get().status == 200);
}

TEST_CASE_TEMPLATE("a write whose upload outlasts its mark keeps its readers from the cache until its answer", Backend,
                   Embedded, OverRedis)
{
    // The mark's life is 6.5 s.
    Stage stage(over<Backend>(wide_rules));
    const std::string yaml =
        "upstream:\n  url: http://127.0.0.1:" + std::to_string(stage.origin.port()) +
        "\n  first_byte_timeout: 1500ms\nnamespace: slow\n" +
        (Backend::over_redis ? "store:\n  url: " + stage.redis->url() + "\n  timeout: 2s\n" : std::string()) +
        wide_rules;
    LarderProcess larder(yaml);
    HttpClient reader(larder.port()), writer(larder.port());
    await_condition("it is stored", [&] { return is_hit(reader.get("/items/1")); });
    writer.send_bytes("PUT /items/1 HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
    stage.origin.await_requests("PUT /items/1", 1);
    std::size_t others = 0;
    await_condition("the mark's first life has passed", [&] {
        writer.send_bytes("1\r\nx\r\n");
        if (reader.get("/items/1").cache_status() != passes_by) ++others;
        return larder.metric("larder_marks_renewed_total") >= 2;
    });
    for (int i = 0; i < 20; ++i)
        if (reader.get("/items/1").cache_status() != passes_by) ++others;
    CHECK(others == 0);
    CHECK(larder.metric("larder_open_marks") == 1);
    writer.send_bytes("0\r\n\r\n");
    CHECK(writer.read().status == 200);
    CHECK(reader.get("/items/1").cache_status() != passes_by);  // the COMMIT has closed it: no PREPARE came after it
    await_condition("it is stored again", [&] { return is_hit(reader.get("/items/1")); });
}

TEST_CASE("a mark that has lost half of its life before the write is forwarded is made anew")
{
    Stage stage(over<OverRedis>(wide_rules));
    const std::string upstream =
        "upstream:\n  url: http://127.0.0.1:" + std::to_string(stage.origin.port()) + "\n  first_byte_timeout: 100ms\n";
    LarderProcess larder(upstream + "namespace: slow\nstore:\n  url: " + stage.redis->url() + "\n  timeout: 10s\n" +
                         wide_rules);
    LarderProcess clock(upstream + wide_rules);  // its marks live as long, and tell when half of that has passed
    stage.redis->stop();
    HttpClient writer(larder.port()), ticker(clock.port());
    writer.send("PUT", "/items/1", {}, "x");
    await_condition("PREPARE is on its way", [&] { return larder.metric("larder_purge_records_total") == 1; });
    ticker.send_bytes("PUT /items/2 HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    await_condition("half of a mark's life has passed", [&] {
        ticker.send_bytes("1\r\nx\r\n");
        return clock.metric("larder_marks_renewed_total") >= 1;
    });
    CHECK(stage.origin.requests("PUT /items/1") == 0);
    stage.redis->go_on();
    CHECK(writer.read().status == 200);
    CHECK(larder.metric("larder_marks_renewed_total") >= 1);
    CHECK(larder.metric("larder_purge_deferred_total") == 0);
    CHECK(HttpClient(larder.port()).get("/items/1").cache_status() != passes_by);
    ticker.send_bytes("0\r\n\r\n");
    CHECK(ticker.read().status == 200);
}

TEST_CASE("check warns of a purge that takes several rules from the cache, and passes all the same")
{
    const TemporaryDirectory directory;
    const std::string file =
        directory.write("larder.yaml", std::string("upstream: http://127.0.0.1:3000\n") + wide_rules);
    const Finished checked = run_larder({"check", file});
    CHECK(checked.exit_code == 0);
    CHECK(contains(checked.standard_output,
                   "warning: rule import: purge \"*\" covers every key: while such a write is "
                   "under way, reads of item, list pass by"));
    const Finished told = run_larder({"explain", file, "POST", "/import"});
    CHECK(told.exit_code == 0);
    CHECK(contains(told.standard_output, "whose key fits pass by (write-open)"));
    CHECK(contains(told.standard_output, "to change that: narrow the patterns, or fence: after"));
}

}  // namespace larder::tests
