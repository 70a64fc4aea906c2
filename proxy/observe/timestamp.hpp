// A moment as it stands in logs and in what the admin port tells: 2026-11-21T10:00:00.123Z.
#pragma once

#include <string>

#include "rules/base/time.hpp"

namespace larder::proxy {

void append_time(std::string& out, rules::WallTime time);

}  // namespace larder::proxy
