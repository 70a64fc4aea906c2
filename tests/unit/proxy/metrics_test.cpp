#include "proxy/observe/metrics.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <sstream>

using namespace larder::proxy;
using namespace std::chrono_literals;
namespace rules = larder::rules;
namespace config = larder::config;

namespace {

config::Config config_with_rules(const std::vector<std::string>& names)
{
    config::Config config;
    for (const std::string& name : names) {
        rules::Rule rule;
        rule.name = name;
        const auto known = std::find(config.counted_names.begin(), config.counted_names.end(), name);
        rule.index = static_cast<std::uint32_t>(known - config.counted_names.begin());
        if (known == config.counted_names.end()) config.counted_names.push_back(name);
        config.rules.push_back(std::move(rule));
    }
    return config;
}

bool has_line(const std::string& text, const std::string& line)
{
    return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

}  // namespace

TEST_CASE("a counter's value is the sum over the workers")
{
    Counters first{0}, second{0};
    first.add(Counter::fetches, 3);
    second.add(Counter::fetches, 4);
    const std::string text = metrics_text({&first, &second}, config::Config{}, {});
    CHECK(has_line(text, "# TYPE larder_upstream_requests_total counter"));
    CHECK(has_line(text, "larder_upstream_requests_total 7"));
    CHECK(has_line(text, "larder_workers 2"));
}

TEST_CASE("the admin server's refusals are counted by reason")
{
    ExtraGauges extra;
    extra.admin = {.malformed = 1, .token_refusals = 2, .site_refusals = 3, .connections_dropped = 4};
    const std::string text = metrics_text({}, config::Config{}, extra);
    CHECK(has_line(text, R"(larder_admin_refused_total{reason="malformed"} 1)"));
    CHECK(has_line(text, R"(larder_admin_refused_total{reason="token"} 2)"));
    CHECK(has_line(text, R"(larder_admin_refused_total{reason="site"} 3)"));
    CHECK(has_line(text, "larder_admin_connections_dropped_total 4"));
}

TEST_CASE("requests that passed by a write are counted by the rule of the write, those of unknown rules together")
{
    auto config = config_with_rules({"event", "event-write", "list-write"});
    for (std::size_t i : {1u, 2u}) config.rules[i].purge.emplace_back();
    Counters counters{3};
    const auto pass_by = [&](std::uint32_t mark_rule) {
        counters.add_exchange(
            {.rule = 0, .forward = rules::Forward::write_open, .status = 200, .mark_rule = mark_rule});
    };
    pass_by(1), pass_by(1), pass_by(UINT32_MAX);
    counters.add_purge(PurgeSource::admin);
    const std::string text = metrics_text({&counters}, config, {});
    CHECK(has_line(text, R"(larder_marked_passes_total{rule="event-write"} 2)"));
    CHECK(has_line(text, R"(larder_marked_passes_total{rule="list-write"} 0)"));
    CHECK(has_line(text, R"(larder_marked_passes_total{rule="other"} 1)"));
    CHECK(text.find(R"(larder_marked_passes_total{rule="event"})") == std::string::npos);
    CHECK(has_line(text, R"(larder_purges_total{source="admin"} 1)"));
    CHECK(has_line(text, R"(larder_purges_total{source="write"} 0)"));
}

TEST_CASE("an exchange appears under its rule with verdict and reasons; other rules do not appear")
{
    const auto config = config_with_rules({"event", "event \"list\"", "quiet"});
    Counters counters{3};
    counters.add_exchange({.rule = 1,
                           .verdict = rules::Verdict::miss,
                           .forward = rules::Forward::uri_miss,
                           .not_stored = rules::NotStored::set_cookie,
                           .status = 200});
    counters.add_exchange({.verdict = rules::Verdict::bypass, .forward = rules::Forward::no_rule, .status = 502});
    const std::string text = metrics_text({&counters}, config, {});
    CHECK(has_line(text, R"(larder_requests_total{rule="event \"list\"",verdict="miss"} 1)"));
    CHECK(has_line(text, R"(larder_requests_total{rule="event \"list\"",verdict="hit"} 0)"));
    CHECK(has_line(text, R"(larder_forwards_total{rule="event \"list\"",reason="uri-miss"} 1)"));
    CHECK(has_line(text, R"(larder_not_stored_total{rule="event \"list\"",reason="set-cookie"} 1)"));
    CHECK(has_line(text, R"(larder_forwards_total{rule="none",reason="no-rule"} 1)"));
    CHECK(has_line(text, R"(larder_responses_total{rule="none",method="other",class="5xx"} 1)"));
    CHECK(text.find("quiet") == std::string::npos);
}

TEST_CASE("no series appears twice, even when two rules share a name or one is called none")
{
    const auto config = config_with_rules({"same", "same", "", "none"});
    Counters counters{4};
    for (const rules::Rule& rule : config.rules)
        counters.add_exchange({.rule = rule.index, .forward = rules::Forward::cookie, .status = 200});
    counters.add_exchange({.forward = rules::Forward::cookie, .status = 200});
    const std::string text = metrics_text({&counters}, config, {});
    CHECK(has_line(text, R"(larder_requests_total{rule="same",verdict="bypass"} 2)"));
    CHECK(has_line(text, R"(larder_requests_total{rule="none",verdict="bypass"} 3)"));
    std::set<std::string> seen;
    std::istringstream lines{text};
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with('#')) continue;
        CAPTURE(line);
        CHECK(seen.insert(line.substr(0, line.rfind(' '))).second);
    }
}

