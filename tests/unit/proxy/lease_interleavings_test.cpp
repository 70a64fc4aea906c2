// The lease, held against every order of a small story: replicas that miss one key over one Redis whose steps and
// replies the test releases one by one, a purge, a fault. Redis, the app and time are the test's; the decisions, the
// fills and the cache are the real ones. The last test shows that the stories without each part of it break a promise.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <boost/asio/co_spawn.hpp>
#include <climits>
#include <cstdlib>
#include <map>
#include <optional>

#include "proxy/coherence/coherent_cache.hpp"
#include "proxy/exchange/fill.hpp"
#include "proxy/exchange/lease_wait.hpp"
#include "tests/unit/proxy/at_once.hpp"
#include "tests/unit/proxy/fake_redis.hpp"
#include "tests/unit/proxy/interleavings.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace larder::proxy::test;
using namespace std::chrono_literals;
using rules::Errc;
using rules::NotStored;

namespace {

const std::string key = "item:7";
constexpr rules::Milliseconds for_ever{3'600'000};
enum Touches : std::uint32_t { redis_data = 1, backend_data = 2, history = 4, first_actor = 8 };
constexpr std::size_t replicas_limit = 3;

enum class Purge { none, single, write };
enum class Answers { storable, uncacheable, failures };
/// What a story is played without, to see that it is missed.
enum class Without { nothing, lease, release, end_of_wait, notice_of_purge, check_of_joins };

struct Setting {
    std::string why;
    std::vector<std::size_t> readers{0, 1};  // which replica each one asks
    Purge purge = Purge::none;
    std::string purged = key;  // or a pattern
    std::size_t purger = 1;    // which replica the purge goes through
    Answers answers = Answers::storable;
    rules::Milliseconds patience = for_ever;  // of who waits for another's fetch
    bool may_die = false;                     // any one replica, at any moment
    bool may_expire = false;                  // the lease, once
    bool may_lose_connection = false;         // the first replica: there is a new one, what was sent may come late
    bool may_lose_redis = false;              // all, for good
    bool at_once = false;                     // Redis' step and its reply are one
    Without without = Without::nothing;
};

struct Replica {
    Replica(Tasks& tasks, FakeRedis& redis) : wire(tasks.context(), redis), log(wire), store(wire)
    {
        const std::vector<ShardLink> links{{log, &store}};
        cache.emplace(tasks, memory, links, state, counters, CacheOptions{});
    }
    Wire wire;
    FakeLog log;
    FakeStore store;
    Counters counters{0};
    SharedLogState state;
    MemoryStore memory{1 << 16, 1};
    std::optional<CoherentCache> cache;
    Fills fills;
    bool dead = false, tending = false;
    int tended = 0;

    rules::Instant now{1h};
    struct Pause {
        rules::Instant end;
        std::string holder;  // of the lease, and the log's counter: as they were seen last
        Position counter;
        std::shared_ptr<Question<bool>> over;
    };
    std::map<int, Pause> pauses;  // by number
    int pauses_count = 0;

    struct Call {
        bool writes;
        std::shared_ptr<Question<int>> question;
    };
    std::map<int, Call> asked, answered;  // of the app, by number
    int calls_count = 0;
};

class Play final : public Story {
  public:
    explicit Play(const Setting& setting) : setting_(setting), tasks_(context_), readers_(setting.readers.size())
    {
        std::size_t highest = setting.purge == Purge::none ? 0 : setting.purger;
        for (const std::size_t through : setting.readers) highest = std::max(highest, through);
        for (std::size_t i = 0; i <= highest; ++i) replicas_.push_back(std::make_unique<Replica>(tasks_, redis_));
        for (const auto& replica : replicas_)
            for (int round = 0; round < 2; ++round) {
                start_tending(*replica);
                run_wire(*replica);
            }
    }

    ~Play() override
    {
        over_ = true;
        for (const auto& replica : replicas_) replica->wire.close();
        for (int round = 0; round < 3; ++round) {  // one ends by another's end
            for (const auto& replica : replicas_) {
                for (auto& [number, pause] : std::exchange(replica->pauses, {})) wake(*pause.over, true);
                for (auto* calls : {&replica->asked, &replica->answered})
                    for (auto& [number, call] : std::exchange(*calls, {})) wake(*call.question, 0);
            }
            settle();
        }
    }

