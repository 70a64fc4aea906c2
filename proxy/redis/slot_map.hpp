// Which node of a cluster has which slot, as one of them says (CLUSTER SLOTS). Sans-I/O. Only masters answer us: what
// a replica knows of the purge log proves nothing.
#pragma once

#include <optional>
#include <vector>

#include "config/config.hpp"
#include "proxy/redis/reply.hpp"

namespace larder::proxy {

class SlotMap {
  public:
    /// @param reply  to CLUSTER SLOTS
    /// @param asked  the node that gave it: a node without a host in the reply is at this host
    /// @return empty: not understood. A cluster whose slots nobody has gives an empty map.
    static std::optional<SlotMap> parse(const Reply& reply, const config::Endpoint& asked);

    /// Null: nobody has the slot.
    const config::Endpoint* master_of(unsigned slot) const noexcept;
    /// All masters and replicas, each once: any of them can be asked for a newer map.
    const std::vector<config::Endpoint>& nodes() const noexcept { return nodes_; }

  private:
    struct Range {
        unsigned first, last;
        config::Endpoint master;
    };
    std::vector<Range> ranges_;
    std::vector<config::Endpoint> nodes_;
};

inline bool is_same_server(const config::Endpoint& a, const config::Endpoint& b)
{
    return a.host == b.host && a.port == b.port && a.unix_path == b.unix_path;
}

}  // namespace larder::proxy
