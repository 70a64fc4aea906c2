#include "rules/verdict/judge_request.hpp"

#include <doctest/doctest.h>

#include "tests/unit/rules/rule_text.hpp"

using namespace larder::rules;
using namespace larder::rules::test;

namespace {

const std::vector<Rule>& rules_under_test()
{
    static const std::vector<Rule> rules = [] {
        std::vector<Rule> made;
        made.push_back(cache_rule("GET /off"));
        made.back().cache = false;
        made.push_back(cache_rule("GET /mine", "mine:{cookie.sid}"));
        made.push_back(cache_rule("GET /token", "token:{header.Authorization}"));
        made.push_back(cache_rule("GET /language", "l:{header.Accept-Language}"));
        made.push_back(cache_rule("GET /shared", "shared:{query.q}"));
        made.back().shared = true;
        made.push_back(cache_rule("GET /list", "list:{query.page|1}"));
        number(made);
        return made;
    }();
    return rules;
}

}  // namespace

TEST_CASE("a request that may not be answered from the cache has the first reason that holds")
{
    const Matcher matcher(rules_under_test());
    struct Row {
        const char* why;
        const char* method;
        const char* target;
        const char* fields;
        CacheMode mode;
        Forward want;
    };
    const auto by_rules = CacheMode::rules;
    const Row rows[] = {
        {"nothing is in the way", "GET", "/list?page=2", "", by_rules, Forward::none},
        {"HEAD as well", "HEAD", "/list", "", by_rules, Forward::none},
        {"a Range is cut from the whole", "GET", "/list", "Range: bytes=0-1\r\n", by_rules, Forward::none},
        {"a length of 0 is no body", "GET", "/list", "Content-Length: 0\r\n", by_rules, Forward::none},
        {"a write", "POST", "/list", "", by_rules, Forward::method},
        {"OPTIONS", "OPTIONS", "/list", "", by_rules, Forward::method},
        {"a method in lower case is another method", "get", "/list", "", by_rules, Forward::method},
        {"another protocol", "GET", "/list", "Connection: upgrade\r\nUpgrade: websocket\r\n", by_rules,
         Forward::upgrade},
        {"a body", "GET", "/list", "Content-Length: 2\r\n", by_rules, Forward::request_body},
        {"a chunked body", "GET", "/list", "Transfer-Encoding: chunked\r\n", by_rules, Forward::request_body},
        {"the rollback switch", "GET", "/list", "", CacheMode::off, Forward::cache_off},
        {"no rule", "GET", "/other", "", by_rules, Forward::no_rule},
        {"a rule that says off", "GET", "/off", "", by_rules, Forward::rule_off},
        {"a path that can be read in two ways", "GET", "//list", "", by_rules, Forward::ambiguous_path},
        {"Authorization", "GET", "/list", "Authorization: x\r\n", by_rules, Forward::authorization},
        {"If-Match", "GET", "/list", "If-Match: *\r\n", by_rules, Forward::condition},
        {"If-Unmodified-Since", "GET", "/list", "If-Unmodified-Since: x\r\n", by_rules, Forward::condition},
        {"If-None-Match is answered from the cache", "GET", "/list", "If-None-Match: *\r\n", by_rules, Forward::none},
        {"who asks comes first", "GET", "/list", "If-Match: *\r\nCookie: a=b\r\n", by_rules, Forward::cookie},
        {"Cookie", "GET", "/list", "Cookie: a=b\r\n", by_rules, Forward::cookie},
        {"Authorization before Cookie", "GET", "/list", "Cookie: a=b\r\nAuthorization: x\r\n", by_rules,
         Forward::authorization},
        {"the key names the session", "GET", "/mine", "Cookie: sid=1\r\n", by_rules, Forward::none},
        {"but this request has none", "GET", "/mine", "Cookie: other=1\r\n", by_rules, Forward::cookie},
        {"a bearer without session is nobody to that key", "GET", "/mine", "Authorization: x\r\n", by_rules,
         Forward::authorization},
        {"the key names the bearer", "GET", "/token", "Authorization: x\r\n", by_rules, Forward::none},
        {"a language is nobody", "GET", "/language", "Cookie: a=b\r\nAccept-Language: de\r\n", by_rules,
         Forward::cookie},
        {"shared lifts the identity switch", "GET", "/shared", "Authorization: x\r\nCookie: a=b\r\n", by_rules,
         Forward::none},
        {"and no other", "GET", "/shared?x=1", "", by_rules, Forward::query_parameter},
        {"a parameter that the key does not name", "GET", "/list?x=1", "", by_rules, Forward::query_parameter},
        {"one that it names, twice", "GET", "/list?page=1&page=2", "", by_rules, Forward::repeated_parameter},
        {"without rules the origin decides", "GET", "/other?x=1", "Cookie: a=b\r\n", CacheMode::respect_origin,
         Forward::none},
        {"but a rule that matches still counts", "GET", "/off", "", CacheMode::respect_origin, Forward::rule_off},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const Request request(row.method, row.target, row.fields);
        std::string key;
        const RequestJudgement judgement = judge_request(matcher, row.mode, request.view, request.form, key);
        CHECK(judgement.bypass == row.want);
        if (row.want == Forward::none) CHECK(!key.empty());
    }
}

TEST_CASE("the judgement names the rule and the parameter, and appends the key")
{
    const Matcher matcher(rules_under_test());
    std::string key = "before:";
    CHECK(judge_request(matcher, CacheMode::rules, Request("GET", "/list?page=3").view, PathForm::normal, key).rule ==
          &rules_under_test()[5]);
    CHECK(key == "before:list:3");

    const Request unnamed("GET", "/list?page=1&debug=1");
    const auto judgement = judge_request(matcher, CacheMode::rules, unnamed.view, unnamed.form, key);
    CHECK(judgement.parameter == "debug");
    CHECK(judgement.rule == &rules_under_test()[5]);
}

TEST_CASE("the rule of the origin's headers has no ttl of its own and the default key")
{
    const Rule& rule = respect_origin_rule();
    CHECK_FALSE(rule.ttl.given());
    CHECK_FALSE(rule.key.has_value());
    CHECK(rule.cache_control == CacheControlMode::respect);
    CHECK_FALSE(rule.is_purge());
}
