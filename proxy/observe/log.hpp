// Diagnostics (start, ready, stop, store up and down, slow operations, failures) over spdlog: text or JSON lines on
// stderr. Never one per exchange: that is access_log.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "config/config.hpp"

namespace larder::proxy {

using LogValue = std::variant<std::string_view, std::int64_t, double, bool>;
using LogFields = std::initializer_list<std::pair<std::string_view, LogValue>>;

/// Sets level and format for the whole process. Call once, before threads start.
void start_log(const config::Log& options);
/// At any time, from any thread.
void set_log_level(config::LogLevel level);
/// One line: `time level event key=value ...`, or one JSON object. `event` is a sentence without data, e.g. "store is
/// up". Thread-safe. Values are escaped, so that no request can forge a line.
void log_event(config::LogLevel level, std::string_view event, LogFields fields = {});
/// To be called every 10 s: 20 warnings of one sentence are written until the next call, and then how many more there
/// were.
void renew_log_pace();
void flush_log();
/// The last 200 events of level info and above, whatever the configured level, newest first: each a JSON object of
/// `ts`, `level`, `msg` and its fields, long values cut. Thread-safe.
std::vector<std::string> recent_events();

}  // namespace larder::proxy
