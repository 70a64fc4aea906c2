// One fill per key: who joins it, and how each reads its answer while it comes.
#include <array>

#include "proxy/coherence/guards.hpp"
#include "proxy/exchange/fill.hpp"
#include "proxy/exchange/filling.hpp"
#include "proxy/exchange/forward.hpp"
#include "proxy/exchange/heads.hpp"
#include "proxy/exchange/hit.hpp"
#include "proxy/exchange/refuse.hpp"
#include "proxy/exchange/stored_entry.hpp"
#include "proxy/net/clock.hpp"
#include "rules/base/appender.hpp"
#include "rules/http/conditional.hpp"

namespace larder::proxy {

using rules::BodyKind;
using rules::Errc;
using rules::NotStored;
using rules::Outcome;

namespace {

/// Good for all who had asked for it: fresh, or an allowed stand-in; stored, or the store or a write stood in the way
/// and not the origin's word.
bool may_be_shared(const Fill::View& view) noexcept
{
    if (!view.stale_on_error && !rules::may_be_shared(view.whole->times)) return false;
    switch (view.not_stored) {
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
    FillReader(Services& services, Client& client, ExchangePtr exchange, std::shared_ptr<Fill> fill, bool leader)
        : services_(services), client_(client), exchange_(std::move(exchange)), fill_(std::move(fill)), leader_(leader)
    {
    }

    /// Serves a leader whose answer is complete before he looks for it. Then `flush` the client. False: nothing was
    /// done, `co_await run()`.
    bool serve_at_once()
    {
        const Fill::View view = fill_->look(body_seen_, interim_seen_);
        if (!leader_ || view.state != Fill::State::complete || !view.interim.empty()) return false;
        serve_whole(view);
        note_client();
        return true;
    }

    asio::awaitable<FillAnswer> run()
    {
        bool timed_out = false;
        auto on_expiry = [&] {
            timed_out = true;
            if (waiting_) waiting_->wake();
        };
        DeadlineOf<decltype(on_expiry)> patience(on_expiry);
        if (!leader_) patience.arm(services_.wheel, services_.config->upstream.first_byte_timeout / 2);
        for (;;) {
            const Fill::View view = fill_->look(body_seen_, interim_seen_);
            if (!view.interim.empty()) {
                co_await send_interim(view);
                continue;
            }
            switch (view.state) {
            case Fill::State::waiting: break;
            case Fill::State::streaming: {
                if (!leader_ && !rules::may_be_shared(view.meta->times)) co_return FillAnswer::alone;
                // Without a length it may yet outgrow the cache: only who asked first is served from what is
                // incomplete.
                if (!leader_ && !view.length_known) break;
                if (!leader_ && !is_mine(*view.meta)) co_return FillAnswer::look_again;
                patience.disarm();
                // Who asks for a part of it gets just that, once it is there: a download to be resumed needs its 206.
                if (view.meta->status == 200 && exchange_->head.fields.has(rules::FieldId::range)) break;
                const bool going = co_await stream(view);
                if (!going) co_return FillAnswer::done;
                break;
            }
            case Fill::State::complete:
                if (!head_sent_) {
                    if (!leader_ && !may_be_shared(view)) co_return FillAnswer::alone;
                    if (!leader_ && !is_mine(*view.whole)) co_return FillAnswer::look_again;
                    serve_whole(view);
                    if (client_.blocked()) co_await client_.flush();
                    note_client();
                    co_return FillAnswer::done;
                }
                co_await stream(view);
                co_return FillAnswer::done;
            case Fill::State::released: {
                exchange_->count.not_stored = view.not_stored;
                if (view.known_uncacheable) exchange_->count.forward = rules::Forward::uncacheable;
                if (!leader_ || view.known_uncacheable) co_return FillAnswer::alone;
                co_await take_over(view);
                co_return FillAnswer::done;
            }
            case Fill::State::failed:
                if (!view.news.empty() && head_sent_) co_await stream(view);
                exchange_->count.not_stored = view.not_stored;
                exchange_->stored = false;
                co_await refuse(services_, client_, *exchange_, view.error);
                co_return FillAnswer::done;
            case Fill::State::elsewhere:
                if (view.waited) exchange_->waited_as = exchange_->count.forward;
                co_return FillAnswer::look_again;
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

    void note_client()
    {
        if (!client_.gone()) return;
        exchange_->count.outcome = Outcome::client_gone;
        exchange_->keep_alive = false;
    }

  private:
    /// Of my variant, and no purge that I know of (each that was acknowledged before I asked) has taken one of its
    /// groups since it was asked for: joining knew the key only.
    bool is_mine(const Entry& entry) const
    {
        const bool voided = !entry.groups.empty() && services_.cache.voided_since(entry, fill_->token);
        return is_my_variant(entry) && !(voided && guarded(Guard::join));
    }
    bool is_my_variant(const Entry& entry) const
    {
        if (entry.vary_names.empty()) return true;
        rules::VarySpec spec;
        spec.names = entry.vary_names;
        return variant_digest(rules::vary_values(spec, exchange_->head.fields, exchange_->view.path)) == entry.variant;
    }

    asio::awaitable<void> send_interim(const Fill::View& view)
    {
        interim_seen_ += view.interim.size();
        if (leader_ && !head_sent_ && exchange_->head.minor_version > 0) {
            client_.put(view.interim);
            if (client_.blocked()) co_await client_.flush();
        }
    }

    void describe(const Fill::View& view)
    {
        ExchangeCount& count = exchange_->count;
        exchange_->collapsed = !leader_;
        if (!leader_ && exchange_->trace.sampled) exchange_->joined = fill_->fetch_span();
        exchange_->forward_status = view.forward_status;
        count.not_stored = view.not_stored;
        exchange_->stored = leader_ && fill_->may_store && view.not_stored == NotStored::none && !view.stale_on_error;
        if (view.stale_on_error)
            count.outcome = Outcome::stale_on_error;
        else if (view.forward_status == 304)
            count.outcome = Outcome::revalidated;
        else
            count.outcome = leader_ ? (exchange_->stored ? Outcome::stored : Outcome::passed) : Outcome::collapsed;
    }

    void serve_whole(const Fill::View& view)
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
                const Validators held = meta.validators();
                const auto met = rules::evaluate_preconditions(exchange_->head.fields, held.etag, held.last_modified,
                                                               held.date, exchange_->now);
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
                rules::append_number(out, static_cast<std::uint64_t>(meta.times.initial_age.count() / 1000));
                out += "\r\n";
            }
            if ((exchange_->debug & debug_explain) != 0) note_lifetime(*exchange_, meta);
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

    Services& services_;
    Client& client_;
    ExchangePtr exchange_;
    std::shared_ptr<Fill> fill_;
    bool leader_;
    bool head_sent_ = false;
    Framing framing_;
    std::uint64_t body_seen_ = 0;
    std::size_t interim_seen_ = 0;
    WakeUp* waiting_ = nullptr;
};

/// Has another worker's fill ended between our look, which has seen what was stored at `seen`, and the begin of ours?
/// With a shared store the lease says so.
bool is_stored_meanwhile(Services& services, const Exchange& exchange, rules::WallTime seen)
{
    if (!services.cache.embedded()) return false;
    const auto found = services.cache.find_here(exchange.key, exchange.stored_as, exchange.now);
    return found && found->kind == Found::Kind::hit && found->entry->times.stored != seen;
}

Fills::Joined join_or_begin(Services& services, const Exchange& exchange, const Looked& looked, bool alone = false)
{
    if (alone) return {std::make_shared<Fill>(exchange.key, exchange.stored_as, looked.token), true};
    const auto joinable = [&](const Fill& fill) {
        return !services.cache.voided_since(exchange.key, fill.token) || !guarded(Guard::join);
    };
    const auto make = [&] { return std::make_shared<Fill>(exchange.key, exchange.stored_as, looked.token); };
    Fills::Joined joined = services.fills.join_or_begin(exchange.stored_as, joinable, make);
    if (joined.begun && is_stored_meanwhile(services, exchange, looked.seen)) {
        joined.fill->leave_to_others(false);
        joined.fill->leader_left();
        services.fills.end(*joined.fill);
        joined.begun = false;  // whoever reads it looks again
    }
    return joined;
}

}  // namespace

FillLeader::FillLeader(Services& services, Client& client, ExchangePtr exchange, std::shared_ptr<Fill> fill,
                       Looked&& looked, const FillTerms& terms)
    : services_(services), client_(client), exchange_(std::move(exchange)), fill_(std::move(fill))
{
    FillRequest request;
    request.fill = fill_;
    request.exchange = exchange_;
    request.terms = terms;
    request.variant = exchange_->variant;
    request.seen = looked.seen;
    request.stale = std::move(looked.entry);
    request.index = std::move(looked.index);
    filling_ = std::make_unique<Filling>(services, std::move(request));
}

FillLeader::~FillLeader()
{
    fill_->leader_left();
    if (!filling_ || filling_->has_ended()) return;
    fill_->fail(Errc::upstream_closed);  // nobody may be left waiting for it
    filling_->end();
}

std::unique_ptr<FillLeader> begin_fill(Services& services, Client& client, ExchangePtr exchange, Looked looked,
                                       FillTerms terms)
{
    Fills::Joined joined = join_or_begin(services, *exchange, looked, terms.alone);
    if (!joined.begun) return nullptr;
    return std::make_unique<FillLeader>(services, client, std::move(exchange), std::move(joined.fill),
                                        std::move(looked), terms);
}

bool FillLeader::begin_at_once(Completion<bool>& waiting) { return filling_->begin_at_once(waiting); }

bool FillLeader::answer_at_once(bool ready)
{
    if (!filling_->take_answer_at_once(ready)) return false;
    if (!FillReader(services_, client_, exchange_, fill_, true).serve_at_once()) return false;
    if (!filling_->has_ended()) Filling::store_behind(std::move(filling_));
    return true;
}

asio::awaitable<FillAnswer> FillLeader::run()
{
    // Usually all that the leader has to do is wait. When there is more, the rest goes on by itself: others may wait
    // for it too, and it ends whatever becomes of this client.
    if (!filling_->has_ended()) co_await filling_->run_for_leader();
    if (!filling_->has_ended()) services_.tasks.spawn("fill", run_filling(std::move(filling_)));
    FillReader reader(services_, client_, exchange_, fill_, true);
    if (!reader.serve_at_once()) co_return co_await reader.run();
    if (client_.blocked()) co_await client_.flush();
    reader.note_client();
    co_return FillAnswer::done;
}

asio::awaitable<FillAnswer> answer_from_fill(Services& services, Client& client, ExchangePtr exchange, Looked looked,
                                             FillTerms terms)
{
    Fills::Joined joined = join_or_begin(services, *exchange, looked, terms.alone);
    if (joined.begun) {
        FillLeader leader(services, client, std::move(exchange), std::move(joined.fill), std::move(looked), terms);
        co_return co_await leader.run();
    }
    services.counters.add(Counter::joins);
    FillReader reader(services, client, std::move(exchange), joined.fill, false);
    co_return co_await reader.run();
}

asio::awaitable<FillAnswer> share_pass(Services& services, Client& client, ExchangePtr exchange)
{
    const auto make = [&] { return std::make_shared<Fill>(exchange->key, exchange->stored_as, LogToken{}, false); };
    Fills::Unsent joined = services.fills.join_unsent(exchange->stored_as, make);
    if (joined.begun) {
        FillRequest request;
        request.fill = joined.fill;
        request.exchange = exchange;
        services.tasks.spawn("pass", run_shared_pass(services, std::move(request), std::move(joined.after)));
    } else {
        services.counters.add(Counter::joins);
    }
    FillReader reader(services, client, std::move(exchange), joined.fill, joined.begun);
    const FillAnswer answer = co_await reader.run();
    if (joined.begun) joined.fill->leader_left();
    if (answer == FillAnswer::look_again) co_return FillAnswer::alone;  // another variant's
    co_return answer;
}

void start_refresh(Services& services, ExchangePtr exchange, Looked looked)
{
    const Fills::Joined joined = join_or_begin(services, *exchange, looked);
    if (!joined.begun) return;
    joined.fill->leader_left();  // nobody waits for it
    FillRequest request;
    request.fill = joined.fill;
    request.variant = exchange->variant;
    request.refresh = true;
    request.exchange = std::move(exchange);
    request.seen = looked.seen;
    request.stale = std::move(looked.entry);
    request.index = std::move(looked.index);
    services.tasks.spawn("refresh", run_filling(std::make_unique<Filling>(services, std::move(request))));
}

}  // namespace larder::proxy
