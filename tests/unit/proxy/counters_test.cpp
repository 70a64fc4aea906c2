#include "proxy/observe/counters.hpp"

#include <doctest/doctest.h>

#include "proxy/observe/cells.hpp"

using namespace larder::proxy;
using namespace std::chrono_literals;
namespace rules = larder::rules;

namespace {

template <class E>
std::size_t at(E e)
{
    return static_cast<std::size_t>(e);
}

}  // namespace

TEST_CASE("a counter starts at 0 and grows by what is added")
{
    Counters counters{0};
    CHECK(counters.get(Counter::fetches) == 0);
    counters.add(Counter::fetches);
    counters.add(Counter::fetches, 4);
    CHECK(counters.get(Counter::fetches) == 5);
    CHECK(counters.get(Counter::fills) == 0);
}

TEST_CASE("an exchange is counted under its rule, its reasons, its outcome and its status class")
{
    Counters counters{2};
    counters.add_exchange({.rule = 1,
                           .verdict = rules::Verdict::miss,
                           .forward = rules::Forward::purged,
                           .not_stored = rules::NotStored::set_cookie,
                           .outcome = rules::Outcome::passed,
                           .method = MethodClass::read,
                           .status = 404});
    const auto& cells = counters.cells();
    REQUIRE(cells.rules.size() == 2);
    CHECK(cells.rules[1].verdicts[at(rules::Verdict::miss)] == 1);
    CHECK(cells.rules[1].forwards[at(rules::Forward::purged)] == 1);
    CHECK(cells.rules[1].not_stored[at(rules::NotStored::set_cookie)] == 1);
    CHECK(cells.outcomes[at(rules::Outcome::passed)] == 1);
    CHECK(cells.rules[1].responses[at(MethodClass::read)][4] == 1);
    CHECK(cells.rules[0].verdicts[at(rules::Verdict::miss)] == 0);
}

TEST_CASE("an exchange without a rule, or with one from an older configuration, is counted in the last row")
{
    Counters counters{2};
    counters.add_exchange({.status = 200});
    counters.add_exchange({.rule = 17, .status = 200});
    CHECK(counters.cells().rules[UINT32_MAX].verdicts[at(rules::Verdict::bypass)] == 2);
}

TEST_CASE("rows that come with another configuration leave those that were there as they are")
{
    Counters counters{2};
    counters.add_exchange({.rule = 1, .status = 200});
    const auto* before = &counters.cells().rules[1];
    counters.add_exchange({.rule = 70, .status = 200});
    counters.reserve_rules(100);
    counters.add_exchange({.rule = 70, .status = 200});
    const auto& rows = counters.cells().rules;
    CHECK(rows.size() == 100);
    CHECK(&rows[1] == before);
    CHECK(rows[1].verdicts[at(rules::Verdict::bypass)] == 1);
    CHECK(rows[70].verdicts[at(rules::Verdict::bypass)] == 1);
    CHECK(rows[UINT32_MAX].verdicts[at(rules::Verdict::bypass)] == 1);
    counters.reserve_rules(most_counted_names + 5);
    CHECK(rows.size() == most_counted_names);
    counters.add_exchange({.rule = most_counted_names + 1, .status = 200});
    CHECK(rows[UINT32_MAX].verdicts[at(rules::Verdict::bypass)] == 2);
}

TEST_CASE("what a response from the cache saves is what fetches of its rule take lately")
{
    Counters counters{2};
    counters.add_saved(0, 100);  // nothing is known yet
    counters.add_fetch(0, 80ms);
    counters.add_saved(0, 100);
    counters.add_saved(1, 7);
    const auto& rows = counters.cells().rules;
    CHECK(rows[0].saved_nanoseconds == 80'000'000);
    CHECK(rows[0].saved_bytes == 200);
    CHECK(rows[1].saved_nanoseconds == 0);
    CHECK(rows[1].saved_bytes == 7);
    for (int i = 0; i < 100; ++i) counters.add_fetch(0, 8ms);
    counters.add_saved(0, 0);
    CHECK(rows[0].saved_nanoseconds < 90'000'000);
}

TEST_CASE("a hit has no reasons, and an exchange that sent no response has no class of its own")
{
    Counters counters{1};
    counters.add_exchange({.rule = 0, .verdict = rules::Verdict::hit, .status = 0});
    const auto& cells = counters.cells();
    for (const auto& cell : cells.rules[0].forwards) CHECK(cell == 0);
    for (const auto& cell : cells.rules[0].not_stored) CHECK(cell == 0);
    CHECK(cells.rules[0].responses[at(MethodClass::other)][0] == 1);
}

TEST_CASE("a duration falls into the first bucket that is not below it")
{
    struct Row {
        const char* why;
        std::chrono::nanoseconds duration;
        std::size_t bucket;
    };
    const Row rows[] = {
        {"nothing at all", 0ns, 0},
        {"a bound belongs to its bucket", 50us, 0},
        {"one nanosecond more does not", 50'001ns, 1},
        {"the last bound", 30s, duration_bounds.size() - 1},
        {"above every bound", 31s, duration_bounds.size()},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        Counters counters{0};
        counters.add_duration(rules::Verdict::hit, row.duration);
        const auto& histogram = counters.cells().durations[at(rules::Verdict::hit)];
        CHECK(histogram.buckets[row.bucket] == 1);
        CHECK(histogram.sum_nanoseconds == static_cast<std::uint64_t>(row.duration.count()));
    }
}

TEST_CASE("errors and head faults are counted by name")
{
    Counters counters{0};
    counters.add_error(rules::Errc::shutting_down);
    counters.add_head_fault(rules::Scan::head_too_large);
    CHECK(counters.cells().errors[at(rules::Errc::shutting_down)] == 1);
    CHECK(counters.cells().head_faults[at(rules::Scan::head_too_large)] == 1);
}
