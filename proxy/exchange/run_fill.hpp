// The fetch of a fill, from request to stored entry: what happens behind those who read its answer (collapse.cpp).
#pragma once

#include <memory>

#include "proxy/exchange/fill.hpp"

namespace larder::proxy {

/// Everything a fill needs: values only, so that it outlives the client that asked first.
struct FillRequest {
    std::shared_ptr<Fill> fill;
    std::shared_ptr<Exchange> exchange;
    EntryPtr stale;  // of the same variant; null: none
    EntryPtr index;  // of variants; null: none known
};

/// Fetches, judges and stores; ends the fill for its readers and for `Services::fills`, whatever happens. Spawn it.
asio::awaitable<void> run_fill(Services& services, FillRequest request);

}  // namespace larder::proxy
