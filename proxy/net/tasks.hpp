// The coroutines of one worker: started here and nowhere else, counted, their exceptions logged, waited for at
// shutdown.
#pragma once

#include <cstddef>
#include <exception>
#include <string_view>

#include "proxy/net/asio.hpp"
#include "proxy/net/deadline.hpp"

namespace larder::proxy {

/// Single-threaded: belongs to its io_context.
class Tasks {
  public:
    explicit Tasks(asio::io_context& context) : context_(context) {}

    /// Starts a coroutine. `what` names it in the log should an exception end it, which is a bug (STYLE E3); it must be
    /// a literal. The coroutine takes values only, or borrows from an owner that waits for it. It begins at once,
    /// inside this call: keep no view of a shared buffer across it.
    void spawn(std::string_view what, asio::awaitable<void> task);

    /// What runs without a coroutine for a while, and is waited for like one, as long as this lives.
    class Hold {
      public:
        explicit Hold(Tasks& tasks) noexcept : tasks_(tasks) { ++tasks_.running_; }
        ~Hold() { tasks_.end_one(); }
        Hold(const Hold&) = delete;
        Hold& operator=(const Hold&) = delete;

      private:
        Tasks& tasks_;
    };

    /// Logs the exception that has ended one. `what` as for `spawn`.
    static void report(std::string_view what, const std::exception_ptr& error) noexcept;

    /// Stops the io_context once no task is left, whatever else it may still wait for (a look-up of a name, say).
    void stop_when_none() noexcept { stop_when_none_ = true; }

    std::size_t running() const noexcept { return running_; }
    asio::io_context& context() noexcept { return context_; }

  private:
    void end_one() noexcept;

    asio::io_context& context_;
    std::size_t running_ = 0;
    bool stop_when_none_ = false;
};

}  // namespace larder::proxy
