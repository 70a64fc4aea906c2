#include "proxy/observe/advice.hpp"

#include <utility>

#include "proxy/observe/cells.hpp"

namespace larder::proxy {

namespace {

template <class Member>
std::uint64_t sum_of(const std::vector<const Counters*>& workers, std::size_t rule, Member member, std::size_t index)
{
    std::uint64_t sum = 0;
    for (const Counters* worker : workers)
        sum += (worker->cells().rules[rule].*member)[index].load(std::memory_order_relaxed);
    return sum;
}

}  // namespace

std::vector<Advised> Advice::look(const std::vector<const Counters*>& workers, const config::Config& config,
                                  rules::Instant now)
{
    using Row = Counters::Cells::RuleRow;
    std::vector<Advised> advised;
    for (const rules::Rule& named : config.rules) {
        const std::size_t rule = named.index;
        std::uint64_t requests = 0;
        for (std::size_t i = 0; i < verdicts_count; ++i) requests += sum_of(workers, rule, &Row::verdicts, i);
        if (requests < least_requests) continue;
        const auto consider = [&](std::uint64_t affected, auto reason) {
            const std::string_view remedy = rules::remedy(reason);
            if (affected * 2 <= requests || remedy.empty()) return;
            if (!said_.emplace(rule, rules::word(reason)).second) return;
            advised.push_back({"most requests of a rule are not cached", named.name, rules::word(reason),
                               rules::text(reason), remedy, requests, affected});
        };
        for (std::size_t i = 1; i < rules::forward_reasons_count; ++i) {
            const auto reason = static_cast<rules::Forward>(i);
            // Only what the request brings with it: the rest is an operator's decision or passes.
            if (rules::fwd(reason) == "request") consider(sum_of(workers, rule, &Row::forwards, i), reason);
        }
        for (std::size_t i = 1; i < rules::store_reasons_count; ++i)
            consider(sum_of(workers, rule, &Row::not_stored, i), static_cast<rules::NotStored>(i));
    }
    look_at_writes(advised, workers, config, now);
    return advised;
}

void Advice::look_at_writes(std::vector<Advised>& advised, const std::vector<const Counters*>& workers,
                            const config::Config& config, rules::Instant now)
{
    using Row = Counters::Cells::RuleRow;
    std::uint64_t all = 0;
    const std::vector<std::string>& names = config.counted_names;
    for (std::size_t row = 0; row <= names.size(); ++row)
        for (std::size_t i = 0; i < verdicts_count; ++i) all += sum_of(workers, row, &Row::verdicts, i);
    const std::uint64_t requests = all - requests_;
    if (requests < least_requests) return;
    requests_ = all;
    for (std::size_t row = 0; row <= names.size(); ++row) {
        std::uint64_t passes = 0;
        for (const Counters* worker : workers)
            passes += worker->cells().rules[row].marked_passes.load(std::memory_order_relaxed);
        if (passes == 0) continue;
        Writes& writes = writes_[row];
        const std::uint64_t affected = passes - std::exchange(writes.passes, passes);
        if (affected * 5 <= requests || (writes.was_said && now - writes.said < write_silence)) continue;
        writes.said = now;
        writes.was_said = true;
        advised.push_back({"writes of a rule keep many requests from the cache",
                           row < names.size() ? std::string_view(names[row]) : "other",
                           rules::word(rules::Forward::write_open),
                           "while such a write is under way, reads of the keys that it purges pass by",
                           "narrower purge patterns, or fence: after (a read during the write may see the old answer)",
                           requests, affected});
    }
}

}  // namespace larder::proxy
