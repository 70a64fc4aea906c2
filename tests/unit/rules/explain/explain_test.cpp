#include "rules/explain/explain.hpp"

#include <doctest/doctest.h>

#include <boost/json/parse.hpp>

#include "rules/explain/mismatch.hpp"
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

std::string told(const std::vector<Rule>& rules, std::string_view method, std::string_view target,
                 const std::vector<std::pair<std::string, std::string>>& headers = {},
                 CacheMode mode = CacheMode::rules)
{
    const Matcher matcher(rules);
    return to_text(explain({rules, matcher, mode}, method, target, headers));
}

}  // namespace

TEST_CASE("explain tells rule, key, reason, switch, lifetime and the writes that purge")
{
    const auto rules = shop();
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
         "purges: user:*   every key that matches, from \"user:{body.user_id}\"\nwidened: '*' stands for "
         "{body.user_id}"},
        {"a write that would purge it",
         "GET",
         "/api/events/7",
         {},
         "purged by: event-write (line 3): POST|PUT /api/events/{id?} with \"event:{id}\"\n  such as: POST "
         "/api/events/7\n"},
        {"why another rule is not the one",
         "GET",
         "/api/events/7",
         {},
         "not: event-list (line 1): GET /api/events; the path goes on with \"7\"\n"},
        {"the parts of the key",
         "GET",
         "/api/events?page=a:b",
         {},
         "  {query.page|1}: \"a:b\" from query parameter page, escaped a%3Ab\n"},
        {"a fallback in the key",
         "GET",
         "/api/events",
         {},
         "  {query.page|1}: \"1\", the fallback: query parameter page is absent or empty\n"},
        {"every reason, not only the first",
         "GET",
         "/api/events?x=1&y=2",
         {{"Cookie", "a=b"}},
         "and also: (query-parameter); a query parameter is not named by the key: \"y\"\n"},
        {"the key of a request that passes by",
         "GET",
         "/api/events?x=1",
         {},
         "key: events:list:1   from events:list:{query.page|1}, were it looked up\n"},
        {"what would make it pass by",
         "GET",
         "/api/events",
         {},
         "would pass by: with Cookie (cookie); to change that: "},
        {"a HEAD is not stored", "HEAD", "/api/events", {}, "on a miss: forwarded and not stored (method)"},
        {"nor what its client forbids",
         "GET",
         "/api/events",
         {{"Cache-Control", "no-store"}},
         "on a miss: forwarded and not stored (request-no-store)"},
        {"which purge rules do not match a write",
         "PATCH",
         "/api/events/7",
         {},
         "not: event-write (line 3): POST|PUT /api/events/{id?}; it is for POST|PUT, not PATCH\n"},
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
        const std::string text = told(rules, row.method, row.target, row.headers);
        CAPTURE(text);
        CHECK(text.find(row.part) != std::string::npos);
    }
}

TEST_CASE("explain says what a request with Authorization needs of the response, also when the key names the user")
{
    std::vector<Rule> rules = {cache_rule("GET /mine", "mine:{header.Authorization}")};
    number(rules);
    rules[0].ttl.any = Milliseconds{60000};
    const auto by = [&](CacheControlMode mode) {
        rules[0].cache_control = mode;
        return told(rules, "GET", "/mine", {{"Authorization", "Bearer x"}});
    };
    CHECK(by(CacheControlMode::respect).find("a response without public, s-maxage") != std::string::npos);
    CHECK(by(CacheControlMode::override_).find("a response without public") == std::string::npos);
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
    const std::string wide = told(rules, "PUT", "/api/other");
    CAPTURE(wide);
    CHECK(wide.find("meanwhile: GETs of event-list (line 1), event (line 2) whose key fits pass by (write-open)") !=
          std::string::npos);
    CHECK(wide.find("to change that: narrow the patterns, or fence: after") != std::string::npos);
    const std::string narrow = told(rules, "DELETE", "/api/events/7");
    CAPTURE(narrow);
    CHECK(narrow.find("meanwhile: GETs are answered from the cache as before") != std::string::npos);
    CHECK(narrow.find("write-open") == std::string::npos);
    const std::string list = told(rules, "POST", "/api/events");
    CAPTURE(list);
    CHECK(list.find("meanwhile: GETs of event-list (line 1) whose key fits") != std::string::npos);
}

