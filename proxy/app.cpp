#include "proxy/app.hpp"

#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <vector>

#include "proxy/admin/admin_server.hpp"
#include "proxy/admin/events_json.hpp"
#include "proxy/admin/rules_json.hpp"
#include "proxy/coherence/guards.hpp"
#include "proxy/coherence/local_log.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/observe/advice.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/observe/metrics.hpp"
#include "proxy/redis/keyspace.hpp"
#include "proxy/worker.hpp"
#include "rules/explain/explain.hpp"

namespace larder::proxy {

namespace {

using config::LogLevel;

// Of a stop that a second signal has cut short: as a shell reports what SIGTERM has ended.
constexpr int exit_cut = 143;

/// Cores that this process may use: its affinity, and the cgroup's quota rounded up.
std::uint32_t allowed_cores()
{
    cpu_set_t set;
    CPU_ZERO(&set);
    std::uint32_t cores = 1;
    if (::sched_getaffinity(0, sizeof set, &set) == 0) cores = static_cast<std::uint32_t>(CPU_COUNT(&set));
    std::ifstream quota_file("/sys/fs/cgroup/cpu.max");
    std::string quota;
    double period = 0;
    if (quota_file >> quota >> period && quota != "max" && period > 0) {
        const auto limit = static_cast<std::uint32_t>((std::strtod(quota.c_str(), nullptr) + period - 1) / period);
        if (limit >= 1 && limit < cores) cores = limit;
    }
    return cores;
}

/// As many open files as the hard limit allows. Returns how many that is.
std::uint64_t raise_open_files()
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    ::getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur == RLIM_INFINITY ? 1u << 30 : limit.rlim_cur;
}

/// One for each shard: Redis Cluster has as many as its masters can share evenly, everything else has one.
std::vector<Keyspace> make_keyspaces(const config::Config& config)
{
    const bool cluster =
        config.store.kind == config::StoreKind::redis && config.store.topology == config::StoreTopology::cluster;
    const std::size_t count = cluster ? Keyspace::cluster_shards : 1;
    std::vector<Keyspace> keyspaces;
    for (std::size_t shard = 0; shard < count; ++shard) keyspaces.emplace_back(config.namespace_, shard, count);
    return keyspaces;
}

}  // namespace

struct App::State {
    explicit State(config::ConfigPtr c)
        : config(std::move(c)),
          memory(config->memory),
          keyspaces(make_keyspaces(*config)),
          store_tls(config->store.tls ? std::make_unique<TlsContext>(config->store.ca_file) : nullptr)
    {
    }

    bool has_begun() const
    {
        return !workers.empty() &&
               std::all_of(workers.begin(), workers.end(), [](const auto& worker) { return worker->ready(); });
    }
    bool ready() const { return has_begun() && !draining && !stopping; }
    Probe alive_probe() const;
    Probe ready_probe() const;
    /// One that is connected to the store, if there is one.
    Worker& worker_with_store() const
    {
        for (const auto& worker : workers)
            if (worker->counters().store_is_up()) return *worker;
        return *workers.front();
    }
    std::vector<const Counters*> counters() const
    {
        std::vector<const Counters*> all;
        for (const auto& worker : workers) all.push_back(&worker->counters());
        return all;
    }
    std::string metrics(const AdminCounts& admin) const;
    std::string health() const;
    /// Where the traffic comes in, with the port that was chosen.
    std::string listens_on() const
    {
        config::Endpoint bound = config->listen;
        if (bound.unix_path.empty()) bound.port = workers.front()->port();
        return bound.to_string();
    }
    std::vector<RecentPurge> recent_purges() const
    {
        std::vector<RecentPurge> all;
        for (const auto& worker : workers)
            for (RecentPurge& purge : worker->recent_purges()) all.push_back(std::move(purge));
        return all;
    }

    config::ConfigPtr config;
    MemoryStore memory;
    LocalLog local_log;
    std::vector<Keyspace> keyspaces;
    std::unique_ptr<TlsContext> store_tls;
    SharedLogState log_state{keyspaces.size()};
    Fills fills;
    ConnectionLimit connections;
    InflightLimit inflight;
    rules::WallTime started = wall_now();
    std::vector<std::unique_ptr<Worker>> workers;
    bool draining = false;  // POST /drain
    bool stopping = false;  // a signal
};

