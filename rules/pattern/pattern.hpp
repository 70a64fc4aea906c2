// Purge patterns: `*` any bytes (also ':' and '/'), `?` one byte, `\` escapes the next. No classes. Keys are exact
// text.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace larder::rules {

/// Does the pattern match the whole key? Linear time in practice, quadratic at worst, never exponential.
bool matches(std::string_view pattern, std::string_view key) noexcept;

/// True when the pattern has no unescaped wildcard, so that it names one key.
bool is_exact(std::string_view pattern) noexcept;
/// The key that an exact pattern names: escapes removed.
std::string unescape(std::string_view pattern);
/// A pattern that matches exactly this key.
std::string escape(std::string_view key);

/// A pattern of at most `limit_bytes` (at least 1) that matches all that `pattern` does. A longer one is cut between
/// two tokens, never inside an escape, and ends in `*`: it matches more.
std::string widened(std::string_view pattern, std::size_t limit_bytes);

/// A request's value as it stands in a key: percent-escaped so that it never contains ':' '*' '?' '{' '}' '\' '%',
/// a space, a control byte or a byte above 0x7E. Injective. Appends to `out`.
void append_key_value(std::string& out, std::string_view value);
/// So many bytes at the beginning of a value stand in a key as they are.
std::size_t plain_prefix(std::string_view value) noexcept;

/// Could some key match both? Never says no when there is one. For `explain`, `lint` and the dry run of a purge.
bool may_overlap(std::string_view pattern_a, std::string_view pattern_b) noexcept;

}  // namespace larder::rules
