// Which keys had an answer a moment ago that could not be stored, and why. Keys are a client's to choose: what is
// remembered of one is a hash, and not for longer than it counts.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string_view>
#include <unordered_map>

#include "rules/base/time.hpp"
#include "rules/verdict/verdict.hpp"

namespace larder::proxy {

/// How long an answer that could not be stored is remembered, here and for all replicas. Every further one that passes
/// here renews it here.
inline constexpr rules::Milliseconds uncacheable_memory{5'000};

/// Thread-safe; shared by all workers.
class UncacheableKeys {
  public:
    /// @param limit  of keys; above it what has expired goes, or else, since it only costs a wait, everything
    explicit UncacheableKeys(std::size_t limit = std::size_t{16} * 4'096);

    /// @param until  at most `uncacheable_memory` from now
    void remember(std::string_view stored_as, rules::NotStored reason, rules::Instant until);
    /// True: something was remembered, expired or not.
    bool forget(std::string_view stored_as);
    /// none: nothing is remembered.
    rules::NotStored reason(std::string_view stored_as, rules::Instant now);
    std::size_t count() const noexcept { return count_.load(std::memory_order_relaxed); }

  private:
    /// 128 bits, by a secret of the process: nobody finds a second key to another's hash.
    struct Hash {
        std::uint64_t low, high;
        bool operator==(const Hash&) const = default;
    };
    struct HashItself {
        std::size_t operator()(const Hash& hash) const noexcept { return hash.low; }
    };
    struct Known {
        rules::NotStored reason;
        rules::Instant until;
    };
    static constexpr std::size_t parts_count = 16;
    struct Part {
        std::mutex mutex;
        std::unordered_map<Hash, Known, HashItself> keys;
        rules::Instant swept{};
    };
    Hash hash_of(std::string_view stored_as) const noexcept;
    Part& part(const Hash& hash) noexcept { return parts_[hash.high % parts_count]; }
    void sweep(Part& part, rules::Instant now);

    const std::uint64_t seed_;
    const std::size_t limit_of_part_;
    std::array<Part, parts_count> parts_;
    std::atomic<std::size_t> count_{0};
};

}  // namespace larder::proxy
