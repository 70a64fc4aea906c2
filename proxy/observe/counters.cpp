#include "proxy/observe/counters.hpp"

#include <algorithm>
#include <array>
#include <bit>

#include "proxy/observe/cells.hpp"

namespace larder::proxy {

namespace {

template <class E>
constexpr std::size_t at(E e) noexcept
{
    return static_cast<std::size_t>(e);
}

std::size_t class_of_status(int status) noexcept
{
    const int first_digit = status / 100;
    return first_digit >= 1 && first_digit <= 5 ? static_cast<std::size_t>(first_digit) : 0;
}

/// The bucket of the least of all durations whose nanoseconds have so many binary digits.
constexpr auto first_bucket_of_width = [] {
    std::array<std::uint8_t, 65> buckets{};
    for (std::size_t width = 1; width < buckets.size(); ++width) {
        const std::uint64_t least = std::uint64_t{1} << (width - 1);
        for (const std::chrono::nanoseconds bound : duration_bounds)
            if (static_cast<std::uint64_t>(bound.count()) < least) ++buckets[width];
    }
    return buckets;
}();

}  // namespace

std::string_view word(StoreOperation operation) noexcept
{
    static constexpr std::string_view words[] = {
#define X(name, word) word,
        LARDER_STORE_OPERATIONS(X)
#undef X
    };
    return words[at(operation)];
}

std::string_view word(Verified verified) noexcept
{
    switch (verified) {
    case Verified::same: return "same";
    case Verified::different: return "different";
    case Verified::outdated: return "outdated";
    case Verified::failed: return "failed";
    }
    return "unknown";
}

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

void Counters::reserve_rules(std::size_t rules_count) { cells_->rules.reserve(rules_count); }

void Counters::add_error(rules::Errc error) noexcept
{
    if (at(error) < errors_count) bump(cells_->errors[at(error)], 1);
}

void Counters::add_purge(PurgeSource source) noexcept { bump(cells_->purges[at(source)], 1); }

void Counters::add_head_fault(rules::Scan fault) noexcept { bump(cells_->head_faults[at(fault)], 1); }

void Counters::add_exchange(const ExchangeCount& exchange) noexcept
{
    Cells::RuleRow& rule = cells_->rules[exchange.rule];
    bump(rule.verdicts[at(exchange.verdict)], 1);
    if (exchange.forward != rules::Forward::none) bump(rule.forwards[at(exchange.forward)], 1);
    if (exchange.forward == rules::Forward::write_open) bump(cells_->rules[exchange.mark_rule].marked_passes, 1);
    if (exchange.not_stored != rules::NotStored::none) bump(rule.not_stored[at(exchange.not_stored)], 1);
    bump(cells_->outcomes[at(exchange.outcome)], 1);
    bump(rule.responses[at(exchange.method)][class_of_status(exchange.status)], 1);
}

void Counters::add_response(int status) noexcept
{
    Cells::RuleRow& none = cells_->rules[UINT32_MAX];
    bump(none.responses[at(MethodClass::other)][class_of_status(status)], 1);
}

void Counters::add_saved(std::uint32_t rule, std::uint64_t body_bytes) noexcept
{
    Cells::RuleRow& row = cells_->rules[rule];
    bump(row.saved_nanoseconds, row.fetch_nanoseconds.load(std::memory_order_relaxed));
    bump(row.saved_bytes, body_bytes);
}

void Counters::add_fetch(std::uint32_t rule, std::chrono::nanoseconds duration) noexcept
{
    add_to(cells_->fetches, duration);
    std::atomic<std::uint64_t>& mean = cells_->rules[rule].fetch_nanoseconds;
    const std::uint64_t before = mean.load(std::memory_order_relaxed);
    const auto now = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0));
    constexpr std::uint64_t weight = 8;  // the last eight or so count
    mean.store(before == 0 ? now : (before * (weight - 1) + now) / weight, std::memory_order_relaxed);
}

void Counters::add_store_operation(StoreOperation operation, std::chrono::nanoseconds duration) noexcept
{
    add_to(cells_->store_operations[at(operation)], duration);
}

void Counters::add_verification(std::uint32_t rule, Verified verified) noexcept
{
    bump(cells_->rules[rule].verified[at(verified)], 1);
}

void Counters::add_purge_of(std::uint32_t rule) noexcept { bump(cells_->rules[rule].purges, 1); }

void Counters::add_not_stored(std::uint32_t rule, rules::NotStored reason) noexcept
{
    bump(cells_->rules[rule].not_stored[at(reason)], 1);
}

void Counters::add_duration(rules::Verdict verdict, std::chrono::nanoseconds duration) noexcept
{
    add_to(cells_->durations[at(verdict)], duration);
}

template <class Histogram>
void Counters::add_to(Histogram& histogram, std::chrono::nanoseconds duration) noexcept
{
    const auto nanoseconds = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0));
    std::size_t bucket = first_bucket_of_width[static_cast<std::size_t>(std::bit_width(nanoseconds))];
    while (bucket < duration_bounds.size() && duration > duration_bounds[bucket]) ++bucket;
    bump(histogram.buckets[bucket], 1);
    bump(histogram.sum_nanoseconds, nanoseconds);
}

}  // namespace larder::proxy
