// Twelve shards on two real servers: what goes where, and what one server's absence takes away.
#include <doctest/doctest.h>

#include "proxy/coherence/coherent_cache.hpp"
#include "proxy/coherence/redis_log.hpp"
#include "proxy/store/redis_store.hpp"
#include "tests/unit/proxy/redis_server.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace larder::proxy::test;
using namespace std::chrono_literals;
using rules::Errc;
using rules::NotStored;

namespace {

constexpr std::size_t shards_count = 12;

/// A process with one worker. Even shards live on one server, odd ones on the other.
class Process {
  public:
    Process(const RedisServer& even, const RedisServer& odd, std::size_t shards = shards_count,
            CacheOptions options = {})
        : loop_(store_at(even)),
          odd_topology_(make_topology(loop_.context, loop_.wheel, store_at(odd), nullptr, loop_.counters, 1)),
          odd_link_(loop_.context, loop_.wheel, store_at(odd), nullptr, loop_.counters, odd_topology_->locator(0)),
          state(shards)
    {
        asio::co_spawn(loop_.context, odd_link_.run(), [this](std::exception_ptr) { odd_ended_ = true; });
        for (std::size_t i = 0; i < shards; ++i) {
            Link& link = i % 2 == 0 ? loop_.link : odd_link_;
            parts_.push_back(std::make_unique<Part>(link, Keyspace("t", i, shards)));
        }
        std::vector<ShardLink> links;
        for (const auto& part : parts_) links.push_back({part->log, &part->store});
        cache = std::make_unique<CoherentCache>(tasks_, memory, links, state, loop_.counters, options);
    }
    ~Process()
    {
        odd_link_.stop();
        loop_.run_until([this] { return odd_ended_; });
    }

    void connect()
    {
        REQUIRE(loop_.run_until([this] { return loop_.link.is_up() && odd_link_.is_up(); }));
        tend();
    }
    void lose_odd()
    {
        REQUIRE(loop_.run_until([this] { return !odd_link_.is_up(); }));
    }
    void tend() { loop_.wait(and_then(cache->tend())); }
    Found find(const std::string& key) { return loop_.wait(cache->find(key, "", wall_now())); }
    NotStored store(const std::string& key, const std::string& body, LogToken token)
    {
        auto entry = std::make_shared<Entry>();
        entry->key = key;
        entry->times.stored = wall_now();
        entry->times.lifetime = 60s;
        entry->expires = wall_now() + 60s;
        entry->head = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
        entry->set_body(body);
        return loop_.wait(cache->store(std::move(entry), token));
    }
    void fill(const std::string& key)
    {
        const Found found = find(key);
        REQUIRE(found.kind == Found::Kind::none);
        CHECK(store(key, "body of " + key, found.token) == NotStored::none);
    }
    WritePurge write(std::vector<rules::PurgeTarget> targets)
    {
        WritePurge purge;
        purge.targets = std::move(targets);
        return purge;
    }
    Errc prepare(WritePurge& purge) { return loop_.wait(cache->prepare(purge)); }
    Errc commit(WritePurge& purge) { return loop_.wait(cache->commit(purge)); }
    void withdraw(WritePurge& purge) { loop_.wait(and_then(cache->withdraw(purge))); }
    std::uint64_t count(Counter counter) const { return loop_.counters.get(counter); }
    std::int64_t open_marks() const { return loop_.counters.open_marks; }

    static std::size_t shard_of(const std::string& key) { return Keyspace::shard_of(key, shards_count); }
    /// A key of an even or an odd shard.
    static std::string key_in(bool odd)
    {
        for (int i = 0;; ++i) {
            std::string key = "item:" + std::to_string(i);
            if ((shard_of(key) % 2 == 1) == odd) return key;
        }
    }

  private:
    struct Part {
        Part(Link& link, Keyspace k) : keys(std::move(k)), store(link, keys), log(link, keys) {}
        Keyspace keys;
        RedisStore store;
        RedisLog log;
    };
    static asio::awaitable<bool> and_then(asio::awaitable<void> task)
    {
        co_await std::move(task);
        co_return true;
    }

    LinkLoop loop_;
    std::unique_ptr<Topology> odd_topology_;
    Link odd_link_;
    bool odd_ended_ = false;
    Tasks tasks_{loop_.context};
    std::vector<std::unique_ptr<Part>> parts_;

