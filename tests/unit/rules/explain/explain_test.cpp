#include "rules/explain/explain.hpp"

#include <doctest/doctest.h>

#include "tests/unit/rules/rule_text.hpp"

using namespace larder::rules;
using namespace larder::rules::test;

namespace {

std::vector<Rule> shop()
{
    std::vector<Rule> rules;
    rules.push_back(cache_rule("GET /api/events", "events:list:{query.page|1}"));
    rules.back().ttl.any = Milliseconds{60000};
    rules.push_back(cache_rule("GET /api/events/{id}", "event:{id}"));
    rules.push_back(purge_rule("POST|PUT /api/events/{id?}", {"event:{id}", "events:list:*", "user:{body.user_id}"}));
    rules[0].name = "event-list", rules[1].name = "event", rules[2].name = "event-write";
    number(rules);
    return rules;
}

}  // namespace

TEST_CASE("explain tells rule, key, reason, switch, lifetime and the writes that purge")
{
    const auto rules = shop();
    const Matcher matcher(rules);
    struct Row {
        const char* why;
        const char* method;
        const char* target;
        std::vector<std::pair<std::string, std::string>> headers;
        const char* part;
    };
    const Row rows[] = {
        {"the rule", "GET", "/api/events?page=2", {}, "rule: event-list (line 1): GET /api/events\n"},
        {"the key", "GET", "http://shop/api/events?page=2", {}, "key: events:list:2 "},
        {"the lifetime",
         "GET",
         "/api/events",
         {},
         "lifetime: ttl 1m for 200, 203, 204, 300, 301, 308, 6s for 404, 410\n"},
        {"the writes",
         "GET",
         "/api/events",
         {},
         "purged by: event-write (line 3): POST|PUT /api/events/{id?} with \"events:list:*\"\n"},
        {"the value", "GET", "/api/events/%37", {}, "values: id = \"7\"\n"},
        {"the normal path", "GET", "/api/events/%37", {}, "path: /api/events/7, the normal form of /api/events/%37\n"},
        {"the reason",
         "GET",
         "/api/events?x=1",
         {},
         "verdict: bypass (query-parameter); a query parameter is not named by the key: \"x\"\n"},
        {"the switch",
         "GET",
         "/api/events",
         {{"Cookie", "a=b"}},
         "to change that: put {cookie.NAME} into the key, or shared: true\n"},
        {"no rule", "GET", "/other", {}, "(no-rule)"},
        {"what a write purges",
         "PUT",
         "/api/events/7",
         {},
         "purges: event:7   one key, from \"event:{id}\"\nreaches: keys of event (line 2)\n"},
        {"what it leaves out", "POST", "/api/events", {}, "left out: \"event:{id}\""},
        {"what it widens",
         "POST",
         "/api/events",
         {},
         "purges: user:*   every key that matches, from \"user:{body.user_id}\"\nwidened: "},
        {"a write without rule", "DELETE", "/other", {}, "purges: nothing"},
        {"what a write voids by itself",
         "PUT",
         "/api/events/7",
         {},
         "voids: event:7   one key, its own address, when the answer is 2xx or 3xx (RFC 9111 4.4)\n"},
        {"a request that is none", "GET", "/a b", {}, "verdict: refused with 400"},
        {"a header with a line end", "GET", "/", {{"A", "b\r\n\r\nGET /"}}, "verdict: refused with 400"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const std::string told = explain(rules, matcher, CacheMode::rules, row.method, row.target, row.headers);
        CAPTURE(told);
        CHECK(told.find(row.part) != std::string::npos);
    }
}

TEST_CASE("explain says what a request with Authorization needs of the response, also when the key names the user")
{
    std::vector<Rule> rules = {cache_rule("GET /mine", "mine:{header.Authorization}")};
    number(rules);
    const auto told = [&](CacheControlMode mode) {
        rules[0].cache_control = mode;
        const Matcher matcher(rules);
        return explain(rules, matcher, CacheMode::rules, "GET", "/mine", {{"Authorization", "Bearer x"}});
    };
    CHECK(told(CacheControlMode::respect).find("a response without public, s-maxage") != std::string::npos);
    CHECK(told(CacheControlMode::override_).find("a response without public") == std::string::npos);
}

TEST_CASE("explain says of a write whose readers it takes from the cache meanwhile, and what to write to change that")
{
    auto rules = shop();
    rules.push_back(purge_rule("PUT /api/{rest*}", {"event*"}));
    rules.back().name = "any-write";
    rules.push_back(purge_rule("DELETE /api/events/{id}", {"event:{id}"}));
    rules.back().name = "event-delete";
    rules[2].match.methods = {"POST"};
    rules.back().fence = Fence::after;
    number(rules);
    const Matcher matcher(rules);
    const auto told = [&](const char* method, const char* target) {
        return explain(rules, matcher, CacheMode::rules, method, target, {});
    };
    const std::string wide = told("PUT", "/api/other");
    CAPTURE(wide);
    CHECK(wide.find("meanwhile: GETs of event-list (line 1), event (line 2) whose key fits pass by (write-open)") !=
          std::string::npos);
    CHECK(wide.find("to change that: narrow the patterns, or fence: after") != std::string::npos);
    const std::string narrow = told("DELETE", "/api/events/7");
    CAPTURE(narrow);
    CHECK(narrow.find("meanwhile: GETs are answered from the cache as before") != std::string::npos);
    CHECK(narrow.find("write-open") == std::string::npos);
    const std::string list = told("POST", "/api/events");
    CAPTURE(list);
    CHECK(list.find("meanwhile: GETs of event-list (line 1) whose key fits") != std::string::npos);
}
