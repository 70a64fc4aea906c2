#include "proxy/net/clock.hpp"

#include <time.h>

namespace larder::proxy {

namespace {

struct Turn {
    bool is_open = false;
    bool knows_wall = false;
    rules::Instant read{};               // the epoch of the clock: not yet
    std::chrono::nanoseconds to_wall{};  // what the wall clock is ahead of the other
};
thread_local constinit Turn turn;

std::chrono::nanoseconds read_clock(clockid_t clock) noexcept
{
    timespec t{};
    clock_gettime(clock, &t);
    return std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec};
}

}  // namespace

rules::Instant instant_now() noexcept { return turn.read = rules::Instant{read_clock(CLOCK_BOOTTIME)}; }

rules::WallTime wall_now() noexcept
{
    return rules::WallTime{std::chrono::floor<std::chrono::milliseconds>(read_clock(CLOCK_REALTIME))};
}

void begin_turn() noexcept { turn = Turn{true, false, {}, {}}; }

void end_turn() noexcept { turn.is_open = false; }

rules::Instant recent_instant() noexcept
{
    return turn.is_open && turn.read != rules::Instant{} ? turn.read : instant_now();
}

rules::WallTime recent_wall() noexcept
{
    if (!turn.is_open) return wall_now();
    const std::chrono::nanoseconds at = recent_instant().time_since_epoch();
    if (!turn.knows_wall) turn.to_wall = read_clock(CLOCK_REALTIME) - at;
    turn.knows_wall = true;
    return rules::WallTime{std::chrono::floor<std::chrono::milliseconds>(at + turn.to_wall)};
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
