#include "proxy/store/memory_store.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace larder::proxy {
namespace {

// A shard holds at least a few objects of the default limit (1 MiB of body).
constexpr std::uint64_t shard_least_bytes = 8 << 20;
constexpr unsigned most_shards = 256;
constexpr std::size_t least_buckets = 64;
// S3-FIFO: the share of new entries, and how often one must have been found there to move on to the main queue.
constexpr std::uint64_t small_share_percent = 10;
constexpr unsigned finds_to_stay = 2;
constexpr unsigned finds_cap = 3;
// How many popular entries one eviction may send round again: bounds the time under the lock when all are popular.
constexpr int second_chances = 32;

std::uint64_t hash_of(std::string_view key) noexcept { return XXH3_64bits(key.data(), key.size()); }

struct Node {
    Node* chain = nullptr;  // next in the same bucket, or among the removed
    Node* newer = nullptr;  // neighbours in the queue
    Node* older = nullptr;
    EntryPtr entry;
    std::uint64_t hash = 0;
    std::uint32_t cost_units = 0;  // 16 bytes each: what malloc rounds to
    std::uint8_t finds = 0;        // since it came into its queue, up to `finds_cap`
    bool in_main = false;

    std::uint64_t cost_bytes() const noexcept { return std::uint64_t{cost_units} * 16; }
};
static_assert((sizeof(Node) + 8 + 15) / 16 * 16 <= store_node_bytes);

// Nodes taken out under the lock. Declared before the lock, so that entries are freed after it is released.
struct Removed {
    Node* first = nullptr;

    Removed() = default;
    Removed(const Removed&) = delete;
    Removed& operator=(const Removed&) = delete;
    ~Removed()
    {
        while (first) delete std::exchange(first, first->chain);
    }
    void add(Node* node) noexcept { node->chain = std::exchange(first, node); }
};

struct Queue {
    Node* newest = nullptr;
    Node* oldest = nullptr;
    std::uint64_t bytes = 0;

    void push(Node* node) noexcept
    {
        node->newer = nullptr;
        node->older = newest;
        (newest ? newest->newer : oldest) = node;
        newest = node;
        bytes += node->cost_bytes();
    }
    void remove(Node* node) noexcept
    {
        (node->newer ? node->newer->older : newest) = node->older;
        (node->older ? node->older->newer : oldest) = node->newer;
        bytes -= node->cost_bytes();
    }
};

// Hashes of entries that left the small queue unfound: one that comes back soon goes to the main queue at once. Sets of
// four slots; the oldest of a set is overwritten.
class Ghosts {
  public:
    std::size_t bytes() const noexcept { return slots_.size() * sizeof(Slot); }

    void grow(std::size_t slots_count)
    {
        std::vector<Slot> old(slots_count);
        old.swap(slots_);
        for (const Slot& slot : old)
            if (slot.time != 0) put(slot);
    }
    void clear() noexcept { std::vector<Slot>{}.swap(slots_); }

    void add(std::uint64_t hash) noexcept
    {
        if (++clock_ == 0) clock_ = 1;  // 0 marks an empty slot
        put({mark_of(hash), clock_});
    }
    /// Is it among the last `depth` added?
    bool has(std::uint64_t hash, std::uint64_t depth) const noexcept
    {
        if (slots_.empty()) return false;
        for (const Slot& slot : set_of(mark_of(hash)))
            if (slot.mark == mark_of(hash) && slot.time != 0 && clock_ - slot.time < depth) return true;
        return false;
    }

  private:
    struct Slot {
        std::uint32_t mark = 0;
        std::uint32_t time = 0;
    };
    static std::uint32_t mark_of(std::uint64_t hash) noexcept { return static_cast<std::uint32_t>(hash >> 16); }

    std::span<const Slot, 4> set_of(std::uint32_t mark) const noexcept
    {
        return std::span<const Slot, 4>{&slots_[mark % (slots_.size() / 4) * 4], 4};
    }
    void put(Slot added) noexcept
    {
        Slot* place = &slots_[added.mark % (slots_.size() / 4) * 4];
        for (Slot *slot = place + 1, *end = place + 4; slot != end; ++slot)
            if (clock_ - slot->time > clock_ - place->time) place = slot;  // empty ones have the greatest age
        *place = added;
    }

