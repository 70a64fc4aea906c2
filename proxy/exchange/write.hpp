// A request that may change what is cached: its purge is in the log before its answer is out (COHERENCE §3).
#pragma once

#include <vector>

#include "proxy/exchange/exchange.hpp"
#include "rules/match/matcher.hpp"

namespace larder::proxy {

/// Forwards a write and purges what its rules name: PREPARE before it is forwarded, COMMIT before it is answered.
/// @param rules  every purge rule that matches, at least one
asio::awaitable<void> forward_write(Services& services, Client& client, std::shared_ptr<Exchange> exchange,
                                    std::vector<rules::Matched> rules);

}  // namespace larder::proxy
