// What a HEAD that was forwarded tells of the stored response of a GET (RFC 9111 §4.3.5).
#pragma once

#include "proxy/coherence/coherent_cache.hpp"
#include "proxy/exchange/exchange.hpp"

namespace larder::proxy {

/// Renews the fields and times of `stored` when the 200 to a HEAD describes it. When it does not, and `stored` would
/// still be served, it is purged: the app has something else by now. Ends by the store's deadlines.
/// @param token  where the purge log stood when `stored` was looked up
asio::awaitable<void> review_by_head(Services& services, const Exchange& exchange, const EntryPtr& stored,
                                     LogToken token, const rules::ResponseHead& response, rules::WallTime requested);

}  // namespace larder::proxy