    std::vector<std::string> enabled() override
    {
        std::vector<std::string> actions;
        if (ended_ || !violation_.empty()) return actions;
        for (std::size_t i = 0; i < readers_.size(); ++i)
            if (!readers_[i].begun && !through(i).dead) actions.push_back(named("read", i));
        if (setting_.purge != Purge::none && !purge_begun_ && !replicas_[setting_.purger]->dead)
            actions.push_back("purge");
        for (std::size_t i = 0; i < replicas_.size(); ++i) {
            const Replica& one = *replicas_[i];
            if (one.dead) continue;
            for (const auto& [number, call] : one.asked) actions.push_back(named("backend", i, number));
            for (const auto& [number, call] : one.answered) actions.push_back(named("answer", i, number));
            if (one.wire.has_command()) actions.push_back(named("redis", i, one.wire.carried_out()));
            if (one.wire.has_reply()) actions.push_back(named("reply", i, one.wire.handed_over()));
            for (const auto& [number, pause] : one.pauses)
                if (is_worth_a_look(pause)) actions.push_back(named("pause", i, number));
        }
        const bool done = actions.empty();
        // What may happen or not.
        for (std::size_t i = 0; i < replicas_.size(); ++i) {
            const Replica& one = *replicas_[i];
            if (setting_.may_die && !faulted_) actions.push_back(named("die", i));
            if (!one.dead && !one.tending && one.tended < 2 && one.cache->wants_tending())
                actions.push_back(named("tend", i, one.tended));
        }
        if (setting_.may_expire && !expired_ && held_lease()) actions.push_back("expire");
        if (setting_.may_lose_connection && !faulted_) actions.push_back("reconnect");
        if (setting_.may_lose_redis && !faulted_) actions.push_back("lose");
        if (replicas_[0]->wire.has_late()) actions.push_back("late");
        if (done) actions.push_back("end");
        return actions;
    }

    Footprint perform(const std::string& action) override
    {
        if (++steps_ > steps_limit) violation_ = "it does not end";
        touched_ = {};
        const std::string what = action.substr(0, action.find(' '));
        std::size_t which = 0;
        int number = 0;
        if (what != action) {
            which = static_cast<std::size_t>(std::stoi(action.substr(what.size() + 1)));
            if (const std::size_t at = action.find('#'); at != std::string::npos)
                number = std::stoi(action.substr(at + 1));
        }
        if (what == "read") {
            touched_.reads |= history;
            touch(setting_.readers[which]);
            readers_[which].begun = true;
            start(run_reader(which));
        } else if (what == "purge") {
            touch(setting_.purger);
            purge_begun_ = true;
            start(run_purge(*replicas_[setting_.purger]));
        } else if (what == "backend") {
            Replica& replica = *replicas_[which];
            Replica::Call call = replica.asked.extract(number).mapped();
            (call.writes ? touched_.writes : touched_.reads) |= backend_data;
            touch(which);
            call.question->answer.emplace(call.writes ? ++backend_version_ : backend_version_);
            replica.answered.emplace(number, std::move(call));
        } else if (what == "answer") {
            touch(which);
            replicas_[which]->answered.extract(number).mapped().question->answered.wake();
        } else if (what == "redis") {
            const bool wrote = replicas_[which]->wire.carry_out();
            (wrote ? touched_.writes : touched_.reads) |= redis_data;
            touched_.writes |= first_actor << (replicas_limit + which);  // the wire; its other end is the replica
            if (setting_.at_once) {
                touch(which);
                replicas_[which]->wire.hand_over();
            }
        } else if (what == "reply") {
            touch(which);
            replicas_[which]->wire.hand_over();
        } else if (what == "pause") {
            touch(which);
            touched_.reads |= redis_data;  // whether it is worth a look
            Replica& replica = *replicas_[which];
            const Replica::Pause pause = replica.pauses.extract(number).mapped();
            replica.now = std::max(replica.now, pause.end);
            wake(*pause.over, true);
        } else if (what == "tend") {
            touch(which);
            ++replicas_[which]->tended;
            start_tending(*replicas_[which]);
        } else {
            touched_.writes = ~0u;
            fault(what, which);
        }
        settle();
        return touched_;
    }