    std::vector<Slot> slots_;
    std::uint32_t clock_ = 0;
};

// "key" or "key\nvariant", compared without building it.
bool is_named(const Entry& entry, std::string_view storage_key) noexcept
{
    if (entry.variant.empty()) return storage_key == entry.key;
    return storage_key.size() == entry.key.size() + 1 + entry.variant.size() && storage_key.starts_with(entry.key) &&
           storage_key[entry.key.size()] == '\n' && storage_key.ends_with(entry.variant);
}

}  // namespace

struct alignas(64) MemoryStore::Shard {
    mutable std::mutex mutex;
    std::vector<Node*> buckets;
    Ghosts ghosts;
    Queue small, main;
    std::uint64_t capacity_bytes = 0;
    std::size_t count = 0;
    std::uint64_t evicted = 0, expired = 0;

    ~Shard()
    {
        Removed removed;
        remove_all(removed);
    }

    std::uint64_t tables_bytes() const noexcept { return buckets.size() * sizeof(Node*) + ghosts.bytes(); }
    std::uint64_t used_bytes() const noexcept { return small.bytes + main.bytes + tables_bytes(); }
    Queue& queue_of(const Node& node) noexcept { return node.in_main ? main : small; }

    Node* find(std::string_view storage_key, std::uint64_t hash) const noexcept
    {
        if (buckets.empty()) return nullptr;
        for (Node* node = buckets[hash & (buckets.size() - 1)]; node; node = node->chain)
            if (node->hash == hash && is_named(*node->entry, storage_key)) return node;
        return nullptr;
    }

    void remove(Node* node, Removed& removed) noexcept
    {
        Node** link = &buckets[node->hash & (buckets.size() - 1)];
        while (*link != node) link = &(*link)->chain;
        *link = node->chain;
        queue_of(*node).remove(node);
        --count;
        removed.add(node);
    }

    void remove_all(Removed& removed) noexcept
    {
        for (Queue* queue : {&small, &main}) {
            for (Node* node = queue->oldest; node;) removed.add(std::exchange(node, node->newer));
            *queue = {};
        }
        std::vector<Node*>{}.swap(buckets);
        ghosts.clear();
        count = 0;
    }

    void grow_tables()
    {
        std::vector<Node*> wider(std::max(least_buckets, buckets.size() * 2));
        ghosts.grow(wider.size());
        for (Node* node : buckets) {
            while (node) {
                Node*& bucket = wider[node->hash & (wider.size() - 1)];
                Node* next = std::exchange(node->chain, bucket);
                bucket = std::exchange(node, next);
            }
        }
        buckets.swap(wider);
    }

    // Takes out entries, the least promising first, until `more_bytes` fit.
    void make_room(std::uint64_t more_bytes, rules::WallTime now, Removed& removed) noexcept
    {
        int chances = second_chances;
        while (count != 0 && used_bytes() + more_bytes > capacity_bytes) {
            const bool from_small = small.bytes * 100 > capacity_bytes * small_share_percent || !main.oldest;
            Node* node = from_small ? small.oldest : main.oldest;
            if (node->entry->expires <= now) {
                ++expired;
                remove(node, removed);
            } else if (from_small ? node->finds >= finds_to_stay : node->finds > 0 && --chances >= 0) {
                queue_of(*node).remove(node);
                node->finds = from_small ? 0 : static_cast<std::uint8_t>(node->finds - 1);
                node->in_main = true;
                main.push(node);
            } else {
                if (from_small)
                    ghosts.add(node->hash);
                else
                    chances = second_chances;
                ++evicted;
                remove(node, removed);
            }
        }
    }
};

MemoryStore::MemoryStore(std::uint64_t capacity_bytes, unsigned shards_count) : capacity_bytes_(capacity_bytes)
{
    shards_count = std::bit_ceil(std::clamp(shards_count, 1u, most_shards));
    while (shards_count > 1 && capacity_bytes / shards_count < shard_least_bytes) shards_count /= 2;
    shards_ = std::make_unique<Shard[]>(shards_count);
    shards_mask_ = shards_count - 1;
    for (unsigned i = 0; i < shards_count; ++i) shards_[i].capacity_bytes = capacity_bytes / shards_count;
}

