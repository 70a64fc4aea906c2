// Names for this process's writes in the purge log: "<replica>-<n>", unlike those of any other process.
#pragma once

#include <string>

namespace larder::proxy {

/// Thread-safe.
std::string next_write_id();

}  // namespace larder::proxy
