// The process: makes what workers share, starts them, waits for a signal, drains and stops, in that order.
#pragma once

#include <memory>

#include "proxy/live_config.hpp"

namespace larder::proxy {

class App {
  public:
    /// @param loaded  with a configuration
    /// @param read    reads it anew, from where it came
    App(config::Loaded loaded, LiveConfig::Read read);
    ~App();

    /// Serves until SIGTERM or SIGINT. Returns the exit code: 0 after a clean stop, 3 when it could not start.
    int run();

    struct State;

  private:
    std::unique_ptr<State> state_;
};

}  // namespace larder::proxy
