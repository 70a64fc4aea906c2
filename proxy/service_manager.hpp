// Tells a service manager (systemd and its like) how the process stands, by the datagrams of sd_notify(3): ready,
// reloading, stopping, alive. Nothing happens where NOTIFY_SOCKET is not set.
#pragma once

#include <string>
#include <string_view>

namespace larder::proxy {

/// Single-threaded.
class ServiceManager {
  public:
    /// Takes NOTIFY_SOCKET out of the environment of whatever is started later.
    ServiceManager();

    bool is_there() const noexcept { return !address_.empty(); }
    void say_ready() const;
    /// With the time at which it was begun, as Type=notify-reload wants it; `say_ready` ends it.
    void say_reloading() const;
    void say_stopping() const;
    /// For WatchdogSec=: as long as the event loops turn.
    void say_alive() const;

  private:
    void send(std::string_view state) const noexcept;
    std::string address_;
};

}  // namespace larder::proxy
