// The promise, held against every order of a small story: reads and a write of one key through two sidecars over one
// Redis whose steps and replies the test releases one by one. With guards compiled in (the presets debug and guards) it
// also shows that the story without each of them has an order that breaks the promise.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <cstdlib>
#include <optional>

#include "proxy/coherence/coherent_cache.hpp"
#include "proxy/coherence/guards.hpp"
#include "tests/unit/proxy/at_once.hpp"
#include "tests/unit/proxy/fake_redis.hpp"
#include "tests/unit/proxy/interleavings.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace larder::proxy::test;
using namespace std::chrono_literals;
using rules::Errc;

namespace {

const std::string key = "item:7";
enum Touches : std::uint32_t { redis_data = 1, backend_data = 2, history = 4, first_actor = 8 };

struct Setting {
    std::vector<int> readers;      // which sidecar each read goes through
    std::optional<int> writer;     // the write goes through this one
    std::string purge = key;       // exact, or a pattern
    bool cached = false;           // the old version is in Redis and in each sidecar's memory at the start
    bool cached_in_redis = false;  // in Redis only
    bool behind = false;           // the log has a record that no sidecar has seen yet, of another key
    bool one_process = false;      // the sidecars are two workers: they share memory and what is deferred
    bool fence_before = true;      // with PREPARE
    bool may_crash = false;        // the writer's sidecar may die at any moment
    bool may_restart_empty = false, may_restart_older = false, may_flush = false;
    bool may_lose_connection = false;  // the writer's sidecar may lose its connection; what was sent may come late
    bool marks_run_out = false;        // at once: what is left is COMMIT
    bool monotonic = true;             // no read goes back in time
    rules::Milliseconds trust{0};
};

class Sidecar {
  public:
    Sidecar(Tasks& tasks, FakeRedis& redis, SharedLogState& state, MemoryStore& memory, const Setting& setting)
        : wire(tasks.context(), redis), log(wire), store(wire), counters(0)
    {
        CacheOptions options;
        options.trust = setting.trust;
        if (setting.marks_run_out) options.mark_life = 0ms;
        const std::vector<ShardLink> links{{log, &store}};
        cache.emplace(tasks, memory, links, state, counters, options);
    }
    Wire wire;
    FakeLog log;
    FakeStore store;
    Counters counters;
    std::optional<CoherentCache> cache;
    bool dead = false;
    bool tending = false;
};

/// The app server: one version number, which a write raises. Asked and answered in two steps, as Redis is.
struct Backend {
    struct Call {
        int sidecar;
        bool writes;
        std::shared_ptr<Question<int>> question;
    };
    int version = 1;
    std::map<int, Call> asked, answered;  // by number
    int calls_count = 0;
};

class Play final : public Story {
  public:
    explicit Play(const Setting& setting) : setting_(setting), tasks_(context_)
    {
        for (int i = 0; i < 2; ++i) {
            states_.push_back(std::make_unique<SharedLogState>());
            memories_.push_back(std::make_unique<MemoryStore>(1 << 16, 1));
        }
        for (int i = 0; i < 2; ++i) {
            const std::size_t process = setting.one_process ? 0 : static_cast<std::size_t>(i);
            sidecars_.push_back(
                std::make_unique<Sidecar>(tasks_, redis_, *states_[process], *memories_[process], setting));
        }
        prepare_stage();
    }

    ~Play() override
    {
        over_ = true;
        for (const auto& sidecar : sidecars_) sidecar->wire.close();
        for (auto* calls : {&backend_.asked, &backend_.answered}) {
            for (auto& [number, call] : *calls) {
                call.question->answer.emplace(0);
                call.question->answered.wake();
            }
            calls->clear();
        }
        settle();
    }

