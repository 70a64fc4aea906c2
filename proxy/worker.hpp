// One worker: a thread, its io_context and everything that belongs to it alone. Workers share the in-process store, the
// in-process purge log, the fills under way and the configuration, and nothing else.
#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "proxy/coherence/coherent_cache.hpp"
#include "proxy/coherence/redis_log.hpp"
#include "proxy/exchange/fill.hpp"
#include "proxy/exchange/services.hpp"
#include "proxy/net/pause.hpp"
#include "proxy/redis/link.hpp"
#include "proxy/server/server.hpp"
#include "proxy/store/redis_store.hpp"
#include "proxy/trace/exporter.hpp"

namespace larder::proxy {

/// What all workers share. Thread-safe parts only.
struct Shared {
    config::ConfigPtr config;
    MemoryStore& memory;
    PurgeLog* local_log;                     // null with a shared store
    const std::vector<Keyspace>& keyspaces;  // one for each shard of the store; one when embedded
    const TlsContext* store_tls;             // null without TLS
    SharedLogState& log_state;
    Fills& fills;
    ConnectionLimit& connections;
    InflightLimit& inflight;
    SpanExporter* spans;  // null: nothing is traced
};

/// The limits of request heads, on the traffic port and on the admin port.
rules::HeadLimits request_limits(const config::Limits& limits);

class Worker {
  public:
    explicit Worker(const Shared& shared);
    ~Worker();

    /// Before `start`. Returns what is wrong, in words; empty: listening.
    std::string listen(const config::Endpoint& endpoint, const Worker* first);
    std::uint16_t port() const noexcept { return listener_.port(); }

    void start();
    /// From any thread. Answers say `Connection: close` from now on; everything else goes on.
    void announce_drain();
    /// From any thread. Ends accepting and idle connections, lets the rest finish, for `patience` at most, then ends
    /// them.
    void drain(rules::Milliseconds patience);
    /// A purge that no write has asked for, appended to the log by this worker. From any thread; `done` is called on
    /// the worker's, at the latest when the store's deadlines have passed, and never when the worker has ended before.
    struct HandPurged {
        rules::Errc error = rules::Errc::ok;  // why it was queued, wholly or in part
        std::vector<Position> positions;
    };
    void purge(std::vector<rules::PurgeTarget> targets, std::function<void(HandPurged)> done);

    /// Serves by another configuration from now on: requests that have begun go on by the one before. From any thread;
    /// `done` is called on the worker's.
    void use(config::ConfigPtr config, std::function<void()> done);

    /// What the store's servers use of their memory, by `INFO memory`; empty where none has told.
    struct StoreMemory {
        std::uint64_t used_bytes = 0, limit_bytes = 0;  // limit 0: none, of some server at least
        std::uint32_t servers = 0;
    };
    /// From any thread; `done` is called on the worker's, at the latest when the store's deadlines have passed.
    void ask_store_memory(std::function<void(StoreMemory)> done);

    /// After `drain`: the thread has ended.
    void join();

    /// After `join`: no coroutine is left.
    bool clean() const noexcept { return tasks_.running() == 0; }

    const Counters& counters() const noexcept { return counters_; }
    /// The last purges of this worker. Any thread.
    std::vector<RecentPurge> recent_purges() const { return recent_purges_.newest_first(); }
    /// Connected to the server of the shard. Any thread.
    bool shard_up(std::size_t shard) const noexcept { return shards_[shard]->link.is_up(); }
    /// The worker serves, and has spoken to the store once or has given it its time. Any thread.
    bool ready() const noexcept { return ready_.load(std::memory_order_acquire); }
    /// When its event loop was last seen to turn: at least once a second, while the thread lives. Any thread.
    rules::Instant last_turn() const noexcept { return last_turn_.load(std::memory_order_relaxed); }

  private:
    /// The worker's way to one shard of the shared store.
    struct StoreShard {
        StoreShard(Worker& worker, const Keyspace& keyspace, std::size_t shard);
        Link link;
        RedisStore store;
        RedisLog log;
    };

    static std::vector<std::unique_ptr<StoreShard>> store_shards(Worker& worker);
    std::vector<ShardLink> shard_links() const;
    asio::awaitable<void> run_housekeeping();
    asio::awaitable<void> run_hand_purge(std::vector<rules::PurgeTarget> targets, std::function<void(HandPurged)> done);
    asio::awaitable<void> run_store_memory(std::function<void(StoreMemory)> done);
    asio::awaitable<void> run_tending();
    asio::awaitable<void> run_drain(rules::Milliseconds patience);

    Shared shared_;
    ExchangePool exchanges_;  // outlives whoever may hold one
    asio::io_context context_{1};
    Counters counters_;
    Tasks tasks_{context_};
    DeadlineWheel wheel_{context_, &counters_.armed_deadlines};
    AccessLog access_log_;
    RecentPurges recent_purges_;
    std::unique_ptr<Tracer> tracer_;  // null: nothing is traced
    UpstreamPool upstream_;
    std::unique_ptr<Topology> topology_;  // null when embedded
    std::size_t topology_tasks_count_ = 0;
    std::vector<std::unique_ptr<StoreShard>> shards_;  // none when embedded
    CoherentCache cache_;
    bool draining_ = false, stopping_ = false;
    Services services_;
    Listener listener_{context_};
    Server server_;
    std::atomic<bool> ready_{false};
    std::atomic<rules::Instant> last_turn_{};
    Pause housekeeping_pause_{context_, wheel_};
    Pause tending_pause_{context_, wheel_};
    std::thread thread_;
};

}  // namespace larder::proxy