App::App(config::ConfigPtr config) : state_(std::make_unique<State>(std::move(config))) {}
App::~App() = default;

std::string App::State::metrics(const AdminCounts& admin) const
{
    const MemoryStats stats = memory.stats();
    ExtraGauges extra;
    extra.started = started;
    extra.ready = ready();
    extra.memory_entries = stats.entries;
    extra.memory_bytes = stats.bytes;
    extra.memory_capacity_bytes = memory.capacity_bytes();
    extra.memory_evicted = stats.evicted;
    extra.memory_expired = stats.expired;
    extra.admin = admin;
    return metrics_text(counters(), *config, extra);
}

// Looks at the event loops and at nothing outside: a restart mends neither Redis nor the app.
Probe App::State::alive_probe() const
{
    constexpr std::chrono::seconds stuck_after{5};
    Probe probe{"livez", {{"admin", ProbeCheck::State::ok, {}}}};
    const rules::Instant now = instant_now();
    for (std::size_t i = 0; i < workers.size(); ++i) {
        ProbeCheck check{"worker-" + std::to_string(i), ProbeCheck::State::ok, {}};
        const auto still = std::chrono::duration_cast<std::chrono::seconds>(now - workers[i]->last_turn());
        if (still > stuck_after && !stopping) {
            check.state = ProbeCheck::State::failed;
            check.why = "its event loop has not turned for " + std::to_string(still.count()) + " s";
        }
        probe.checks.push_back(std::move(check));
    }
    return probe;
}

Probe App::State::ready_probe() const
{
    using State = ProbeCheck::State;
    Probe probe{"readyz", {{"configuration", State::ok, {}}, {"listener", State::ok, {}}}};
    ProbeCheck store{config->store.kind == config::StoreKind::redis ? "redis" : "embedded-store", State::ok, {}};
    std::size_t up = 0;
    for (const auto& worker : workers) up += worker->counters().store_is_up() ? 1 : 0;
    if (!has_begun()) {
        store.state = State::failed;
        store.why = "its first answer is waited for, up to 3 s";
    } else if (up < workers.size() || log_state.foreign()) {
        store.state = State::degraded;
        store.why = log_state.foreign() ? "is laid out for another number of shards: requests pass by"
                    : up == 0           ? "is away: requests pass by"
                                        : "is away for some workers: their requests pass by";
    }
    probe.checks.push_back(std::move(store));
    ProbeCheck shutdown{"shutdown", State::ok, {}};
    if (draining || stopping) {
        shutdown.state = State::failed;
        shutdown.why = stopping ? "the process is stopping" : "draining was asked for";
    }
    probe.checks.push_back(std::move(shutdown));
    return probe;
}

std::string App::State::health() const
{
    // Of all workers' connections. One worker may lose its own; one shard's node takes a part of the keys with it.
    const auto words = [](std::size_t up, std::size_t all) {
        return up == all ? "up" : up == 0 ? "down" : "partly up";
    };
    const bool redis = config->store.kind == config::StoreKind::redis;
    std::size_t up = 0, links = 0;
    std::string shards;
    for (std::size_t shard = 0; redis && shard < keyspaces.size(); ++shard) {
        std::size_t shard_up = 0;
        for (const auto& worker : workers) shard_up += worker->shard_up(shard) ? 1 : 0;
        up += shard_up;
        links += workers.size();
        shards += shards.empty() ? R"(,"shards":[)" : ",";
        shards += R"({"shard":)" + std::to_string(shard) + R"(,"store":")" + words(shard_up, workers.size());
        shards += R"(","deferred_purges":)" + std::to_string(log_state.shard(shard).deferred.count());
        if (log_state.shard(shard).foreign) shards += R"(,"refused":"laid out for another number of shards")";
        shards += "}";
    }
    if (!shards.empty()) shards += "]";
    const bool degraded = redis && (up < links || log_state.deferred_count() != 0 || log_state.foreign());
    std::string text = R"({"status":")";
    text += stopping || draining ? "draining" : degraded ? "degraded" : "ok";
    text += R"(","store":")";
    text += !redis ? "embedded" : log_state.foreign() ? "refused" : words(up, links);
    text += R"(","deferred_purges":)" + std::to_string(log_state.deferred_count());
    text += shards;
    text += R"(,"version":")" LARDER_VERSION "\"}\n";
    return text;
}

