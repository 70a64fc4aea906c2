// "did you mean": the known name that is closest to what somebody typed.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace larder::config {

/// The known name nearest to `typed` by insertions, deletions, replacements and swaps of neighbours; empty when none
/// is near enough to be meant (more than a third of its letters differ).
std::string_view nearest(std::string_view typed, const std::vector<std::string_view>& known);

/// `; did you mean "ttl"?`, or `; known here: name, match, ...` when no name is near.
std::string suggestion(std::string_view typed, const std::vector<std::string_view>& known);

}  // namespace larder::config
