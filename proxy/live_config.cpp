#include "proxy/live_config.hpp"

#include "proxy/net/clock.hpp"
#include "proxy/observe/log.hpp"

namespace larder::proxy {

using config::LogLevel;

namespace {

std::string join(const std::vector<std::string>& words)
{
    std::string joined;
    for (const std::string& word : words) (joined += joined.empty() ? "" : ", ") += word;
    return joined;
}

}  // namespace

LiveConfig::LiveConfig(config::Loaded first, Read read)
    : read_(std::move(read)), now_(std::move(first.config)), text_(std::move(first.text)), last_digest_(first.digest)
{
    figures_.last_ok = true;
    figures_.last_success = wall_now();
    figures_.digest = first.digest;
}

LiveConfig::Outcome LiveConfig::take(config::Loaded loaded)
{
    Outcome outcome;
    outcome.ok = loaded.config != nullptr;
    outcome.kept = std::move(loaded.kept);
    if (!outcome.ok) {
        for (const config::Message& message : loaded.messages)
            if (message.severity == config::Severity::error) outcome.errors.push_back(message.to_string(now_->file));
        return outcome;
    }
    for (const config::Message& message : loaded.messages)
        if (message.severity == config::Severity::warning)
            outcome.warnings.push_back(message.to_string(loaded.config->file));
    now_ = std::move(loaded.config);
    text_ = std::move(loaded.text);
    set_log_level(now_->log.level);
    if (publish_) publish_(now_);
    return outcome;
}

LiveConfig::Outcome LiveConfig::reload(std::string_view cause)
{
    config::Loaded loaded = read_({now_.get(), switches_});
    const std::uint64_t digest = last_digest_ = loaded.digest;
    Outcome outcome = take(std::move(loaded));
    figures_.last_ok = outcome.ok;
    if (!outcome.ok) {
        ++figures_.failed;
        log_event(LogLevel::error, "configuration is refused: the one before stays in force",
                  {{"cause", cause}, {"errors", static_cast<std::int64_t>(outcome.errors.size())}});
        for (const std::string& error : outcome.errors)
            log_event(LogLevel::error, "error in the configuration", {{"error", std::string_view(error)}});
        return outcome;
    }
    ++figures_.succeeded;
    figures_.last_success = wall_now();
    figures_.digest = digest;
    figures_.needs_restart = !outcome.kept.empty();
    log_event(LogLevel::info, "configuration is reloaded",
              {{"cause", cause},
               {"file", std::string_view(now_->file)},
               {"rules", static_cast<std::int64_t>(now_->rules.size())}});
    for (const std::string& warning : outcome.warnings)
        log_event(LogLevel::warn, "warning about the configuration", {{"warning", std::string_view(warning)}});
    if (const std::string kept = join(outcome.kept); !kept.empty())
        log_event(LogLevel::warn, "options of the new configuration want a restart: they stay as they were",
                  {{"options", std::string_view(kept)}});
    if (now_->counted_names.size() > most_counted_names)
        log_event(LogLevel::warn, "more rule names than are counted: the requests of new ones count as of no rule",
                  {{"limit", static_cast<std::int64_t>(most_counted_names)}});
    return outcome;
}

void LiveConfig::reload_if_changed()
{
    // A look at the text only: what is refused is said once, not with every touch of the file.
    const config::Loaded seen = read_({now_.get(), switches_});
    if (seen.digest != last_digest_) reload("the file has changed");
}

LiveConfig::Outcome LiveConfig::switch_to(config::Switches switches)
{
    // From the text in force, whatever the file has become: who turns the cache off has other worries.
    const config::Running running{now_.get(), switches};
    Outcome outcome = take(
        now_->file.empty() ? read_(running)
                           : config::load_text(std::string(text_), now_->file, config::process_environment(), running));
    if (outcome.ok) switches_ = std::move(switches);
    return outcome;
}

}  // namespace larder::proxy
