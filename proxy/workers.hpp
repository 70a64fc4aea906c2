// All workers of the process, and what is asked of them as one.
#pragma once

#include <memory>
#include <vector>

#include "proxy/worker.hpp"

namespace larder::proxy {

/// Made before the first one starts and not changed after: then any thread may read it.
using Workers = std::vector<std::unique_ptr<Worker>>;

/// Borrowed from the workers, in their order. Any thread.
std::vector<const Counters*> counters_of(const Workers& workers);
/// The last purges of each. Any thread.
std::vector<RecentPurge> recent_purges_of(const Workers& workers);
/// One that is connected to the store, if there is one, else the first. There must be one. Any thread.
Worker& worker_with_store(const Workers& workers);

}  // namespace larder::proxy
