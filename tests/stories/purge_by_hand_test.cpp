// Purges by hand: POST /purge on the admin port, and the command `larder purge`.
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const event_rules = R"(
rules:
  - name: event-list
    match: GET /api/events
    key: events:list:{query.page|1}
    ttl: 60s
  - name: event
    match: GET /api/events/{id}
    key: event:{id}
    ttl: 30m
  - name: event-write
    match: PUT /api/events/{id}
    purge: ["event:{id}", "events:list:*"]
)";

Response post_purge(LarderProcess& larder, const std::string& body,
                    std::vector<std::string> fields = {"Content-Type: application/json"},
                    const std::string& method = "POST")
{
    HttpClient client(larder.admin_port());
    fields.emplace_back("Host: localhost");
    return client.request(method, "/purge", fields, body);
}

std::string beside(const Stage& stage)
{
    return "upstream: http://127.0.0.1:" + std::to_string(stage.origin.port()) +
           "\nnamespace: story\nstore: " + stage.redis->url() + "\n" + event_rules;
}

std::string admin_of(LarderProcess& larder) { return "127.0.0.1:" + std::to_string(larder.admin_port()); }

}  // namespace

TEST_CASE_TEMPLATE("a key purged by hand is gone when the answer is there, and others stay", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    for (int round = 0; round < 10; ++round) {
        stage.fill("/api/events/7");
        stage.fill("/api/events/8");
        const Response purged = post_purge(*stage.larder, R"({"keys": ["event:7"]})");
        CHECK(purged.status == 200);
        CHECK(purged.field("Content-Type") == "application/json");
        CHECK(contains(purged.body, R"("keys":["event:7"],"patterns":[],"positions":[)"));
        CHECK(contains(purged.body, R"("matches_rules":["event"],"matches_no_rule":[])"));
        CHECK(stage.get("/api/events/7").cache_status().starts_with("larder; fwd=miss; stored; detail=purged"));
        CHECK(is_hit(stage.get("/api/events/8")));
    }
    CHECK(stage.larder->metric("larder_purges_total", "source=\"admin\"") == 10);
    CHECK(stage.larder->metric("larder_purges_total", "source=\"write\"") == 0);
    stage.request("PUT", "/api/events/7", {}, "{}");
    CHECK(stage.larder->metric("larder_purges_total", "source=\"write\"") == 1);
    CHECK(contains(stage.larder->log(),
                   "info purged by hand what=event:7 keys=1 patterns=0 rule=- records=1 "
                   "from=127.0.0.1"));
}

TEST_CASE_TEMPLATE("a pattern purges what it matches, and a rule's name everything that the rule has stored", Backend,
                   Embedded, OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    const auto fill_all = [&] {
        for (const char* target : {"/api/events", "/api/events?page=2", "/api/events/7", "/api/events/8"})
            stage.fill(target);
    };
    fill_all();
    CHECK(post_purge(*stage.larder, R"({"patterns": ["events:list:*"]})").status == 200);
    CHECK_FALSE(is_hit(stage.get("/api/events")));
    CHECK_FALSE(is_hit(stage.get("/api/events?page=2")));
    CHECK(is_hit(stage.get("/api/events/7")));
    fill_all();
    CHECK(post_purge(*stage.larder, R"({"rule": "event"})").status == 200);
    CHECK(is_hit(stage.get("/api/events")));
    CHECK_FALSE(is_hit(stage.get("/api/events/7")));
    CHECK_FALSE(is_hit(stage.get("/api/events/8")));
}

TEST_CASE_TEMPLATE("more keys than one record holds are appended as several, and all of them are purged", Backend,
                   Embedded, OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    stage.fill("/api/events/0");
    stage.fill("/api/events/1199");
    std::string keys;
    for (int i = 0; i < 1200; ++i) keys += (i == 0 ? "\"event:" : ",\"event:") + std::to_string(i) + "\"";
    const double before = stage.larder->metric("larder_purge_records_total");
    const Response purged = post_purge(*stage.larder, "{\"keys\": [" + keys + "]}");
    CHECK(purged.status == 200);
    CHECK(stage.larder->metric("larder_purge_records_total") == before + 3);
    CHECK_FALSE(is_hit(stage.get("/api/events/0")));
    CHECK_FALSE(is_hit(stage.get("/api/events/1199")));
}

