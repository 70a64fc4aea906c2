// The text of GET /metrics (Prometheus text format 0.0.4): the sums over all workers' counters, and a few gauges.
#pragma once

#include <string>
#include <vector>

#include "config/config.hpp"
#include "proxy/observe/counters.hpp"
#include "proxy/observe/process.hpp"

namespace larder::proxy {

/// What the admin server counts, on its one thread.
struct AdminCounts {
    std::uint64_t malformed = 0;            // requests that are no HTTP, or above a limit
    std::uint64_t token_refusals = 0;       // no token, or a wrong one
    std::uint64_t site_refusals = 0;        // perhaps sent by a web page of another site
    std::uint64_t connections_dropped = 0;  // because all places were taken
};

/// How the configuration was replaced, on the thread of the admin server.
struct ReloadFigures {
    bool last_ok = true;
    rules::WallTime last_success{};  // the start counts
    std::uint64_t succeeded = 0, failed = 0;
    bool needs_restart = false;  // some option of it has stayed as it was
    std::uint64_t digest = 0;    // of the text in force: replicas that have the same are equal
};

/// What becomes of spans that are recorded (proxy/trace).
struct TraceCounts {
    std::uint64_t exported = 0;
    std::uint64_t exports_failed = 0;         // attempts
    std::uint64_t dropped_queue_full = 0;     // spans: too many waited
    std::uint64_t dropped_export_failed = 0;  // the collector did not take them in time
    std::uint64_t dropped_rejected = 0;       // it took others of the same export
    std::uint64_t dropped_shutdown = 0;       // not sent before the end of the process
};

/// What no worker's counters know.
struct ExtraGauges {
    rules::WallTime started;  // when the process began
    bool ready = false;       // as GET /readyz
    std::uint64_t memory_entries = 0;
    std::uint64_t memory_bytes = 0;
    std::uint64_t memory_capacity_bytes = 0;
    std::uint64_t memory_evicted = 0;  // ever
    std::uint64_t memory_expired = 0;  // ever
    AdminCounts admin;
    ReloadFigures reloads;
    ProcessFigures process;
    std::uint64_t deferred_purges = 0;
    TraceCounts trace;
};

/// @param workers  one for each worker thread, none of them null; they go on counting meanwhile
/// @param config   the names of the rules that the workers' rows stand for
/// Rules are told apart by name, "none" standing for no rule; a rule appears with its first request.
std::string metrics_text(const std::vector<const Counters*>& workers, const config::Config& config,
                         const ExtraGauges& extra);

}  // namespace larder::proxy
