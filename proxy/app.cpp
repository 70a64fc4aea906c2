#include "proxy/app.hpp"

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/post.hpp>
#include <cstdlib>
#include <optional>
#include <thread>
#include <vector>

#include "proxy/admin/admin_server.hpp"
#include "proxy/admin/events_json.hpp"
#include "proxy/admin/rules_json.hpp"
#include "proxy/coherence/guards.hpp"
#include "proxy/coherence/local_log.hpp"
#include "proxy/control.hpp"
#include "proxy/health.hpp"
#include "proxy/housekeeping.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/observe/metrics.hpp"
#include "proxy/redis/keyspace.hpp"
#include "proxy/reload_triggers.hpp"
#include "proxy/service_manager.hpp"
#include "proxy/stop_signals.hpp"
#include "proxy/trace/exporter.hpp"
#include "proxy/workers.hpp"

namespace larder::proxy {

namespace {

using config::LogLevel;

constexpr int exit_not_started = 3;

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

/// What the store in memory may take: `memory`, unless the cgroup's limit leaves too little beside it for connections,
/// fills and the program itself. Being killed for memory would cost more than a smaller cache.
std::uint64_t allowed_store_bytes(std::uint64_t wanted, std::optional<std::uint64_t> limit)
{
    constexpr std::uint64_t least_beside = std::uint64_t{32} << 20;
    if (!limit) return wanted;
    const std::uint64_t beside = std::max(*limit / 4, std::min(least_beside, *limit / 2));
    return std::min(wanted, *limit - beside);
}

}  // namespace

struct App::State {
    State(config::Loaded loaded, LiveConfig::Read read)
        : first(loaded.config),
          live(std::move(loaded), std::move(read)),
          memory(allowed_store_bytes(first->memory, allowed_memory())),
          keyspaces(make_keyspaces(*first)),
          store_tls(first->store.tls ? std::make_unique<TlsContext>(first->store.ca_file) : nullptr)
    {
    }

    // The steps of a run, in their order. The first three return 0, or what the process shall end with.
    int prepare();
    int listen();
    int listen_for_admin();
    void start();
    void begin_stop();
    void finish_stop();

    AdminHandlers handlers();
    std::string metrics(const AdminCounts& counts) const;
    asio::awaitable<std::string> cache_health();
    /// Where the traffic comes in, with the port that was chosen.
    std::string listens_on() const;
    std::string listens_for_admin_on() const { return admin ? admin->listens_on() : "none"; }