    std::vector<std::string> enabled() override
    {
        std::vector<std::string> actions;
        if (ended_) return actions;
        for (std::size_t i = 0; i < setting_.readers.size(); ++i)
            if (!read_begun_[i] && !sidecar(setting_.readers[i]).dead) actions.push_back("read " + std::to_string(i));
        if (setting_.writer && !write_begun_ && !sidecar(*setting_.writer).dead) actions.push_back("write");
        for (const auto& [number, call] : backend_.asked) actions.push_back("backend " + std::to_string(number));
        for (const auto& [number, call] : backend_.answered)
            if (!sidecar(call.sidecar).dead) actions.push_back("answer " + std::to_string(number));
        for (int i = 0; i < 2; ++i) {
            const Sidecar& one = sidecar(i);
            if (one.dead) continue;
            if (one.wire.has_command()) actions.push_back(numbered("redis", i, one.wire.carried_out()));
            if (one.wire.has_reply()) actions.push_back(numbered("reply", i, one.wire.handed_over()));
        }
        const bool done = actions.empty();
        // What may happen or not.
        if (setting_.writer && sidecar(*setting_.writer).wire.has_late()) actions.push_back("late");
        if (setting_.may_crash && write_begun_ && !crashed_ && !acknowledged_) actions.push_back("crash");
        if (!faulted_ && (setting_.may_restart_empty || setting_.may_restart_older)) actions.push_back("restart");
        if (!faulted_ && setting_.may_flush) actions.push_back("flush");
        if (!faulted_ && setting_.may_lose_connection) actions.push_back("lose connection");
        for (int i = 0; i < 2; ++i)
            if (wants_tending(i))
                actions.push_back("tend " + std::to_string(i) + "#" + std::to_string(tended_[index(i)]));
        if (done) actions.push_back("end");
        return actions;
    }

    Footprint perform(const std::string& action) override
    {
        touched_ = {};
        const std::string what = action.substr(0, action.find(' '));
        const bool is_numbered = what != action && what != "lose";
        const int which = is_numbered ? std::stoi(action.substr(what.size() + 1)) : 0;
        if (what == "read") {
            begin_read(static_cast<std::size_t>(which));
        } else if (what == "write") {
            begin_write();
        } else if (what == "backend") {
            Backend::Call call = backend_.asked.at(which);
            backend_.asked.erase(which);
            (call.writes ? touched_.writes : touched_.reads) |= backend_data;
            call.question->answer.emplace(call.writes ? ++backend_.version : backend_.version);
            backend_.answered.emplace(which, std::move(call));
        } else if (what == "answer") {
            const Backend::Call call = backend_.answered.at(which);
            backend_.answered.erase(which);
            touch(call.sidecar);
            call.question->answered.wake();
        } else if (what == "redis") {
            const bool wrote = sidecar(which).wire.carry_out();
            (wrote ? touched_.writes : touched_.reads) |= redis_data;
            touched_.writes |= first_actor << (2 + which);  // the wire; its other end is the sidecar
        } else if (what == "reply") {
            touch(which);
            sidecar(which).wire.hand_over();
        } else if (what == "tend") {
            ++tended_[index(which)];
            touch(which);
            start_tending(which);
        } else {
            touched_.writes = ~0u;
            fault(what == "lose" ? action : what);
        }
        settle();
        return touched_;
    }

    std::string judge() override
    {
        if (!violation_.empty()) return violation_;
        // Everything has come to rest. What is cached now would stay.
        std::string wrong;
        for (int i = 0; i < 2; ++i)
            if (!sidecar(i).dead) run_to_rest(i);
        for (int i = 0; i < 2 && wrong.empty(); ++i) {
            if (sidecar(i).dead) continue;
            const int floor = std::max(acknowledged_version_, newest_seen_);
            const Found found = find_now(i);
            const int version =
                found.kind == Found::Kind::hit ? std::stoi(std::string(found.entry->body())) : backend_.version;
            const int wanted = setting_.monotonic ? std::max(floor, backend_.version) : acknowledged_version_;
            if (version < wanted)
                wrong = "at rest sidecar " + std::to_string(i) + " serves version " + std::to_string(version) +
                        " where the app has " + std::to_string(backend_.version);
        }
        return wrong;
    }

  private:
    static std::string numbered(const std::string& what, int sidecar, std::size_t number)
    {
        return what + " " + std::to_string(sidecar) + "#" + std::to_string(number);
    }
    static std::size_t index(int i) { return static_cast<std::size_t>(i); }
    Sidecar& sidecar(int i) const { return *sidecars_[index(i)]; }
    CoherentCache& cache(int i) const { return *sidecar(i).cache; }
    /// Of one process, the sidecars share their state.
    void touch(int i) { touched_.writes |= first_actor << (setting_.one_process ? 0 : i); }
    void settle()
    {
        context_.restart();
        context_.poll();
    }
    bool wants_tending(int i) const
    {
        const Sidecar& one = sidecar(i);
        return !one.dead && !one.tending && tended_[index(i)] < 2 && one.cache->wants_tending();
    }

    template <class T>
    void start(asio::awaitable<T> task)
    {
        asio::co_spawn(context_, std::move(task), [](std::exception_ptr failure, auto&&...) {
            if (failure) std::rethrow_exception(failure);
        });
    }

