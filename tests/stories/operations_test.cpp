// What an operator does: start, measure, read logs, check and explain a configuration. Probes and stops:
// shutdown_test.cpp.
#include <algorithm>
#include <boost/json/parse.hpp>
#include <sstream>

#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

std::string line_with(const std::string& text, const std::string& word)
{
    const std::size_t at = text.find(word);
    if (at == std::string::npos) return {};
    const std::size_t begin = text.rfind('\n', at) + 1;
    return text.substr(begin, text.find('\n', at) - begin);
}

boost::json::object health_of(Stage& stage)
{
    return boost::json::parse(stage.larder->admin("GET", "/health/cache").body).as_object();
}

double figure(const boost::json::object& told, const char* name) { return told.at(name).to_number<double>(); }

}  // namespace

TEST_CASE("the access log has a line per exchange with verdict, reason and rule")
{
    StageOptions options;
    options.rules = item_rules;
    options.options = "log:\n  access: all\n";
    Stage stage(options);
    stage.get("/items/1", {"X-Request-ID: first"});
    stage.get("/items/1", {"X-Request-ID: second"});
    stage.get("/items/1", {"X-Request-ID: third", "Cookie: a=b"});
    stage.get("/other", {"X-Request-ID: fourth"});
    stage.request("PUT", "/items/1", {"X-Request-ID: fifth"}, "x");
    CHECK(stage.larder->stop() == 0);
    const std::string log = stage.larder->access_log();
    CAPTURE(log);
    CHECK(std::count(log.begin(), log.end(), '\n') == 5);
    const std::string first = line_with(log, "first"), second = line_with(log, "second"),
                      third = line_with(log, "third"), fourth = line_with(log, "fourth"),
                      fifth = line_with(log, "fifth");
    for (const char* word : {"verdict=miss", "reason=uri-miss", "outcome=stored", "rule=item", "status=200", "/items/1",
                             "method=GET", "client=127.0.0.1"}) {
        CHECK_MESSAGE(contains(first, word), word);
    }
    CHECK(contains(second, "verdict=hit"));
    CHECK_FALSE(contains(second, "reason="));
    CHECK(contains(third, "verdict=bypass"));
    CHECK(contains(third, "reason=cookie"));
    CHECK(contains(fourth, "reason=no-rule"));
    CHECK(contains(fifth, "reason=method"));
}

TEST_CASE("the access log can be JSON, and no request can forge a line")
{
    StageOptions options;
    options.rules = item_rules;
    options.options = "log:\n  access: all\n  format: json\n";
    Stage stage(options);
    stage.get("/items/a\"b%0A", {"X-Request-ID: one"});
    CHECK(stage.larder->stop() == 0);
    const std::string log = stage.larder->access_log();
    CAPTURE(log);
    CHECK(std::count(log.begin(), log.end(), '\n') == 1);
    CHECK(log.starts_with("{"));
    CHECK(contains(log, "\"msg\":\"access\""));
    CHECK(contains(log, "\"status\":200"));
    CHECK(contains(log, "/items/a\\\"b%0A"));
    const std::string ready = line_with(stage.larder->log(), "ready");
    CHECK(ready.starts_with("{"));
    CHECK(ready.ends_with("}"));
}

TEST_CASE("values of query parameters stay out of the access log when they may hold secrets")
{
    StageOptions options;
    options.rules = item_rules;
    options.options = "log:\n  access: all\n  query: names\n";
    Stage stage(options);
    stage.get("/reset?token=s3cret&page=2");
    CHECK(stage.larder->stop() == 0);
    const std::string log = stage.larder->access_log();
    CAPTURE(log);
    CHECK(contains(log, "path=/reset query=\"token=&page=\""));
    CHECK_FALSE(contains(log, "s3cret"));
    CHECK_FALSE(contains(stage.larder->log(), "s3cret"));
}

TEST_CASE("without being asked for there is no access log")
{
    Stage stage({});
    stage.get("/a");
    CHECK(stage.larder->stop() == 0);
    CHECK(stage.larder->access_log().empty());
}

