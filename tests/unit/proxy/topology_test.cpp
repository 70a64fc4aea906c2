// Sentinels and nodes of a cluster that say what a test has written down: whom a link is sent to, and when it is told
// that its server is another one. Real ones play in tests/stories.
#include <doctest/doctest.h>

#include <boost/asio/write.hpp>
#include <map>

#include "proxy/redis/reply_reader.hpp"
#include "tests/unit/proxy/redis_server.hpp"

using namespace larder;
using namespace larder::proxy;
using namespace larder::proxy::test;
using namespace std::chrono_literals;

namespace {

std::string text(const std::string& value) { return "$" + std::to_string(value.size()) + "\r\n" + value + "\r\n"; }

/// A server on a free port that answers commands by a table: "SENTINEL MASTER shop" -> bytes. What is not in it gets an
/// error. Runs on the test's loop.
class FakeServer {
  public:
    explicit FakeServer(asio::io_context& context)
        : context_(context), acceptor_(context, {asio::ip::address_v4::loopback(), 0})
    {
        accept();
    }
    std::uint16_t port() const { return acceptor_.local_endpoint().port(); }
    config::Endpoint endpoint() const { return {"127.0.0.1", port(), ""}; }
    int asked(const std::string& command) { return asked_[command]; }
    /// To all connections that there are.
    void push(const std::string& bytes)
    {
        for (const auto& peer : peers_) {
            error_code ignored;
            asio::write(peer->socket, asio::buffer(bytes), ignored);
        }
    }
    void close()
    {
        error_code ignored;
        acceptor_.close(ignored);
        for (const auto& peer : peers_) peer->socket.close(ignored);
        peers_.clear();
    }

    std::map<std::string, std::string> answers;

  private:
    struct Peer {
        explicit Peer(asio::ip::tcp::socket s) : socket(std::move(s)) {}
        asio::ip::tcp::socket socket;
        ReplyReader reader;
        std::array<char, 1024> input;
    };

    void accept()
    {
        acceptor_.async_accept([this](error_code ec, asio::ip::tcp::socket socket) {
            if (ec) return;
            peers_.push_back(std::make_shared<Peer>(std::move(socket)));
            read(peers_.back());
            accept();
        });
    }
    void read(std::shared_ptr<Peer> peer)
    {
        auto& socket = peer->socket;
        auto buffer = asio::buffer(peer->input);
        socket.async_read_some(buffer, [this, peer](error_code ec, std::size_t size) {
            if (ec) return;
            peer->reader.feed({peer->input.data(), size});
            // A command is an array of bulk strings, as an answer may be.
            for (Reply command; peer->reader.next(command);) {
                std::string words;
                for (const Reply& word : command.elements) words += (words.empty() ? "" : " ") + word.text;
                ++asked_[words];
                const auto answer = answers.find(words);
                const std::string bytes = answer == answers.end() ? "-ERR unknown\r\n" : answer->second;
                error_code ignored;
                asio::write(peer->socket, asio::buffer(bytes), ignored);
            }
            read(peer);
        });
    }

    asio::io_context& context_;
    asio::ip::tcp::acceptor acceptor_;
    std::vector<std::shared_ptr<Peer>> peers_;
    std::map<std::string, int> asked_;
};

/// A worker's loop with a topology and nothing else.
class TopologyLoop {
  public:
    TopologyLoop() : wheel(context), counters(0) { ::signal(SIGPIPE, SIG_IGN); }
    ~TopologyLoop()
    {
        if (topology) topology->stop();
        run_until([this] { return tasks.running() == 0; });
        wheel.stop();
        for (const auto& server : servers) server->close();
        context.restart();
        context.run_for(100ms);
    }
    FakeServer& add_server()
    {
        servers.push_back(std::make_unique<FakeServer>(context));
        return *servers.back();
    }
    void begin(config::Store store, std::size_t shards)
    {
        store.connect_timeout = 5s;
        topology = make_topology(context, wheel, store, nullptr, counters, shards);
        topology->start(tasks);
    }
    bool run_until(const std::function<bool()>& done)
    {
        const auto end = instant_now() + 20s;
        while (!done()) {
            const auto left = end - instant_now();
            if (left <= left.zero()) return false;
            if (context.stopped()) context.restart();
            context.run_one_for(left);
        }
        return true;
    }
    std::shared_ptr<std::optional<Located>> start_locating(std::size_t shard)
    {
        auto result = std::make_shared<std::optional<Located>>();
        asio::co_spawn(context, topology->locator(shard).locate(),
                       [result](std::exception_ptr, Located located) { result->emplace(std::move(located)); });
        return result;
    }
    Located locate(std::size_t shard = 0)
    {
        const auto result = start_locating(shard);
        REQUIRE(run_until([&] { return result->has_value(); }));
        return **result;
    }

