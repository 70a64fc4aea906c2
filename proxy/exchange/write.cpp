#include "proxy/exchange/write.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <optional>

#include "proxy/coherence/guards.hpp"
#include "proxy/exchange/forward.hpp"
#include "proxy/exchange/invalidation.hpp"
#include "proxy/exchange/mark_renewal.hpp"
#include "proxy/exchange/purge_note.hpp"
#include "proxy/exchange/refuse.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/net/pause.hpp"
#include "proxy/observe/log.hpp"
#include "rules/key/groups.hpp"

namespace larder::proxy {

using rules::Errc;

namespace {

constexpr std::size_t body_values_limit_bytes = 64 * 1024;

/// What the rules of one write ask for together: the strictest of each.
struct WritePolicy {
    bool fence_before = false;
    bool reject = false;
    bool needs_body = false;
    bool needs_response = false;
    bool tags_of_response = false;
    rules::Milliseconds settle{0};
    std::string_view rule;  // whose writes take the keys from the cache: the first with `fence: both`, else the first
};

WritePolicy policy_of(const std::vector<rules::Matched>& matched)
{
    WritePolicy policy;
    if (!matched.empty()) policy.rule = matched.front().rule->name;
    for (const rules::Matched& one : matched) {
        if (!policy.fence_before && one.rule->fence == rules::Fence::both) policy.rule = one.rule->name;
        policy.fence_before |= one.rule->fence == rules::Fence::both;
        policy.reject |= one.rule->on_store_error == rules::OnStoreError::reject;
        policy.needs_body |= rules::needs_body(*one.rule);
        policy.needs_response |= rules::needs_response(*one.rule);
        policy.tags_of_response |= one.rule->tags_of_response;
        policy.settle = std::max(policy.settle, one.rule->settle);
    }
    return policy;
}

/// on_store_error: reject. The upstream is not touched.
asio::awaitable<void> reject(Services& services, Client& client, Exchange& exchange, Forwarding& forwarding,
                             WritePurge& write, Errc error)
{
    forwarding.abandon();
    co_await services.cache.withdraw(write);  // some shards may have its PREPARE
    services.counters.add(Counter::writes_rejected);
    exchange.count.forward = rules::Forward::none;
    co_await refuse(services, client, exchange, error);
}

/// PREPARE, with most of the mark's life still to come: a process that has slept meanwhile (or a store that has) does
/// it again before it forwards anything.
asio::awaitable<Errc> prepare(Services& services, WritePurge& write)
{
    constexpr int tries = 3;
    Errc error = Errc::ok;
    for (int i = 0; i < tries; ++i) {
        error = co_await services.cache.prepare(write);
        const bool is_fresh = instant_now() - write.prepared_at <= services.cache.mark_life() / 2;
        if (error != Errc::ok || is_fresh || !write.prepared) break;
        services.counters.add(Counter::marks_renewed);
    }
    co_return error;
}

/// The answer is lost: the mark stays open for a whole life from now on. A store that does not take it now shall take
/// it with the purge, which may be replayed later: a plain COMMIT would close even the mark that the write has already.
asio::awaitable<void> mark_anew(Services& services, WritePurge& write)
{
    const Errc marked = co_await services.cache.prepare(write);
    if (marked == Errc::ok) co_return;
    const rules::Milliseconds settle = write.settle;
    write.settle = std::max(settle, services.cache.mark_life());
    co_await services.cache.commit(write);
    write.settle = settle;
}

/// The upstream may or may not have acted, and may still: the mark stays open to its end, then the purge is repeated.
asio::awaitable<void> run_late_commit(Services& services, WritePurge write)
{
    // In steps, so that a stop does not wait for it: then the purge goes out at once, which is the best that is left.
    constexpr rules::Milliseconds step{500};
    const rules::Instant mark_end = write.prepared_at + services.cache.mark_life();
    Pause pause(services.context, services.wheel);
    while (instant_now() < mark_end && !services.stopping) co_await pause.wait(step);
    if (!guarded(Guard::late_commit)) co_return;
    const Errc committed = co_await services.cache.commit(write);
    note_purge(services, write, PurgeSource::write, committed);
}

}  // namespace

asio::awaitable<void> forward_write(Services& services, Client& client, ExchangePtr exchange)
{
    std::vector<rules::Matched> matched;
    exchange->config->matcher->match_purge(exchange->view, matched);
    exchange->count.outcome = rules::Outcome::passed;
    WritePolicy policy = policy_of(matched);
    Forwarding forwarding(services, client, exchange);

    // What the request names, its body included.
    std::optional<boost::json::value> body;
    if (policy.needs_body) {
        const Forwarding::Buffered read = co_await forwarding.buffer_body(body_values_limit_bytes);
        if (read.error != Errc::ok) {
            forwarding.abandon();
            co_return co_await refuse(services, client, *exchange, read.error);
        }
        if (read.whole) {
            boost::system::error_code ec;
            boost::json::value parsed = boost::json::parse(forwarding.buffered(), ec);
            if (!ec) body = std::move(parsed);
        }
    }
    rules::WriteValues values;
    values.body = body ? &*body : nullptr;
    values.before_response = true;
    WritePurge write;
    write.settle = policy.settle;
    write.rule = policy.rule;
    for (const rules::Matched& one : matched)
        rules::append_purge_targets(write.targets, *one.rule, exchange->view, one.values, values);

    if (policy.fence_before && !write.targets.empty()) {
        const rules::Instant begun = instant_now();
        const Errc prepared = co_await prepare(services, write);
        exchange->store_time += instant_now() - begun;
        if (prepared != Errc::ok && policy.reject)
            co_return co_await reject(services, client, *exchange, forwarding, write, prepared);
    } else if (policy.reject && !services.cache.trusted(write.targets)) {
        co_return co_await reject(services, client, *exchange, forwarding, write, Errc::store_unreachable);
    }

    if (!matched.empty()) services.counters.add_purge(PurgeSource::write);
    for (const rules::Matched& one : matched) services.counters.add_purge_of(one.rule->index);
    MarkRenewal renewal(services, write);
    const Errc error = co_await forwarding.request();
    if (error == Errc::ok) forwarding.keep();
    co_await renewal.end();
    // Other rules are in force since then: by them, responses may have been stored under names that the old ones do
    // not know, while the app acted on this write. Both are purged.
    const config::ConfigPtr in_force = services.config;
    if (in_force != exchange->config) {
        in_force->matcher->match_purge(exchange->view, matched);
        policy.tags_of_response = policy_of(matched).tags_of_response;
        policy.needs_response = true;
    }
    if (error != Errc::ok) {
        if (!forwarding.never_sent()) {
            // It may act on the write yet, or have done so: what its answer would have named is unknown, so it widens.
            // The mark stays open for its whole life from now on, and the purge is repeated when it ends.
            values.before_response = false;
            for (const rules::Matched& one : matched)
                rules::append_purge_targets(write.targets, *one.rule, exchange->view, one.values, values);
            if (!write.targets.empty()) {
                co_await mark_anew(services, write);
                services.tasks.spawn("late commit", run_late_commit(services, write));
            }
        } else {
            const Errc committed = co_await services.cache.commit(write);
            note_purge(services, write, PurgeSource::write, committed);
        }
        co_return co_await refuse(services, client, *exchange, error);
    }

    // What the rules name is purged on any status: a 4xx or 5xx may come after the change.
    if (policy.needs_response) {
        values.before_response = false;
        values.response = &forwarding.response().fields;
        for (const rules::Matched& one : matched)
            rules::append_purge_targets(write.targets, *one.rule, exchange->view, one.values, values);
    }
    const std::size_t named_count = write.targets.size();
    rules::append_group_targets(write.targets, forwarding.response().fields, exchange->head.authority,
                                policy.tags_of_response);
    append_invalidated_by(write.targets, *exchange, forwarding.response());
    if (write.targets.size() > named_count) services.counters.add_purge(PurgeSource::invalidation);
    const rules::Instant begun = instant_now();
    const Errc committed = co_await services.cache.commit(write);
    exchange->store_time += instant_now() - begun;
    if (committed != Errc::ok) exchange->cache_purge = services.cache.fenced(write) ? "fenced" : "deferred";
    note_purge(services, write, matched.empty() ? PurgeSource::invalidation : PurgeSource::write, committed);
    co_await forwarding.respond();
}

}  // namespace larder::proxy
