// The purge log: every purge is one append that gets the next position; an entry is valid while no later record matches
// its key. Implemented by local_log (in the process) and redis_log (COHERENCE layout and scripts).
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "proxy/net/asio.hpp"
#include "rules/base/errors.hpp"
#include "rules/base/time.hpp"

namespace larder::proxy {

using rules::Position;

enum class RecordType : char {
    prepare = 'P',  // opens the mark of a write
    commit = 'C',   // closes it; with a life: keeps it open that much longer (settle)
    single = 'A',   // one purge without a mark: fence: after, admin
    init = 'I',     // the floor was raised: resync
};

struct Record {
    Position previous = 0;  // position of the record before: the log is a chain
    Position position = 0;
    RecordType type = RecordType::single;
    std::string write_id;  // as in write_id.hpp; empty for single and init
    rules::Milliseconds life{0};
    std::vector<std::string> keys;  // exact
    std::vector<std::string> patterns;
};

/// What a replica starts from: everything the log remembers.
struct LogSnapshot {
    std::string run_id;     // of the server; "local" for the in-process log
    Position position = 0;  // records after this one are still to come by `records_after`
    Position floor = 0;     // nothing older is trusted
    std::vector<std::pair<std::string, Position>> patterns;  // long memory: last position of each pattern
    bool raised = false;                                     // the floor, by this very call
    std::vector<Record> recent;                              // of the last mark life, for the open marks
};

struct Appended {
    Position previous = 0;
    Position position = 0;
};

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
    virtual asio::awaitable<rules::Result<std::vector<Record>>> records_after(Position after) = 0;
    /// And store_layout: the log belongs to a deployment with another number of shards.
    virtual asio::awaitable<rules::Result<LogSnapshot>> init() = 0;
    /// Appends and fills in nothing: the record's positions come back. At most 500 keys and patterns together.
    virtual asio::awaitable<rules::Result<Appended>> append(Record record) = 0;
};

}  // namespace larder::proxy
