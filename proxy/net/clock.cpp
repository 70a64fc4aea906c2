#include "proxy/net/clock.hpp"

#include <time.h>

namespace larder::proxy {

namespace {

struct Round {
    bool is_open = false;
    bool knows_wall = false;
    rules::Instant read{};               // the epoch of the clock: not for this event
    std::chrono::nanoseconds to_wall{};  // what the wall clock is ahead of the other
};
thread_local constinit Round round;

std::chrono::nanoseconds read_clock(clockid_t clock) noexcept
{
    timespec t{};
    clock_gettime(clock, &t);
    return std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec};
}

}  // namespace

rules::Instant instant_now() noexcept { return round.read = rules::Instant{read_clock(CLOCK_BOOTTIME)}; }

rules::WallTime wall_now() noexcept
{
    return rules::WallTime{std::chrono::floor<std::chrono::milliseconds>(read_clock(CLOCK_REALTIME))};
}

ClockRound::ClockRound() noexcept { round = Round{true, false, {}, {}}; }

ClockRound::~ClockRound() { round.is_open = false; }

void ClockRound::next() noexcept { round.read = {}; }

rules::Instant recent_instant() noexcept
{
    return round.is_open && round.read != rules::Instant{} ? round.read : instant_now();
}

rules::WallTime recent_wall() noexcept
{
    if (!round.is_open) return wall_now();
    if (!round.knows_wall) round.to_wall = read_clock(CLOCK_REALTIME) - instant_now().time_since_epoch();
    round.knows_wall = true;
    const std::chrono::nanoseconds at = recent_instant().time_since_epoch() + round.to_wall;
    return rules::WallTime{std::chrono::floor<std::chrono::milliseconds>(at)};
}

std::chrono::microseconds monotonic_now() noexcept
{
    return std::chrono::floor<std::chrono::microseconds>(read_clock(CLOCK_MONOTONIC));
}

std::uint64_t unix_nanoseconds(rules::Instant instant) noexcept
{
    const std::chrono::nanoseconds wall = read_clock(CLOCK_REALTIME);
    return static_cast<std::uint64_t>((wall - (instant_now() - instant)).count());
}

}  // namespace larder::proxy
