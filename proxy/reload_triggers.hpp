// What has the configuration read anew without a request for it: SIGHUP, and a change of its file.
#pragma once

#include <boost/asio/signal_set.hpp>
#include <optional>

#include "proxy/live_config.hpp"
#include "proxy/net/file_watch.hpp"
#include "proxy/service_manager.hpp"

namespace larder::proxy {

/// Single-threaded: belongs to its io_context, which must not run any more after this is destroyed. Everything is
/// borrowed.
class ReloadTriggers {
  public:
    /// From now on. The file in force is watched unless the configuration says otherwise (`watch`).
    /// @param manager   told of what SIGHUP asks for, as `systemctl reload` waits for it
    /// @param stopping  true: nothing is read any more
    ReloadTriggers(asio::io_context& context, LiveConfig& live, const ServiceManager& manager, const bool& stopping);
    ReloadTriggers(const ReloadTriggers&) = delete;
    ReloadTriggers& operator=(const ReloadTriggers&) = delete;

  private:
    void wait_for_hangup();
    void watch_file(asio::io_context& context);

    LiveConfig& live_;
    const ServiceManager& manager_;
    const bool& stopping_;
    asio::signal_set hangup_;
    std::optional<FileWatch> watch_;  // empty: there is no file, or it is not to be watched
};

}  // namespace larder::proxy
