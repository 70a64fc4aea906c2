// What the request path asks the cache: memory, the shared store and the purge log together. Finds the shard of a key
// and sends a write's purge to all shards it touches, at once. What one shard knows and does: shard.hpp.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/coherence/shard.hpp"
#include "proxy/net/tasks.hpp"
#include "rules/key/cache_key.hpp"

namespace larder::proxy {

/// One write's purge, from PREPARE to COMMIT.
struct WritePurge {
    std::vector<rules::PurgeTarget> targets;  // only added to
    std::string rule{};                       // that opens the marks; empty: none in particular
    std::string write_id{};                   // from the first PREPARE on
    bool prepared = false;                    // every shard it touches has the PREPARE
    rules::Instant prepared_at{};
    rules::Milliseconds settle{0};
    std::vector<Position> positions{};  // of the records that were appended for it
    std::size_t marked_count = 0;       // of the targets, the first so many are covered by its marks
};

/// One worker's way to one shard; `store` is null when embedded.
struct ShardLink {
    PurgeLog& log;
    Store* store = nullptr;
};

/// Single-threaded: one per worker. What is given by reference outlives it; memory and a local log are shared by
/// workers.
class CoherentCache {
  public:
    /// @param shards  as many as `process` has; one when embedded
    CoherentCache(Tasks& tasks, MemoryStore& memory, const std::vector<ShardLink>& shards, SharedLogState& process,
                  Counters& counters, CacheOptions options);

    /// What can be answered without waiting: always with the in-process log; with Redis only memory hits within
    /// `trust`.
    std::optional<Found> find_here(std::string_view key, std::string_view storage_key, rules::WallTime now)
    {
        return embedded_ || may_know_here(options_) ? shard_of(key).find_here(key, storage_key, now) : std::nullopt;
    }
    /// The same, asking the store as needed. Ends by the store's deadlines.
    asio::awaitable<Found> find(const std::string& key, const std::string& variant, rules::WallTime now);
    /// The second half of `find`: `find_here` has just been empty. What is given stays until it ends.
    asio::awaitable<Found> ask(const std::string& key, const std::string& variant, const std::string& storage_key,
                               rules::WallTime now);
    /// The same without a coroutine: `done` is completed later, never from within; with nothing when `ask` must do it.
    /// False: likewise, at once; `done` is not touched.
    bool begin_ask(const std::string& key, const std::string& variant, const std::string& storage_key,
                   rules::WallTime now, Completion<std::optional<Found>>& done)
    {
        return !embedded_ && shard_of(key).begin_ask(key, variant, storage_key, now, done);
    }
    /// The same, from the store whatever memory has: another replica is known to have stored something. Not embedded.
    asio::awaitable<Found> find_in_store(const std::string& key, const std::string& variant, rules::WallTime now)
    {
        return shard_of(key).find_in_store(key, variant, now);
    }

    /// Another worker of this process has purged something in the key's shard that this one has not seen yet.
    bool behind_own_writes(std::string_view key) const noexcept { return shard_of(key).behind_own_writes(); }
    /// Ends that, if the log can be reached. Ends by the store's deadlines.
    asio::awaitable<void> see_own_writes(std::string_view key) { return shard_of(key).see_own_writes(); }

    /// Has a record after `since`, known to this worker, voided the key?
    bool voided_since(std::string_view key, LogToken since) { return shard_of(key).voided_since(key, since); }
    /// The same of a response: by its key or by one of its groups.
    bool voided_since(const Entry& entry, LogToken since) { return shard_of(entry.key).voided_since(entry, since); }
    /// Stores a complete response that was fetched with `token`. `entry` is not shared yet; its position is set here.
    /// @param lease  of the fill, ended if the store has got that far; null: none, or it is still needed
    asio::awaitable<rules::NotStored> store(std::shared_ptr<Entry> entry, LogToken token, FillLease* lease = nullptr);
    /// The same without a coroutine: `done` is completed later, never from within. False: `store` does it, or says why
    /// not. Not embedded.
    bool begin_store(std::shared_ptr<Entry> entry, LogToken token, FillLease& lease,
                     Completion<rules::NotStored>& done);
    /// The same without waiting. Only when embedded.
    rules::NotStored store_here(std::shared_ptr<Entry> entry, LogToken token);

    // --- leases: one fetch for all replicas (COHERENCE section 9). Nothing of this when embedded. ---

