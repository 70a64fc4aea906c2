// Which rules' keys a purge can match: pattern held against key template. For explain, lint and purges by hand.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rules/key/cache_key.hpp"
#include "rules/verdict/judge_request.hpp"

namespace larder::rules {

/// The key template of a rule: its own, or the default.
const Template& key_template(const Rule& rule);

/// The rules that give names to stored responses: those without `purge`, and the one of `cache: respect-origin`.
/// @param with_off  also those with `cache: off`, which store nothing now and may have done so before
std::vector<const Rule*> rules_with_keys(const std::vector<Rule>& rules, CacheMode mode, bool with_off = false);

/// The pattern of everything that the rule's key template can make: `*` stands for each value, `event:{id}` gives
/// `event:*`. It may match keys of other rules as well.
std::string family_of(const Rule& rule);

/// Could the purge match a key of the rule? Never says no when it could; parts are told apart by their `:`, which
/// values never contain.
bool reaches(const PurgeTarget& target, const Rule& rule);

}  // namespace larder::rules
