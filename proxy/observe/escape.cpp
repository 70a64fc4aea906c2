#include "proxy/observe/escape.hpp"

namespace larder::proxy {

namespace {

constexpr char hex_digits[] = "0123456789abcdef";

// Length of the printable UTF-8 character at the start of `s`; 0 when there is none: a control (C0, DEL, C1), a line
// or paragraph separator, a character that reverses the direction of writing, or bytes that are not UTF-8 (RFC 3629).
std::size_t printable_length(std::string_view s) noexcept
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(s[i]); };
    const unsigned first = byte(0);
    if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;

    const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || s.size() < length) return 0;
    std::uint32_t character = first & (0x7fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xc0u) != 0x80u) return 0;
        character = character << 6 | (byte(i) & 0x3fu);
    }
    const bool overlong = (length == 3 && character < 0x800) || (length == 4 && character < 0x10000);
    const bool surrogate = character >= 0xd800 && character <= 0xdfff;
    const bool c1_control = character < 0xa0;
    const bool separator_or_direction =
        (character >= 0x2028 && character <= 0x202e) || (character >= 0x2066 && character <= 0x2069);
    return overlong || surrogate || character > 0x10ffff || c1_control || separator_or_direction ? 0 : length;
}

enum class Style { text, json };

void append(std::string& out, std::string_view value, std::size_t limit_bytes, Style style)
{
    const std::size_t start = out.size();
    while (!value.empty()) {
        const std::size_t before = out.size();
        const std::size_t length = printable_length(value);
        const char c = value.front();
        if (length == 1 && c != '"' && c != '\\') {
            out += c;
        } else if (length > 0) {
            if (length == 1) out += '\\';
            out += value.substr(0, length);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            out += '\\';
            out += c == '\n' ? 'n' : c == '\r' ? 'r' : 't';
        } else {
            const auto byte = static_cast<unsigned char>(c);
            if (style == Style::text)
                out += "\\x";
            else
                out += byte < 0x80 ? "\\u00" : "\\\\x";
            out += hex_digits[byte >> 4];
            out += hex_digits[byte & 0xf];
        }
        if (out.size() - start > limit_bytes) {
            out.resize(before);
            out += "...";
            return;
        }
        value.remove_prefix(length == 0 ? 1 : length);
    }
}

}  // namespace

void append_escaped(std::string& out, std::string_view value, std::size_t limit_bytes)
{
    append(out, value, limit_bytes, Style::text);
}

void append_text_field(std::string& out, std::string_view key, std::string_view value, std::size_t limit_bytes)
{
    out += ' ';
    out += key;
    out += '=';
    const std::size_t start = out.size();
    append(out, value, limit_bytes, Style::text);
    const std::string_view written = std::string_view{out}.substr(start);
    if (written.empty() || written.find_first_of(" =\"\\") != std::string_view::npos) {
        out.insert(start, 1, '"');
        out += '"';
    }
}

void append_json_string(std::string& out, std::string_view value, std::size_t limit_bytes)
{
    out += '"';
    append(out, value, limit_bytes, Style::json);
    out += '"';
}

void append_json_field(std::string& out, std::string_view key, std::string_view value, std::size_t limit_bytes)
{
    out += ",\"";
    out += key;
    out += "\":";
    append_json_string(out, value, limit_bytes);
}

}  // namespace larder::proxy
