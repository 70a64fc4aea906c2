// GET /rules: the configuration in force as the dashboard shows it. Neither passwords and tokens nor the values of
// fields that a rule compares with, which may be secrets, stand in it.
#pragma once

#include <string>
#include <string_view>

#include "config/config.hpp"

namespace larder::proxy {

/// @param listens_on  where the traffic comes in, with the port that was chosen
/// @return a JSON object: `version`, `listen`, `upstream`, `store`, `file`, `cache`, `rules` in the order of the file,
///         and for each reason word what it means and the switch that changes it: `forward_reasons`, `store_reasons`
std::string rules_json(const config::Config& config, std::string_view listens_on);

}  // namespace larder::proxy
