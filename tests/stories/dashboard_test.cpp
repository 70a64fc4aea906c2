// What the dashboard at / of the admin port is made from: the page, /rules and /events. What a browser makes of it:
// tests/dashboard/run.
#include <boost/json/parse.hpp>

#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const event_rules = R"(
rules:
  - name: event
    match: GET /api/events/{id}
    key: event:{id}
    ttl: 30m
  - name: event-write
    match: PUT /api/events/{id}
    purge: ["event:{id}", "events:list:*"]
)";

}  // namespace

TEST_CASE("the dashboard is one page with a strict policy, by GET and HEAD only")
{
    Stage stage({});
    const Response page = stage.larder->admin("GET", "/");
    CHECK(page.status == 200);
    CHECK(page.field("Content-Type") == "text/html; charset=utf-8");
    CHECK(page.field("Cache-Control") == "no-store");
    CHECK(page.field("X-Content-Type-Options") == "nosniff");
    CHECK(page.field("Referrer-Policy") == "no-referrer");
    CHECK(page.field("Content-Security-Policy").starts_with("default-src 'none'; "));
    CHECK(page.body.starts_with("<!doctype html>"));
    const Response head = stage.larder->admin("HEAD", "/");
    CHECK(head.status == 200);
    CHECK(head.field("Content-Length") == std::to_string(page.body.size()));
    for (const char* path : {"/", "/rules", "/events"}) {
        CAPTURE(path);
        const Response refused = stage.larder->admin("POST", path);
        CHECK(refused.status == 405);
        CHECK(refused.field("Allow") == "GET, HEAD");
    }
    CHECK(contains(stage.larder->admin("GET", "/nothing").body, "the dashboard"));
    CHECK(stage.get("/").body == "GET / #1");  // the app's own
}

TEST_CASE("/rules tells the rules in force, where they stand and what each reason means")
{
    Stage stage(over<Embedded>(event_rules));
    const Response rules = stage.larder->admin("GET", "/rules");
    CAPTURE(rules.body);
    CHECK(rules.status == 200);
    CHECK(rules.field("Content-Type") == "application/json");
    CHECK(contains(rules.body, "\"listen\":\"127.0.0.1:" + std::to_string(stage.larder->port()) + "\""));
    CHECK(contains(rules.body, R"("name":"event","kind":"cache","match":"GET /api/events/{id}")"));
    CHECK(contains(rules.body, R"("purge":["event:{id}","events:list:*"])"));
    CHECK(contains(rules.body, R"("change":"put {cookie.NAME} into the key, or shared: true")"));
}

TEST_CASE_TEMPLATE("/events tells what has happened and what was purged, without the keys of writes", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(event_rules));
    CHECK(contains(stage.larder->admin("GET", "/events").body, R"("level":"info","msg":"ready")"));
    stage.fill("/api/events/alice");
    CHECK(stage.request("PUT", "/api/events/alice", {}, "x").status == 200);
    await_condition("the purge of the write is told", [&] {
        const std::string told = stage.larder->admin("GET", "/events").body;
        return contains(told, R"("source":"write","state":"appended","rule":"event-write","keys":1,"patterns":1})");
    });
    CHECK(stage.request("POST", "/api/events/alice", {}, "x").status == 200);  // no rule, but its own address
    await_condition("what a write without a rule voids is told", [&] {
        return contains(stage.larder->admin("GET", "/events").body, R"("source":"invalidation","state":"appended")");
    });
    const std::string told = stage.larder->admin("GET", "/events").body;
    CHECK_FALSE(contains(told, "alice"));
    const auto parsed = boost::json::parse(told);
    std::string later = "9999";
    for (const auto& purge : parsed.at("purges").as_array()) {  // newest first; two may be of the same millisecond
        const std::string ts(purge.at("ts").as_string());
        CHECK(ts <= later);
        later = ts;
    }
}

TEST_CASE("a purge by hand is an event and a purge")
{
    Stage stage(over<Embedded>(event_rules));
    HttpClient client(stage.larder->admin_port());
    const std::vector<std::string> fields{"Content-Type: application/json", "Host: localhost"};
    CHECK(client.request("POST", "/purge", fields, R"({"keys":["event:1","event:2"],"rule":"event"})").status == 200);
    const std::string told = stage.larder->admin("GET", "/events").body;
    CAPTURE(told);
    CHECK(contains(told, R"("msg":"purged by hand","what":"event:1, event:2, event:*")"));
    CHECK(contains(told, R"("source":"admin","state":"appended","keys":2,"patterns":1)"));
}

TEST_CASE("requests are no events")
{
    StageOptions options = over<Embedded>(event_rules);
    options.options = "log:\n  access: all\n";
    Stage stage(options);
    stage.get("/api/events/7", {"X-Request-ID: never-told"});
    CHECK_FALSE(contains(stage.larder->admin("GET", "/events").body, "access"));
    CHECK_FALSE(contains(stage.larder->admin("GET", "/events").body, "never-told"));
}

}  // namespace larder::tests
