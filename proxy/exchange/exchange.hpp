// One request and its answer. THE REQUEST PATH: read `run_exchange` first, each step below it is a file of its own.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "proxy/exchange/client.hpp"
#include "proxy/exchange/exchange_pool.hpp"
#include "proxy/exchange/services.hpp"
#include "rules/http/target.hpp"
#include "rules/verdict/judge_lookup.hpp"
#include "rules/verdict/judge_request.hpp"

namespace larder::proxy {

class FillLeader;
class Forwarding;
struct Looked;

/// What `Larder-Debug` of a trusted client asks for. Bits.
enum DebugAnswer : std::uint8_t {
    debug_nothing = 0,
    debug_key = 1,      // the key, in Cache-Status
    debug_explain = 2,  // the field Larder-Explain
};

/// What becomes of a request. Begins anew with each.
struct Course {
    TraceContext trace;  // begun with `own`; a hit that needs none until its end has it from `end_exchange_span`
    SpanLink joined;     // the fetch of another exchange that has answered this one

    ExchangeCount count;
    rules::Milliseconds ttl{0};                       // of what is served: what is left of its lifetime
    int forward_status = 0;                           // the upstream's status, when it differs from ours
    rules::Forward waited_as = rules::Forward::none;  // why it was forwarded, had another replica not done that
    bool collapsed = false;
    bool stored = false;
    std::string_view cache_purge;  // X-Cache-Purge: why the log does not have this write's purge yet; empty: it does
    DebugAnswer debug = debug_nothing;           // a trusted client has asked for it; below: what `debug_explain` tells
    rules::Milliseconds explained_lifetime{-1};  // of the stored response; negative: there is none
    std::string_view explained_source;           // where it comes from: a word of LifetimeSource
    bool keep_alive = true;                      // the connection lives on after this exchange
    bool answered = false;                       // a final head has been handed to the client
    std::uint64_t body_bytes = 0;                // of the answer
    std::chrono::nanoseconds upstream_time{0}, store_time{0};
};

/// What is known of one exchange. `now` is read once and travels with it, so every judge sees the same time. Of one
/// thread; comes from an ExchangePool, and is used again when nobody holds it any more.
struct Exchange : Course {
    Exchange() = default;
    Exchange(const Exchange&) = delete;  // its views point into itself
    Exchange& operator=(const Exchange&) = delete;

    const Services* services = nullptr;
    config::ConfigPtr config;  // by which it was judged; null while it cannot wait
    rules::RequestHead head;   // views into the connection's buffer, or into `head_bytes` once `own` was called
    std::string head_bytes;
    std::string path_scratch;
    rules::NormalPath path;
    rules::RequestView view;
    rules::RequestJudgement judgement;
    std::string key;        // logical key
    std::string variant;    // digest, once a variant was chosen
    std::string stored_as;  // storage key of the two
    std::string request_id;
    std::string client_address;
    rules::WallTime now;
    rules::Instant begun;

    bool is_head() const noexcept { return head.method == rules::Method::head; }

  private:
    friend class ExchangePool;
    friend void intrusive_ptr_add_ref(Exchange* exchange) noexcept;
    friend void intrusive_ptr_release(Exchange* exchange) noexcept;
    std::uint32_t holders_ = 0;
    ExchangePool* pool_ = nullptr;
    Exchange* next_idle_ = nullptr;
};

/// Fills in what follows from the head: path, rule, key, why it passes by. Nothing in `exchange` but the head and its
/// times is needed, and nothing else of an earlier request stays.
void judge(Services& services, Exchange& exchange);

/// Answers from memory when that needs no waiting: the hot path. Appends to `services.out` (small bodies) or writes to
/// the client. False: nothing was done, `run_exchange` must be asked.
/// @param looked  then has what memory said, if it was asked and has no entry
bool answer_at_once(Services& services, Client& client, Exchange& exchange, std::optional<Looked>& looked);

/// Gives the exchange its own copy of the head, so that it may outlive the shared buffer, and what only one that waits
/// needs: the configuration, the client's address, what it may be told, its trace.
void own(Services& services, Exchange& exchange, const Client& client);
/// The same request as an exchange of its own, of which nothing has become yet.
ExchangePtr copy_of(Services& services, const Exchange& exchange, const Client& client);

/// May the cache be asked about this request without a coroutine? `answer_found` takes what it says.
bool may_be_found(const Services& services, const Exchange& exchange);
/// Answers with what the cache has found, when that is a fresh response as it was stored. False: nothing was done.
bool answer_found(Services& services, Client& client, Exchange& exchange, const Found& found);

/// May it be forwarded without a coroutine? A read without a body that nothing stored can answer, and that asks nothing
/// of the cache. `begin_pass` takes it.
bool may_pass_at_once(const Services& services, const Exchange& exchange);
/// Gives it its id and what forwards it: `begin_at_once` is next.
std::unique_ptr<Forwarding> begin_pass(Services& services, Client& client, ExchangePtr exchange);

/// May its miss be filled without a coroutine? A plain GET. `begin_miss` takes it.
bool may_fill_at_once(const Services& services, const Exchange& exchange);
/// Gives it its id and begins the fill: `begin_at_once` is next. Null: `run_exchange` must be asked, because something
/// is stored, nothing may be, or another's fetch is under way.
/// @param looked  of `answer_at_once`, or what the store has said, in the same turn
std::unique_ptr<FillLeader> begin_miss(Services& services, Client& client, ExchangePtr exchange,
                                       std::optional<Looked>&& looked);

/// What was begun without a coroutine and needs one to go on.
using Begun = std::variant<std::monostate, std::unique_ptr<Forwarding>, std::unique_ptr<FillLeader>>;

/// One request, from rule to response. The exchange owns its head. When it returns the answer has been handed to the
/// kernel or the client is gone; `exchange->keep_alive` says whether the connection can go on.
/// @param found  what the cache has said already of its key; empty: nothing
/// @param begun  of `begin_pass` or `begin_miss`, as far as that came
asio::awaitable<void> run_exchange(Services& services, Client& client, ExchangePtr exchange, std::optional<Found> found,
                                   Begun begun);

/// Counts the exchange and writes its access-log line. Once per exchange, at its end.
void finish_exchange(Services& services, const Client& client, const Exchange& exchange);

}  // namespace larder::proxy