TEST_CASE("metrics count exchanges by rule, verdict and reason")
{
    StageOptions options;
    options.rules = item_rules;
    Stage stage(options);
    stage.get("/items/1");
    for (int i = 0; i < 3; ++i) stage.get("/items/1");
    stage.get("/items/1", {"Cookie: a=b"});
    stage.get("/other");
    stage.request("PUT", "/items/1", {}, "x");
    LarderProcess& larder = *stage.larder;
    await_condition("the last exchange is counted", [&] { return larder.metric("larder_requests_total") >= 7; });
    CHECK(larder.metric("larder_requests_total", "verdict=\"hit\"") == 3);
    CHECK(larder.metric("larder_requests_total", "verdict=\"miss\"") == 1);
    CHECK(larder.metric("larder_requests_total", "verdict=\"bypass\"") == 3);
    CHECK(larder.metric("larder_requests_total", "rule=\"item\"") == 5);
    CHECK(larder.metric("larder_forwards_total", "reason=\"cookie\"") == 1);
    CHECK(larder.metric("larder_forwards_total", "reason=\"no-rule\"") == 1);
    CHECK(larder.metric("larder_forwards_total", "reason=\"uri-miss\"") == 1);
    CHECK(larder.metric("larder_outcomes_total", "outcome=\"stored\"") == 1);
    CHECK(larder.metric("larder_fills_total") == 1);
    CHECK(larder.metric("larder_upstream_requests_total") == 4);
    CHECK(larder.metric("larder_purge_records_total") >= 1);
    CHECK(larder.metric("larder_client_connections_total") >= 7);
    const Response page = larder.admin("GET", "/metrics");
    CHECK(page.status == 200);
    CHECK(page.field("Content-Type").starts_with("text/plain"));
    CHECK(contains(page.body, "# TYPE larder_requests_total counter"));
    CHECK(contains(page.body, "larder_request_duration_seconds"));
}

TEST_CASE("metrics tell what the app was spared, by rule, and the process's own figures")
{
    StageOptions options;
    options.rules = item_rules;
    options.workers = 1;
    Stage stage(options);
    stage.origin.on("/items/1").reply(200, "", std::string(500, 'x'));
    stage.get("/items/1");
    for (int i = 0; i < 3; ++i) stage.get("/items/1");
    stage.request("PUT", "/items/1", {}, "x");
    LarderProcess& larder = *stage.larder;
    await_condition("the last exchange is counted", [&] { return larder.metric("larder_requests_total") >= 5; });
    CHECK(larder.metric("larder_backend_bytes_saved_total", R"(rule="item")") == 1500);
    CHECK(larder.metric("larder_backend_seconds_saved_total", R"(rule="item")") > 0);
    CHECK(larder.metric("larder_upstream_duration_seconds_count") == 2);
    CHECK(larder.metric("larder_purges_by_rule_total", R"(rule="item-write")") == 1);
    CHECK(larder.metric("larder_responses_total", R"(rule="item",method="read",class="2xx")") == 4);
    CHECK(larder.metric("larder_responses_total", R"(method="write",class="2xx")") == 1);
    for (const char* name : {"process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds",
                             "process_max_fds", "process_start_time_seconds", "process_virtual_memory_bytes"})
        CHECK_MESSAGE(larder.metric(name) > 0, name);
}