namespace {

/// Hands a purge to a worker and waits for it, on the admin server's thread.
asio::awaitable<HandPurge> purge_by_hand(asio::io_context& context, App::State& state,
                                         std::vector<rules::PurgeTarget> targets)
{
    // Twenty records at most, each of which ends by a deadline of the store.
    static constexpr std::chrono::seconds patience{5};
    struct Waiting {
        explicit Waiting(asio::io_context& context) : timer(context, patience) {}
        asio::steady_timer timer;
        std::optional<Worker::HandPurged> purged;
    };
    HandPurge result;
    if (state.stopping) {
        result.kind = HandPurge::Kind::stopping;
        co_return result;
    }
    const auto waiting = std::make_shared<Waiting>(context);
    auto done = [&context, waiting](Worker::HandPurged purged) {
        asio::post(context, [waiting, purged = std::move(purged)]() mutable {
            waiting->purged = std::move(purged);
            waiting->timer.cancel();
        });
    };
    state.worker_with_store().purge(std::move(targets), std::move(done));
    co_await waiting->timer.async_wait(no_throw);
    if (!waiting->purged) co_return result;
    result.error = waiting->purged->error;
    result.kind = result.error == rules::Errc::ok ? HandPurge::Kind::appended : HandPurge::Kind::deferred;
    result.positions = std::move(waiting->purged->positions);
    co_return result;
}

}  // namespace

