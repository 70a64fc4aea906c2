// ASCII text questions that HTTP needs everywhere. Locale-free, no allocation unless a string is returned.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>

#include "rules/base/digits.hpp"

namespace larder::rules {

/// What stands in an array of characters.
template <std::size_t Size>
constexpr std::string_view text_of(const std::array<char, Size>& characters) noexcept
{
    return {characters.data(), Size};
}

constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

/// For short texts, whose comparison costs less than a call.
constexpr bool same_text(std::string_view a, std::string_view b) noexcept
{
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (a[i] != b[i]) return false;
    return true;
}

constexpr bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept
{
    if (a.size() != b.size()) return false;
    for (std::size_t i = 0; i < a.size(); ++i)
        if (a[i] != b[i] && lower(a[i]) != lower(b[i])) return false;
    return true;
}

/// Optional white space of HTTP: space and tab only (RFC 9110 §5.6.3).
constexpr std::string_view trim(std::string_view s) noexcept
{
    while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
    while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
    return s;
}

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_alpha(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

/// Value of a hex digit, or -1.
constexpr int hex_value(char c) noexcept
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/// RFC 9110 §5.6.2: a character of a token (method, field name, directive).
constexpr bool is_token_char(char c) noexcept
{
    if (is_alpha(c) || is_digit(c)) return true;
    switch (c) {
    case '!':
    case '#':
    case '$':
    case '%':
    case '&':
    case '\'':
    case '*':
    case '+':
    case '-':
    case '.':
    case '^':
    case '_':
    case '`':
    case '|':
    case '~': return true;
    default: return false;
    }
}

constexpr bool is_token(std::string_view s) noexcept
{
    for (char c : s)
        if (!is_token_char(c)) return false;
    return !s.empty();
}

/// Digits only, without sign or space; empty when there is anything else or it does not fit 64 bits.
constexpr std::optional<std::uint64_t> parse_digits(std::string_view s) noexcept
{
    if (s.empty()) return std::nullopt;
    constexpr std::size_t always_fit = 19;  // so many digits
    std::uint64_t value = 0;
    std::size_t i = 0;
    if (!std::is_constant_evaluated())
        for (; i + 8 <= s.size() && i < 16; i += 8) {
            const std::uint64_t word = load_eight(s.data() + i) ^ eight_times('0');
            if (beyond_nine(word) != 0) return std::nullopt;
            value = value * 100'000'000 + join_digits(word);
        }
    for (; i < s.size(); ++i) {
        if (!is_digit(s[i])) return std::nullopt;
        const auto digit = static_cast<std::uint64_t>(s[i] - '0');
        if (i >= always_fit && value > (UINT64_MAX - digit) / 10) return std::nullopt;
        value = value * 10 + digit;
    }
    return value;
}

}  // namespace larder::rules
