#include "proxy/exchange/fleet_fill.hpp"

#include <atomic>
#include <boost/asio/steady_timer.hpp>

#include "proxy/exchange/lease_wait.hpp"
#include "proxy/exchange/uncacheable.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/observe/log.hpp"
#include "rules/verdict/judge_lookup.hpp"

namespace larder::proxy {

using rules::Milliseconds;
using rules::NotStored;

namespace {

constexpr Milliseconds wait_limit{1'000};

/// What another replica has stored: is it an answer for those who wait here?
bool is_usable(const Found& found, bool refresh)
{
    if (found.kind != Found::Kind::hit) return false;
    if (found.entry->kind == EntryKind::vary_index) return true;  // the lookup chooses the variant
    if (found.entry->is_part()) return false;
    const rules::Verdict verdict = rules::judge_lookup(found.entry->times, wall_now()).verdict;
    return verdict == rules::Verdict::hit || (verdict == rules::Verdict::stale_hit && !refresh);
}

/// Ends the fill without a fetch. It is taken out first: who looks again must not meet it again.
void leave_to_others(Services& services, Fill& fill, bool waited)
{
    services.fills.end(fill);
    fill.leave_to_others(waited);
}

void note_given_up(Services& services)
{
    services.counters.add(Counter::lease_wait_timeouts);
    static std::atomic<std::int64_t> logged{0};
    const std::int64_t now = std::chrono::duration_cast<rules::Seconds>(instant_now().time_since_epoch()).count();
    std::int64_t last = logged.load(std::memory_order_relaxed);
    constexpr std::int64_t every_seconds = 10;
    if (now - last < every_seconds || !logged.compare_exchange_strong(last, now)) return;
    log_event(config::LogLevel::info, "gave up waiting for another replica's fetch", {});
}

}  // namespace

bool is_shared(const Services& services, const FillRequest& request) noexcept
{
    return request.fill->may_store && !services.cache.embedded() &&
           request.exchange->judgement.rule->coalesce == rules::Coalesce::fleet;
}

bool owes_lease(const Services& services, const FillRequest& request) noexcept
{
    return is_shared(services, request) && (!request.lease.owner.empty() || request.uncacheable != NotStored::none);
}

void name_lease(FillRequest& request)
{
    request.lease.key = request.fill->key;
    request.lease.variant = request.variant;
}

bool settles(const Services& services, const FillRequest& request, const Leased& leased)
{
    CoherentCache& cache = services.cache;
    const Fill& fill = *request.fill;
    return leased.kind == Leased::Kind::ours && cache.knows(fill.key, leased) &&
           !cache.voided_since(fill.key, fill.token);
}

asio::awaitable<bool> may_fetch(Services& services, FillRequest& request)
{
    using Step = LeaseWait::Step;
    CoherentCache& cache = services.cache;
    Fill& fill = *request.fill;
    name_lease(request);
    if (request.terms.alone) co_return true;
    const Milliseconds patience = std::min(wait_limit, services.config->upstream.first_byte_timeout / 2);
    LeaseWait wait(request.exchange->begun + patience, request.refresh);
    asio::steady_timer timer(services.context);
    Leased leased;
    bool is_found = false;
    const auto overtaken = [&] { return cache.voided_since(fill.key, fill.token); };
    for (Step step = wait.begin(overtaken());;) {
        switch (step) {
        case Step::ask: {
            const bool had_waited = wait.has_waited();
            std::optional<Leased> told = std::exchange(request.leased, std::nullopt);
            leased = co_await cache.lease(request.lease, fill.token, request.seen, std::move(told));
            step = wait.on_lease(leased.kind, overtaken(), instant_now());
            if (leased.kind == Leased::Kind::ours) services.counters.add(Counter::leases_won);
            if (wait.has_waited() && !had_waited) services.counters.add(Counter::lease_waits);
            break;
        }
        case Step::read: {
            // Brings it into memory, where all who wait find it with one look between them.
            const Found found = co_await cache.find_in_store(fill.key, request.variant, wall_now());
            const bool passes = found.kind == Found::Kind::marked || found.kind == Found::Kind::away;
            is_found = is_usable(found, request.refresh);
            if (is_found) services.counters.add(Counter::fetches_spared);
            request.seen = leased.stored;
            step = wait.on_read(is_found || passes, overtaken());
            break;
        }
        case Step::pause: {
            timer.expires_after(wait.pause());
            co_await timer.async_wait(no_throw);
            const LeaseNow now = co_await cache.look_at_lease(request.lease, leased.holder);
            step = wait.on_look(now, overtaken(), instant_now());
            break;
        }
        case Step::fetch:
            if (wait.has_given_up()) note_given_up(services);
            co_return true;
        case Step::look_again:
            if (wait.has_given_up()) note_given_up(services);
            leave_to_others(services, fill, is_found && wait.has_waited());
            co_return false;
        case Step::release:
            services.counters.add(Counter::uncacheable_known);
            services.fills.remember_uncacheable(fill.stored_as, leased.reason, instant_now() + leased.left);
            fill.release_all(leased.reason);
            co_return false;
        }
    }
}

asio::awaitable<void> end_lease(Services& services, FillRequest& request)
{
    const bool uncacheable = request.uncacheable != NotStored::none;
    co_await services.cache.release(request.lease, request.uncacheable, uncacheable_memory);
    services.counters.add(uncacheable ? Counter::uncacheable_told : Counter::leases_released);
}

}  // namespace larder::proxy
