// One shard of the keys as one worker sees it: its log, its replica of that log, its part of the store. Nothing leaves
// here that a purge known at the time of the question has voided. COHERENCE section 3 is this file.
#pragma once

#include <boost/intrusive/list.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "proxy/coherence/guards.hpp"
#include "proxy/coherence/purge_log.hpp"
#include "proxy/coherence/replica.hpp"
#include "proxy/coherence/shared_log_state.hpp"
#include "proxy/net/blocks.hpp"
#include "proxy/net/waiter.hpp"
#include "proxy/net/wake_up.hpp"
#include "proxy/observe/counters.hpp"
#include "proxy/store/memory_store.hpp"
#include "proxy/store/store.hpp"

namespace larder::proxy {

/// Where the log of a key's shard stood, and in which server run: positions of different runs are not comparable.
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
    std::uint32_t mark_rule = UINT32_MAX;  // of `marked`: index of the purge rule whose write it is, if known here
    rules::WallTime voided{};  // of a response that is stored still and that a purge has voided; the epoch: none
};

/// What has become of another's lease.
enum class LeaseNow : std::uint8_t { same, changed, away };

struct CacheOptions {
    rules::Milliseconds trust{0};
    rules::Milliseconds mark_life{35'000};
    /// The answer to a write waits so long for its purge, and for one operation of the store that has begun by then.
    rules::Milliseconds commit_wait{500};
    std::map<std::string, std::uint32_t, std::less<>> purge_rules{};  // index by name
};

/// May memory answer without a look at the shared log, while the last one holds?
inline bool may_know_here(const CacheOptions& options) noexcept
{
    return options.trust.count() > 0 || !guarded(Guard::validate_memory);
}

/// Single-threaded: belongs to one worker. Memory, a local log and the state in `process` are shared with others. What
/// is given by reference outlives it. Every wait ends by the store's deadlines.
class Shard {
  public:
    /// @param store  null: embedded, memory is the store
    /// @param index  in `process`
    Shard(asio::io_context& context, MemoryStore& memory, PurgeLog& log, Store* store, SharedLogState& process,
          std::size_t index, Counters& counters, const CacheOptions& options);
    Shard(const Shard&) = delete;
    Shard& operator=(const Shard&) = delete;

    std::optional<Found> find_here(std::string_view key, std::string_view storage_key, rules::WallTime now);
    asio::awaitable<Found> find(const std::string& key, const std::string& variant, rules::WallTime now);
    asio::awaitable<Found> ask(const std::string& key, const std::string& variant, const std::string& storage_key,
                               rules::WallTime now);
    bool begin_ask(const std::string& key, const std::string& variant, const std::string& storage_key,
                   rules::WallTime now, Completion<std::optional<Found>>& done);
    asio::awaitable<Found> find_in_store(const std::string& key, const std::string& variant, rules::WallTime now);

    bool behind_own_writes() const noexcept;
    asio::awaitable<void> see_own_writes();

    bool voided_since(std::string_view key, LogToken since);
    bool voided_since(const Entry& entry, LogToken since);

    // shard_stores.cpp
    rules::NotStored store_here(std::shared_ptr<Entry> entry, LogToken token);
    asio::awaitable<rules::NotStored> store(std::shared_ptr<Entry> entry, LogToken token, FillLease* lease);
    bool begin_store(std::shared_ptr<Entry> entry, LogToken token, FillLease& lease,
                     Completion<rules::NotStored>& done);

    // shard_leases.cpp; what they say is in coherent_cache.hpp
    asio::awaitable<Leased> lease(FillLease& lease, LogToken token, rules::WallTime seen, std::optional<Leased> answer);
    bool begin_lease(FillLease& lease, LogToken token, rules::WallTime seen, Completion<Leased>& done);
    bool knows(const Leased& leased) const noexcept { return knows(leased.counter, leased.connection); }
    asio::awaitable<LeaseNow> look_at_lease(const FillLease& lease, const std::string& holder);
    asio::awaitable<void> release(FillLease& lease, rules::NotStored uncacheable, rules::Milliseconds memory);
    asio::awaitable<void> forget_uncacheable(std::string key, std::string variant);
    asio::awaitable<void> release_all();

