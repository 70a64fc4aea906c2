// The fetch of a fill, from request to stored entry: what happens behind those who read its answer (collapse.cpp).
#pragma once

#include <memory>

#include "proxy/exchange/fill.hpp"

namespace larder::proxy {

/// Everything a fill needs: values only, so that it outlives the client that asked first.
struct FillRequest {
    std::shared_ptr<Fill> fill;
    std::shared_ptr<Exchange> exchange;
    std::string variant;     // that the lookup chose; empty: none known
    EntryPtr stale;          // of the same variant; null: none
    EntryPtr index;          // of variants; null: none known
    rules::WallTime seen{};  // when what the store has, and cannot be used, was stored
    bool refresh = false;    // nobody waits for it
    FillTerms terms;
    FillLease lease;                                        // of the key, for all replicas
    rules::NotStored uncacheable = rules::NotStored::none;  // the answer is not storable, nor is the next one likely
};

/// Fetches, judges and stores; ends the fill for its readers and for `Services::fills`, whatever happens. Spawn it.
asio::awaitable<void> run_fill(Services& services, FillRequest request);

/// The same for a fetch of `Fills::join_unsent`, which is not stored.
/// @param after  the one under way, to be waited for, but not for longer than another's fill; null: none
asio::awaitable<void> run_shared_pass(Services& services, FillRequest request, std::shared_ptr<Fill> after);

}  // namespace larder::proxy
