// Answers from a stored response: Age, 304, HEAD, Range (RFC 9111 §4, RFC 9110 §13, §14).
#pragma once

#include "proxy/exchange/client.hpp"
#include "proxy/exchange/exchange.hpp"
#include "proxy/store/entry.hpp"

namespace larder::proxy {

/// Appends the head of the answer to `services.out` and says which part of the entry's body follows. What of the
/// exchange matters (verdict, ttl, flags) has been set. `age`: of the stored response now; negative: say none.
std::string_view append_stored_answer(Services& services, Exchange& exchange, const Entry& entry,
                                      rules::Milliseconds age);

/// Bodies of up to so many bytes are copied behind their heads: less work than to tell the kernel of two pieces.
inline constexpr std::size_t copied_bytes = 4 * 1024;
/// The same, handed to the client in one write.
bool put_stored_answer(Services& services, Client& client, Exchange& exchange, const EntryPtr& entry,
                       rules::Milliseconds age);

}  // namespace larder::proxy
