// What the workers of a process tell each other about the shards of the log: purges that could not be appended yet, the
// newest own record, and whether the store turned out to be laid out for another number of shards. Thread-safe.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>

#include "proxy/coherence/purge_log.hpp"

namespace larder::proxy {

/// Purges of one shard that could not be appended because the store was away. Shared by all workers: while there is
/// one, no worker trusts the shard; whoever reaches it first replays them.
class DeferredPurges {
  public:
    /// More than these are replaced by one that purges everything: always right, and bounded.
    static constexpr std::size_t most = 10'000;
    static constexpr std::size_t most_bytes = std::size_t{4} << 20;
    void add(Record record);
    /// Takes the oldest, or nothing. It counts as deferred until `done` or `put_back`.
    std::optional<Record> take();
    void done() noexcept { count_.fetch_sub(1, std::memory_order_release); }
    void put_back(Record record);
    std::size_t count() const noexcept { return count_.load(std::memory_order_acquire); }

  private:
    std::mutex mutex_;
    std::deque<Record> records_;
    std::size_t bytes_ = 0;  // of `records_`
    std::atomic<std::size_t> count_{0};
};

struct SharedShardState {
    DeferredPurges deferred;
    /// Position of the newest record that this process has appended. A worker that has not seen it must look, also
    /// within `trust`: the same process never forgets its own writes (COHERENCE §4, bounded).
    std::atomic<Position> newest_own{0};
    /// The shard was laid out by a process with another number of shards.
    std::atomic<bool> foreign{false};
};

class SharedLogState {
  public:
    explicit SharedLogState(std::size_t shards_count = 1)
        : shards_(std::make_unique<SharedShardState[]>(shards_count)), count_(shards_count)
    {
    }
    std::size_t shards_count() const noexcept { return count_; }
    SharedShardState& shard(std::size_t index) noexcept { return shards_[index]; }
    const SharedShardState& shard(std::size_t index) const noexcept { return shards_[index]; }
    /// Of all shards.
    std::size_t deferred_count() const noexcept;

    /// One shard of another layout is enough: a purge would go to a shard where the others do not look for it.
    bool foreign() const noexcept { return foreign_count_.load(std::memory_order_acquire) != 0; }
    /// True: that is news.
    bool note_foreign(std::size_t index, bool foreign) noexcept;

  private:
    std::unique_ptr<SharedShardState[]> shards_;
    std::size_t count_;
    std::atomic<int> foreign_count_{0};
};

}  // namespace larder::proxy
