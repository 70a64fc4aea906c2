// The shared store behind the in-process one, as the request path sees it: an entry and the log's counter in one round
// trip; a put that the log can refuse. Implemented by redis_store. The embedded mode has none: memory is its store.
#pragma once

#include <string_view>

#include "proxy/net/asio.hpp"
#include "proxy/store/entry.hpp"
#include "rules/base/errors.hpp"
#include "rules/verdict/verdict.hpp"

namespace larder::proxy {

struct StoreRead {
    std::shared_ptr<Entry> entry;  // null: none, or not readable
    Position counter = 0;          // the log's counter, read together with the entry; 0: the log has none
    rules::Instant sent;           // when the command was sent: the look that this read is
    std::uint64_t connection = 0;  // which connection gave it
};

/// What a put gave: where the log stood, or why it was refused.
struct StoreWrite {
    rules::NotStored refused = rules::NotStored::none;  // fenced, log_gap, newer, store_failed
    Position position = 0;                              // with none: the entry's new position
};

class Store {
  public:
    virtual ~Store() = default;

    /// Errors: store_unreachable, store_timeout, store_refused. Never throws. Cancellation is not supported: the
    /// operation ends by its own deadline.
    virtual asio::awaitable<rules::Result<StoreRead>> get(std::string key, std::string variant) = 0;

    /// @param token  the position up to which the log has been held against this response already
    virtual asio::awaitable<StoreWrite> put(std::shared_ptr<const Entry> entry, Position token) = 0;
};

}  // namespace larder::proxy
