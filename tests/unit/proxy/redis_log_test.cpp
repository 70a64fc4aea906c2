#include "proxy/coherence/redis_log.hpp"

#include <doctest/doctest.h>
#include <sys/socket.h>

#include "proxy/coherence/log_names.hpp"
#include "proxy/coherence/replica.hpp"
#include "tests/unit/proxy/sidecar.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace larder::proxy::test;
using namespace std::chrono_literals;
using rules::Errc;
using rules::NotStored;

namespace {

/// What has come, as far as that needs no waiting.
std::string read_all_of(LocalSocket& socket)
{
    std::string all;
    std::array<char, 65536> some;
    for (ssize_t count; (count = ::recv(socket.native_handle(), some.data(), some.size(), MSG_DONTWAIT)) > 0;)
        all.append(some.data(), static_cast<std::size_t>(count));
    return all;
}

asio::awaitable<int> once_readable(Transport& transport, std::function<void()> then)
{
    const bool ready = co_await transport.wait(Direction::read);
    if (ready) then();
    co_return 0;
}

std::pair<std::unique_ptr<Transport>, Descriptor> socket_pair(asio::io_context& context)
{
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()) == 0);
    return {std::make_unique<Transport>(Descriptor(ends[0]), context), Descriptor(ends[1])};
}

}  // namespace

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

TEST_CASE("nobody joins a look whose command has left, though the turn goes on")
{
    ScratchDirectory directory;
    config::Store store;
    store.endpoint.unix_path = directory.file("fake.sock");
    store.timeout = 10s;
    LinkLoop loop(store);
    asio::local::stream_protocol::acceptor acceptor(loop.context, store.endpoint.unix_path);
    LocalSocket redis(loop.context);
    const auto greeted = loop.start(greet(acceptor, redis));
    REQUIRE(loop.connect());
    const Keyspace keys("t");
    RedisLog log(loop.link, keys, {});

    // More than the socket takes: what comes behind it leaves when there is room.
    const auto set = loop.start(loop.command({"SET", "large", std::string(300'000, 'x')}));
    loop.context.poll();

    // In one turn: a look, room for it to leave, another look.
    auto [first, to_first] = socket_pair(loop.context);
    auto [second, to_second] = socket_pair(loop.context);
    std::shared_ptr<std::optional<rules::Result<Position>>> before, behind;
    std::string got;
    const auto looks_first = loop.start(once_readable(*first, [&] {
        before = loop.start(log.look());
        got = read_all_of(redis);
        REQUIRE(::send(to_second.get(), "x", 1, 0) == 1);
    }));
    const auto looks_second = loop.start(once_readable(*second, [&] {
        got += read_all_of(redis);
        CHECK(got.find("$3\r\nGET\r\n") != got.npos);
        behind = loop.start(log.look());
    }));
    REQUIRE(::send(to_first.get(), "x", 1, 0) == 1);
    REQUIRE(loop.run_until([&] { return behind != nullptr; }));

    const std::string_view answers[] = {"+OK\r\n$1\r\n1\r\n", "$1\r\n2\r\n"};
    REQUIRE(::send(redis.native_handle(), answers[0].data(), answers[0].size(), 0) > 0);
    REQUIRE(loop.run_until([&] { return before->has_value(); }));
    CHECK((**before).value() == 1);
    CHECK_FALSE(behind->has_value());
    REQUIRE(::send(redis.native_handle(), answers[1].data(), answers[1].size(), 0) > 0);
    REQUIRE(loop.run_until([&] { return behind->has_value(); }));
    CHECK((**behind).value() == 2);
    loop.link.stop();
    acceptor.close();
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