    std::string judge() override
    {
        if (!violation_.empty()) return violation_;
        for (std::size_t i = 0; i < readers_.size(); ++i)
            if (!readers_[i].answered && !through(i).dead) return named("for ever waits reader", i);
        if (held_lease() && !faulted_) return "a lease is left that nobody ends";
        if (faulted_ || expired_ || setting_.patience != for_ever) return {};
        for (const auto& [generation, count] : fetches_)
            if (setting_.answers == Answers::storable && count > 1)
                return std::to_string(count) + " fetches of generation " + std::to_string(generation);
        if (setting_.answers == Answers::storable && setting_.purge != Purge::write && alone_count_ != 0)
            return "a reader went alone";
        return {};
    }

  private:
    struct Reader {
        bool begun = false, answered = false;
    };

    static std::string named(const std::string& what, std::size_t which) { return what + " " + std::to_string(which); }
    template <class Number>
    static std::string named(const std::string& what, std::size_t which, Number number)
    {
        return named(what, which) + "#" + std::to_string(number);
    }
    Replica& through(std::size_t reader) const { return *replicas_[setting_.readers[reader]]; }
    void touch(std::size_t i) { touched_.writes |= first_actor << i; }
    bool held_lease() const
    {
        const auto held = redis_.data.leases.find(key);
        return held != redis_.data.leases.end() && held->second != FakeRedis::uncacheable;
    }
    /// Who is patient for ever sees nothing new until Redis has changed.
    bool is_worth_a_look(const Replica::Pause& pause) const
    {
        if (setting_.patience != for_ever) return true;
        const auto held = redis_.data.leases.find(key);
        const bool same = held != redis_.data.leases.end() && held->second == pause.holder;
        return !same || redis_.data.counter != pause.counter;
    }

    void settle()
    {
        context_.restart();
        context_.poll();
    }
    template <class T>
    static void wake(Question<T>& question, T answer)
    {
        if (!question.answer) question.answer.emplace(answer);
        question.answered.wake();
    }
    template <class T>
    void start(asio::awaitable<T> task)
    {
        asio::co_spawn(context_, std::move(task), [](std::exception_ptr failure, auto&&...) {
            if (failure) std::rethrow_exception(failure);
        });
    }
    void start_tending(Replica& replica)
    {
        auto tend = [](Replica& one) -> asio::awaitable<void> {
            one.tending = true;
            co_await one.cache->tend();
            one.tending = false;
        };
        start(tend(replica));
    }
    void run_wire(Replica& replica)
    {
        settle();
        while (replica.wire.has_command() || replica.wire.has_reply()) {
            if (replica.wire.has_command()) replica.wire.carry_out();
            replica.wire.hand_over();
            settle();
        }
    }

    asio::awaitable<int> ask_backend(Replica& replica, bool writes)
    {
        if (over_) co_return 0;
        auto question = std::make_shared<Question<int>>(context_);
        replica.asked.emplace(replica.calls_count++, Replica::Call{writes, question});
        co_return co_await answer_to(question);
    }

    // --- the first replica asks without a coroutine, as far as that does ---------------------------------------------

    bool goes_without(const Replica& replica) const { return &replica == replicas_.front().get(); }

    asio::awaitable<Found> find(Replica& replica)
    {
        if (goes_without(replica)) return find_at_once(context_, *replica.cache, key, no_variant_);
        return replica.cache->find(key, no_variant_, wall_now());
    }
    asio::awaitable<Leased> ask_for_lease(Replica& replica, FillLease& lease, LogToken token, rules::WallTime seen)
    {
        if (goes_without(replica)) return lease_at_once(context_, *replica.cache, lease, token, seen);
        return replica.cache->lease(lease, token, seen);
    }
    asio::awaitable<NotStored> store(Replica& replica, std::shared_ptr<Entry> entry, LogToken token, FillLease& lease)
    {
        if (goes_without(replica)) return store_at_once(context_, *replica.cache, std::move(entry), token, lease);
        return replica.cache->store(std::move(entry), token, &lease);
    }

    // --- a request, as run_exchange and FillReader have it ----------------------------------------------------------

