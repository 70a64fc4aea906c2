#include "proxy/exchange/review_by_head.hpp"

#include "proxy/exchange/purge_note.hpp"
#include "proxy/exchange/stored_entry.hpp"
#include "proxy/net/clock.hpp"
#include "rules/http/conditional.hpp"

namespace larder::proxy {

asio::awaitable<void> review_by_head(Services& services, const Exchange& exchange, const EntryPtr& stored,
                                     LogToken token, const rules::ResponseHead& response, rules::WallTime requested)
{
    if (response.status != 200 || stored->status != 200) co_return;
    const Validators held = stored->validators();
    if (rules::describes(response, held.etag, held.last_modified, stored->body().size())) {
        Renewed renewed = renew_entry(exchange, stored, response.fields, requested, wall_now());
        if (!renewed.entry || renewed.reason != rules::NotStored::none || !renewed.varies_as_before) co_return;
        const rules::NotStored refused = co_await services.cache.store(renewed.entry, token);
        if (refused == rules::NotStored::none) services.counters.add(Counter::head_renewals);
        co_return;
    }
    if (rules::judge_lookup(stored->times, wall_now()).verdict == rules::Verdict::revalidate) co_return;
    WritePurge purge;
    purge.targets.push_back({exchange.key});
    services.counters.add_purge(PurgeSource::invalidation);
    const rules::Errc committed = co_await services.cache.commit(purge);
    note_purge(services, purge, PurgeSource::invalidation, committed);
}

}  // namespace larder::proxy
