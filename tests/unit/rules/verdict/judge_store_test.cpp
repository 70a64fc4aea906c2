// RFC 9111 §3: what may be stored, for how long, and the one reason why not.
#include "rules/verdict/judge_store.hpp"

#include <doctest/doctest.h>

#include <string>

#include "rules/http/date.hpp"

using namespace larder::rules;
using namespace std::chrono_literals;

namespace {

const WallTime noon = *parse_date("Wed, 01 Jul 2026 12:00:00 GMT", WallTime{});

/// What the origin answers: a status, and fields beside Date.
struct Answer {
    int status = 200;
    std::string fields;
};

Rule make_rule(std::optional<Milliseconds> ttl = {}, CacheControlMode mode = CacheControlMode::respect)
{
    Rule rule;
    rule.ttl.any = ttl;
    rule.cache_control = mode;
    return rule;
}

const Rule no_ttl = make_rule();
const Rule minute = make_rule(60s);
const Rule override_minute = make_rule(60s, CacheControlMode::override_);

StoreJudgement judge(const Answer& answer, const Rule& rule, const std::string& request_fields = {})
{
    const std::string request_bytes = "GET / HTTP/1.1\r\nHost: a\r\n" + request_fields + "\r\n";
    const std::string response_bytes = "HTTP/1.1 " + std::to_string(answer.status) +
                                       " X\r\nDate: Wed, 01 Jul 2026 12:00:00 GMT\r\n" + answer.fields + "\r\n";
    RequestHead request;
    ResponseHead response;
    REQUIRE(scan_request(request_bytes, {}, request) == Scan::ok);
    REQUIRE(scan_response(response_bytes, {}, false, response) == Scan::ok);
    return judge_store(request, response, rule, noon, noon);
}

}  // namespace

