// Which writes purge a key: a purge template read backwards.
#pragma once

#include <string_view>
#include <vector>

#include "rules/explain/explain.hpp"

namespace larder::rules {

/// The purge rules that can purge the key, each with an example of such a write.
std::vector<Explanation::Purger> purgers_of(const std::vector<Rule>& rules, std::string_view key);

/// With its place in the file.
Explanation::RuleName rule_name(const Rule& rule);

/// A placeholder as it stands in a template.
std::string placeholder_text(const TemplatePart& part);

}  // namespace larder::rules
