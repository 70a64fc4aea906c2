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
        rule.index = static_cast<std::uint32_t>(config.rules.size());
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
    CHECK(has_line(text, R"(larder_responses_total{class="5xx"} 1)"));
    CHECK(text.find("quiet") == std::string::npos);
}

TEST_CASE("no series appears twice, even when two rules share a name or one is called none")
{
    const auto config = config_with_rules({"same", "same", "", "none"});
    Counters counters{4};
    for (std::uint32_t rule = 0; rule < 5; ++rule)
        counters.add_exchange({.rule = rule, .forward = rules::Forward::cookie, .status = 200});
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