TEST_CASE("one reason per response that is not stored, and none for one that is")
{
    struct Row {
        std::string why;
        Answer answer;
        const Rule& rule;
        NotStored want;
    };
    using enum NotStored;
    const Rule by_status = [] {
        Rule rule;
        rule.ttl.status = {{200, 60s}, {429, 5s}};
        return rule;
    }();
    const Row rows[] = {
        {"the rule says how long", {200, ""}, minute, none},
        {"the origin says how long", {200, "Cache-Control: max-age=60\r\n"}, no_ttl, none},
        {"nobody does", {200, ""}, no_ttl, no_lifetime},
        {"a validator alone is no lifetime", {200, "ETag: \"a\"\r\n"}, no_ttl, no_lifetime},
        {"public alone is no lifetime", {200, "Cache-Control: public\r\n"}, no_ttl, no_lifetime},
        {"the rule speaks of another status", {500, ""}, minute, status},
        {"the rule's table leaves it out", {404, ""}, by_status, status},
        {"the origin speaks for a status that the rule leaves out",
         {500, "Cache-Control: max-age=5\r\n"},
         minute,
         none},
        {"RFC 6585: 429 is not stored, whatever it says", {429, "Cache-Control: max-age=5\r\n"}, minute, status},
        {"unless the rule names it", {429, ""}, by_status, none},
        {"103 is not final", {103, "Cache-Control: max-age=60\r\n"}, minute, not_final},
        {"304 is about another response", {304, "Cache-Control: max-age=60\r\n"}, minute, not_final},
        {"412 is about the request's condition", {412, "Cache-Control: max-age=60\r\n"}, minute, not_final},
        {"416 is about the request's range", {416, "Cache-Control: max-age=60\r\n"}, minute, not_final},
        {"206 is a part", {206, "Cache-Control: max-age=60\r\n"}, minute, partial},
        {"no-store", {200, "Cache-Control: max-age=60, no-store\r\n"}, minute, no_store},
        {"no-store beats override", {200, "Cache-Control: no-store\r\n"}, override_minute, no_store},
        {"no-store on a second line", {200, "Cache-Control: public\r\nCache-Control: no-store\r\n"}, minute, no_store},
        {"must-understand lifts no-store for a known status",
         {200, "Cache-Control: max-age=60, no-store, must-understand\r\n"},
         minute,
         none},
        {"must-understand lifts no open quote: it may have swallowed private",
         {200, "Cache-Control: max-age=60, must-understand, ext=\"private\r\n"},
         minute,
         no_store},
        {"must-understand with an unknown status",
         {299, "Cache-Control: max-age=60, must-understand\r\n"},
         minute,
         must_understand},
        {"private", {200, "Cache-Control: private, max-age=60\r\n"}, minute, is_private},
        {"private fields count for all",
         {200, "Cache-Control: private=\"X-User\", max-age=60\r\n"},
         minute,
         is_private},
        {"private Set-Cookie, which is not there", {200, "Cache-Control: private=\"Set-Cookie\"\r\n"}, minute, none},
        {"private Set-Cookie",
         {200, "Cache-Control: private=\"Set-Cookie\"\r\nSet-Cookie: a=b\r\n"},
         minute,
         set_cookie},
        {"private is lifted by override", {200, "Cache-Control: private\r\n"}, override_minute, none},
        {"override has nothing to say without a ttl",
         {500, "Cache-Control: private, max-age=9\r\n"},
         override_minute,
         is_private},
        {"Set-Cookie", {200, "Set-Cookie: a=b\r\n"}, minute, set_cookie},
        {"Set-Cookie, with override too", {200, "Set-Cookie: a=b\r\n"}, override_minute, set_cookie},
        {"Set-Cookie, with max-age and public too",
         {200, "Cache-Control: public, max-age=60\r\nSet-Cookie: a=b\r\n"},
         minute,
         set_cookie},
        {"Vary: *", {200, "Vary: *\r\n"}, minute, vary_any},
        {"Vary: *, with override too", {200, "Vary: Origin, *\r\n"}, override_minute, vary_any},
        {"another Vary", {200, "Vary: Origin\r\n"}, minute, none},
        {"max-age=0 without validator", {200, "Cache-Control: max-age=0\r\n"}, minute, zero_lifetime},
        {"max-age=0 with ETag", {200, "Cache-Control: max-age=0\r\nETag: \"a\"\r\n"}, minute, none},
        {"max-age=0 with Last-Modified",
         {200, "Cache-Control: max-age=0\r\nLast-Modified: Wed, 01 Jul 2026 12:00:00 GMT\r\n"},
         minute,
         none},
        {"max-age=0, but of use while stale",
         {200, "Cache-Control: max-age=0, stale-while-revalidate=9\r\n"},
         minute,
         none},
        {"of no use when it must be revalidated",
         {200, "Cache-Control: max-age=0, stale-while-revalidate=9, must-revalidate\r\n"},
         minute,
         zero_lifetime},
        {"older than its lifetime", {200, "Cache-Control: max-age=9\r\nAge: 9\r\n"}, minute, zero_lifetime},
        {"Expires: 0", {200, "Expires: 0\r\n"}, minute, zero_lifetime},
        {"no-cache without validator", {200, "Cache-Control: no-cache, max-age=60\r\n"}, minute, zero_lifetime},
        {"no-cache with validator, and nobody says how long",
         {200, "Cache-Control: no-cache\r\nETag: \"a\"\r\n"},
         no_ttl,
         none},
        {"the same for a status that nobody stores unasked",
         {500, "Cache-Control: no-cache\r\nETag: \"a\"\r\n"},
         minute,
         status},
        {"no-cache is lifted by override", {200, "Cache-Control: no-cache\r\n"}, override_minute, none},
        {"Pragma in a response means nothing", {200, "Pragma: no-cache\r\n"}, minute, none},
        {"an unknown status with a lifetime", {299, "Cache-Control: max-age=60\r\n"}, no_ttl, none},
        {"an unknown error with a lifetime", {599, "Expires: Wed, 01 Jul 2026 12:01:00 GMT\r\n"}, no_ttl, none},
        {"an unknown status without one", {299, "ETag: \"a\"\r\n"}, minute, status},
        {"302 without one", {302, ""}, minute, status},
        {"public makes any status storable to be asked about",
         {299, "Cache-Control: public, no-cache\r\nETag: \"a\"\r\n"},
         no_ttl,
         none},
        {"an invalid max-age is stale, and no excuse for the rule's ttl",
         {200, "Cache-Control: max-age=1.5\r\n"},
         minute,
         zero_lifetime},
        {"an invalid s-maxage beats a valid max-age",
         {200, "Cache-Control: s-maxage=x, max-age=60\r\n"},
         minute,
         zero_lifetime},
        {"RFC 9213: a targeted field lifts no-store of Cache-Control",
         {200, "Cache-Control: no-store\r\nCDN-Cache-Control: max-age=60\r\n"},
         no_ttl,
         none},
        {"RFC 9213: and adds its own",
         {200, "Cache-Control: max-age=60\r\nLarder-Cache-Control: no-store\r\n"},
         minute,
         no_store},
        {"RFC 9213: then Expires is no lifetime",
         {200, "CDN-Cache-Control: public\r\nExpires: Wed, 01 Jul 2026 12:01:00 GMT\r\n"},
         no_ttl,
         no_lifetime},
        {"RFC 9213: an invalid one is not there",
         {200, "Cache-Control: max-age=60\r\nCDN-Cache-Control: no-store;\r\n"},
         no_ttl,
         none},
        {"a conflict counts as 0", {200, "Cache-Control: max-age=60, max-age=70\r\n"}, minute, zero_lifetime},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK(word(judge(row.answer, row.rule).reason) == word(row.want));
    }
}