    asio::io_context context{1};
    DeadlineWheel wheel;
    Counters counters;
    Tasks tasks{context};
    std::vector<std::unique_ptr<FakeServer>> servers;
    std::unique_ptr<Topology> topology;
};

void name_master(FakeServer& sentinel, const std::string& host, int port, int epoch)
{
    sentinel.answers["SENTINEL GET-MASTER-ADDR-BY-NAME shop"] = "*2\r\n" + text(host) + text(std::to_string(port));
    sentinel.answers["SENTINEL MASTER shop"] =
        "*4\r\n" + text("name") + text("shop") + text("config-epoch") + text(std::to_string(epoch));
    sentinel.answers["SUBSCRIBE +switch-master"] = "*3\r\n" + text("subscribe") + text("+switch-master") + ":1\r\n";
    sentinel.answers["PING"] = "*2\r\n" + text("pong") + text("");
}

config::Store behind(const std::vector<FakeServer*>& sentinels)
{
    config::Store store;
    store.kind = config::StoreKind::redis;
    store.topology = config::StoreTopology::sentinel;
    store.master_name = "shop";
    for (const FakeServer* sentinel : sentinels) store.seeds.push_back(sentinel->endpoint());
    return store;
}

void give_slots(FakeServer& node, const std::vector<std::pair<std::string, int>>& masters_of_halves,
                bool healthy = true)
{
    const auto half = [](int first, int last, const std::pair<std::string, int>& master) {
        return "*3\r\n:" + std::to_string(first) + "\r\n:" + std::to_string(last) + "\r\n*3\r\n" + text(master.first) +
               ":" + std::to_string(master.second) + "\r\n" + text("id");
    };
    node.answers["CLUSTER SLOTS"] =
        "*2\r\n" + half(0, 8191, masters_of_halves[0]) + half(8192, 16383, masters_of_halves[1]);
    node.answers["CLUSTER INFO"] = text(healthy ? "cluster_state:ok\r\n" : "cluster_state:fail\r\n");
}

config::Store cluster_of(const std::vector<FakeServer*>& nodes)
{
    config::Store store;
    store.kind = config::StoreKind::redis;
    store.topology = config::StoreTopology::cluster;
    for (const FakeServer* node : nodes) store.seeds.push_back(node->endpoint());
    return store;
}

Redirect redirect(Redirect::Kind kind, const config::Endpoint& to = {})
{
    Redirect result;
    result.kind = kind;
    result.to = to;
    return result;
}

constexpr std::size_t low = 0, high = 11;  // shards whose slots lie in the lower and in the upper half

}  // namespace

TEST_CASE("a server alone is where the configuration says")
{
    TopologyLoop loop;
    config::Store store;
    store.endpoint = {"127.0.0.1", 6379, ""};
    loop.begin(store, 1);
    CHECK(loop.locate().endpoint.to_string() == "127.0.0.1:6379");
    CHECK(loop.counters.get(Counter::store_lookups) == 0);
}

TEST_CASE("more than half of the sentinels are asked, and the newest knowledge wins")
{
    TopologyLoop loop;
    FakeServer &one = loop.add_server(), &two = loop.add_server(), &three = loop.add_server();
    name_master(one, "127.0.0.1", 6379, 4);
    name_master(two, "127.0.0.2", 6380, 5);
    name_master(three, "127.0.0.3", 6379, 9);
    loop.begin(behind({&one, &two, &three}), 1);
    CHECK(loop.locate().endpoint.to_string() == "127.0.0.2:6380");
    CHECK(three.asked("SENTINEL MASTER shop") == 0);
    // What is known and not in doubt is not asked for again.
    const int asked_count = one.asked("SENTINEL MASTER shop");
    CHECK(loop.locate().endpoint.to_string() == "127.0.0.2:6380");
    CHECK(one.asked("SENTINEL MASTER shop") <= asked_count + 1);  // once more, by the one who listens
}