MemoryStore::~MemoryStore() = default;

EntryPtr MemoryStore::find(std::string_view storage_key, rules::WallTime now) noexcept
{
    if (capacity_bytes_ == 0) return nullptr;
    const std::uint64_t hash = hash_of(storage_key);
    Shard& shard = shards_[(hash >> 48) & shards_mask_];
    Removed removed;
    const std::lock_guard lock{shard.mutex};
    Node* node = shard.find(storage_key, hash);
    if (!node) return nullptr;
    if (node->entry->expires <= now) {
        ++shard.expired;
        shard.remove(node, removed);
        return nullptr;
    }
    if (node->finds < finds_cap) ++node->finds;
    return node->entry;
}

bool MemoryStore::insert(const EntryPtr& entry, rules::WallTime now)
{
    if (capacity_bytes_ == 0 || !entry || entry->expires <= now) return false;
    const std::string joined = entry->variant.empty() ? std::string{} : storage_key(entry->key, entry->variant);
    const std::string_view name = joined.empty() ? std::string_view{entry->key} : std::string_view{joined};
    const std::uint64_t hash = hash_of(name);
    const std::uint64_t cost_bytes = (entry->cost_bytes() + 15) / 16 * 16;
    Shard& shard = shards_[(hash >> 48) & shards_mask_];
    if (cost_bytes > std::min(shard.capacity_bytes, std::uint64_t{UINT32_MAX} * 16)) return false;

    // Made before the lock, freed after it: with a replaced entry in it, or the refused one.
    auto added = std::make_unique<Node>();
    added->entry = entry;
    added->hash = hash;
    added->cost_units = static_cast<std::uint32_t>(cost_bytes / 16);

    Removed removed;
    const std::lock_guard lock{shard.mutex};
    Node* present = shard.find(name, hash);
    if (present) {
        const Entry& old = *present->entry;
        if (old.expires > now && old.epoch == added->entry->epoch && old.times.stored > added->entry->times.stored)
            return false;
    } else if (shard.count == shard.buckets.size()) {
        shard.grow_tables();
    }
    if (cost_bytes + shard.tables_bytes() > shard.capacity_bytes) return false;

    if (present) {
        Queue& queue = shard.queue_of(*present);
        queue.bytes += cost_bytes;
        queue.bytes -= present->cost_bytes();
        std::swap(present->entry, added->entry);
        present->cost_units = added->cost_units;
        if (present->finds < finds_cap) ++present->finds;
        shard.make_room(0, now, removed);
        return true;
    }
    shard.make_room(cost_bytes, now, removed);
    Node* node = added.release();
    node->in_main = shard.ghosts.has(hash, shard.count);
    shard.queue_of(*node).push(node);
    node->chain = std::exchange(shard.buckets[hash & (shard.buckets.size() - 1)], node);
    ++shard.count;
    return true;
}

void MemoryStore::erase(std::string_view storage_key) noexcept
{
    const std::uint64_t hash = hash_of(storage_key);
    Shard& shard = shards_[(hash >> 48) & shards_mask_];
    Removed removed;
    const std::lock_guard lock{shard.mutex};
    if (Node* node = shard.find(storage_key, hash)) shard.remove(node, removed);
}

void MemoryStore::clear() noexcept
{
    for (unsigned i = 0; i <= shards_mask_; ++i) {
        Removed removed;
        const std::lock_guard lock{shards_[i].mutex};
        shards_[i].remove_all(removed);
    }
}

MemoryStats MemoryStore::stats() const noexcept
{
    MemoryStats sum;
    for (unsigned i = 0; i <= shards_mask_; ++i) {
        const Shard& shard = shards_[i];
        const std::lock_guard lock{shard.mutex};
        sum.entries += shard.count;
        sum.bytes += shard.used_bytes();
        sum.evicted += shard.evicted;
        sum.expired += shard.expired;
    }
    return sum;
}

std::uint64_t MemoryStore::capacity_bytes() const noexcept { return capacity_bytes_; }

}  // namespace larder::proxy
