// One fetch of a missing key for all replicas: the lease in Redis around a fill (COHERENCE section 9). The fill of this
// process asks for it; who has it fetches, the others wait a bounded time and look again.
#pragma once

#include "proxy/exchange/filling.hpp"

namespace larder::proxy {

/// Does the fill need the lease? Not when the rule shares nothing, or there is no fleet.
bool is_shared(const Services& services, const FillRequest& request) noexcept;

/// Says whose lease it is, before it is asked for.
void name_lease(FillRequest& request);
/// The usual answer when the lease is asked for: fetch. All others are for `may_fetch`, with `request.leased`.
bool settles(const Services& services, const FillRequest& request, const Leased& leased);

/// Asks for the lease and, when another replica has it, waits: until that one's fetch has ended, a purge has overtaken
/// this fill, or the wait has been long enough: one second, half of `first_byte_timeout` at most, from the request's
/// beginning. True: fetch, under the lease (`request.lease.owner`) or, when it could not be had, without it. False: the
/// fill has ended, its readers know how to go on. Only when it is shared.
asio::awaitable<bool> may_fetch(Services& services, FillRequest& request);

/// Is there something for `end_lease` to do? On every path.
bool owes_lease(const Services& services, const FillRequest& request) noexcept;
/// Ends the lease that the store has not ended yet, and tells the others of an answer that could not be stored.
asio::awaitable<void> end_lease(Services& services, FillRequest& request);

}  // namespace larder::proxy
