// HTTP dates (RFC 9110 §5.6.7): reads all three forms, writes IMF-fixdate.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "rules/base/time.hpp"

namespace larder::rules {

/// Reads IMF-fixdate, RFC 850 (two-digit year: the century that is at most 50 years after `now`) and asctime dates.
/// Empty when it is none of them. The forms have case, but a cache should not insist on it (RFC 9111 §4.2); GMT only;
/// the day of the week is not held against the date.
std::optional<WallTime> parse_date(std::string_view text, WallTime now) noexcept;

/// `Sun, 06 Nov 1994 08:49:37 GMT`, 29 bytes.
std::string format_date(WallTime time);

}  // namespace larder::rules
