// RFC 9111 §4.2 and RFC 5861: fresh, stale but of use, or to be asked about.
#include "rules/verdict/judge_lookup.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace larder::rules;
using namespace std::chrono_literals;

namespace {

const WallTime stored{1'000'000s};

/// A minute fresh, then half a minute of stale-while-revalidate and ten of stale-if-error.
StoredTimes make_times()
{
    StoredTimes times;
    times.stored = stored;
    times.lifetime = 60s;
    times.stale_while_revalidate = 30s;
    times.stale_if_error = 10min;
    return times;
}

}  // namespace

TEST_CASE("an entry is a hit while it is fresh, a stale hit in its window, and then must be asked about")
{
    struct Row {
        std::string why;
        Milliseconds after, initial_age;
        Verdict want;
        Milliseconds age, ttl;
        bool on_error;
    };
    const Row rows[] = {
        {"just stored", 0s, 0s, Verdict::hit, 0s, 60s, true},
        {"the last fresh millisecond", 59999ms, 0s, Verdict::hit, 59999ms, 1ms, true},
        {"as old as its lifetime is stale", 60s, 0s, Verdict::stale_hit, 60s, 0s, true},
        {"the last millisecond of the window", 89999ms, 0s, Verdict::stale_hit, 89999ms, -29999ms, true},
        {"behind the window", 90s, 0s, Verdict::revalidate, 90s, -30s, true},
        {"the last millisecond on error", 659999ms, 0s, Verdict::revalidate, 659999ms, -599999ms, true},
        {"too old even on error", 660s, 0s, Verdict::revalidate, 660s, -600s, false},
        {"it was old when it came", 0s, 45s, Verdict::hit, 45s, 15s, true},
        {"it was old when it came, and stayed", 15s, 45s, Verdict::stale_hit, 60s, 0s, true},
        {"another replica's clock is ahead", -5s, 0s, Verdict::hit, 0s, 60s, true},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        StoredTimes times = make_times();
        times.initial_age = row.initial_age;
        const LookupJudgement judgement = judge_lookup(times, stored + row.after);
        CHECK(word(judgement.verdict) == word(row.want));
        CHECK((judgement.age == row.age));
        CHECK((judgement.ttl == row.ttl));
        CHECK(may_serve_on_error(times, stored + row.after) == row.on_error);
    }
}

TEST_CASE("must-revalidate shuts both windows, but leaves it fresh as long as it is")
{
    StoredTimes times = make_times();
    times.must_revalidate = true;
    CHECK((judge_lookup(times, stored + 59s).verdict == Verdict::hit));
    CHECK(may_serve_on_error(times, stored + 59s));
    CHECK((judge_lookup(times, stored + 60s).verdict == Verdict::revalidate));
    CHECK_FALSE(may_serve_on_error(times, stored + 60s));
}

TEST_CASE("no-cache asks every time, also while fresh and also when the upstream fails")
{
    StoredTimes times = make_times();
    times.always_revalidate = true;
    CHECK((judge_lookup(times, stored).verdict == Verdict::revalidate));
    CHECK_FALSE(may_serve_on_error(times, stored));
}

TEST_CASE("without windows a stale entry is never served")
{
    StoredTimes times = make_times();
    times.stale_while_revalidate = times.stale_if_error = 0s;
    CHECK((judge_lookup(times, stored + 60s).verdict == Verdict::revalidate));
    CHECK_FALSE(may_serve_on_error(times, stored + 60s));
}

TEST_CASE("the largest lifetime that a header can give does not overflow")
{
    StoredTimes times = make_times();
    times.lifetime = times.initial_age = times.stale_while_revalidate = times.stale_if_error = Seconds{1LL << 31};
    CHECK((judge_lookup(times, stored + 24h * 365 * 60).verdict == Verdict::stale_hit));
}