TEST_CASE_TEMPLATE("a dry run purges nothing and says what it could match", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    stage.fill("/api/events/7");
    const Response told =
        post_purge(*stage.larder, R"({"keys": ["evnt:7"], "patterns": ["event*"], "rule": "event", "dry_run": true})");
    CHECK(told.status == 200);
    CHECK(contains(told.body, R"("dry_run":true)"));
    CHECK(contains(told.body, R"("positions":[])"));
    CHECK(contains(told.body, R"("patterns":["event*","event:*"])"));
    CHECK(contains(told.body, R"("matches_rules":["event-list","event"],"matches_no_rule":["evnt:7"])"));
    CHECK(is_hit(stage.get("/api/events/7")));
    CHECK(stage.larder->metric("larder_purge_records_total") == 0);
    CHECK(stage.larder->metric("larder_purges_total") == 0);
}

TEST_CASE("a purge by hand through one replica is seen by a reader of another as soon as it is answered")
{
    Stage stage(over<OverRedis>(event_rules));
    LarderProcess other(beside(stage));
    HttpClient reader(other.port());
    for (int round = 0; round < 20; ++round) {
        for (const char* target : {"/api/events/7", "/api/events"})
            await_condition("the reader's replica has stored it", [&] { return is_hit(reader.get(target)); });
        CHECK(post_purge(*stage.larder, R"({"keys": ["event:7"], "patterns": ["events:*"]})").status == 200);
        CHECK_FALSE(is_hit(reader.get("/api/events/7")));
        CHECK_FALSE(is_hit(reader.get("/api/events")));
    }
}

TEST_CASE("with the store away a purge by hand is queued, answered with 503, and made when the store is back")
{
    Stage stage(over<OverRedis>(event_rules));
    LarderProcess other(beside(stage));
    HttpClient reader(other.port());
    stage.redis->kill();
    const Response queued = post_purge(*stage.larder, R"({"keys": ["event:7"]})");
    CHECK(queued.status == 503);
    CHECK(queued.field("Content-Type") == "application/problem+json");
    CHECK(contains(queued.body, R"("deferred":true)"));
    CHECK(contains(queued.body, "queued"));
    CHECK(stage.larder->metric("larder_purge_deferred_total") == 1);
    CHECK(contains(stage.larder->log(), "warn a purge by hand waits for the store what=event:7"));
    stage.redis->start();
    await_condition("the purge is replayed", [&] { return stage.larder->metric("larder_purge_replayed_total") == 1; });
    CHECK(contains(stage.larder->admin("GET", "/health/cache").body, R"("deferred_purges":0)"));
    await_condition("the reader's replica has stored it", [&] { return is_hit(reader.get("/api/events/7")); });
    await_condition("a purge is taken again",
                    [&] { return post_purge(*stage.larder, R"({"keys": ["event:7"]})").status == 200; });
    CHECK_FALSE(is_hit(reader.get("/api/events/7")));
}

TEST_CASE("a store that is paused keeps no operator waiting: the purge is queued at the store's deadline")
{
    Stage stage(over<OverRedis>(event_rules));
    stage.fill("/api/events/7");
    stage.redis->stop();
    const milliseconds before = monotonic_time();
    CHECK(post_purge(*stage.larder, R"({"keys": ["event:7"]})").status == 503);
    CHECK(monotonic_time() - before < 5s);
    stage.redis->go_on();
    await_condition("the purge is replayed", [&] { return stage.larder->metric("larder_purge_replayed_total") >= 1; });
}

TEST_CASE("what is no purge is refused by a problem document that says what to write")
{
    Stage stage(over<Embedded>(event_rules));
    stage.fill("/api/events/7");
    struct Row {
        const char* why;
        Response response;
        int status;
        const char* says;
    };
    LarderProcess& larder = *stage.larder;
    const Row rows[] = {
        {"no JSON", post_purge(larder, "event:7"), 400, "is not JSON"},
        {"a form", post_purge(larder, "{}", {"Content-Type: text/plain"}), 415, "Content-Type: application/json"},
        {"no type", post_purge(larder, R"({"keys": ["event:7"]})", {}), 415, "Content-Type: application/json"},
        {"a rule mistyped", post_purge(larder, R"({"rule": "evnt"})"), 400, "did you mean"},
        {"nothing", post_purge(larder, "{}"), 400, "nothing to purge"},
        {"GET", post_purge(larder, "", {}, "GET"), 405, "POST"},
        {"PURGE", post_purge(larder, "", {}, "PURGE"), 405, "POST"},
        {"too large", post_purge(larder, std::string((1 << 20) + 1, ' ')), 413, "limit"},
    };
    for (const Row& row : rows) {
        CAPTURE(std::string(row.why));
        CHECK(row.response.status == row.status);
        CHECK(row.response.field("Content-Type") == "application/problem+json");
        CHECK(contains(row.response.body, row.says));
    }
    CHECK(rows[5].response.field("Allow") == "POST");
    CHECK(is_hit(stage.get("/api/events/7")));
    // The clients' port knows nothing of it.
    stage.origin.on("POST /purge").reply(404, "", "not here");
    CHECK(stage.request("POST", "/purge", {"Content-Type: application/json"}, R"({"keys": ["event:7"]})").status ==
          404);
    CHECK(is_hit(stage.get("/api/events/7")));
}

