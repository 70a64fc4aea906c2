// Holds a response that was served from the cache against what the app answers now, for one hit in N (`verify:`): how
// an operator sees, in production, whether what is served is what the app would say. Nobody waits for it.
#pragma once

#include "proxy/exchange/exchange.hpp"
#include "proxy/exchange/services.hpp"
#include "proxy/store/entry.hpp"

namespace larder::proxy {

/// Takes part in nothing else: the exchange is a copy of the client's, and nothing is stored.
void start_verification(Services& services, ExchangePtr exchange, EntryPtr entry);

/// Called for each hit, when it has been answered. Fetches when it is its turn and no other verification is under way
/// in this worker. Counts in larder_verifications_total{rule,result}; what differs is logged. A hit that has waited
/// over a reload is none of those: the rule that it was judged by may be gone.
inline void verify_if_wanted(Services& services, const Client& client, const Exchange& exchange, const EntryPtr& entry)
{
    if (exchange.config && exchange.config != services.config) return;
    if (services.verification.wants() && !entry->is_part())
        start_verification(services, copy_of(services, exchange, client), entry);
}

}  // namespace larder::proxy
