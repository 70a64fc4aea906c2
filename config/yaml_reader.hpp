// YAML text → a small tree in which everything knows its line and column. The only place that sees yaml-cpp.
// Aliases are copied out, duplicate names are reported, and no input, however strange, ends the process.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"

namespace larder::config {

/// One value of the file.
struct Node {
    enum class Kind : std::uint8_t { null, text, list, mapping } kind = Kind::null;
    struct Entry;

    rules::Place place;
    std::string text;            // of a scalar
    bool quoted = false;         // a quoted scalar is text, never null
    bool as_written = false;     // `text` stands in the file exactly so, from `text_column` of the place's line on
    int text_column = 0;         // from 1
    bool is_broken = false;      // an error was reported for it already; readers stay silent
    std::vector<Node> items;     // of a list
    std::vector<Entry> entries;  // of a mapping, in file order, names unique

    bool is_empty() const noexcept { return kind == Kind::null || (kind == Kind::text && text.empty()); }
    /// The value under a name; null when there is none.
    const Node* find(std::string_view name) const noexcept;
    /// Where the byte at `offset` of the text stands; where the value begins when the file writes it differently.
    rules::Place place_of(std::size_t offset) const noexcept;
};

struct Node::Entry {
    std::string name;
    rules::Place place;
    Node value;
};

/// Limits against files that are no configuration. A file of a thousand rules has some ten thousand values.
inline constexpr std::size_t file_limit_bytes = 4u << 20;
inline constexpr std::size_t values_limit_count = 200'000;
inline constexpr int depth_limit_count = 32;

/// Parses one YAML document. Errors go to `messages`.
/// @return the root; empty when the text is not YAML at all. An empty file is a null node.
std::optional<Node> read_yaml(std::string_view yaml, std::vector<Message>& messages);

}  // namespace larder::config
