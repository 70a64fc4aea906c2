// What an exchange may use: everything one worker thread owns or shares. Made by the App before any exchange and
// destroyed after the last one, so everybody may borrow it.
#pragma once

#include <string>
#include <vector>

#include "config/config.hpp"
#include "proxy/coherence/coherent_cache.hpp"
#include "proxy/exchange/exchange_pool.hpp"
#include "proxy/net/deadline.hpp"
#include "proxy/net/tasks.hpp"
#include "proxy/observe/access_log.hpp"
#include "proxy/observe/counters.hpp"
#include "proxy/observe/recent_purges.hpp"
#include "proxy/trace/tracer.hpp"
#include "proxy/upstream/pool.hpp"

namespace larder::proxy {

class Fills;

/// One hit in so many is held against what the app answers now: `verification.hpp`.
struct Verification {
    std::uint32_t every = 0;  // 0: none
    std::uint32_t seen = 0;   // hits since the last one that was chosen
    bool under_way = false;

    /// Counts a hit. True: it is chosen, as the first one that is due while no other is under way.
    bool wants() noexcept
    {
        if (every == 0) return false;
        ++seen;
        const bool is_due = seen >= every;
        if (!is_due || under_way) return false;
        seen = 0;
        return true;
    }
};

struct Services {
    asio::io_context& context;
    /// The configuration now in force. The worker puts another one here between two turns of its loop: who keeps a
    /// pointer into it over a wait keeps it, as `Exchange::config` does.
    config::ConfigPtr config;
    rules::HeadLimits request_limits, response_limits;
    Tasks& tasks;
    DeadlineWheel& wheel;
    Counters& counters;
    AccessLog& access_log;
    RecentPurges& recent_purges;
    UpstreamPool& upstream;
    CoherentCache& cache;
    ExchangePool& exchanges;
    Fills& fills;          // shared by all workers
    const bool& draining;  // answers say Connection: close
    const bool& stopping;  // idle connections end, and nothing waits for what may be done at once
    Tracer* tracer;        // null: nothing is traced
    std::vector<char> read_buffer = std::vector<char>(64 * 1024);  // between a read and the next suspension only
    Verification verification{};
    std::string out{};  // answers being composed, between two suspensions only
};

}  // namespace larder::proxy
