#include "proxy/observe/last_minute.hpp"

#include "proxy/observe/cells.hpp"

namespace larder::proxy {

Totals totals_of(const std::vector<const Counters*>& workers)
{
    Totals totals;
    const auto read = [](const std::atomic<std::uint64_t>& cell) { return cell.load(std::memory_order_relaxed); };
    for (const Counters* worker : workers) {
        const Counters::Cells& cells = worker->cells();
        for (std::size_t row = 0; row <= cells.rules.size(); ++row) {
            const auto count = [&](rules::Verdict verdict) {
                return read(cells.rules[row].verdicts[static_cast<std::size_t>(verdict)]);
            };
            totals.hits += count(rules::Verdict::hit) + count(rules::Verdict::stale_hit);
            totals.misses += count(rules::Verdict::miss) + count(rules::Verdict::revalidate);
            totals.bypasses += count(rules::Verdict::bypass);
        }
        for (const auto& operation : cells.store_operations) {
            for (const auto& bucket : operation.buckets) totals.store_operations += read(bucket);
            totals.store_nanoseconds += read(operation.sum_nanoseconds);
        }
    }
    totals.requests = totals.hits + totals.misses + totals.bypasses;
    return totals;
}

void LastMinute::note(const Totals& totals, rules::Instant now)
{
    noted_.push_back({now, totals});
    // The oldest is the youngest that is as old as the window.
    while (noted_.size() > 1 && now - noted_[1].at >= window) noted_.pop_front();
}

LastMinute::Rates LastMinute::rates(const Totals& totals, rules::Instant now) const
{
    Rates rates;
    if (noted_.empty()) return rates;
    const Noted& before = noted_.front();
    rates.seconds = std::chrono::duration<double>(now - before.at).count();
    if (rates.seconds <= 0) return rates;
    const auto share = [](std::uint64_t part, std::uint64_t all) {
        return all == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(all);
    };
    const auto per_minute = [&](std::uint64_t count) { return static_cast<double>(count) * 60 / rates.seconds; };
    const Totals& from = before.totals;
    const std::uint64_t requests = totals.requests - from.requests, hits = totals.hits - from.hits,
                        misses = totals.misses - from.misses, bypasses = totals.bypasses - from.bypasses,
                        operations = totals.store_operations - from.store_operations;
    rates.requests_per_minute = per_minute(requests);
    rates.hit_rate = share(hits, hits + misses);
    rates.miss_rate = share(misses, hits + misses);
    rates.bypass_rate = share(bypasses, requests);
    rates.store_operations_per_minute = per_minute(operations);
    rates.store_milliseconds = share(totals.store_nanoseconds - from.store_nanoseconds, operations) / 1e6;
    return rates;
}

}  // namespace larder::proxy
