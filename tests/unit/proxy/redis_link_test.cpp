#include <doctest/doctest.h>

#include "tests/unit/proxy/redis_server.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace larder::proxy::test;
using namespace std::chrono_literals;
using rules::Errc;

namespace {

/// Takes one connection, logs it in, reads once and answers. Nothing to answer: closes it; else waits until the link
/// does.
asio::awaitable<int> serve_one(asio::local::stream_protocol::acceptor& acceptor, std::string answer)
{
    LocalSocket socket(acceptor.get_executor());
    co_await greet(acceptor, socket);
    std::array<char, 1024> input;
    const auto buffer = asio::buffer(input);
    co_await socket.async_read_some(buffer, no_throw);
    const auto second = asio::buffer(answer);
    co_await asio::async_write(socket, second, no_throw);
    if (answer.empty()) co_return 0;
    co_await socket.async_read_some(buffer, no_throw);
    co_return 0;
}

/// A connected link that is destroyed without having been stopped.
struct AbruptLink {
    explicit AbruptLink(const RedisServer& server)
        : store(store_at(server)),
          topology(make_topology(context, wheel, store, nullptr, counters, 1)),
          link(context, wheel, store, nullptr, counters, topology->locator(0))
    {
        asio::co_spawn(context, link.run(), [](std::exception_ptr) {});
        while (link.connection() == 0) context.run_one_for(10s);
    }

    asio::io_context context{1};
    DeadlineWheel wheel{context};
    Counters counters{0};
    const config::Store store;
    const std::unique_ptr<Topology> topology;
    Link link;
};

/// Of commands that are sent together.
struct Several final : LinkOperation {
    void take_earlier(const Reply& reply) override { earlier.push_back(reply.text); }
    void complete(rules::Result<Reply>&& reply) override { completed.push_back(std::move(reply)); }
    void abandon() noexcept override { is_abandoned = true; }

    bool send(Link& link)
    {
        const std::string_view one[] = {"SET", "a", "1"}, two[] = {"GET", "a"}, three[] = {"GET", "b"};
        return link.send_all(*this, {one, two, three});
    }

    std::vector<std::string> earlier;
    std::vector<rules::Result<Reply>> completed;
    bool is_abandoned = false;
};

}  // namespace

TEST_CASE("a link connects by unix socket and gets replies of every kind, in order")
{
    RedisServer server;
    LinkLoop loop(store_at(server));
    REQUIRE(loop.connect());
    CHECK(loop.link.connection() == 1);
    CHECK(loop.counters.get(Counter::store_connects) == 1);
    CHECK(loop.counters.store_is_up());

    CHECK(loop.run({"SET", "a", "1"})->kind == Reply::Kind::status);
    CHECK(loop.run({"INCR", "a"})->integer == 2);
    CHECK(loop.run({"GET", "none"})->is_nil());
    CHECK(loop.run({"NONSENSE"})->is_error());
    const auto list = loop.run({"MGET", "a", "none"});
    REQUIRE(list->elements.size() == 2);
    CHECK(list->elements[0].text == "2");
    CHECK(list->elements[1].is_nil());
    CHECK(loop.run({"LRANGE", "none", "0", "-1"})->is_array());
}

TEST_CASE("bytes of any value and a megabyte come back as they went")
{
    RedisServer server;
    LinkLoop loop(store_at(server));
    REQUIRE(loop.connect());
    std::string odd;
    for (int i = 0; i < 256; ++i) odd += static_cast<char>(i);
    odd += "\r\n$5\r\nhello\r\n";
    std::string large;
    while (large.size() < (1u << 20)) large += odd;
    for (const std::string& value : {std::string(), odd, large}) {
        REQUIRE(loop.run({"SET", odd, value}).has_value());
        CHECK(loop.run({"GET", odd})->text == value);
    }
}

