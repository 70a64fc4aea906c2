// The coroutines of one worker: started here and nowhere else, counted, their exceptions logged, waited for at
// shutdown.
#pragma once

#include <cstddef>
#include <string_view>

#include "proxy/net/asio.hpp"
#include "proxy/net/deadline.hpp"

namespace larder::proxy {

/// Single-threaded: belongs to its io_context.
class Tasks {
  public:
    explicit Tasks(asio::io_context& context) : context_(context) {}

    /// Starts a coroutine. `what` names it in the log should an exception end it, which is a bug (STYLE E3); it must be
    /// a literal. The coroutine takes values only.
    void spawn(std::string_view what, asio::awaitable<void> task);

    std::size_t running() const noexcept { return running_; }
    asio::io_context& context() noexcept { return context_; }

  private:
    asio::io_context& context_;
    std::size_t running_ = 0;
};

}  // namespace larder::proxy
