#include "rules/key/cache_key.hpp"

#include <doctest/doctest.h>

#include <boost/json/parse.hpp>
#include <map>
#include <random>

#include "rules/pattern/pattern.hpp"
#include "tests/unit/rules/match/plain_match.hpp"
#include "tests/unit/rules/rule_text.hpp"

using namespace larder::rules;
using namespace larder::rules::test;

namespace {

std::string key_for(const Rule& rule, const Request& request)
{
    PathValues values;
    REQUIRE(matches_rule(rule, request.view, values));
    std::string key;
    append_key(key, rule, request.view, values);
    return key;
}

/// Each target as text; "~" before a pattern, "+" behind one that was widened.
std::vector<std::string> targets_for(const Rule& rule, const Request& request, const WriteValues& write = {})
{
    PathValues values;
    REQUIRE(matches_rule(rule, request.view, values));
    std::vector<PurgeTarget> targets;
    append_purge_targets(targets, rule, request.view, values, write);
    std::vector<std::string> texts;
    for (const PurgeTarget& target : targets)
        texts.push_back((target.exact ? "" : "~") + target.text + (target.widened ? "+" : ""));
    return texts;
}

std::string target_for(const Rule& rule, const Request& request, const WriteValues& write = {})
{
    const auto texts = targets_for(rule, request, write);
    return texts.size() == 1 ? texts[0] : "not one target";
}

std::string percent_encoded(std::string_view value)
{
    std::string out;
    for (const char c : value) {
        out += '%';
        out += "0123456789ABCDEF"[static_cast<unsigned char>(c) >> 4];
        out += "0123456789ABCDEF"[static_cast<unsigned char>(c) & 15];
    }
    return out;
}

}  // namespace

