// RFC 9111 §5.2.1: what a request says about the response it wants, where that is honoured.
#include <doctest/doctest.h>

#include "rules/verdict/judge_lookup.hpp"

using namespace larder::rules;
using namespace std::chrono_literals;

namespace {

const WallTime stored{1'000'000s};

Fields fields_of(std::initializer_list<std::pair<std::string_view, std::string_view>> lines)
{
    Fields fields;
    for (const auto& [name, value] : lines) fields.all.push_back({name, value, field_id(name)});
    return fields;
}

RequestDirectives directives(std::string_view value)
{
    return request_directives(fields_of({{"Cache-Control", value}}));
}

CacheControl response(std::string_view value)
{
    CacheControl cc;
    parse_cache_control(value, cc);
    return cc;
}

/// A minute fresh.
StoredTimes a_minute()
{
    StoredTimes times;
    times.stored = stored;
    times.lifetime = 60s;
    return times;
}

}  // namespace

TEST_CASE("RFC 9111 5.2.1: each directive may forbid what is stored, and max-stale may allow what has expired")
{
    struct Row {
        std::string why, request, response;
        Milliseconds age;
        Verdict want;
        bool by_request;
    };
    using enum Verdict;
    const Row rows[] = {
        {"nothing that is known", "foo", "", 10s, hit, false},
        {"5.2.1.4 no-cache", "no-cache", "", 10s, revalidate, true},
        {"5.2.1.4 no-cache, stale anyway", "no-cache", "", 70s, revalidate, false},
        {"5.2.1.1 young enough", "max-age=10", "", 10s, hit, false},
        {"5.2.1.1 too old", "max-age=10", "", 10001ms, revalidate, true},
        {"5.2.1.1 max-age=0 validates the very youngest", "max-age=0", "", 0s, revalidate, true},
        {"5.2.1.1 a longer max-age than the lifetime allows nothing stale", "max-age=100", "", 70s, revalidate, false},
        {"5.2.1.1 unreadable is the strictest", "max-age=x", "", 10s, revalidate, true},
        {"RFC 8246: a fresh immutable response does not change", "max-age=0", "immutable", 10s, hit, false},
        {"RFC 8246: no-cache is asked for all the same", "no-cache", "immutable", 10s, revalidate, true},
        {"RFC 8246: a stale one is nothing special", "max-age=0", "immutable", 70s, revalidate, false},
        {"5.2.1.3 fresh for long enough", "min-fresh=50", "", 10s, hit, false},
        {"5.2.1.3 not for long enough", "min-fresh=51", "", 10s, revalidate, true},
        {"5.2.1.3 what has expired is not fresh for long enough, whatever max-stale says", "min-fresh=1, max-stale", "",
         70s, revalidate, false},
        {"5.2.1.2 stale, any", "max-stale", "", 24h, hit, false},
        {"5.2.1.2 stale within the limit", "max-stale=10", "", 70s, hit, false},
        {"5.2.1.2 stale beyond it", "max-stale=10", "", 70001ms, revalidate, false},
        {"5.2.1.2 unreadable allows nothing", "max-stale=x", "", 61s, revalidate, false},
        {"5.2.1.2 fresh needs no leave", "max-stale=10", "", 10s, hit, false},
        {"5.2.1.1 with max-stale: as old as max-age", "max-age=80, max-stale=10", "", 70s, hit, false},
        {"5.2.1.1 with max-stale: too old", "max-age=65, max-stale=10", "", 70s, revalidate, false},
        {"4.2.4 must-revalidate", "max-stale", "must-revalidate", 61s, revalidate, false},
        {"4.2.4 proxy-revalidate", "max-stale", "proxy-revalidate", 61s, revalidate, false},
        {"4.2.4 s-maxage", "max-stale", "s-maxage=60", 61s, revalidate, false},
        {"4.2.4 s-maxage with a window of its own", "max-stale", "s-maxage=60, stale-if-error=9", 61s, revalidate,
         false},
        {"4.2.4 no-cache", "max-stale", "no-cache", 61s, revalidate, false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const LookupJudgement judgement =
            judge_lookup(a_minute(), stored + row.age, directives(row.request), response(row.response));
        CHECK(word(judgement.verdict) == word(row.want));
        CHECK(judgement.by_request == row.by_request);
        CHECK((judgement.age == row.age));
    }
}

TEST_CASE("RFC 9111 4.2.4: the flags that an entry keeps forbid max-stale as well")
{
    for (const bool always : {false, true}) {
        StoredTimes times = a_minute();
        (always ? times.always_revalidate : times.must_revalidate) = true;
        CHECK((judge_lookup(times, stored + 61s, directives("max-stale"), {}).verdict == Verdict::revalidate));
    }
}

TEST_CASE("RFC 9111 5.2.1.1: who says how fresh it should be gets nothing from the stale-while-revalidate window")
{
    StoredTimes times = a_minute();
    times.stale_while_revalidate = 30s;
    const auto judge = [&](std::string_view request) {
        return judge_lookup(times, stored + 70s, directives(request), {});
    };
    CHECK((judge("foo").verdict == Verdict::stale_hit));
    CHECK((judge("max-age=100").verdict == Verdict::revalidate));
    CHECK(judge("max-age=100").by_request);
    CHECK((judge("min-fresh=1").verdict == Verdict::revalidate));
    CHECK((judge("max-age=100, max-stale=20").verdict == Verdict::hit));
}

TEST_CASE("RFC 9111 5.4: Pragma: no-cache counts where there is no Cache-Control")
{
    CHECK(request_directives(fields_of({{"Pragma", "no-cache"}})).no_cache);
    CHECK(request_directives(fields_of({{"Pragma", "foo, No-Cache"}})).no_cache);
    CHECK_FALSE(request_directives(fields_of({{"Pragma", "no-store"}})).given);
    CHECK_FALSE(request_directives(fields_of({{"Pragma", "no-cache"}, {"Cache-Control", "max-stale"}})).no_cache);
    CHECK_FALSE(request_directives(fields_of({})).given);
}

TEST_CASE("RFC 5861 4: a request's stale-if-error widens the response's, and opens nothing that is shut")
{
    StoredTimes times = a_minute();
    times.stale_if_error = 5s;
    CHECK_FALSE(may_serve_on_error(times, stored + 66s));
    CHECK(may_serve_on_error(times, stored + 66s, 10s));
    CHECK(may_serve_on_error(times, stored + 64s, 1s));
    times.must_revalidate = true;
    CHECK_FALSE(may_serve_on_error(times, stored + 61s, 10s));
    CHECK((directives("stale-if-error=7").stale_if_error == 7s));
}

TEST_CASE("RFC 9111 4: only what is fresh, or may be served stale, is shared by requests that came together")
{
    StoredTimes times = a_minute();
    CHECK(may_be_shared(times));
    times.initial_age = 60s;
    CHECK_FALSE(may_be_shared(times));
    times.stale_while_revalidate = 1s;
    CHECK(may_be_shared(times));
    times.must_revalidate = true;
    CHECK_FALSE(may_be_shared(times));
    times = a_minute();
    times.always_revalidate = true;
    CHECK_FALSE(may_be_shared(times));
}
