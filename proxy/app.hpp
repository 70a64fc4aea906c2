// The process: makes what workers share, starts them, waits for a signal, drains and stops, in that order.
#pragma once

#include <memory>

#include "config/config.hpp"

namespace larder::proxy {

class App {
  public:
    explicit App(config::ConfigPtr config);
    ~App();

    /// Serves until SIGTERM or SIGINT. Returns the exit code: 0 after a clean stop, 3 when it could not start.
    int run();

    struct State;

  private:
    std::unique_ptr<State> state_;
};

}  // namespace larder::proxy
