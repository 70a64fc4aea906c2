#include "proxy/admin/purge_order.hpp"

#include <doctest/doctest.h>

#include "config/load.hpp"

namespace larder::proxy {

namespace {

config::ConfigPtr shop(const std::string& more = "")
{
    const std::string yaml =
        "upstream: http://127.0.0.1:3000\n" + more +
        "rules:\n"
        "  - {name: event-list, match: GET /events, key: 'events:list:{query.page|1}', ttl: 60s}\n"
        "  - {name: event, match: 'GET /events/{id}', key: 'event:{id}', ttl: 60s}\n"
        "  - {name: comments, match: 'GET /events/{id}/comments', key: 'event:{id}:comments', ttl: 60s}\n"
        "  - {name: front, match: GET /, key: front, ttl: 60s}\n"
        "  - {name: event-write, match: 'PUT /events/{id}', purge: ['event:{id}', 'events:list:*']}\n";
    const auto no_environment = [](std::string_view) { return std::optional<std::string>(); };
    return config::load_text(yaml, "test.yaml", no_environment).config;
}

PurgeOrder read(const std::string& body, const std::string& more = "")
{
    const config::ConfigPtr config = shop(more);
    auto order = read_purge_order("application/json", body, *config);
    if (const auto* refused = std::get_if<RefusedOrder>(&order)) FAIL(refused->detail);
    return std::get<PurgeOrder>(std::move(order));
}

std::vector<std::string> texts_of(const PurgeOrder& order, bool exact)
{
    std::vector<std::string> texts;
    for (const rules::PurgeTarget& target : order.targets)
        if (target.exact == exact) texts.push_back(target.text);
    return texts;
}

using Names = std::vector<std::string>;

std::string repeated(std::size_t count)
{
    std::string list;
    for (std::size_t i = 0; i < count; ++i) list += (i == 0 ? "\"k" : ",\"k") + std::to_string(i) + "\"";
    return list;
}

}  // namespace

TEST_CASE("keys, patterns and a rule are taken together, none twice, and a pattern without wildcards is a key")
{
    const PurgeOrder order = read(
        R"({"keys": ["event:42", "event:42"], "patterns": ["events:list:*", "event:42", "odd\\*"], "rule": "event"})");
    CHECK(texts_of(order, true) == Names{"event:42", "odd*"});
    CHECK(texts_of(order, false) == Names{"events:list:*", "event:*"});
    CHECK(order.rule == "event");
    CHECK_FALSE(order.dry_run);
}

TEST_CASE("what a purge could match is told by rule, and what fits none is told apart")
{
    const PurgeOrder keys = read(R"({"keys": ["event:42", "event:42:comments", "evnt:42"], "dry_run": true})");
    CHECK(keys.dry_run);
    CHECK(keys.matches_rules == Names{"event", "comments"});
    CHECK(keys.matches_no_rule == Names{"evnt:42"});
    CHECK(read(R"({"keys": ["event:42"]})").matches_rules == Names{"event"});
    CHECK(read(R"({"patterns": ["events?l?st:*"]})").matches_rules == Names{"event-list"});
    CHECK(read(R"({"patterns": ["*"]})").matches_rules == Names{"event-list", "event", "comments", "front"});
    CHECK(read(R"({"patterns": ["user:*"]})").matches_no_rule == Names{"user:*"});
}

TEST_CASE("a rule stands for every key that its template can make")
{
    CHECK(texts_of(read(R"({"rule": "event-list"})"), false) == Names{"events:list:*"});
    CHECK(texts_of(read(R"({"rule": "front"})"), true) == Names{"front"});
    CHECK(read(R"({"rule": "event"})").matches_rules == Names{"event", "comments"});
    CHECK(texts_of(read(R"({"rule": "respect-origin"})", "cache: respect-origin\n"), false) == Names{"*:/*:*"});
}

TEST_CASE("keys are as many as a request may have, and the content type may have parameters")
{
    const config::ConfigPtr config = shop();
    const std::string body = "{\"keys\": [" + repeated(purge_keys_limit) + "]}";
    const auto order = read_purge_order("Application/JSON; charset=utf-8", body, *config);
    REQUIRE(std::holds_alternative<PurgeOrder>(order));
    CHECK(std::get<PurgeOrder>(order).targets.size() == purge_keys_limit);
}

TEST_CASE("a purge that is no purge is refused with words that say what to write instead")
{
    struct Row {
        const char* why;
        std::string body;
        const char* says;
    };
    const Row rows[] = {
        {"nothing at all", "", "is not JSON"},
        {"no JSON", "keys=event:42", "is not JSON"},
        {"two values", "{} {}", "is not JSON"},
        {"no object", "[\"event:42\"]", "must be a JSON object"},
        {"nothing named", "{}", "nothing to purge"},
        {"empty lists", R"({"keys": [], "patterns": []})", "nothing to purge"},
        {"only dry_run", R"({"dry_run": true})", "nothing to purge"},
        {"an unknown member", R"({"key": ["a"]})", "did you mean \"keys\"?"},
        {"a string for a list", R"({"keys": "event:42"})", "keys wants a list of strings"},
        {"a number in a list", R"({"patterns": [1]})", "patterns wants a list of strings"},
        {"an empty key", R"({"keys": [""]})", "has an empty element"},
        {"an empty pattern", R"({"patterns": ["a", ""]})", "has an empty element"},
        {"a pattern among keys", R"({"keys": ["event:*"]})", "put it under patterns"},
        {"a space", R"({"keys": ["event: 42"]})", "%20"},
        {"a byte above 0x7E", R"({"patterns": ["caf\u00e9:*"]})", "%C3%A9"},
        {"an escape of nothing", R"({"patterns": ["a\\"]})", "escapes nothing"},
        {"a pattern too long", "{\"patterns\": [\"" + std::string(1025, 'a') + "*\"]}", "end it earlier with *"},
        {"too many patterns", "{\"patterns\": [" + repeated(purge_patterns_limit + 1) + "]}", "at most 500"},
        {"too many keys", "{\"keys\": [" + repeated(purge_keys_limit + 1) + "]}", "at most 10000"},
        {"dry_run as text", R"({"keys": ["a"], "dry_run": "yes"})", "true or false"},
        {"a rule as list", R"({"rule": ["event"]})", "the name of one rule"},
        {"a rule mistyped", R"({"rule": "evnt"})", "did you mean \"event\"?"},
        {"a rule that is none", R"({"rule": "something"})", "known here: event-list, event, comments, front"},
        {"a purge rule", R"({"rule": "event-write"})", "is a purge rule"},
    };
    const config::ConfigPtr config = shop();
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const auto order = read_purge_order("application/json", row.body, *config);
        REQUIRE(std::holds_alternative<RefusedOrder>(order));
        const RefusedOrder& refused = std::get<RefusedOrder>(order);
        CAPTURE(refused.detail);
        CHECK(refused.status == 400);
        CHECK(refused.detail.find(row.says) != std::string::npos);
    }
}

TEST_CASE("only JSON is taken, which no page of another site can make a browser send")
{
    const config::ConfigPtr config = shop();
    for (const char* type : {"", "text/plain", "application/x-www-form-urlencoded", "application/jsonp"}) {
        CAPTURE(type);
        const auto order = read_purge_order(type, R"({"keys": ["a"]})", *config);
        REQUIRE(std::holds_alternative<RefusedOrder>(order));
        CHECK(std::get<RefusedOrder>(order).status == 415);
    }
}

}  // namespace larder::proxy