TEST_CASE("explain says when the cache is off, for a rule or for the whole process, and what would be done else")
{
    auto rules = shop();
    rules[1].cache = false;
    const std::string off = told(rules, "GET", "/api/events", {}, CacheMode::off);
    CAPTURE(off);
    CHECK(off.find("cache: off for the whole process") != std::string::npos);
    CHECK(off.find("verdict: bypass (cache-off)") != std::string::npos);
    CHECK(off.find("rule: event-list (line 1)") != std::string::npos);
    CHECK(off.find("key: events:list:1 ") != std::string::npos);
    const std::string rule_off = told(rules, "GET", "/api/events/7");
    CAPTURE(rule_off);
    CHECK(rule_off.find("verdict: bypass (rule-off); the rule says cache: off\nto change that: cache: on\n") !=
          std::string::npos);
}

TEST_CASE("of many rules explain tells the nearest, in the order of the file")
{
    std::vector<Rule> rules;
    for (int i = 0; i < 100; ++i)
        rules.push_back(cache_rule("GET /other/" + std::to_string(i), "other:" + std::to_string(i)));
    rules.push_back(cache_rule("GET /api/events/{id}/comments", "comments:{id}"));
    rules.push_back(cache_rule("GET /api/events/{id}", "event:{id}"));
    rules.push_back(cache_rule("GET /api/{rest*}", "rest:{rest}"));
    number(rules);
    const std::string text = told(rules, "GET", "/api/events/7");
    CAPTURE(text);
    CHECK(text.find("GET /api/events/{id}/comments; the path ends before \"comments\"\n") != std::string::npos);
    CHECK(text.find("GET /api/{rest*}; it matches too, but rule-101 stands before it\n") != std::string::npos);
    CHECK(text.find("not: 94 more rules, further off\n") != std::string::npos);
}

TEST_CASE("why a rule does not match: the first of method, host, path, query and header that keeps it")
{
    Rule rule = cache_rule("GET /shop/{id}/", "x:{id}");
    rule.match.host = "shop.test";
    rule.match.query = {{"view", "full"}};
    rule.match.headers = {{"X-Api", std::nullopt}};
    struct Row {
        const char* method;
        const char* target;
        const char* fields;
        const char* host;
        const char* why;
    };
    const Row rows[] = {
        {"GET", "/shop/7/?view=full", "X-Api: 1\r\n", "shop.test", ""},
        {"HEAD", "/shop/7/?view=full", "X-Api: 1\r\n", "SHOP.test:8080", ""},
        {"PUT", "/shop/7/?view=full", "X-Api: 1\r\n", "shop.test", "it is for GET, not PUT"},
        {"GET", "/shop/7/?view=full", "X-Api: 1\r\n", "other", "it is for the host shop.test, not other"},
        {"GET", "/shop/7?view=full", "", "shop.test", "the path does not end with \"/\", as the rule's does"},
        {"GET", "/shop/", "", "shop.test", "the path ends before {id}"},
        {"GET", "/shops/7/", "", "shop.test", "segment 1 of the path is \"shops\", not \"shop\""},
        {"GET", "/shop/7/x", "", "shop.test", "the path goes on with \"x\""},
        {"GET", "/shop/7/?view=short", "X-Api: 1\r\n", "shop.test", "the query parameter view is not \"full\""},
        {"GET", "/shop/7/?view=full", "", "shop.test", "the header X-Api is not there"},
    };
    for (const Row& row : rows) {
        const Request request(row.method, row.target, row.fields, row.host);
        CAPTURE(row.target);
        CHECK(mismatch(rule, request.view) == row.why);
    }
    const Rule rest = cache_rule("GET /files/{rest*}", "f:{rest}");
    CHECK(mismatch(rest, Request("GET", "/files").view) == "the path ends before the \"/\" that {rest*} stands behind");
}

