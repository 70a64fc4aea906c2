#include "proxy/reload_triggers.hpp"

#include <signal.h>

#include "proxy/observe/log.hpp"

namespace larder::proxy {

ReloadTriggers::ReloadTriggers(asio::io_context& context, LiveConfig& live, const ServiceManager& manager,
                               const bool& stopping)
    : live_(live), manager_(manager), stopping_(stopping), hangup_(context, SIGHUP)
{
    wait_for_hangup();
    if (!live.now()->file.empty() && live.now()->watch) watch_file(context);
}

void ReloadTriggers::wait_for_hangup()
{
    hangup_.async_wait([this](error_code ec, int) {
        if (ec || stopping_) return;
        manager_.say_reloading();
        live_.reload("SIGHUP");
        manager_.say_ready();
        wait_for_hangup();
    });
}

void ReloadTriggers::watch_file(asio::io_context& context)
{
    watch_.emplace(context, live_.now()->file, [this] {
        if (!stopping_) live_.reload_if_changed();
    });
    if (!watch_->has_notices())
        log_event(config::LogLevel::warn, "the configuration file is polled for changes: the kernel gives no notices",
                  {{"reason", std::string_view(watch_->why_not())}});
}

}  // namespace larder::proxy
