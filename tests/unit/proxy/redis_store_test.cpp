#include "proxy/store/redis_store.hpp"

#include <doctest/doctest.h>

#include "proxy/coherence/log_names.hpp"
#include "proxy/coherence/redis_log.hpp"
#include "proxy/coherence/replica.hpp"
#include "tests/unit/proxy/redis_server.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace larder::proxy::test;
using namespace std::chrono_literals;
using rules::Errc;
using rules::NotStored;

namespace {

/// One sidecar, logged in as the user that `larder acl` prints.
struct Sidecar {
    explicit Sidecar(const RedisServer& server, RedisLogOptions options = {})
        : loop(make_store(server)), keys("t"), store(loop.link, keys), log(loop.link, keys, options)
    {
        if (!loop.connect()) throw std::runtime_error("no connection");
    }
    static config::Store make_store(const RedisServer& server)
    {
        config::Store store = store_at(server);
        use_acl(server, store, "t");
        return store;
    }

    LogSnapshot init() { return loop.wait(log.init()).value(); }
    StoreRead get(std::string key, std::string variant = "")
    {
        return loop.wait(store.get(std::move(key), std::move(variant))).value();
    }
    NotStored put(std::shared_ptr<const Entry> entry, Position token)
    {
        FillLease none{std::string(entry->key), std::string(entry->variant), {}};
        return put(std::move(entry), token, none);
    }
    NotStored put(std::shared_ptr<const Entry> entry, Position token, FillLease& lease)
    {
        return loop.wait(store.put(std::move(entry), token, lease)).refused;
    }
    Leased lease(const FillLease& wanted, rules::WallTime seen = {}, std::string doomed = "")
    {
        return loop.wait(store.lease(wanted, seen, std::move(doomed))).value();
    }
    std::string holder(const std::string& key, const std::string& variant = "")
    {
        return loop.wait(store.look_at_lease(key, variant)).value().holder;
    }
    void release(const FillLease& lease, NotStored uncacheable = NotStored::none)
    {
        CHECK(loop.wait(store.release(lease, uncacheable, 5s)) == Errc::ok);
    }
    Appended purge(std::vector<std::string> exact, std::vector<std::string> patterns,
                   RecordType type = RecordType::single)
    {
        Record record;
        record.type = type;
        if (type != RecordType::single) record.write_id = "replica-1";
        record.life = type == RecordType::prepare ? 30s : 0s;
        record.keys = std::move(exact);
        record.patterns = std::move(patterns);
        return loop.wait(log.append(std::move(record))).value();
    }

    LinkLoop loop;
    Keyspace keys;
    RedisStore store;
    RedisLog log;
};

std::shared_ptr<Entry> make_entry(std::string key, std::string body, std::string variant = "")
{
    auto entry = std::make_shared<Entry>();
    entry->key = std::move(key);
    entry->variant = std::move(variant);
    entry->times.stored = wall_now();
    entry->times.lifetime = 60s;
    entry->expires = wall_now() + 60s;
    entry->head = "HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
    entry->set_body(std::move(body));
    entry->rule = "rule";
    return entry;
}

}  // namespace

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

