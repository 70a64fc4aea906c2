// One fill per key: the fetch, and those who read its answer while it comes.
#include <array>

#include "proxy/exchange/fill.hpp"
#include "proxy/exchange/forward.hpp"
#include "proxy/exchange/heads.hpp"
#include "proxy/exchange/hit.hpp"
#include "proxy/exchange/refuse.hpp"
#include "proxy/net/clock.hpp"
#include "rules/http/conditional.hpp"
#include "rules/http/fields.hpp"
#include "rules/verdict/judge_store.hpp"

namespace larder::proxy {

using rules::BodyKind;
using rules::Errc;
using rules::NotStored;
using rules::Outcome;

namespace {

constexpr std::size_t variants_limit = 16;
constexpr rules::Milliseconds uncacheable_memory{5'000};

/// Everything a fill needs: values only, so that it outlives the client that asked first.
struct FillRequest {
    std::shared_ptr<Fill> fill;
    std::shared_ptr<Exchange> exchange;
    EntryPtr stale;  // of the same variant; null: none
    EntryPtr index;  // of variants; null: none known
};

/// How long an entry is kept at all: its lifetime, the stale windows, and when it can be revalidated as long again.
rules::WallTime hard_expiry(const rules::StoredTimes& times, bool has_validator)
{
    const rules::Milliseconds left = std::max(rules::Milliseconds{0}, times.lifetime - times.initial_age);
    rules::Milliseconds extra = std::max(times.stale_while_revalidate, times.stale_if_error);
    if (has_validator) {
        constexpr rules::Milliseconds least{10'000}, most{3'600'000};
        extra = std::max(extra, std::clamp(left, least, most));
    }
    return times.stored + left + extra;
}

std::shared_ptr<Entry> make_entry(const Exchange& exchange, const rules::StoredTimes& times)
{
    auto entry = std::make_shared<Entry>();
    entry->key = exchange.key;
    entry->times = times;
    entry->rule = exchange.judgement.rule->name;
    return entry;
}

/// Names the variant that a response is, and the index it belongs to. False: the key has as many variants as it may.
bool name_variant(const FillRequest& request, const rules::VarySpec& spec, Entry& entry,
                  std::shared_ptr<Entry>& new_index)
{
    if (spec.names.empty()) return true;
    entry.vary_names = spec.names;
    entry.variant = variant_digest(rules::vary_values(spec, request.exchange->head.fields));
    const EntryPtr& old = request.index;
    const bool same = old && old->vary_names == spec.names;
    const bool known =
        same && std::find(old->variants.begin(), old->variants.end(), entry.variant) != old->variants.end();
    entry.generation = same ? old->generation : make_request_id();
    if (known) return true;
    if (same && old->variants.size() >= variants_limit) return false;
    new_index = std::make_shared<Entry>();
    new_index->key = entry.key;
    new_index->kind = EntryKind::vary_index;
    new_index->times = entry.times;
    new_index->rule = entry.rule;
    new_index->vary_names = spec.names;
    new_index->generation = entry.generation;
    if (same) new_index->variants = old->variants;
    new_index->variants.push_back(entry.variant);
    return true;
}

asio::awaitable<NotStored> store_entry(Services& services, std::shared_ptr<Entry> entry,
                                       std::shared_ptr<Entry> new_index, EntryPtr old_index, LogToken token)
{
    if (new_index) {
        new_index->expires = old_index ? std::max(old_index->expires, entry->expires) : entry->expires;
        const NotStored refused = co_await services.cache.store(new_index, token);
        if (refused != NotStored::none && refused != NotStored::newer) co_return refused;
    }
    co_return co_await services.cache.store(entry, token);
}

/// After a 304: the stored response with its fields renewed (RFC 9111 §3.2, §4.3.4), judged anew.
std::shared_ptr<Entry> refresh_entry(const FillRequest& request, const rules::ResponseHead& not_modified,
                                     const Entry& stale, rules::WallTime requested, rules::WallTime received,
                                     NotStored& reason)
{
    static const rules::HeadLimits no_limits{SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
    const std::string stored_head = stale.head + "\r\n";
    rules::ResponseHead stored;
    if (rules::scan_response(stored_head, no_limits, false, stored) != rules::Scan::ok) return nullptr;
    const std::string status_line = stale.head.substr(0, stale.head.find("\r\n") + 2);
    const std::string merged_head =
        status_line + rules::merge_not_modified(stored.fields, not_modified.fields) + "\r\n";
    rules::ResponseHead merged;
    if (rules::scan_response(merged_head, no_limits, false, merged) != rules::Scan::ok) return nullptr;
    const rules::StoreJudgement judged =
        rules::judge_store(request.exchange->head, merged, *request.exchange->judgement.rule, requested, received);
    reason = judged.reason;
    auto entry = make_entry(*request.exchange, judged.times);
    entry->status = stale.status;
    entry->head = merged_head.substr(0, merged_head.size() - 2);
    entry->body = stale.body;
    entry->variant = stale.variant;
    entry->vary_names = stale.vary_names;
    entry->generation = stale.generation;
    entry->index_head();
    entry->expires = hard_expiry(judged.times, true);
    return entry;
}

/// The fetch failed before anything could be streamed: the stale entry if it may stand in, else the error.
void end_failed(Services& services, const FillRequest& request, Errc error)
{
    if (request.stale && rules::may_serve_on_error(request.stale->times, wall_now())) {
        if (error != Errc::ok) services.counters.add_error(error);
        request.fill->complete(request.stale, 0, true, NotStored::none);
        return;
    }
    request.fill->fail(error);
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
        append_status_line(interim, head.status, head.phrase);
        const rules::HopByHop is_hop_by_hop(head.fields);
        for (const rules::Field& field : head.fields.all) {
            if (is_hop_by_hop(field) || field.id == rules::FieldId::content_length) continue;
            ((interim += field.name) += ": ") += field.value;
            interim += "\r\n";
        }
        interim += "\r\n";
        fill.add_interim(interim);
    }
    co_return Errc::upstream_malformed;
}

/// The fetch of a fill, from request to stored entry. Runs on one worker; nobody's leaving ends it while it can be
/// stored.
asio::awaitable<void> fetch_and_store(Services& services, FillRequest request)
{
    Fill& fill = *request.fill;
    Exchange& exchange = *request.exchange;
    const rules::Rule& rule = *exchange.judgement.rule;
    auto fetch = std::make_unique<Fetch>(services.upstream, services.read_buffer, services.response_limits);

    std::string target(exchange.view.path);
    if (exchange.head.has_query) (target += '?') += exchange.head.query;
    std::string request_head;
    UpstreamHeadOptions options;
    options.target = target;
    options.for_fill = true;
    options.revalidate = request.stale.get();
    append_upstream_head(request_head, exchange, options);

    const rules::WallTime requested = wall_now();
    const std::string_view no_body;
    Errc error = co_await fetch->send(request_head, no_body, true);
    if (error == Errc::ok) error = co_await read_final_head(*fetch, fill);
    exchange.upstream_time = instant_now() - (fetch->connection() ? fetch->sent_at() : exchange.begun);
    if (error != Errc::ok) co_return end_failed(services, request, error);

    const rules::WallTime received = wall_now();
    const rules::ResponseHead& response = fetch->head();
    if (response.status == 304 && request.stale) {
        NotStored reason = NotStored::none;
        auto entry = refresh_entry(request, response, *request.stale, requested, received, reason);
        fetch->finish();
        if (!entry) co_return fill.fail(Errc::upstream_malformed);
        if (reason == NotStored::none) reason = co_await services.cache.store(entry, fill.token);
        co_return fill.complete(entry, 304, false, reason);
    }
    const bool server_failed = response.status >= 500 && response.status <= 504 && response.status != 501;
    if (server_failed && request.stale && rules::may_serve_on_error(request.stale->times, received))
        co_return fill.complete(request.stale, response.status, true, NotStored::none);

    const rules::StoreJudgement judged = rules::judge_store(exchange.head, response, rule, requested, received);
    NotStored reason = judged.reason;
    const std::uint64_t max_object = services.config.max_object;
    const bool length_known = response.body == BodyKind::length || response.body == BodyKind::none;
    const std::uint64_t length = response.body == BodyKind::length ? response.content_length : 0;
    if (reason == NotStored::none && length > max_object) reason = NotStored::too_large;
    if (reason == NotStored::none && response.body == BodyKind::until_close) reason = NotStored::close_delimited;

    auto meta = make_entry(exchange, judged.times);
    std::shared_ptr<Entry> new_index;
    if (reason == NotStored::none && !name_variant(request, rules::parse_vary(response.fields), *meta, new_index))
        reason = NotStored::vary_cap;
    if (reason != NotStored::none) {
        // What one requester's credentials or one failure brought about says nothing of the next answer.
        if (response.status < 500 && reason != NotStored::response_authorization)
            services.fills.remember_uncacheable(fill.stored_as, reason, instant_now() + uncacheable_memory);
        fetch->keep();
        fetch->pause_deadline();  // until the leader reads on
        co_return fill.release(reason, std::move(fetch));
    }
    services.fills.forget_uncacheable(fill.stored_as);
    if (services.cache.behind_own_writes()) {  // the client is told "stored", or that a write has overtaken it
        fetch->keep();
        co_await services.cache.see_own_writes();
    }
    const NotStored overtaken = services.cache.voided_since(fill.key, fill.token) ? NotStored::fenced : NotStored::none;

    meta->status = response.status;
    append_status_line(meta->head, response.status, response.phrase);
    append_end_to_end_fields(meta->head, response, true, rule.strip_set_cookie, received);
    meta->index_head();
    fill.start(meta, length_known, length, length_known ? static_cast<std::size_t>(length) : 0, overtaken);

    for (;;) {
        const BodyPiece piece = fetch->next_body();
        if (piece.kind == BodyPiece::Kind::data) {
            fill.append(piece.data);
            if (fill.received() <= max_object) continue;
            services.fills.remember_uncacheable(fill.stored_as, NotStored::too_large,
                                                instant_now() + uncacheable_memory);
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
    entry->body = fill.take_body();
    if (meta->status != 204) {
        entry->head += "Content-Length: ";
        append_number(entry->head, entry->body.size());
        entry->head += "\r\n";
    }
    entry->index_head();
    entry->expires = hard_expiry(judged.times, !entry->etag.empty() || !entry->last_modified.empty());
    if (services.cache.embedded()) {
        // Stored before the last byte is handed out: whoever has the answer finds the entry.
        const NotStored refused = co_await store_entry(services, entry, new_index, request.index, fill.token);
        fill.complete(entry, 0, false, refused);
    } else {
        // Nobody waits for Redis to have his answer: what is known of writes so far decides what he is told.
        if (services.cache.behind_own_writes()) co_await services.cache.see_own_writes();
        const bool fenced = services.cache.voided_since(entry->key, fill.token);
        fill.complete(entry, 0, false, fenced ? NotStored::fenced : NotStored::none);
        if (fenced) co_return;
        const NotStored refused = co_await store_entry(services, entry, new_index, request.index, fill.token);
        if (refused != NotStored::none) services.counters.add_not_stored(exchange.count.rule, refused);
    }
}

asio::awaitable<void> run_fill(Services& services, FillRequest request)
{
    services.counters.add(Counter::fills);
    services.counters.fills_under_way.fetch_add(1, std::memory_order_relaxed);
    const std::shared_ptr<Fill> fill = request.fill;
    std::exception_ptr bug;
    try {
        co_await fetch_and_store(services, std::move(request));
    } catch (...) {  // nobody may be left waiting for it
        bug = std::current_exception();
        fill->fail(Errc::upstream_closed);
    }
    services.fills.end(*fill);
    services.counters.fills_under_way.fetch_sub(1, std::memory_order_relaxed);
    if (bug) std::rethrow_exception(bug);
}

// --- readers ---------------------------------------------------------------------------------------------------------

/// Not stored, yet good for all who had asked for it: the store or a write stood in the way, not the origin's word.
bool may_be_shared(NotStored reason) noexcept
{
    switch (reason) {
    case NotStored::none:
    case NotStored::fenced:
    case NotStored::newer:
    case NotStored::log_gap:
    case NotStored::store_failed: return true;
    default: return false;
    }
}

/// Hands the answer of a fill to one client while it comes.
class FillReader {
  public:
    FillReader(Services& services, Client& client, std::shared_ptr<Exchange> exchange, std::shared_ptr<Fill> fill,
               bool leader)
        : services_(services), client_(client), exchange_(std::move(exchange)), fill_(std::move(fill)), leader_(leader)
    {
    }

    asio::awaitable<FillAnswer> run()
    {
        const FillAnswer read = co_await run_until_end();
        if (leader_) fill_->leader_left();
        co_return read;
    }

  private:
    asio::awaitable<FillAnswer> run_until_end()
    {
        bool timed_out = false;
        auto on_expiry = [&] {
            timed_out = true;
            if (waiting_) waiting_->wake();
        };
        DeadlineOf<decltype(on_expiry)> patience(on_expiry);
        if (!leader_) patience.arm(services_.wheel, services_.config.upstream.first_byte_timeout / 2);
        for (;;) {
            const Fill::View view = fill_->look(body_seen_, interim_seen_);
            const bool interim = co_await send_interim(view);
            if (interim) continue;
            switch (view.state) {
            case Fill::State::waiting: break;
            case Fill::State::streaming: {
                // Without a length it may yet outgrow the cache: only who asked first is served from what is
                // incomplete.
                if (!leader_ && !view.length_known) break;
                if (!leader_ && !is_my_variant(*view.meta)) co_return FillAnswer::look_again;
                patience.disarm();
                const bool going = co_await stream(view);
                if (!going) co_return FillAnswer::done;
                break;
            }
            case Fill::State::complete:
                if (!head_sent_) {
                    if (!leader_ && !may_be_shared(view.not_stored)) co_return FillAnswer::alone;
                    if (!leader_ && !is_my_variant(*view.whole)) co_return FillAnswer::look_again;
                    co_await serve_whole(view);
                    co_return FillAnswer::done;
                }
                co_await stream(view);
                co_return FillAnswer::done;
            case Fill::State::released: {
                exchange_->count.not_stored = view.not_stored;
                if (!leader_) co_return FillAnswer::alone;
                co_await take_over(view);
                co_return FillAnswer::done;
            }
            case Fill::State::failed:
                if (!view.news.empty() && head_sent_) co_await stream(view);
                exchange_->count.not_stored = view.not_stored;
                exchange_->stored = false;
                co_await refuse(services_, client_, *exchange_, view.error);
                co_return FillAnswer::done;
            }
            if (timed_out && !head_sent_) {
                services_.counters.add(Counter::join_timeouts);
                co_return FillAnswer::alone;
            }
            WakeUp waiter(services_.context);
            waiting_ = &waiter;
            if (fill_->subscribe(waiter, view.state, view.received, interim_seen_)) co_await waiter.wait();
            waiting_ = nullptr;
            fill_->unsubscribe(waiter);
        }
    }

    bool is_my_variant(const Entry& entry) const
    {
        if (entry.vary_names.empty()) return true;
        rules::VarySpec spec;
        spec.names = entry.vary_names;
        return variant_digest(rules::vary_values(spec, exchange_->head.fields)) == entry.variant;
    }

    asio::awaitable<bool> send_interim(const Fill::View& view)
    {
        if (view.interim.empty()) co_return false;
        interim_seen_ += view.interim.size();
        if (leader_ && !head_sent_ && exchange_->head.minor_version > 0) {
            client_.put(view.interim);
            if (client_.blocked()) co_await client_.flush();
        }
        co_return true;
    }

    void describe(const Fill::View& view)
    {
        ExchangeCount& count = exchange_->count;
        exchange_->collapsed = !leader_;
        exchange_->forward_status = view.forward_status;
        count.not_stored = view.not_stored;
        exchange_->stored = leader_ && view.not_stored == NotStored::none && !view.stale_on_error;
        if (view.stale_on_error)
            count.outcome = Outcome::stale_on_error;
        else if (view.forward_status == 304)
            count.outcome = Outcome::revalidated;
        else
            count.outcome = leader_ ? (exchange_->stored ? Outcome::stored : Outcome::passed) : Outcome::collapsed;
    }

    asio::awaitable<void> serve_whole(const Fill::View& view)
    {
        describe(view);
        // A response that has just come shows the age it came with; one from the store, its age now.
        const bool from_store = view.forward_status != 0 || view.stale_on_error;
        const rules::StoredTimes& times = view.whole->times;
        const rules::Milliseconds age = from_store                        ? times.age(wall_now())
                                        : times.initial_age.count() > 999 ? times.initial_age
                                                                          : rules::Milliseconds{-1};
        services_.out.clear();
        put_stored_answer(services_, client_, *exchange_, view.whole, age);
        if (client_.blocked()) co_await client_.flush();
        note_client();
    }

    /// Sends what is new. False: the client has left, or has all it asked for.
    asio::awaitable<bool> stream(const Fill::View& view)
    {
        std::string& out = services_.out;
        out.clear();
        if (!head_sent_) {
            describe(view);
            const Entry& meta = *view.meta;
            const bool known = view.length_known;
            if (meta.status == 200) {
                const auto met = rules::evaluate_preconditions(exchange_->head.fields, meta.etag, meta.last_modified,
                                                               meta.date, exchange_->now);
                if (met != rules::Precondition::proceed) {
                    append_stored_answer(services_, *exchange_, meta, rules::Milliseconds{-1});
                    client_.put(out);
                    out.clear();
                    if (client_.blocked()) co_await client_.flush();
                    note_client();
                    co_return false;
                }
            }
            framing_ = framing_for(*exchange_, known, view.length);
            if (meta.status == 204) framing_ = Framing{};
            if (framing_.kind == BodyKind::until_close || services_.draining) exchange_->keep_alive = false;
            out += meta.head;
            if (meta.times.initial_age.count() > 999) {
                out += "Age: ";
                append_number(out, static_cast<std::uint64_t>(meta.times.initial_age.count() / 1000));
                out += "\r\n";
            }
            append_cache_status(out, *exchange_);
            append_framing(out, framing_, *exchange_);
            exchange_->count.status = meta.status;
            exchange_->answered = head_sent_ = true;
        }
        const bool chunked = framing_.kind == BodyKind::chunked;
        std::size_t size = 0;
        for (const auto& [segment, bytes] : view.news) size += bytes.size();
        if (size != 0 && chunked) {
            std::array<char, 24> line{};
            const int n = std::snprintf(line.data(), line.size(), "%zx\r\n", size);
            out.append(line.data(), static_cast<std::size_t>(n));
        }
        for (const auto& [segment, bytes] : view.news) {
            std::array<iovec, 2> pieces{iovec{out.data(), out.size()},
                                        iovec{const_cast<char*>(bytes.data()), bytes.size()}};
            client_.put(pieces, segment);
            out.clear();
            if (client_.blocked()) co_await client_.flush();
            out.clear();
        }
        body_seen_ += size;
        exchange_->body_bytes += size;
        if (size != 0 && chunked) out += "\r\n";
        if (view.state == Fill::State::complete && chunked) out += "0\r\n\r\n";
        bool there = client_.put(out);
        out.clear();
        if (client_.blocked()) there = co_await client_.flush();
        note_client();
        co_return there;
    }

    /// Not storable after all: the leader reads the rest from the upstream itself, at its own pace.
    asio::awaitable<void> take_over(const Fill::View& view)
    {
        std::unique_ptr<Fetch> fetch = fill_->take_fetch();
        if (!fetch) co_return co_await refuse(services_, client_, *exchange_, Errc::upstream_closed);
        exchange_->count.outcome = Outcome::passed;
        if (head_sent_ || view.received != 0) {
            const bool there = co_await stream(view);
            if (!there) co_return;
            Forwarding rest(services_, client_, exchange_, std::move(fetch));
            co_await rest.respond_rest(framing_);
        } else {
            Forwarding whole(services_, client_, exchange_, std::move(fetch));
            co_await whole.respond();
        }
        note_client();
    }

    void note_client()
    {
        if (!client_.gone()) return;
        exchange_->count.outcome = Outcome::client_gone;
        exchange_->keep_alive = false;
    }

    Services& services_;
    Client& client_;
    std::shared_ptr<Exchange> exchange_;
    std::shared_ptr<Fill> fill_;
    bool leader_;
    bool head_sent_ = false;
    Framing framing_;
    std::uint64_t body_seen_ = 0;
    std::size_t interim_seen_ = 0;
    WakeUp* waiting_ = nullptr;
};

Fills::Joined join_or_begin(Services& services, const Exchange& exchange, LogToken token)
{
    const auto joinable = [&](const Fill& fill) { return !services.cache.voided_since(exchange.key, fill.token); };
    const auto make = [&] { return std::make_shared<Fill>(exchange.key, exchange.stored_as, token); };
    return services.fills.join_or_begin(exchange.stored_as, joinable, make);
}

}  // namespace

asio::awaitable<FillAnswer> answer_from_fill(Services& services, Client& client, std::shared_ptr<Exchange> exchange,
                                             Looked looked)
{
    const Fills::Joined joined = join_or_begin(services, *exchange, looked.token);
    if (joined.begun) {
        FillRequest request;
        request.fill = joined.fill;
        request.exchange = exchange;
        request.stale = std::move(looked.entry);
        request.index = std::move(looked.index);
        services.tasks.spawn("fill", run_fill(services, std::move(request)));
    } else {
        services.counters.add(Counter::joins);
    }
    FillReader reader(services, client, std::move(exchange), joined.fill, joined.begun);
    co_return co_await reader.run();
}

void start_refresh(Services& services, std::shared_ptr<Exchange> exchange, Looked looked)
{
    const Fills::Joined joined = join_or_begin(services, *exchange, looked.token);
    if (!joined.begun) return;
    joined.fill->leader_left();  // nobody waits for it
    FillRequest request;
    request.fill = joined.fill;
    request.exchange = std::move(exchange);
    request.stale = std::move(looked.entry);
    request.index = std::move(looked.index);
    services.tasks.spawn("refresh", run_fill(services, std::move(request)));
}

}  // namespace larder::proxy
