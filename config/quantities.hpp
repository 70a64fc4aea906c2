// Durations and sizes as people write them: `500ms 60s 30m 1h 1d`, `64KiB 10MB`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "rules/base/time.hpp"

namespace larder::config {

using rules::Milliseconds;

/// A value, or what to write instead: `a duration needs a unit; write 60s`.
template <class T>
using Read = std::variant<T, std::string>;

Read<Milliseconds> read_duration(std::string_view text);
Read<std::uint64_t> read_size(std::string_view text);  // bytes

/// The shortest form that reads back to the same value: 90s, 30m, 64KiB.
std::string write_duration(Milliseconds duration);
std::string write_size(std::uint64_t bytes);

/// `off`, `all` or `1/N`: 0, 1 or N, one of so many. Otherwise what to write instead.
Read<std::uint32_t> read_sampling(std::string_view text);
std::string write_sampling(std::uint32_t every);

}  // namespace larder::config
