// What a write voids without any purge rule: what is stored for its own target, and for those that its response names
// (RFC 9111 §4.4).
#pragma once

#include <string_view>
#include <vector>

#include "rules/key/cache_key.hpp"
#include "rules/verdict/judge_request.hpp"

namespace larder::rules {

/// Appends the keys under which a GET of this target can be stored, for whomever it was; none when no rule keeps it.
/// @param host  as in a request; `path` is raw, `query` without "?"
void append_invalidated(std::vector<PurgeTarget>& targets, const Matcher& matcher, CacheMode mode,
                        std::string_view host, std::string_view path, std::string_view query);

/// Does a response with this status to an unsafe request void anything? Errors do not.
constexpr bool status_invalidates(int status) noexcept { return status >= 200 && status < 400; }

}  // namespace larder::rules
