// Which keys have answers that cannot be stored: nobody waits for such a fetch, and nobody asks for its lease.
#pragma once

#include "proxy/exchange/exchange.hpp"
#include "proxy/exchange/uncacheable_keys.hpp"
#include "rules/verdict/judge_store.hpp"

namespace larder::proxy {

/// May this response be stored, as far as its head says? Beside RFC 9111 §3: it fits `max_object`, and its end is told.
rules::StoreJudgement judge_answer(const Services& services, const Exchange& exchange,
                                   const rules::ResponseHead& response, rules::WallTime requested,
                                   rules::WallTime received, bool part_asked = false);

/// Is the next answer to the key likely to be refused for the same reason? What one requester's credentials, condition
/// or range, or one failure, brought about says nothing of it, nor does a status by which the app refuses this request.
bool is_lasting(const rules::ResponseHead& response, rules::NotStored reason) noexcept;

/// The answer to a request that went by because of what is remembered: keeps the memory, or ends it, so that a key
/// whose answers can be stored again is fetched and stored by the next request, whichever replica it comes to.
void review_uncacheable(Services& services, const Exchange& exchange, const rules::ResponseHead& response);

}  // namespace larder::proxy
