#include "proxy/exchange/fleet_fill.hpp"

#include <algorithm>
#include <atomic>
#include <boost/asio/steady_timer.hpp>

#include "proxy/net/clock.hpp"
#include "proxy/observe/log.hpp"
#include "rules/verdict/judge_lookup.hpp"

namespace larder::proxy {

using rules::Milliseconds;
using rules::NotStored;

namespace {

constexpr Milliseconds wait_limit{1'000};
constexpr Milliseconds first_pause{5}, longest_pause{40};

bool is_shared(const Services& services, const FillRequest& request)
{
    return !services.cache.embedded() && request.exchange->judgement.rule->coalesce == rules::Coalesce::fleet;
}

/// How the wait for another's lease has ended.
enum class Waited : std::uint8_t { ended, overtaken, too_long, away };

asio::awaitable<Waited> await_lease(Services& services, const FillRequest& request, const std::string& holder,
                                    rules::Instant until)
{
    CoherentCache& cache = services.cache;
    const Fill& fill = *request.fill;
    asio::steady_timer timer(services.context);
    for (Milliseconds pause = first_pause;; pause = std::min(2 * pause, longest_pause)) {
        const auto left = until - instant_now();
        if (left.count() <= 0) co_return Waited::too_long;
        timer.expires_after(std::min<std::chrono::nanoseconds>(pause, left));
        co_await timer.async_wait(no_throw);
        const LeaseNow now = co_await cache.look_at_lease(request.lease, holder);
        if (now == LeaseNow::away) co_return Waited::away;
        // Whoever waits here began before that record, whoever comes now did not: they part.
        if (cache.voided_since(fill.key, fill.token)) co_return Waited::overtaken;
        if (now == LeaseNow::changed) co_return Waited::ended;
    }
}

/// What another replica has stored: is it an answer for those who wait here?
bool is_usable(const Found& found, bool refresh)
{
    if (found.kind != Found::Kind::hit) return false;
    if (found.entry->kind == EntryKind::vary_index) return true;  // the lookup chooses the variant
    const rules::Verdict verdict = rules::judge_lookup(found.entry->times, wall_now()).verdict;
    return verdict == rules::Verdict::hit || (verdict == rules::Verdict::stale_hit && !refresh);
}

/// Ends the fill without a fetch. It is taken out first: who looks again must not meet it again.
void leave_to_others(Services& services, Fill& fill, bool waited)
{
    services.fills.end(fill);
    fill.leave_to_others(waited);
}

void log_timeout()
{
    static std::atomic<std::int64_t> logged{0};
    const std::int64_t now = std::chrono::duration_cast<rules::Seconds>(instant_now().time_since_epoch()).count();
    std::int64_t last = logged.load(std::memory_order_relaxed);
    constexpr std::int64_t every_seconds = 10;
    if (now - last < every_seconds || !logged.compare_exchange_strong(last, now)) return;
    log_event(config::LogLevel::info, "gave up waiting for another replica's fetch", {});
}

}  // namespace

asio::awaitable<bool> may_fetch(Services& services, FillRequest& request)
{
    if (!is_shared(services, request)) co_return true;
    CoherentCache& cache = services.cache;
    Fill& fill = *request.fill;
    request.lease.key = fill.key;
    request.lease.variant = request.variant;
    const rules::Instant until =
        request.exchange->begun + std::min(wait_limit, services.config.upstream.first_byte_timeout / 2);
    bool has_waited = false, in_vain = false;
    constexpr int tries = 5;  // each but the last finds that something has changed
    for (int i = 0; i < tries && !in_vain; ++i) {
        const Leased leased = co_await cache.lease(request.lease, fill.token, request.seen);
        switch (leased.kind) {
        case Leased::Kind::ours: services.counters.add(Counter::leases_won); co_return true;
        case Leased::Kind::away: in_vain = true; break;
        case Leased::Kind::uncacheable:
            services.counters.add(Counter::uncacheable_known);
            services.fills.remember_uncacheable(fill.stored_as, leased.reason, instant_now() + leased.left);
            fill.release_all(leased.reason);
            co_return false;
        case Leased::Kind::stored: {
            // Brings it into memory, where all who wait find it with one look between them.
            const Found found = co_await cache.find_in_store(fill.key, request.variant, wall_now());
            const bool passes = found.kind == Found::Kind::marked || found.kind == Found::Kind::away;
            if (passes || is_usable(found, request.refresh)) {
                if (!passes) services.counters.add(Counter::fetches_spared);
                leave_to_others(services, fill, has_waited);
                co_return false;
            }
            request.seen = leased.stored;
            break;
        }
        case Leased::Kind::taken: {
            // One fetch that gave nothing to store may not hold up the next ones: then each replica fetches for itself.
            in_vain = has_waited;
            if (in_vain) break;
            services.counters.add(Counter::lease_waits);
            has_waited = true;
            const Waited waited = co_await await_lease(services, request, leased.holder, until);
            if (waited == Waited::overtaken) {
                leave_to_others(services, fill, false);
                co_return false;
            }
            in_vain = waited != Waited::ended;
            if (waited == Waited::too_long) {
                services.counters.add(Counter::lease_wait_timeouts);
                log_timeout();
            }
            break;
        }
        }
    }
    if (!request.refresh) co_return true;
    // A refresh is not worth a second fetch: the next one who finds the response stale asks again.
    leave_to_others(services, fill, false);
    co_return false;
}

asio::awaitable<void> end_lease(Services& services, FillRequest& request)
{
    if (!is_shared(services, request)) co_return;
    const bool uncacheable = request.uncacheable != NotStored::none;
    if (request.lease.owner.empty() && !uncacheable) co_return;
    co_await services.cache.release(request.lease, request.uncacheable, uncacheable_memory);
    services.counters.add(uncacheable ? Counter::uncacheable_told : Counter::leases_released);
}

}  // namespace larder::proxy
