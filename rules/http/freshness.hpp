// How long a stored response is fresh, and how old it is (RFC 9111 §4.2).
#pragma once

#include <optional>
#include <string_view>

#include "rules/base/time.hpp"
#include "rules/http/cache_control.hpp"

namespace larder::rules {

/// Who said how long: for `explain` and for the rule that a heuristic must not outlive what the origin forbids.
enum class LifetimeSource { s_maxage, max_age, expires, rule, rule_override, none };

/// "s-maxage", "max-age", "expires", "ttl", "ttl-override", "none".
std::string_view word(LifetimeSource source) noexcept;

struct Lifetime {
    Milliseconds value{0};
    LifetimeSource source = LifetimeSource::none;
};

/// How long a stored response stays fresh, counted from its `Date`.
///
/// @param cc       parsed `Cache-Control` of the response
/// @param expires  `Expires` minus `Date`; empty when there is no `Expires`, 0 when it cannot be read (RFC 9111 §5.3)
/// @param fallback lifetime given by the matching rule for this status; empty when the rule gives none
/// @return never negative; `none` and 0 when nobody says
///
/// Order for a shared cache (RFC 9111 §4.2.1): s-maxage, max-age, Expires, then `fallback`, which stands
/// where the RFC allows a heuristic: we let the operator choose instead of guessing from Last-Modified.
Lifetime freshness_lifetime(const CacheControl& cc, std::optional<Seconds> expires,
                            std::optional<Milliseconds> fallback);

/// `Expires` minus `Date` of a response; see `freshness_lifetime`. A missing `Date` counts as `now`.
std::optional<Seconds> expires_lifetime(const Fields& fields, WallTime now);

/// Age of a response when it arrived (RFC 9111 §4.2.3): the larger of apparent age and corrected `Age`.
/// @param requested, received  when the request was sent and the response head arrived
Milliseconds initial_age(const Fields& fields, WallTime requested, WallTime received);

}  // namespace larder::rules
