#include "proxy/observe/log.hpp"

#include <fmt/format.h>
#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "proxy/observe/escape.hpp"
#include "proxy/observe/recent.hpp"
#include "proxy/observe/timestamp.hpp"

namespace larder::proxy {

namespace {

spdlog::level::level_enum to_spdlog(config::LogLevel level) noexcept
{
    switch (level) {
    case config::LogLevel::debug: return spdlog::level::debug;
    case config::LogLevel::info: return spdlog::level::info;
    case config::LogLevel::warn: return spdlog::level::warn;
    case config::LogLevel::error: return spdlog::level::err;
    }
    return spdlog::level::info;
}

std::string_view level_word(config::LogLevel level) noexcept
{
    switch (level) {
    case config::LogLevel::debug: return "debug";
    case config::LogLevel::info: return "info";
    case config::LogLevel::warn: return "warn";
    case config::LogLevel::error: return "error";
    }
    return "info";
}

/// Of warnings and errors that say the same sentence there are so many until `renew`. A fault that comes with each
/// request must not become a line with each request.
class Pace {
  public:
    static constexpr std::int64_t most = 20;

    bool lets(config::LogLevel level, std::string_view event)
    {
        if (level < config::LogLevel::warn) return true;
        const std::lock_guard lock(mutex_);
        const auto known = said_.find(event);
        std::int64_t& count = known != said_.end() ? known->second : said_[std::string(event)];
        return ++count <= most;
    }
    /// @return sentences that were held back since the last time, and how often
    std::vector<std::pair<std::string, std::int64_t>> renew()
    {
        const std::lock_guard lock(mutex_);
        std::vector<std::pair<std::string, std::int64_t>> held_back;
        for (const auto& [event, count] : said_)
            if (count > most) held_back.emplace_back(event, count - most);
        said_.clear();
        return held_back;
    }

  private:
    std::mutex mutex_;
    std::map<std::string, std::int64_t, std::less<>> said_;
};

struct Diagnostics {
    spdlog::logger logger{"larder", std::make_shared<spdlog::sinks::stderr_sink_mt>()};
    config::LogFormat format = config::LogFormat::text;
    Pace pace;
    Recent<std::string> recent{200};

    Diagnostics() { start({}); }
    void start(const config::Log& options)
    {
        format = options.format;
        logger.set_level(to_spdlog(options.level));
        // spdlog writes the time, the rest of the line is ours: its own level names and its lack of escaping are not.
        logger.set_pattern(
            format == config::LogFormat::text ? "%Y-%m-%dT%H:%M:%S.%eZ %v" : "{\"ts\":\"%Y-%m-%dT%H:%M:%S.%eZ\",%v",
            spdlog::pattern_time_type::utc);
        logger.flush_on(spdlog::level::debug);
    }
};

Diagnostics& diagnostics()
{
    static Diagnostics instance;
    return instance;
}

std::string to_text(const LogValue& value)
{
    struct Visitor {
        std::string operator()(std::string_view s) const { return std::string{s}; }
        std::string operator()(std::int64_t n) const { return fmt::format_int(n).str(); }
        std::string operator()(double n) const { return fmt::format("{}", n); }
        std::string operator()(bool b) const { return b ? "true" : "false"; }
    };
    return std::visit(Visitor{}, value);
}

bool is_json_string(const LogValue& value) noexcept
{
    if (const double* number = std::get_if<double>(&value)) return !std::isfinite(*number);
    return std::holds_alternative<std::string_view>(value);
}

/// `"level":"info","msg":"ready","listen":"..."`
/// @param name  of the member that the event is: "msg"
std::string json_members(config::LogLevel level, std::string_view name, std::string_view event, LogFields fields,
                         std::size_t limit_bytes)
{
    std::string members = "\"level\":\"";
    members += level_word(level);
    members += '"';
    append_json_field(members, name, event, limit_bytes);
    for (const auto& [key, value] : fields) {
        if (is_json_string(value)) {
            append_json_field(members, key, to_text(value), limit_bytes);
        } else {
            members += ",\"";
            members += key;
            members += "\":";
            members += to_text(value);
        }
    }
    return members;
}

/// Of the events that are kept, so that they take 1 MiB at most whatever a peer sends.
constexpr std::size_t recent_value_limit_bytes = 512;

void remember(Diagnostics& to, rules::WallTime time, config::LogLevel level, std::string_view event, LogFields fields)
{
    std::string object = "{\"ts\":\"";
    append_time(object, time);
    object += "\",";
    object += json_members(level, "msg", event, fields, recent_value_limit_bytes);
    object += '}';
    to.recent.add(std::move(object));
}

}  // namespace

void start_log(const config::Log& options) { diagnostics().start(options); }

void set_log_level(config::LogLevel level) { diagnostics().logger.set_level(to_spdlog(level)); }

void log_event(config::LogLevel level, std::string_view event, LogFields fields)
{
    Diagnostics& to = diagnostics();
    const bool is_kept = level != config::LogLevel::debug, is_written = to.logger.should_log(to_spdlog(level));
    if (!is_kept && !is_written) return;
    if (!to.pace.lets(level, event)) return;
    // spdlog reads the clock, once for both.
    const spdlog::details::log_msg stamp(to.logger.name(), to_spdlog(level), {});
    if (is_kept) remember(to, std::chrono::floor<rules::Milliseconds>(stamp.time), level, event, fields);
    if (!is_written) return;

    std::string line;
    if (to.format == config::LogFormat::text) {
        line += level_word(level);
        line += ' ';
        append_escaped(line, event);
        for (const auto& [key, value] : fields) append_text_field(line, key, to_text(value));
    } else {
        line = json_members(level, "msg", event, fields, SIZE_MAX) + '}';
    }
    to.logger.log(stamp.time, stamp.source, stamp.level, spdlog::string_view_t{line.data(), line.size()});
}

void renew_log_pace()
{
    for (const auto& [event, count] : diagnostics().pace.renew())
        log_event(config::LogLevel::warn, "log lines were held back",
                  {{"line", std::string_view(event)}, {"count", count}});
}

void flush_log() { diagnostics().logger.flush(); }

std::vector<std::string> recent_events() { return diagnostics().recent.newest_first(); }

}  // namespace larder::proxy
