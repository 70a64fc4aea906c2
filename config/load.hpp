// YAML file, environment and command line → Config, or every error at once. The door of this folder.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"

namespace larder::config {

/// Only errors stop a start. A warning is probably a mistake, and told at the start as well; a note is worth knowing,
/// and told by `larder check` only.
enum class Severity : std::uint8_t { error, warning, note };

/// `FILE:line:col: message`, with how to silence it where that can be done.
struct Message {
    Severity severity = Severity::error;
    rules::Place place;
    std::string text;
    std::string_view id = {};  // of its kind: config/findings.hpp
    std::string rule = {};     // that it is about; empty: none
    std::string to_string(std::string_view file) const;
};

/// What the process environment says about a name; empty optional: not set.
using Environment = std::function<std::optional<std::string>(std::string_view name)>;
Environment process_environment();

struct Loaded {
    ConfigPtr config;               // null when there is any error
    std::vector<Message> messages;  // in file order
    std::string text;               // of the file, as it was read
    std::uint64_t digest = 0;       // of the text; 0: there was none to read
    /// Options that say something else than `Running::current` and cannot change before a restart: the configuration
    /// has them as they were.
    std::vector<std::string> kept;
};

/// What goes on while a configuration is replaced. The default: nothing runs yet.
struct Running {
    const Config* current = nullptr;
    Switches switches{};
};

/// Reads and checks a file. Unreadable files are an error at 0:0.
Loaded load_file(const std::string& path, const Environment& environment, const Running& running = Running());
/// The same for text already in memory; `file` is only a name for messages.
Loaded load_text(std::string_view yaml, const std::string& file, const Environment& environment,
                 const Running& running = Running());

/// A configuration without a file: flags of the command line as NAME: VALUE pairs of top-level options
/// ("upstream", "listen", ...). The cache mode is respect-origin unless said otherwise.
Loaded load_flags(const std::vector<std::pair<std::string, std::string>>& flags, const Environment& environment,
                  const Running& running = Running());

/// JSON Schema (draft 2020-12) of the configuration file, generated from the option table.
std::string json_schema();
/// The option reference as a Markdown table, generated from the option table.
std::string options_markdown();

}  // namespace larder::config