    /// Asks for the lease of a key and variant, and learns of all records that the log has at that moment.
    /// `lease.owner` is set when it is ours, also with `away`: then the log could not be read. A holder whose fetch a
    /// purge has overtaken does not count. Ends by the store's deadlines.
    /// @param token  where the log stood at the miss
    /// @param seen   the response under this key that has been found unusable; the epoch: none
    /// @param answer  what `begin_lease` has given: it need not be asked for again; empty: nothing
    asio::awaitable<Leased> lease(FillLease& lease, LogToken token, rules::WallTime seen,
                                  std::optional<Leased> answer = std::nullopt)
    {
        return shard_of(lease.key).lease(lease, token, seen, std::move(answer));
    }
    /// Asks for it without a coroutine: `done` is completed later, never from within. What it gives counts when the log
    /// is known so far (`knows`); else `lease` takes it. False: `lease` must be asked. `lease` stays until then.
    bool begin_lease(FillLease& lease, LogToken token, rules::WallTime seen, Completion<Leased>& done)
    {
        return shard_of(lease.key).begin_lease(lease, token, seen, done);
    }
    /// Nothing was in the log of the key's shard, when it was asked for the lease, that this worker does not know.
    bool knows(std::string_view key, const Leased& leased) const noexcept { return shard_of(key).knows(leased); }
    /// One look at another's lease and the log.
    asio::awaitable<LeaseNow> look_at_lease(const FillLease& lease, const std::string& holder)
    {
        return shard_of(lease.key).look_at_lease(lease, holder);
    }
    /// Ends a lease that `store` has not ended; with a reason, whether held or not, the key is known as uncacheable to
    /// all replicas for `memory`. `lease.owner` is empty afterwards.
    asio::awaitable<void> release(FillLease& lease, rules::NotStored uncacheable, rules::Milliseconds memory)
    {
        return shard_of(lease.key).release(lease, uncacheable, memory);
    }
    /// An answer to the key could be stored: it is not known as uncacheable any more, to no replica. When the store is
    /// away its time ends that. Nothing when embedded.
    asio::awaitable<void> forget_uncacheable(const std::string& key, const std::string& variant)
    {
        return shard_of(key).forget_uncacheable(key, variant);
    }
    /// Ends what is still held, as well as that can be done, when the process must end before its fills.
    asio::awaitable<void> release_all();

    /// PREPARE on every shard that the targets touch, at once: voids them and opens the marks. Repeated for the same
    /// write it makes its marks last longer. Errors: store_*, of any one shard.
    asio::awaitable<rules::Errc> prepare(WritePurge& write);
    /// COMMIT (or a single purge when there was no PREPARE), likewise. Where the log cannot be reached, or has not
    /// answered within `commit_wait`, the purge is queued and replayed before the shard is trusted again, and an error
    /// comes back.
    asio::awaitable<rules::Errc> commit(WritePurge& write);
    /// The write is not done after all: closes the marks of a PREPARE that may have succeeded on some shards. What
    /// cannot be reached keeps its mark to its end, which costs hits and nothing else.
    asio::awaitable<void> withdraw(WritePurge& write);
    /// Its COMMIT is queued, yet nobody is served what it has changed: all its targets are under open marks.
    bool fenced(const WritePurge& write) const noexcept;

    /// Called again and again, after `tending_pause`: replays what is queued, brings the replicas up to date, drops
    /// marks that have run out.
    asio::awaitable<void> tend();
    rules::Milliseconds tending_pause() const noexcept;
    /// @param hook  called when a request has found something that only `tend` puts right
    void on_wants_tending(std::function<void()> hook) { wants_tending_hook_ = std::move(hook); }

    bool embedded() const noexcept { return embedded_; }
    /// The log of every shard can be reached and nothing is queued: entries may be trusted.
    bool trusted() const noexcept;
    /// The same of the shards that a purge of the targets touches.
    bool trusted(const std::vector<rules::PurgeTarget>& targets) const noexcept;
    /// `tend` has something to do that requests are waiting for (they pass by meanwhile).
    bool wants_tending() const noexcept;
    /// From now on. `mark_life` never shrinks: a write that has begun may have the longer one.
    void use(CacheOptions options)
    {
        options.mark_life = std::max(options.mark_life, options_.mark_life);
        options_ = std::move(options);
    }
    rules::Milliseconds mark_life() const noexcept { return options_.mark_life; }

  private:
    struct Part;
    std::size_t index_of(std::string_view key) const noexcept;
    Shard& shard_of(std::string_view key) const noexcept { return *shards_[shards_.size() == 1 ? 0 : index_of(key)]; }
    std::vector<Part> parts_of(const WritePurge& write, RecordType type, rules::Milliseconds life) const;
    asio::awaitable<void> run_prepare(Part& part);
    asio::awaitable<void> run_commit(Part& part, rules::Instant until);
    asio::awaitable<void> run_withdraw(Part& part);

    Tasks& tasks_;
    MemoryStore& memory_;
    Counters& counters_;
    const bool embedded_;
    CacheOptions options_;
    std::vector<std::unique_ptr<Shard>> shards_;
    std::function<void()> wants_tending_hook_;
};

}  // namespace larder::proxy
