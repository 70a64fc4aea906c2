#include "proxy/app.hpp"

#include <signal.h>
#include <sys/resource.h>

#include <algorithm>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstdlib>
#include <optional>
#include <vector>

#include "proxy/admin/admin_server.hpp"
#include "proxy/admin/events_json.hpp"
#include "proxy/admin/rules_json.hpp"
#include "proxy/coherence/guards.hpp"
#include "proxy/coherence/local_log.hpp"
#include "proxy/health.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/net/file_watch.hpp"
#include "proxy/observe/advice.hpp"
#include "proxy/observe/log.hpp"
#include "proxy/observe/metrics.hpp"
#include "proxy/redis/keyspace.hpp"
#include "proxy/service_manager.hpp"
#include "proxy/trace/exporter.hpp"
#include "proxy/worker.hpp"

namespace larder::proxy {

namespace {

using config::LogLevel;

// Of a stop that a second signal has cut short: as a shell reports what SIGTERM has ended.
constexpr int exit_cut = 143;
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

    std::vector<const Counters*> counters() const
    {
        std::vector<const Counters*> all;
        for (const auto& worker : workers) all.push_back(&worker->counters());
        return all;
    }
    /// One that is connected to the store, if there is one.
    Worker& worker_with_store() const
    {
        for (const auto& worker : workers)
            if (worker->counters().store_is_up()) return *worker;
        return *workers.front();
    }
    void apply_limits(const config::Limits& limits);
    int listen();
    std::string metrics(const AdminCounts& admin) const;
    /// Where the traffic comes in, with the port that was chosen.
    std::string listens_on() const
    {
        config::Endpoint bound = first->listen;
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

    const config::ConfigPtr first;  // of the start: its addresses, its store and its memory stay
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
};

App::App(config::Loaded loaded, LiveConfig::Read read)
    : state_(std::make_unique<State>(std::move(loaded), std::move(read)))
{
}
App::~App() = default;

std::string App::State::metrics(const AdminCounts& admin) const
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
    extra.admin = admin;
    if (spans) extra.trace = spans->counts();
    extra.reloads = live.figures();
    extra.process = process_figures();
    extra.deferred_purges = log_state.deferred_count();
    return metrics_text(counters(), *live.now(), extra);
}

void App::State::apply_limits(const config::Limits& limits)
{
    // A request needs a descriptor for its client and may need one for the upstream; some are for everything else.
    const std::uint64_t most = open_files > 256 ? open_files - 128 : open_files / 2;
    connections.most = limits.connections != 0 ? limits.connections
                                               : static_cast<std::uint32_t>(std::min<std::uint64_t>(most, UINT32_MAX));
    inflight.most = limits.inflight;
}

/// Makes the workers, each with its listener. Returns 0, or what the process shall end with.
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

namespace {

/// Waits on the admin server's thread for what a worker's thread says, `patience` at most.
template <class Value>
class Answer {
  public:
    Answer(asio::io_context& context, std::chrono::milliseconds patience) : context_(context), timer_(context, patience)
    {
    }
    /// From any thread, once.
    static void give(const std::shared_ptr<Answer>& to, Value value)
    {
        asio::post(to->context_, [to, value = std::move(value)]() mutable {
            to->value_ = std::move(value);
            to->timer_.cancel();
        });
    }
    /// Empty: not in time.
    static asio::awaitable<std::optional<Value>> wait(std::shared_ptr<Answer> from)
    {
        if (!from->value_) co_await from->timer_.async_wait(no_throw);
        co_return std::move(from->value_);
    }

