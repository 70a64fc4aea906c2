// Answers that Larder gives itself: short problem documents (RFC 9457) with the request id.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "proxy/exchange/client.hpp"
#include "proxy/exchange/exchange.hpp"
#include "rules/base/errors.hpp"

namespace larder::proxy {

std::string_view reason_phrase(int status) noexcept;

/// Appends a whole answer: status, problem+json, framing. `exchange.keep_alive` decides about the connection.
/// @param detail  one sentence for the client's developer; no data of the request
void append_problem(std::string& out, Exchange& exchange, int status, std::string_view word, std::string_view detail,
                    std::string_view extra_fields = {});

/// The answer to a failed fetch or request: the status follows from whose fault it was. Counts the error. When an
/// answer has begun already the connection is cut instead, so that nobody takes the part for the whole.
asio::awaitable<void> refuse(Services& services, Client& client, Exchange& exchange, rules::Errc error);

/// 16 hex digits, unlike any other's: `rules::text_of`.
std::array<char, 16> make_request_id();

}  // namespace larder::proxy
