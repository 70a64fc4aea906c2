// How options fit together: what no single option can see. Runs after everything was read.
#pragma once

#include "config/options.hpp"

namespace larder::config {

/// Reports what contradicts itself, in the file's order of rules.
/// @param root the whole file, for the places of messages
void check(Reading& reading, const Node& root, const Draft& draft);

}  // namespace larder::config
