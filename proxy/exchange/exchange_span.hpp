// What an exchange adds to a trace: its SERVER span, and the CLIENT span of each of its fetches. Called when tracing is
// on only.
#pragma once

#include "proxy/exchange/client.hpp"
#include "proxy/exchange/exchange.hpp"
#include "proxy/upstream/fetch.hpp"

namespace larder::proxy {

/// Begins the span of a fetch for the exchange. What comes back goes to the app as the parent of what it does.
/// @param target  as it is asked for, path and query
rules::SpanId begin_fetch_span(Services& services, const Exchange& exchange, Fetch& fetch, std::string_view method,
                               std::string_view target);

/// Records the span of the exchange, if its trace is; begins its trace now if it has needed none so far. Returns where
/// it stands.
TraceContext end_exchange_span(Services& services, const Client& client, const Exchange& exchange, rules::Instant end);

}  // namespace larder::proxy
