#include "proxy/exchange/run_fill.hpp"

#include <algorithm>
#include <iterator>

#include "proxy/coherence/guards.hpp"
#include "proxy/exchange/fleet_fill.hpp"
#include "proxy/exchange/heads.hpp"
#include "proxy/exchange/refuse.hpp"
#include "proxy/exchange/stored_entry.hpp"
#include "proxy/exchange/uncacheable.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/net/deadline.hpp"
#include "proxy/net/wake_up.hpp"
#include "rules/http/conditional.hpp"
#include "rules/http/date.hpp"
#include "rules/http/fields.hpp"
#include "rules/key/groups.hpp"
#include "rules/verdict/judge_store.hpp"

namespace larder::proxy {

using rules::BodyKind;
using rules::Errc;
using rules::NotStored;

namespace {

/// Names the variant that a response is, and the index it belongs to. A key has 16 variants at most: the oldest makes
/// way, so that nobody keeps others out by asking for variants that nobody else wants. What earlier responses to the
/// key varied by counts for this one too: some apps forget Vary on their default answer, and the others should still be
/// chosen by it (RFC 9111 §4.1).
void name_variant(Services& services, const FillRequest& request, rules::VarySpec spec, Entry& entry,
                  std::shared_ptr<Entry>& new_index)
{
    const EntryPtr& old = request.index;
    if (old) {
        std::vector<std::string> all;
        std::set_union(spec.names.begin(), spec.names.end(), old->vary_names.begin(), old->vary_names.end(),
                       std::back_inserter(all));
        spec.names = std::move(all);
    }
    const std::string_view path = request.exchange->view.path;
    if (rules::has_spellings(path)) rules::vary_by_path(spec);
    if (spec.names.empty()) return;
    entry.vary_names = spec.names;
    entry.variant = variant_digest(rules::vary_values(spec, request.exchange->head.fields, path));
    const bool same = old && old->vary_names == spec.names;
    const bool known =
        same && std::find(old->variants.begin(), old->variants.end(), entry.variant) != old->variants.end();
    entry.generation = same ? old->generation : make_request_id();
    if (known) return;
    new_index = std::make_shared<Entry>();
    new_index->key = entry.key;
    new_index->kind = EntryKind::vary_index;
    new_index->times = entry.times;
    new_index->rule = entry.rule;
    new_index->vary_names = spec.names;
    new_index->generation = entry.generation;
    if (same) new_index->variants = old->variants;
    if (new_index->variants.size() >= variants_limit) {
        new_index->variants.erase(new_index->variants.begin());
        services.counters.add(Counter::variants_replaced);
    }
    new_index->variants.push_back(entry.variant);
}

asio::awaitable<NotStored> store_entry(Services& services, std::shared_ptr<Entry> entry,
                                       std::shared_ptr<Entry> new_index, EntryPtr old_index, LogToken token,
                                       FillLease& lease)
{
    if (new_index) {
        new_index->expires = old_index ? std::max(old_index->expires, entry->expires) : entry->expires;
        const NotStored refused = co_await services.cache.store(new_index, token);
        if (refused != NotStored::none && refused != NotStored::newer) co_return refused;
    }
    const NotStored refused = co_await services.cache.store(entry, token, &lease);  // not before the variant is there
    if (entry->is_part() && refused == NotStored::none) services.counters.add(Counter::parts_stored);
    co_return refused;
}

/// May the expired response stand in for a fetch that has failed? A purge may have come since it was looked up: it is
/// held against the log once more, or, with Redis away, against what is known of it here. Who waits for it came before.
asio::awaitable<bool> may_stand_in(Services& services, const FillRequest& request)
{
    if (!request.stale || !request.terms.may_use_stored ||
        !rules::may_serve_on_error(request.stale->times, wall_now(), request.terms.stale_for))
        co_return false;
    const Fill& fill = *request.fill;
    co_await services.cache.find(fill.key, request.variant, wall_now());
    co_return !services.cache.voided_since(*request.stale, fill.token);
}

/// The fetch failed before anything could be streamed: the stale entry if it may stand in, else the error.
asio::awaitable<void> end_failed(Services& services, const FillRequest& request, Errc error)
{
    const bool is_spared = co_await may_stand_in(services, request);
    if (!is_spared) co_return request.fill->fail(error);
    services.counters.add_error(error);
    request.fill->complete(request.stale, 0, true, NotStored::none);
}

asio::awaitable<Errc> read_final_head(Fetch& fetch, Fill& fill)
{
    constexpr int interim_limit = 32;
    for (int count = 0; count < interim_limit; ++count) {
        const Errc error = co_await fetch.read_head(false);
        if (error != Errc::ok) co_return error;
        const rules::ResponseHead& head = fetch.head();
        if (head.status >= 200) co_return Errc::ok;
        if (head.status == 101) break;
        if (head.status == 100) continue;
        std::string interim;
        append_interim_head(interim, head);
        fill.add_interim(interim);
    }
    co_return Errc::upstream_malformed;
}

/// Nobody waits for the next fetch of this key: in this process from now on, elsewhere once the lease has been ended.
void remember_uncacheable(Services& services, FillRequest& request, NotStored reason)
{
    if (request.terms.range) return;  // of a part that says nothing about the whole
    request.uncacheable = reason;
    services.fills.remember_uncacheable(request.fill->stored_as, reason, instant_now() + uncacheable_memory);
}

/// Sends the request of a fill and reads the head of its answer.
/// @param condition  the stored response to be validated; null: the request is unconditional
asio::awaitable<Errc> ask(const FillRequest& request, const Entry* condition, Fetch& fetch)
{
    const Exchange& exchange = *request.exchange;
    const std::string target = fill_target(exchange);
    std::string request_head;
    UpstreamHeadOptions options;
    options.target = target;
    options.for_fill = true;
    options.for_part = request.terms.range;
    options.revalidate = condition;
    append_upstream_head(request_head, exchange, options);
    const std::string_view no_body;
    std::optional<Errc> sent = fetch.send(request_head, no_body, true);
    if (!sent) sent = co_await fetch.send_rest();
    if (*sent != Errc::ok) co_return *sent;
    const Errc read = co_await read_final_head(fetch, *request.fill);
    co_return read;
}

/// The fetch of a fill, from request to stored entry. Runs on one worker; nobody's leaving ends it while it can be
/// stored.
asio::awaitable<void> fetch_and_store(Services& services, FillRequest& request)
{
    Fill& fill = *request.fill;
    Exchange& exchange = *request.exchange;
    const rules::Rule& rule = *exchange.judgement.rule;
    auto fetch = std::make_unique<Fetch>(services.upstream, services.read_buffer, services.response_limits);
    const Entry* condition = request.stale && has_validator(*request.stale) ? request.stale.get() : nullptr;

    rules::WallTime requested = wall_now();
    Errc error = co_await ask(request, condition, *fetch);
    const bool answered = error == Errc::ok && condition && fetch->head().status == 304;
    if (answered && !rules::identifies(fetch->head().fields, condition->etag, condition->last_modified)) {
        // It speaks of a response that is not the stored one, which may not be used or updated (RFC 9111 §4.3.4).
        services.counters.add(Counter::validations_mismatched);
        fetch->finish();
        fetch = std::make_unique<Fetch>(services.upstream, services.read_buffer, services.response_limits);
        condition = nullptr;
        requested = wall_now();
        error = co_await ask(request, condition, *fetch);
    }
    exchange.upstream_time = instant_now() - (fetch->connection() ? fetch->sent_at() : exchange.begun);
    if (error != Errc::ok) co_return co_await end_failed(services, request, error);

    const rules::WallTime received = wall_now();
    const rules::ResponseHead& response = fetch->head();
    if (response.status == 304 && condition) {
        Renewed renewed = renew_entry(exchange, *request.stale, response.fields, requested, received);
        fetch->finish();
        const std::shared_ptr<Entry> entry = renewed.entry;
        NotStored reason = renewed.reason;
        if (!entry) co_return fill.fail(Errc::upstream_malformed);
        // The 304 may name more fields to vary by than the response did.
        std::shared_ptr<Entry> new_index;
        if (reason == NotStored::none && !renewed.varies_as_before) {
            if (entry->is_part())
                reason = NotStored::vary_changed;
            else
                name_variant(services, request, std::move(renewed.vary), *entry, new_index);
        }
        if (reason == NotStored::none && fill.may_store)
            reason = co_await store_entry(services, entry, new_index, request.index, fill.token, request.lease);
        co_return fill.complete(entry, 304, false, reason);
    }
    const bool server_failed = response.status >= 500 && response.status <= 504 && response.status != 501;
    if (server_failed && request.stale) {
        const int status = response.status;
        fetch->keep();  // what was read of the answer so far
        const bool is_spared = co_await may_stand_in(services, request);
        if (is_spared) co_return fill.complete(request.stale, status, true, NotStored::none);
    }

    const rules::StoreJudgement judged =
        judge_answer(services, exchange, response, requested, received, request.terms.range);
    NotStored reason = judged.reason;
    const std::uint64_t max_object = services.config.max_object;
    const bool length_known = response.body == BodyKind::length || response.body == BodyKind::none;
    const std::uint64_t length = response.body == BodyKind::length ? response.content_length : 0;

    auto meta = make_entry(exchange, judged.times);
    meta->groups = rules::groups_of(response.fields, exchange.head.authority, rule.tags_of_response);
    std::shared_ptr<Entry> new_index;
    if (reason == NotStored::none)
        name_variant(services, request, rules::parse_vary(response.fields), *meta, new_index);
    if (reason != NotStored::none) {
        if (is_lasting(response, reason)) remember_uncacheable(services, request, reason);
        fetch->keep();
        fetch->pause_deadline();  // until the leader reads on
        co_return fill.release(reason, std::move(fetch));
    }
    services.fills.forget_uncacheable(fill.stored_as);
    if (services.cache.behind_own_writes(fill.key)) {  // the client is told "stored", or that a write has overtaken it
        fetch->keep();
        co_await services.cache.see_own_writes(fill.key);
    }
    const bool overtaken = fill.may_store && services.cache.voided_since(*meta, fill.token);

    meta->status = response.status;
    append_status_line(meta->head, response.status, response.phrase);
    append_end_to_end_fields(meta->head, response, true, rule.strip_set_cookie, received);
    meta->own_policy = rules::combined_value(response.fields, rules::FieldId::larder_cache_control);
    meta->index_head();
    fill.start(meta, length_known, length, length_known ? static_cast<std::size_t>(length) : 0,
               overtaken ? NotStored::fenced : NotStored::none);

    for (;;) {
        const BodyPiece piece = fetch->next_body();
        if (piece.kind == BodyPiece::Kind::data) {
            fill.append(piece.data);
            if (fill.received() <= max_object) continue;
            if (is_lasting(response, NotStored::too_large))
                remember_uncacheable(services, request, NotStored::too_large);
            fetch->keep();
            fetch->pause_deadline();
            co_return fill.release(NotStored::too_large, std::move(fetch));
        }
        if (piece.kind == BodyPiece::Kind::end) break;
        if (piece.kind == BodyPiece::Kind::failed) co_return fill.fail(piece.error);
        co_await fetch->wait_body();
    }
    fetch->finish();

    auto entry = make_entry(exchange, judged.times);
    entry->status = meta->status;
    entry->head = meta->head;
    entry->variant = meta->variant;
    entry->vary_names = meta->vary_names;
    entry->generation = meta->generation;
    entry->own_policy = meta->own_policy;
    entry->groups = meta->groups;
    entry->body = fill.take_body();
    entry->index_head();
    NotStored unfit = NotStored::none;
    if (entry->is_part()) {
        // Meanwhile the whole may have been stored, which a part must not displace, or another part.
        const Found present = co_await services.cache.find(fill.key, request.variant, wall_now());
        const bool is_there = present.kind == Found::Kind::hit && present.entry->kind == EntryKind::response;
        if (!finish_part(*entry, is_there && present.entry->is_part() ? present.entry.get() : nullptr, max_object))
            unfit = NotStored::partial;
        else if (is_there && !present.entry->is_part() && entry->is_part())
            unfit = NotStored::newer;
    }
    if (entry->status != 204) {
        entry->head += "Content-Length: ";
        append_number(entry->head, entry->body.size());
        entry->head += "\r\n";
    }
    entry->index_head();
    entry->expires = hard_expiry(judged.times, has_validator(*entry));
    if (unfit != NotStored::none) co_return fill.complete(entry, 0, false, unfit);
    if (!fill.may_store) co_return fill.complete(entry, 0, false, NotStored::none);
    if (services.cache.embedded()) {
        // Stored before the last byte is handed out: whoever has the answer finds the entry.
        const NotStored refused =
            co_await store_entry(services, entry, new_index, request.index, fill.token, request.lease);
        fill.complete(entry, 0, false, refused);
    } else {
        // Nobody waits for Redis to have his answer: what is known of writes so far decides what he is told.
        if (services.cache.behind_own_writes(fill.key)) co_await services.cache.see_own_writes(fill.key);
        const bool fenced = services.cache.voided_since(*entry, fill.token) && guarded(Guard::fence);
        fill.complete(entry, 0, false, fenced ? NotStored::fenced : NotStored::none);
        if (fenced) co_return;
        const NotStored refused =
            co_await store_entry(services, entry, new_index, request.index, fill.token, request.lease);
        if (refused != NotStored::none) services.counters.add_not_stored(exchange.count.rule, refused);
    }
}

/// Waits until the fetch has ended, well or not. False: it has taken too long.
asio::awaitable<bool> await_end(Services& services, Fill& fill, rules::Milliseconds patience)
{
    bool timed_out = false;
    WakeUp* waiting = nullptr;
    auto on_expiry = [&] {
        timed_out = true;
        if (waiting) waiting->wake();
    };
    DeadlineOf<decltype(on_expiry)> deadline(on_expiry);
    deadline.arm(services.wheel, patience);
    for (;;) {
        const Fill::View view = fill.look(UINT64_MAX, SIZE_MAX);
        if (view.state != Fill::State::waiting && view.state != Fill::State::streaming) co_return true;
        if (timed_out) co_return false;
        WakeUp waiter(services.context);
        waiting = &waiter;
        if (fill.subscribe(waiter, view.state)) co_await waiter.wait();
        waiting = nullptr;
        fill.unsubscribe(waiter);
    }
}

}  // namespace

asio::awaitable<void> run_fill(Services& services, FillRequest request)
{
    services.counters.fills_under_way.fetch_add(1, std::memory_order_relaxed);
    const std::shared_ptr<Fill> fill = request.fill;
    std::exception_ptr bug;
    try {
        const bool ours = co_await may_fetch(services, request);
        if (ours) {
            services.counters.add(Counter::fills);
            co_await fetch_and_store(services, request);
        }
    } catch (...) {  // nobody may be left waiting for it
        bug = std::current_exception();
        fill->fail(Errc::upstream_closed);
    }
    services.fills.end(*fill);
    services.counters.fills_under_way.fetch_sub(1, std::memory_order_relaxed);
    co_await end_lease(services, request);
    if (bug) std::rethrow_exception(bug);
}

asio::awaitable<void> run_shared_pass(Services& services, FillRequest request, std::shared_ptr<Fill> after)
{
    services.counters.fills_under_way.fetch_add(1, std::memory_order_relaxed);
    const std::shared_ptr<Fill> fill = request.fill;
    std::exception_ptr bug;
    try {
        if (after) {
            const bool ended = co_await await_end(services, *after, services.config.upstream.first_byte_timeout / 2);
            if (!ended) services.counters.add(Counter::join_timeouts);
        }
        services.fills.send_unsent(fill);
        const NotStored uncacheable = services.fills.uncacheable(fill->stored_as, instant_now());
        if (uncacheable == NotStored::none)
            co_await fetch_and_store(services, request);
        else
            fill->release_all(uncacheable);  // the one before was: nobody waits again
    } catch (...) {
        bug = std::current_exception();
        fill->fail(Errc::upstream_closed);
    }
    services.fills.end_unsent(*fill);
    services.counters.fills_under_way.fetch_sub(1, std::memory_order_relaxed);
    if (bug) std::rethrow_exception(bug);
}

}  // namespace larder::proxy