  private:
    asio::io_context& context_;
    asio::steady_timer timer_;
    std::optional<Value> value_;
};

/// Hands a purge to a worker and waits for it.
asio::awaitable<HandPurge> purge_by_hand(asio::io_context& context, App::State& state,
                                         std::vector<rules::PurgeTarget> targets)
{
    // Twenty records at most, each of which ends by a deadline of the store.
    static constexpr std::chrono::seconds patience{5};
    HandPurge result;
    if (state.stopping) {
        result.kind = HandPurge::Kind::stopping;
        co_return result;
    }
    const auto answer = std::make_shared<Answer<Worker::HandPurged>>(context, patience);
    auto done = [answer](Worker::HandPurged purged) { answer->give(answer, std::move(purged)); };
    state.worker_with_store().purge(std::move(targets), std::move(done));
    std::optional<Worker::HandPurged> purged = co_await Answer<Worker::HandPurged>::wait(answer);
    if (!purged) co_return result;
    result.error = purged->error;
    result.kind = result.error == rules::Errc::ok ? HandPurge::Kind::appended : HandPurge::Kind::deferred;
    result.positions = std::move(purged->positions);
    co_return result;
}

asio::awaitable<std::string> cache_health(asio::io_context& context, App::State& state)
{
    std::optional<Worker::StoreMemory> memory;
    if (state.first->store.kind == config::StoreKind::redis && !state.stopping) {
        const auto answer = std::make_shared<Answer<Worker::StoreMemory>>(context, state.first->store.timeout * 2);
        state.worker_with_store().ask_store_memory([answer](Worker::StoreMemory told) { answer->give(answer, told); });
        memory = co_await Answer<Worker::StoreMemory>::wait(answer);
    }
    co_return state.health.cache_json(memory);
}

/// Hands the configuration to the workers, and calls `done` on the admin server's thread when all of them serve by it.
void publish(asio::io_context& context, App::State& state, const config::ConfigPtr& next, std::function<void()> done)
{
    state.apply_limits(next->limits);
    const auto left = std::make_shared<std::atomic<std::size_t>>(state.workers.size());
    for (const auto& worker : state.workers)
        worker->use(next, [&context, left, done] {
            if (left->fetch_sub(1) == 1) asio::post(context, done);
        });
}

/// Waits until all workers serve by what `change` has put into force; a worker that hangs does not hold it up for ever.
template <class Change>
asio::awaitable<LiveConfig::Outcome> change_config(asio::io_context& context, App::State& state, Change change)
{
    static constexpr std::chrono::seconds patience{5};
    const auto answer = std::make_shared<Answer<bool>>(context, patience);
    state.live.publish_to([&](const config::ConfigPtr& next) {
        publish(context, state, next, [answer] { answer->give(answer, true); });
    });
    LiveConfig::Outcome outcome = change();
    state.live.publish_to([&](const config::ConfigPtr& next) { publish(context, state, next, [] {}); });
    if (outcome.ok) co_await Answer<bool>::wait(answer);
    co_return outcome;
}

asio::awaitable<ReloadTold> reload(asio::io_context& context, App::State& state)
{
    auto change = [&state] { return state.live.reload("POST /-/reload"); };
    LiveConfig::Outcome outcome = co_await change_config(context, state, std::move(change));
    ReloadTold told;
    told.ok = outcome.ok;
    told.errors = std::move(outcome.errors);
    told.kept = std::move(outcome.kept);
    co_return told;
}

asio::awaitable<std::string> change_switches(asio::io_context& context, App::State& state, config::Switches switches)
{
    auto change = [&state, &switches] { return state.live.switch_to(switches); };
    const LiveConfig::Outcome outcome = co_await change_config(context, state, std::move(change));
    std::string failed;
    for (const std::string& error : outcome.errors) (failed += failed.empty() ? "" : "\n") += error;
    if (!outcome.ok && failed.empty()) failed = "the configuration could not be made";
    co_return failed;
}

AdminHandlers make_handlers(asio::io_context& context, App::State& state, const std::unique_ptr<AdminServer>& admin)
{
    AdminHandlers handlers;
    handlers.alive = [&state] { return state.health.alive(); };
    handlers.ready = [&state] { return state.health.ready(); };
    handlers.health_json = [&context, &state] { return cache_health(context, state); };
    handlers.metrics = [&state, &admin] { return state.metrics(admin->counts()); };
    handlers.config = [&state] { return state.live.now(); };
    handlers.rules_json = [&state] { return rules_json(*state.live.now(), state.listens_on()); };
    handlers.events_json = [&state] { return events_json(recent_events(), state.recent_purges()); };
    handlers.purge = [&context, &state](std::vector<rules::PurgeTarget> targets) {
        return purge_by_hand(context, state, std::move(targets));
    };
    handlers.drain = [&state] {
        state.draining = true;
        for (const auto& worker : state.workers) worker->announce_drain();
    };
    handlers.reload = [&context, &state] { return reload(context, state); };
    handlers.switches.now = [&state] { return state.live.switches(); };
    handlers.switches.change = [&context, &state](config::Switches switches) {
        return change_switches(context, state, std::move(switches));
    };
    return handlers;
}

/// Calls `call` now and then once in a while, until `context` ends.
class Every {
  public:
    Every(asio::io_context& context, std::chrono::milliseconds period, std::function<void()> call)
        : timer_(context), period_(period), call_(std::move(call))
    {
        again();
    }

