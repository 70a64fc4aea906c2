// What the process does by the clock, beside its workers: says that it is ready, lives and might be set up better.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <functional>

#include "proxy/health.hpp"
#include "proxy/live_config.hpp"
#include "proxy/observe/advice.hpp"
#include "proxy/service_manager.hpp"

namespace larder::proxy {

/// Single-threaded: belongs to its io_context, which must not run any more after this is destroyed. Everything is
/// borrowed.
class Housekeeping {
  public:
    struct Parts {
        Health& health;
        const LiveConfig& live;
        const Workers& workers;
        const ServiceManager& manager;
    };
    /// Begins at once, and goes on until the io_context ends: each second a note of the health and a sign of life to
    /// the service manager, as long as the event loops turn; advice about the rules each 2 s; each 10 s what the log
    /// has held back.
    /// @param on_ready  called once, when the process is ready for the first time; never if it stops before
    Housekeeping(asio::io_context& context, const Parts& parts, std::function<void()> on_ready);
    Housekeeping(const Housekeeping&) = delete;
    Housekeeping& operator=(const Housekeeping&) = delete;

  private:
    /// Calls `call` when it is made and then once in each period.
    class Every {
      public:
        Every(asio::io_context& context, std::chrono::milliseconds period, std::function<void()> call);

      private:
        void again();
        asio::steady_timer timer_;
        std::chrono::milliseconds period_;
        std::function<void()> call_;
    };

    void await_ready();
    void advise();
    void tick();

    Parts parts_;
    Advice advice_;
    std::function<void()> on_ready_;
    asio::steady_timer ready_timer_;
    Every advising_, pacing_, ticking_;
};

}  // namespace larder::proxy
