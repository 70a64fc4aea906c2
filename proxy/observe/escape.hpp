// How outside bytes become part of a log line, text or JSON: nothing they contain can end a value or a line, move a
// terminal's cursor, or make the output anything but UTF-8.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace larder::proxy {

/// Appends `value` with everything but printable UTF-8 written as `\n`, `\r`, `\t` or `\xNN`; `"` and `\` get a
/// backslash.
/// @param limit_bytes  of output; what is longer is cut between two characters and ends with "..."
void append_escaped(std::string& out, std::string_view value, std::size_t limit_bytes = SIZE_MAX);

/// The same for ` key=value`: in quotes when it is empty or has a space, `=`, `"` or anything escaped.
void append_text_field(std::string& out, std::string_view key, std::string_view value,
                       std::size_t limit_bytes = SIZE_MAX);

/// Appends a JSON string with its quotes. Bytes that are not UTF-8 become `\\xNN`, so that they can still be read.
void append_json_string(std::string& out, std::string_view value, std::size_t limit_bytes = SIZE_MAX);

/// Appends `,"key":"value"`. `key` is our own word and needs no escape.
void append_json_field(std::string& out, std::string_view key, std::string_view value,
                       std::size_t limit_bytes = SIZE_MAX);

}  // namespace larder::proxy