    asio::awaitable<void> run_reader(std::size_t i)
    {
        Replica& replica = through(i);
        const int owed = acknowledged_version_;
        for (int tries = 0; tries < 3; ++tries) {
            const Found found = co_await find(replica);
            if (over_) co_return;
            if (found.kind == Found::Kind::hit)
                co_return end_read(i, std::stoi(std::string(found.entry->body())), owed);
            if (found.kind == Found::Kind::marked) break;
            if (found.kind == Found::Kind::away) break;
            if (replica.fills.uncacheable(key, replica.now) != NotStored::none) break;
            const auto joinable = [&](const Fill& fill) {
                return setting_.without == Without::check_of_joins || !replica.cache->voided_since(key, fill.token);
            };
            const auto make = [&] { return std::make_shared<Fill>(key, key, found.token); };
            const Fills::Joined joined = replica.fills.join_or_begin(key, joinable, make);
            const auto taken_over = std::make_shared<int>(0);
            if (joined.begun) start(run_fill(replica, joined.fill, found.voided, taken_over));
            for (;;) {
                const Fill::State state = joined.fill->look(UINT64_MAX).state;
                if (state != Fill::State::waiting) break;
                WakeUp waiter(context_);
                if (joined.fill->subscribe(waiter, state)) co_await waiter.wait();
                joined.fill->unsubscribe(waiter);
            }
            if (over_) co_return;
            const Fill::View view = joined.fill->look(UINT64_MAX);
            if (view.state == Fill::State::complete)
                co_return end_read(i, std::stoi(std::string(view.whole->body())), owed);
            if (view.state == Fill::State::failed) co_return end_read(i, INT_MAX, owed);  // 502: no version at all
            if (view.state == Fill::State::released && *taken_over != 0) co_return end_read(i, *taken_over, owed);
            if (view.state == Fill::State::released) break;
        }
        ++alone_count_;
        const int version = co_await ask_backend(replica, false);
        end_read(i, version, owed);
    }
    void end_read(std::size_t i, int version, int owed)
    {
        if (over_) return;
        readers_[i].answered = true;
        if (version < owed)
            violation_ = "a read begun after the purge of version " + std::to_string(owed) +
                         " was acknowledged gave version " + std::to_string(version);
    }

    // --- a fill, as run_fill and may_fetch have it ------------------------------------------------------------------

    asio::awaitable<void> run_fill(Replica& replica, std::shared_ptr<Fill> fill, rules::WallTime seen,
                                   std::shared_ptr<int> taken_over)
    {
        FillLease lease{key, no_variant_, {}};
        NotStored told = NotStored::none;
        const bool fetches = co_await may_fetch(replica, *fill, lease, seen);
        if (fetches) {
            ++fetches_[generation_of(fill->token)];
            const int version = co_await ask_backend(replica, false);
            if (over_ || setting_.answers == Answers::failures) {
                fill->fail(Errc::upstream_closed);
            } else if (setting_.answers == Answers::uncacheable) {
                told = NotStored::is_private;
                replica.fills.remember_uncacheable(key, told, replica.now + 5s);
                *taken_over = version;
                fill->release(told, nullptr);
            } else {
                std::shared_ptr<Entry> entry = fake_entry(key, std::to_string(version));
                const bool fenced = replica.cache->voided_since(key, fill->token);
                fill->complete(entry, 0, false, fenced ? NotStored::fenced : NotStored::none);
                if (!fenced) co_await store(replica, entry, fill->token, lease);
            }
        }
        replica.fills.end(*fill);
        if (lease.owner.empty() && told == NotStored::none) co_return;
        if (setting_.without == Without::release) co_return;
        co_await replica.cache->release(lease, told, 5s);
    }

