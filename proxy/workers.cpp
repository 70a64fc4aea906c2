#include "proxy/workers.hpp"

namespace larder::proxy {

std::vector<const Counters*> counters_of(const Workers& workers)
{
    std::vector<const Counters*> all;
    for (const auto& worker : workers) all.push_back(&worker->counters());
    return all;
}

std::vector<RecentPurge> recent_purges_of(const Workers& workers)
{
    std::vector<RecentPurge> all;
    for (const auto& worker : workers)
        for (RecentPurge& purge : worker->recent_purges()) all.push_back(std::move(purge));
    return all;
}

Worker& worker_with_store(const Workers& workers)
{
    for (const auto& worker : workers)
        if (worker->counters().store_is_up()) return *worker;
    return *workers.front();
}

}  // namespace larder::proxy
