#include "proxy/exchange/filling.hpp"

#include <algorithm>
#include <iterator>

#include "proxy/coherence/guards.hpp"
#include "proxy/exchange/exchange_span.hpp"
#include "proxy/exchange/fleet_fill.hpp"
#include "proxy/exchange/heads.hpp"
#include "proxy/exchange/refuse.hpp"
#include "proxy/exchange/stored_entry.hpp"
#include "proxy/exchange/uncacheable.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/net/deadline.hpp"
#include "proxy/net/wake_up.hpp"
#include "rules/base/appender.hpp"
#include "rules/base/text.hpp"
#include "rules/http/conditional.hpp"
#include "rules/http/fields.hpp"
#include "rules/key/groups.hpp"
#include "rules/verdict/judge_store.hpp"

namespace larder::proxy {

using rules::BodyKind;
using rules::Errc;
using rules::NotStored;

namespace {

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

/// Does a 304 speak of the stored response that was asked about?
bool confirms(const rules::ResponseHead& not_modified, const Entry& asked_about)
{
    const Validators held = asked_about.validators();
    return rules::identifies(not_modified.fields, held.etag, held.last_modified);
}

}  // namespace

Filling::Filling(Services& services, FillRequest&& request)
    : services_(services), request_(std::move(request)), fill_(*request_.fill), exchange_(*request_.exchange)
{
    services_.counters.fills_under_way.fetch_add(1, std::memory_order_relaxed);
}

void Filling::end() noexcept
{
    has_ended_ = true;
    phase_ = Phase::ended;
    if (fill_.may_store)
        services_.fills.end(fill_);
    else
        services_.fills.end_unsent(fill_);
    services_.counters.fills_under_way.fetch_sub(1, std::memory_order_relaxed);
}

asio::awaitable<void> Filling::run_on(bool for_leader)
{
    std::exception_ptr bug;
    try {
        if (phase_ == Phase::request) {
            bool ours = true;
            if (is_shared(services_, request_)) ours = co_await may_fetch(services_, request_);
            phase_ = ours ? Phase::head : Phase::ended;
            if (ours && fill_.may_store) services_.counters.add(Counter::fills);
            if (ours) send(request_.stale && has_validator(*request_.stale) ? request_.stale.get() : nullptr);
        }
        while (phase_ == Phase::head) {
            if (!sent_) sent_ = co_await fetch_->send_rest();
            Errc error = *sent_;
            std::optional<Errc> read = std::exchange(read_, std::nullopt);
            if (error == Errc::ok && !read && !std::exchange(has_waited_, false)) {
                read = fetch_->take_head(false);
                if (!read) {  // nearly always it comes in one piece then
                    const bool ready = co_await fetch_->wait_head();
                    read = fetch_->take_head(false, ready);
                }
            }
            if (error == Errc::ok && !read) read = co_await fetch_->read_head(false);
            if (read) error = *read;
            const rules::ResponseHead& head = fetch_->head();
            if (error == Errc::ok && head.status < 200) {
                constexpr int interim_limit = 32;
                if (head.status != 101 && ++interim_count_ <= interim_limit) {
                    if (head.status == 100) continue;
                    std::string interim;
                    append_interim_head(interim, head);
                    fill_.add_interim(interim);
                    if (for_leader) co_return;
                    continue;
                }
                error = Errc::upstream_malformed;
            }
            if (error == Errc::ok && condition_ && head.status == 304 && !confirms(head, *condition_)) {
                // It speaks of a response that is not the stored one, which may not be used or updated (RFC 9111
                // §4.3.4).
                services_.counters.add(Counter::validations_mismatched);
                fetch_->finish();
                send(nullptr);
                continue;
            }
            note_answer();
            phase_ = Phase::ended;
            if (error != Errc::ok) {
                co_await end_failed(error);
                break;
            }
            if (head.status == 304 && condition_) {
                co_await renew();
                break;
            }
            const bool server_failed = head.status >= 500 && head.status <= 504 && head.status != 501;
            if (server_failed && request_.stale) {
                const int status = head.status;
                fetch_->keep();  // what was read of the answer so far
                const bool is_spared = co_await may_stand_in();
                if (is_spared) {
                    fill_.complete(request_.stale, status, true, NotStored::none);
                    break;
                }
            }
            if (!judge()) break;
            if (services_.cache.behind_own_writes(
                    fill_.key)) {  // who waits is told "stored", or that a write was later
                fetch_->keep();
                co_await services_.cache.see_own_writes(fill_.key);
            }
            if (head.body == BodyKind::none || fetch_->has_whole_body()) {
                take_whole_body();
                phase_ = Phase::whole;
                break;
            }
            begin_body();
            phase_ = Phase::body;
            if (for_leader) co_return;
        }
        while (phase_ == Phase::body) {
            const BodyPiece piece = fetch_->next_body();
            if (piece.kind == BodyPiece::Kind::data) {
                fill_.append(piece.data);
                if (fill_.received() <= services_.config->max_object) continue;
                if (is_lasting(fetch_->head(), NotStored::too_large)) remember_uncacheable(NotStored::too_large);
                release(NotStored::too_large);
                phase_ = Phase::ended;
            } else if (piece.kind == BodyPiece::Kind::failed) {
                fill_.fail(piece.error);
                phase_ = Phase::ended;
            } else if (piece.kind == BodyPiece::Kind::end) {
                end_body();
                phase_ = Phase::whole;
            } else {
                co_await fetch_->wait_body();
            }
        }
        if (phase_ == Phase::whole) {
            phase_ = Phase::ended;
            NotStored unfit = NotStored::none;
            if (entry_->is_part()) unfit = co_await finish_range();
            describe_whole();
            if (unfit != NotStored::none || !fill_.may_store) {
                fill_.complete(entry_, 0, false, unfit);
            } else if (services_.cache.embedded()) {
                // Stored before the last byte is handed out: whoever has the answer finds the entry.
                const NotStored refused = store_here();
                fill_.complete(entry_, 0, false, refused);
            } else {
                // Nobody waits for Redis to have his answer: what is known of writes so far decides what he is told.
                if (services_.cache.behind_own_writes(fill_.key)) co_await services_.cache.see_own_writes(fill_.key);
                const bool fenced = is_overtaken();
                fill_.complete(entry_, 0, false, fenced ? NotStored::fenced : NotStored::none);
                if (!fenced) phase_ = Phase::store;
                if (!fenced && for_leader) co_return;
            }
        }
        if (phase_ == Phase::store) {
            const NotStored refused = co_await store();
            if (refused != NotStored::none) services_.counters.add_not_stored(exchange_.count.rule, refused);
        }
    } catch (...) {  // nobody may be left waiting for it
        bug = std::current_exception();
        fill_.fail(Errc::upstream_closed);
    }
    end();
    if (owes_lease(services_, request_)) co_await end_lease(services_, request_);
    if (bug) Tasks::report("fill", bug);  // not thrown on: the leader has an answer to give, as have those who joined
}

// --- what it does with a coroutine and without, in filling_at_once.cpp -----------------------------------------------

/// The head of the answer is here, or none will come.
void Filling::note_answer()
{
    exchange_.upstream_time = instant_now() - (fetch_->connection() ? fetch_->sent_at() : exchange_.begun);
    services_.counters.add_fetch(exchange_.count.rule, exchange_.upstream_time);
    received_ = recent_wall();
}

/// A write that is known by now has voided what has come.
bool Filling::is_overtaken() const
{
    return services_.cache.voided_since(*entry_, fill_.token) && guarded(Guard::fence);
}

/// Sends the request of the fill as far as that needs no waiting.
void Filling::send(const Entry* condition)
{
    condition_ = condition;
    fetch_ = std::make_unique<Fetch>(services_.upstream, services_.read_buffer, services_.response_limits);
    const std::string target = fill_target(exchange_);
    UpstreamHeadOptions options;
    options.target = target;
    options.for_fill = true;
    options.for_part = request_.terms.range;
    options.revalidate = condition;
    if (services_.tracer) {
        options.span = begin_fetch_span(services_, exchange_, *fetch_, "GET", target);
        if (exchange_.trace.sampled) fill_.name_fetch({exchange_.trace.trace, options.span});
    }
    head_text_.clear();
    append_upstream_head(head_text_, exchange_, options);
    requested_ = recent_wall();
    sent_ = fetch_->send(head_text_, {}, true);
}

// --- answers that are not stored as they came -----------------------------------------------------------------------

/// May the expired response stand in for a fetch that has failed? A purge may have come since it was looked up: it is
/// held against the log once more, or, with Redis away, against what is known of it here. Who waits for it came before.
asio::awaitable<bool> Filling::may_stand_in()
{
    if (!request_.stale || !request_.terms.may_use_stored ||
        !rules::may_serve_on_error(request_.stale->times, wall_now(), request_.terms.stale_for))
        co_return false;
    co_await services_.cache.find(fill_.key, request_.variant, wall_now());
    co_return !services_.cache.voided_since(*request_.stale, fill_.token);
}

/// The fetch failed before anything could be streamed: the stale entry if it may stand in, else the error.
asio::awaitable<void> Filling::end_failed(Errc error)
{
    const bool is_spared = co_await may_stand_in();
    if (!is_spared) co_return fill_.fail(error);
    services_.counters.add_error(error);
    fill_.complete(request_.stale, 0, true, NotStored::none);
}

/// A 304: what is stored is good for another while.
asio::awaitable<void> Filling::renew()
{
    Renewed renewed = renew_entry(exchange_, request_.stale, fetch_->head().fields, requested_, received_);
    fetch_->finish();
    entry_ = renewed.entry;
    NotStored reason = renewed.reason;
    if (!entry_) co_return fill_.fail(Errc::upstream_malformed);
    // The 304 may name more fields to vary by than the response did.
    if (reason == NotStored::none && !renewed.varies_as_before) {
        if (entry_->is_part())
            reason = NotStored::vary_changed;
        else
            name_variant(std::move(renewed.vary), *entry_);
    }
    if (reason == NotStored::none && fill_.may_store) reason = co_await store();
    fill_.complete(entry_, 304, false, reason);
}

/// Not storable: the leader reads the rest from the upstream itself.
void Filling::release(NotStored reason)
{
    fetch_->keep();
    fetch_->pause_deadline();  // until the leader reads on
    fill_.release(reason, std::move(fetch_));
}

/// Nobody waits for the next fetch of this key: in this process from now on, elsewhere once the lease has been ended.
void Filling::remember_uncacheable(NotStored reason)
{
    if (request_.terms.range) return;  // of a part that says nothing about the whole
    request_.uncacheable = reason;
    services_.fills.remember_uncacheable(fill_.stored_as, reason, instant_now() + uncacheable_memory);
}

// --- answers that are -----------------------------------------------------------------------------------------------

/// Makes the entry, without its body. False: the answer is not storable, the fill has been released.
bool Filling::judge()
{
    const rules::ResponseHead& response = fetch_->head();
    const rules::Rule& rule = *exchange_.judgement.rule;
    judged_ = judge_answer(services_, exchange_, response, requested_, received_, request_.terms.range);
    if (judged_.reason != NotStored::none) {
        if (is_lasting(response, judged_.reason)) remember_uncacheable(judged_.reason);
        release(judged_.reason);
        return false;
    }
    const bool is_whole = response.body == BodyKind::none || fetch_->has_whole_body();
    const std::uint64_t length = response.body == BodyKind::length ? response.content_length : 0;
    head_text_.clear();
    {
        constexpr std::size_t ours_bytes = 96;  // a date and a length, where there are none
        rules::Appender head(head_text_, response.bytes.size() + ours_bytes);
        append_status_line(head, response.status, response.phrase);
        append_end_to_end_fields(head, response, true, rule.strip_set_cookie, received_);
        if (is_whole) append_stored_length(head, response.status, length);
    }
    entry_ = make_entry(exchange_, judged_.times, head_text_, is_whole ? length : 0);
    entry_->groups = rules::groups_of(response.fields, exchange_.head.authority, rule.tags_of_response);
    name_variant(rules::parse_vary(response.fields), *entry_);
    entry_->status = response.status;
    entry_->own_policy = rules::combined_value(response.fields, rules::FieldId::larder_cache_control);
    services_.fills.forget_uncacheable(fill_.stored_as);
    return true;
}

/// Names the variant that a response is, and the index it belongs to. A key has 16 variants at most: the oldest makes
/// way, so that nobody keeps others out by asking for variants that nobody else wants. What earlier responses to the
/// key varied by counts for this one too: some apps forget Vary on their default answer, and the others should still be
/// chosen by it (RFC 9111 §4.1).
void Filling::name_variant(rules::VarySpec spec, Entry& entry)
{
    const EntryPtr& old = request_.index;
    if (old) {
        std::vector<std::string> all;
        std::set_union(spec.names.begin(), spec.names.end(), old->vary_names.begin(), old->vary_names.end(),
                       std::back_inserter(all));
        spec.names = std::move(all);
    }
    const std::string_view path = exchange_.view.path;
    if (rules::has_spellings(path)) rules::vary_by_path(spec);
    if (spec.names.empty()) return;
    entry.vary_names = spec.names;
    entry.variant = variant_digest(rules::vary_values(spec, exchange_.head.fields, path));
    const bool same = old && old->vary_names == spec.names;
    const bool known =
        same && std::find(old->variants.begin(), old->variants.end(), entry.variant) != old->variants.end();
    entry.generation = same ? std::string_view(old->generation) : rules::text_of(make_request_id());
    if (known) return;
    new_index_ = std::make_shared<Entry>();
    new_index_->key = entry.key;
    new_index_->kind = EntryKind::vary_index;
    new_index_->times = entry.times;
    new_index_->rule = entry.rule;
    new_index_->vary_names = spec.names;
    new_index_->generation = entry.generation;
    if (same) new_index_->variants = old->variants;
    if (new_index_->variants.size() >= variants_limit) {
        new_index_->variants.erase(new_index_->variants.begin());
        services_.counters.add(Counter::variants_replaced);
    }
    new_index_->variants.emplace_back(entry.variant);
}

/// What is there of the answer is handed out while the rest comes.
void Filling::begin_body()
{
    const rules::ResponseHead& response = fetch_->head();
    const bool overtaken = fill_.may_store && services_.cache.voided_since(*entry_, fill_.token);
    const bool length_known = response.body == BodyKind::length || response.body == BodyKind::none;
    const std::uint64_t length = response.body == BodyKind::length ? response.content_length : 0;
    fill_.start(entry_, length_known, length, static_cast<std::size_t>(length),
                overtaken ? NotStored::fenced : NotStored::none);
}

void Filling::take_whole_body()
{
    const BodyPiece piece = fetch_->next_body();
    if (piece.kind == BodyPiece::Kind::data) entry_->put_body(piece.data);
    fetch_->finish();
}

/// The entry that the readers know stays as it is: what is stored is another one.
void Filling::end_body()
{
    fetch_->finish();
    const Entry& known = *entry_;
    head_text_ = std::string_view(known.head);
    append_stored_length(head_text_, known.status, fill_.received());
    auto whole = make_entry(exchange_, judged_.times, head_text_);
    whole->status = known.status;
    whole->variant = known.variant;
    whole->vary_names = known.vary_names;
    whole->generation = known.generation;
    whole->own_policy = known.own_policy;
    whole->groups = known.groups;
    fill_.give_body(*whole);
    entry_ = std::move(whole);
}

/// Meanwhile the whole may have been stored, which a part must not displace, or another part.
asio::awaitable<NotStored> Filling::finish_range()
{
    const Found present = co_await services_.cache.find(fill_.key, request_.variant, wall_now());
    const bool is_there = present.kind == Found::Kind::hit && present.entry->kind == EntryKind::response;
    const Entry* const other = is_there && present.entry->is_part() ? present.entry.get() : nullptr;
    if (!finish_part(*entry_, other, services_.config->max_object)) co_return NotStored::partial;
    if (is_there && !present.entry->is_part() && entry_->is_part()) co_return NotStored::newer;
    co_return NotStored::none;
}

void Filling::describe_whole()
{
    const rules::FieldSet fields = fetch_->head().fields.ids();
    const bool may_have = fields.has_any({rules::FieldId::etag, rules::FieldId::last_modified});
    entry_->expires = hard_expiry(judged_.times, may_have && has_validator(*entry_));
}

/// The index lives as long as the last of its variants.
void Filling::date_index()
{
    if (new_index_)
        new_index_->expires = request_.index ? std::max(request_.index->expires, entry_->expires) : entry_->expires;
}

NotStored Filling::store_here()
{
    date_index();
    if (new_index_) {
        const NotStored refused = services_.cache.store_here(new_index_, fill_.token);
        if (refused != NotStored::none && refused != NotStored::newer) return refused;
    }
    const NotStored refused = services_.cache.store_here(entry_, fill_.token);  // not before the variant is there
    if (entry_->is_part() && refused == NotStored::none) services_.counters.add(Counter::parts_stored);
    return refused;
}

asio::awaitable<NotStored> Filling::store()
{
    if (services_.cache.embedded()) co_return store_here();
    date_index();
    if (new_index_) {
        const NotStored refused = co_await services_.cache.store(new_index_, fill_.token);
        if (refused != NotStored::none && refused != NotStored::newer) co_return refused;
    }
    const NotStored refused = co_await services_.cache.store(entry_, fill_.token, &request_.lease);
    if (entry_->is_part() && refused == NotStored::none) services_.counters.add(Counter::parts_stored);
    co_return refused;
}

// --- as tasks -------------------------------------------------------------------------------------------------------

asio::awaitable<void> run_filling(std::unique_ptr<Filling> filling) { co_await filling->run(); }

asio::awaitable<void> run_shared_pass(Services& services, FillRequest request, std::shared_ptr<Fill> after)
{
    const std::shared_ptr<Fill> fill = request.fill;
    const auto filling = std::make_unique<Filling>(services, std::move(request));
    NotStored uncacheable = NotStored::none;
    std::exception_ptr bug;
    try {
        if (after) {
            const bool ended = co_await await_end(services, *after, services.config->upstream.first_byte_timeout / 2);
            if (!ended) services.counters.add(Counter::join_timeouts);
        }
        services.fills.send_unsent(fill);
        uncacheable = services.fills.uncacheable(fill->stored_as, instant_now());
    } catch (...) {
        bug = std::current_exception();
    }
    if (bug) {
        fill->fail(Errc::upstream_closed);
        filling->end();
        std::rethrow_exception(bug);
    }
    if (uncacheable == NotStored::none) co_return co_await filling->run();
    fill->release_all(uncacheable);  // the one before was: nobody waits again
    filling->end();
}

}  // namespace larder::proxy