TEST_CASE("a sentinel that is away, or does not know the name, is passed over; when all are, why is said")
{
    TopologyLoop loop;
    FakeServer &one = loop.add_server(), &two = loop.add_server(), &three = loop.add_server();
    one.answers["SENTINEL GET-MASTER-ADDR-BY-NAME shop"] = "*-1\r\n";
    name_master(two, "127.0.0.2", 6380, 5);
    const config::Store store = behind({&one, &two, &three});
    three.close();
    SUBCASE("one answers")
    {
        loop.begin(store, 1);
        CHECK(loop.locate().endpoint.to_string() == "127.0.0.2:6380");
    }
    SUBCASE("none does")
    {
        two.close();
        loop.begin(store, 1);
        const Located located = loop.locate();
        CHECK(located.trouble.find("no sentinel names the master: ") == 0);
        CHECK(located.trouble.find("connection refused") != std::string::npos);
    }
    SUBCASE("none knows the name")
    {
        two.answers.clear();
        two.answers["SENTINEL GET-MASTER-ADDR-BY-NAME shop"] = "*-1\r\n";
        config::Store both = store;
        both.seeds.pop_back();
        loop.begin(both, 1);
        CHECK(loop.locate().trouble.find("does not know the master shop") != std::string::npos);
    }
}

TEST_CASE("what a sentinel announces moves the link at once, and whoever knows less is not believed after it")
{
    TopologyLoop loop;
    FakeServer &one = loop.add_server(), &two = loop.add_server();
    name_master(one, "127.0.0.1", 6379, 4);
    name_master(two, "127.0.0.1", 6379, 4);
    loop.begin(behind({&one, &two}), 1);
    int moved = 0;
    loop.topology->locator(0).on_moved = [&] { ++moved; };
    CHECK(loop.locate().endpoint.to_string() == "127.0.0.1:6379");
    REQUIRE(loop.run_until([&] { return one.asked("SUBSCRIBE +switch-master") == 1; }));
    one.push("*3\r\n" + text("message") + text("+switch-master") + text("other 127.0.0.1 6379 127.0.0.9 6379"));
    one.push("*3\r\n" + text("message") + text("+switch-master") + text("shop 127.0.0.1 6379 127.0.0.2 6379"));
    REQUIRE(loop.run_until([&] { return moved != 0; }));
    CHECK(moved == 1);
    CHECK(loop.locate().endpoint.to_string() == "127.0.0.2:6379");

    // Only the other one answers, and it has not heard of it.
    name_master(one, "127.0.0.2", 6379, 5);
    one.close();
    loop.topology->locator(0).distrust(redirect(Redirect::Kind::none));
    CHECK(loop.locate().trouble == "the sentinels that answer know only an older master");
    name_master(two, "127.0.0.2", 6379, 5);
    CHECK(loop.locate().endpoint.to_string() == "127.0.0.2:6379");
}

TEST_CASE("a sentinel that ends is replaced by another one to listen to")
{
    TopologyLoop loop;
    FakeServer &one = loop.add_server(), &two = loop.add_server();
    name_master(one, "127.0.0.1", 6379, 4);
    name_master(two, "127.0.0.1", 6379, 4);
    loop.begin(behind({&one, &two}), 1);
    REQUIRE(loop.run_until([&] { return one.asked("SUBSCRIBE +switch-master") == 1; }));
    one.close();
    CHECK(loop.run_until([&] { return two.asked("SUBSCRIBE +switch-master") == 1; }));
    CHECK(loop.counters.get(Counter::sentinel_downs) >= 1);
}

TEST_CASE("one question finds the masters of all shards of a cluster")
{
    TopologyLoop loop;
    FakeServer& node = loop.add_server();
    give_slots(node, {{"127.0.0.1", 1}, {"127.0.0.2", 2}});
    loop.begin(cluster_of({&node}), Keyspace::cluster_shards);
    std::vector<std::shared_ptr<std::optional<Located>>> located;
    for (std::size_t shard = 0; shard < Keyspace::cluster_shards; ++shard)
        located.push_back(loop.start_locating(shard));
    for (const auto& one : located) REQUIRE(loop.run_until([&] { return one->has_value(); }));
    CHECK((*located[low])->endpoint.to_string() == "127.0.0.1:1");
    CHECK((*located[high])->endpoint.to_string() == "127.0.0.2:2");
    CHECK(node.asked("CLUSTER SLOTS") == 1);
    CHECK(loop.counters.get(Counter::store_lookups) == 1);
}

