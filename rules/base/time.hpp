// The three kinds of time. `rules/` never reads a clock: `now` is always a parameter.
#pragma once

#include <chrono>
#include <cstdint>

namespace larder::rules {

using Seconds = std::chrono::seconds;
using Milliseconds = std::chrono::milliseconds;
/// Wall time (UTC), for what leaves the process: `Date`, `Age`, entry metadata shared by replicas.
using WallTime = std::chrono::sys_time<Milliseconds>;
/// Monotonic time (CLOCK_BOOTTIME), for deadlines and for the age of a look at the log. Never leaves the process.
using Instant = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

/// A place in the purge log: the sequence number of a record, in microseconds since 1970 or the next free number.
using Position = std::uint64_t;

}  // namespace larder::rules
