// Coarse timers: one wheel per worker thread, one tick for all deadlines of it. Arming and disarming cost a list
// operation, no system call. Resolution 20 ms; a deadline fires at its time, counted
// from when the clock was read for what arms it, or up to two ticks later, never before.
#pragma once

#include <array>
#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <cstdint>

#include "proxy/net/asio.hpp"
#include "rules/base/time.hpp"

namespace larder::proxy {

class DeadlineWheel;

/// Something that must not last longer than it may. Owned by whoever waits; disarms itself when destroyed.
/// Single-threaded: arm, disarm and expiry all happen on the wheel's thread.
class Deadline {
  public:
    Deadline() = default;
    Deadline(const Deadline&) = delete;
    Deadline& operator=(const Deadline&) = delete;

    void arm(DeadlineWheel& wheel, rules::Milliseconds after) noexcept;
    void disarm() noexcept;
    bool armed() const noexcept { return next_ != nullptr; }

  protected:
    virtual ~Deadline() { disarm(); }

  private:
    friend class DeadlineWheel;
    /// Runs on the wheel's thread, outside of any coroutine. The deadline is disarmed already and may be armed again.
    virtual void on_expiry() noexcept = 0;

    Deadline* next_ = nullptr;
    Deadline* previous_ = nullptr;
    std::uint64_t due_tick_ = 0;
};

/// A deadline that calls a function object.
template <class F>
class DeadlineOf final : public Deadline {
  public:
    explicit DeadlineOf(F f) : f_(std::move(f)) {}

  private:
    void on_expiry() noexcept override { f_(); }
    F f_;
};

class DeadlineWheel {
  public:
    /// @param armed  where it writes, every 5 s, how many deadlines are armed; null: nowhere
    explicit DeadlineWheel(asio::io_context& context, std::atomic<std::int64_t>* armed = nullptr);
    ~DeadlineWheel();
    static constexpr rules::Milliseconds tick{20};

    /// Stops ticking, so that the io_context can run out of work. Deadlines never fire again.
    void stop() noexcept;

  private:
    friend class Deadline;
    struct Head final : Deadline {
        void on_expiry() noexcept override {}
    };
    static constexpr std::size_t slots_count = 1024;

    static constexpr std::uint64_t census_every = 256;  // ticks

    void start_timer();
    void on_tick();
    void take_census() noexcept;
    std::uint64_t tick_of(rules::Instant at) const noexcept;
    void link(Deadline& deadline) noexcept;

    asio::steady_timer timer_;
    std::atomic<std::int64_t>* armed_;
    rules::Instant start_;
    std::uint64_t done_tick_ = 0;
    bool ticking_ = false;
    bool stopped_ = false;
    std::array<Head, slots_count> slots_;
};

}  // namespace larder::proxy
