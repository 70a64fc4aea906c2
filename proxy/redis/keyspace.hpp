// Names of the keys in Redis (COHERENCE section 2). Every name of a shard carries the same hash tag, so that each
// script and MGET touches one slot. One shard on a single server and behind Sentinel, 12 in a Cluster.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

namespace larder::proxy {

/// How a key (or a group) stands in names and in the purge log: as it is, and above `longest` bytes as `#` and its
/// SHA-256 in hex, so that what clients send takes bounded room. The brief name of a brief name is itself. A short key
/// that is spelt like a digest shares its purges with the long one: that purges more, never less.
class BriefKey {
  public:
    static constexpr std::size_t longest = 1024;

    /// @param key  must outlive this
    explicit BriefKey(std::string_view key) noexcept : text_(key)
    {
        if (key.size() > longest) digest();
    }
    BriefKey(const BriefKey&) = delete;
    BriefKey& operator=(const BriefKey&) = delete;

    /// Valid as long as this.
    std::string_view text() const noexcept { return text_; }
    bool is_digest() const noexcept { return text_.data() == digest_.data(); }

  private:
    void digest() noexcept;

    std::array<char, 65> digest_;
    std::string_view text_;
};

/// What follows `Keyspace::entries()` in the name of an entry, and `leases()` in that of its lease, in pieces: the
/// brief key, and for a variant a newline and its digest.
class NameEnd {
  public:
    /// Both outlive this.
    NameEnd(std::string_view key, std::string_view variant) noexcept
        : brief_(key), pieces_{brief_.text(), "\n", variant}, count_(variant.empty() ? 1 : pieces_.size())
    {
    }

    std::span<const std::string_view> pieces() const noexcept { return std::span(pieces_).first(count_); }

  private:
    BriefKey brief_;
    std::array<std::string_view, 3> pieces_;
    std::size_t count_;
};

class Keyspace {
  public:
    /// In a Cluster. The tags lie one in each twelfth of the slots, so that 2, 3, 4, 6 or 12 masters share them evenly.
    static constexpr std::size_t cluster_shards = 12;
    /// Hash tag of a shard, without braces.
    /// @param shards  1 or 12
    static std::string_view tag(std::size_t shard, std::size_t shards) noexcept;
    /// Cluster slot of that tag: CRC16(tag) mod 16384.
    static unsigned slot(std::size_t shard, std::size_t shards) noexcept;
    /// Shard of a logical key. Fixed for a namespace: all sidecars must agree.
    static std::size_t shard_of(std::string_view key, std::size_t shards) noexcept;

    /// @param prefix  the operator's namespace
    explicit Keyspace(std::string_view prefix, std::size_t shard = 0, std::size_t shards = 1);

    const std::string& counter() const noexcept { return counter_; }
    const std::string& stream() const noexcept { return stream_; }
    const std::string& patterns() const noexcept { return patterns_; }
    /// Where it is written how many shards the namespace has: `<prefix>:{0}:conf` and its like in every shard.
    const std::string& conf() const noexcept { return conf_; }
    std::size_t shards() const noexcept { return shards_; }

    /// `<prefix>:{0}:e:`, what the names of entries begin with.
    const std::string& entries() const noexcept { return entries_; }
    /// `<prefix>:{0}:l:`, the same of leases.
    const std::string& leases() const noexcept { return leases_; }
    /// `<prefix>:{0}:e:<key>`, for a variant with a newline and its digest behind it. Keys above 1 KiB are named by
    /// their SHA-256: `e:#<64 hex>`; the full key stands in the value.
    std::string entry(std::string_view key, std::string_view variant = {}) const;
    /// The fill lease of a key; the variant as above.
    std::string lease(std::string_view key, std::string_view variant = {}) const;
    /// The same in place of what `name` holds: its memory is used again.
    void entry_to(std::string& name, std::string_view key, std::string_view variant) const;
    void lease_to(std::string& name, std::string_view key, std::string_view variant) const;
    /// `<prefix>:{0}:n:`, what the names of entries begin with that wait for the store script.
    const std::string& incoming() const noexcept { return incoming_; }

  private:
    static void append_to(std::string& name, std::string_view key, std::string_view variant);

    std::string base_;
    std::string counter_, stream_, patterns_, conf_;
    std::string entries_, leases_, incoming_;  // what their names begin with
    std::size_t shards_;
};

}  // namespace larder::proxy