  private:
    void again()
    {
        call_();
        timer_.expires_after(period_);
        timer_.async_wait([this](error_code ec) {
            if (!ec) again();
        });
    }
    asio::steady_timer timer_;
    std::chrono::milliseconds period_;
    std::function<void()> call_;
};

void advise(Advice& advice, const App::State& state)
{
    for (const Advised& one : advice.look(state.counters(), *state.live.now(), instant_now()))
        log_event(LogLevel::warn, one.event,
                  {{"rule", one.rule},
                   {"reason", one.reason},
                   {"because", one.text},
                   {"change", one.remedy},
                   {"requests", static_cast<std::int64_t>(one.requests)},
                   {"affected", static_cast<std::int64_t>(one.affected)}});
}

}  // namespace

int App::run()
{
    State& state = *state_;
    const config::Config& first = *state.first;
    start_log(first.log);
    if (const std::string unknown = take_out_guards_of_environment(); !unknown.empty()) {
        log_event(LogLevel::error, "LARDER_WITHOUT_GUARD names something that is no guard",
                  {{"name", std::string_view(unknown)}});
        return exit_not_started;
    }
    if (const std::string out = guards_out(); !out.empty())
        log_event(LogLevel::warn, "guards are taken out: answers may be stale", {{"guards", std::string_view(out)}});
    ::signal(SIGPIPE, SIG_IGN);
    state.open_files = raise_open_files();
    state.apply_limits(first.limits);
    if (state.memory.capacity_bytes() < first.memory)
        log_event(LogLevel::warn, "memory is cut to what the cgroup's limit leaves room for",
                  {{"configured_bytes", static_cast<std::int64_t>(first.memory)},
                   {"used_bytes", static_cast<std::int64_t>(state.memory.capacity_bytes())}});
    if (const int failed = state.listen(); failed != 0) return failed;

    asio::io_context context{1};
    std::unique_ptr<AdminServer> admin;
    AdminLimits limits;
    limits.head = request_limits(first.limits);
    Tasks tasks(context);
    if (first.admin) {
        try {
            admin = std::make_unique<AdminServer>(context, *first.admin, make_handlers(context, state, admin), limits);
        } catch (const boost::system::system_error& e) {
            const std::string where = first.admin->to_string(), why = e.code().message();
            log_event(LogLevel::error, "cannot listen for admin requests",
                      {{"address", std::string_view(where)}, {"error", std::string_view(why)}});
            return exit_not_started;
        }
        tasks.spawn("admin server", admin->run());
    }

    const std::string listen = state.listens_on(), upstream = first.upstream.endpoint.to_string();
    const std::string store =
        first.store.kind == config::StoreKind::embedded ? "embedded" : first.store.url_for_display;
    const std::string admin_address = admin ? admin->listens_on() : "none";
    log_event(LogLevel::info, "starting",
              {{"version", std::string_view(LARDER_VERSION)},
               {"workers", static_cast<std::int64_t>(state.workers.size())},
               {"rules", static_cast<std::int64_t>(first.rules.size())},
               {"upstream", std::string_view(upstream)},
               {"store", std::string_view(store)}});
    ServiceManager manager;
    if (state.spans) state.spans->start();
    for (const auto& worker : state.workers) worker->start();
    state.live.publish_to([&](const config::ConfigPtr& next) { publish(context, state, next, [] {}); });

    asio::signal_set signals(context, SIGTERM, SIGINT);
    const auto name_of = [](int signal) { return std::string_view(signal == SIGTERM ? "SIGTERM" : "SIGINT"); };
    signals.async_wait([&](error_code ec, int signal) {
        if (ec) return;
        log_event(LogLevel::info, "stopping", {{"signal", name_of(signal)}});
        manager.say_stopping();
        state.stopping = true;
        signals.async_wait([&](error_code again_ec, int again) {
            if (again_ec) return;
            log_event(LogLevel::warn, "stopped by a second signal: what was under way is cut",
                      {{"signal", name_of(again)}});
            flush_log();
            std::_Exit(exit_cut);
        });
        for (const auto& worker : state.workers) worker->drain(state.live.now()->timeouts.drain);
        context.stop();
    });
    asio::signal_set hangup(context, SIGHUP);
    std::function<void(error_code, int)> on_hangup = [&](error_code ec, int) {
        if (ec || state.stopping) return;
        manager.say_reloading();
        state.live.reload("SIGHUP");
        manager.say_ready();
        hangup.async_wait(on_hangup);
    };
    hangup.async_wait(on_hangup);
    std::optional<FileWatch> watch;
    if (!first.file.empty() && first.watch) {
        watch.emplace(context, first.file, [&state] {
            if (!state.stopping) state.live.reload_if_changed();
        });
        if (!watch->has_notices())
            log_event(LogLevel::warn, "the configuration file is polled for changes: the kernel gives no notices",
                      {{"reason", std::string_view(watch->why_not())}});
    }
    // "ready" is said once, when it is true: people, scripts and the service manager wait for it.
    asio::steady_timer ready_timer(context);
    std::function<void(error_code)> say_ready = [&](error_code ec) {
        if (ec) return;
        if (state.health.is_ready()) {
            log_event(LogLevel::info, "ready",
                      {{"listen", std::string_view(listen)}, {"admin", std::string_view(admin_address)}});
            return manager.say_ready();
        }
        ready_timer.expires_after(std::chrono::milliseconds(5));
        ready_timer.async_wait(say_ready);
    };
    say_ready(error_code{});
    Advice advice;
    const Every advising(context, std::chrono::seconds(2), [&] { advise(advice, state); });
    const Every pacing(context, std::chrono::seconds(10), [] { renew_log_pace(); });
    const Every ticking(context, std::chrono::seconds(1), [&] {
        state.health.tick();
        if (state.health.alive().passes()) manager.say_alive();
    });
    context.run();

    // Probes and metrics are answered while the workers drain.
    context.restart();
    std::thread waiting([&] {
        for (const auto& worker : state.workers) worker->join();
        constexpr rules::Milliseconds spans_patience{1'000};
        if (state.spans) state.spans->stop(spans_patience);
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