TEST_CASE("after MOVED the node that was named is asked first, and all links that are concerned are told")
{
    TopologyLoop loop;
    FakeServer &node = loop.add_server(), &named = loop.add_server();
    give_slots(node, {{"127.0.0.1", 1}, {"127.0.0.2", 2}});
    give_slots(named, {{"127.0.0.1", named.port()}, {"127.0.0.2", 2}});
    loop.begin(cluster_of({&node}), Keyspace::cluster_shards);
    int low_moved = 0, high_moved = 0;
    loop.topology->locator(low + 1).on_moved = [&] { ++low_moved; };
    loop.topology->locator(high).on_moved = [&] { ++high_moved; };
    for (const std::size_t shard : {low, low + 1, high}) CHECK(loop.locate(shard).trouble.empty());

    loop.topology->locator(low).distrust(redirect(Redirect::Kind::moved, named.endpoint()));
    CHECK(loop.locate(low).endpoint.port == named.port());
    CHECK(node.asked("CLUSTER SLOTS") == 1);
    CHECK(loop.run_until([&] { return low_moved == 1; }));
    CHECK(high_moved == 0);
}

TEST_CASE("a node that the majority has left is asked last, and believed only when all say the same")
{
    TopologyLoop loop;
    FakeServer &cut_off = loop.add_server(), &node = loop.add_server();
    give_slots(cut_off, {{"127.0.0.1", 1}, {"127.0.0.2", 2}}, false);
    give_slots(node, {{"127.0.0.3", 3}, {"127.0.0.2", 2}});
    loop.begin(cluster_of({&cut_off, &node}), Keyspace::cluster_shards);
    CHECK(loop.locate(low).endpoint.to_string() == "127.0.0.3:3");

    give_slots(node, {{"127.0.0.4", 4}, {"127.0.0.2", 2}}, false);
    cut_off.close();
    loop.topology->locator(low).distrust(redirect(Redirect::Kind::none));
    CHECK(loop.locate(low).endpoint.to_string() == "127.0.0.4:4");
}

TEST_CASE("CLUSTERDOWN asks behind the link's back, which stays where it is unless another server is named")
{
    TopologyLoop loop;
    FakeServer& node = loop.add_server();
    give_slots(node, {{"127.0.0.1", 1}, {"127.0.0.2", 2}});
    loop.begin(cluster_of({&node}), Keyspace::cluster_shards);
    int moved = 0;
    loop.topology->locator(low).on_moved = [&] { ++moved; };
    CHECK(loop.locate(low).endpoint.port == 1);
    loop.topology->locator(low).distrust(redirect(Redirect::Kind::cluster_down));
    REQUIRE(loop.run_until([&] { return node.asked("CLUSTER SLOTS") == 2; }));
    give_slots(node, {{"127.0.0.3", 3}, {"127.0.0.2", 2}});
    CHECK(moved == 0);
    loop.topology->locator(low).distrust(redirect(Redirect::Kind::cluster_down));
    CHECK(loop.run_until([&] { return moved == 1; }));
    CHECK(loop.locate(low).endpoint.port == 3);
}

TEST_CASE("without an answer the last known node of a cluster is tried; without any there is a reason")
{
    TopologyLoop loop;
    FakeServer& node = loop.add_server();
    const config::Store store = cluster_of({&node});
    SUBCASE("known")
    {
        give_slots(node, {{"127.0.0.1", 1}, {"127.0.0.2", 2}});
        loop.begin(store, Keyspace::cluster_shards);
        CHECK(loop.locate(low).endpoint.port == 1);
        node.answers.clear();
        loop.topology->locator(low).distrust(redirect(Redirect::Kind::none));
        CHECK(loop.locate(low).endpoint.port == 1);
    }
    SUBCASE("no cluster")
    {
        node.answers["CLUSTER SLOTS"] = "-ERR This instance has cluster support disabled\r\n";
        loop.begin(store, Keyspace::cluster_shards);
        CHECK(loop.locate(low).trouble.find("cluster support disabled") != std::string::npos);
    }
    SUBCASE("nobody has the slot")
    {
        node.answers["CLUSTER SLOTS"] = "*0\r\n";
        loop.begin(store, Keyspace::cluster_shards);
        CHECK(loop.locate(low).trouble == "no node serves slot 247");
    }
}

TEST_CASE("a topology that stops answers who waits")
{
    TopologyLoop loop;
    FakeServer& silent = loop.add_server();
    silent.answers["CLUSTER INFO"] = "";
    loop.begin(cluster_of({&silent}), Keyspace::cluster_shards);
    const auto located = loop.start_locating(low);
    REQUIRE(loop.run_until([&] { return silent.asked("CLUSTER INFO") == 1; }));
    loop.topology->stop();
    REQUIRE(loop.run_until([&] { return located->has_value(); }));
    CHECK((*located)->trouble == "stopping");
}