    asio::awaitable<bool> may_fetch(Replica& replica, Fill& fill, FillLease& lease, rules::WallTime seen)
    {
        using Step = LeaseWait::Step;
        if (setting_.without == Without::lease) co_return true;
        const bool endless = setting_.without == Without::end_of_wait;
        LeaseWait wait(replica.now + (endless ? for_ever : setting_.patience), false);
        Leased leased;
        const auto overtaken = [&] {
            return setting_.without != Without::notice_of_purge && replica.cache->voided_since(key, fill.token);
        };
        for (Step step = wait.begin(overtaken());;) {
            if (over_) {
                fill.fail(Errc::upstream_closed);
                co_return false;
            }
            switch (step) {
            case Step::ask:
                leased = co_await ask_for_lease(replica, lease, fill.token, seen);
                step = wait.on_lease(leased.kind, overtaken(), replica.now);
                break;
            case Step::read: {
                const Found found = co_await replica.cache->find_in_store(key, no_variant_, wall_now());
                const bool settles = found.kind == Found::Kind::hit || found.kind == Found::Kind::marked ||
                                     found.kind == Found::Kind::away;
                seen = leased.stored;
                step = wait.on_read(settles, overtaken());
                break;
            }
            case Step::pause: {
                auto over = std::make_shared<Question<bool>>(context_);
                replica.pauses.emplace(replica.pauses_count++,
                                       Replica::Pause{replica.now + wait.pause(), leased.holder, leased.counter, over});
                co_await answer_to(over);
                const LeaseNow now = co_await replica.cache->look_at_lease(lease, leased.holder);
                step = wait.on_look(now, overtaken(), replica.now);
                break;
            }
            case Step::fetch: co_return true;
            case Step::look_again:
                replica.fills.end(fill);
                fill.leave_to_others(wait.has_waited());
                co_return false;
            case Step::release:
                replica.fills.remember_uncacheable(key, leased.reason, replica.now + leased.left);
                fill.release_all(leased.reason);
                co_return false;
            }
        }
    }
    /// How many records that void the key it has behind it.
    std::size_t generation_of(LogToken token) const
    {
        std::size_t count = 0;
        for (const Record& record : redis_.data.records)
            if (record.type != RecordType::init && record.position <= token.position) ++count;
        return count;
    }

    // --- purges and faults ------------------------------------------------------------------------------------------

    asio::awaitable<void> run_purge(Replica& replica)
    {
        WritePurge write;
        write.targets.push_back({setting_.purged, setting_.purged == key});
        int version = 0;
        if (setting_.purge == Purge::single) {  // by hand: the app has changed already
            touched_.writes |= backend_data;
            version = ++backend_version_;
        } else {
            const Errc prepared = co_await replica.cache->prepare(write);
            if (prepared != Errc::ok) {
                co_await replica.cache->withdraw(write);
                co_return;
            }
            version = co_await ask_backend(replica, true);
        }
        const Errc committed = co_await replica.cache->commit(write);
        if (over_ || committed != Errc::ok) co_return;
        touched_.writes |= history;
        acknowledged_version_ = version;
    }

    void fault(const std::string& what, std::size_t which)
    {
        if (what == "end") {
            ended_ = true;
        } else if (what == "expire") {
            expired_ = true;
            redis_.data.leases.erase(key);
        } else if (what == "late") {
            replicas_[0]->wire.carry_out_late();
        } else {
            faulted_ = true;
            if (what == "die") {
                replicas_[which]->dead = true;
                replicas_[which]->wire.orphan();
            } else if (what == "reconnect") {
                replicas_[0]->wire.reconnect();
            } else {
                for (const auto& replica : replicas_) replica->wire.close();
            }
        }
    }

