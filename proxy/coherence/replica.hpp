// One worker's copy of the purge log (sans-I/O): records in, answers out. "Does any record after position p match this
// key?" is the whole of it. Exact keys are remembered by hash for the last `exact_limit` of them; a question that
// reaches further back gets `unknown`, which callers treat as "matched". Questions name keys and groups in full.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "proxy/coherence/purge_log.hpp"

namespace larder::proxy {

enum class Since : std::uint8_t { clean, matched, unknown };
enum class Applied : std::uint8_t { ok, known, gap };  // known: at or before our position; gap: resync needed

class Replica {
  public:
    explicit Replica(std::size_t exact_limit = 65'536);
    ~Replica();

    /// Starts over from a snapshot. `now` dates the marks among the recent records: receipt + life.
    void reset(const LogSnapshot& snapshot, rules::Instant now);
    /// Applies the next record; its `previous` must be our position.
    Applied apply(const Record& record, rules::Instant now);

    Position position() const noexcept { return position_; }
    Position floor() const noexcept { return floor_; }
    const std::string& run_id() const noexcept { return run_id_; }
    bool ready() const noexcept { return ready_; }
    void lose() noexcept { ready_ = false; }  // nothing is known any more until `reset`

    /// Is there a record after `since` (and up to our position) that matches the key? Includes the floor.
    Since matched_since(std::string_view key, Position since) const noexcept;
    /// Patterns and the floor only. For entries that exact purges remove themselves (those in Redis).
    Since matched_pattern_since(std::string_view key, Position since) const noexcept;

    /// The same of a group: of patterns those count that are its name, no others.
    Since matched_group_since(std::string_view group, Position since) const noexcept;

    /// A purge of the key is remembered. Says why something is not there, not whether what is there holds.
    bool remembers_purge(std::string_view key) const noexcept;

    /// An open mark matches the key: a write to it is under way. The name of the purge rule that has opened it, empty
    /// when its write tells none; a view until the next record. Empty optional: no mark.
    std::optional<std::string_view> marked(std::string_view key, rules::Instant now) noexcept;
    std::size_t open_marks() const noexcept;
    std::size_t patterns_count() const noexcept;
    /// How often the oldest patterns were forgotten and the floor raised for it, since the last call.
    std::uint64_t take_overflows() noexcept { return std::exchange(overflows_, 0); }

  private:
    struct State;
    void keep_to_limit();

    std::unique_ptr<State> state_;
    std::string run_id_;
    Position position_ = 0;
    Position floor_ = 0;
    bool ready_ = false;
    std::uint64_t overflows_ = 0;
};

}  // namespace larder::proxy
