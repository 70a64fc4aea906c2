// Time for tests: deadlines that fail a test, and the one place that waits for a condition. Nothing else here or in
// stories/ reads a clock or pauses.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

namespace larder::tests {

using namespace std::chrono_literals;
using std::chrono::milliseconds;

/// Milliseconds since some fixed moment; never steps back.
milliseconds monotonic_time();
/// The same clock, in full.
std::chrono::nanoseconds precise_time();

/// How long a single step may take before its test fails: 10 s, times LARDER_TEST_PATIENCE (default 1, for sanitizers).
milliseconds step_limit();

/// Divides sizes and counts of the big stories: LARDER_TEST_SCALE, default 1.
std::uint64_t scaled(std::uint64_t full);

/// Asks again and again until `condition` holds. False when `limit` has passed first.
bool eventually(const std::function<bool()>& condition, milliseconds limit = step_limit());

/// As `eventually`, and throws with `what` in the text when the condition never came true.
void await_condition(std::string_view what, const std::function<bool()>& condition, milliseconds limit = step_limit());

}  // namespace larder::tests
