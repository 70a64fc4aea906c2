// The only reader of real clocks. Everything else is handed a time.
#pragma once

#include "rules/base/time.hpp"

namespace larder::proxy {

/// CLOCK_BOOTTIME: goes on while the machine sleeps, so an old look at the log is never believed (COHERENCE, bounded).
rules::Instant instant_now() noexcept;
/// CLOCK_REALTIME in milliseconds.
rules::WallTime wall_now() noexcept;
/// A turn of this thread's poller: in it `recent_instant` and `recent_wall` say what was read last. Not nested.
void begin_turn() noexcept;
void end_turn() noexcept;
/// When the clock was read last in this turn, or first is: for durations that are counted, deadlines and lifetimes,
/// which a moment less or more does not matter to; not for what is believed of the log. A reading costs a hundredth of
/// a hit. Outside a turn: `instant_now`.
rules::Instant recent_instant() noexcept;
/// CLOCK_REALTIME at `recent_instant`, as it went when the turn first asked. Outside a turn: `wall_now`.
rules::WallTime recent_wall() noexcept;

/// What the wall clock, as it goes now, has or would have said at that moment: nanoseconds since 1970.
std::uint64_t unix_nanoseconds(rules::Instant instant) noexcept;

/// CLOCK_MONOTONIC, for whoever asks for that very clock (sd_notify(3)): it stands still while the machine sleeps.
std::chrono::microseconds monotonic_now() noexcept;

}  // namespace larder::proxy
