// The store under test: one Redis, or several behind Sentinel or as a Cluster, and what can be done to them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace larder::tests {

/// Of Larder's keys in it.
inline constexpr const char* store_namespace = "story";

/// `none`: the store is embedded in Larder, of which there is one process then.
enum class StoreKind : std::uint8_t { none, single, sentinel, cluster };

class StoreUnderTest {
  public:
    virtual ~StoreUnderTest() = default;
    /// The section `store:`, without its time-outs; empty: there is none.
    virtual std::string yaml() const = 0;

    virtual void kill() = 0;   // the present master; of a cluster one that has a replica
    virtual void start() = 0;  // what was killed, on the same address; a server alone with what its last SAVE kept
    virtual void stop() = 0;   // SIGSTOP, the same choice
    virtual void go_on() = 0;

    // A server alone.
    virtual std::string yaml_through(std::uint16_t gate_port) const;
    virtual std::uint16_t port() const;
    virtual std::string command(const std::vector<std::string>& words);

    // Several.
    /// Waits until another server has taken the place of the one that was killed or stopped.
    virtual void await_failover();
    /// Another server takes the master's place by hand; the old one stays up.
    virtual void hand_over();
    /// Waits until all serve again, and another failover is possible.
    virtual void await_whole();

    // A cluster.
    /// Moves the slot of one of Larder's shards to another master, key by key.
    /// @param half_way  is called when some of its keys have gone and some have not
    virtual void move_slot(const std::function<void()>& half_way);
};

std::unique_ptr<StoreUnderTest> make_store(StoreKind kind);

}  // namespace larder::tests
