// The only reader of real clocks. Everything else is handed a time.
#pragma once

#include "rules/base/time.hpp"

namespace larder::proxy {

/// CLOCK_BOOTTIME: goes on while the machine sleeps, so an old look at the log is never believed (COHERENCE, bounded).
rules::Instant instant_now() noexcept;
/// CLOCK_REALTIME in milliseconds.
rules::WallTime wall_now() noexcept;
/// What the wall clock, as it goes now, has or would have said at that moment: nanoseconds since 1970.
std::uint64_t unix_nanoseconds(rules::Instant instant) noexcept;

/// CLOCK_MONOTONIC, for whoever asks for that very clock (sd_notify(3)): it stands still while the machine sleeps.
std::chrono::microseconds monotonic_now() noexcept;

}  // namespace larder::proxy
