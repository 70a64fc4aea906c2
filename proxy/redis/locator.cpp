#include "proxy/redis/locator.hpp"

#include "proxy/redis/cluster_topology.hpp"
#include "proxy/redis/sentinel_topology.hpp"

namespace larder::proxy {

namespace {

class FixedTopology final : public Topology {
  public:
    explicit FixedTopology(const config::Endpoint& endpoint) : locator_(endpoint) {}
    Locator& locator(std::size_t) override { return locator_; }
    std::size_t start(Tasks&) override { return 0; }
    void stop() noexcept override {}

  private:
    class FixedLocator final : public Locator {
      public:
        explicit FixedLocator(const config::Endpoint& endpoint) : endpoint_(endpoint) {}
        asio::awaitable<Located> locate() override { co_return Located::at(endpoint_); }
        void distrust(const Redirect&) noexcept override {}
        bool role_must_be_asked() const noexcept override { return true; }

      private:
        config::Endpoint endpoint_;
    };
    FixedLocator locator_;
};

}  // namespace

std::unique_ptr<Topology> make_topology(asio::io_context& context, DeadlineWheel& wheel, const config::Store& store,
                                        const TlsContext* tls, Counters& counters, std::size_t shards)
{
    switch (store.topology) {
    case config::StoreTopology::single: break;
    case config::StoreTopology::sentinel:
        return std::make_unique<SentinelTopology>(context, wheel, store, tls, counters);
    case config::StoreTopology::cluster:
        return std::make_unique<ClusterTopology>(context, wheel, store, tls, counters, shards);
    }
    return std::make_unique<FixedTopology>(store.endpoint);
}

}  // namespace larder::proxy
