// The `match` of a rule: `GET|HEAD /api/events/{id}`, or a mapping with method, path, host, query and header.
#pragma once

#include "config/options.hpp"

namespace larder::config {

/// Reads either form.
/// @return whether the match is complete; if not, errors were reported
bool read_match(Reading& reading, const Node& node, rules::Match& match);

/// The row of the option table: text, schema and children of `match`.
OptionText match_text();

}  // namespace larder::config
