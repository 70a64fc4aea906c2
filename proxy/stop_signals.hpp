// SIGTERM and SIGINT: the first asks for a stop that lets what has begun end, the second cuts it.
#pragma once

#include <boost/asio/signal_set.hpp>
#include <functional>

#include "proxy/net/asio.hpp"

namespace larder::proxy {

/// Single-threaded: belongs to its io_context, which must not run any more after this is destroyed.
class StopSignals {
  public:
    /// The two signals no longer end the process by themselves from now on.
    /// @param stop  called at the first one, on the io_context's thread. A second one ends the process at once, with
    ///              exit code 143, whatever is under way.
    StopSignals(asio::io_context& context, std::function<void()> stop);
    StopSignals(const StopSignals&) = delete;
    StopSignals& operator=(const StopSignals&) = delete;

  private:
    void on_first(int signal);

    asio::signal_set signals_;
    std::function<void()> stop_;
};

}  // namespace larder::proxy
