// Cache-Control directives (RFC 9111 §5.2), of requests and responses.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rules/base/time.hpp"
#include "rules/http/head.hpp"

namespace larder::rules {

inline constexpr std::uint64_t max_delta_seconds = std::uint64_t{1} << 31;  // RFC 9111 §1.2.2

/// What the directives of a message say. Delta-seconds above 2^31 count as 2^31 (§1.2.2). Invalid or conflicting
/// lifetimes count as 0, the most restrictive reading (§4.2.1). Unknown directives are ignored.
struct CacheControl {
    bool present = false;
    bool no_store = false;
    bool open_quote = false;                   // a quoted string does not end; no_store is set, too
    bool no_cache = false;                     // without field names
    std::vector<std::string> no_cache_fields;  // no-cache="Set-Cookie"
    bool is_private = false;                   // without field names
    std::vector<std::string> private_fields;
    bool is_public = false;
    bool must_revalidate = false;
    bool proxy_revalidate = false;
    bool must_understand = false;
    bool no_transform = false;
    bool immutable = false;
    bool only_if_cached = false;
    std::optional<Seconds> max_age;
    std::optional<Seconds> s_maxage;
    std::optional<Seconds> stale_while_revalidate;
    std::optional<Seconds> stale_if_error;
    std::optional<Seconds> min_fresh;
    bool max_stale_any = false;  // max-stale without a value
    std::optional<Seconds> max_stale;
};

/// Parses every `Cache-Control` line among the fields (or lines of another field of the same syntax).
CacheControl parse_cache_control(const Fields& fields, FieldId id = FieldId::cache_control);
/// Adds the directives of one line.
void parse_cache_control(std::string_view value, CacheControl& into);

}  // namespace larder::rules