TEST_CASE("the number of series has a bound, whatever clients ask for")
{
    StageOptions options;
    options.rules = item_rules;
    Stage stage(options);
    const auto series = [&] {
        const std::string text = stage.larder->admin("GET", "/metrics").body;
        return std::count(text.begin(), text.end(), '\n');
    };
    for (const char* method : {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PURGE"}) stage.request(method, "/items/1");
    const auto before = series();
    auto client = stage.connect();
    for (int i = 0; i < 200; ++i)
        client->get("/items/" + std::to_string(i) + "?q" + std::to_string(i) + "=1", {"Host: h" + std::to_string(i)});
    for (int i = 0; i < 200; ++i) client->get("/" + std::to_string(i), {"Cookie: user=" + std::to_string(i)});
    CHECK(series() <= before + 20);  // reasons that were not met before
}

TEST_CASE_TEMPLATE("health/cache tells the minute's rates, who is connected and what memory is used", Backend, Embedded,
                   OverRedis)
{
    Stage stage(over<Backend>(item_rules));
    stage.fill("/items/1");
    for (int i = 0; i < 9; ++i) stage.get("/items/1");
    stage.get("/other");
    await_condition("rates are known", [&] { return figure(health_of(stage), "requests_per_minute") > 0; });
    boost::json::object told = health_of(stage);
    CHECK(told.at("status").as_string() == "ok");
    CHECK(told.at("cache").as_string() == "on");
    CHECK(told.at("degraded_since").is_null());
    CHECK(figure(told, "deferred_purges") == 0);
    const double hit_rate = figure(told, "hit_rate");
    CHECK(hit_rate > 0);
    CHECK(hit_rate + figure(told, "miss_rate") == doctest::Approx(1));
    CHECK(figure(told, "bypass_rate") > 0);
    CHECK(figure(told.at("connections").as_object(), "clients_limit") > 0);
    CHECK(figure(told.at("connections").as_object(), "upstream_idle") >= 1);
    CHECK(figure(told.at("memory").as_object(), "used_bytes") > 0);
    CHECK(figure(told.at("memory").as_object(), "limit_bytes") == 64 << 20);
    CHECK(figure(told.at("memory").as_object(), "process_bytes") > 0);
    if (!stage.redis) return;
    CHECK(told.at("store").as_string() == "up");
    CHECK(figure(told.at("connections").as_object(), "store") == 2);
    CHECK(figure(told.at("memory").as_object(), "store_used_bytes") > 0);
    CHECK(figure(told, "store_operations_per_minute") > 0);
    CHECK(figure(told, "store_latency_ms") > 0);
    CHECK(stage.larder->metric("larder_store_operation_duration_seconds_count", R"(operation="put")") >= 1);
    CHECK(stage.larder->metric("larder_store_operation_duration_seconds_count", R"(operation="get")") >= 1);
    stage.redis->kill();
    await_condition("it is degraded, and since when", [&] {
        told = health_of(stage);
        return told.at("status").as_string() == "degraded" && told.at("degraded_since").is_string() &&
               told.at("store").as_string() == "down";
    });
}

TEST_CASE("a store operation above store.slow_log is logged with its kind")
{
    StageOptions options = over<OverRedis>(item_rules);
    options.store_timeout = "9s\n  slow_log: 1ms";
    Stage stage(options);
    stage.redis->command({"CLIENT", "PAUSE", "200", "ALL"});
    stage.get("/items/1");
    await_condition("it is logged",
                    [&] { return contains(stage.larder->log(), "warn store operation was slow operation="); });
    CHECK(stage.larder->metric("larder_store_slow_total") >= 1);
}

TEST_CASE("the admin listener has probes, knows its paths, and is not reachable through the proxy")
{
    Stage stage({});
    for (const char* path : {"/livez", "/healthz", "/readyz", "/health/cache"})
        CHECK(stage.larder->admin("GET", path).status == 200);
    CHECK(stage.larder->admin("GET", "/nothing").status == 404);
    CHECK(stage.get("/metrics").body == "GET /metrics #1");  // the app's own
}

TEST_CASE("the admin listener explains")
{
    StageOptions options;
    options.rules = item_rules;
    Stage stage(options);
    const Response answer = stage.larder->admin("GET", "/explain?method=GET&url=/items/1");
    CAPTURE(answer.body);
    CHECK(answer.status == 200);
    CHECK(contains(answer.body, "item:1"));
}

TEST_CASE("larder check accepts what is right and names every error with its place")
{
    const TemporaryDirectory directory;
    const std::string good =
        directory.write("good.yaml", "upstream: http://127.0.0.1:3000\n" + std::string(item_rules));
    CHECK(run_larder({"check", good}).exit_code == 0);

    const std::string bad = directory.write("bad.yaml",
                                            "upstream: http://127.0.0.1:3000\n"
                                            "memry: 64MiB\n"
                                            "rules:\n"
                                            "  - name: a\n"
                                            "    match: GET /a\n"
                                            "    ttl: 60\n");
    const Finished checked = run_larder({"check", bad});
    CHECK(checked.exit_code == 1);
    const std::string said = checked.standard_output + checked.standard_error;
    CAPTURE(said);
    CHECK(contains(said, bad + ":2:1: "));
    CHECK(contains(said, "memory"));
    CHECK(contains(said, bad + ":6:10: "));
    CHECK(contains(said, "60s"));

    const Finished served = run_larder({"--config", bad});
    CHECK(served.exit_code != 0);
    CHECK(contains(served.standard_error, bad + ":2:1: "));
    CHECK(run_larder({"check", directory.path() + "/missing.yaml"}).exit_code == 1);
}

TEST_CASE("larder explain uses the words that the header uses")
{
    const TemporaryDirectory directory;
    const std::string file =
        directory.write("larder.yaml", "upstream: http://127.0.0.1:3000\n" + std::string(item_rules));
    const Finished read = run_larder({"explain", file, "GET", "/items/7"});
    CHECK(read.exit_code == 0);
    CAPTURE(read.standard_output);
    CHECK(contains(read.standard_output, "item:7"));
    CHECK(contains(read.standard_output, "item-write"));
    const Finished cookie = run_larder({"explain", file, "GET", "/items/7", "-H", "Cookie: a=b"});
    CHECK(contains(cookie.standard_output, "cookie"));
    CHECK(contains(cookie.standard_output, "shared: true"));
    CHECK(contains(run_larder({"explain", file, "GET", "/items/7?x=1"}).standard_output, "query-parameter"));
    CHECK(contains(run_larder({"explain", file, "GET", "/other"}).standard_output, "no-rule"));
    CHECK(contains(run_larder({"explain", file, "PUT", "/items/7"}).standard_output, "item:7"));
}

TEST_CASE("a rule whose requests all bring a cookie is said to be of no use, with the switch that would change it")
{
    Stage stage(over<Embedded>(item_rules));
    auto client = stage.connect();
    for (int i = 0; i < 120; ++i) client->get("/items/1", {"Cookie: sid=1"});
    await_condition("the log names the rule", [&] {
        const std::string line = line_with(stage.larder->log(), "most requests of a rule");
        return contains(line, "rule=item") && contains(line, "reason=cookie") && contains(line, "shared: true");
    });
}

TEST_CASE("--help and --version say what they should, and nonsense is refused")
{
    const Finished help = run_larder({"--help"});
    CHECK(help.exit_code == 0);
    for (const char* word : {"--config", "check", "explain", "--upstream"}) {
        CHECK_MESSAGE(contains(help.standard_output, word), word);
    }
    const Finished version = run_larder({"--version"});
    CHECK(version.exit_code == 0);
    CHECK(contains(version.standard_output, "0.1.0"));
    CHECK(run_larder({"--nonsense"}).exit_code != 0);
    CHECK(run_larder({}).exit_code != 0);
}

TEST_CASE("larder acl prints a user that Redis accepts and that may not scan")
{
    const Finished acl = run_larder({"acl", "--namespace", "shop"});
    CHECK(acl.exit_code == 0);
    CAPTURE(acl.standard_output);
    const std::string line = line_with(acl.standard_output, "ACL SETUSER");
    REQUIRE_FALSE(line.empty());
    std::vector<std::string> words;
    std::istringstream parts(line.substr(line.find("ACL SETUSER")));
    for (std::string word; parts >> word;) words.push_back(word);
    RedisProcess redis;
    CHECK(redis.command(words) == "OK");
    for (const char* command : {"SCAN", "KEYS", "FLUSHDB", "FLUSHALL"}) {
        CAPTURE(command);
        const std::vector<std::string> dry_run{"ACL", "DRYRUN", words.at(2), command, "0"};
        CHECK(contains(redis.command(dry_run), "no permissions"));
    }
    // A pattern in the place of the name would open other keys to that user.
    CHECK(run_larder({"acl", "--namespace", "shop ~*"}).exit_code == 2);
}

TEST_CASE("a port that is taken is an error at the start that names it")
{
    ScriptedOrigin taken;
    const TemporaryDirectory directory;
    const std::string file = directory.write(
        "larder.yaml", "upstream: http://127.0.0.1:3000\nlisten: 127.0.0.1:" + std::to_string(taken.port()) + "\n");
    const Finished finished = run_larder({"--config", file});
    CHECK(finished.exit_code != 0);
    CHECK(contains(finished.standard_error, std::to_string(taken.port())));
}

}  // namespace larder::tests
