// Which field of a response says how it may be cached: one that is aimed at this cache, else Cache-Control (RFC 9213).
#pragma once

#include <cstdint>
#include <string_view>

#include "rules/http/cache_control.hpp"

namespace larder::rules {

enum class PolicySource : std::uint8_t { larder_cache_control, cdn_cache_control, cache_control };

/// The name of the field.
std::string_view word(PolicySource source) noexcept;

struct CachePolicy {
    CacheControl directives;
    /// Where they stand. Only with `cache_control` does `Expires` count.
    PolicySource source = PolicySource::cache_control;
};

/// The first of Larder-Cache-Control and CDN-Cache-Control that is there, not empty and a structured dictionary (RFC
/// 9213 §2.2); then Cache-Control and Expires say nothing. A directive whose value is of the wrong type, such as
/// max-age=1.5, max-age="60" or no-store=5, is left out (§2.1); parameters and unknown directives are ignored.
CachePolicy cache_policy(const Fields& response);

}  // namespace larder::rules
