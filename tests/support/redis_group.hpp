// Several redis-servers that belong together: a master with replicas and sentinels, or a cluster. Real processes on
// free ports. Larder reaches them as the users that `larder acl` prints.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/certificates.hpp"
#include "tests/support/child_process.hpp"

namespace larder::tests {

/// One process of a group.
class RedisNode {
  public:
    /// @param options  lines of its configuration
    RedisNode(std::uint16_t port, const std::vector<std::string>& options, bool is_sentinel = false);

    std::uint16_t port() const { return port_; }
    void start();  // on the same address, with its configuration as it left it and without data
    void kill();   // SIGKILL
    void stop();   // SIGSTOP
    void go_on();  // SIGCONT
    /// Ends what `kill` or `stop` did. True when it had to be started.
    bool revive();
    /// Neither killed nor stopped.
    bool answers() const { return running_ && !stopped_; }
    /// As the all-powerful user.
    std::string command(const std::vector<std::string>& words) const;
    /// Whether a section of INFO, or the answer to CLUSTER INFO, says so.
    bool says(const std::vector<std::string>& words, const std::string& text) const;

  private:
    std::uint16_t port_;
    bool is_sentinel_;
    bool running_ = false, stopped_ = false;
    TemporaryDirectory directory_;
    std::unique_ptr<ChildProcess> process_;
};

enum class Wires { plain, tls };

/// One master, one replica, three sentinels of which two must agree. A failover takes about two seconds.
class SentinelSet {
  public:
    explicit SentinelSet(Wires wires = Wires::plain);

    /// The options under `store:`, with the login of the servers and that of the sentinels.
    std::string store_yaml() const;
    /// Whom the sentinels name now.
    RedisNode& master();
    RedisNode& replica();
    std::vector<std::unique_ptr<RedisNode>>& sentinels() { return sentinels_; }
    /// A change of the master by hand (SENTINEL FAILOVER), seen through. The old one stays up, for a while as a master.
    void hand_over();
    /// Waits until the sentinels name another master than this one.
    void await_failover(const RedisNode& from);
    /// Everything runs, and a failover is possible again.
    void restore();

  private:
    Wires wires_;
    TemporaryDirectory directory_;
    std::vector<std::unique_ptr<RedisNode>> servers_, sentinels_;
};

/// Three masters with a third of the slots each. The first two have a replica, the last has none.
class ClusterNodes {
  public:
    explicit ClusterNodes(Wires wires = Wires::plain);

    /// The options under `store:`, with the login.
    std::string store_yaml() const;
    /// Who has a slot now.
    RedisNode& master_of(unsigned slot);
    bool has_replica(const RedisNode& master);
    /// A change of the slot's master by hand (CLUSTER FAILOVER), seen through. The old one stays up.
    void hand_over(unsigned slot);
    /// Another master.
    RedisNode& other_master(const RedisNode& than);
    std::vector<std::unique_ptr<RedisNode>>& nodes() { return nodes_; }
    /// Waits until another node has the slot.
    void await_failover(unsigned slot, const RedisNode& from);
    /// Moves a slot with all its keys to another master, as redis-cli --cluster reshard does. `half_way` is called when
    /// some of the keys have gone and some have not.
    void move_slot(unsigned slot, RedisNode& to, const std::function<void()>& half_way);
    /// Everything runs, and a failover is possible again.
    void restore();

  private:
    struct Known;  // one line of CLUSTER NODES
    std::vector<Known> known();
    RedisNode& by_port(std::uint16_t port);
    std::string id_of(const RedisNode& node);
    void await_agreement();

    Wires wires_;
    TemporaryDirectory directory_;
    std::vector<std::unique_ptr<RedisNode>> nodes_;
};

}  // namespace larder::tests