    // --- before the first step and after the last: no choice of order -----------------------------------------------

    void run_wire(int i)
    {
        settle();
        Wire& wire = sidecar(i).wire;
        while (wire.has_command() || wire.has_reply()) {
            while (wire.has_command()) wire.carry_out();
            wire.hand_over();
            settle();
        }
    }
    void run_to_rest(int i)
    {
        for (int round = 0; round < 3; ++round) {
            start_tending(i);
            run_wire(i);
        }
    }
    Found find_now(int i)
    {
        Found result;
        auto ask = [&, i]() -> asio::awaitable<void> {
            Found found = co_await cache(i).find(key, no_variant_, wall_now());
            result = std::move(found);
        };
        start(ask());
        run_wire(i);
        return result;
    }
    void prepare_stage()
    {
        for (int i = 0; i < 2; ++i) run_to_rest(i);
        older_ = redis_.data;
        if (setting_.cached || setting_.cached_in_redis) cache_old_version();
        if (!setting_.behind) return;
        Record other;
        other.keys = {"item:8"};
        redis_.append(other);
    }
    void cache_old_version()
    {
        const Found found = find_now(0);
        auto put = [&, token = found.token]() -> asio::awaitable<void> {
            std::shared_ptr<Entry> entry = fake_entry(key, "1");
            co_await cache(0).store(std::move(entry), token);
        };
        start(put());
        run_wire(0);
        older_ = redis_.data;
        if (setting_.cached)
            find_now(1);
        else
            for (const auto& memory : memories_) memory->clear();
    }

    // --- what clients and faults do ---------------------------------------------------------------------------------

    void begin_read(std::size_t i)
    {
        read_begun_[i] = true;
        touched_.reads |= history;
        touch(setting_.readers[i]);
        start(run_read(setting_.readers[i], acknowledged_to(setting_.readers[i]), newest_seen_));
    }
    /// The newest version that a read through this sidecar has to show.
    int acknowledged_to(int i) const
    {
        const bool same = setting_.writer && (setting_.one_process || *setting_.writer == i);
        return same ? std::max(acknowledged_version_, deferred_version_) : acknowledged_version_;
    }
    asio::awaitable<void> run_read(int through, int acknowledged, int seen)
    {
        const Found found = co_await find(through);
        if (found.kind == Found::Kind::hit) {
            end_read(std::stoi(std::string(found.entry->body())), acknowledged, seen);
            co_return;
        }
        const int version = co_await ask_backend(through, false);
        if (over_) co_return;
        end_read(version, acknowledged, seen);
        if (found.kind != Found::Kind::none && found.kind != Found::Kind::purged) co_return;
        std::shared_ptr<Entry> entry = fake_entry(key, std::to_string(version));
        FillLease none{key, no_variant_, {}};
        co_await store(through, std::move(entry), found.token, none);
    }
    /// The first sidecar asks without a coroutine, as far as that does.
    asio::awaitable<Found> find(int through)
    {
        if (through == 0) return find_at_once(context_, cache(through), key, no_variant_);
        return cache(through).find(key, no_variant_, wall_now());
    }
    asio::awaitable<rules::NotStored> store(int through, std::shared_ptr<Entry> entry, LogToken token, FillLease& none)
    {
        if (through == 0) return store_at_once(context_, cache(through), std::move(entry), token, none);
        return cache(through).store(std::move(entry), token);
    }
    void end_read(int version, int acknowledged, int seen)
    {
        if (over_) return;
        touched_.writes |= history;
        if (version < acknowledged)
            violation_ = "a read begun after the write of version " + std::to_string(acknowledged) +
                         " was answered gave version " + std::to_string(version);
        if (version < seen && setting_.monotonic)
            violation_ =
                "a read went back in time, from version " + std::to_string(seen) + " to " + std::to_string(version);
        newest_seen_ = std::max(newest_seen_, version);
    }