TEST_CASE("a key is the template with the request's values in it")
{
    struct Row {
        const char* why;
        const char* key;
        const char* target;
        const char* fields;
        const char* want;
    };
    const Row rows[] = {
        {"a path value", "e:{id}", "/e/7", "", "e:7"},
        {"encoded or not, it is the same resource", "e:{id}", "/e/%37", "", "e:7"},
        {"decoded, then escaped", "e:{id}", "/e/a%3Ab%20c", "", "e:a%3Ab%20c"},
        {"a parameter", "l:{query.page|1}", "/e/7?page=2", "", "l:2"},
        {"its fallback when absent", "l:{query.page|1}", "/e/7", "", "l:1"},
        {"its fallback when empty", "l:{query.page|1}", "/e/7?page=", "", "l:1"},
        {"nothing without fallback", "l:{query.page}", "/e/7", "", "l:"},
        {"a plus is a space", "l:{query.q}", "/e/7?q=a+b", "", "l:a%20b"},
        {"an encoded plus is a plus", "l:{query.q}", "/e/7?q=a%2Bb", "", "l:a+b"},
        {"an encoded name", "l:{query.page}", "/e/7?p%61ge=3", "", "l:3"},
        {"a header", "t:{header.X-Tenant}", "/e/7", "x-tenant:  acme \r\n", "t:acme"},
        {"lines of one header", "t:{header.X-Tenant}", "/e/7", "X-Tenant: a\r\nX-Tenant: b\r\n", "t:a,%20b"},
        {"a cookie", "s:{cookie.sid}", "/e/7", "Cookie: a=1; sid=abc; b=2\r\n", "s:abc"},
        {"not a cookie whose name ends so", "s:{cookie.sid|none}", "/e/7", "Cookie: xsid=abc\r\n", "s:none"},
        {"two cookies of one name are a third value", "s:{cookie.sid}", "/e/7", "Cookie: sid=a; sid=b\r\n", "s:a;b"},
        {"the path", "{path}", "/e/7", "", "/e/7"},
        {"the host", "{host}", "/e/7", "", "shop.example"},
        {"the method", "{method}", "/e/7", "", "GET"},
        {"the query, sorted", "{query}", "/e/7?b=2&a=1&a=0", "", "a=1&a=0&b=2"},
        {"values of the query are escaped", "{query}", "/e/7?a=b:c*", "", "a=b%3Ac%2A"},
        {"an ignored parameter is left out", "{query}", "/e/7?utm_source=x&a=1&gclid=2", "", "a=1"},
        {"but not one that hides another", "{query}", "/e/7?gclid=2;a=3", "", "gclid=2;a=3"},
        {"no key at all", "", "/e/7?b=2&a=1", "", "shop.example:/e/7:a=1&b=2"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        Rule rule = cache_rule("GET /e/{id}", row.key);
        rule.ignore_query = {"gclid", "utm_*"};
        CHECK(key_for(rule, Request("GET", row.target, row.fields, "Shop.Example:80")) == row.want);
    }
}

TEST_CASE("requests that share a key are asked for with one query, and those that do not with different ones")
{
    const auto asked_for = [](const Rule& rule, const std::string& query) {
        const Request request("GET", "/e/7" + query);
        std::string text;
        append_fill_query(text, rule, request.view);
        return std::pair(key_for(rule, request), text);
    };
    Rule whole = cache_rule("GET /e/{id}", "{query}"), named = cache_rule("GET /e/{id}", "l:{query.q}:{query.page|1}");
    whole.ignore_query = named.ignore_query = {"utm_*"};
    named.query_policy = QueryPolicy::ignore;
    struct Row {
        const char* why;
        const Rule& rule;
        std::string raw, want;
    };
    for (const Row& row :
         {Row{"none", whole, "", ""}, Row{"an empty one", whole, "?", ""},
          Row{"only what is ignored", whole, "?utm_source=x", ""}, Row{"sorted", whole, "?b=2&a=1&a=0", "?a=1&a=0&b=2"},
          Row{"in one encoding", whole, "?%61=%7e%2f", "?a=~%2F"},
          Row{"without empty parts", whole, "?&a=1&&b", "?a=1&b"}, Row{"empty is not absent", whole, "?a=&b", "?a=&b"},
          Row{"what hides another stays", whole, "?utm_source=1;a=2", "?utm_source=1;a=2"},
          Row{"named ones only", named, "?x=1&page=2&q=a", "?page=2&q=a"},
          Row{"a plus is a space", named, "?q=a+b", "?q=a%20b"}, Row{"as is %20", named, "?q=a%20b", "?q=a%20b"},
          Row{"an encoded name", named, "?%71=a%2Bb", "?q=a%2Bb"},
          Row{"what is empty in the key", named, "?q=&page=", ""},
          Row{"what the fallback says", named, "?page=1&q=b", "?q=b"},
          Row{"an invalid escape in what is ignored", whole, "?utm_s%=x&z=%4a", "?z=J"},
          Row{"an invalid escape in a neighbour", whole, "?a%=%4a&z=%4a", "?a%=J&z=J"}}) {
        CAPTURE(row.why);
        CHECK(asked_for(row.rule, row.raw).second == row.want);
    }
    const std::string parts[] = {"a=1", "a=2",   "b",     "b=",  "%61=1", "utm_x=1", "",
                                 "a=+", "a=%20", "a=%2B", "q=1", "q=%31", "page=1"};
    std::map<std::string, std::string> whole_by_key;
    for (const std::string& one : parts)
        for (const std::string& two : parts)
            for (const std::string& three : parts) {
                const auto [key, text] = asked_for(whole, "?" + one + "&" + two + "&" + three);
                const auto [place, is_new] = whole_by_key.try_emplace(key, text);
                CAPTURE(key);
                CHECK((is_new || place->second == text));
            }
    CHECK(whole_by_key.size() > 100);
}

TEST_CASE("HEAD has the key of GET")
{
    const Rule rule = cache_rule("GET /e/{id}", "{method}:{id}");
    CHECK(key_for(rule, Request("HEAD", "/e/7")) == "GET:7");
}

TEST_CASE("a query of many parameters is sorted like a short one")
{
    std::string target = "/e/7?", want;
    for (int i = 0; i < 60; ++i) target += "a=" + std::to_string(i) + "&";
    for (int i = 0; i < 60; ++i) want += "a=" + std::to_string(i) + "&";
    CHECK(key_for(cache_rule("GET /e/{id}", "{query}"), Request("GET", target + "A=1")) ==
          "A=1&" + want.substr(0, want.size() - 1));
}

TEST_CASE("no request value leaves its place in a key, and different values make different keys")
{
    const Rule rule = cache_rule("GET /e/{id}", "x:{query.q}:{header.X-Y}:end");
    std::mt19937 random(5);
    std::map<std::string, std::pair<std::string, std::string>> seen;
    for (int round = 0; round < 4000; ++round) {
        std::string parameter, header;
        for (unsigned n = random() % 5; n > 0; --n)
            parameter += static_cast<char>(random() % 2 ? random() % 256 : ":*%{}?"[random() % 6]);
        for (unsigned n = random() % 5; n > 0; --n) header += static_cast<char>(33 + random() % 94);
        const Request request("GET", "/e/1?q=" + percent_encoded(parameter), "X-Y: " + header + "\r\n");
        const std::string key = key_for(rule, request);
        CAPTURE(key);
        CHECK(std::count(key.begin(), key.end(), ':') == 3);
        CHECK(key.find_first_of("*?{}\\") == std::string::npos);
        const auto [place, is_new] = seen.try_emplace(key, parameter, header);
        CHECK(place->second == std::pair{parameter, header});
    }
}

TEST_CASE("a parameter that the key does not name is found, unless the rule lets it be")
{
    struct Row {
        const char* why;
        const char* key;
        const char* target;
        QueryPolicy policy;
        const char* want;
    };
    const auto strict = QueryPolicy::strict, ignore = QueryPolicy::ignore;
    const Row rows[] = {
        {"none", "k:{query.page}", "/a", strict, ""},
        {"named", "k:{query.page}", "/a?page=1", strict, ""},
        {"unnamed", "k:{query.page}", "/a?page=1&x=2", strict, "x"},
        {"listed", "k:{query.page}", "/a?gclid=1&utm_campaign=2", strict, ""},
        {"listed, encoded", "k:{query.page}", "/a?%75tm_campaign=2", strict, ""},
        {"listed, but another hides behind a semicolon", "k:{query.page}", "/a?gclid=1;page=2", strict, "gclid"},
        {"pinned by match", "k:{query.page}", "/a?format=json", strict, ""},
        {"all are named", "k:{query}", "/a?x=1&y=2", strict, ""},
        {"the default key names all", "", "/a?x=1", strict, ""},
        {"query: ignore", "k:{query.page}", "/a?x=1", ignore, ""},
        {"a semicolon even then", "k:{query.page}", "/a?x=1;page=2", ignore, "x"},
        {"an array of a named one even then", "k:{query.page}", "/a?page[]=2", ignore, "page[]"},
        {"another case of a named one even then", "k:{query.page}", "/a?Page=2", ignore, "Page"},
        {"a name without text", "k", "/a?=1", strict, "="},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        Rule rule = cache_rule("GET /a", row.key);
        rule.query_policy = row.policy;
        rule.ignore_query = {"gclid", "utm_*"};
        rule.match.query = {{"format", "json"}};
        CHECK(unnamed_parameter(rule, Request("GET", row.target).view) == row.want);
    }
}

TEST_CASE("a parameter that the key names and that stands twice is noted, however it is written")
{
    const Rule rule = cache_rule("GET /a", "k:{query.page}");
    std::string key;
    CHECK(append_key(key, rule, Request("GET", "/a?page=1&p%61ge=2").view, {}).repeated_parameter);
    CHECK_FALSE(append_key(key, rule, Request("GET", "/a?page=1&x=2&x=3").view, {}).repeated_parameter);
}

TEST_CASE("a purge target widens where a value is missing, and never narrows")
{
    const auto body = boost::json::parse(
        R"({"id": 7, "big": 18446744073709551615, "name": "a:b*", "on": true, "part": 1.5, "null": null, "empty": "",
            "items": [{"id": -3}], "huge": 123456789012345678901234567890})");
    const Request response_bytes("GET", "/", "Location: /e/8\r\n");  // only its fields are used
    WriteValues read{&body, &response_bytes.head.fields}, unread;
    struct Row {
        const char* why;
        const char* text;
        const char* target;
        const WriteValues* write;
        const char* want;
    };
    const Row rows[] = {
        {"a path value", "e:{id}", "/e/7", &unread, "e:7"},
        {"a value cannot be a wildcard", "e:{id}", "/e/*", &unread, "e:%2A"},
        {"a wildcard of the rule is one", "l:*", "/e/7", &unread, "~l:*"},
        {"an absent optional value leaves the pattern out", "e:{id}", "/e", &unread, "not one target"},
        {"unless it has a fallback", "e:{id|all}", "/e", &unread, "e:all"},
        {"a string", "n:{body.name}", "/e", &read, "n:a%3Ab%2A"},
        {"an integer", "e:{body.id}", "/e", &read, "e:7"},
        {"an integer of 64 bits", "e:{body.big}", "/e", &read, "e:18446744073709551615"},
        {"one that lost digits", "e:{body.huge}", "/e", &read, "~e:*+"},
        {"a boolean", "e:{body.on}", "/e", &read, "e:true"},
        {"a fraction has many spellings", "e:{body.part}", "/e", &read, "~e:*+"},
        {"null", "e:{body.null}:x", "/e", &read, "~e:*:x+"},
        {"null with a fallback", "e:{body.null|none}", "/e", &read, "e:none"},
        {"an object", "e:{body.items.0}", "/e", &read, "~e:*+"},
        {"an object has no fallback", "e:{body.items.0|x}", "/e", &read, "~e:*+"},
        {"below an array", "e:{body.items.0.id}", "/e", &read, "e:-3"},
        {"beyond its end", "e:{body.items.1.id}", "/e", &read, "~e:*+"},
        {"below a number", "e:{body.id.x}", "/e", &read, "~e:*+"},
        {"an empty string", "e:{body.empty}", "/e", &read, "~e:*+"},
        {"a body that could not be read", "e:{body.id|1}", "/e", &unread, "~e:*+"},
        {"the response", "l:{response.header.Location}", "/e", &read, "l:/e/8"},
        {"the response is not there yet", "l:{response.header.Location|x}", "/e", &unread, "~l:*+"},
        {"a header that it lacks", "l:{response.header.X}", "/e", &read, "~l:*+"},
        {"a header of the request", "t:{header.X-Tenant}", "/e", &unread, "t:acme"},
        {"a header it lacks", "t:{header.X-Other}:*", "/e", &unread, "~t:*:*+"},
        {"two missing in a row are one run", "{body.a}{body.b}", "/e", &read, "~*+"},
        {"a parameter", "q:{query.x}", "/e?x=1", &unread, "q:1"},
        {"a parameter that stands twice could be either", "q:{query.x}", "/e?x=1&x=2", &unread, "~q:*+"},
        {"no query", "{path}:{query}", "/e", &unread, "~/e:*+"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const Rule rule = purge_rule("POST /e/{id?}", {row.text});
        const Request request("POST", row.target, "X-Tenant: acme\r\nContent-Length: 2\r\n");
        CHECK(target_for(rule, request, *row.write) == row.want);
    }
}

TEST_CASE("a write without a body lacks its values for certain, so that fallbacks hold")
{
    const Rule rule = purge_rule("DELETE /e/{id}", {"e:{body.kind|plain}:{id}"});
    CHECK(target_for(rule, Request("DELETE", "/e/7")) == "e:plain:7");
}

TEST_CASE(
    "before the response is there, a template that needs it names nothing, so that the mark of a write stays narrow")
{
    const Rule rule = purge_rule("POST /e", {"e:list", "e:{response.header.Location}"});
    const Request request("POST", "/e");
    std::vector<PurgeTarget> targets;
    WriteValues write;
    write.before_response = true;
    append_purge_targets(targets, rule, request.view, PathValues{}, write);
    REQUIRE(targets.size() == 1);
    CHECK(targets[0].text == "e:list");
}

TEST_CASE("the same target is named once")
{
    const Rule rule = purge_rule("POST /e/{id?}", {"e:{id}", "l:*", "e:{id}"});
    CHECK(targets_for(rule, Request("POST", "/e/1")) == std::vector<std::string>{"e:1", "~l:*"});
}

TEST_CASE("an exact purge target is the key that a read of the same values has")
{
    const Rule read = cache_rule("GET /e/{id}", "e:{id}");
    const Rule write = purge_rule("PUT /e/{id}", {"e:{id}"});
    for (const char* id : {"7", "%37", "a%20b", "a%3Ab", "%E2%82%AC", "a+b", "*", "a%2A"}) {
        CAPTURE(id);
        const std::string target = std::string("/e/") + id;
        CHECK(key_for(read, Request("GET", target)) == target_for(write, Request("PUT", target)));
    }
}

TEST_CASE("a rule says whether it needs the body or the response")
{
    CHECK(needs_body(purge_rule("POST /", {"a", "{body.id}"})));
    CHECK_FALSE(needs_body(purge_rule("POST /", {"a", "{query.id}"})));
    CHECK(needs_response(purge_rule("POST /", {"{response.header.Location}"})));
    CHECK_FALSE(needs_response(purge_rule("POST /", {"{header.Location}"})));
}