  public:
    MemoryStore memory{1 << 20};
    SharedLogState state;
    std::unique_ptr<CoherentCache> cache;
};

/// Records in the streams of a server's shards, those that INIT writes left out.
std::size_t records_on(const RedisServer& server, bool odd)
{
    std::size_t count = 0;
    for (std::size_t i = odd ? 1 : 0; i < shards_count; i += 2) {
        const auto stream = server.admin({"XRANGE", Keyspace("t", i, shards_count).stream(), "-", "+"});
        for (const Reply& record : stream.elements)
            if (record.elements[1].elements[3].text != "I") ++count;
    }
    return count;
}

const rules::PurgeTarget everything{"*", false};

}  // namespace

TEST_CASE("an exact purge is one record in the shard of its key, a pattern is one in each")
{
    RedisServer even, odd;
    Process process(even, odd);
    process.connect();
    const std::string key = Process::key_in(true);

    WritePurge exact = process.write({{key, true}});
    CHECK(process.commit(exact) == Errc::ok);
    CHECK(records_on(even, false) == 0);
    CHECK(records_on(odd, true) == 1);
    CHECK(exact.positions.size() == 1);

    WritePurge wide = process.write({{"item:*", false}});
    CHECK(process.commit(wide) == Errc::ok);
    CHECK(records_on(even, false) == 6);
    CHECK(records_on(odd, true) == 7);
    CHECK(wide.positions.size() == shards_count);
}

TEST_CASE("a purge by one process is seen by another in every shard, from memory and from Redis")
{
    RedisServer even, odd;
    Process one(even, odd), two(even, odd);
    one.connect();
    two.connect();
    std::vector<std::string> keys;
    for (int i = 0; i < 60; ++i) keys.push_back("item:" + std::to_string(i));
    for (const std::string& key : keys) one.fill(key);
    for (const std::string& key : keys) {
        CHECK(two.find(key).kind == Found::Kind::hit);
        CHECK(two.find(key).from_memory);
    }
    WritePurge wide = one.write({{"item:*", false}});
    REQUIRE(one.prepare(wide) == Errc::ok);
    for (const std::string& key : keys) CHECK(two.find(key).kind == Found::Kind::marked);
    CHECK(two.open_marks() == shards_count);
    REQUIRE(one.commit(wide) == Errc::ok);
    for (const std::string& key : keys) CHECK(two.find(key).kind == Found::Kind::purged);
    CHECK(two.open_marks() == 0);
}

TEST_CASE("a long key is purged in every process, by itself and by a pattern that is cut, and its mark keeps it out")
{
    RedisServer even, odd;
    Process one(even, odd), two(even, odd);
    one.connect();
    two.connect();
    const std::string key = "item:" + std::string(5'000, 'x'), other = "item:" + std::string(5'000, 'y');
    const rules::PurgeTarget exact{key, true}, pattern{key + ":*", false};
    for (const rules::PurgeTarget& target : {exact, pattern}) {
        CAPTURE(target.exact);
        Found found = one.find(key);
        REQUIRE(found.kind != Found::Kind::hit);
        REQUIRE(one.store(key, "old", found.token) == NotStored::none);
        CHECK(two.find(key).kind == Found::Kind::hit);
        const LogToken token = two.find(key).token;
        WritePurge write = two.write({target});
        REQUIRE(two.prepare(write) == Errc::ok);
        // The pattern has become one of everything that begins as it does.
        CHECK(one.find(key).kind == Found::Kind::marked);
        CHECK(two.find(key).kind == Found::Kind::marked);
        CHECK(one.store(key, "old", token) == NotStored::fenced);
        REQUIRE(two.commit(write) == Errc::ok);
        CHECK(one.find(key).kind == Found::Kind::purged);
        CHECK(two.find(key).kind == Found::Kind::purged);
    }
    CHECK(one.find(other).kind == Found::Kind::none);
    CHECK(two.count(Counter::purge_patterns_widened) == 2);  // PREPARE and COMMIT
    CHECK(one.count(Counter::purge_patterns_widened) == 0);
}

