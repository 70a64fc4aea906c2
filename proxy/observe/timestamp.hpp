// A moment as it stands in logs and in what the admin port tells: 2026-11-21T10:00:00.123Z.
#pragma once

#include <cstdint>
#include <string>

#include "rules/base/time.hpp"

namespace larder::proxy {

/// With zeros in front, up to so many digits.
void append_digits(std::string& out, std::uint64_t number, std::size_t width);
void append_time(std::string& out, rules::WallTime time);

}  // namespace larder::proxy