TEST_CASE("a thousand commands of one loop turn leave in few writes")
{
    RedisServer server;
    LinkLoop loop(store_at(server));
    REQUIRE(loop.connect());
    REQUIRE(loop.run({"SET", "a", "value"}).has_value());
    const long before = server.info("stats", "total_reads_processed");
    std::vector<std::shared_ptr<std::optional<rules::Result<Reply>>>> replies;
    for (int i = 0; i < 1000; ++i)
        replies.push_back(loop.start(loop.command({"GETRANGE", "a", "0", std::to_string(i % 5)})));
    REQUIRE(loop.run_until([&] { return replies.back()->has_value(); }));
    for (std::size_t i = 0; i < replies.size(); ++i) {
        REQUIRE(replies[i]->has_value());
        CHECK((**replies[i])->text == std::string("value").substr(0, i % 5 + 1));
    }
    // 40 KiB: one write of ours, read by the server in portions of 16 KiB. The rest is the administrator's.
    CHECK(server.info("stats", "total_reads_processed") - before < 12);
}

TEST_CASE("large commands that the socket cannot take at once all arrive")
{
    RedisServer server;
    LinkLoop loop(store_at(server));
    REQUIRE(loop.connect());
    std::vector<std::shared_ptr<std::optional<rules::Result<Reply>>>> replies;
    for (int i = 0; i < 12; ++i)
        replies.push_back(
            loop.start(loop.command({"SET", std::to_string(i), std::string(1u << 20, static_cast<char>('a' + i))})));
    REQUIRE(loop.run_until([&] { return replies.back()->has_value(); }));
    for (int i = 0; i < 12; ++i) {
        const auto reply = loop.run({"GET", std::to_string(i)});
        REQUIRE(reply.has_value());
        CHECK(reply->text == std::string(1u << 20, static_cast<char>('a' + i)));
    }
}

TEST_CASE("while the server is away operations fail at once, and the link comes back by itself")
{
    RedisServer server;
    LinkLoop loop(store_at(server));
    REQUIRE(loop.connect());
    server.stop();
    REQUIRE(loop.run_until([&] { return loop.link.connection() == 0; }));
    CHECK(loop.run({"GET", "a"}).error() == Errc::store_unreachable);
    CHECK_FALSE(loop.counters.store_is_up());
    CHECK(loop.counters.get(Counter::store_downs) == 1);

    server.start();
    REQUIRE(loop.connect());
    CHECK(loop.link.connection() == 2);
    CHECK(loop.run({"GET", "a"})->is_nil());
}

TEST_CASE("a server that is not there yet is waited for")
{
    RedisServer server;
    server.stop();
    LinkLoop loop(store_at(server));
    CHECK(loop.run({"GET", "a"}).error() == Errc::store_unreachable);
    server.start();
    CHECK(loop.connect());
}

TEST_CASE("a missed deadline fails everything under way, and a late reply is nobody's")
{
    RedisServer server;
    config::Store store = store_at(server);
    LinkLoop admin(store);
    REQUIRE(admin.connect());
    REQUIRE(admin.run({"SET", "old", "old"}).has_value());
    REQUIRE(admin.run({"SET", "new", "new"}).has_value());

    store.timeout = 150ms;
    LinkLoop loop(store);
    REQUIRE(loop.connect());
    server.pause();
    const auto started = instant_now();
    auto first = loop.start(loop.command({"GET", "old"}));
    auto second = loop.start(loop.command({"GET", "old"}));
    REQUIRE(loop.run_until([&] { return first->has_value() && second->has_value(); }));
    CHECK(instant_now() - started >= 150ms);
    CHECK((*first)->error() == Errc::store_timeout);
    CHECK((*second)->error() == Errc::store_timeout);
    CHECK(loop.link.connection() == 0);
    CHECK(loop.counters.get(Counter::store_timeouts) == 2);
    CHECK(loop.run({"GET", "new"}).error() == Errc::store_unreachable);

    server.resume();
    for (int i = 0; i < 20; ++i) {
        REQUIRE(loop.connect());
        const auto reply = loop.run({"GET", "new"});
        if (reply) CHECK(reply->text == "new");
    }
    CHECK(loop.link.connection() >= 2);
}

TEST_CASE("the deadline is counted from each operation, not from the oldest ever")
{
    RedisServer server;
    config::Store store = store_at(server);
    store.timeout = 2s;
    LinkLoop loop(store);
    REQUIRE(loop.connect());
    const auto until = instant_now() + 2500ms;
    while (instant_now() < until) REQUIRE(loop.run({"GET", "a"}).has_value());
    CHECK(loop.link.connection() == 1);
    CHECK(loop.counters.get(Counter::store_timeouts) == 0);
}