TEST_CASE("a lease has one holder, for its key and variant, until it is released, stored, purged or too old")
{
    RedisServer server;
    Sidecar one(server), two(server);
    const Position at = one.init().position;
    FillLease mine{"a", "", "one-1@5"}, theirs{"a", "", "two-1@5"};
    REQUIRE(one.lease(mine).kind == Leased::Kind::ours);
    const Leased refused = two.lease(theirs);
    CHECK(refused.kind == Leased::Kind::taken);
    CHECK(refused.holder == "one-1@5");
    CHECK(two.lease({"a", "0123456789abcdef", "two-2@5"}).kind == Leased::Kind::ours);
    CHECK(two.lease({"b", "", "two-3@5"}).kind == Leased::Kind::ours);

    SUBCASE("it ends by itself")
    {
        const auto left = server.admin({"PTTL", one.keys.lease("a")}).integer;
        CHECK(left > 0);
        CHECK(left <= RedisStore::lease_life.count());
    }
    SUBCASE("only its owner releases it")
    {
        two.release(theirs);
        CHECK(two.holder("a") == "one-1@5");
        one.release(mine);
        CHECK(two.holder("a").empty());
        CHECK(two.lease(theirs).kind == Leased::Kind::ours);
    }
    SUBCASE("storing frees it, and only its owner's")
    {
        CHECK(two.put(make_entry("a", "alone"), at) == NotStored::none);
        CHECK(two.holder("a") == "one-1@5");
        CHECK(one.put(make_entry("a", "x"), at, mine) == NotStored::none);
        CHECK(mine.owner.empty());
        CHECK(two.holder("a").empty());
    }
    SUBCASE("so does a refusal")
    {
        two.purge({}, {"a*"});
        CHECK(two.holder("a") == "one-1@5");
        CHECK(one.put(make_entry("a", "x"), at, mine) == NotStored::fenced);
        CHECK(mine.owner.empty());
        CHECK(two.holder("a").empty());
    }
    SUBCASE("the lease of the lookup is freed by the variant that the answer turned out to be")
    {
        CHECK(one.put(make_entry("a", "x", "0123456789abcdef"), at, mine) == NotStored::none);
        CHECK(two.holder("a").empty());
        CHECK(two.holder("a", "0123456789abcdef") == "two-2@5");
    }
    SUBCASE("an exact purge ends it")
    {
        two.purge({"a"}, {});
        CHECK(two.holder("a").empty());
    }
    SUBCASE("a holder that is known to be doomed gives way, to one")
    {
        CHECK(two.lease(theirs, {}, "one-1@5").kind == Leased::Kind::ours);
        CHECK(one.lease({"a", "", "one-2@6"}, {}, "one-1@5").holder == "two-1@5");
        one.release(mine);
        CHECK(two.holder("a") == "two-1@5");
    }
}

TEST_CASE("who asks for a lease learns of a response that he does not know, and gets no lease")
{
    RedisServer server;
    Sidecar one(server), two(server);
    const Position at = one.init().position;
    auto entry = make_entry("a", "x");
    const rules::WallTime stored = entry->times.stored;
    REQUIRE(one.put(entry, at) == NotStored::none);
    const Leased known = two.lease({"a", "", "two-1@5"});
    CHECK(known.kind == Leased::Kind::stored);
    CHECK(known.stored == stored);
    CHECK(two.holder("a").empty());
    // It has expired, or a pattern has voided it: there is something to fetch.
    CHECK(two.lease({"a", "", "two-1@5"}, stored).kind == Leased::Kind::ours);
    CHECK(one.lease({"a", "", "one-1@5"}, stored).kind == Leased::Kind::taken);
    CHECK(one.lease({"a", "", "one-1@5"}).kind == Leased::Kind::stored);
    server.admin({"SET", one.keys.entry("b"), "nonsense"});
    CHECK(two.lease({"b", "", "two-2@5"}).kind == Leased::Kind::ours);
    server.admin({"LPUSH", one.keys.entry("c"), "list"});
    server.admin({"LPUSH", one.keys.lease("c"), "list"});
    CHECK(two.lease({"c", "", "two-3@5"}).kind == Leased::Kind::ours);
}

TEST_CASE("a lease that nobody has, of a response that nobody has stored, is taken without a script")
{
    RedisServer server;
    Sidecar one(server), two(server);
    const Position at = one.init().position;
    auto stale = make_entry("b", "x");
    REQUIRE(one.put(stale, at) == NotStored::none);
    server.admin({"ACL", "SETUSER", "larder", "-eval", "-evalsha"});
    const Leased leased = one.lease({"a", "", "one-1@5"});
    CHECK(leased.kind == Leased::Kind::ours);
    CHECK(leased.counter == at);
    CHECK(leased.connection == one.loop.link.connection());
    CHECK(two.holder("a") == "one-1@5");
    CHECK(one.lease({"b", "", "one-2@5"}, stale->times.stored).kind == Leased::Kind::ours);
    CHECK(one.loop.counters.get(Counter::store_errors) == 0);
    CHECK(two.loop.wait(two.store.lease({"a", "", "two-1@5"}, {}, "")).error() == Errc::store_refused);
}

