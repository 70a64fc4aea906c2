#include "rules/match/matcher.hpp"

#include <doctest/doctest.h>

#include <random>

#include "tests/unit/rules/match/plain_match.hpp"
#include "tests/unit/rules/rule_text.hpp"

using namespace larder::rules;
using namespace larder::rules::test;

namespace {

/// Places of the rules with their values, to be compared.
std::string written(const std::vector<Rule>& rules, const std::vector<Matched>& found)
{
    std::string out;
    for (const Matched& matched : found) {
        if (!matched.rule) continue;
        out += std::to_string(matched.rule - rules.data()) + "(";
        for (const PathSegment& segment : matched.rule->match.segments)
            if (const auto value = matched.values.find(segment.text))
                out += segment.text + "=" + std::string(*value) + ",";
        out += ") ";
    }
    return out;
}

}  // namespace

TEST_CASE("a path template matches what its words say")
{
    struct Row {
        const char* why;
        const char* rule;
        bool purge;
        const char* request;
        bool want;
        const char* name;
        const char* value;
    };
    const Row rows[] = {
        {"the root", "GET /", false, "/", true, "", ""},
        {"a literal", "GET /api/events", false, "/api/events", true, "", ""},
        {"literals have a case", "GET /api/events", false, "/API/events", false, "", ""},
        {"a longer path is another", "GET /api/events", false, "/api/events/7", false, "", ""},
        {"a cached path keeps its slash", "GET /api/events", false, "/api/events/", false, "", ""},
        {"a template with slash wants one", "GET /api/events/", false, "/api/events", false, "", ""},
        {"and takes one", "GET /api/events/", false, "/api/events/", true, "", ""},
        {"a write with a slash reaches the same handler", "GET /api/events", true, "/api/events/", true, "", ""},
        {"a write without a slash too", "GET /api/events/", true, "/api/events", true, "", ""},
        {"a value", "GET /api/events/{id}", false, "/api/events/7", true, "id", "7"},
        {"a value is not empty", "GET /api/events/{id}", false, "/api/events/", false, "", ""},
        {"nor is it for writes", "GET /api/events/{id}", true, "/api/events/", false, "", ""},
        {"a value is one segment", "GET /api/events/{id}", false, "/api/events/7/8", false, "", ""},
        {"a value in the middle", "GET /u/{id}/posts", false, "/u/7/posts", true, "id", "7"},
        {"an optional value is there", "GET /e/{id?}", false, "/e/7", true, "id", "7"},
        {"an optional value is absent", "GET /e/{id?}", false, "/e", true, "id", nullptr},
        {"absent, with a slash", "GET /e/{id?}", false, "/e/", false, "", ""},
        {"absent, with a slash, written", "GET /e/{id?}", true, "/e/", true, "id", nullptr},
        {"optional below a slash", "GET /e/{id?}/", false, "/e/7/", true, "id", "7"},
        {"the rest", "GET /files/{rest*}", false, "/files/a/b", true, "rest", "a/b"},
        {"the rest keeps its slash", "GET /files/{rest*}", false, "/files/a/", true, "rest", "a/"},
        {"the rest may be nothing", "GET /files/{rest*}", false, "/files/", true, "rest", ""},
        {"but the folder without slash is another resource", "GET /files/{rest*}", false, "/files", false, "", ""},
        {"except for writes", "GET /files/{rest*}", true, "/files", true, "rest", ""},
        {"everything", "GET /{rest*}", false, "/", true, "rest", ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        std::vector<Rule> rules;
        rules.push_back(row.purge ? purge_rule(row.rule, {"x"}) : cache_rule(row.rule));
        const Matcher matcher(rules);
        const Request request("GET", row.request);
        std::vector<Matched> found;
        if (row.purge)
            matcher.match_purge(request.view, found);
        else if (const Matched matched = matcher.match_cache(request.view); matched.rule)
            found.push_back(matched);
        REQUIRE(found.size() == (row.want ? 1 : 0));
        if (!row.want || !*row.name) continue;
        const auto value = found[0].values.find(row.name);
        CHECK(value.has_value() == (row.value != nullptr));
        if (row.value) CHECK(value == std::string_view(row.value));
    }
}

TEST_CASE("the first cache rule in the file wins, and every purge rule that matches applies, in file order")
{
    std::vector<Rule> rules;
    rules.push_back(purge_rule("POST /a/{rest*}", {"late"}));
    rules.push_back(cache_rule("GET /a/{id}"));
    rules.push_back(cache_rule("GET /a/b"));
    rules.push_back(purge_rule("POST /a/b", {"x"}));
    rules.push_back(purge_rule("POST|PUT /{x}/{y?}", {"y"}));
    const Matcher matcher(rules);
    CHECK(matcher.match_cache(Request("GET", "/a/b").view).rule == &rules[1]);

    std::vector<Matched> found;
    const Request write("POST", "/a/b");
    matcher.match_purge(write.view, found);
    REQUIRE(found.size() == 3);
    CHECK(found[0].rule == &rules[0]);
    CHECK(found[1].rule == &rules[3]);
    CHECK(found[2].rule == &rules[4]);
}

TEST_CASE("method, host, header and query conditions must all hold")
{
    Rule rule = cache_rule("GET /a");
    rule.match.host = "shop.example";
    rule.match.headers = {{"X-Api", "2"}, {"X-Any", std::nullopt}};
    rule.match.query = {{"format", "json"}};
    const std::vector<Rule> rules{rule};
    const Matcher matcher(rules);
    struct Row {
        const char* why;
        const char* method;
        const char* target;
        const char* fields;
        const char* host;
        bool want;
    };
    const char* fields = "x-api: 2\r\nX-Any: \r\n";
    const Row rows[] = {
        {"all hold", "GET", "/a?format=json", fields, "shop.example", true},
        {"HEAD is matched as GET", "HEAD", "/a?format=json", fields, "shop.example", true},
        {"the host has neither case nor port", "GET", "/a?format=json", fields, "Shop.Example:8080", true},
        {"nor a final dot", "GET", "/a?format=json", fields, "shop.example.", true},
        {"names of parameters are decoded", "GET", "/a?form%61t=json", fields, "shop.example", true},
        {"another method", "POST", "/a?format=json", fields, "shop.example", false},
        {"another host", "GET", "/a?format=json", fields, "example", false},
        {"another parameter value", "GET", "/a?format=xml", fields, "shop.example", false},
        {"no parameter", "GET", "/a", fields, "shop.example", false},
        {"another header value", "GET", "/a?format=json", "x-api: 1\r\nX-Any: 1\r\n", "shop.example", false},
        {"a header is missing", "GET", "/a?format=json", "x-api: 2\r\n", "shop.example", false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const Request request(row.method, row.target, row.fields, row.host);
        CHECK((matcher.match_cache(request.view).rule != nullptr) == row.want);
    }
}

TEST_CASE("the tree finds what a scan of all rules finds, for random rules and paths")
{
    std::mt19937 random(4);
    const char* words[] = {"a", "b", "c"};
    const char* hosts[] = {"", "", "one", "two"};
    auto path_of = [&](bool is_template) {
        std::string path;
        for (unsigned n = random() % 4; n > 0; --n) {
            path += '/';
            path += is_template && random() % 3 == 0 ? "{v" + std::to_string(n) + "}" : words[random() % 3];
        }
        const unsigned end = random() % 6;
        if (is_template && end == 0) return path + "/{o?}";
        if (is_template && end == 1) return path + "/{r*}";
        if (end == 2 || path.empty()) path += '/';
        return path;
    };
    for (int round = 0; round < 300; ++round) {
        std::vector<Rule> rules;
        for (unsigned n = random() % 25; n > 0; --n) {
            const std::string method = random() % 2 ? "GET " : "POST|PUT ";
            rules.push_back(random() % 2 ? cache_rule(method + path_of(true))
                                         : purge_rule(method + path_of(true), {"x"}));
            rules.back().match.host = hosts[random() % 4];
            if (random() % 5 == 0) rules.back().match.query = {{"q", std::nullopt}};
        }
        const Matcher matcher(rules);
        for (int i = 0; i < 30; ++i) {
            const Request request(random() % 2 ? "GET" : "POST", path_of(false) + (random() % 2 ? "?q=1" : ""), "",
                                  random() % 2 ? "one" : "TWO:80");
            std::vector<Matched> wanted_caches, wanted_purges, found;
            for (const Rule& rule : rules) {
                Matched matched;
                if (!matches_rule(rule, request.view, matched.values)) continue;
                matched.rule = &rule;
                (rule.is_purge() ? wanted_purges : wanted_caches).push_back(matched);
            }
            wanted_caches.resize(1);
            matcher.match_purge(request.view, found);
            CAPTURE(request.bytes);
            CHECK(written(rules, {matcher.match_cache(request.view)}) == written(rules, wanted_caches));
            CHECK(written(rules, found) == written(rules, wanted_purges));
        }
    }
}

TEST_CASE("ten thousand rules on paths and hosts of their own do not hide each other")
{
    std::vector<Rule> rules;
    for (int i = 0; i < 5000; ++i) rules.push_back(cache_rule("GET /r" + std::to_string(i) + "/{id}"));
    for (int i = 0; i < 5000; ++i) {
        rules.push_back(cache_rule("GET /{rest*}"));
        rules.back().match.host = "h" + std::to_string(i);
    }
    const Matcher matcher(rules);
    for (int i = 0; i < 5000; i += 499) {
        const Request by_path("GET", "/r" + std::to_string(i) + "/7");
        const Request by_host("GET", "/x", "", "H" + std::to_string(i) + ":8080");
        CHECK(matcher.match_cache(by_path.view).rule == &rules[static_cast<std::size_t>(i)]);
        CHECK(matcher.match_cache(by_host.view).rule == &rules[static_cast<std::size_t>(i) + 5000]);
    }
}

TEST_CASE("a plain ttl holds for the statuses that keep, and for 404 and 410 at a tenth")
{
    TtlTable plain;
    plain.any = Milliseconds{60000};
    for (const int status : {200, 203, 204, 300, 301, 308}) CHECK(plain.for_status(status) == Milliseconds{60000});
    for (const int status : {404, 410}) CHECK(plain.for_status(status) == Milliseconds{6000});
    for (const int status : {201, 206, 302, 307, 400, 500, 503}) CHECK_FALSE(plain.for_status(status).has_value());

    TtlTable table;
    table.status = {{200, Milliseconds{1000}}, {302, Milliseconds{5}}};
    CHECK(table.for_status(302) == Milliseconds{5});
    CHECK_FALSE(table.for_status(404).has_value());
    CHECK_FALSE(TtlTable{}.given());
}