    /// Appends one record. When it returns, this worker knows it or trusts nothing of the shard.
    /// Errors: store_*. Unless it is store_layout, the log may have it all the same.
    asio::awaitable<rules::Result<Position>> append(Record record);
    /// Queues a record that could not be appended.
    void defer(Record record);

    /// Replays what is queued, looks at the log, drops marks that have run out.
    asio::awaitable<void> tend();
    /// The log can be reached and nothing is queued: entries may be trusted.
    bool trusted() const noexcept;
    /// `tend` has something to do that requests are waiting for (they pass by meanwhile).
    bool wants_tending() const noexcept;

  private:
    class Synchronising;
    class Lookup;
    class Storing;
    class Leasing;
    /// What is remembered of a put until it is answered.
    struct PutTerms {
        std::uint64_t connection;
        std::uint32_t epoch;
        rules::WallTime now;
    };
    asio::awaitable<Found> check(const std::string& key, const std::string& variant, EntryPtr entry,
                                 rules::WallTime now);
    bool knows(Position counter, std::uint64_t connection) const noexcept;
    /// All is known that the log had when it was last looked at, and nothing is queued.
    bool is_up_to_date() const noexcept;
    bool embedded() const noexcept { return store_ == nullptr; }
    SharedShardState& shared() const noexcept { return process_.shard(index_); }
    LogToken token() const noexcept { return {replica_.position(), epoch_}; }
    void hold(FillLease& lease, std::string owner);
    asio::awaitable<bool> synchronise(Position counter, std::uint64_t connection);
    asio::awaitable<bool> catch_up_once(std::uint64_t connection);
    void catch_up_here();
    void apply(const Record& record);
    void note_layout(rules::Errc error);
    void note_own(Position position) noexcept;
    void note_look(rules::Instant sent) noexcept { checked_ = std::max(checked_, sent); }
    asio::awaitable<bool> replay_deferred();
    Found found_nothing(Found::Kind kind) const noexcept;
    Found found_none(std::string_view key) const noexcept;
    Found judge_memory(EntryPtr entry);
    Found judge_read(StoreRead&& read, std::string_view key, rules::WallTime now);
    /// Has anything after `since` voided it, by its key or by one of its groups? `unknown` only of the key.
    Since matched_since(const Entry& entry, Position since) const noexcept;
    /// The same without exact purges: for entries that these remove themselves.
    Since matched_pattern_since(const Entry& entry, Position since) const noexcept;
    bool any_group_matched_since(const Entry& entry, Position since) const noexcept
    {
        return !entry.groups.empty() && any_matched_since(entry.groups, since);
    }
    bool any_matched_since(const std::vector<std::string>& groups, Position since) const noexcept;
    /// What is answered while an open mark matches the key; empty: none does.
    std::optional<Found> found_marked(std::string_view key) noexcept;
    bool is_fenced(const Entry& entry, LogToken since);
    /// May it be sent to the store, by what is known here?
    rules::NotStored may_put(const Entry& entry, LogToken since);
    PutTerms put_terms() const;
    /// What the store has said of it; what it has stored goes into memory too.
    rules::NotStored on_put(std::shared_ptr<Entry> entry, const PutTerms& terms, const StoreWrite& written,
                            FillLease& lease);
    void insert_memory(const EntryPtr& entry, rules::WallTime now);
    void count_replica();

    asio::io_context& context_;
    MemoryStore& memory_;
    PurgeLog& log_;
    Store* store_;
    SharedLogState& process_;
    std::size_t index_;
    Counters& counters_;
    const CacheOptions& options_;
    Blocks& blocks_;
    Replica replica_;
    std::uint32_t epoch_ = 0;       // of the replica's run: entries of another one are not comparable
    std::uint64_t connection_ = 0;  // that the replica was last checked on
    rules::Instant checked_{};      // when the last successful look was sent
    bool synchronising_ = false;
    std::vector<WakeUp*> waiting_for_sync_;
    // Leases that are held: of fills under way, which leave the list when they end.
    boost::intrusive::list<FillLease, boost::intrusive::member_hook<FillLease, FillLease::Hook, &FillLease::held>,
                           boost::intrusive::constant_time_size<false>>
        leases_;
    std::int64_t marks_counted_ = 0, patterns_counted_ = 0;  // this shard's part of the worker's gauges
};

}  // namespace larder::proxy