    static constexpr int steps_limit = 200;
    const Setting setting_;
    const std::string no_variant_;
    asio::io_context context_{1};
    Tasks tasks_;
    FakeRedis redis_;
    std::vector<std::unique_ptr<Replica>> replicas_;
    std::vector<Reader> readers_;
    std::map<std::size_t, int> fetches_;  // of fills, by generation
    Footprint touched_;
    int backend_version_ = 1, acknowledged_version_ = 1, alone_count_ = 0, steps_ = 0;
    bool purge_begun_ = false, faulted_ = false, expired_ = false, ended_ = false, over_ = false;
    std::string violation_;
};

Explored explore(const Setting& setting, std::size_t limit)
{
    Explorer explorer([&]() -> std::unique_ptr<Story> { return std::make_unique<Play>(setting); });
    Explored explored = explorer.run(limit);
    if (!explored.complete) explorer.sample(explored, limit / 4);
    return explored;
}

std::string told(const Explored& explored)
{
    std::string text = explored.violation;
    for (const std::string& action : explored.order) (text += text.empty() ? "" : " > ") += action;
    return text;
}

std::vector<Setting> stories()
{
    std::vector<Setting> all;
    Setting two;
    two.why = "two replicas miss one key";
    all.push_back(two);

    Setting three = two;
    three.why = "three replicas miss one key";
    three.readers = {0, 1, 2};
    three.at_once = true;
    all.push_back(three);

    for (const std::string& purged : {key, std::string("item:*")})
        for (const Purge purge : {Purge::single, Purge::write}) {
            Setting beside = two;
            beside.why = "a purge beside them";
            beside.purge = purge;
            beside.purged = purged;
            beside.at_once = true;
            all.push_back(beside);

            beside.why = "a purge beside two readers of one replica and one of another";
            beside.readers = {0, 0, 1};
            all.push_back(beside);

            beside.why = "a purge beside them, and one of the replicas dies";
            beside.readers = {0, 1};
            beside.patience = 5ms;
            beside.may_die = true;
            all.push_back(beside);

            beside.why = "a purge beside them, and Redis goes away";
            beside.may_die = false;
            beside.may_lose_redis = true;
            all.push_back(beside);
        }

    Setting hasty = two;
    hasty.why = "they wait for a short time only";
    hasty.patience = 15ms;
    all.push_back(hasty);

    Setting dies = hasty;
    dies.why = "one of the replicas dies";
    dies.may_die = true;
    all.push_back(dies);

    Setting expires = hasty;
    expires.why = "the lease expires";
    expires.readers = {0, 1, 2};
    expires.patience = 5ms;
    expires.at_once = true;
    expires.may_expire = true;
    all.push_back(expires);

    Setting reconnects = hasty;
    reconnects.why = "a replica loses its connection, and what it had sent comes late";
    reconnects.patience = 5ms;
    reconnects.may_lose_connection = true;
    all.push_back(reconnects);

    Setting away = reconnects;
    away.why = "Redis goes away";
    away.may_lose_connection = false;
    away.may_lose_redis = true;
    all.push_back(away);

    for (const Answers answers : {Answers::uncacheable, Answers::failures}) {
        Setting gives_nothing = two;
        gives_nothing.why = answers == Answers::failures ? "the app fails" : "the answer turns out uncacheable";
        gives_nothing.answers = answers;
        all.push_back(gives_nothing);

        gives_nothing.why += ", three replicas";
        gives_nothing.readers = {0, 1, 2};
        gives_nothing.at_once = true;
        all.push_back(gives_nothing);

        gives_nothing.why += ", and a purge";
        gives_nothing.readers = {0, 1};
        gives_nothing.purge = Purge::single;
        all.push_back(gives_nothing);
    }
    return all;
}

/// How many orders of a story are run at most; where those are not all, a quarter as many chosen by dice.
std::size_t orders_limit()
{
    constexpr std::size_t all = 2'000;
#ifdef __SANITIZE_THREAD__
    return 100;  // one thread: there is nothing to find
#endif
    const char* scale = std::getenv("LARDER_TEST_SCALE");
    return all / static_cast<std::size_t>(std::max(1, scale ? std::atoi(scale) : 1));
}

}  // namespace

TEST_CASE(
    "in no order of replicas that miss one key, a purge and a fault does anybody wait for ever, read an old answer, "
    "fetch what another fetches already, or keep a lease")
{
    std::size_t orders = 0;
    for (const Setting& setting : stories()) {
        CAPTURE(setting.why);
        CAPTURE(setting.purged);
        const Explored explored = explore(setting, orders_limit());
        orders += explored.orders;
        INFO(told(explored));
        CHECK(explored.violation.empty());
        CHECK(explored.orders > 1);
        MESSAGE(setting.why << ", purge of " << setting.purged << ": " << explored.orders << " orders"
                            << (explored.complete ? ", all there are" : ""));
    }
    MESSAGE(orders << " orders in all");
}

TEST_CASE("without any one part of the lease some order breaks one of its promises")
{
    Setting two;
    Setting purged = two;
    purged.purge = Purge::single;
    purged.at_once = true;
    Setting joined = purged;
    joined.readers = {0, 0};
    joined.purger = 0;
    Setting dies = two;
    dies.patience = 15ms;
    dies.may_die = true;
    Setting fails = two;
    fails.answers = Answers::failures;
    const struct {
        Without without;
        Setting setting;
        std::string violation;
    } rows[] = {
        {Without::lease, two, "fetches of generation"},
        {Without::release, fails, "for ever waits reader"},
        {Without::end_of_wait, dies, "it does not end"},
        {Without::notice_of_purge, purged, "fetches of generation"},
        {Without::check_of_joins, joined, "a read begun after the purge"},
    };
    for (const auto& row : rows) {
        Setting setting = row.setting;
        setting.without = row.without;
        const Explored explored = explore(setting, 20'000);
        CAPTURE(row.violation);
        MESSAGE(told(explored));
        CHECK(explored.violation.find(row.violation) != std::string::npos);
    }
}
