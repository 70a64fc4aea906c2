#include "proxy/observe/counters.hpp"

#include <algorithm>

#include "proxy/observe/cells.hpp"

namespace larder::proxy {

namespace {

template <class E>
constexpr std::size_t at(E e) noexcept
{
    return static_cast<std::size_t>(e);
}

}  // namespace

std::string_view word(PurgeSource source) noexcept
{
    switch (source) {
    case PurgeSource::write: return "write";
    case PurgeSource::admin: return "admin";
    case PurgeSource::invalidation: return "invalidation";
    }
    return "unknown";
}

Counters::Counters(std::size_t rules_count) : cells_(std::make_unique<Cells>(rules_count)) {}
Counters::~Counters() = default;

void Counters::add_error(rules::Errc error) noexcept
{
    if (at(error) < errors_count) bump(cells_->errors[at(error)], 1);
}

void Counters::add_purge(PurgeSource source) noexcept { bump(cells_->purges[at(source)], 1); }

void Counters::add_head_fault(rules::Scan fault) noexcept { bump(cells_->head_faults[at(fault)], 1); }

void Counters::add_exchange(const ExchangeCount& exchange) noexcept
{
    const std::size_t row = std::min<std::size_t>(exchange.rule, cells_->rules.size() - 1);
    Cells::RuleRow& rule = cells_->rules[row];
    bump(rule.verdicts[at(exchange.verdict)], 1);
    if (exchange.forward != rules::Forward::none) bump(rule.forwards[at(exchange.forward)], 1);
    if (exchange.forward == rules::Forward::write_open)
        bump(cells_->rules[std::min<std::size_t>(exchange.mark_rule, cells_->rules.size() - 1)].marked_passes, 1);
    if (exchange.not_stored != rules::NotStored::none) bump(rule.not_stored[at(exchange.not_stored)], 1);
    bump(cells_->outcomes[at(exchange.outcome)], 1);
    add_response(exchange.status);
}

void Counters::add_response(int status) noexcept
{
    const int first_digit = status / 100;
    bump(cells_->classes[first_digit >= 1 && first_digit <= 5 ? static_cast<std::size_t>(first_digit) : 0], 1);
}

void Counters::add_not_stored(std::uint32_t rule, rules::NotStored reason) noexcept
{
    const std::size_t row = std::min<std::size_t>(rule, cells_->rules.size() - 1);
    bump(cells_->rules[row].not_stored[at(reason)], 1);
}

void Counters::add_duration(rules::Verdict verdict, std::chrono::nanoseconds duration) noexcept
{
    Cells::Histogram& histogram = cells_->durations[at(verdict)];
    // Linear on purpose: a hit ends in the first or second bucket.
    std::size_t bucket = 0;
    while (bucket < duration_bounds.size() && duration > duration_bounds[bucket]) ++bucket;
    bump(histogram.buckets[bucket], 1);
    bump(histogram.sum_nanoseconds, static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0)));
}

}  // namespace larder::proxy
