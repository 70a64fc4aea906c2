// The configuration in force, and how it is replaced while requests run: by a signal, by hand, because its file has
// changed, or because something was switched. A bad file is refused whole and what is in force stays.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"
#include "proxy/observe/metrics.hpp"

namespace larder::proxy {

/// Single-threaded: of the thread that serves admin requests and signals.
class LiveConfig {
  public:
    /// Reads the same file, or the same flags, anew.
    using Read = std::function<config::Loaded(const config::Running&)>;
    /// Hands the workers what is in force from now on.
    using Publish = std::function<void(const config::ConfigPtr&)>;

    LiveConfig(config::Loaded first, Read read);

    void publish_to(Publish publish) { publish_ = std::move(publish); }
    const config::ConfigPtr& now() const noexcept { return now_; }
    const config::Switches& switches() const noexcept { return switches_; }
    const ReloadFigures& figures() const noexcept { return figures_; }

    struct Outcome {
        bool ok = false;
        std::vector<std::string> errors;    // when it is not: as `larder check` says them
        std::vector<std::string> warnings;  // when it is
        std::vector<std::string> kept;      // options that want a restart
    };
    /// @param cause  for the log: "SIGHUP", "POST /-/reload", "the file has changed"
    Outcome reload(std::string_view cause);
    /// The same, unless the text is the one that was read last, taken or refused.
    void reload_if_changed();
    /// Of what is in force now, whatever the file says meanwhile. Fails only when a file that it names (a certificate,
    /// a password) cannot be read any more.
    Outcome switch_to(config::Switches switches);

  private:
    Outcome take(config::Loaded loaded);

    Read read_;
    Publish publish_;
    config::ConfigPtr now_;
    std::string text_;  // of the file in force
    config::Switches switches_;
    std::uint64_t last_digest_;
    ReloadFigures figures_;
};

}  // namespace larder::proxy
