#include "proxy/worker.hpp"

#include <set>

#include "proxy/exchange/purge_note.hpp"
#include "proxy/net/clock.hpp"

namespace larder::proxy {

namespace {

/// A mark must outlive the longest time in which the upstream can still act on a write (COHERENCE §4).
CacheOptions cache_options(const config::Config& config)
{
    CacheOptions options;
    options.trust = config.trust;
    options.mark_life = config.upstream.first_byte_timeout + rules::Milliseconds{5'000};
    for (const rules::Rule& rule : config.rules)
        if (rule.is_purge()) options.purge_rules.emplace(rule.name, rule.index);
    return options;
}

RedisLogOptions log_options(const config::Config& config)
{
    RedisLogOptions options;
    options.mark_life = cache_options(config).mark_life;
    return options;
}

rules::HeadLimits response_limits(const config::Limits& limits)
{
    rules::HeadLimits result;
    result.head_bytes = limits.response_head;
    result.target_bytes = limits.response_head;
    result.fields_count = limits.fields * 2;
    result.field_bytes = limits.response_head;
    return result;
}

/// With a count of its own, so that workers do not count on one cache line.
config::ConfigPtr own_handle(const config::ConfigPtr& config)
{
    return config::ConfigPtr(config.get(), [config](const config::Config*) {});
}

}  // namespace

rules::HeadLimits request_limits(const config::Limits& limits)
{
    rules::HeadLimits result;
    result.head_bytes = limits.request_head;
    result.target_bytes = limits.target;
    result.fields_count = limits.fields;
    result.field_bytes = limits.field;
    return result;
}

Worker::Worker(const Shared& shared)
    : shared_(shared),
      counters_(shared.config->counted_names.size()),
      access_log_(shared.config->log, counters_),
      tracer_(shared.spans ? std::make_unique<Tracer>(shared.spans->options(), shared.spans->make_queue()) : nullptr),
      upstream_(context_, shared.config->upstream, wheel_, counters_, shared.inflight),
      topology_(shared.local_log ? nullptr
                                 : make_topology(context_, wheel_, shared.config->store, shared.store_tls, counters_,
                                                 shared.keyspaces.size())),
      shards_(store_shards(*this)),
      cache_(tasks_, shared.memory, shard_links(), shared.log_state, counters_, cache_options(*shared.config)),
      services_{context_,
                own_handle(shared.config),
                request_limits(shared.config->limits),
                response_limits(shared.config->limits),
                tasks_,
                wheel_,
                counters_,
                access_log_,
                recent_purges_,
                upstream_,
                cache_,
                exchanges_,
                shared.fills,
                draining_,
                stopping_,
                tracer_.get()},
      server_(services_, listener_, shared.connections)
{
    services_.verification.every = shared.config->verify_every;
}

// Nobody waits any more: when something has missed the deadline for stopping (`clean`), the process ends without this.
Worker::~Worker() { join(); }

Worker::StoreShard::StoreShard(Worker& worker, const Keyspace& keyspace, std::size_t shard)
    : link(worker.context_, worker.wheel_, worker.shared_.config->store, worker.shared_.store_tls, worker.counters_,
           worker.topology_->locator(shard)),
      store(link, keyspace),
      log(link, keyspace, log_options(*worker.shared_.config))
{
}

std::vector<std::unique_ptr<Worker::StoreShard>> Worker::store_shards(Worker& worker)
{
    std::vector<std::unique_ptr<StoreShard>> shards;
    if (worker.shared_.local_log) return shards;
    for (const Keyspace& keyspace : worker.shared_.keyspaces)
        shards.push_back(std::make_unique<StoreShard>(worker, keyspace, shards.size()));
    return shards;
}

std::vector<ShardLink> Worker::shard_links() const
{
    std::vector<ShardLink> links;
    if (shared_.local_log) links.push_back({*shared_.local_log});
    for (const auto& shard : shards_) links.push_back({shard->log, &shard->store});
    return links;
}

std::string Worker::listen(const config::Endpoint& endpoint, const Worker* first)
{
    if (first && !endpoint.unix_path.empty()) return listener_.share(first->listener_);
    config::Endpoint mine = endpoint;
    if (first) mine.port = first->port();
    return listener_.open(mine, first != nullptr);
}

void Worker::start()
{
    if (topology_) topology_tasks_count_ = topology_->start(tasks_);
    for (const auto& shard : shards_) tasks_.spawn("store link", shard->link.run());
    tasks_.spawn("listener", server_.run_listener());
    tasks_.spawn("housekeeping", run_housekeeping());
    tasks_.spawn("tending", run_tending());
    last_turn_.store(instant_now(), std::memory_order_relaxed);
    thread_ = std::thread([this] { context_.run(); });
}

void Worker::join()
{
    if (thread_.joinable()) thread_.join();
}

asio::awaitable<void> Worker::run_housekeeping()
{
    constexpr rules::Milliseconds period{1'000};
    while (!stopping_) {
        last_turn_.store(instant_now(), std::memory_order_relaxed);
        upstream_.close_expired();
        access_log_.flush();
        co_await housekeeping_pause_.wait(period);
    }
}

// Keeps this worker's view of the log as young as it must be.
asio::awaitable<void> Worker::run_tending()
{
    constexpr rules::Milliseconds first_period{20}, store_patience{3'000};
    const rules::Instant begun = instant_now();
    bool is_long = false;
    cache_.on_wants_tending([this, &is_long] {
        if (is_long) tending_pause_.end();
    });
    while (!stopping_) {
        co_await cache_.tend();
        if (!ready()) {
            // Ready means: what is asked now is answered as well as it will be. A store that is away does not hold us
            // up.
            const bool given_up = instant_now() - begun > store_patience;
            const bool up_to_date = cache_.trusted() && !cache_.wants_tending();
            if (up_to_date || given_up) ready_.store(true, std::memory_order_release);
        }
        const rules::Milliseconds time = ready() ? cache_.tending_pause() : first_period;
        is_long = time > first_period;
        if (!stopping_) co_await tending_pause_.wait(time);
    }
    cache_.on_wants_tending({});
}

void Worker::purge(std::vector<rules::PurgeTarget> targets, std::function<void(HandPurged)> done)
{
    asio::post(context_, [this, targets = std::move(targets), done = std::move(done)]() mutable {
        tasks_.spawn("purge by hand", run_hand_purge(std::move(targets), std::move(done)));
    });
}

asio::awaitable<void> Worker::run_hand_purge(std::vector<rules::PurgeTarget> targets,
                                             std::function<void(HandPurged)> done)
{
    counters_.add_purge(PurgeSource::admin);
    WritePurge write;
    write.targets = std::move(targets);
    const rules::Errc error = co_await cache_.commit(write);
    note_purge(services_, write, PurgeSource::admin, error);
    HandPurged purged;
    purged.error = error;
    purged.positions = std::move(write.positions);
    done(std::move(purged));
}

void Worker::use(config::ConfigPtr config, std::function<void()> done)
{
    asio::post(context_, [this, config = std::move(config), done = std::move(done)] {
        counters_.reserve_rules(config->counted_names.size());
        services_.config = own_handle(config);
        services_.request_limits = request_limits(config->limits);
        services_.response_limits = response_limits(config->limits);
        services_.verification.every = config->verify_every;
        access_log_.use(config->log);
        upstream_.use(config->upstream);
        cache_.use(cache_options(*config));
        for (const auto& shard : shards_) shard->log.use(log_options(*config));
        done();
    });
}

void Worker::ask_store_memory(std::function<void(StoreMemory)> done)
{
    asio::post(context_, [this, done = std::move(done)]() mutable {
        tasks_.spawn("store memory", run_store_memory(std::move(done)));
    });
}

asio::awaitable<void> Worker::run_store_memory(std::function<void(StoreMemory)> done)
{
    StoreMemory memory;
    std::set<std::string> asked;  // shards of a cluster share servers
    bool is_bounded = true;
    for (const auto& shard : shards_) {
        if (!shard->link.is_up() || !asked.insert(shard->link.server()).second) continue;
        const std::optional<ServerMemory> told = co_await shard->log.ask_memory();
        if (!told) continue;
        ++memory.servers;
        memory.used_bytes += told->used_bytes;
        memory.limit_bytes += told->limit_bytes;
        is_bounded = is_bounded && told->limit_bytes != 0;
    }
    if (!is_bounded) memory.limit_bytes = 0;
    done(memory);
}

void Worker::announce_drain()
{
    asio::post(context_, [this] { draining_ = true; });
}

void Worker::drain(rules::Milliseconds patience)
{
    asio::post(context_, [this, patience] { tasks_.spawn("drain", run_drain(patience)); });
}

asio::awaitable<void> Worker::run_drain(rules::Milliseconds patience)
{
    draining_ = stopping_ = true;
    server_.stop_accepting();
    housekeeping_pause_.end();
    tending_pause_.end();
    // Busy connections end with their answer; so do fills and late commits, which are not connections.
    constexpr rules::Milliseconds step{20};
    const rules::Instant begun = instant_now();
    bool aborted = false;
    Pause pause(context_, wheel_);
    const std::size_t own_tasks = 1 + shards_.size() + topology_tasks_count_;  // this one, the links', the locators'
    while (tasks_.running() > own_tasks) {
        if (!aborted && instant_now() - begun > patience) {
            server_.abort_all();
            aborted = true;
        }
        if (aborted && instant_now() - begun > patience + rules::Milliseconds{1'000}) break;
        last_turn_.store(instant_now(), std::memory_order_relaxed);
        co_await pause.wait(step);
    }
    if (shared_.log_state.deferred_count() != 0) co_await cache_.tend();  // the last chance of purges that wait
    co_await cache_.release_all();  // of fills that are cut off: nobody should wait for them
    upstream_.close_all();
    access_log_.flush();
    for (const auto& shard : shards_) shard->link.stop();
    if (topology_) topology_->stop();
    wheel_.stop();
    tasks_.stop_when_none();
    // Whatever still waits now has missed the deadline for stopping.
    if (tasks_.running() > own_tasks) context_.stop();
}

}  // namespace larder::proxy
