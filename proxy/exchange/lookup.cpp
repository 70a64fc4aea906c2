#include "proxy/exchange/lookup.hpp"

#include <algorithm>

#include "proxy/net/clock.hpp"
#include "rules/http/vary.hpp"

namespace larder::proxy {

using rules::Forward;

namespace {

/// Turns what the cache found into what the request path needs. True: `found` is an index, the variant is to be found
/// next.
bool settle(const Found& found, Looked& looked)
{
    looked.token = found.token;
    looked.seen = found.voided;
    switch (found.kind) {
    case Found::Kind::hit:
        if (found.entry->kind == EntryKind::vary_index) {
            looked.index = found.entry;
            return true;
        }
        looked.entry = found.entry;
        looked.seen = found.entry->times.stored;
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

}  // namespace

std::optional<Looked> lookup_here(Services& services, Exchange& exchange)
{
    Looked looked;
    exchange.variant.clear();
    exchange.stored_as = exchange.key;
    auto found = services.cache.find_here(exchange.key, exchange.stored_as, exchange.now);
    if (!found) return std::nullopt;
    if (settle(*found, looked)) {
        // A purge between the two looks has voided the index: what is filled now must not join its generation, so the
        // fill's token is where the index was valid.
        const Position index_position = looked.token.position;
        choose_variant(exchange, *looked.index);
        found = services.cache.find_here(exchange.key, exchange.stored_as, exchange.now);
        if (!found) return std::nullopt;
        settle(*found, looked);
        looked.token.position = std::min(looked.token.position, index_position);
        check_variant(looked);
    }
    return looked;
}

asio::awaitable<Looked> lookup(Services& services, Exchange& exchange)
{
    if (auto here = lookup_here(services, exchange)) co_return std::move(*here);
    const rules::Instant begun = instant_now();
    Looked looked;
    exchange.variant.clear();
    exchange.stored_as = exchange.key;
    const Found found = co_await services.cache.find(exchange.key, exchange.variant, exchange.now);
    if (settle(found, looked)) {
        const Position index_position = looked.token.position;
        choose_variant(exchange, *looked.index);
        const Found variant = co_await services.cache.find(exchange.key, exchange.variant, exchange.now);
        settle(variant, looked);
        looked.token.position = std::min(looked.token.position, index_position);
        check_variant(looked);
    }
    exchange.store_time = instant_now() - begun;
    co_return looked;
}

}  // namespace larder::proxy