TEST_CASE("stopping fails what is under way and ends the link")
{
    RedisServer server;
    LinkLoop loop(store_at(server));
    REQUIRE(loop.connect());
    server.pause();
    auto pending = loop.start(loop.command({"GET", "a"}));
    loop.context.run_for(20ms);
    loop.link.stop();
    REQUIRE(loop.run_until([&] { return pending->has_value(); }));
    CHECK((*pending)->error() == Errc::shutting_down);
    CHECK(loop.run({"GET", "a"}).error() == Errc::shutting_down);
}

TEST_CASE("a link destroyed with a waiter under way frees it and resumes nobody")
{
    RedisServer server;
    server.admin({"SET", "a", "1"});
    bool resumed = false;
    {
        AbruptLink abrupt(server);
        server.pause();
        auto ask = [&]() -> asio::awaitable<void> {
            const std::string_view args[] = {"GET", "a"};
            const rules::Result<Reply> reply = co_await abrupt.link.execute(args);
            resumed = true;
        };
        asio::co_spawn(abrupt.context, ask, [](std::exception_ptr) {});
        abrupt.context.run_for(20ms);
    }
    server.resume();
    CHECK_FALSE(resumed);
}

TEST_CASE("the database of the URL is selected")
{
    RedisServer server;
    config::Store store = store_at(server);
    store.database = 3;
    LinkLoop loop(store);
    REQUIRE(loop.connect());
    REQUIRE(loop.run({"SET", "a", "three"}).has_value());
    CHECK(server.admin({"GET", "a"}, 3).text == "three");
    CHECK(server.admin({"GET", "a"}).is_nil());
}

TEST_CASE("a user with the printed ACL may do what Larder needs and nothing else")
{
    RedisServer server;
    const std::string line = acl_text("shop*", "larder");
    for (const char* word : {"SCAN", "KEYS", "FLUSH", "+keys", "+scan", "+@all"})
        CHECK(line.find(word) == std::string::npos);
    config::Store store = store_at(server);
    use_acl(server, store, "shop*");
    store.database = 1;
    LinkLoop loop(store);
    REQUIRE(loop.connect());
    CHECK(server.admin_text({"CLIENT", "LIST"}).find("name=larder") != std::string::npos);
    CHECK(loop.run({"GET", "shop*:{0}:q"})->is_nil());
    CHECK(loop.run({"GET", "other:{0}:q"})->is_error());
    CHECK(loop.run({"GET", "shopping:{0}:q"})->is_error());
    CHECK(loop.run({"SCAN", "0"})->is_error());
    CHECK(loop.run({"KEYS", "*"})->is_error());
    CHECK(loop.run({"FLUSHALL"})->is_error());
    CHECK(loop.run({"FLUSHDB"})->is_error());
}

TEST_CASE("a password without a user is enough for a server that asks for one")
{
    RedisServer server({"--requirepass", "secret"});
    config::Store store = store_at(server);
    store.password = "secret";
    LinkLoop loop(store);
    REQUIRE(loop.connect());
    CHECK(loop.run({"GET", "a"})->is_nil());
}

TEST_CASE("a wrong or missing password keeps the link down")
{
    RedisServer server({"--requirepass", "secret"});
    for (const char* password : {"wrong", ""}) {
        CAPTURE(password);
        config::Store store = store_at(server);
        store.password = password;
        LinkLoop loop(store);
        CHECK_FALSE(loop.run_until([&] { return loop.link.connection() != 0; }, 1s));
        CHECK(loop.run({"GET", "a"}).error() == Errc::store_unreachable);
    }
}

TEST_CASE("a replica is no store: neither at the start nor when the master becomes one")
{
    RedisServer server;
    LinkLoop loop(store_at(server));
    REQUIRE(loop.connect());
    server.admin({"REPLICAOF", "127.0.0.1", "1"});
    CHECK(loop.run({"SET", "a", "1"})->is_error());
    CHECK(loop.link.connection() == 0);
    CHECK_FALSE(loop.run_until([&] { return loop.link.connection() != 0; }, 1s));
    server.admin({"REPLICAOF", "NO", "ONE"});
    CHECK(loop.connect());
}

TEST_CASE("a master that becomes a replica is left within a second or two, also when nobody writes")
{
    RedisServer server;
    config::Store store = store_at(server);
    use_acl(server, store, "shop");
    LinkLoop loop(store);
    REQUIRE(loop.connect());
    server.admin({"REPLICAOF", "127.0.0.1", "1"});
    CHECK(loop.run_until([&] { return loop.link.connection() == 0; }));
    CHECK(loop.counters.get(Counter::store_downs) == 1);
}

