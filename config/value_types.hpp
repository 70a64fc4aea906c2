// The kinds of value that options have. Each knows how to be read, how it looks in the JSON Schema, what the
// documentation calls it and how its default is written, so that none of these can say different things.
#pragma once

#include <boost/json/value.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/addresses.hpp"
#include "config/reading.hpp"

namespace larder::config {

template <class T>
struct ValueType {
    std::string words;                                            // "duration"
    std::string range;                                            // "1ms to 10m"; empty: none
    boost::json::value schema;                                    // JSON Schema of the value as written
    std::function<std::optional<T>(Reading&, const Node&)> read;  // empty optional: an error was reported
    std::function<std::string(const T&)> write;                   // for the default in the documentation
};

ValueType<Milliseconds> duration(Milliseconds least, Milliseconds most);
/// @param zero what a plain `0` means; empty: a plain 0 is refused like every number without a unit
ValueType<std::uint64_t> size(std::uint64_t least, std::uint64_t most, std::string zero = {});
/// @param zero what 0 means, for the documentation
ValueType<std::uint32_t> count(std::uint32_t least, std::uint32_t most, std::string zero = {});
ValueType<bool> on_off();
/// Letters, digits, `.`, `_`, `-`; at most 64: safe in Redis keys, log lines and metric labels.
ValueType<std::string> identifier();

/// Is the text what identifier() accepts: 1 to 64 letters, digits, `.` `_` `-`?
bool is_name(std::string_view text) noexcept;
/// A file that must be readable now. The value is its path, absolute when the configuration came from a file.
ValueType<std::string> readable_file();
/// A file that holds a secret: the value is its text without the last line end.
ValueType<std::string> secret_file();
ValueType<Endpoint> endpoint();
/// `off`, `all`, or `1/N`: the value is N, 0 for off.
ValueType<std::uint32_t> access_sampling();
ValueType<std::vector<std::string>> networks();

/// Reads the items of a list, or one value standing alone, by `read_item`.
void read_list(Reading& reading, const Node& node, const std::function<void(const Node&)>& read_item);

/// One of some words. `on` and `off` may also be written `true` and `false`, as YAML 1.1 tools do.
template <class T>
ValueType<T> choice(std::vector<std::pair<std::string_view, T>> words);

/// The schema of text that matches a pattern (without anchors), or holds a `${VARIABLE}`.
boost::json::value text_schema(std::string_view pattern);
/// The schema of a value that is not text, or text with a `${VARIABLE}`.
boost::json::value with_variable(boost::json::value schema);
boost::json::value choice_schema(const std::vector<std::string_view>& words);
/// Finds the word that was written; empty and an error when there is none.
std::optional<std::size_t> read_choice(Reading& reading, const Node& node, const std::vector<std::string_view>& words);

template <class T>
ValueType<T> choice(std::vector<std::pair<std::string_view, T>> words)
{
    std::vector<std::string_view> names;
    std::string shown;
    for (const auto& [name, value] : words) {
        names.push_back(name);
        shown += (shown.empty() ? "`" : ", `") + std::string(name) + "`";
    }
    ValueType<T> type;
    type.words = shown;
    type.schema = choice_schema(names);
    type.read = [words, names](Reading& reading, const Node& node) -> std::optional<T> {
        if (const auto found = read_choice(reading, node, names)) return words[*found].second;
        return std::nullopt;
    };
    type.write = [words](const T& value) {
        for (const auto& [name, known] : words)
            if (known == value) return std::string(name);
        return std::string();
    };
    return type;
}

}  // namespace larder::config