TEST_CASE("strip_set_cookie lifts set-cookie, and only that")
{
    Rule rule = minute;
    rule.strip_set_cookie = true;
    CHECK(judge({200, "Set-Cookie: a=b\r\n"}, rule).reason == NotStored::none);
    CHECK(judge({200, "Set-Cookie: a=b\r\nCache-Control: private=\"set-cookie\"\r\n"}, rule).reason == NotStored::none);
    const StoreJudgement no_cache = judge({200, "Set-Cookie: a=b\r\nCache-Control: no-cache=\"set-cookie\"\r\n"}, rule);
    CHECK(no_cache.reason == NotStored::none);
    CHECK_FALSE(no_cache.times.always_revalidate);
    CHECK(judge({200, "Set-Cookie: a=b\r\nCache-Control: private\r\n"}, rule).reason == NotStored::is_private);
}

TEST_CASE("RFC 9111 3.5: an answer to Authorization is stored when the origin says that it is for everybody")
{
    struct Row {
        std::string why, cache_control;
        bool want;
    };
    const Row rows[] = {
        {"silence", "x", false},
        {"max-age is not enough", "max-age=60", false},
        {"proxy-revalidate is not enough", "max-age=60, proxy-revalidate", false},
        {"public", "public", true},
        {"s-maxage", "s-maxage=60", true},
        {"must-revalidate", "must-revalidate", true},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const Answer answer{200, "Cache-Control: " + row.cache_control + "\r\n"};
        const NotStored want = row.want ? NotStored::none : NotStored::response_authorization;
        CHECK(word(judge(answer, minute, "Authorization: Basic x\r\n").reason) == word(want));
        CHECK(judge(answer, minute).reason == NotStored::none);
        CHECK(judge(answer, override_minute, "Authorization: Basic x\r\n").reason == NotStored::none);
    }
}

TEST_CASE("what a request says about caching does not keep its answer out: a stranger must not void the cache")
{
    CHECK(judge({200, ""}, minute, "Cache-Control: no-store, no-cache\r\nPragma: no-cache\r\n").reason ==
          NotStored::none);
}

