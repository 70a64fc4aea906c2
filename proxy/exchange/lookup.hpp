// Finds the stored response for an exchange, through the index of variants when there is one.
#pragma once

#include <optional>

#include "proxy/exchange/exchange.hpp"
#include "proxy/exchange/services.hpp"

namespace larder::proxy {

/// What a lookup gave. `reason` is why there is no entry to serve; with `bypass` nothing may be stored either.
struct Looked {
    EntryPtr entry;  // a response (never an index); null: none
    EntryPtr index;  // the variants' index of this key, if there is one
    rules::Forward reason = rules::Forward::none;
    bool bypass = false;
    std::uint32_t mark_rule = UINT32_MAX;  // of write_open: index of the purge rule whose write it is
    LogToken token;
    rules::WallTime seen{};  // when what is stored, and cannot be used, was stored; the epoch: nothing is
};

/// What memory can say without waiting, into `looked`; empty: `lookup` must be asked. Sets `exchange.variant` and
/// `stored_as`, if there are variants.
void lookup_here(Services& services, Exchange& exchange, std::optional<Looked>& looked);
/// The same of what the store has said, when that is nothing; empty: something else.
std::optional<Looked> looked_in_vain(const Found& found);
/// @param found  what the cache has said already of the key without a variant; empty: nothing
asio::awaitable<Looked> lookup(Services& services, Exchange& exchange, std::optional<Found> found = std::nullopt);

}  // namespace larder::proxy