TEST_CASE("a write that purges a key is told by an example that does")
{
    std::vector<Rule> rules = {cache_rule("GET /a/{id}/{tab}", "a:{id}:{tab}:{header.X-User}"),
                               purge_rule("PUT /a/{id}/{tab}", {"a:{id}:{tab}:*"}),
                               purge_rule("POST /move", {"a:{body.id}:*"}), purge_rule("DELETE /a/{id?}", {"a:{id}"})};
    number(rules);
    const Matcher matcher(rules);
    const Explanation read = explain({rules, matcher}, "GET", "/a/x%20y/1", {{"X-User", "u:1"}});
    CHECK(read.key == "a:x%20y:1:u%3A1");
    REQUIRE(read.purged_by.size() == 2);
    CHECK(read.purged_by[0].example == "PUT /a/x%20y/1");
    CHECK(read.purged_by[1].example == "POST /move");
    CHECK(read.purged_by[1].with == "{body.id} = x%20y");
    const Explanation write = explain({rules, matcher}, "PUT", "/a/x%20y/1", {});
    REQUIRE(write.writes.size() == 1);
    CHECK(write.writes[0].purges[0].text == "a:x%20y:1:*");
}

TEST_CASE("text and JSON tell the same facts")
{
    const auto rules = shop();
    const Matcher matcher(rules);
    struct Row {
        const char* method;
        const char* target;
        std::vector<std::pair<std::string, std::string>> headers;
    };
    const Row rows[] = {{"GET", "/api/events?page=2", {}},
                        {"GET", "/api/events/7", {{"Cookie", "a=b"}}},
                        {"GET", "/other", {}},
                        {"PUT", "/api/events/7", {}},
                        {"GET", "/a b", {}}};
    for (const Row& row : rows) {
        CAPTURE(row.target);
        const Explanation value = explain({rules, matcher}, row.method, row.target, row.headers);
        const std::string text = to_text(value);
        CAPTURE(text);
        const boost::json::object document = boost::json::parse(to_json(value)).as_object();
        const auto says = [&](const boost::json::value& word) {
            const auto& string = word.as_string();
            return text.find(std::string_view{string.data(), string.size()}) != std::string::npos;
        };
        if (value.refused) {
            CHECK(document.at("verdict") == "refused");
            CHECK(says(document.at("refused").at("because")));
            continue;
        }
        CHECK(document.at("verdict") == (value.looked_up ? "lookup" : "bypass"));
        if (value.rule) {
            CHECK(says(document.at("rule").at("name")));
            CHECK(says(document.at("rule").at("match")));
        }
        if (!value.is_write)
            for (const auto& reason : document.at("passes_by").as_array()) CHECK(says(reason.at("reason")));
        for (const auto& other : document.at("other_rules").as_array()) CHECK(says(other.at("why_not")));
        if (value.has_key) {
            CHECK(says(document.at("key").at("value")));
            for (const auto& purger : document.at("purged_by").as_array()) CHECK(says(purger.at("example")));
        }
        if (!value.is_write) continue;
        for (const auto& write : document.at("writes").as_array())
            for (const auto& pattern : write.at("patterns").as_array()) CHECK(says(pattern.at("purges")));
    }
}

TEST_CASE("bytes that are no UTF-8 make no invalid JSON")
{
    const auto rules = shop();
    const Matcher matcher(rules);
    const std::string document = to_json(explain({rules, matcher}, "GET", "/api/events/%FF", {{"X-A", "\xff\xc3"}}));
    boost::system::error_code ec;
    boost::json::parse(document, ec);
    CHECK_FALSE(ec);
}
