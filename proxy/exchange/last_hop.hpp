// The answer to an OPTIONS or TRACE that may be forwarded no further.
#pragma once

#include <memory>

#include "proxy/exchange/exchange.hpp"

namespace larder::proxy {

/// Answers as the last on the way (RFC 9110 §7.6.2): what is allowed here to OPTIONS, 405 to TRACE, which shows
/// nobody's fields to scripts.
asio::awaitable<void> answer_as_last(Services& services, Client& client, ExchangePtr exchange);

}  // namespace larder::proxy
