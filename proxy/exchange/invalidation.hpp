// What the response to a write voids besides its purge rules: its own target, Location and Content-Location of the same
// origin (RFC 9111 §4.4).
#pragma once

#include <vector>

#include "proxy/exchange/exchange.hpp"
#include "rules/key/cache_key.hpp"

namespace larder::proxy {

/// Appends the keys to `targets`. Nothing when the response is an error.
void append_invalidated_by(std::vector<rules::PurgeTarget>& targets, const Exchange& exchange,
                           const rules::ResponseHead& response);

}  // namespace larder::proxy
