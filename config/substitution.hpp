// `${VAR}`, `${VAR:-default}` and `$$` in scalar values, after parsing: what a variable holds can never change the
// structure of the file.
#pragma once

#include "config/yaml_reader.hpp"

namespace larder::config {

/// Replaces variables in every scalar value of the tree (names of options stay as they are). `${VAR:-default}` stands
/// for the default when VAR is unset or empty, as in a shell; a lone `$` stays. An undefined variable without a
/// default is an error; messages name the variable and never show what it holds.
void substitute(Node& node, const Environment& environment, std::vector<Message>& messages);

}  // namespace larder::config