TEST_CASE("respect: the origin's lifetime wins, the rule's stands in where it gives none")
{
    struct Row {
        std::string why;
        Answer answer;
        Milliseconds lifetime;
        LifetimeSource source;
    };
    const Row rows[] = {
        {"silence", {200, ""}, 60s, LifetimeSource::rule},
        {"404 at a tenth", {404, ""}, 6s, LifetimeSource::rule},
        {"shorter", {200, "Cache-Control: max-age=5\r\n"}, 5s, LifetimeSource::max_age},
        {"longer", {200, "Cache-Control: max-age=500\r\n"}, 500s, LifetimeSource::max_age},
        {"s-maxage", {200, "Cache-Control: max-age=5, s-maxage=7\r\n"}, 7s, LifetimeSource::s_maxage},
        {"Expires", {200, "Expires: Wed, 01 Jul 2026 12:00:09 GMT\r\n"}, 9s, LifetimeSource::expires},
        {"max-age beats Expires", {200, "Expires: 0\r\nCache-Control: max-age=5\r\n"}, 5s, LifetimeSource::max_age},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const StoreJudgement judgement = judge(row.answer, minute);
        CHECK(judgement.reason == NotStored::none);
        CHECK((judgement.times.lifetime == row.lifetime));
        CHECK((judgement.lifetime_source == row.source));
        CHECK((judgement.times.stored == noon));
        CHECK((judgement.policy_source == PolicySource::cache_control));
        CHECK_FALSE(judgement.ignored_origin);
    }
}

TEST_CASE("RFC 9213 2.2: the judgement says which field decided, for the fields of a targeted one as well")
{
    const StoreJudgement ours =
        judge({200, "Cache-Control: max-age=1\r\nCDN-Cache-Control: max-age=2\r\nLarder-Cache-Control: max-age=3\r\n"},
              minute);
    CHECK((ours.times.lifetime == 3s));
    CHECK((ours.policy_source == PolicySource::larder_cache_control));
    CHECK((ours.lifetime_source == LifetimeSource::max_age));
    const StoreJudgement by_rule = judge({200, "Cache-Control: max-age=1\r\nCDN-Cache-Control: public\r\n"}, minute);
    CHECK((by_rule.times.lifetime == 60s));
    CHECK((by_rule.policy_source == PolicySource::cdn_cache_control));
    CHECK((by_rule.lifetime_source == LifetimeSource::rule));
}

TEST_CASE("the windows for stale answers: the response before the rule, and shut where the origin forbids them")
{
    struct Row {
        std::string why, cache_control;
        Milliseconds revalidate, error;
        bool must_revalidate;
    };
    const Row rows[] = {
        {"the rule's", "max-age=60", 30s, 10min, false},
        {"the response's", "max-age=60, stale-while-revalidate=5, stale-if-error=7", 5s, 7s, false},
        {"one of each", "max-age=60, stale-while-revalidate=5", 5s, 10min, false},
        {"the response says none", "max-age=60, stale-while-revalidate=0, stale-if-error=0", 0s, 0s, false},
        {"must-revalidate", "max-age=60, must-revalidate", 30s, 10min, true},
        {"proxy-revalidate", "max-age=60, proxy-revalidate", 30s, 10min, true},
        {"no-cache", "no-cache", 30s, 10min, true},
        {"s-maxage forbids stale answers", "s-maxage=60", 0s, 0s, true},
        {"unless it allows them itself", "s-maxage=60, stale-while-revalidate=5", 5s, 0s, false},
        {"but must-revalidate is stronger", "s-maxage=60, stale-while-revalidate=5, must-revalidate", 5s, 0s, true},
    };
    Rule rule = minute;
    rule.stale_while_revalidate = 30s;
    rule.stale_if_error = 10min;
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const StoreJudgement judgement =
            judge({200, "ETag: \"a\"\r\nCache-Control: " + row.cache_control + "\r\n"}, rule);
        CHECK(judgement.reason == NotStored::none);
        CHECK((judgement.times.stale_while_revalidate == row.revalidate));
        CHECK((judgement.times.stale_if_error == row.error));
        CHECK(judgement.times.must_revalidate == row.must_revalidate);
    }
}

