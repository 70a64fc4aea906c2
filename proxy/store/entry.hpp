// A stored response. Immutable once shared; only the position, up to which the purge log was held against it, rises.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rules/base/time.hpp"
#include "rules/verdict/judge_lookup.hpp"

namespace larder::proxy {

using rules::Position;

/// Either a response, or the index of a key's variants (RFC 9111 §4.1): a key whose responses vary has an index under
/// the key itself, and each variant under `storage_key(key, digest)`. An exact purge removes the index; variants of an
/// older generation, and those that newer ones have pushed out of the index, are never served again and go by eviction
/// or expiry.
enum class EntryKind : std::uint8_t { response, vary_index };

/// Variants of a key at a time.
constexpr std::size_t variants_limit = 16;

/// Text of an entry: a copy of its own, or a view into what the entry keeps anyway. Half the size of a string, and most
/// need no memory of their own.
class EntryText {
  public:
    EntryText() noexcept = default;
    EntryText(const EntryText& other) { *this = std::string_view(other); }
    EntryText& operator=(const EntryText& other) { return *this = std::string_view(other); }
    ~EntryText() { drop(); }

    /// Takes a copy, which lives as long as this. Length: less than 4 GiB, as of all texts here.
    EntryText& operator=(std::string_view text);
    /// Takes a view: `text` stays where it is as long as the entry.
    void refer(std::string_view text) noexcept
    {
        drop();
        data_ = text.data();
        size_ = static_cast<std::uint32_t>(text.size());
        is_own_ = false;
    }

    operator std::string_view() const noexcept { return {data_, size_}; }
    const char* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    /// Bytes of memory that only this text needs.
    std::size_t heap_bytes() const noexcept;

    friend bool operator==(const EntryText& a, const EntryText& b) noexcept
    {
        return std::string_view(a) == std::string_view(b);
    }
    friend bool operator==(const EntryText& a, std::string_view b) noexcept { return std::string_view(a) == b; }

  private:
    void drop() noexcept
    {
        if (is_own_) delete[] data_;
    }

    const char* data_ = nullptr;
    std::uint32_t size_ = 0;
    bool is_own_ = false;
};

/// Fields of a stored head, the first of each; empty: there is none. Views into it.
struct Validators {
    std::string_view etag, last_modified, date, content_range;
};

struct Entry {
    Entry() = default;
    /// One with room for so many bytes of texts and body behind it, in the same block of memory: a store that is full
    /// finds its oldest entries in no cache of the processor, and each block of one that makes way is another wait.
    static std::shared_ptr<Entry> with_room(std::size_t bytes);
    /// One that keeps `block`, where its texts and its body can refer to. At first the first `bytes` are its body.
    static std::shared_ptr<Entry> keeping(std::unique_ptr<char[]> block, std::size_t bytes);
    /// The same with a copy of `bytes` in its own block of memory.
    static std::shared_ptr<Entry> copy_of(std::string_view bytes);

    EntryText key;      // logical key: what patterns are held against
    EntryText variant;  // digest of the nominated request fields; empty: not a variant
    EntryKind kind = EntryKind::response;
    int status = 200;
    rules::StoredTimes times;
    rules::WallTime expires;  // hard end: not kept longer, not even to be revalidated or served stale
    /// Status line and end-to-end fields as on the wire, each line with CR LF, without the empty line, Age, Date kept,
    /// Content-Length always there. Empty for an index.
    EntryText head;
    std::vector<std::string> vary_names;  // of an index: lower case, sorted
    std::vector<std::string> variants;    // of an index: digests of the newest, oldest first
    EntryText generation;                 // of an index and of its variants: they belong together when equal
    EntryText rule;                       // name of the rule it was stored under
    EntryText own_policy;                 // Larder-Cache-Control: obeyed, kept for the next 304, and not sent on
    std::vector<std::string> groups;      // names that it can be purged by besides its key: rules/key/groups.hpp

    /// A 206: the bytes that `content_range` names, and not the whole.
    bool is_part() const noexcept { return status == 206; }

    /// Nothing in the log up to here makes it stale (COHERENCE: the entry's number). Only rises.
    mutable std::atomic<Position> position{0};
    /// Embedded only: set once the log was held against the entry again after it had become visible, from when on exact
    /// purges reach it by removing it. Before that they are found in the replica's history only.
    mutable std::atomic<bool> settled{false};
    /// Which server run the position belongs to; process-wide number given by the log. Not stored.
    std::uint32_t epoch = 0;

    /// Of an index: a variant of its generation may be served. One that a full index does not list has been pushed out;
    /// one that lists fewer may lack what another replica stored at the same time.
    bool has_variant(const Entry& variant) const noexcept;

    /// Stays where it is as long as the entry.
    std::string_view body() const noexcept { return body_; }
    void set_body(std::string bytes);
    /// The body is part of what `owner` keeps, which takes `held_bytes` of memory in all.
    void share_body(std::string_view part, std::shared_ptr<const void> owner, std::size_t held_bytes);
    /// The body is that of another entry.
    void share_body(const std::shared_ptr<const Entry>& other);

    /// What is left of the room that it was made with.
    std::size_t room() const noexcept { return room_bytes_; }
    /// Puts a copy into the room, where it stays as long as the entry. No more than there is.
    std::string_view put(std::string_view text) noexcept;
    /// The body is such a copy, or one of its own when it is too large.
    void put_body(std::string_view bytes);
    /// The body is part of what the entry keeps.
    void refer_body(std::string_view part) noexcept { body_ = part; }

    /// Found in `head` anew each time: only conditional and range requests and revalidations ask for them.
    Validators validators() const noexcept;
    /// Bytes of real use: this object, its strings' capacities and the store's node.
    std::size_t cost_bytes() const noexcept;

  private:
    std::string_view body_;
    std::shared_ptr<const void> body_owner_;  // null: it is in the room, or in what the entry keeps
    std::size_t body_held_bytes_ = 0;
    const void* block_ = nullptr;  // of memory, that this object and the room are in; null: this object alone
    char* room_ = nullptr;
    std::size_t room_bytes_ = 0;
};

using EntryPtr = std::shared_ptr<const Entry>;

/// Bytes of real use that a store adds to an entry: its node. Part of `cost_bytes`.
inline constexpr std::size_t store_node_bytes = 64;
/// What the allocator really gave for an allocation, and what it needs to keep it.
std::size_t allocated_bytes(const void* block) noexcept;

/// Key under which a store keeps an entry. A newline never stands in a logical key.
std::string storage_key(std::string_view key, std::string_view variant);

/// 32 hex digits of the SHA-256 of the nominated values: clients choose them, so that a hash whose collisions can be
/// constructed would hand one variant out for another.
std::string variant_digest(std::string_view vary_values);

}  // namespace larder::proxy
