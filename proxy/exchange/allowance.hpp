// How long a client may be waited for while a body moves: what keeps one that sends or takes a byte now and then from
// holding a connection to the upstream for hours.
#pragma once

#include <algorithm>
#include <cstdint>

#include "proxy/net/clock.hpp"
#include "rules/base/time.hpp"

namespace larder::proxy {

/// `grace` in all, and one second more for each `rate` bytes that have moved; a single wait may last for `grace`. Only
/// waits count: a slow upstream or a busy worker is not held against the client.
class ClientAllowance {
  public:
    /// @param rate  bytes per second; 0: only single waits are bounded
    ClientAllowance(rules::Milliseconds grace, std::uint64_t rate) noexcept : grace_(grace), rate_(rate) {}

    void moved(std::uint64_t bytes) noexcept { bytes_ += bytes; }

    /// What the next wait may last; its time begins to count. 0: nothing is left. (A deadline that is armed for less
    /// than the wheel's tick would miss those who send a byte a tick.)
    rules::Milliseconds begin_wait() noexcept
    {
        began_ = instant_now();
        if (rate_ == 0) return grace_;
        // Seconds first: milliseconds of 2^64 bytes do not fit.
        const std::uint64_t earned_ms =
            std::min<std::uint64_t>(bytes_ / rate_, 1'000'000'000) * 1000 + bytes_ % rate_ * 1000 / rate_;
        const auto left = grace_ + rules::Milliseconds(static_cast<std::int64_t>(earned_ms)) -
                          std::chrono::duration_cast<rules::Milliseconds>(waited_);
        by_rate_ = left < grace_;
        return std::clamp(left, rules::Milliseconds{0}, grace_);
    }
    void end_wait() noexcept { waited_ += instant_now() - began_; }

    /// The last wait was shorter than `grace`: one that expired did so because the client is too slow, not because it
    /// stood still.
    bool by_rate() const noexcept { return by_rate_; }

  private:
    rules::Milliseconds grace_;
    std::uint64_t rate_;
    std::uint64_t bytes_ = 0;
    rules::Instant began_{};
    rules::Instant::duration waited_{};
    bool by_rate_ = false;
};

}  // namespace larder::proxy
