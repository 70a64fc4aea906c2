#include "proxy/store/redis_store.hpp"

#include <doctest/doctest.h>

#include "proxy/coherence/log_names.hpp"
#include "proxy/coherence/redis_log.hpp"
#include "tests/unit/proxy/sidecar.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace larder::proxy::test;
using namespace std::chrono_literals;
using rules::Errc;
using rules::NotStored;

TEST_CASE("what is put is got, with the position up to which the log was known, until it expires")
{
    RedisServer server;
    Sidecar one(server);
    const Position start = one.init().position;
    std::string body;
    for (int i = 0; i < 256; ++i) body += static_cast<char>(i);
    std::string large;
    while (large.size() < (1u << 20)) large += body;
    const std::string long_key(3000, 'k');

    CHECK_FALSE(one.get("a").entry);
    CHECK(one.get("a").counter == start);
    CHECK(one.get("a").connection == 1);
    struct Row {
        const char* why;
        std::string key;
        std::string variant;
        std::string body;
    };
    const Row rows[] = {
        {"a plain entry", "a", "", "hello"},
        {"a variant beside it", "a", "0123456789abcdef", "hallo"},
        {"any bytes", "b", "", body},
        {"a megabyte", "c", "", large},
        {"a key that is named by its hash", long_key, "", "long"},
        {"a variant of such a key", long_key, "0123456789abcdef", "longer"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK(one.put(make_entry(row.key, row.body, row.variant), start) == NotStored::none);
    }
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const StoreRead read = one.get(row.key, row.variant);
        REQUIRE(read.entry);
        CHECK(read.entry->body() == row.body);
        CHECK(read.entry->key == row.key);
        CHECK(read.entry->position.load() == start);
        CHECK(read.counter == start);
    }
    const auto ttl = server.admin({"PTTL", one.keys.entry("a")}).integer;
    CHECK(ttl > 50'000);
    CHECK(ttl <= 60'000);
    CHECK(server.admin({"DBSIZE"}).integer == 6 + 4);  // entries; counter, stream, patterns and layout
    CHECK(one.purge({"of others"}, {}).position > start);
    CHECK(one.put(make_entry("a", "new"), start) == NotStored::none);
    CHECK(one.get("a").entry->position.load() == start);
}

TEST_CASE("values of others are misses and counted")
{
    RedisServer server;
    Sidecar one(server);
    one.init();
    CHECK(one.put(make_entry("a", "hello"), one.get("a").counter) == NotStored::none);
    const std::string good = server.admin_text({"GET", one.keys.entry("a")});
    server.admin({"SET", one.keys.entry("b"), good});
    server.admin({"SET", one.keys.entry("c"), "nonsense"});
    server.admin({"SET", one.keys.entry("d"), good.substr(0, good.size() - 1)});
    server.admin({"LPUSH", one.keys.entry("e"), "list"});
    server.admin({"SET", one.keys.entry("a"), std::string(16, '9') + good.substr(16)});  // it would outlive each purge
    for (const char* key : {"a", "b", "c", "d", "e"}) CHECK_FALSE(one.get(key).entry);
    CHECK(one.loop.counters.get(Counter::store_malformed) == 4);
    CHECK(one.put(make_entry("a", "mine again"), one.get("a").counter) == NotStored::none);
    CHECK(one.get("a").entry->body() == "mine again");
    CHECK(one.put(make_entry("e", "now mine"), one.get("e").counter) == NotStored::none);
    CHECK(one.get("e").entry->body() == "now mine");
}

TEST_CASE("a put is refused when the log speaks against it")
{
    RedisServer server;
    Sidecar one(server), two(server);
    CHECK(one.put(make_entry("a", "x"), 1) == NotStored::log_gap);  // no log yet
    const Position token = one.init().position;

    SUBCASE("fenced: an exact purge came in between")
    {
        two.purge({"a"}, {});
        CHECK(one.put(make_entry("a", "x"), token) == NotStored::fenced);
        CHECK(one.put(make_entry("b", "x"), token) == NotStored::none);
    }
    SUBCASE("fenced: a pattern came in between")
    {
        struct Row {
            const char* pattern;
            const char* key;
            bool matches;
        };
        const Row rows[] = {
            {"*", "items:1", true},         {"items:*", "items:1", true},    {"items:?", "items:1", true},
            {"items:?", "items:12", false}, {"*:1", "items:1", true},        {"*1*1", "1:1", true},
            {"*1*1", "1", false},           {"items:\\*", "items:1", false}, {"items:\\*", "items:*", true},
            {"a*b*c", "a/b/b/c", true},     {"a*b*c", "a/b/b", false},       {"", "a", false},
            {"\\?*", "?x", true},           {"\\?*", "xx", false},           {"a\\", "a\\", true},
        };
        Position at = token;
        for (const Row& row : rows) {
            CAPTURE(row.pattern);
            CAPTURE(row.key);
            const Position next = two.purge({}, {row.pattern}).position;
            CHECK(one.put(make_entry(row.key, "x"), at) == (row.matches ? NotStored::fenced : NotStored::none));
            at = next;
        }
    }
    SUBCASE("fenced: a purge of one of its groups came in between, by its very name")
    {
        two.purge({}, {"{group}h:sale", "{group}*"});
        const auto grouped = [](std::string key, std::vector<std::string> groups) {
            auto entry = make_entry(std::move(key), "x");
            entry->groups = std::move(groups);
            return entry;
        };
        CHECK(one.put(grouped("a", {"{group}h:new", "{group}h:sale"}), token) == NotStored::fenced);
        CHECK(one.put(grouped("b", {"{group}h:new"}), token) == NotStored::none);
        CHECK(one.get("b").entry->groups == std::vector<std::string>{"{group}h:new"});
    }
    SUBCASE("fenced: a long key was purged, by its digest or, by an older version, in full; and a long group")
    {
        const std::string x(5000, 'x');
        auto grouped = make_entry("grouped", "x");
        grouped->groups = {"{group}h:" + x};
        const Position second = two.purge({key_in_log(x)}, {pattern_in_log("{group}h:" + x)}).position;
        CHECK(one.put(make_entry(x, "x"), token) == NotStored::fenced);
        CHECK(one.put(grouped, token) == NotStored::fenced);
        CHECK(one.put(make_entry(x + "x", "x"), token) == NotStored::none);
        const Position third = two.purge({x}, {"{group}h:" + x}).position;
        CHECK(one.put(make_entry(x, "x"), second) == NotStored::fenced);
        CHECK(one.put(grouped, second) == NotStored::fenced);
        CHECK(one.put(make_entry(x, "x"), third) == NotStored::none);
        two.purge({key_in_log(x)}, {});
        CHECK_FALSE(one.get(x).entry);
        CHECK(one.get(x + "x").entry);
    }
    SUBCASE("newer: another sidecar has stored a later answer")
    {
        const Position later = two.purge({"other"}, {}).position;
        CHECK(two.put(make_entry("a", "new"), later) == NotStored::none);
        CHECK(one.put(make_entry("a", "old"), token) == NotStored::newer);
        CHECK(one.get("a").entry->body() == "new");
    }
    SUBCASE("gap: records are missing")
    {
        two.purge({"other"}, {});
        server.admin({"DEL", one.keys.stream()});
        CHECK(one.put(make_entry("a", "x"), token) == NotStored::log_gap);
    }
    SUBCASE("gap: the floor was raised")
    {
        server.admin({"DEL", one.keys.patterns()});
        two.init();
        CHECK(one.put(make_entry("a", "x"), token) == NotStored::log_gap);
    }
    SUBCASE("nolog: the counter is gone")
    {
        server.admin({"DEL", one.keys.counter()});
        CHECK(one.put(make_entry("a", "x"), token) == NotStored::log_gap);
        CHECK(one.get("a").counter == 0);
    }
    SUBCASE("an entry that has expired on the way is not sent")
    {
        auto entry = make_entry("a", "x");
        entry->expires = wall_now() - 1s;
        CHECK(one.put(entry, token) == NotStored::store_failed);
    }
    const Reply left = server.admin({"KEYS", "t:{0}:n:*"});  // of what was sent ahead
    REQUIRE(left.is_array());
    CHECK(left.elements.empty());
}

TEST_CASE("a full Redis takes no entry, keeps nothing of it, and the next one is stored when there is room")
{
    RedisServer server;
    Sidecar one(server);
    const Position at = one.init().position;
    FillLease mine{"a", "", "one-1@5"};
    REQUIRE(one.lease(mine).kind == Leased::Kind::ours);
    server.admin({"CONFIG", "SET", "maxmemory", "1"});
    CHECK(one.put(make_entry("a", "x"), at, mine) == NotStored::store_failed);
    CHECK(one.loop.counters.get(Counter::store_errors) == 1);
    CHECK(one.holder("a").empty());
    CHECK(one.loop.wait(one.store.lease({"b", "", "one-2@5"}, {}, "")).error() == Errc::store_refused);
    CHECK(one.loop.counters.get(Counter::store_errors) == 2);
    server.admin({"CONFIG", "SET", "maxmemory", "0"});
    CHECK(server.admin({"DBSIZE"}).integer == 4);  // counter, stream, patterns and layout
    CHECK(one.put(make_entry("a", "x"), at, mine) == NotStored::none);
    CHECK(one.get("a").entry->body() == "x");
}

TEST_CASE("a server that has forgotten the scripts is told them, and finds the entry that was sent ahead")
{
    RedisServer server;
    Sidecar one(server);
    const Position at = one.init().position;
    CHECK(one.put(make_entry("a", "x"), at) == NotStored::none);
    server.admin({"SCRIPT", "FLUSH"});
    CHECK(one.put(make_entry("a", "new"), at) == NotStored::none);
    CHECK(one.get("a").entry->body() == "new");
    CHECK(one.loop.counters.get(Counter::store_errors) == 0);
}

TEST_CASE("where Larder may not run its scripts, or not all that is in them, no entry stays that was sent ahead")
{
    RedisServer server;
    Sidecar one(server);
    const Position at = one.init().position;
    for (const std::string command : {"evalsha", "rename"}) {
        CAPTURE(command);
        server.admin({"ACL", "SETUSER", "larder", "-" + command});
        CHECK(one.put(make_entry("a", "x"), at) == NotStored::store_failed);
        CHECK_FALSE(one.get("a").entry);               // answered after what the put had sent last
        CHECK(server.admin({"DBSIZE"}).integer == 4);  // counter, stream, patterns and layout
        server.admin({"ACL", "SETUSER", "larder", "+" + command});
        CHECK(one.put(make_entry("b", "x"), at) == NotStored::none);
        server.admin({"DEL", one.keys.entry("b")});
    }
}

TEST_CASE("an exact purge removes the entry, a pattern leaves it to the reader")
{
    RedisServer server;
    Sidecar one(server), two(server);
    Position at = one.init().position;
    CHECK(one.put(make_entry("a", "x"), at) == NotStored::none);
    CHECK(one.put(make_entry("b", "x"), at) == NotStored::none);
    const Appended exact = two.purge({"a"}, {});
    CHECK(exact.previous == at);
    CHECK(exact.position > at);
    const Appended pattern = two.purge({}, {"b*"});
    CHECK(pattern.previous == exact.position);
    CHECK_FALSE(one.get("a").entry);
    const StoreRead read = one.get("b");
    REQUIRE(read.entry);
    CHECK(read.entry->position.load() < read.counter);
    CHECK(read.counter == pattern.position);
}

TEST_CASE("scripts that the server has forgotten are sent again")
{
    RedisServer server;
    Sidecar one(server);
    one.init();
    for (int i = 0; i < 2; ++i) {
        CHECK(server.admin_text({"SCRIPT", "FLUSH"}) == "OK");
        const Position at = one.purge({"x"}, {"y*"}).position;
        CHECK(server.admin_text({"SCRIPT", "FLUSH"}) == "OK");
        CHECK(one.put(make_entry("a", "x"), at) == NotStored::none);
        CHECK(server.admin_text({"SCRIPT", "FLUSH"}) == "OK");
        CHECK(one.init().position == at);
    }
    CHECK(one.loop.counters.get(Counter::store_errors) == 0);
}

TEST_CASE("without a connection a get and a put fail at once")
{
    RedisServer server;
    Sidecar one(server);
    one.init();
    server.stop();
    REQUIRE(one.loop.run_until([&] { return one.loop.link.connection() == 0; }));
    CHECK(one.loop.wait(one.store.get("a", "")).error() == Errc::store_unreachable);
    CHECK(one.put(make_entry("a", "x"), 1) == NotStored::store_failed);
    CHECK(one.loop.wait(one.store.lease({"a", "", "one-1@5"}, {}, "")).error() == Errc::store_unreachable);
    CHECK(one.loop.wait(one.store.look_at_lease("a", "")).error() == Errc::store_unreachable);
    CHECK(one.loop.wait(one.store.release({"a", "", "one-1@5"}, NotStored::none, 5s)) == Errc::store_unreachable);
    CHECK(one.loop.counters.get(Counter::store_gets) == 0);
    CHECK(one.loop.counters.get(Counter::store_puts) == 0);
    CHECK(one.log.connection() == 0);
    CHECK(one.loop.wait(one.log.look()).error() == Errc::store_unreachable);
    CHECK(one.loop.wait(one.log.init()).error() == Errc::store_unreachable);
    CHECK(one.loop.wait(one.log.records_after(1)).error() == Errc::store_unreachable);
}

TEST_CASE("key names follow the layout")
{
    const Keyspace keys("shop");
    CHECK(keys.counter() == "shop:{0}:q");
    CHECK(keys.stream() == "shop:{0}:s");
    CHECK(keys.patterns() == "shop:{0}:p");
    CHECK(keys.entry("a:1") == "shop:{0}:e:a:1");
    CHECK(keys.entry("a:1", "00ff") == "shop:{0}:e:a:1\n00ff");
    CHECK(keys.lease("a:1") == "shop:{0}:l:a:1");
    CHECK(keys.entry(std::string(1024, 'k')) == "shop:{0}:e:" + std::string(1024, 'k'));
    // printf 'k%.0s' {1..1025} | sha256sum
    const std::string hashed = keys.entry(std::string(1025, 'k'));
    CHECK(hashed.size() == std::string("shop:{0}:e:#").size() + 64);
    CHECK(keys.entry(std::string(1025, 'k'), "00ff") == hashed + "\n00ff");
}
