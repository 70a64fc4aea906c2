// Notices rules whose requests mostly miss the cache for one reason that a switch would change, and says so once; and
// purge rules whose writes keep many requests from the cache while they run, and says so now and then.
// The operator wrote a rule to have hits: silence about a cookie that prevents them would be the worst answer.
#pragma once

#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "proxy/observe/counters.hpp"

namespace larder::proxy {

struct Advised {
    std::string_view event;   // for the log
    std::string_view rule;    // name
    std::string_view reason;  // the word of the tables in rules/verdict
    std::string_view text;
    std::string_view remedy;     // the switch that would change it
    std::uint64_t requests = 0;  // of the rule since the start; of writes: of all rules since the last time
    std::uint64_t affected = 0;
};

/// Single-threaded; reads counters that go on counting.
class Advice {
  public:
    /// Rules with at least this many requests are judged.
    static constexpr std::uint64_t least_requests = 100;

    /// A purge rule is spoken of at most this often.
    static constexpr rules::Milliseconds write_silence{600'000};

    /// What is to be said now: rules of which more than half of all requests passed by, or were not stored, for one
    /// reason that has a remedy, each rule and reason once; and purge rules whose writes made more than a fifth of all
    /// requests since the last look (of 100 requests or more) pass by.
    std::vector<Advised> look(const std::vector<const Counters*>& workers, const config::Config& config,
                              rules::Instant now);

  private:
    void look_at_writes(std::vector<Advised>& advised, const std::vector<const Counters*>& workers,
                        const config::Config& config, rules::Instant now);

    struct Writes {
        std::uint64_t passes = 0;  // at the last look
        rules::Instant said{};
        bool was_said = false;
    };
    std::set<std::pair<std::size_t, std::string_view>> said_;
    std::map<std::size_t, Writes> writes_;  // by row of the counters
    std::uint64_t requests_ = 0;            // at the last look
};

}  // namespace larder::proxy
