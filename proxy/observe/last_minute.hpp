// What the last minute was like: totals are noted every few seconds, and the difference to the oldest is a rate.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "proxy/observe/counters.hpp"

namespace larder::proxy {

/// Totals since the start, over all workers.
struct Totals {
    std::uint64_t requests = 0;
    std::uint64_t hits = 0;      // fresh and stale
    std::uint64_t misses = 0;    // and revalidations
    std::uint64_t bypasses = 0;  // not looked up
    std::uint64_t store_operations = 0;
    std::uint64_t store_nanoseconds = 0;  // of these
};

Totals totals_of(const std::vector<const Counters*>& workers);

/// Single-threaded.
class LastMinute {
  public:
    static constexpr std::chrono::seconds window{60}, step{5};

    /// Every `step`.
    void note(const Totals& totals, rules::Instant now);

    struct Rates {
        double seconds = 0;  // that they are of: less than `window` after the start
        double requests_per_minute = 0;
        double hit_rate = 0;     // 0 to 1, of the requests that were looked up; 0 when there was none
        double miss_rate = 0;    // the same
        double bypass_rate = 0;  // 0 to 1, of all requests
        double store_operations_per_minute = 0;
        double store_milliseconds = 0;  // an operation's, on average
    };
    Rates rates(const Totals& totals, rules::Instant now) const;

  private:
    struct Noted {
        rules::Instant at;
        Totals totals;
    };
    std::deque<Noted> noted_;
};

}  // namespace larder::proxy
