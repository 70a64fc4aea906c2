#include "proxy/net/clock.hpp"

#include <time.h>

namespace larder::proxy {

rules::Instant instant_now() noexcept
{
    timespec t{};
    clock_gettime(CLOCK_BOOTTIME, &t);
    return rules::Instant{std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec}};
}

rules::WallTime wall_now() noexcept
{
    timespec t{};
    clock_gettime(CLOCK_REALTIME, &t);
    return rules::WallTime{std::chrono::milliseconds{t.tv_sec * 1000 + t.tv_nsec / 1'000'000}};
}

std::chrono::microseconds monotonic_now() noexcept
{
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return std::chrono::microseconds{t.tv_sec * 1'000'000 + t.tv_nsec / 1000};
}

std::uint64_t unix_nanoseconds(rules::Instant instant) noexcept
{
    timespec t{};
    clock_gettime(CLOCK_REALTIME, &t);
    const std::chrono::nanoseconds wall = std::chrono::seconds{t.tv_sec} + std::chrono::nanoseconds{t.tv_nsec};
    return static_cast<std::uint64_t>((wall - (instant_now() - instant)).count());
}

}  // namespace larder::proxy