TEST_CASE("one node away takes its shards with it and no others, and its part of a purge is replayed before they count")
{
    RedisServer even, odd;
    Process process(even, odd);
    process.connect();
    const std::string here = Process::key_in(false), there = Process::key_in(true);
    process.fill(here);
    process.fill(there);

    odd.stop();
    process.lose_odd();
    CHECK(process.find(here).kind == Found::Kind::hit);
    CHECK(process.find(there).kind == Found::Kind::away);
    CHECK(process.cache->trusted({{here, true}}));
    CHECK_FALSE(process.cache->trusted({{here, true}, {there, true}}));
    CHECK_FALSE(process.cache->trusted({everything}));

    WritePurge wide = process.write({everything});
    CHECK(process.prepare(wide) != Errc::ok);
    CHECK_FALSE(wide.prepared);
    CHECK(process.commit(wide) != Errc::ok);
    CHECK(process.state.deferred_count() == shards_count / 2);
    CHECK(process.count(Counter::purge_deferred) == shards_count / 2);
    CHECK(process.find(here).kind == Found::Kind::purged);  // where it could be, it was done
    process.tend();
    const LogToken token = process.find(here).token;
    CHECK(process.store(here, "new", token) == NotStored::none);

    CHECK(process.count(Counter::log_floor_raises) == shards_count);  // each log began once
    odd.start();
    REQUIRE_NOTHROW(process.connect());
    CHECK(process.count(Counter::log_floor_raises) == shards_count * 3 / 2);
    CHECK(process.state.deferred_count() == 0);
    CHECK(process.count(Counter::purge_replayed) == shards_count / 2);
    CHECK(records_on(odd, true) == shards_count / 2);
    CHECK(process.find(there).kind != Found::Kind::away);
    CHECK(process.find(here).kind == Found::Kind::hit);
}

TEST_CASE("a write that is withdrawn closes the marks that its PREPARE has opened where it could")
{
    RedisServer even, odd;
    Process process(even, odd);
    process.connect();
    odd.stop();
    process.lose_odd();
    WritePurge wide = process.write({everything});
    CHECK(process.prepare(wide) != Errc::ok);
    CHECK(process.open_marks() == shards_count / 2);
    process.withdraw(wide);
    CHECK(process.open_marks() == 0);
    CHECK(process.state.deferred_count() == 0);
}

TEST_CASE("a COMMIT that cannot go out after a PREPARE that did leaves the write fenced")
{
    RedisServer even, odd;
    Process process(even, odd);
    process.connect();
    WritePurge write = process.write({{Process::key_in(true), true}});
    REQUIRE(process.prepare(write) == Errc::ok);
    CHECK(process.cache->fenced(write));
    odd.stop();
    process.lose_odd();
    CHECK(process.commit(write) != Errc::ok);
    CHECK(process.cache->fenced(write));
    // What only the answer has named is under no mark.
    write.targets.push_back({Process::key_in(false), true});
    CHECK_FALSE(process.cache->fenced(write));
}

TEST_CASE("a store laid out for another number of shards is not trusted in any of them, and purges wait")
{
    RedisServer even, odd;
    Process process(even, odd), single(even, even, 1);
    // The one shard of the single layout has the tag of shard 10.
    single.connect();
    single.fill("item:1");
    process.connect();
    CHECK(process.state.foreign());
    CHECK(process.count(Counter::store_layouts_refused) >= 1);
    for (int i = 0; i < 20; ++i) CHECK(process.find("item:" + std::to_string(i)).kind == Found::Kind::away);
    WritePurge write = process.write({{"item:1", true}});
    CHECK(process.commit(write) == Errc::store_layout);
    CHECK(process.state.deferred_count() == 1);
    CHECK(single.find("item:1").kind == Found::Kind::hit);

    even.admin({"DEL", Keyspace("t", 10, shards_count).conf()});
    process.tend();
    CHECK_FALSE(process.state.foreign());
    process.tend();
    CHECK(process.find("item:1").kind != Found::Kind::away);
    CHECK(process.state.deferred_count() == 0);
}

TEST_CASE("within trust looks go out by themselves, twice as often as needed, while memory holds something")
{
    RedisServer even, odd;
    CacheOptions options;
    options.trust = 100ms;
    Process process(even, odd, shards_count, options);
    CHECK(process.cache->tending_pause() == 1s);  // no connection yet
    process.connect();
    CHECK(process.cache->tending_pause() == 1s);
    process.fill("item:1");
    CHECK(process.cache->tending_pause() == 50ms);
    process.memory.clear();
    CHECK(process.cache->tending_pause() == 1s);

    options.trust = 10s;
    Process trusting(even, odd, shards_count, options);
    trusting.connect();
    trusting.fill("item:2");
    CHECK(trusting.cache->tending_pause() == 250ms);
}