int App::run()
{
    State& state = *state_;
    const config::Config& config = *state.config;
    start_log(config.log);
    if (const std::string unknown = take_out_guards_of_environment(); !unknown.empty()) {
        log_event(LogLevel::error, "LARDER_WITHOUT_GUARD names something that is no guard",
                  {{"name", std::string_view(unknown)}});
        return 3;
    }
    if (const std::string out = guards_out(); !out.empty())
        log_event(LogLevel::warn, "guards are taken out: answers may be stale", {{"guards", std::string_view(out)}});
    ::signal(SIGPIPE, SIG_IGN);
    const std::uint64_t files = raise_open_files();
    // A request needs a descriptor for its client and may need one for the upstream; some are for everything else.
    const std::uint64_t most = files > 256 ? files - 128 : files / 2;
    state.connections.most = config.limits.connections != 0
                                 ? config.limits.connections
                                 : static_cast<std::uint32_t>(std::min<std::uint64_t>(most, UINT32_MAX));

    state.inflight.most = config.limits.inflight;

    const std::uint32_t count = config.workers != 0 ? config.workers : allowed_cores();
    const Shared shared{state.config,
                        state.memory,
                        config.store.kind == config::StoreKind::embedded ? &state.local_log : nullptr,
                        state.keyspaces,
                        state.store_tls.get(),
                        state.log_state,
                        state.fills,
                        state.connections,
                        state.inflight};
    for (std::uint32_t i = 0; i < count; ++i) {
        auto worker = std::make_unique<Worker>(shared);
        const Worker* first = state.workers.empty() ? nullptr : state.workers.front().get();
        if (const std::string why = worker->listen(config.listen, first); !why.empty()) {
            const std::string where = config.listen.to_string();
            log_event(LogLevel::error, "cannot listen",
                      {{"address", std::string_view(where)}, {"error", std::string_view(why)}});
            return 3;
        }
        state.workers.push_back(std::move(worker));
    }

    asio::io_context context{1};
    std::unique_ptr<AdminServer> admin;
    AdminHandlers handlers;
    handlers.alive = [&state] { return state.alive_probe(); };
    handlers.ready = [&state] { return state.ready_probe(); };
    handlers.health_json = [&state] { return state.health(); };
    handlers.metrics = [&state, &admin] { return state.metrics(admin->counts()); };
    handlers.config = [&state] { return state.config; };
    handlers.rules_json = [&state] { return rules_json(*state.config, state.listens_on()); };
    handlers.events_json = [&state] { return events_json(recent_events(), state.recent_purges()); };
    handlers.purge = [&context, &state](std::vector<rules::PurgeTarget> targets) {
        return purge_by_hand(context, state, std::move(targets));
    };
    handlers.drain = [&state] {
        state.draining = true;
        for (const auto& worker : state.workers) worker->announce_drain();
    };
    AdminLimits limits;
    limits.head = request_limits(config.limits);
    Tasks tasks(context);
    if (config.admin) {
        try {
            admin = std::make_unique<AdminServer>(context, *config.admin, std::move(handlers), limits);
        } catch (const boost::system::system_error& e) {
            const std::string where = config.admin->to_string(), why = e.code().message();
            log_event(LogLevel::error, "cannot listen for admin requests",
                      {{"address", std::string_view(where)}, {"error", std::string_view(why)}});
            return 3;
        }
        tasks.spawn("admin server", admin->run());
    }

    const std::string listen = state.listens_on(), upstream = config.upstream.endpoint.to_string();
    const std::string store =
        config.store.kind == config::StoreKind::embedded ? "embedded" : config.store.url_for_display;
    const std::string admin_address = admin ? admin->listens_on() : "none";
    log_event(LogLevel::info, "starting",
              {{"version", std::string_view(LARDER_VERSION)},
               {"workers", static_cast<std::int64_t>(count)},
               {"rules", static_cast<std::int64_t>(config.rules.size())},
               {"upstream", std::string_view(upstream)},
               {"store", std::string_view(store)}});
    for (const auto& worker : state.workers) worker->start();

    asio::signal_set signals(context, SIGTERM, SIGINT);
    const auto name_of = [](int signal) { return std::string_view(signal == SIGTERM ? "SIGTERM" : "SIGINT"); };
    signals.async_wait([&](error_code ec, int signal) {
        if (ec) return;
        log_event(LogLevel::info, "stopping", {{"signal", name_of(signal)}});
        state.stopping = true;
        signals.async_wait([&](error_code again_ec, int again) {
            if (again_ec) return;
            log_event(LogLevel::warn, "stopped by a second signal: what was under way is cut",
                      {{"signal", name_of(again)}});
            flush_log();
            std::_Exit(exit_cut);
        });
        for (const auto& worker : state.workers) worker->drain(config.timeouts.drain);
        context.stop();
    });
    asio::signal_set hangup(context, SIGHUP);
    std::function<void(error_code, int)> ignore_hangup = [&](error_code ec, int) {
        if (ec) return;
        log_event(LogLevel::warn, "SIGHUP is ignored: restart to read the configuration anew");
        hangup.async_wait(ignore_hangup);
    };
    hangup.async_wait(ignore_hangup);
    // "ready" is said once, when it is true: people and scripts wait for the line.
    asio::steady_timer ready_timer(context);
    std::function<void(error_code)> say_ready = [&](error_code ec) {
        if (ec) return;
        if (state.ready()) {
            log_event(LogLevel::info, "ready",
                      {{"listen", std::string_view(listen)}, {"admin", std::string_view(admin_address)}});
            return;
        }
        ready_timer.expires_after(std::chrono::milliseconds(5));
        ready_timer.async_wait(say_ready);
    };
    say_ready(error_code{});
    asio::steady_timer advice_timer(context);
    Advice advice;
    std::function<void(error_code)> advise = [&](error_code ec) {
        if (ec) return;
        for (const Advised& one : advice.look(state.counters(), config, instant_now()))
            log_event(LogLevel::warn, one.event,
                      {{"rule", one.rule},
                       {"reason", one.reason},
                       {"because", one.text},
                       {"change", one.remedy},
                       {"requests", static_cast<std::int64_t>(one.requests)},
                       {"affected", static_cast<std::int64_t>(one.affected)}});
        advice_timer.expires_after(std::chrono::seconds(2));
        advice_timer.async_wait(advise);
    };
    advise(error_code{});
    context.run();

    // Probes and metrics are answered while the workers drain.
    context.restart();
    std::thread waiting([&] {
        for (const auto& worker : state.workers) worker->join();
        asio::post(context, [&] { context.stop(); });
    });
    context.run();
    waiting.join();
    bool clean = true;
    for (const auto& worker : state.workers) clean = clean && worker->clean();
    log_event(LogLevel::info, "stopped", {{"clean", clean}});
    flush_log();
    // Coroutines that would not end still borrow from the workers: leave without taking anything apart.
    if (!clean) std::_Exit(0);
    if (admin) admin->stop();
    context.restart();
    context.poll();
    return 0;
}

}  // namespace larder::proxy
