// GET /events: what has happened lately in this process, for the dashboard. No keys, no lines of the access log.
#pragma once

#include <string>
#include <vector>

#include "proxy/observe/recent_purges.hpp"

namespace larder::proxy {

/// @param events  JSON objects, newest first
/// @param purges  of all workers, in any order
/// @return `{"events": [...], "purges": [...]}`, both newest first; at most 50 purges
std::string events_json(const std::vector<std::string>& events, std::vector<RecentPurge> purges);

}  // namespace larder::proxy
