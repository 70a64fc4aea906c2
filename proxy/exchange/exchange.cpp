#include "proxy/exchange/exchange.hpp"

#include "proxy/coherence/guards.hpp"
#include "proxy/exchange/exchange_span.hpp"
#include "proxy/exchange/fill.hpp"
#include "proxy/exchange/forward.hpp"
#include "proxy/exchange/heads.hpp"
#include "proxy/exchange/hit.hpp"
#include "proxy/exchange/last_hop.hpp"
#include "proxy/exchange/lookup.hpp"
#include "proxy/exchange/refuse.hpp"
#include "proxy/exchange/review_by_head.hpp"
#include "proxy/exchange/stored_entry.hpp"
#include "proxy/exchange/uncacheable.hpp"
#include "proxy/exchange/verification.hpp"
#include "proxy/exchange/write.hpp"
#include "proxy/net/clock.hpp"
#include "rules/base/text.hpp"
#include "rules/http/cache_control.hpp"
#include "rules/http/fields.hpp"
#include "rules/http/targeted.hpp"
#include "rules/verdict/judge_fill.hpp"

namespace larder::proxy {

using rules::Forward;
using rules::Outcome;
using rules::Verdict;

namespace {

/// What the rules see: with the path that `path.text` is, wherever its bytes are now.
void see(Exchange& exchange) noexcept
{
    exchange.view = rules::RequestView{&exchange.head, exchange.path.text, exchange.head.authority};
}

}  // namespace

void judge(Services& services, Exchange& exchange)
{
    exchange.services = &services;
    exchange.path = rules::normalise_path(exchange.head.path, exchange.path_scratch);
    if (!guarded(Guard::path_normalisation)) exchange.path = {rules::PathForm::normal, exchange.head.path};
    see(exchange);
    exchange.key.clear();
    exchange.variant.clear();
    exchange.stored_as.clear();
    exchange.request_id.clear();
    exchange.judgement = rules::judge_request(*services.config->matcher, services.config->cache, exchange.view,
                                              exchange.path.form, exchange.key);
    Course& course = exchange;
    course = Course{};
    course.count.method = class_of(exchange.head.method);
    course.count.forward = exchange.judgement.bypass;
    if (exchange.judgement.rule) course.count.rule = exchange.judgement.rule->index;
    course.keep_alive = exchange.head.keep_alive;
}

void own(Services& services, Exchange& exchange, const Client& client)
{
    const bool is_path_as_sent = exchange.path.text.data() == exchange.head.path.data();
    exchange.head_bytes = exchange.head.bytes;
    exchange.head.rebase(exchange.head_bytes.data());
    if (is_path_as_sent) exchange.path.text = exchange.head.path;
    see(exchange);
    exchange.judgement.parameter = {};  // a view into the buffer that is left; only `explain` names it
    exchange.config = services.config;
    exchange.client_address = client.address;
    exchange.debug = debug_answer(*services.config, exchange.view, client.address);
    if (services.tracer) exchange.trace = services.tracer->begin(exchange.head.fields);
}

ExchangePtr copy_of(Services& services, const Exchange& exchange, const Client& client)
{
    ExchangePtr copy = services.exchanges.take();
    copy->head = exchange.head;
    copy->now = exchange.now;
    copy->begun = exchange.begun;
    judge(services, *copy);
    own(services, *copy, client);
    return copy;
}

namespace {

/// The client's when it is a plain token of decent length, so that it can be put into any log or document; else a new
/// one.
void give_request_id(Exchange& exchange)
{
    const std::string_view given = exchange.head.fields.value(rules::FieldId::x_request_id);
    const bool is_good = given.size() <= 128 && rules::is_token(given);
    exchange.request_id.clear();
    exchange.request_id += is_good ? given : rules::text_of(make_request_id());
}

bool wants_range(const Exchange& exchange) noexcept { return exchange.view.fields.has(rules::FieldId::range); }

/// Do the directives of requests count here (client_cache_control)?
bool honours_directives(const Services& services, const Exchange& exchange) noexcept
{
    using rules::ClientCacheControl;
    const rules::Rule* rule = exchange.judgement.rule;
    const bool has_own = rule && rule->client_cache_control && rule != &rules::respect_origin_rule();
    if (has_own) return *rule->client_cache_control == ClientCacheControl::respect;
    // The built-in rule's word is what holds when the operator says nothing.
    const auto unsaid = rule && rule->client_cache_control ? *rule->client_cache_control : ClientCacheControl::ignore;
    return services.config->client_cache_control.value_or(unsaid) == ClientCacheControl::respect;
}

bool has_directives(const Exchange& exchange) noexcept
{
    return exchange.view.fields.has_any({rules::FieldId::cache_control, rules::FieldId::pragma});
}

/// Neither by a directive nor by Pragma does it ask for more than an answer, as far as that counts here.
bool directs_nothing(const Services& services, const Exchange& exchange) noexcept
{
    return !has_directives(exchange) || !honours_directives(services, exchange);
}

/// The directives of a stored response, from the fields that it was stored with.
rules::CacheControl stored_directives(const Entry& entry)
{
    static const rules::HeadLimits no_limits{SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};
    const std::string bytes = std::string(entry.head) + "\r\n";
    rules::ResponseHead stored;
    if (rules::scan_response(bytes, no_limits, false, stored) != rules::Scan::ok) return {};
    if (!entry.own_policy.empty())
        stored.fields.all.push_back({"", entry.own_policy, rules::FieldId::larder_cache_control});
    return rules::cache_policy(stored.fields).directives;
}

void note_client(const Client& client, Exchange& exchange)
{
    if (client.gone()) exchange.count.outcome = Outcome::client_gone;
}

/// `only-if-cached`, and nothing that is stored will do (RFC 9111 §5.2.1.7).
asio::awaitable<void> refuse_only_if_cached(Services& services, Client& client, ExchangePtr owned)
{
    Exchange& exchange = *owned;
    Forwarding(services, client, owned).abandon();  // a body left unread would be taken for the next request
    exchange.count.verdict = Verdict::miss;
    exchange.count.forward = Forward::only_if_cached;
    exchange.count.outcome = Outcome::refused;
    std::string out;
    append_problem(out, exchange, 504, rules::word(Forward::only_if_cached),
                   "nothing is stored that this request allows, and it does not want to be forwarded");
    client.put(out);
    if (client.blocked()) co_await client.flush();
    note_client(client, exchange);
}

/// Does the app see all of the request, and does its sender let the answer be stored?
bool may_be_of_all(const Exchange& exchange)
{
    return !rules::HopByHop(exchange.head.fields).names_end_to_end_field() &&
           !rules::parse_cache_control(exchange.head.fields).no_store;
}

/// Was it forwarded in the form that a fill of its key has? An answer to another form describes another thing.
bool is_asked_as_fill(const Exchange& exchange)
{
    return exchange.head.target == fill_target(exchange) && may_be_of_all(exchange);
}

/// Forwards the request as it is, streaming both ways. Nothing is stored, but what is may be told of (RFC 9111 §4.3.5).
/// @param stored  what the lookup found and cannot serve; null: nothing
/// @param begun   of `begin_pass`; null: nothing has been sent
asio::awaitable<void> pass(Services& services, Client& client, ExchangePtr exchange, EntryPtr stored = nullptr,
                           LogToken token = {}, std::unique_ptr<Forwarding> begun = nullptr)
{
    const bool is_begun = begun != nullptr;
    const std::unique_ptr<Forwarding> owned = is_begun ? std::move(begun) : begin_pass(services, client, exchange);
    Forwarding& forwarding = *owned;
    const rules::WallTime requested = recent_wall();
    bool is_answered = is_begun && forwarding.is_answered();
    if (!is_begun && forwarding.send_at_once()) {
        const bool ready = co_await forwarding.wait_for_answer();
        is_answered = forwarding.take_answer(ready);
    }
    if (!is_answered) {
        const rules::Errc error = co_await forwarding.request();
        if (error != rules::Errc::ok) co_return co_await refuse(services, client, *exchange, error);
    }
    if (exchange->count.forward == Forward::uncacheable) {
        forwarding.keep();
        review_uncacheable(services, *exchange, forwarding.response());
    }
    if (stored && exchange->is_head() && is_asked_as_fill(*exchange)) {
        forwarding.keep();
        co_await review_by_head(services, *exchange, stored, token, forwarding.response(), requested);
    }
    if (!forwarding.respond_at_once()) co_return co_await forwarding.respond();
    if (client.blocked()) co_await client.flush();
    if (!client.gone()) co_return;
    exchange->count.outcome = Outcome::client_gone;
    exchange->keep_alive = false;
}

/// May the answer of this request be stored, and be another's too? If not, says why.
/// @param is_stored  a whole response is, or the very part that is asked for: it is revalidated, not the range fetched
bool may_fill(Services& services, Exchange& exchange, bool is_stored)
{
    const rules::FillJudgement judged = rules::judge_fill(exchange.view, is_stored);
    if (!judged.fills) {
        if (judged.forward != Forward::none) exchange.count.forward = judged.forward;
        if (judged.not_stored != rules::NotStored::none) exchange.count.not_stored = judged.not_stored;
        return false;
    }
    const rules::NotStored uncacheable = services.fills.uncacheable(exchange.stored_as, exchange.begun);
    if (uncacheable == rules::NotStored::none) return true;
    exchange.count.forward = Forward::uncacheable;
    exchange.count.not_stored = uncacheable;
    return false;
}

/// Hands a stored response to the client; `blocked()` tells whether there is a rest to be waited for.
void serve(Services& services, Client& client, Exchange& exchange, const EntryPtr& entry,
           const rules::LookupJudgement& judged)
{
    exchange.count.verdict = judged.verdict;
    exchange.count.forward = Forward::none;
    exchange.count.outcome = Outcome::served;
    if (exchange.waited_as != Forward::none) {  // no hit: it has waited for another replica's fetch
        exchange.count.verdict = exchange.waited_as == Forward::stale ? Verdict::revalidate : Verdict::miss;
        exchange.count.forward = exchange.waited_as;
        exchange.count.outcome = Outcome::collapsed;
        exchange.collapsed = true;
    }
    exchange.ttl = judged.ttl;
    services.out.clear();
    put_stored_answer(services, client, exchange, entry, judged.age);
}

}  // namespace

bool answer_at_once(Services& services, Client& client, Exchange& exchange, std::optional<Looked>& looked)
{
    if (!may_be_found(services, exchange)) {
        looked.reset();
        return false;
    }
    lookup_here(services, exchange, looked);
    if (!looked || !looked->entry) return false;
    const EntryPtr entry = std::move(looked->entry);
    looked.reset();
    const rules::LookupJudgement judged = rules::judge_lookup(entry->times, exchange.now);
    if (judged.verdict != Verdict::hit) return false;
    if (entry->is_part() && !serves_part(exchange, *entry)) return false;
    exchange.debug = debug_answer(*services.config, exchange.view, client.address);
    exchange.count.verdict = Verdict::hit;
    exchange.count.forward = Forward::none;
    exchange.count.outcome = Outcome::served;
    exchange.ttl = judged.ttl;
    if (entry->body().size() <= copied_bytes)
        services.out += append_stored_answer(services, exchange, *entry, judged.age);
    else
        put_stored_answer(services, client, exchange, entry, judged.age);
    finish_exchange(services, client, exchange);
    verify_if_wanted(services, client, exchange, entry);
    return true;
}

bool may_be_found(const Services& services, const Exchange& exchange)
{
    return exchange.judgement.bypass == Forward::none && directs_nothing(services, exchange);
}

bool may_pass_at_once(const Services& services, const Exchange& exchange)
{
    const rules::RequestHead& head = exchange.head;
    return exchange.judgement.bypass != Forward::none && head.body == rules::BodyKind::none &&
           (head.method == rules::Method::get || head.method == rules::Method::head) &&
           directs_nothing(services, exchange);
}

std::unique_ptr<Forwarding> begin_pass(Services& services, Client& client, ExchangePtr exchange)
{
    if (exchange->request_id.empty()) give_request_id(*exchange);
    exchange->count.verdict = Verdict::bypass;
    exchange->count.outcome = Outcome::passed;
    return std::make_unique<Forwarding>(services, client, std::move(exchange));
}

bool may_fill_at_once(const Services& services, const Exchange& exchange)
{
    return exchange.head.method == rules::Method::get && exchange.head.body == rules::BodyKind::none &&
           !wants_range(exchange) && may_be_found(services, exchange);
}

std::unique_ptr<FillLeader> begin_miss(Services& services, Client& client, ExchangePtr exchange,
                                       std::optional<Looked>&& looked)
{
    if (!looked || looked->index || looked->bypass) return nullptr;
    give_request_id(*exchange);
    exchange->stored_as = exchange->key;
    exchange->count.forward = looked->reason;
    exchange->count.verdict = Verdict::miss;
    if (!may_fill(services, *exchange, false)) return nullptr;
    const FillTerms terms;
    return begin_fill(services, client, std::move(exchange), std::move(*looked), terms);
}

bool answer_found(Services& services, Client& client, Exchange& exchange, const Found& found)
{
    if (found.kind != Found::Kind::hit || found.entry->kind != EntryKind::response || found.entry->is_part())
        return false;
    const rules::LookupJudgement judged = rules::judge_lookup(found.entry->times, exchange.now);
    if (judged.verdict != Verdict::hit) return false;
    serve(services, client, exchange, found.entry, judged);
    note_client(client, exchange);
    finish_exchange(services, client, exchange);
    verify_if_wanted(services, client, exchange, found.entry);
    return true;
}

asio::awaitable<void> run_exchange(Services& services, Client& client, ExchangePtr exchange, std::optional<Found> found,
                                   Begun begun)
{
    if (auto* forwarding = std::get_if<std::unique_ptr<Forwarding>>(&begun)) {
        EntryPtr nothing;
        const LogToken none;
        co_return co_await pass(services, client, exchange, std::move(nothing), none, std::move(*forwarding));
    }
    if (auto* leader = std::get_if<std::unique_ptr<FillLeader>>(&begun)) {
        const FillAnswer answer = co_await (*leader)->run();
        leader->reset();
        if (answer == FillAnswer::done) co_return;
        if (answer == FillAnswer::alone) co_return co_await pass(services, client, exchange);
    }
    if (exchange->request_id.empty()) give_request_id(*exchange);
    const std::uint64_t body_limit = services.config->limits.request_body;
    if (body_limit != 0 && exchange->head.content_length > body_limit)
        co_return co_await refuse(services, client, *exchange, rules::Errc::body_too_large);

    if (rules::forwards_left(exchange->head) == 0u) co_return co_await answer_as_last(services, client, exchange);
    if (!rules::is_safe(exchange->head.method)) co_return co_await forward_write(services, client, exchange);
    rules::RequestDirectives directives;
    if (honours_directives(services, *exchange)) directives = rules::request_directives(exchange->head.fields);
    if (exchange->judgement.bypass != Forward::none) {
        if (directives.only_if_cached && exchange->judgement.bypass != Forward::method)
            co_return co_await refuse_only_if_cached(services, client, exchange);
        co_return co_await pass(services, client, exchange);
    }

    constexpr int tries = 3;  // an answer that was another variant's, or another replica's, sends us back to the lookup
    for (int i = 0; i < tries; ++i) {
        Looked looked;
        exchange->variant.clear();
        exchange->stored_as = exchange->key;
        std::optional<Looked> here;
        if (!found) lookup_here(services, *exchange, here);
        if (here) {
            looked = std::move(*here);
        } else {
            std::optional<Found> known = std::exchange(found, std::nullopt);
            looked = co_await lookup(services, *exchange, std::move(known));
        }
        FillTerms terms;
        terms.alone = directives.no_cache;
        if (looked.bypass && directives.only_if_cached)
            co_return co_await refuse_only_if_cached(services, client, exchange);
        if (looked.bypass) {
            const bool shared_pass =
                looked.reason == Forward::write_open && !wants_range(*exchange) && may_fill(services, *exchange, false);
            exchange->count.forward = looked.reason;
            exchange->count.mark_rule = looked.mark_rule;
            if (!shared_pass) co_return co_await pass(services, client, exchange);
            const FillAnswer shared = co_await share_pass(services, client, exchange);
            if (shared == FillAnswer::done) co_return;
            break;
        }
        exchange->count.forward = looked.reason;
        if (looked.entry && looked.entry->is_part() && !serves_part(*exchange, *looked.entry)) {
            exchange->count.forward = wants_range(*exchange) ? Forward::partial : Forward::uri_miss;
            looked.entry = nullptr;
        }
        if (looked.entry) {
            const rules::LookupJudgement judged =
                directives.given ? rules::judge_lookup(looked.entry->times, exchange->now, directives,
                                                       stored_directives(*looked.entry))
                                 : rules::judge_lookup(looked.entry->times, exchange->now);
            switch (judged.verdict) {
            case Verdict::stale_hit: {
                const EntryPtr entry = looked.entry;
                // The next client will do: this one's answer is not for all.
                if (may_be_of_all(*exchange)) start_refresh(services, exchange, std::move(looked));
                serve(services, client, *exchange, entry, judged);
                if (client.blocked()) co_await client.flush();
                co_return note_client(client, *exchange);
            }
            case Verdict::hit:
                serve(services, client, *exchange, looked.entry, judged);
                if (client.blocked()) co_await client.flush();
                verify_if_wanted(services, client, *exchange, looked.entry);
                co_return note_client(client, *exchange);
            case Verdict::revalidate:
                exchange->count.verdict = Verdict::revalidate;
                exchange->count.forward = judged.by_request ? Forward::client_cache_control : Forward::stale;
                terms.may_use_stored = !judged.by_request && !directives.no_cache;
                if (directives.stale_if_error && terms.may_use_stored && !stored_directives(*looked.entry).s_maxage)
                    terms.stale_for = *directives.stale_if_error;
                terms.alone =
                    !terms.may_use_stored || terms.stale_for.count() != 0 || !rules::may_be_shared(looked.entry->times);
                break;
            case Verdict::miss:
            case Verdict::bypass: exchange->count.forward = Forward::stale; break;
            }
        }
        if (directives.only_if_cached) co_return co_await refuse_only_if_cached(services, client, exchange);
        if (!may_fill(services, *exchange, looked.entry != nullptr))
            co_return co_await pass(services, client, exchange, std::move(looked.entry), looked.token);
        terms.range = wants_range(*exchange) && !looked.entry;
        terms.alone = terms.alone || terms.range;
        if (exchange->count.verdict != Verdict::revalidate) exchange->count.verdict = Verdict::miss;
        exchange->waited_as = Forward::none;  // in vain: what it gets now is another fetch's
        const FillAnswer answer = co_await answer_from_fill(services, client, exchange, std::move(looked), terms);
        if (answer == FillAnswer::done) co_return;
        if (answer == FillAnswer::alone) break;
    }
    co_await pass(services, client, exchange);
}

namespace {

/// Did the app have no work with it?
bool is_spared(const Exchange& exchange) noexcept
{
    const Verdict verdict = exchange.count.verdict;
    return verdict == Verdict::hit || verdict == Verdict::stale_hit || exchange.collapsed;
}

}  // namespace

void finish_exchange(Services& services, const Client& client, const Exchange& exchange)
{
    services.counters.add_exchange(exchange.count);
    if (is_spared(exchange)) services.counters.add_saved(exchange.count.rule, exchange.body_bytes);
    const rules::Instant end = instant_now();
    services.counters.add_duration(exchange.count.verdict, end - exchange.begun);
    rules::TraceId trace;
    if (services.tracer) trace = end_exchange_span(services, client, exchange, end).trace;
    if (!services.access_log.wants()) return;
    AccessLine line;
    line.time = exchange.now;
    line.client = client.address;
    line.method = exchange.head.method_text;
    line.path = exchange.head.path;
    line.query = exchange.head.query;
    line.host = exchange.head.authority;
    // Hits make no id of their own; one that the client gave is worth repeating.
    line.request_id = exchange.request_id.empty() ? exchange.head.fields.value(rules::FieldId::x_request_id)
                                                  : std::string_view(exchange.request_id);
    if (trace.is_none())
        if (const auto parent = rules::trace_parent(exchange.head.fields)) trace = parent->trace;
    const std::array<char, 32> trace_id = rules::hex(trace);
    if (!trace.is_none()) line.trace_id = rules::text_of(trace_id);
    if (exchange.judgement.rule) line.rule = exchange.judgement.rule->name;
    line.count = exchange.count;
    line.response_bytes = exchange.body_bytes;
    line.total = end - exchange.begun;
    line.upstream = exchange.upstream_time;
    line.store = exchange.store_time;
    services.access_log.write(line);
}

}  // namespace larder::proxy
