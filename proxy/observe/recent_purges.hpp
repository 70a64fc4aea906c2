// What was purged lately, by whom and how much: without the keys, which may name people.
#pragma once

#include <cstdint>
#include <string>

#include "proxy/observe/counters.hpp"
#include "proxy/observe/recent.hpp"
#include "rules/base/time.hpp"

namespace larder::proxy {

struct RecentPurge {
    /// `fenced`, `deferred`: the log does not have it yet, as X-Cache-Purge says.
    enum class State : std::uint8_t { appended, fenced, deferred };

    rules::WallTime time;
    PurgeSource source = PurgeSource::write;
    State state = State::appended;
    std::string rule;  // the purge rule; empty: none, or by hand
    std::uint32_t keys = 0;
    std::uint32_t patterns = 0;  // tags and groups too
};

/// One for each worker, so that writers do not wait for each other.
struct RecentPurges : Recent<RecentPurge> {
    RecentPurges() : Recent(50) {}
};

}  // namespace larder::proxy
