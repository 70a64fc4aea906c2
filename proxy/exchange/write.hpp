// A request that may change what is cached: its purge is in the log before its answer is out (COHERENCE §3).
#pragma once

#include "proxy/exchange/exchange.hpp"

namespace larder::proxy {

/// Forwards a request of an unsafe method and purges what its rules name: PREPARE before it is forwarded, COMMIT before
/// it is answered. With or without rules, a response that is no error voids the request's own target, and those it
/// names (RFC 9111 §4.4).
asio::awaitable<void> forward_write(Services& services, Client& client, ExchangePtr exchange);

}  // namespace larder::proxy
