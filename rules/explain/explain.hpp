// `larder explain` and `larder check`: the same judges as the request path, told as text.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "rules/verdict/judge_request.hpp"

namespace larder::rules {

/// What Larder would do with one request, for people: rule, values, key, why it passes by and which switch would change
/// that, lifetimes and what the origin can change about them, which purge rules could purge this key; for a write:
/// which patterns it purges, what widens them, which cache rules' keys they can match. Several lines, each "word:
/// text".
/// @param target   as on the command line: "/path?query" or "http://host/path"
/// @param headers  name, value
std::string explain(const std::vector<Rule>& rules, const Matcher& matcher, CacheMode mode, std::string_view method,
                    std::string_view target, const std::vector<std::pair<std::string, std::string>>& headers);

}  // namespace larder::rules
