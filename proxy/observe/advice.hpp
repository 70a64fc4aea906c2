// Notices rules whose requests mostly miss the cache for one reason that a switch would change, and says so once.
// The operator wrote a rule to have hits: silence about a cookie that prevents them would be the worst answer.
#pragma once

#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "proxy/observe/counters.hpp"

namespace larder::proxy {

struct Advised {
    std::string_view rule;    // name
    std::string_view reason;  // the word of the tables in rules/verdict
    std::string_view text;
    std::string_view remedy;     // the switch that would change it
    std::uint64_t requests = 0;  // of the rule, since the start
    std::uint64_t affected = 0;
};

/// Single-threaded; reads counters that go on counting.
class Advice {
  public:
    /// Rules with at least this many requests are judged.
    static constexpr std::uint64_t least_requests = 100;

    /// What is to be said now: rules of which more than half of all requests passed by, or were not stored, for one
    /// reason that has a remedy. Each rule and reason once.
    std::vector<Advised> look(const std::vector<const Counters*>& workers, const config::Config& config);

  private:
    std::set<std::pair<std::size_t, std::string_view>> said_;
};

}  // namespace larder::proxy
