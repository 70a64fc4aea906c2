#include "rules/pattern/pattern.hpp"

#include <algorithm>
#include <array>
#include <vector>

namespace larder::rules {

namespace {

struct Token {
    enum class Kind : unsigned char { byte, any_byte, any_run } kind = Kind::byte;
    char byte = 0;
    std::size_t length = 1;  // in the pattern
};

/// The token at `i`. A "\" at the very end stands for itself.
Token token_at(std::string_view pattern, std::size_t i) noexcept
{
    switch (pattern[i]) {
    case '*': return {Token::Kind::any_run, 0, 1};
    case '?': return {Token::Kind::any_byte, 0, 1};
    case '\\':
        if (i + 1 < pattern.size()) return {Token::Kind::byte, pattern[i + 1], 2};
        [[fallthrough]];
    default: return {Token::Kind::byte, pattern[i], 1};
    }
}

constexpr std::array<bool, 256> plain_value_bytes = [] {
    std::array<bool, 256> plain{};
    for (std::size_t c = 0x21; c < 0x7f; ++c) plain[c] = true;
    for (unsigned char c : {':', '*', '?', '{', '}', '\\', '%'}) plain[c] = false;
    return plain;
}();

}  // namespace

bool matches(std::string_view pattern, std::string_view key) noexcept
{
    constexpr std::size_t none = std::string_view::npos;
    std::size_t p = 0, k = 0;
    std::size_t after_run = none, run_end = 0;  // where to go on when the last "*" has to take one byte more
    for (;;) {
        if (p < pattern.size()) {
            const Token token = token_at(pattern, p);
            if (token.kind == Token::Kind::any_run) {
                if (p + 1 == pattern.size()) return true;
                after_run = p + 1;
                run_end = k;
                p = after_run;
                continue;
            }
            if (k < key.size() && (token.kind == Token::Kind::any_byte || token.byte == key[k])) {
                p += token.length;
                ++k;
                continue;
            }
        } else if (k == key.size()) {
            return true;
        }
        // Only the last "*" needs to be tried again: what an earlier one took is the shortest that fits.
        if (after_run == none || run_end == key.size()) return false;
        k = ++run_end;
        p = after_run;
    }
}

bool is_exact(std::string_view pattern) noexcept
{
    for (std::size_t i = 0; i < pattern.size();) {
        const Token token = token_at(pattern, i);
        if (token.kind != Token::Kind::byte) return false;
        i += token.length;
    }
    return true;
}

std::string unescape(std::string_view pattern)
{
    std::string key;
    key.reserve(pattern.size());
    for (std::size_t i = 0; i < pattern.size();) {
        const Token token = token_at(pattern, i);
        key += token.kind == Token::Kind::byte ? token.byte : pattern[i];
        i += token.length;
    }
    return key;
}

std::string escape(std::string_view key)
{
    std::string pattern;
    pattern.reserve(key.size());
    for (const char c : key) {
        if (c == '*' || c == '?' || c == '\\') pattern += '\\';
        pattern += c;
    }
    return pattern;
}

std::string widened(std::string_view pattern, std::size_t limit_bytes)
{
    if (pattern.size() <= limit_bytes) return std::string(pattern);
    std::size_t end = 0;
    for (;;) {
        const std::size_t length = token_at(pattern, end).length;
        if (end + length >= limit_bytes) break;  // one byte is for the "*"
        end += length;
    }
    return std::string(pattern.substr(0, end)) += '*';
}

std::size_t plain_prefix(std::string_view value) noexcept
{
    std::size_t size = 0;
    while (size != value.size() && plain_value_bytes[static_cast<unsigned char>(value[size])]) ++size;
    return size;
}

void append_key_value(std::string& out, std::string_view value)
{
    constexpr std::string_view digits = "0123456789ABCDEF";
    std::size_t start = 0;
    for (std::size_t i = plain_prefix(value); i < value.size(); ++i) {
        const auto byte = static_cast<unsigned char>(value[i]);
        if (plain_value_bytes[byte]) continue;
        out.append(value, start, i - start);
        out += '%';
        out += digits[byte >> 4];
        out += digits[byte & 15];
        start = i + 1;
    }
    out.append(value, start);
}

bool may_overlap(std::string_view pattern_a, std::string_view pattern_b) noexcept
{
    // What both begin with needs no table, and most pairs differ there already.
    while (!pattern_a.empty() && !pattern_b.empty()) {
        const Token from_a = token_at(pattern_a, 0), from_b = token_at(pattern_b, 0);
        if (from_a.kind == Token::Kind::any_run || from_b.kind == Token::Kind::any_run) break;
        if (from_a.kind != Token::Kind::any_byte && from_b.kind != Token::Kind::any_byte && from_a.byte != from_b.byte)
            return false;
        pattern_a.remove_prefix(from_a.length);
        pattern_b.remove_prefix(from_b.length);
    }

    // Above this the table is not worth its memory, and "maybe" is an allowed answer.
    constexpr std::size_t largest_table = std::size_t{1} << 24;
    if ((pattern_a.size() + 1) * (pattern_b.size() + 1) > largest_table) return true;

    auto tokens_of = [](std::string_view pattern) {
        std::vector<Token> tokens;
        for (std::size_t i = 0; i < pattern.size(); i += tokens.back().length) tokens.push_back(token_at(pattern, i));
        return tokens;
    };
    const std::vector<Token> a = tokens_of(pattern_a), b = tokens_of(pattern_b);

    // here[j]: some text fits the first i tokens of `a` and the first j of `b`.
    std::vector<char> here(b.size() + 1, 0), below(b.size() + 1, 0);
    here[0] = 1;
    for (std::size_t i = 0;; ++i) {
        std::fill(below.begin(), below.end(), 0);
        for (std::size_t j = 0; j <= b.size(); ++j) {
            if (!here[j]) continue;
            const Token* from_a = i < a.size() ? &a[i] : nullptr;
            const Token* from_b = j < b.size() ? &b[j] : nullptr;
            const bool run_a = from_a && from_a->kind == Token::Kind::any_run;
            const bool run_b = from_b && from_b->kind == Token::Kind::any_run;
            if (run_a || (run_b && from_a)) below[j] = 1;
            if (run_b || (run_a && from_b)) here[j + 1] = 1;
            if (from_a && from_b && !run_a && !run_b &&
                (from_a->kind == Token::Kind::any_byte || from_b->kind == Token::Kind::any_byte ||
                 from_a->byte == from_b->byte))
                below[j + 1] = 1;
        }
        if (i == a.size()) return here[b.size()] != 0;
        std::swap(here, below);
    }
}

}  // namespace larder::rules