TEST_CASE("no-cache is stored to be asked about every time")
{
    CHECK(judge({200, "ETag: \"a\"\r\nCache-Control: no-cache, max-age=60\r\n"}, minute).times.always_revalidate);
    CHECK(judge({200, "ETag: \"a\"\r\nCache-Control: no-cache=\"x-a\"\r\n"}, minute).times.always_revalidate);
    CHECK_FALSE(
        judge({200, "ETag: \"a\"\r\nCache-Control: no-cache=\"Set-Cookie\"\r\n"}, minute).times.always_revalidate);
}

TEST_CASE("override: the rule's lifetime holds from the arrival, and it is said when that is against the origin's word")
{
    struct Row {
        std::string why, fields, request;
        bool ignored;
    };
    const Row rows[] = {
        {"a silent origin", "", "", false},
        {"an origin that agrees", "Cache-Control: max-age=60\r\n", "", false},
        {"public changes nothing", "Cache-Control: public\r\n", "", false},
        {"a shorter lifetime", "Cache-Control: max-age=5\r\n", "", true},
        {"a longer lifetime", "Cache-Control: s-maxage=500\r\n", "", true},
        {"Expires", "Expires: 0\r\n", "", true},
        {"private", "Cache-Control: private\r\n", "", true},
        {"no-cache", "Cache-Control: no-cache\r\nETag: \"a\"\r\n", "", true},
        {"must-revalidate", "Cache-Control: must-revalidate\r\n", "", true},
        {"a window for stale answers", "Cache-Control: stale-while-revalidate=5\r\n", "", true},
        {"Authorization", "", "Authorization: Basic x\r\n", true},
        {"an age above the lifetime", "Age: 100\r\n", "", true},
        {"an old Date", "Cache-Control: max-age=60\r\nAge: 10\r\n", "", false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const StoreJudgement judgement = judge({200, row.fields}, override_minute, row.request);
        CHECK(judgement.reason == NotStored::none);
        CHECK((judgement.lifetime_source == LifetimeSource::rule_override));
        CHECK((judge_lookup(judgement.times, noon).ttl == 60s));
        CHECK_FALSE(judgement.times.must_revalidate);
        CHECK_FALSE(judgement.times.always_revalidate);
        CHECK(judgement.ignored_origin == row.ignored);
    }
}

TEST_CASE("the age that a response brings is kept, under override as well")
{
    CHECK((judge({200, "Age: 7\r\n"}, minute).times.initial_age == 7s));
    const StoreJudgement judgement = judge({200, "Age: 7\r\n"}, override_minute);
    CHECK((judge_lookup(judgement.times, noon + 1s).age == 8s));
    CHECK((judge_lookup(judgement.times, noon + 1s).ttl == 59s));
}

TEST_CASE("a part that was asked for may be stored with the lifetime of the whole, when its place is known")
{
    const auto judge_part = [](const std::string& fields, bool asked) {
        RequestHead request;
        ResponseHead response;
        REQUIRE(scan_request("GET / HTTP/1.1\r\nHost: a\r\nRange: bytes=0-4\r\n\r\n", {}, request) == Scan::ok);
        const std::string bytes = "HTTP/1.1 206 X\r\n" + fields + "\r\n";
        REQUIRE(scan_response(bytes, {}, false, response) == Scan::ok);
        return judge_store(request, response, minute, noon, noon, asked);
    };
    const std::string place = "Content-Range: bytes 0-4/10\r\nContent-Length: 5\r\n";
    CHECK(judge_part(place, true).reason == NotStored::none);
    CHECK(judge_part(place, true).times.lifetime == 60s);
    CHECK(judge_part(place, false).reason == NotStored::partial);
    CHECK(judge_part("Content-Length: 5\r\n", true).reason == NotStored::partial);
    CHECK(judge_part(place + "Vary: Accept\r\n", true).reason == NotStored::partial);
    CHECK(judge_part(place + "Cache-Control: no-store\r\n", true).reason == NotStored::no_store);
    CHECK(judge_part("Content-Range: bytes 0-4/10\r\nContent-Length: 6\r\n", true).reason == NotStored::partial);
}
