// Redis Cluster: any node is asked who has which slot; the links of all shards share the answer. COHERENCE section 8.
#pragma once

#include <optional>

#include "proxy/redis/asked_topology.hpp"
#include "proxy/redis/slot_map.hpp"

namespace larder::proxy {

class ClusterTopology final : public AskedTopology {
  public:
    ClusterTopology(asio::io_context& context, DeadlineWheel& wheel, const config::Store& store, const TlsContext* tls,
                    Counters& counters, std::size_t shards);

  private:
    asio::awaitable<std::string> ask() override;
    const config::Endpoint* server_of(std::size_t shard) const noexcept override;
    std::string nobody_serves(std::size_t shard) const override;
    void note(const Redirect& why, const config::Endpoint& server) override;
    bool only_answers_count() const noexcept override { return false; }

    struct Answer {
        std::string trouble;  // empty: `map` is there
        std::optional<SlotMap> map;
        bool healthy = true;  // the node is with the majority of the masters
    };
    asio::awaitable<Answer> ask_one(config::Endpoint node);
    std::vector<config::Endpoint> nodes_to_ask();

    std::size_t shards_;
    SlotMap map_;
    std::optional<config::Endpoint> first_;   // to be asked: who has just been named, or who answered last
    std::vector<config::Endpoint> suspects_;  // to be asked last: they did not answer, or are down themselves
    std::size_t turn_ = 0;                    // where among the others the next question begins
};

}  // namespace larder::proxy
