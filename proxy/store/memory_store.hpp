// The in-process store: sharded, bounded in bytes of real use, S3-FIFO eviction (Yang et al., SOSP 2023), hard expiry.
// Shared by all workers; one short lock per shard and operation.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>

#include "proxy/store/entry.hpp"

namespace larder::proxy {

struct MemoryStats {
    std::uint64_t entries = 0;
    std::uint64_t bytes = 0;
    std::uint64_t evicted = 0;
    std::uint64_t expired = 0;
};

class MemoryStore {
  public:
    /// @param capacity_bytes  0: keeps nothing
    /// @param shards_count    rounded up to a power of two; small capacities use fewer, so that one shard can hold an
    /// object
    explicit MemoryStore(std::uint64_t capacity_bytes, unsigned shards_count = 16);
    ~MemoryStore();

    /// Null when there is none or its hard expiry has passed. Thread-safe; allocates nothing.
    EntryPtr find(std::string_view storage_key, rules::WallTime now) noexcept;

    /// Keeps the entry. Refused (false) when an entry of the same key is newer (`times.stored` later, same epoch), or
    /// it is larger than a shard may hold. Thread-safe.
    bool insert(const EntryPtr& entry, rules::WallTime now);

    void erase(std::string_view storage_key) noexcept;
    void clear() noexcept;
    MemoryStats stats() const noexcept;
    std::uint64_t capacity_bytes() const noexcept;

  private:
    struct Shard;
    std::unique_ptr<Shard[]> shards_;
    unsigned shards_mask_ = 0;
    std::uint64_t capacity_bytes_;
};

}  // namespace larder::proxy
