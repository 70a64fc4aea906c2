// The purge log: every purge is one append that gets the next position; an entry is valid while no later record matches
// its key. Implemented by local_log (in the process) and redis_log (COHERENCE layout and scripts).
#pragma once

#include <optional>
#include <vector>

#include "proxy/coherence/record.hpp"
#include "proxy/net/asio.hpp"
#include "proxy/net/waiter.hpp"
#include "rules/base/errors.hpp"

namespace larder::proxy {

class PurgeLog {
  public:
    virtual ~PurgeLog() = default;

    /// The present counter when it can be known without asking anybody (in-process log); else empty: `look`.
    virtual std::optional<Position> position_here() const noexcept = 0;
    /// Records after a position without waiting; only when `position_here` has a value. Empty optional: trimmed away.
    virtual std::optional<std::vector<Record>> records_here(Position after) const = 0;
    /// The same for the whole log.
    virtual std::optional<LogSnapshot> snapshot_here() const = 0;
    /// Appends without waiting; empty when the log is not in this process.
    virtual std::optional<Appended> append_here(Record record) = 0;

    /// Number of the connection in use; changes when the server may be another one. 0: not connected now.
    virtual std::uint64_t connection() const noexcept = 0;

    /// Reads the counter. Errors of all of these: store_unreachable, store_timeout, store_refused.
    virtual asio::awaitable<rules::Result<Position>> look() = 0;
    /// The same without a coroutine: `done` is completed later, never from within. False: `look` tells why it cannot
    /// be had, `done` is not touched.
    virtual bool begin_look(Completion<rules::Result<Position>>&) { return false; }
    virtual asio::awaitable<rules::Result<std::vector<Record>>> records_after(Position after) = 0;
    /// And store_layout: the log belongs to a deployment with another number of shards.
    virtual asio::awaitable<rules::Result<LogSnapshot>> init() = 0;
    /// Appends and fills in nothing: the record's positions come back. At most 500 keys and patterns together.
    virtual asio::awaitable<rules::Result<Appended>> append(Record record) = 0;
};

}  // namespace larder::proxy
