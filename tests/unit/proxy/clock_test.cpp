#include "proxy/net/clock.hpp"

#include <doctest/doctest.h>

#include <chrono>

using namespace larder::proxy;
using larder::rules::Instant;

namespace {

/// Reads the clock until it has gone on, which takes it some nanoseconds.
Instant a_moment_later()
{
    const Instant before = instant_now();
    for (;;)
        if (const Instant now = instant_now(); now > before) return now;
}

struct InTurn {
    InTurn() { begin_turn(); }
    ~InTurn() { end_turn(); }
};

}  // namespace

TEST_CASE("in a turn the time is what was read last, and a reading renews it")
{
    const Instant before = a_moment_later();
    const InTurn turn;
    const Instant first = recent_instant();
    CHECK(first >= before);
    CHECK(recent_instant() == first);
    const Instant later = a_moment_later();
    CHECK(later > first);
    CHECK(recent_instant() == later);
}

TEST_CASE("a turn knows nothing of the one before it, and outside of one the clock is read each time")
{
    Instant first;
    {
        const InTurn turn;
        first = recent_instant();
    }
    const Instant outside = a_moment_later();
    while (recent_instant() == outside) {}
    CHECK(recent_instant() > outside);
    const InTurn turn;
    CHECK(recent_instant() > outside);
    CHECK(outside > first);
}

TEST_CASE("the wall clock of a turn goes on with what is read in it")
{
    using std::chrono::milliseconds;
    const auto before = wall_now();
    const InTurn turn;
    const Instant first = recent_instant();
    const auto wall = recent_wall();
    CHECK(wall >= before);
    CHECK(recent_wall() == wall);
    while (instant_now() - first < milliseconds(3)) {}
    CHECK(recent_wall() - wall >= milliseconds(2));
    CHECK(recent_wall() <= wall_now() + milliseconds(1));
}
