#include "proxy/stop_signals.hpp"

#include <signal.h>

#include <cstdlib>
#include <string_view>

#include "proxy/observe/log.hpp"

namespace larder::proxy {

using config::LogLevel;

namespace {

// As a shell reports what SIGTERM has ended.
constexpr int exit_cut = 143;

std::string_view name_of(int signal) { return signal == SIGTERM ? "SIGTERM" : "SIGINT"; }

[[noreturn]] void cut(int signal)
{
    log_event(LogLevel::warn, "stopped by a second signal: what was under way is cut", {{"signal", name_of(signal)}});
    flush_log();
    std::_Exit(exit_cut);
}

}  // namespace

StopSignals::StopSignals(asio::io_context& context, std::function<void()> stop)
    : signals_(context, SIGTERM, SIGINT), stop_(std::move(stop))
{
    signals_.async_wait([this](error_code ec, int signal) {
        if (!ec) on_first(signal);
    });
}

void StopSignals::on_first(int signal)
{
    log_event(LogLevel::info, "stopping", {{"signal", name_of(signal)}});
    signals_.async_wait([](error_code ec, int second) {
        if (!ec) cut(second);
    });
    stop_();
}

}  // namespace larder::proxy
