// What the request path asks the cache: one worker's view of memory, the shared store and the purge log together.
// Nothing leaves here that a purge known at the time of the question has voided. COHERENCE section 3 is this file.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "proxy/coherence/purge_log.hpp"
#include "proxy/coherence/replica.hpp"
#include "proxy/net/wake_up.hpp"
#include "proxy/observe/counters.hpp"
#include "proxy/store/memory_store.hpp"
#include "proxy/store/store.hpp"
#include "rules/key/cache_key.hpp"

namespace larder::proxy {

/// Where the log stood, and in which server run: positions of different runs are not comparable.
struct LogToken {
    Position position = 0;
    std::uint32_t epoch = 0;
};

struct Found {
    enum class Kind : std::uint8_t {
        hit,     // `entry` is valid by the log (fresh or not is for the judge)
        none,    // nothing stored
        purged,  // nothing, or nothing that counts any more: a record of the log matches the key
        marked,  // a write to this key is under way: pass, do not store
        away,    // the store does not answer: pass, do not store
    } kind = Kind::none;
    EntryPtr entry;
    LogToken token;  // where the log stood: the token of a fill begun on this answer
    bool from_memory = false;
};

/// One write's purge, from PREPARE to COMMIT.
struct WritePurge {
    std::vector<rules::PurgeTarget> targets;
    std::string write_id;
    bool prepared = false;
    rules::Instant prepared_at{};
    rules::Milliseconds settle{0};
    std::vector<Position> positions{};  // of the records that were appended for it
};

struct CacheOptions {
    rules::Milliseconds trust{0};
    rules::Milliseconds mark_life{35'000};
};

/// Purges that could not be appended because the store was away. Shared by all workers: while there is one, no worker
/// trusts the store; whoever reaches it first replays them.
class DeferredPurges {
  public:
    /// More than these are replaced by one that purges everything: always right, and bounded.
    static constexpr std::size_t most = 10'000;
    void add(Record record);
    /// Takes the oldest, or nothing. It counts as deferred until `done` or `put_back`.
    std::optional<Record> take();
    void done() noexcept { count_.fetch_sub(1, std::memory_order_release); }
    void put_back(Record record);
    std::size_t count() const noexcept { return count_.load(std::memory_order_acquire); }

  private:
    std::mutex mutex_;
    std::deque<Record> records_;
    std::atomic<std::size_t> count_{0};
};

/// What the workers of a process tell each other about the log. Thread-safe.
struct SharedLogState {
    DeferredPurges deferred;
    /// Of the newest record that this process has appended. Within `trust` a worker that has not seen it must look: the
    /// same process never forgets its own writes (COHERENCE §4, bounded).
    std::atomic<Position> newest_own{0};
};

/// Single-threaded: one per worker. `memory`, `log` and `store` outlive it; memory and a local log are shared by
/// workers.
class CoherentCache {
  public:
    /// @param store  null: embedded, memory is the store
    CoherentCache(asio::io_context& context, MemoryStore& memory, PurgeLog& log, Store* store, SharedLogState& process,
                  Counters& counters, CacheOptions options);

    /// What can be answered without waiting: always with the in-process log; with Redis only memory hits within
    /// `trust`.
    std::optional<Found> find_here(std::string_view key, std::string_view storage_key, rules::WallTime now);
    /// The same, asking the store as needed. Ends by the store's deadlines.
    asio::awaitable<Found> find(const std::string& key, const std::string& variant, rules::WallTime now);

    /// Another worker of this process has purged something that this one has not seen yet.
    bool behind_own_writes() const noexcept;
    /// Ends that, if the log can be reached. Ends by the store's deadlines.
    asio::awaitable<void> see_own_writes();

    /// Has a record after `since`, known to this worker, voided the key?
    bool voided_since(std::string_view key, LogToken since);
    /// Stores a complete response that was fetched with `token`. `entry` is not shared yet; its position is set here.
    asio::awaitable<rules::NotStored> store(std::shared_ptr<Entry> entry, LogToken token);

    /// PREPARE: voids the targets and opens the mark. Errors: store_*.
    asio::awaitable<rules::Errc> prepare(WritePurge& write);
    /// COMMIT (or a single purge when there was no PREPARE). When the log cannot be reached the purge is queued,
    /// replayed before the store is trusted again, and the store's error comes back.
    asio::awaitable<rules::Errc> commit(WritePurge& write);

    /// Called about once a second: replays what is queued, brings the replica up to date, drops marks that have run
    /// out.
    asio::awaitable<void> tend();
    bool embedded() const noexcept { return store_ == nullptr; }
    /// The log can be reached and nothing is queued: entries may be trusted.
    bool trusted() const noexcept;
    /// `tend` has something to do that requests are waiting for (they pass by meanwhile).
    bool wants_tending() const noexcept;
    LogToken token() const noexcept { return {replica_.position(), epoch_}; }
    rules::Milliseconds mark_life() const noexcept { return options_.mark_life; }

  private:
    class Synchronising;
    asio::awaitable<bool> synchronise(Position counter, std::uint64_t connection);
    asio::awaitable<bool> catch_up_once(std::uint64_t connection);
    bool catch_up_here();
    void apply(const Record& record);
    asio::awaitable<rules::Errc> append(Record record, WritePurge& write);
    asio::awaitable<bool> replay_deferred();
    Found found_nothing(Found::Kind kind) const noexcept;
    Found found_none(std::string_view key) const noexcept;
    Found judge_memory(const EntryPtr& entry, std::string_view key);
    void insert_memory(EntryPtr entry, rules::WallTime now);
    static std::vector<Record> records_of(const WritePurge& write, RecordType type, rules::Milliseconds life);
    void count_replica();

    asio::io_context& context_;
    MemoryStore& memory_;
    PurgeLog& log_;
    Store* store_;
    SharedLogState& process_;
    Counters& counters_;
    CacheOptions options_;
    Replica replica_;
    std::uint32_t epoch_ = 0;       // of the replica's run: entries of another one are not comparable
    std::uint64_t connection_ = 0;  // that the replica was last checked on
    rules::Instant checked_{};      // when the last successful look was sent
    bool synchronising_ = false;
    std::vector<WakeUp*> waiting_for_sync_;
};

}  // namespace larder::proxy
