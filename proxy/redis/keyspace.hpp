// Names of the keys in Redis (COHERENCE section 2). One shard: every name carries the same hash tag, so that each
// script and MGET touches one slot.
#pragma once

#include <string>
#include <string_view>

namespace larder::proxy {

class Keyspace {
  public:
    /// @param prefix  the operator's namespace
    explicit Keyspace(std::string_view prefix);

    const std::string& counter() const noexcept { return counter_; }
    const std::string& stream() const noexcept { return stream_; }
    const std::string& patterns() const noexcept { return patterns_; }

    /// `<prefix>:{0}:e:<key>`, for a variant with a newline and its digest behind it. Keys above 1 KiB are named by
    /// their SHA-256: `e:#<64 hex>`; the full key stands in the value.
    std::string entry(std::string_view key, std::string_view variant = {}) const;
    /// The fill lease of a key; the variant as above.
    std::string lease(std::string_view key, std::string_view variant = {}) const;

  private:
    std::string name(char kind, std::string_view key, std::string_view variant) const;

    std::string base_;
    std::string counter_, stream_, patterns_;
};

}  // namespace larder::proxy
