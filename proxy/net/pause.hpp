// A wait for a time, which somebody may end before: what a loop does between two turns when it must not hold up a stop.
#pragma once

#include "proxy/net/asio.hpp"
#include "proxy/net/deadline.hpp"
#include "proxy/net/wake_up.hpp"

namespace larder::proxy {

/// Lives in the frame of whoever waits, or with its owner, where others can end it. Single-threaded: of the wheel's
/// thread, which runs the io_context. Both outlive it.
class Pause final : private Deadline {
  public:
    Pause(asio::io_context& context, DeadlineWheel& wheel) noexcept : wheel_(wheel), over_(context) {}

    /// Resumes after `time`, up to two ticks of the wheel later, or once `end` has been called, whichever is first. One
    /// wait at a time, as many as are wanted. Of a wheel that is stopped only `end` ends it.
    asio::awaitable<void> wait(rules::Milliseconds time);

    /// Ends the wait that is under way. Nothing happens when there is none: the next one is not ended by it, so that
    /// who begins one looks first whether it is still wanted.
    void end() noexcept { over_.wake(); }

  private:
    void on_expiry() noexcept override { over_.wake(); }

    DeadlineWheel& wheel_;
    WakeUp over_;
};

}  // namespace larder::proxy
