// Where the server of a link is: fixed, or as sentinels or the nodes of a cluster say. A link asks before each attempt
// to connect and tells what it met there; what is learned for one link of a worker is learned for all of them.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "config/config.hpp"
#include "proxy/net/asio.hpp"
#include "proxy/net/deadline.hpp"
#include "proxy/net/tasks.hpp"
#include "proxy/net/transport.hpp"
#include "proxy/observe/counters.hpp"
#include "proxy/redis/redirect.hpp"

namespace larder::proxy {

struct Located {
    config::Endpoint endpoint;
    std::string trouble;  // empty: `endpoint` is good; else why there is none, in words for the log

    static Located at(config::Endpoint endpoint)
    {
        Located located;
        located.endpoint = std::move(endpoint);
        return located;
    }
    static Located nowhere(std::string trouble)
    {
        Located located;
        located.trouble = std::move(trouble);
        return located;
    }
};

/// Of one link. Single-threaded.
class Locator {
  public:
    virtual ~Locator() = default;

    /// Ends by the deadlines of the questions it asks; at once after `Topology::stop`.
    virtual asio::awaitable<Located> locate() = 0;

    /// What was located is not, or may not be, what it should be. `replica`, `moved` and `none` (it could not be
    /// reached): the next `locate` asks anew. Of the others, which leave the link connected, only an answer that names
    /// another server ends it, by `on_moved`.
    virtual void distrust(const Redirect& why) noexcept = 0;

    /// A server that stands alone does not say when it has become a replica: it wants to be asked from time to time.
    virtual bool role_must_be_asked() const noexcept = 0;

    /// Set by the link: another server than the one located last has been named. Called outside of `locate`.
    std::function<void()> on_moved;
};

/// Of one worker. Outlives its links.
class Topology {
  public:
    virtual ~Topology() = default;
    /// One for each link, which is its only user.
    virtual Locator& locator(std::size_t shard) = 0;
    /// Starts what keeps the knowledge up to date; it runs until `stop`.
    /// @return number of tasks started
    virtual std::size_t start(Tasks& tasks) = 0;
    virtual void stop() noexcept = 0;
};

/// @param tls     null without TLS; must outlive the topology, as all the others
/// @param shards  1, or Keyspace::cluster_shards
std::unique_ptr<Topology> make_topology(asio::io_context& context, DeadlineWheel& wheel, const config::Store& store,
                                        const TlsContext* tls, Counters& counters, std::size_t shards);

}  // namespace larder::proxy
