#include "proxy/exchange/lookup.hpp"

#include <algorithm>

#include "proxy/net/clock.hpp"
#include "rules/http/vary.hpp"

namespace larder::proxy {

using rules::Forward;

namespace {

/// Turns what the cache found into what the request path needs. True: `found` is an index, the variant is to be found
/// next.
bool settle(Found&& found, Looked& looked)
{
    looked.token = found.token;
    looked.seen = found.voided;
    switch (found.kind) {
    case Found::Kind::hit:
        if (found.entry->kind == EntryKind::vary_index) {
            looked.index = std::move(found.entry);
            return true;
        }
        looked.entry = std::move(found.entry);
        looked.seen = looked.entry->times.stored;
        break;
    case Found::Kind::none: looked.reason = looked.index ? Forward::vary_miss : Forward::uri_miss; break;
    case Found::Kind::purged: looked.reason = looked.index ? Forward::vary_miss : Forward::purged; break;
    case Found::Kind::marked:
        looked.reason = Forward::write_open;
        looked.mark_rule = found.mark_rule;
        looked.bypass = true;
        break;
    case Found::Kind::away:
        looked.reason = Forward::store_away;
        looked.bypass = true;
        break;
    }
    return false;
}

void choose_variant(Exchange& exchange, const Entry& index)
{
    rules::VarySpec spec;
    spec.names = index.vary_names;
    exchange.variant = variant_digest(rules::vary_values(spec, exchange.head.fields, exchange.view.path));
    exchange.stored_as = storage_key(exchange.key, exchange.variant);
}

/// An exact purge removes the index only: a variant of an older generation is as good as gone. So is one that newer
/// variants have pushed out.
void check_variant(Looked& looked)
{
    if (!looked.entry || looked.index->has_variant(*looked.entry)) return;
    const bool is_purged = looked.entry->generation != looked.index->generation;
    looked.entry = nullptr;
    looked.reason = is_purged ? Forward::purged : Forward::vary_miss;
}

/// A purge between the two looks has voided the index: what is filled now must not join its generation, so the fill's
/// token is where the index was valid.
void settle_variant(Found&& found, Looked& looked)
{
    const Position index_position = looked.token.position;
    settle(std::move(found), looked);
    looked.token.position = std::min(looked.token.position, index_position);
    check_variant(looked);
}

}  // namespace

void lookup_here(Services& services, Exchange& exchange, std::optional<Looked>& looked)
{
    looked.reset();
    auto found = services.cache.find_here(exchange.key, exchange.key, exchange.now);
    if (!found || !settle(std::move(*found), looked.emplace())) return;
    choose_variant(exchange, *looked->index);
    found = services.cache.find_here(exchange.key, exchange.stored_as, exchange.now);
    if (!found) return looked.reset();
    settle_variant(std::move(*found), *looked);
}

std::optional<Looked> looked_in_vain(const Found& found)
{
    std::optional<Looked> looked;
    if (found.kind == Found::Kind::none || found.kind == Found::Kind::purged) settle(Found(found), looked.emplace());
    return looked;
}

asio::awaitable<Looked> lookup(Services& services, Exchange& exchange, std::optional<Found> found)
{
    CoherentCache& cache = services.cache;
    const rules::Instant begun = instant_now();
    Looked looked;
    exchange.variant.clear();
    exchange.stored_as = exchange.key;
    if (!found) found = cache.find_here(exchange.key, exchange.stored_as, exchange.now);
    const bool waits = !found;
    if (!found) found = co_await cache.ask(exchange.key, exchange.variant, exchange.stored_as, exchange.now);
    if (settle(std::move(*found), looked)) {
        choose_variant(exchange, *looked.index);
        found = cache.find_here(exchange.key, exchange.stored_as, exchange.now);
        if (!found) found = co_await cache.ask(exchange.key, exchange.variant, exchange.stored_as, exchange.now);
        settle_variant(std::move(*found), looked);
    }
    if (waits) exchange.store_time = instant_now() - begun;
    co_return looked;
}

}  // namespace larder::proxy
