#include "proxy/exchange/verification.hpp"

#include "proxy/exchange/heads.hpp"
#include "proxy/exchange/lookup.hpp"
#include "proxy/exchange/refuse.hpp"
#include "proxy/net/asio.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/upstream/fetch.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

using rules::Errc;

namespace {

/// Fetches the response anew, as a fill would, and reads until it is known to be another one.
asio::awaitable<Verified> compare(Services& services, const Exchange& exchange, const Entry& entry)
{
    const std::string target = fill_target(exchange);
    UpstreamHeadOptions options;
    options.target = target;
    options.for_fill = true;
    std::string request;
    append_upstream_head(request, exchange, options);
    Fetch fetch(services.upstream, services.read_buffer, services.response_limits);
    std::optional<Errc> sent = fetch.send(request, {}, true);
    if (!sent) sent = co_await fetch.send_rest();
    if (*sent != Errc::ok) co_return Verified::failed;
    do {
        const Errc error = co_await fetch.read_head(false);
        if (error != Errc::ok || fetch.head().status == 101) co_return Verified::failed;
    } while (fetch.head().status < 200);
    if (fetch.head().status >= 500) co_return Verified::failed;
    if (fetch.head().status != entry.status) co_return Verified::different;

    std::string_view rest = entry.body();
    for (;;) {
        const BodyPiece piece = fetch.next_body();
        switch (piece.kind) {
        case BodyPiece::Kind::data:
            if (!rest.starts_with(piece.data)) co_return Verified::different;
            rest.remove_prefix(piece.data.size());
            continue;
        case BodyPiece::Kind::end: fetch.finish(); co_return rest.empty() ? Verified::same : Verified::different;
        case BodyPiece::Kind::failed: co_return Verified::failed;
        case BodyPiece::Kind::blocked:
        case BodyPiece::Kind::none: break;
        }
        const bool ready = co_await fetch.wait_body();
        if (!ready) co_return Verified::failed;
    }
}

/// One is under way, however it ends.
class UnderWay {
  public:
    explicit UnderWay(Verification& verification) : verification_(verification) {}
    ~UnderWay() { verification_.under_way = false; }
    UnderWay(const UnderWay&) = delete;
    UnderWay& operator=(const UnderWay&) = delete;

  private:
    Verification& verification_;
};

asio::awaitable<void> run_verification(Services& services, ExchangePtr exchange, EntryPtr entry)
{
    const UnderWay under_way(services.verification);
    Verified verified = co_await compare(services, *exchange, *entry);
    if (verified == Verified::different) {
        // The app may have changed it meanwhile, as it should: then a purge, or another response, has come.
        exchange->now = wall_now();
        const Looked looked = co_await lookup(services, *exchange);
        if (!looked.entry || looked.entry->times.stored != entry->times.stored) verified = Verified::outdated;
    }
    services.counters.add_verification(exchange->count.rule, verified);
    if (verified != Verified::different) co_return;
    const std::int64_t age = (exchange->now - entry->times.stored).count();
    log_event(config::LogLevel::warn, "a response that was served from the cache is not what the app answers now",
              {{"rule", exchange->judgement.rule ? std::string_view(exchange->judgement.rule->name) : "none"},
               {"path", exchange->head.path},
               {"stored_ms_ago", age}});
}

}  // namespace

void start_verification(Services& services, ExchangePtr exchange, EntryPtr entry)
{
    if (services.stopping) return;
    services.verification.under_way = true;
    exchange->request_id = rules::text_of(make_request_id());
    // In a turn of its own: the hit was answered out of the shared buffer, where the next requests may be waiting
    // still, and what is read from the app goes into the same one.
    asio::post(services.context, [&services, exchange = std::move(exchange), entry = std::move(entry)]() mutable {
        services.tasks.spawn("verification", run_verification(services, std::move(exchange), std::move(entry)));
    });
}

}  // namespace larder::proxy