TEST_CASE("a server that answers nonsense, or what nobody asked, is left")
{
    std::string answer;
    SUBCASE("no Redis at all") { answer = "HTTP/1.1 400 Bad Request\r\n\r\n"; }
    SUBCASE("a reply of an unknown kind") { answer = "?what\r\n"; }
    SUBCASE("a negative length") { answer = "$-7\r\n"; }
    SUBCASE("an array that cannot be") { answer = "*2000000000\r\n"; }
    SUBCASE("one reply too many") { answer = "+one\r\n+two\r\n"; }
    SUBCASE("nothing, and the end") { answer = ""; }

    ScratchDirectory directory;
    config::Store store;
    store.endpoint.unix_path = directory.file("fake.sock");
    store.timeout = 5s;
    LinkLoop loop(store);
    asio::local::stream_protocol::acceptor acceptor(loop.context, store.endpoint.unix_path);
    auto served = loop.start(serve_one(acceptor, answer));
    REQUIRE(loop.connect());
    const auto reply = loop.run({"GET", "a"});
    if (answer.starts_with("+one")) {
        CHECK(reply->text == "one");
        CHECK(loop.run_until([&] { return loop.link.connection() == 0; }));
    } else {
        CHECK(reply.error() == (answer.empty() ? Errc::store_unreachable : Errc::store_malformed));
    }
    CHECK(loop.link.connection() == 0);
    CHECK(loop.run_until([&] { return served->has_value(); }));
    acceptor.close();
}

TEST_CASE("commands that are sent together are completed by the last one's reply, or once by what ends the link")
{
    struct Row {
        std::string why, answer;
        std::vector<std::string> earlier;
        Errc error;
        std::string next;  // what the command behind them is told; empty: the same error
        int errors;
    };
    const Row rows[] = {
        {"all are answered", "+OK\r\n$1\r\n1\r\n$-1\r\n+next\r\n", {"OK", "1"}, Errc::ok, "next", 0},
        {"the first is refused", "-OOM full\r\n$-1\r\n$-1\r\n+next\r\n", {"OOM full", ""}, Errc::ok, "next", 1},
        {"the slot has moved", "-MOVED 1 a:1\r\n", {"MOVED 1 a:1"}, Errc::store_unreachable, "", 3},
        {"the server has become a replica",
         "+OK\r\n-READONLY no\r\n",
         {"OK", "READONLY no"},
         Errc::store_unreachable,
         "",
         3},
        {"the second is no reply", "+OK\r\n?what\r\n", {"OK"}, Errc::store_malformed, "", 2},
        {"the connection is closed", "", {}, Errc::store_unreachable, "", 2},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        ScratchDirectory directory;
        config::Store store;
        store.endpoint.unix_path = directory.file("fake.sock");
        store.timeout = 5s;
        LinkLoop loop(store);
        asio::local::stream_protocol::acceptor acceptor(loop.context, store.endpoint.unix_path);
        auto served = loop.start(serve_one(acceptor, row.answer));
        REQUIRE(loop.connect());
        Several several;
        REQUIRE(several.send(loop.link));
        const auto next = loop.run({"GET", "next"});
        REQUIRE(several.completed.size() == 1);
        CHECK(several.earlier == row.earlier);
        CHECK(loop.counters.get(Counter::store_errors) == row.errors);
        if (row.error == Errc::ok) {
            CHECK(several.completed[0]->is_nil());
            CHECK(next->text == row.next);
        } else {
            CHECK(several.completed[0].error() == row.error);
            CHECK(next.error() == row.error);
        }
        CHECK_FALSE(several.is_abandoned);
        loop.link.stop();
        REQUIRE(loop.run_until([&] { return served->has_value(); }));
        acceptor.close();
    }
}

TEST_CASE("commands that were sent together are abandoned once when the link is destroyed")
{
    RedisServer server;
    Several several;
    {
        AbruptLink abrupt(server);
        REQUIRE(several.send(abrupt.link));
    }
    CHECK(several.is_abandoned);
    CHECK(several.earlier.empty());
    CHECK(several.completed.empty());
}
