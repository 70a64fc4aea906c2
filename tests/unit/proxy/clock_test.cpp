#include "proxy/net/clock.hpp"

#include <doctest/doctest.h>

#include <chrono>

using namespace larder::proxy;
using larder::rules::Instant;
using std::chrono::milliseconds;

namespace {

/// Reads the clock until so much time has gone by, which no test here needs much of.
Instant later_than(Instant before, std::chrono::nanoseconds by = {})
{
    for (;;)
        if (const Instant now = instant_now(); now > before + by) return now;
}

}  // namespace

TEST_CASE("in a round the time is what was read last for an event, and a reading renews it")
{
    const Instant before = instant_now();
    ClockRound round;
    const Instant first = recent_instant();
    CHECK(first >= before);
    CHECK(recent_instant() == first);
    const Instant later = later_than(first);
    CHECK(recent_instant() == later);
    round.next();
    CHECK(recent_instant() > later);
}

TEST_CASE("a round knows nothing of the one before it, and outside of one the clock is read each time")
{
    Instant first;
    {
        const ClockRound round;
        first = recent_instant();
    }
    const Instant outside = recent_instant();
    CHECK(outside > first);
    bool goes_on = false;
    for (int i = 0; i < 1'000'000 && !goes_on; ++i) goes_on = recent_instant() > outside;
    CHECK(goes_on);
    const ClockRound round;
    CHECK(recent_instant() > outside);
}

TEST_CASE("the wall clock of a round goes on with what is read in it, and never runs ahead")
{
    const ClockRound round;
    const Instant first = recent_instant();
    for (const auto begun = wall_now(); wall_now() < begun + milliseconds(5);) {}  // what was read grows old
    const auto wall = recent_wall();
    CHECK(recent_wall() == wall);
    CHECK(recent_instant() > first);
    later_than(recent_instant(), milliseconds(3));
    CHECK(recent_wall() - wall >= milliseconds(2));
    CHECK(recent_wall() <= wall_now() + milliseconds(1));
}
