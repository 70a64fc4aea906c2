// POST /purge, the part without I/O: what an operator has sent, read and judged against the configuration.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.hpp"
#include "rules/key/cache_key.hpp"

namespace larder::proxy {

/// A purge by hand, ready to be appended.
struct PurgeOrder {
    std::vector<rules::PurgeTarget> targets;  // at least one, none twice
    std::vector<std::string> tags;            // those among them, as they were named
    std::string rule;                         // whose family is among them; empty: none was named
    bool dry_run = false;
    std::vector<std::string> matches_rules;    // names of the cache rules whose keys it could match
    std::vector<std::string> matches_no_rule;  // targets that fit no rule's key: mistyped, most likely
};

/// Why it is refused: what is wrong and what to write instead.
struct RefusedOrder {
    unsigned status = 400;
    std::string detail;
};

/// More than these are an error: the log remembers 10,000 patterns, and a wider one does the work of many.
inline constexpr std::size_t purge_keys_limit = 10'000;
inline constexpr std::size_t purge_patterns_limit = 500;
inline constexpr std::size_t purge_pattern_bytes_limit = 1'024;

/// @param content_type  of the request. Only JSON is taken, so that no web page can make a browser send a purge: a
///                      cross-site request with this type needs a permission that is never given.
/// @param body          `{"keys": [...], "patterns": [...], "tags": [...], "rule": "name", "dry_run": true}`, all
///                      optional, at least one of the first four
std::variant<PurgeOrder, RefusedOrder> read_purge_order(std::string_view content_type, std::string_view body,
                                                        const config::Config& config);

}  // namespace larder::proxy