    void begin_write()
    {
        write_begun_ = true;
        touch(*setting_.writer);
        start(run_write(*setting_.writer));
    }
    asio::awaitable<void> run_write(int through)
    {
        WritePurge write;
        write.targets.push_back({setting_.purge, setting_.purge == key});
        if (setting_.fence_before) {
            const Errc prepared = co_await cache(through).prepare(write);
            // on_store_error: reject. What `forward` gives up then is not promised.
            if (prepared != Errc::ok) {
                co_await cache(through).withdraw(write);
                co_return;
            }
        }
        if (over_) co_return;
        const int version = co_await ask_backend(through, true);
        const Errc committed = co_await cache(through).commit(write);
        if (over_) co_return;
        touched_.writes |= history;
        acknowledged_ = true;
        (committed == Errc::ok ? acknowledged_version_ : deferred_version_) = version;
    }
    asio::awaitable<int> ask_backend(int through, bool writes)
    {
        if (over_) co_return 0;
        auto question = std::make_shared<Question<int>>(context_);
        backend_.asked.emplace(backend_.calls_count++, Backend::Call{through, writes, question});
        co_return co_await answer_to(question);
    }
    void start_tending(int i)
    {
        auto tend = [](Sidecar& one) -> asio::awaitable<void> {
            one.tending = true;
            co_await one.cache->tend();
            one.tending = false;
        };
        start(tend(sidecar(i)));
    }

    void fault(const std::string& what)
    {
        if (what == "end") {
            ended_ = true;
        } else if (what == "late") {
            sidecar(*setting_.writer).wire.carry_out_late();
        } else if (what == "crash") {
            crashed_ = true;
            sidecar(*setting_.writer).dead = true;
            sidecar(*setting_.writer).wire.orphan();
        } else if (what == "flush") {
            faulted_ = true;
            redis_.data = RedisData{};
        } else if (what == "restart") {
            faulted_ = true;
            redis_.restart(setting_.may_restart_older ? older_ : RedisData{});
            for (const auto& one : sidecars_) one->wire.reconnect();
        } else {
            faulted_ = true;
            sidecar(*setting_.writer).wire.reconnect();
        }
    }

    const Setting setting_;
    const std::string no_variant_;
    asio::io_context context_{1};
    Tasks tasks_;
    FakeRedis redis_;
    RedisData older_;
    std::vector<std::unique_ptr<SharedLogState>> states_;
    std::vector<std::unique_ptr<MemoryStore>> memories_;
    std::vector<std::unique_ptr<Sidecar>> sidecars_;
    Backend backend_;
    Footprint touched_;
    std::array<bool, 4> read_begun_{};
    bool write_begun_ = false, acknowledged_ = false, crashed_ = false, faulted_ = false, ended_ = false;
    bool over_ = false;
    std::array<int, 2> tended_{};
    int acknowledged_version_ = 1, deferred_version_ = 0, newest_seen_ = 1;
    std::string violation_;
};

Explored explore(const Setting& setting, std::size_t limit)
{
    Explorer explorer([&]() -> std::unique_ptr<Story> { return std::make_unique<Play>(setting); });
    return explorer.run(limit);
}

std::string told(const Explored& explored)
{
    std::string text = explored.violation;
    for (const std::string& action : explored.order) (text += text.empty() ? "" : " > ") += action;
    return text;
}

struct Row {
    std::string why;
    Setting setting;
};

/// The stories, by what may go wrong in them.
std::vector<Row> stories()
{
    std::vector<Row> rows;
    for (const std::string& purge : {key, std::string("item:*")}) {
        Setting cached;
        cached.readers = {0};
        cached.writer = 1;
        cached.purge = purge;
        cached.cached = true;
        rows.push_back({"a read beside a write through the other sidecar, the old version in memory", cached});

        Setting in_redis = cached;
        in_redis.cached = false;
        in_redis.cached_in_redis = true;
        rows.push_back({"a read beside a write through the other sidecar, the old version in Redis", in_redis});

        Setting two_reads = in_redis;
        two_reads.readers = {0, 0};
        rows.push_back({"two reads, so that one's answer from Redis meets what the other has applied", two_reads});

        Setting behind = in_redis;
        behind.behind = true;
        rows.push_back(
            {"an answer from Redis is held up until the log is read, and the write is in the log by then", behind});

        Setting empty = cached;
        empty.cached = false;
        rows.push_back({"a fill beside a write", empty});

        Setting own = empty;
        own.writer = 0;
        rows.push_back({"a fill beside a write through the same sidecar", own});

        Setting crash = empty;
        crash.may_crash = true;
        rows.push_back({"the writer's sidecar dies", crash});

        Setting crash_cached = cached;
        crash_cached.may_crash = true;
        rows.push_back({"the writer's sidecar dies, the old version in memory", crash_cached});

        Setting marks = empty;
        marks.marks_run_out = true;
        marks.monotonic = false;
        rows.push_back({"marks that end too early: COMMIT alone", marks});

        // A restart meets everything, and the kind of purge makes no difference to it: one kind, for the time it takes.
        Setting older = cached;
        older.may_restart_older = true;
        older.monotonic = false;  // Redis may lose an open mark
        if (purge != key) rows.push_back({"Redis comes back with an older state", older});

        Setting gone = cached;
        gone.may_restart_empty = true;
        gone.monotonic = false;
        if (purge != key) rows.push_back({"Redis comes back empty", gone});

        Setting flush = cached;
        flush.may_flush = true;
        flush.monotonic = false;
        rows.push_back({"FLUSHALL", flush});

        Setting lost = cached;
        lost.may_lose_connection = true;
        rows.push_back({"the writer's sidecar loses its connection, and what it had sent comes late", lost});

        Setting own_lost = lost;
        own_lost.readers = {1};
        rows.push_back({"the same, and the read goes through that very sidecar", own_lost});

        Setting own_lost_after = own_lost;
        own_lost_after.fence_before = false;
        own_lost_after.monotonic = false;
        rows.push_back({"the writer's sidecar has lost its connection without PREPARE (fence: after)", own_lost_after});

        Setting workers = cached;
        workers.one_process = true;
        workers.trust = 1h;
        rows.push_back({"two workers of a process that trusts its memory for long", workers});
    }
    return rows;
}

}  // namespace

