// The only reader of real clocks. Everything else is handed a time.
#pragma once

#include "rules/base/time.hpp"

namespace larder::proxy {

/// CLOCK_BOOTTIME: goes on while the machine sleeps, so an old look at the log is never believed (COHERENCE, bounded).
rules::Instant instant_now() noexcept;
/// CLOCK_REALTIME in milliseconds.
rules::WallTime wall_now() noexcept;
/// What this thread does for some events, one after the other and without a wait: as long as it lives, `recent_instant`
/// and `recent_wall` say what was read last. One at a time in a thread.
class ClockRound {
  public:
    ClockRound() noexcept;
    ~ClockRound();
    ClockRound(const ClockRound&) = delete;
    ClockRound& operator=(const ClockRound&) = delete;
    /// Another event comes: what was read for the one before is old.
    void next() noexcept;
};
/// When the clock was read last for this event, or first is: for durations that are counted, deadlines and lifetimes,
/// which some microseconds do not matter to; not for what is believed of the log. A reading costs a hundredth of a hit.
/// Outside a round: `instant_now`.
rules::Instant recent_instant() noexcept;
/// CLOCK_REALTIME at `recent_instant`, as it went when the round first asked. Outside a round: `wall_now`.
rules::WallTime recent_wall() noexcept;

/// What the wall clock, as it goes now, has or would have said at that moment: nanoseconds since 1970.
std::uint64_t unix_nanoseconds(rules::Instant instant) noexcept;

/// CLOCK_MONOTONIC, for whoever asks for that very clock (sd_notify(3)): it stands still while the machine sleeps.
std::chrono::microseconds monotonic_now() noexcept;

}  // namespace larder::proxy