TEST_CASE("durations are a cumulative histogram in seconds")
{
    Counters counters{0};
    counters.add_duration(rules::Verdict::hit, 40us);
    counters.add_duration(rules::Verdict::hit, 200us);
    counters.add_duration(rules::Verdict::hit, 60s);
    const std::string text = metrics_text({&counters}, config::Config{}, {});
    const std::string name = R"(larder_request_duration_seconds_bucket{verdict="hit",le=)";
    CHECK(has_line(text, name + R"("5e-05"} 1)"));
    CHECK(has_line(text, name + R"("0.00025"} 2)"));
    CHECK(has_line(text, name + R"("30"} 2)"));
    CHECK(has_line(text, name + R"("+Inf"} 3)"));
    CHECK(has_line(text, R"(larder_request_duration_seconds_count{verdict="hit"} 3)"));
    CHECK(has_line(text, R"(larder_request_duration_seconds_sum{verdict="hit"} 60.00024)"));
}

TEST_CASE("the store is up when it is embedded, or when every worker is connected to every shard")
{
    Counters first{0}, second{0};
    first.store_links = second.store_links = 12;
    first.store_links_up = 12;
    second.store_links_up = 11;
    config::Config config;
    CHECK(has_line(metrics_text({&first, &second}, config, {}), "larder_store_up 1"));
    config.store.kind = config::StoreKind::redis;
    CHECK(has_line(metrics_text({&first, &second}, config, {}), "larder_store_up 0"));
    second.store_links_up = 12;
    CHECK(has_line(metrics_text({&first, &second}, config, {}), "larder_store_up 1"));
}

TEST_CASE("what was saved, how long fetches and store operations took, and what became of reloads are in the text")
{
    auto config = config_with_rules({"event"});
    config.store.kind = config::StoreKind::redis;
    config.cache = rules::CacheMode::off;
    Counters counters{1};
    counters.add_exchange({.rule = 0, .verdict = rules::Verdict::hit, .method = MethodClass::read, .status = 200});
    counters.add_fetch(0, 250ms);
    counters.add_saved(0, 1000);
    counters.add_store_operation(StoreOperation::purge, 3ms);
    ExtraGauges extra;
    extra.reloads = {.last_ok = false, .succeeded = 2, .failed = 1, .needs_restart = true};
    extra.deferred_purges = 4;
    const std::string text = metrics_text({&counters}, config, extra);
    for (const char* line :
         {R"(larder_backend_seconds_saved_total{rule="event"} 0.25)",
          R"(larder_backend_bytes_saved_total{rule="event"} 1000)",
          R"(larder_responses_total{rule="event",method="read",class="2xx"} 1)",
          R"(larder_upstream_duration_seconds_bucket{le="0.25"} 1)",
          R"(larder_store_operation_duration_seconds_bucket{operation="purge",le="0.005"} 1)",
          R"(larder_store_operation_duration_seconds_count{operation="get"} 0)", "larder_cache_enabled 0",
          "larder_config_last_reload_successful 0", R"(larder_config_reloads_total{result="success"} 2)",
          R"(larder_config_reloads_total{result="refused"} 1)", "larder_config_needs_restart 1",
          "larder_deferred_purges 4"})
        CHECK_MESSAGE(has_line(text, line), line);
}

TEST_CASE("a rule that a reload has taken out keeps its counts under its name")
{
    auto config = config_with_rules({"old", "new"});
    Counters counters{2};
    counters.add_exchange({.rule = 0, .status = 200});
    config.rules.erase(config.rules.begin());
    counters.add_exchange({.rule = 1, .status = 200});
    const std::string text = metrics_text({&counters}, config, {});
    CHECK(has_line(text, R"(larder_requests_total{rule="old",verdict="bypass"} 1)"));
    CHECK(has_line(text, R"(larder_requests_total{rule="new",verdict="bypass"} 1)"));
}
