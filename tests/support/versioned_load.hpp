// A few clients that read and write items whose answers tell their version: what was acknowledged before a read began
// must be in its answer. A small brother of the history checker in coherence/, for stories about a store that changes.
#pragma once

#include <array>
#include <atomic>
#include <future>
#include <vector>

#include "tests/support/scripted_origin.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

/// Rules for them: an item, a write of one, a write of all.
extern const char* const versioned_item_rules;

class VersionedItems {
  public:
    static constexpr std::size_t count = 24;
    /// Scripts GET and PUT of /items/0 ... on the origin, which the items must not outlive.
    explicit VersionedItems(ScriptedOrigin& origin);

    static std::string target(std::size_t item) { return "/items/" + std::to_string(item); }
    /// What no later answer may be below.
    int acknowledged(std::size_t item) const { return acknowledged_[item]; }
    void acknowledge(std::size_t item, int version);

  private:
    std::array<std::atomic<int>, count> written_{}, acknowledged_{};
};

/// Two clients that read and one that writes, until `stop`. Nothing throws; what went wrong is counted.
class VersionedLoad {
  public:
    VersionedLoad(std::uint16_t port, VersionedItems& items);
    ~VersionedLoad() { stop(); }
    void stop();

    /// Waits until so many requests, or hits, more have been answered.
    void await_requests(int more) const;
    void await_hits(int more) const;

    std::atomic<int> requests{0}, hits{0}, errors{0}, stale{0};

  private:
    void read(std::uint16_t port, std::size_t first);
    void write(std::uint16_t port);

    VersionedItems& items_;
    std::atomic<bool> done_{false};
    std::vector<std::future<void>> clients_;
};

}  // namespace larder::tests