TEST_CASE("an uncacheable key is known with its reason, to all, for a time, until something is stored")
{
    RedisServer server;
    Sidecar one(server), two(server);
    const Position at = one.init().position;
    FillLease mine{"a", "", "one-1@5"};
    REQUIRE(one.lease(mine).kind == Leased::Kind::ours);
    one.release(mine, NotStored::set_cookie);
    const Leased known = two.lease({"a", "", "two-1@5"});
    CHECK(known.kind == Leased::Kind::uncacheable);
    CHECK(known.reason == NotStored::set_cookie);
    CHECK(known.left > 0ms);
    CHECK(known.left <= 5s);
    const auto life = server.admin({"PTTL", one.keys.lease("a")}).integer;
    CHECK(life > 0);
    CHECK(life <= 5'000);

    SUBCASE("a later response that can be stored ends it")
    {
        CHECK(two.put(make_entry("a", "x"), at) == NotStored::none);
        CHECK(two.holder("a").empty());
    }
    SUBCASE("one that is told of ends it, while a lease stays")
    {
        CHECK(two.loop.wait(two.store.forget_uncacheable("a", "")) == Errc::ok);
        CHECK(two.holder("a").empty());
        REQUIRE(one.lease(mine).kind == Leased::Kind::ours);
        CHECK(two.loop.wait(two.store.forget_uncacheable("a", "")) == Errc::ok);
        CHECK(two.holder("a") == mine.owner);
    }
    SUBCASE("one that is refused does not")
    {
        two.purge({}, {"a*"});
        CHECK(one.put(make_entry("a", "x"), at) == NotStored::fenced);
        CHECK(two.lease({"a", "", "two-1@5"}).kind == Leased::Kind::uncacheable);
    }
    SUBCASE("a reason of another version is a reason all the same")
    {
        const std::string value = server.admin_text({"GET", one.keys.lease("a")});
        server.admin({"SET", one.keys.lease("a"), value.substr(0, value.rfind(' ')) + " of-tomorrow"});
        CHECK(two.lease({"a", "", "two-1@5"}).kind == Leased::Kind::uncacheable);
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

TEST_CASE("records come back as they were appended, in order")
{
    RedisServer server;
    Sidecar one(server), two(server);
    const Position start = one.init().position;
    const std::string odd("k\r\n\0*\xff", 6);
    const Appended a = one.purge({"a", odd}, {"p*"}, RecordType::prepare);
    const Appended b = one.purge({"a", odd}, {"p*"}, RecordType::commit);
    const Appended c = two.purge({}, {"q?"});
    const auto records = two.loop.wait(two.log.records_after(start)).value();
    REQUIRE(records.size() == 3);
    CHECK(records[0].type == RecordType::prepare);
    CHECK(records[0].previous == start);
    CHECK(records[0].position == a.position);
    CHECK(records[0].write_id == "replica-1");
    CHECK(records[0].life == 30s);
    CHECK(records[0].keys == std::vector<std::string>{"a", odd});
    CHECK(records[0].patterns == std::vector<std::string>{"p*"});
    CHECK(records[1].type == RecordType::commit);
    CHECK(records[1].previous == a.position);
    CHECK(records[1].position == b.position);
    CHECK(records[2].type == RecordType::single);
    CHECK(records[2].write_id.empty());
    CHECK(records[2].patterns == std::vector<std::string>{"q?"});
    CHECK(one.loop.wait(one.log.records_after(b.position)).value().size() == 1);
    CHECK(one.loop.wait(one.log.records_after(c.position)).value().empty());
    CHECK(one.loop.wait(one.log.look()).value() == c.position);
    CHECK(server.admin({"XRANGE", one.keys.stream(), "-", "+"}).elements.size() == 4);  // with the first I
}

TEST_CASE("a snapshot has the position, the floor, each pattern's last position and the recent records")
{
    RedisServer server;
    Sidecar one(server), two(server);
    const LogSnapshot first = one.init();
    CHECK(first.run_id.size() == 40);
    CHECK(first.floor == first.position);
    CHECK(first.patterns.empty());
    REQUIRE(first.recent.size() == 1);
    CHECK(first.recent[0].type == RecordType::init);

    one.purge({}, {"a*", "b*"}, RecordType::prepare);
    const Position last = one.purge({"x"}, {"a*"}).position;
    const LogSnapshot second = two.init();
    CHECK(second.run_id == first.run_id);
    CHECK(second.position == last);
    CHECK(second.floor == first.position);
    REQUIRE(second.recent.size() == 3);
    CHECK(second.recent.back().position == last);
    REQUIRE(second.patterns.size() == 2);
    for (const auto& [pattern, position] : second.patterns)
        CHECK(position == (pattern == "a*" ? last : second.recent[1].position));
}

TEST_CASE("a snapshot of thousands of patterns and records is read in pages")
{
    RedisServer server;
    Sidecar one(server);
    one.init();
    for (int i = 0; i < 11; ++i) {
        std::vector<std::string> patterns;
        for (int j = 0; j < 250; ++j) patterns.push_back("p" + std::to_string(i * 250 + j) + "*");
        one.purge({}, patterns);
    }
    for (int i = 0; i < 1100; ++i) one.purge({std::to_string(i)}, {});
    const LogSnapshot snapshot = one.init();
    CHECK(snapshot.patterns.size() == 2750);
    CHECK(snapshot.recent.size() == 1 + 11 + 1100);
    for (std::size_t i = 1; i < snapshot.recent.size(); ++i)
        REQUIRE(snapshot.recent[i].previous == snapshot.recent[i - 1].position);
}

TEST_CASE("the floor is raised once for each doubt, whoever asks first")
{
    RedisServer server;
    Sidecar one(server), two(server);
    const LogSnapshot before = one.init();
    const Position last = one.purge({}, {"a*"}).position;
    CHECK(two.init().floor == before.floor);

    std::vector<std::string> doubt;
    SUBCASE("the counter is gone") { doubt = {"DEL", one.keys.counter()}; }
    SUBCASE("the counter is nonsense") { doubt = {"SET", one.keys.counter(), "nonsense"}; }
    SUBCASE("the long memory is gone") { doubt = {"DEL", one.keys.patterns()}; }
    SUBCASE("the floor is gone") { doubt = {"ZREM", one.keys.patterns(), "f"}; }
    SUBCASE("everything is gone") { doubt = {"FLUSHALL"}; }
    SUBCASE("the server is not the one that remembered") { doubt = {"ZREM", one.keys.patterns(), "r" + before.run_id}; }
    server.admin(doubt);
    const LogSnapshot after = one.init();
    CHECK(after.floor > last);
    CHECK(after.floor == after.position);
    CHECK(after.patterns.empty());
    CHECK(after.recent.back().type == RecordType::init);
    const LogSnapshot other = two.init();
    CHECK(other.floor == after.floor);
    CHECK(other.position == after.position);
}

TEST_CASE("a log of another number of shards is refused and left alone, until its layout is taken away")
{
    RedisServer server;
    Sidecar one(server);
    const LogSnapshot before = one.init();
    CHECK(server.admin_text({"GET", "t:{0}:conf"}) == "shards=1");

    // The shard that the two layouts would share: a Cluster's has the same tag.
    const Keyspace keys("t", 10, 12);
    REQUIRE(keys.counter() == one.keys.counter());
    RedisLog log(one.loop.link, keys, {});
    const auto refused = one.loop.wait(log.init());
    REQUIRE(refused.has_error());
    CHECK(refused.error() == Errc::store_layout);
    CHECK(one.init().position == before.position);

    server.admin({"DEL", "t:{0}:conf"});
    CHECK(one.loop.wait(log.init()).value().position == before.position);
    CHECK(server.admin_text({"GET", "t:{0}:conf"}) == "shards=12");
}

TEST_CASE("a server that hides who it is counts as another one at each connection, at most once in 5 s")
{
    RedisServer server;
    Sidecar one(server), two(server);
    server.admin({"ACL", "SETUSER", "larder", "-info"});
    const LogSnapshot first = one.init();
    CHECK(first.raised);
    const LogSnapshot second = two.init();
    CHECK_FALSE(second.raised);
    CHECK(second.run_id == first.run_id);

    const std::string long_ago = std::to_string(first.floor - 6'000'000);
    server.admin({"ZADD", one.keys.patterns(), long_ago, "f"});
    const LogSnapshot third = two.init();
    CHECK(third.raised);
    CHECK(third.floor > first.floor);
    CHECK(third.run_id != first.run_id);
}

TEST_CASE("a restarted server is another one: run id and floor change")
{
    RedisServer server;
    Sidecar one(server);
    const LogSnapshot before = one.init();
    server.stop();
    REQUIRE(one.loop.run_until([&] { return one.log.connection() == 0; }));
    server.start();
    config::Store ignored;
    use_acl(server, ignored, "t");
    REQUIRE(one.loop.connect());
    CHECK(one.log.connection() > 1);
    const LogSnapshot after = one.init();
    CHECK(after.run_id != before.run_id);
    CHECK(after.floor > before.position);
}

TEST_CASE("positions rise even when the counter was lost or set back")
{
    RedisServer server;
    Sidecar one(server);
    one.init();
    Position last = one.purge({}, {"a*"}).position;
    // As if the server's clock had been an hour ahead.
    const Position ahead = last + 3'600'000'000;
    server.admin({"XADD", one.keys.stream(), std::to_string(ahead) + "-0", "v", std::to_string(last), "t", "A", "w", "",
                  "x", "0"});
    SUBCASE("lost") { server.admin({"DEL", one.keys.counter()}); }
    SUBCASE("set back") { server.admin({"SET", one.keys.counter(), std::to_string(last)}); }
    const Appended next = one.purge({"k"}, {});
    CHECK(next.position == ahead + 1);
    CHECK(next.previous != ahead);  // the chain is broken, so that nobody trusts it without asking
    CHECK(one.purge({"k"}, {}).previous == next.position);
}

TEST_CASE("above the cap the oldest patterns are forgotten and the floor is raised to the last of them")
{
    RedisServer server;
    RedisLogOptions options;
    options.patterns_limit = 20;
    Sidecar one(server, options);
    const LogSnapshot before = one.init();
    std::vector<Position> positions;
    for (int i = 0; i < 19; ++i) positions.push_back(one.purge({}, {std::to_string(i) + "*"}).position);
    const LogSnapshot after = one.init();
    CHECK(after.floor > before.floor);
    CHECK(after.position == positions.back());
    for (const auto& [pattern, position] : after.patterns) CHECK(position > after.floor);
    CHECK(after.patterns.size() < 19);
    CHECK(after.patterns.size() >= 15);
    for (const Position position : positions)
        if (position > after.floor)
            CHECK(std::any_of(after.patterns.begin(), after.patterns.end(),
                              [&](const auto& pattern) { return pattern.second == position; }));
}

TEST_CASE("old records are trimmed by number")
{
    RedisServer server;
    RedisLogOptions options;
    options.records_limit = 100;
    Sidecar one(server, options);
    const Position start = one.init().position;
    for (int i = 0; i < 400; ++i) one.purge({"k"}, {});
    CHECK(server.admin({"XLEN", one.keys.stream()}).integer <= 200);
    const auto records = one.loop.wait(one.log.records_after(start)).value();
    REQUIRE_FALSE(records.empty());
    CHECK(records.front().previous != start);
}

TEST_CASE("large records are trimmed by what they take, and never to less than a thousand")
{
    RedisServer server;
    RedisLogOptions options;
    options.stream_bytes = 100'000;
    Sidecar one(server, options);
    one.init();
    for (int i = 0; i < 2'000; ++i) one.purge({std::string(1000, 'k')}, {});
    const auto length = server.admin({"XLEN", one.keys.stream()}).integer;
    CHECK(length >= 1'000);
    CHECK(length <= 1'200);
}

TEST_CASE("records and patterns of an older version are read as they stand in the log now")
{
    RedisServer server;
    Sidecar one(server);
    const Position start = one.init().position;
    const std::string x(5000, 'x');
    one.purge({x}, {"p" + x + "*", "{group}h:" + x});
    const auto records = one.loop.wait(one.log.records_after(start)).value();
    REQUIRE(records.size() == 1);
    CHECK(records[0].keys == std::vector<std::string>{key_in_log(x)});
    CHECK(records[0].patterns.at(0) == pattern_in_log("p" + x + "*"));
    const LogSnapshot snapshot = one.init();
    REQUIRE(snapshot.patterns.size() == 2);
    for (const auto& pattern : snapshot.patterns) CHECK(pattern.first.size() <= BriefKey::longest);
    Replica replica;
    replica.reset(snapshot, instant_now());
    CHECK(replica.matched_pattern_since("p" + x + ":1", snapshot.floor) == Since::matched);
    CHECK(replica.matched_group_since("{group}h:" + x, snapshot.floor) == Since::matched);
}

TEST_CASE("a purge of more than 500 targets goes as several records and loses none")
{
    RedisServer server;
    Sidecar one(server);
    const Position start = one.init().position;
    std::vector<std::string> exact, patterns;
    for (int i = 0; i < 700; ++i) exact.push_back("k" + std::to_string(i));
    for (int i = 0; i < 600; ++i) patterns.push_back("p" + std::to_string(i) + "*");
    CHECK(one.put(make_entry("k699", "x"), start) == NotStored::none);
    const Appended appended = one.purge(exact, patterns, RecordType::prepare);
    CHECK_FALSE(one.get("k699").entry);
    const auto records = one.loop.wait(one.log.records_after(start)).value();
    REQUIRE(records.size() == 3);
    CHECK(records[0].write_id == "replica-1");
    CHECK(records[1].write_id == "replica-1#1");
    CHECK(records[2].write_id == "replica-1#2");
    CHECK(appended.previous == records[1].position);
    CHECK(appended.position == records[2].position);
    std::vector<std::string> all_keys, all_patterns;
    for (const Record& record : records) {
        CHECK(record.keys.size() + record.patterns.size() <= 500);
        all_keys.insert(all_keys.end(), record.keys.begin(), record.keys.end());
        all_patterns.insert(all_patterns.end(), record.patterns.begin(), record.patterns.end());
    }
    CHECK(all_keys == exact);
    CHECK(all_patterns == patterns);
}

TEST_CASE("foreign things in the log are an error that is counted, never a crash")
{
    RedisServer server;
    Sidecar one(server);
    const Position start = one.init().position;
    const std::string id = std::to_string(start + 1) + "-0";
    std::vector<std::string> foreign;
    SUBCASE("a record of other fields") { foreign = {"XADD", one.keys.stream(), id, "hello", "world"}; }
    SUBCASE("a record whose number is none")
    {
        foreign = {"XADD", one.keys.stream(), id, "v", "x", "t", "A", "w", "", "x", "0"};
    }
    SUBCASE("a record of an unknown type")
    {
        foreign = {"XADD", one.keys.stream(), id, "v", "1", "t", "Z", "w", "", "x", "0"};
    }
    SUBCASE("a record with an unknown target")
    {
        foreign = {"XADD", one.keys.stream(), id, "v", "1", "t", "A", "w", "", "x", "0", "z", "a"};
    }
    SUBCASE("an id that is no position")
    {
        foreign = {"XADD", one.keys.stream(), std::to_string(start + 1) + "-7", "v", "1", "t", "A", "w", "", "x", "0"};
    }
    server.admin(foreign);
    CHECK(one.loop.wait(one.log.records_after(start)).error() == Errc::store_malformed);
    CHECK(one.loop.counters.get(Counter::store_malformed) == 1);
    server.admin({"SET", one.keys.counter(), std::to_string(start + 1)});
    CHECK(one.put(make_entry("a", "x"), start) != NotStored::none);
    server.admin({"SET", one.keys.counter(), "nonsense"});
    CHECK(one.loop.wait(one.log.look()).value() == 0);
    CHECK(one.get("a").counter == 0);
    server.admin({"DEL", one.keys.stream()});
    server.admin({"SET", one.keys.stream(), "a string"});
    CHECK(one.loop.wait(one.log.records_after(start)).error() == Errc::store_refused);
}

TEST_CASE("looks of one loop turn share one command, and those behind one under way share the next")
{
    RedisServer server;
    Sidecar one(server);
    const Position at = one.init().position;
    const auto calls = [&] {
        const std::string text = server.admin_text({"INFO", "commandstats"});
        const auto found = text.find("cmdstat_get:calls=");
        return found == std::string::npos ? 0 : std::atoi(text.c_str() + found + 18);
    };
    const int before = calls();
    std::vector<std::shared_ptr<std::optional<rules::Result<Position>>>> looks;
    server.pause();
    for (int i = 0; i < 100; ++i) looks.push_back(one.loop.start(one.log.look()));
    one.loop.context.run_for(20ms);  // the first has left
    for (int i = 0; i < 100; ++i) looks.push_back(one.loop.start(one.log.look()));
    one.loop.context.run_for(20ms);
    for (int i = 0; i < 100; ++i) looks.push_back(one.loop.start(one.log.look()));
    server.resume();
    for (const auto& look : looks) {
        REQUIRE(one.loop.run_until([&] { return look->has_value(); }));
        CHECK((*look)->value() == at);
    }
    CHECK(calls() - before == 2);
}

TEST_CASE("looks under way and waiting fail with the link")
{
    RedisServer server;
    Sidecar one(server);
    one.init();
    server.pause();
    auto first = one.loop.start(one.log.look());
    one.loop.context.run_for(20ms);
    auto second = one.loop.start(one.log.look());
    one.loop.context.run_for(20ms);
    server.stop();
    REQUIRE(one.loop.run_until([&] { return first->has_value() && second->has_value(); }));
    CHECK((*first)->error() == Errc::store_unreachable);
    CHECK((*second)->error() == Errc::store_unreachable);
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
