// Entry ↔ the string in Redis: 16 digits position, a line of metadata, head, empty line, body.
// A person can read it with `redis-cli GET`. A malformed, truncated or foreign value decodes to null.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/store/entry.hpp"

namespace larder::proxy {

/// `<position> larder/2 xxh3=<16 hex> status=<3 digits> flags=<m or -><a or -><i or -> stored=<ms> age=<ms> ttl=<ms>
/// swr=<ms> sie=<ms> expires=<ms> head=<bytes> body=<bytes> key=<key> rule=<name> ...` LF, head, CR LF, body. The
/// numbers have leading zeros, so that each stands in its place. Texts are percent-escaped so that they hold no space
/// or newline; those behind the key may be missing. The sum is of all that follows it.
/// @param position  of the log: nothing in it up to here makes the entry stale
std::string encode_entry(const Entry& entry, Position position);
/// The same in place of what `text` holds: its memory is used again.
void encode_entry(const Entry& entry, Position position, std::string& text);

/// @param value  the whole string from Redis, position first; the entry keeps a copy, in its own block of memory
/// @param expected_key, expected_variant  what was asked for: a foreign writer or hash collision decodes to null
/// @return null when anything is off: version, lengths, checksum, key
std::shared_ptr<Entry> decode_entry(std::string_view value, std::string_view expected_key,
                                    std::string_view expected_variant);
/// The same of a value that stands at the beginning of `block`: the entry keeps that, so that no body is copied.
std::shared_ptr<Entry> decode_entry(std::unique_ptr<char[]> block, std::size_t value_bytes,
                                    std::string_view expected_key, std::string_view expected_variant);

/// When the entry was stored that begins so, of any version: its first 128 bytes are enough.
std::optional<rules::WallTime> stored_time_of(std::string_view beginning) noexcept;

/// It begins like an entry of a Larder that writes another version of this format.
bool is_of_other_version(std::string_view value) noexcept;

}  // namespace larder::proxy
