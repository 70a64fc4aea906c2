// The circuit breaker of a link: whether its operations may be sent, and when the next attempt to connect goes out.
// Time and chance are arguments: no I/O, no clock. link.cpp does what it says.
#pragma once

#include <atomic>
#include <cstdint>

#include "rules/base/time.hpp"

namespace larder::proxy {

/// Belongs to the link's thread; `state` may be asked by any.
class Breaker {
  public:
    enum class State : std::uint8_t {
        open,       // no connection: operations fail at once, until the pause before the next attempt is over
        half_open,  // an attempt is under way: operations still fail at once
        closed,     // connected: operations are sent
        stopped,    // for good
    };
    State state() const noexcept { return state_.load(std::memory_order_relaxed); }
    bool is_closed() const noexcept { return state() == State::closed; }
    bool is_stopped() const noexcept { return state() == State::stopped; }

    /// An attempt begins, with the newest knowledge of where the server is. False: stopped.
    bool attempt() noexcept;
    /// The server is ready for commands. False: it is not wanted any more, another one has been named or all is over.
    bool succeed(rules::Instant now) noexcept;
    /// The attempt has failed, or the connection has ended.
    void fail(rules::Instant now) noexcept;
    /// Another server has been named: what is under way is of no use, and the next attempt need not wait.
    void relocate() noexcept { is_relocated_ = true; }
    /// The server itself has sent us away. One that does so soon after each attempt is not followed at once.
    void redirect(rules::Instant now) noexcept { is_relocated_ = is_old(now); }
    bool is_relocated() const noexcept { return is_relocated_; }
    void stop() noexcept;

    /// How long to wait before the next attempt, after each `fail`; 0: not at all. It begins with at most 100 ms and
    /// doubles with each attempt, up to 2 s, until a connection has lived longer than that.
    /// @param chance  0 to 1: how much of the second half of the wait is waited
    rules::Milliseconds pause(double chance) noexcept;

    static constexpr rules::Milliseconds first_pause{100}, longest_pause{2'000};

  private:
    /// One that died young was no success.
    bool is_old(rules::Instant now) const noexcept
    {
        return state() == State::closed && now - closed_at_ > longest_pause;
    }

    std::atomic<State> state_{State::open};
    bool is_relocated_ = false;
    rules::Instant closed_at_{};
    rules::Milliseconds next_pause_ = first_pause;
};

}  // namespace larder::proxy
