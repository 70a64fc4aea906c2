#include "rules/http/trace_context.hpp"

#include <algorithm>

#include "rules/base/text.hpp"

namespace larder::rules {

namespace {

constexpr std::string_view digits = "0123456789abcdef";
constexpr std::size_t traceparent_size = 55;

/// Lower-case hex digits only, at most 16 of them.
std::optional<std::uint64_t> read_hex(std::string_view text) noexcept
{
    std::uint64_t value = 0;
    for (const char c : text) {
        const bool is_lower_hex = is_digit(c) || (c >= 'a' && c <= 'f');
        if (!is_lower_hex) return std::nullopt;
        value = value << 4 | static_cast<std::uint64_t>(hex_value(c));
    }
    return value;
}

char* write_hex(char* out, std::uint64_t value) noexcept
{
    for (int shift = 60; shift >= 0; shift -= 4) *out++ = digits[value >> shift & 15];
    return out;
}

constexpr bool is_key_start(char c) noexcept { return is_digit(c) || (c >= 'a' && c <= 'z'); }
constexpr bool is_key_char(char c) noexcept
{
    return is_key_start(c) || c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
}

/// `key=value` as the specification writes it.
bool is_sound_member(std::string_view member) noexcept
{
    constexpr std::size_t longest = 256;  // of each
    const std::size_t equals = member.find('=');
    if (equals == std::string_view::npos) return false;
    const std::string_view key = member.substr(0, equals), value = member.substr(equals + 1);
    if (key.empty() || key.size() > longest || !is_key_start(key.front())) return false;
    if (!std::all_of(key.begin(), key.end(), is_key_char)) return false;
    if (value.empty() || value.size() > longest) return false;  // outer spaces are not the value's: it ends visibly
    return std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~' && c != '='; });
}

}  // namespace

std::optional<TraceParent> parse_traceparent(std::string_view value) noexcept
{
    if (value.size() < traceparent_size || value[2] != '-' || value[35] != '-' || value[52] != '-') return std::nullopt;
    const auto version = read_hex(value.substr(0, 2));
    const auto high = read_hex(value.substr(3, 16)), low = read_hex(value.substr(19, 16));
    const auto parent = read_hex(value.substr(36, 16)), flags = read_hex(value.substr(53, 2));
    if (!version || !high || !low || !parent || !flags || *version == 0xff) return std::nullopt;
    // A later version may go on behind a dash; 00 ends here.
    if (value.size() > traceparent_size && (*version == 0 || value[traceparent_size] != '-')) return std::nullopt;
    const TraceParent read{{*high, *low}, *parent, (*flags & 1) != 0};
    if (read.trace.is_none() || read.parent == 0) return std::nullopt;
    return read;
}

std::optional<TraceParent> trace_parent(const Fields& request) noexcept
{
    const Field* only = nullptr;
    for (const Field& field : request.all) {
        if (field.id != FieldId::traceparent) continue;
        if (only) return std::nullopt;
        only = &field;
    }
    return only ? parse_traceparent(only->value) : std::nullopt;
}

std::string trace_state(const Fields& request)
{
    constexpr std::size_t most_members = 32;
    std::string list;
    std::size_t count = 0;
    for (const Field& field : request.all) {
        if (field.id != FieldId::tracestate) continue;
        std::string_view rest = field.value;
        while (!rest.empty()) {
            const std::size_t end = std::min(rest.find(','), rest.size());
            const std::string_view member = trim(rest.substr(0, end));
            rest.remove_prefix(std::min(end + 1, rest.size()));
            if (member.empty()) continue;  // allowed, and not worth sending
            if (++count > most_members || !is_sound_member(member)) return {};
            if (!list.empty()) list += ',';
            list += member;
        }
    }
    return list;
}

std::array<char, 32> hex(const TraceId& trace) noexcept
{
    std::array<char, 32> text;
    write_hex(write_hex(text.data(), trace.high), trace.low);
    return text;
}

std::array<char, 16> hex(SpanId span) noexcept
{
    std::array<char, 16> text;
    write_hex(text.data(), span);
    return text;
}

std::array<char, 55> format_traceparent(const TraceId& trace, SpanId span, bool sampled) noexcept
{
    std::array<char, traceparent_size> text;
    char* at = text.data();
    const auto put = [&at](std::string_view piece) { at = std::copy(piece.begin(), piece.end(), at); };
    put("00-");
    at = write_hex(write_hex(at, trace.high), trace.low);
    put("-");
    at = write_hex(at, span);
    put(sampled ? "-01" : "-00");
    return text;
}

}  // namespace larder::rules