    const config::ConfigPtr first;  // of the start: its addresses, its store and its memory stay
    asio::io_context context{1};    // of the thread that calls `run`; workers that end may leave answers for it behind
    LiveConfig live;
    MemoryStore memory;
    LocalLog local_log;
    std::vector<Keyspace> keyspaces;
    std::unique_ptr<TlsContext> store_tls;
    SharedLogState log_state{keyspaces.size()};
    Fills fills;
    ConnectionLimit connections;
    InflightLimit inflight;
    std::unique_ptr<SpanExporter> spans;  // null: nothing is traced
    std::uint64_t open_files = 1024;
    rules::WallTime started = wall_now();
    Workers workers;
    bool draining = false;  // POST /drain
    bool stopping = false;  // a signal
    Health health{Health::Parts{live.now(), workers, log_state, memory, connections, draining, stopping}};
    Control control{
        Control::Parts{context, first->store, open_files, live, workers, connections, inflight, draining, stopping}};
    Tasks tasks{context};
    std::unique_ptr<AdminServer> admin;  // null: there is no admin port
};

App::App(config::Loaded loaded, LiveConfig::Read read)
    : state_(std::make_unique<State>(std::move(loaded), std::move(read)))
{
}
App::~App() = default;

int App::run()
{
    State& state = *state_;
    if (const int failed = state.prepare(); failed != 0) return failed;
    if (const int failed = state.listen(); failed != 0) return failed;
    if (const int failed = state.listen_for_admin(); failed != 0) return failed;

    const ServiceManager manager;
    state.start();
    StopSignals stop_signals(state.context, [&] {
        manager.say_stopping();
        state.begin_stop();
    });
    ReloadTriggers reload_triggers(state.context, state.live, manager, state.stopping);
    const std::string listen = state.listens_on(), admin = state.listens_for_admin_on();
    Housekeeping housekeeping(state.context, {state.health, state.live, state.workers, manager}, [&] {
        log_event(LogLevel::info, "ready", {{"listen", std::string_view(listen)}, {"admin", std::string_view(admin)}});
        manager.say_ready();
    });

    state.context.run();  // until the first signal

    state.finish_stop();
    return 0;
}

/// What holds for the whole process: its log, the guards taken out for a test, and what it may have of the machine.
int App::State::prepare()
{
    start_log(first->log);
    if (const std::string unknown = take_out_guards_of_environment(); !unknown.empty()) {
        log_event(LogLevel::error, "LARDER_WITHOUT_GUARD names something that is no guard",
                  {{"name", std::string_view(unknown)}});
        return exit_not_started;
    }
    if (const std::string out = guards_out(); !out.empty())
        log_event(LogLevel::warn, "guards are taken out: answers may be stale", {{"guards", std::string_view(out)}});
    ::signal(SIGPIPE, SIG_IGN);
    open_files = raise_open_files();
    control.apply_limits(first->limits);
    if (memory.capacity_bytes() < first->memory)
        log_event(LogLevel::warn, "memory is cut to what the cgroup's limit leaves room for",
                  {{"configured_bytes", static_cast<std::int64_t>(first->memory)},
                   {"used_bytes", static_cast<std::int64_t>(memory.capacity_bytes())}});
    return 0;
}

/// Makes the workers, each with its listener.
int App::State::listen()
{
    if (first->tracing.is_on()) spans = std::make_unique<SpanExporter>(first);
    const std::uint32_t count = first->workers != 0 ? first->workers : allowed_cores();
    const Shared shared{
        first,      memory,          first->store.kind == config::StoreKind::embedded ? &local_log : nullptr,
        keyspaces,  store_tls.get(), log_state,
        fills,      connections,     inflight,
        spans.get()};
    for (std::uint32_t i = 0; i < count; ++i) {
        auto worker = std::make_unique<Worker>(shared);
        const Worker* leader = workers.empty() ? nullptr : workers.front().get();
        if (const std::string why = worker->listen(first->listen, leader); !why.empty()) {
            const std::string where = first->listen.to_string();
            log_event(LogLevel::error, "cannot listen",
                      {{"address", std::string_view(where)}, {"error", std::string_view(why)}});
            return exit_not_started;
        }
        workers.push_back(std::move(worker));
    }
    return 0;
}

int App::State::listen_for_admin()
{
    if (!first->admin) return 0;
    AdminLimits limits;
    limits.head = request_limits(first->limits);
    try {
        admin = std::make_unique<AdminServer>(context, *first->admin, handlers(), limits);
    } catch (const boost::system::system_error& e) {
        const std::string where = first->admin->to_string(), why = e.code().message();
        log_event(LogLevel::error, "cannot listen for admin requests",
                  {{"address", std::string_view(where)}, {"error", std::string_view(why)}});
        return exit_not_started;
    }
    tasks.spawn("admin server", admin->run());
    return 0;
}

void App::State::start()
{
    const std::string upstream = first->upstream.endpoint.to_string();
    const std::string store =
        first->store.kind == config::StoreKind::embedded ? "embedded" : first->store.url_for_display;
    log_event(LogLevel::info, "starting",
              {{"version", std::string_view(LARDER_VERSION)},
               {"workers", static_cast<std::int64_t>(workers.size())},
               {"rules", static_cast<std::int64_t>(first->rules.size())},
               {"upstream", std::string_view(upstream)},
               {"store", std::string_view(store)}});
    if (spans) spans->start();
    for (const auto& worker : workers) worker->start();
}

/// Has the workers drain, and ends the wait for a signal.
void App::State::begin_stop()
{
    stopping = true;
    for (const auto& worker : workers) worker->drain(live.now()->timeouts.drain);
    context.stop();
}

/// Until the workers have drained; probes and metrics are answered meanwhile. Does not return when one had to be cut.
void App::State::finish_stop()
{
    context.restart();
    std::thread waiting([this] {
        for (const auto& worker : workers) worker->join();
        constexpr rules::Milliseconds spans_patience{1'000};
        if (spans) spans->stop(spans_patience);
        asio::post(context, [this] { context.stop(); });
    });
    context.run();
    waiting.join();
    bool clean = true;
    for (const auto& worker : workers) clean = clean && worker->clean();
    log_event(LogLevel::info, "stopped", {{"clean", clean}});
    flush_log();
    // Coroutines that would not end still borrow from the workers: leave without taking anything apart.
    if (!clean) std::_Exit(0);
    if (admin) admin->stop();
    context.restart();
    context.poll();
}

AdminHandlers App::State::handlers()
{
    AdminHandlers handlers;
    handlers.alive = [this] { return health.alive(); };
    handlers.ready = [this] { return health.ready(); };
    handlers.health_json = [this] { return cache_health(); };
    handlers.metrics = [this] { return metrics(admin->counts()); };
    handlers.config = [this] { return live.now(); };
    handlers.rules_json = [this] { return rules_json(*live.now(), listens_on()); };
    handlers.events_json = [this] { return events_json(recent_events(), recent_purges_of(workers)); };
    handlers.purge = [this](std::vector<rules::PurgeTarget> targets) { return control.purge(std::move(targets)); };
    handlers.drain = [this] { control.drain(); };
    handlers.reload = [this] { return control.reload(); };
    handlers.switches.now = [this] { return live.switches(); };
    handlers.switches.change = [this](config::Switches switches) { return control.switch_to(std::move(switches)); };
    return handlers;
}

asio::awaitable<std::string> App::State::cache_health()
{
    const std::optional<Worker::StoreMemory> store_memory = co_await control.store_memory();
    co_return health.cache_json(store_memory);
}

std::string App::State::metrics(const AdminCounts& counts) const
{
    const MemoryStats stats = memory.stats();
    ExtraGauges extra;
    extra.started = started;
    extra.ready = health.is_ready();
    extra.memory_entries = stats.entries;
    extra.memory_bytes = stats.bytes;
    extra.memory_capacity_bytes = memory.capacity_bytes();
    extra.memory_evicted = stats.evicted;
    extra.memory_expired = stats.expired;
    extra.admin = counts;
    if (spans) extra.trace = spans->counts();
    extra.reloads = live.figures();
    extra.process = process_figures();
    extra.deferred_purges = log_state.deferred_count();
    return metrics_text(counters_of(workers), *live.now(), extra);
}

std::string App::State::listens_on() const
{
    config::Endpoint bound = first->listen;
    if (bound.unix_path.empty()) bound.port = workers.front()->port();
    return bound.to_string();
}

}  // namespace larder::proxy