TEST_CASE_TEMPLATE("larder purge asks the running Larder, and says in words what was appended", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    stage.fill("/api/events/7");
    stage.fill("/api/events");
    const Finished dry = run_larder({"purge", "--admin", admin_of(*stage.larder), "--rule", "event", "--dry-run"});
    CHECK(dry.exit_code == 0);
    CHECK(contains(dry.standard_output, "dry run: nothing is purged\npatterns: event:*\nreaches: keys of event\n"));
    CHECK(is_hit(stage.get("/api/events/7")));

    const Finished done = run_larder(
        {"purge", "--admin", admin_of(*stage.larder), "--key", "event:7", "--key", "evnt:8", "--pattern", "events:*"});
    CHECK(done.exit_code == 0);
    CHECK(done.standard_output.starts_with("purged: 1 record in the log, at "));
    CHECK(contains(done.standard_output,
                   "keys: event:7, evnt:8\npatterns: events:*\nreaches: keys of event-list, event\n"
                   "fits no rule's key: evnt:8; is it mistyped?\n"));
    CHECK_FALSE(is_hit(stage.get("/api/events/7")));
    CHECK_FALSE(is_hit(stage.get("/api/events")));
}

TEST_CASE("larder purge takes the admin address from a configuration file")
{
    Stage stage(over<Embedded>(event_rules));
    stage.fill("/api/events/7");
    const TemporaryDirectory directory;
    const std::string upstream = "upstream: http://127.0.0.1:3000\nlisten: 127.0.0.1:0\n";
    const std::string file = directory.write(
        "larder.yaml", upstream + "admin: 0.0.0.0:" + std::to_string(stage.larder->admin_port()) + "\n" + event_rules);
    CHECK(run_larder({"purge", "--config", file, "--key", "event:7"}).exit_code == 0);
    CHECK_FALSE(is_hit(stage.get("/api/events/7")));

    const std::string silent = directory.write("silent.yaml", upstream + event_rules);
    const Finished without = run_larder({"purge", "--config", silent, "--key", "event:7"});
    CHECK(without.exit_code == 1);
    CHECK(contains(without.standard_error, "has no admin: address"));
}

TEST_CASE("larder purge ends with 1 when nothing was purged, and with 2 when the command line is wrong")
{
    Stage stage(over<OverRedis>(event_rules));
    const std::string admin = admin_of(*stage.larder);
    const Finished refused = run_larder({"purge", "--admin", admin, "--rule", "evnt"});
    CHECK(refused.exit_code == 1);
    CHECK(contains(refused.standard_error, "did you mean \"event\"?"));

    stage.redis->kill();
    const Finished queued = run_larder({"purge", "--admin", admin, "--key", "event:7"});
    CHECK(queued.exit_code == 1);
    CHECK(contains(queued.standard_error, "the purge is queued"));
    stage.redis->start();

    const Finished elsewhere =
        run_larder({"purge", "--admin", "127.0.0.1:" + std::to_string(stage.origin.port()), "--key", "event:7"});
    CHECK(elsewhere.exit_code == 1);
    CHECK(contains(elsewhere.standard_error, "is not the admin port of a Larder"));
    const Finished nobody = run_larder({"purge", "--admin", "127.0.0.1:1", "--key", "event:7"});
    CHECK(nobody.exit_code == 1);
    CHECK(contains(nobody.standard_error, "cannot reach the admin port at 127.0.0.1:1"));

    for (const std::vector<std::string>& wrong : {std::vector<std::string>{"purge"},
                                                  {"purge", "--admin", admin},
                                                  {"purge", "--key", "event:7"},
                                                  {"purge", "--admin", admin, "--config", "x", "--key", "a"},
                                                  {"purge", "--admin", "nowhere", "--key", "a"},
                                                  {"purge", "--admin", admin, "--key", "a", "--all"}}) {
        CAPTURE(wrong.size());
        CHECK(run_larder(wrong).exit_code == 2);
    }
}

}  // namespace larder::tests