namespace {

/// How many orders of a story are run at most. All of them are fewer than 60,000; a sanitizer sees enough in a part.
std::size_t orders_limit()
{
#ifdef __SANITIZE_THREAD__
    return 100;  // one thread: there is nothing to find
#endif
    const char* scale = std::getenv("LARDER_TEST_SCALE");
    return scale && std::atoi(scale) > 1 ? 1'000 : 60'000;
}

}  // namespace

TEST_CASE(
    "no order of reads, a write and one fault shows an old version after the write's answer, or goes back in time")
{
    std::size_t orders = 0;
    for (const Row& row : stories()) {
        CAPTURE(row.why);
        CAPTURE(row.setting.purge);
        const Explored explored = explore(row.setting, orders_limit());
        orders += explored.orders;
        INFO(told(explored));
        CHECK(explored.violation.empty());
        CHECK(explored.orders > 1);
        MESSAGE(row.why << ", purge of " << row.setting.purge << ": " << explored.orders << " orders"
                        << (explored.complete ? "" : ", cut off"));
    }
    MESSAGE(orders << " orders in all");
}

#ifdef LARDER_TEST_GUARDS

TEST_CASE("without any one guard some order breaks the promise")
{
    const std::string any = "item:*";
    const struct {
        std::string guard, story, purge;
    } rows[] = {
        {"prepare", "the writer's sidecar dies", key},
        {"commit", "marks that end too early: COMMIT alone", key},
        {"marks", "the writer's sidecar dies", key},
        {"fence", "a fill beside a write through the same sidecar", key},
        {"store_check", "a fill beside a write", key},
        {"validate_memory", "a read beside a write through the other sidecar, the old version in memory", key},
        {"validate_read", "a read beside a write through the other sidecar, the old version in Redis", any},
        {"memory_check", "a read beside a write through the other sidecar, the old version in memory", key},
        {"pattern_check", "a read beside a write through the other sidecar, the old version in memory", any},
        {"watch", "an answer from Redis is held up until the log is read, and the write is in the log by then", key},
        {"run_id", "Redis comes back with an older state", any},
        {"chain", "FLUSHALL", key},
        {"own_writes", "two workers of a process that trusts its memory for long", any},
        {"replay", "the writer's sidecar has lost its connection without PREPARE (fence: after)", key},
    };
    const std::vector<Row> all = stories();
    for (const auto& row : rows) {
        CAPTURE(row.guard);
        CAPTURE(row.story);
        const auto story = std::find_if(all.begin(), all.end(), [&](const Row& one) {
            return one.why == row.story && one.setting.purge == row.purge;
        });
        REQUIRE(story != all.end());
        REQUIRE(take_out_guards(row.guard) == "");
        const Explored explored = explore(story->setting, 20'000);
        take_out_guards("");
        MESSAGE("without " << row.guard << ": " << told(explored));
        CHECK_FALSE(explored.violation.empty());
    }
}

TEST_CASE("a name that is no guard is said")
{
    CHECK(take_out_guards("prepare,parsley") == "parsley");
    CHECK(guards_out() == "");
    CHECK(take_out_guards("watch,replay") == "");
    CHECK(guards_out() == "watch,replay");
    take_out_guards("");
}

#endif
