#include "tests/coherence/scenario.hpp"

#include <signal.h>

#include <sstream>

#include "tests/support/eventually.hpp"

namespace larder::tests {

namespace {

using std::chrono::milliseconds;

// --- what is done to the players -------------------------------------------------------------------------------------

/// kill -9 at every phase of a write in turn, and at any moment.
void kill_replicas(Run& run)
{
    for (int turn = 0; !run.over(); ++turn) {
        const int replica = static_cast<int>(run.random() % replicas_count);
        const pid_t pid = run.proxies->process(replica).pid();
        if (turn % 4 != 3) {
            run.backend->trap(static_cast<Phase>(turn % 4), replica, [pid] { ::kill(pid, SIGKILL); });
            eventually([&] { return run.proxies->process(replica).exit_code().has_value(); }, milliseconds{300});
        }
        run.proxies->kill(replica);
        run.pause(milliseconds{20}, milliseconds{150});
        run.proxies->start(replica);
        ++run.faults_done;
        run.pause(milliseconds{100}, milliseconds{400});
    }
}

/// Longer than its marks live: the others have forgotten its writes when it goes on with them. For itself it was cut
/// off from the store: whatever it waited for then has missed its deadline.
void pause_replicas(Run& run)
{
    const milliseconds mark_life{5'600};
    do {
        const int replica = static_cast<int>(run.random() % replicas_count);
        run.fault(replica, [&] {
            run.proxies->signal(replica, SIGSTOP);
            run.pause(mark_life, mark_life + milliseconds{400});
            run.proxies->signal(replica, SIGCONT);
        });
        run.pause(milliseconds{500}, milliseconds{1'000});
    } while (!run.over());
}

/// Time for the cache to be in use between two faults of the store. The pauses between Larder's attempts to connect
/// double, up to 2 s, until a connection has lasted that long: with faults at shorter intervals it would hardly ever be
/// connected, and the scenario would show that nothing is stale where nothing is cached.
void let_it_recover(Run& run) { run.pause(milliseconds{3'000}, milliseconds{4'000}); }

void pause_store(Run& run)
{
    do {
        for (int times = static_cast<int>(run.random() % 2); times >= 0; --times) {
            run.fault(-1, [&] {
                run.store->stop();
                run.pause(milliseconds{60}, milliseconds{900});
                run.store->go_on();
            });
            if (times > 0) run.pause(milliseconds{300}, milliseconds{1'500});
        }
        let_it_recover(run);
    } while (!run.over());
}

void empty_store(Run& run)
{
    run.pause(milliseconds{1'200});
    do {
        for (int times = static_cast<int>(run.random() % 2); times >= 0; --times) {
            run.fault(-1, [&] {
                run.store->kill();
                run.pause(milliseconds{0}, milliseconds{200});
                run.store->start();
            });
            if (times > 0) run.pause(milliseconds{100}, milliseconds{1'000});
        }
        let_it_recover(run);
    } while (!run.over());
}

/// What was written since the SAVE is lost, and what was purged since then is back.
void restore_old_store(Run& run)
{
    while (!run.over()) {
        run.store->command({"SAVE"});
        run.pause(milliseconds{300}, milliseconds{900});
        run.fault(-1, [&] {
            run.store->kill();
            run.store->start();
        });
        run.pause(milliseconds{1'000}, milliseconds{1'500});
    }
}

void flush_store(Run& run)
{
    while (!run.over()) {
        run.pause(milliseconds{200}, milliseconds{1'000});
        run.fault(-1, [&] { run.store->command({"FLUSHALL"}); });
    }
}

/// Seldom: between two of them marks end, late commits follow, and what they left behind would show.
void flush_store_seldom(Run& run)
{
    const milliseconds mark_life{5'400};
    do {
        run.pause(milliseconds{1'200});
        run.fault(-1, [&] { run.store->command({"FLUSHALL"}); });
        run.pause(mark_life + milliseconds{3'000});
    } while (!run.over());
}

/// The counter, the stream or the patterns of the log. One replica reads it late: what is gone by then it misses.
void delete_control_keys(Run& run)
{
    run.gate->set(Gate::Mode::slow, milliseconds{15});
    while (!run.over()) {
        run.pause(milliseconds{50}, milliseconds{300});
        std::istringstream names(run.store->command({"KEYS", std::string(store_namespace) + ":*:[qsp]"}));
        std::vector<std::string> found;
        for (std::string name; names >> name;) found.push_back(name);
        if (found.empty()) continue;
        run.fault(-1, [&] { run.store->command({"DEL", found[run.random() % found.size()]}); });
    }
    run.gate->set(Gate::Mode::open);
}

std::uint64_t figure(const std::string& info, const std::string& name)
{
    const std::size_t at = info.find(name + ":");
    return at == std::string::npos ? 0 : std::strtoull(info.c_str() + at + name.size() + 1, nullptr, 10);
}

/// Once the cache is full, room for somewhat less than half of it.
void evict(Run& run, const char* policy)
{
    const auto used_memory = [&] { return figure(run.store->command({"INFO", "memory"}), "used_memory"); };
    const std::uint64_t empty = used_memory();
    eventually([&] { return used_memory() > empty + (6u << 20); });
    run.store->command({"CONFIG", "SET", "maxmemory", std::to_string(empty + (3u << 20))});
    run.store->command({"CONFIG", "SET", "maxmemory-policy", policy});
    while (!run.over()) run.pause(milliseconds{100});
    run.faults_done = figure(run.store->command({"INFO", "stats"}), "evicted_keys");
}

void evict_least_used(Run& run) { evict(run, "allkeys-lru"); }

/// Control keys too: any moment may lose a mark.
void evict_at_random(Run& run)
{
    run.fault(-1, [&] { evict(run, "allkeys-random"); });
}

void gate(Run& run, Gate::Mode mode)
{
    while (!run.over()) {
        run.fault(0, [&] {
            run.gate->set(mode);
            run.pause(milliseconds{150}, milliseconds{1'200});
            run.gate->set(Gate::Mode::open);
        });
        run.pause(milliseconds{500}, milliseconds{1'500});
    }
}
void cut(Run& run) { gate(run, Gate::Mode::shut); }
void hold(Run& run) { gate(run, Gate::Mode::held); }

/// The master is killed, or hangs, and another one takes its place; the old one comes back while that is in use.
void fail_over(Run& run, bool hangs)
{
    do {
        run.pause(milliseconds{1'000}, milliseconds{1'500});
        run.fault(-1, [&] {
            if (hangs)
                run.store->stop();
            else
                run.store->kill();
            run.store->await_failover();
        });
        run.pause(milliseconds{200}, milliseconds{900});
        if (hangs)
            run.store->go_on();
        else
            run.store->start();
        run.store->await_whole();
        run.pause(milliseconds{1'000}, milliseconds{1'500});
    } while (!run.over());
}
void kill_masters(Run& run) { fail_over(run, false); }
void hang_masters(Run& run) { fail_over(run, true); }

/// Nobody is killed: for a moment the old master and the new one both take writes, or seem to.
void hand_masters_over(Run& run)
{
    do {
        run.pause(milliseconds{1'000}, milliseconds{1'500});
        run.fault(-1, [&] { run.store->hand_over(); });
        run.pause(milliseconds{500}, milliseconds{1'000});
        run.store->await_whole();
    } while (!run.over());
}

void move_slots(Run& run)
{
    do {
        run.pause(milliseconds{500}, milliseconds{1'200});
        run.fault(-1, [&] { run.store->move_slot([&] { run.pause(milliseconds{50}, milliseconds{400}); }); });
        run.store->await_whole();
    } while (!run.over());
    run.pause(milliseconds{500});
}

/// Always slower than the others, and still in time.
void slow_down(Run& run)
{
    while (!run.over()) {
        run.gate->set(Gate::Mode::slow, milliseconds{1 + run.random() % 15});
        run.pause(milliseconds{200}, milliseconds{600});
        ++run.faults_done;
    }
    run.gate->set(Gate::Mode::open);
}

// --- the list --------------------------------------------------------------------------------------------------------

Scenario basic(std::string name, std::string mode, std::string about)
{
    Scenario scenario;
    scenario.name = std::move(name);
    scenario.mode = std::move(mode);
    scenario.about = std::move(about);
    return scenario;
}

/// @param script  breaks what PREPARE relies on: excused while it lasts, unless the rule says reject
Scenario with_store_fault(Scenario scenario, std::function<void(Run&)> script)
{
    scenario.script = std::move(script);
    const bool forward = scenario.larder.on_store_error == "forward";
    scenario.terms.excuse_deferred = forward;
    scenario.terms.excuse_unprepared = forward;
    return scenario;
}

/// The store falls silent: what waits for it must give up. Elsewhere nothing may, or a busy machine looks like a fault
/// that nobody has noted: a PREPARE that is given up leaves its write open to what `forward` allows.
Scenario with_silent_store(Scenario scenario, std::function<void(Run&)> script)
{
    scenario.larder.store_timeout = milliseconds{250};
    return with_store_fault(std::move(scenario), std::move(script));
}

Scenario forwarding(Scenario scenario)
{
    scenario.mode += ", forward";
    return scenario;
}

Scenario rejecting(Scenario scenario)
{
    scenario.mode += ", reject";
    scenario.larder.on_store_error = "reject";
    return scenario;
}

Scenario bounded(Scenario scenario)
{
    scenario.mode = "bounded 300 ms";
    scenario.larder.trust = milliseconds{300};
    scenario.terms.bound = milliseconds{300};
    return scenario;
}

Scenario embedded(Scenario scenario)
{
    scenario.mode += ", no Redis";
    scenario.store = StoreKind::none;
    scenario.larder.workers = 2;
    return scenario;
}

/// A few items, of which nearly always one is being written.
Scenario hot(Scenario scenario)
{
    scenario.load.items = 4;
    scenario.load.write_per_mille = 60;
    scenario.load.list_per_mille = 300;
    scenario.least_hits_percent = 3;
    return scenario;
}

/// Far more than fits.
Scenario crowded(Scenario scenario)
{
    scenario.larder.memory = "1MiB";
    scenario.load.items = 120;
    scenario.load.detail_per_mille = 500;
    scenario.backend.padding_bytes = 16'000;
    return scenario;
}

std::vector<Scenario> make_scenarios()
{
    std::vector<Scenario> all;
    const auto add = [&all](Scenario scenario) {
        scenario.backend.items = scenario.load.items;
        all.push_back(std::move(scenario));
    };

    Scenario one = basic("quiet", "strict", "no faults: 40 items, 3 % writes");
    one.for_peers = true;
    add(one);

    one = basic("memory", "strict", "few items that are nearly always in every replica's memory");
    one.load.items = 12;
    one.load.write_per_mille = 4;
    one.least_hits_percent = 60;
    add(one);

    add(bounded(basic("bounded", "", "memory hits without a look for 300 ms")));

    one = basic("writes", "strict", "every fourth request is a write");
    one.load.write_per_mille = 250;
    one.load.items = 120;
    one.least_hits_percent = 3;
    one.for_peers = true;
    add(one);

    one = hot(
        basic("hot", "strict", "four items and their lists, nearly always with a write open: joins and shared passes"));
    one.for_peers = true;
    add(one);

    one = basic("aliases", "strict", "the same paths percent-encoded and with dot segments");
    one.load.aliases = true;
    one.for_peers = true;
    add(one);

    one = basic("many-items", "strict", "300 items, most of them cold");
    one.load.items = 300;
    one.for_peers = true;
    add(one);

    one = basic("two-workers", "strict", "two worker threads in each replica");
    one.larder.workers = 2;
    add(one);
    add(bounded([&] {
        Scenario two = one;
        two.name = "two-workers-bounded";
        return two;
    }()));

    add(embedded(basic("embedded", "strict", "one process, two worker threads, the store in its memory")));
    add(hot(
        embedded(basic("embedded-hot", "strict", "the same, four items and their lists: joins and shared passes"))));
    add(crowded(
        embedded(basic("embedded-full", "strict", "the same, and a memory that most entries are pushed out of"))));

    one = basic("verified", "strict", "every other hit is held against what the app answers then");
    one.larder.options = "verify: 1/2\n";
    add(one);

    add(crowded(basic("small-memory", "strict", "replicas that remember next to nothing: hits come from Redis")));

    one = basic("fence-after", "strict, fence: after", "no PREPARE: stale counts, back in time does not");
    one.larder.fence = "after";
    one.terms.never_back_in_time = false;
    add(one);

    one = basic("backend-faults", "strict", "commits followed by 500, no answer, a reset; commits after the 504");
    one.load.items = 200;
    one.larder.first_byte_timeout = milliseconds{400};
    one.backend.hang = milliseconds{700};
    one.backend.fail_per_mille = 60;
    one.backend.hang_per_mille = 15;
    one.backend.reset_per_mille = 30;
    one.backend.late_per_mille = 15;
    one.for_peers = true;
    one.short_seconds = 8;
    one.least_hits_percent = 3;
    add(one);

    one = basic("replica-killed", "strict",
                "kill -9 of a replica in each phase of a write and at random, then a restart");
    one.load.write_per_mille = 60;
    one.load.items = 120;
    one.script = kill_replicas;
    one.for_peers = true;
    one.short_seconds = 5;
    one.least_hits_percent = 3;
    add(one);

    one = basic("replica-paused", "strict", "SIGSTOP of a replica for longer than its marks live, then SIGCONT");
    one.larder.first_byte_timeout = milliseconds{500};
    one.load.patience = milliseconds{300};
    one.short_seconds = 7;
    add(with_store_fault(forwarding(one), pause_replicas));
    one.name += "-reject";
    one.about = "the same, writes are refused where the store has not answered";
    one.for_peers = true;
    one.in_short = false;
    add(with_store_fault(rejecting(one), pause_replicas));

    one = basic("redis-paused", "strict", "SIGSTOP of Redis, then SIGCONT, once or twice, then some seconds of peace");
    one.short_seconds = 5;
    add(with_silent_store(forwarding(one), pause_store));
    one.name += "-reject";
    one.about = "the same, writes are refused meanwhile";
    add(with_silent_store(rejecting(one), pause_store));
    one = basic("redis-emptied", "strict, forward", "Redis killed and restarted empty, once or twice, then peace");
    one.short_seconds = 5;
    add(with_store_fault(one, empty_store));
    one = basic("redis-old-dump", "strict, forward", "Redis killed and restarted with what it knew some time ago");
    one.short_seconds = 5;
    add(with_store_fault(one, restore_old_store));
    add(with_store_fault(basic("flushall", "strict, forward", "FLUSHALL about each half second"), flush_store));
    one = basic("lost-marks", "strict, forward", "FLUSHALL while writes commit after their 504: their marks are lost");
    one.load.items = 400;
    one.load.write_per_mille = 10;
    one.larder.first_byte_timeout = milliseconds{400};
    one.backend.hang = milliseconds{2'500};
    one.backend.late_per_mille = 150;
    one.short_seconds = 9;
    add(with_store_fault(one, flush_store_seldom));
    one = basic("control-keys", "strict, forward", "counter, stream or patterns of the log deleted; a replica is late");
    one.gated = true;
    add(with_store_fault(one, delete_control_keys));

    one = basic("evicted", "strict", "maxmemory with allkeys-lru, 3 MiB for more than 6 MiB of entries");
    one.load.items = 160;
    one.backend.padding_bytes = 16'000;
    one.least_hits_percent = 5;
    one.script = evict_least_used;
    add(one);
    one.name = "evicted-random";
    one.mode = "strict, forward";
    one.about = "the same with allkeys-random: control keys are evicted too";
    add(with_store_fault(one, evict_at_random));

    const auto gated = [](Scenario scenario) {
        scenario.gated = true;
        return scenario;
    };
    add(gated(with_store_fault(basic("gate-cut", "strict, forward", "one replica cut off from Redis and back"), cut)));
    add(gated(with_store_fault(rejecting(basic("gate-cut-reject", "strict", "the same, writes are refused meanwhile")),
                               cut)));
    add(gated(with_silent_store(
        basic("gate-held", "strict, forward", "one replica's traffic with Redis held, and delivered late"), hold)));
    add(gated(with_silent_store(
        rejecting(basic("gate-held-reject", "strict", "the same, writes are refused meanwhile")), hold)));
    one = gated(
        basic("gate-slow", "strict", "few items, and one replica's traffic with Redis delayed, up to 15 ms each way"));
    one.load.items = 12;
    one.script = slow_down;
    add(one);
    add(gated(with_store_fault(bounded(basic("gate-cut-bounded", "", "one replica cut off, bounded")), cut)));
    all.back().mode += ", forward";

    const struct {
        std::string name, about;
        StoreKind store;
        void (*script)(Run&);
    } groups[] = {
        {"sentinel-killed", "kill -9 of the master behind Sentinel", StoreKind::sentinel, kill_masters},
        {"sentinel-hung", "SIGSTOP of the master until another is elected, then SIGCONT", StoreKind::sentinel,
         hang_masters},
        {"sentinel-handed", "a failover by hand behind Sentinel: the old master stays up", StoreKind::sentinel,
         hand_masters_over},
        {"cluster-killed", "kill -9 of a master of a cluster", StoreKind::cluster, kill_masters},
        {"cluster-hung", "SIGSTOP of a master until its replica is elected, then SIGCONT", StoreKind::cluster,
         hang_masters},
        {"cluster-handed", "a failover by hand in a cluster: the old master stays up", StoreKind::cluster,
         hand_masters_over},
        {"cluster-moved", "slots moved between masters key by key", StoreKind::cluster, move_slots},
    };
    for (const auto& group : groups) {
        one = basic(group.name, "strict", group.about);
        one.store = group.store;
        const auto with_fault = group.script == hang_masters ? with_silent_store : with_store_fault;
        one.in_short = group.script != hand_masters_over;
        add(with_fault(forwarding(one), group.script));
        one.name += "-reject";
        one.about = "the same, writes are refused meanwhile";
        one.in_short = false;
        add(with_fault(rejecting(one), group.script));
    }
    return all;
}

}  // namespace

const std::vector<Scenario>& all_scenarios()
{
    static const std::vector<Scenario> all = make_scenarios();
    return all;
}

const std::vector<GuardScenario>& guard_scenarios()
{
    // Where a guard has no effect on most interleavings, the scenario is the one that plays the others most often.
    static const std::vector<GuardScenario> all = {
        {"prepare", "replica-killed"},
        {"commit", "fence-after"},  // with PREPARE the mark alone would hold, for its whole life
        {"late_commit", "lost-marks"},
        {"marks", "quiet"},
        {"fence", "quiet"},
        {"store_check", "gate-slow"},
        {"validate_memory", "quiet"},
        {"validate_read", "gate-slow"},
        {"memory_check", "quiet"},
        {"pattern_check", "small-memory"},
        {"watch", "gate-slow"},
        {"run_id", "redis-old-dump"},
        {"chain", "control-keys"},
        {"own_writes", "two-workers-bounded"},
        {"replay", "gate-cut"},
        {"join", "hot"},
        {"unsent", "hot"},
        {"path_normalisation", "aliases"},
    };
    return all;
}

// --- a run -----------------------------------------------------------------------------------------------------------

bool Run::over() const { return precise_time() >= end; }

void Run::pause(milliseconds time)
{
    eventually([] { return false; }, time);
}

void Run::pause(milliseconds least, milliseconds most)
{
    const auto width = static_cast<std::uint64_t>((most - least).count()) + 1;
    pause(least + milliseconds{random() % width});
}

void Run::fault(int replica, const std::function<void()>& act)
{
    StoreFault fault;
    fault.replica = replica;
    fault.begin = precise_time();
    act();
    fault.end = precise_time();
    faults.push_back(fault);
    ++faults_done;
}

namespace {

constexpr milliseconds recovery{700};  // after the last fault: back-off, replay, and reads that would show what is lost
constexpr milliseconds last_answers{5'000};

std::unique_ptr<Proxies> make_proxies(const Scenario& scenario, const RunOptions& options, Run& run)
{
    if (options.peer == "nginx") return make_nginxes(run.backend->port());
    if (options.peer == "varnish") return make_varnishes(run.backend->port());
    LarderOptions larder = scenario.larder;
    larder.binary = options.larder_binary;
    larder.environment = options.environment;
    return make_larders(larder, run.backend->port(), [&run](int replica) {
        return run.gate && replica == 0 ? run.store->yaml_through(run.gate->port()) : run.store->yaml();
    });
}

}  // namespace

Result play(const Scenario& scenario, const RunOptions& options)
{
    Run run;
    run.random.seed(options.seed);
    run.backend = std::make_unique<VersionedBackend>(scenario.backend, run.random());
    if (options.peer.empty()) {
        run.store = make_store(scenario.store);
        if (scenario.gated) run.gate = std::make_unique<Gate>(run.store->port());
    }
    run.proxies = make_proxies(scenario, options, run);
    run.load = std::make_unique<Load>(scenario.load, *run.proxies, run.random());
    run.end = precise_time() + options.duration;
    if (scenario.script) {
        scenario.script(run);
        run.pause(recovery);
    } else {
        while (!run.over()) run.pause(milliseconds{50});
    }

    Result result;
    result.reads = run.load->reads();
    result.hits = run.load->hits();
    result.failed_reads = run.load->failed_reads();
    result.faults_done = run.faults_done;
    History history = run.load->stop(last_answers);
    history.commits = run.backend->stop();
    history.faults = run.faults;
    run.proxies.reset();

    Terms terms = scenario.terms;
    terms.mark_life = scenario.larder.first_byte_timeout + milliseconds{5'000};
    result.verdict = judge(history, terms);
    result.wrong_answers = history.wrong_answers;
    result.writes = history.writes.size();
    for (const Violation& violation : result.verdict.examples)
        result.examples.push_back(describe(violation, history, result.verdict));

    const std::uint64_t hits_percent = result.reads == 0 ? 0 : result.hits * 100 / result.reads;
    if (!run.failure.empty())
        result.failure = run.failure;
    else if (hits_percent < static_cast<std::uint64_t>(scenario.least_hits_percent))
        result.failure = "only " + std::to_string(hits_percent) + " % hits: the cache was hardly in use";
    else if (result.verdict.acknowledged == 0)
        result.failure = "no write was acknowledged";
    else if (scenario.script && result.faults_done == 0)
        result.failure = "the fault never happened";
    return result;
}

}  // namespace larder::tests
