// Redis reached in every way, and Redis gone: killed, paused, restarted empty, full of foreign values.
#include <future>

#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const std::string stored_rules = std::string(item_rules) + R"(
  - name: strict
    match: GET /strict/{id}
    key: strict:{id}
    ttl: 60s
  - name: strict-write
    match: PUT /strict/{id}
    purge: ["strict:{id}"]
    on_store_error: reject
)";

/// How long a request may take when Redis is away: its deadline of 50 ms a few times over, and a busy machine.
constexpr milliseconds bounded_delay{1000};

}  // namespace

TEST_CASE("Redis may be reached over TCP, over a unix socket and with TLS, always as a user that cannot scan")
{
    for (const auto kind : {RedisProcess::Kind::tcp, RedisProcess::Kind::unix_socket, RedisProcess::Kind::tls}) {
        CAPTURE(static_cast<int>(kind));
        RedisProcess redis(kind);
        ScriptedOrigin origin;
        const std::string upstream = "upstream: http://127.0.0.1:" + std::to_string(origin.port()) + "\n";
        std::string store = "store:\n  url: " + redis.url() + "\n";
        if (kind == RedisProcess::Kind::tls) store += "  ca_file: " + redis.authority_file() + "\n";
        {
            LarderProcess larder(upstream + store + stored_rules);
            HttpClient client(larder.port());
            CHECK(client.get("/items/1").cache_status() == "larder; fwd=uri-miss; stored");
            await_condition("it is stored", [&] { return is_hit(client.get("/items/1")); });
        }
        // Another process finds what the first one stored: it is in Redis.
        LarderProcess larder(upstream + store + stored_rules);
        HttpClient client(larder.port());
        const std::size_t asked_count = origin.requests();
        CHECK(is_hit(client.get("/items/1")));
        CHECK(origin.requests() == asked_count);
    }
}

TEST_CASE("a look-up in Redis counts as one read, and what is stored as one write")
{
    RedisProcess redis;
    ScriptedOrigin origin;
    LarderProcess larder("upstream: http://127.0.0.1:" + std::to_string(origin.port()) +
                         "\nmemory: 0\nstore:\n  url: " + redis.url() + "\n" + stored_rules);
    HttpClient client(larder.port());
    CHECK(client.get("/items/1").cache_status() == "larder; fwd=uri-miss; stored");
    await_condition("it is stored", [&] { return is_hit(client.get("/items/1")); });
    CHECK(larder.metric("larder_store_puts_total") == 1);
    const auto reads = larder.metric("larder_store_gets_total");
    for (int i = 0; i < 3; ++i) CHECK(is_hit(client.get("/items/1")));
    CHECK(larder.metric("larder_store_gets_total") == reads + 3);
}

TEST_CASE("the password may come from a file, and stands in no log")
{
    RedisProcess redis;
    ScriptedOrigin origin;
    const TemporaryDirectory directory;
    const std::string file = directory.write("password", std::string(RedisProcess::password) + "\n");
    std::string url = redis.url();
    url.replace(url.find(":" + std::string(RedisProcess::password)), std::string(RedisProcess::password).size() + 1,
                "");
    LarderProcess larder("upstream: http://127.0.0.1:" + std::to_string(origin.port()) + "\nstore:\n  url: " + url +
                         "\n  password_file: " + file + "\nlog:\n  level: debug\n" + stored_rules);
    HttpClient client(larder.port());
    await_condition("it is stored", [&] { return is_hit(client.get("/items/1")); });
    CHECK(larder.log().find(RedisProcess::password) == std::string::npos);
    CHECK(larder.admin("GET", "/metrics").body.find(RedisProcess::password) == std::string::npos);
}

TEST_CASE("Redis killed and restarted under load: no client sees an error, and hits come back")
{
    Stage stage(over<OverRedis>(stored_rules));
    std::atomic<bool> done{false};
    std::atomic<int> errors{0}, requests{0}, hits{0};
    std::vector<std::future<void>> clients;
    for (int i = 0; i < 8; ++i) {
        clients.push_back(std::async(std::launch::async, [&, i] {
            try {
                HttpClient client(stage.larder->port());
                for (int n = 0; !done; ++n) {
                    const std::string target = "/items/" + std::to_string((i + n) % 20);
                    const bool writes = n % 50 == 49;
                    const milliseconds before = monotonic_time();
                    const Response response = writes ? client.request("PUT", target, {}, "x") : client.get(target);
                    if (response.status != 200) ++errors;
                    if (is_hit(response)) ++hits;
                    if (monotonic_time() - before > 2 * bounded_delay) ++errors;
                    ++requests;
                }
            } catch (const std::exception& problem) {
                MESSAGE(problem.what());
                ++errors;
            }
        }));
    }
    const auto after_requests = [&](int count) {
        const int begin = requests;
        await_condition("the load goes on", [&] { return requests >= begin + count || errors > 0; });
    };
    after_requests(500);
    for (int round = 0; round < 3; ++round) {
        stage.redis->kill();
        after_requests(500);
        stage.redis->start();
        const int hits_before = hits;
        await_condition("hits come back", [&] { return hits > hits_before + 100 || errors > 0; });
    }
    done = true;
    for (auto& client : clients) client.get();
    CHECK(errors == 0);
    CHECK(stage.larder->metric("larder_store_downs_total") >= 1);
}

TEST_CASE("while Redis is away readers pass by with the reason, and the health endpoint and the log say so")
{
    Stage stage(over<OverRedis>(stored_rules));
    stage.fill("/items/1");
    stage.redis->kill();
    await_condition("requests pass by",
                    [&] { return stage.get("/items/1").cache_status() == "larder; fwd=bypass; detail=store-away"; });
    const Response ready = stage.larder->admin("GET", "/readyz");
    CHECK(ready.status == 200);  // it serves: taking it out of rotation would make things worse
    CAPTURE(ready.body);
    const Response health = stage.larder->admin("GET", "/health/cache");
    CHECK(health.status == 200);
    CHECK((ready.body + health.body).find("degraded") != std::string::npos);
    CHECK(stage.larder->log().find("store is down") != std::string::npos);
    CHECK(stage.larder->metric("larder_store_up") == 0);
    stage.redis->start();
    stage.fill("/items/1");
    CHECK(stage.larder->log().find("store is up") != std::string::npos);
    await_condition("every worker is connected", [&] { return stage.larder->metric("larder_store_up") == 1; });
}

TEST_CASE("a Redis that hangs costs a request a bounded delay, and soon none")
{
    Stage stage(over<OverRedis>(stored_rules));
    stage.fill("/items/1");
    stage.redis->stop();
    for (int i = 0; i < 20; ++i) {
        const milliseconds before = monotonic_time();
        CHECK(stage.get("/items/1").status == 200);
        CHECK(monotonic_time() - before < bounded_delay);
        CHECK(stage.request("PUT", "/items/2", {}, "x").status == 200);
    }
    stage.redis->go_on();
    stage.fill("/items/1");
}

TEST_CASE("a miss is answered and its fill ends, at whatever step Redis fails it")
{
    using Step = std::function<void(RedisProcess&)>;
    const Step nothing = [](RedisProcess&) {};
    const auto may = [](std::vector<std::string> commands) -> Step {
        commands.insert(commands.begin(), {"ACL", "SETUSER", "larder"});
        return [commands](RedisProcess& redis) { redis.command(commands); };
    };
    const Step refuse = may({"-evalsha", "-eval"}), allow = may({"+evalsha", "+eval"});
    const Step refuse_all = may({"-evalsha", "-eval", "-set"}), allow_all = may({"+evalsha", "+eval", "+set"});
    const Step forget = [](RedisProcess& redis) { redis.command({"SCRIPT", "FLUSH"}); };
    // Somebody has the lease of the next miss, for a moment: the script is asked.
    int number = 0;
    const Step fetch_elsewhere = [&number, forget](RedisProcess& redis) {
        const std::string lease = "story:{0}:l:item:of-" + std::to_string(number);
        redis.command({"SET", lease, "somebody@1", "PX", "100"});
        forget(redis);
    };
    struct Row {
        std::string why;
        Step before, meanwhile, after;  // the request; while the app answers; once the client has its answer
        bool stored;
    };
    const Row rows[] = {
        {"nothing", nothing, nothing, nothing, true},
        {"does not know the scripts, neither the lease's", fetch_elsewhere, nothing, nothing, true},
        {"nor the store's", nothing, forget, nothing, true},
        {"refuses the lease, and to store", refuse_all, nothing, allow_all, false},
        {"gives the lease, and refuses to run the script", nothing, refuse, allow, false},
        {"gives the lease, and refuses what the script does", nothing, may({"-rename"}), may({"+rename"}), false},
        {"refuses the lease, and stores", refuse_all, allow_all, nothing, true},
        {"hangs when it should store", nothing, &RedisProcess::stop, &RedisProcess::go_on, false},
        {"goes away, and cannot store", nothing, &RedisProcess::kill, &RedisProcess::start, false},
    };
    StageOptions options = over<OverRedis>(stored_rules);
    options.workers = 1;  // each has a connection of its own to Redis
    Stage stage(options);
    LarderProcess& larder = *stage.larder;
    stage.fill("/items/0");
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const std::string target = "/items/of-" + std::to_string(++number);
        stage.origin.on(target).hold();
        row.before(*stage.redis);
        auto miss = stage.start_get(target);
        stage.origin.await_requests(target, 1);
        row.meanwhile(*stage.redis);
        stage.origin.release(target);
        CHECK(miss.get().body == "GET " + target + " #1");
        await_condition("the fill has ended", [&] { return larder.metric("larder_fills") == 0; });
        row.after(*stage.redis);
        await_condition("the store is up", [&] { return larder.metric("larder_store_up") == 1; });
        CHECK(is_hit(stage.get(target)) == row.stored);
        await_condition("it is stored in the end", [&] { return is_hit(stage.get(target)); });
    }
    CHECK(contains(larder.log(), "give the user what the command of `larder acl` says"));
}

TEST_CASE("nothing stale is served after Redis comes back, whether it kept its data or lost it")
{
    for (const bool keeps_data : {true, false}) {
        CAPTURE(keeps_data);
        Stage stage(over<OverRedis>(stored_rules));
        std::atomic<int> value{1};
        stage.origin.on("GET /items/1").handle([&](Conversation& conversation) {
            const std::string body = std::to_string(value.load());
            conversation.wire.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
                                   body);
            conversation.keep = true;
        });
        CHECK(stage.fill("/items/1").body == "1");
        if (keeps_data) {
            stage.redis->stop();
        } else {
            stage.redis->kill();
        }
        value = 2;
        CHECK(stage.request("PUT", "/items/1", {}, "2").status == 200);  // its purge cannot reach Redis
        CHECK(stage.get("/items/1").body == "2");
        if (keeps_data) {
            stage.redis->go_on();
        } else {
            stage.redis->start();
        }
        await_condition("hits come back", [&] {
            const Response response = stage.get("/items/1");
            CHECK(response.body == "2");
            return is_hit(response);
        });
    }
}

TEST_CASE("FLUSHALL behind the back costs misses and serves nothing stale")
{
    Stage stage(over<OverRedis>(stored_rules));
    stage.fill("/items/1");
    stage.redis->command({"FLUSHALL"});
    CHECK(stage.request("PUT", "/items/1", {}, "x").status == 200);
    CHECK_FALSE(is_hit(stage.get("/items/1")));
    stage.fill("/items/1");
}

TEST_CASE("on_store_error: reject refuses a write before the app sees it; forward lets it through and says so")
{
    Stage stage(over<OverRedis>(stored_rules));
    stage.fill("/items/1");
    stage.redis->kill();
    await_condition("the loss is noticed",
                    [&] { return stage.get("/items/1").cache_status() == "larder; fwd=bypass; detail=store-away"; });
    const Response rejected = stage.request("PUT", "/strict/1", {}, "x");
    CHECK(rejected.status == 503);
    CHECK(rejected.has("Retry-After"));
    CHECK(rejected.field("Content-Type") == "application/problem+json");
    CHECK(stage.origin.requests("/strict/1") == 0);
    CHECK(stage.larder->metric("larder_writes_rejected_total") == 1);

    const Response forwarded = stage.request("PUT", "/items/1", {}, "x");
    CHECK(forwarded.status == 200);
    CHECK(stage.origin.requests("PUT /items/1") == 1);
    CHECK(stage.larder->metric("larder_purge_deferred_total") >= 1);
    stage.redis->start();
    await_condition("the purge is replayed", [&] { return stage.larder->metric("larder_purge_replayed_total") >= 1; });
    CHECK(stage.request("PUT", "/strict/1", {}, "x").status == 200);
}

TEST_CASE("a write whose answer is lost while Redis hangs keeps its key from the cache: the app may act on it yet")
{
    StageOptions options = over<OverRedis>(stored_rules);
    options.workers = 1;  // each has a connection of its own to Redis
    Stage stage(options);
    stage.fill("/items/1");
    std::promise<void> arrived, lost;
    stage.origin.on("PUT /items/1").handle([&](Conversation&) {
        arrived.set_value();
        lost.get_future().wait();
    });
    auto write = stage.start_request("PUT", "/items/1", {}, "x");
    arrived.get_future().wait();  // the write has its mark
    stage.redis->stop();
    lost.set_value();
    CHECK(write.get().status == 502);
    CHECK(stage.larder->metric("larder_purge_deferred_total") >= 1);
    stage.redis->go_on();
    await_condition("what was deferred is replayed", [&] {
        return stage.larder->metric("larder_store_up") == 1 && stage.larder->metric("larder_purge_replayed_total") ==
                                                                   stage.larder->metric("larder_purge_deferred_total");
    });
    await_condition("every worker looks again",
                    [&] { return stage.get("/items/1").cache_status().find("store-away") == std::string::npos; });
    for (int i = 0; i < 4; ++i) CHECK(stage.get("/items/1").cache_status() == "larder; fwd=bypass; detail=write-open");
}

TEST_CASE("a start without Redis serves, and caches once Redis is there")
{
    RedisProcess redis;
    redis.kill();
    ScriptedOrigin origin;
    LarderProcess larder("upstream: http://127.0.0.1:" + std::to_string(origin.port()) + "\nstore: " + redis.url() +
                         "\n" + stored_rules);
    HttpClient client(larder.port());
    CHECK(client.get("/items/1").status == 200);
    redis.start();
    await_condition("hits come", [&] { return is_hit(client.get("/items/1")); });
}

TEST_CASE("a Redis that will refuse purges when it is full is warned of at the start")
{
    RedisProcess redis;
    ScriptedOrigin origin;
    const std::string yaml =
        "upstream: http://127.0.0.1:" + std::to_string(origin.port()) + "\nstore: " + redis.url() + "\n" + stored_rules;
    const std::string warning = "store will refuse purges when its memory is full";
    redis.command({"CONFIG", "SET", "maxmemory", "100mb"});
    redis.command({"CONFIG", "SET", "maxmemory-policy", "noeviction"});
    const LarderProcess warned(yaml);
    CHECK(warned.log().find(warning) != std::string::npos);
    redis.command({"CONFIG", "SET", "maxmemory-policy", "volatile-lru"});
    const LarderProcess content(yaml);
    CHECK(content.log().find(warning) == std::string::npos);
}

TEST_CASE(
    "a namespace laid out for another number of shards is not used: everything passes by, and the operator is told")
{
    RedisProcess redis;
    redis.command({"SET", "story:{0}:conf", "shards=12"});
    ScriptedOrigin origin;
    LarderProcess larder("upstream: http://127.0.0.1:" + std::to_string(origin.port()) +
                         "\nnamespace: story\nstore: " + redis.url() + "\n" + stored_rules);
    HttpClient client(larder.port());
    for (int i = 0; i < 3; ++i) CHECK(client.get("/items/1").cache_status() == "larder; fwd=bypass; detail=store-away");
    CHECK(client.request("PUT", "/items/1", {}, "x").field("X-Cache-Purge") == "deferred");
    CHECK(client.request("PUT", "/strict/1", {}, "x").status == 503);
    CHECK(larder.metric("larder_store_layouts_refused_total") >= 1);
    CHECK(larder.log().find("laid out for another number of shards") != std::string::npos);
    CHECK(larder.admin("GET", "/health/cache").body.find(R"("store":"refused")") != std::string::npos);

    redis.command({"DEL", "story:{0}:conf"});
    await_condition("it is used", [&] { return is_hit(client.get("/items/1")); });
    CHECK(larder.metric("larder_purge_replayed_total") == larder.metric("larder_purge_deferred_total"));
}

TEST_CASE("a value in Redis that is no entry is a miss and is counted, never an error")
{
    Stage stage(over<OverRedis>(stored_rules));
    stage.fill("/items/1");
    const std::string keys = stage.redis->command({"KEYS", "story*:e:*"});
    CAPTURE(keys);
    REQUIRE_FALSE(keys.empty());
    const std::string good = stage.redis->command({"GET", keys});
    // A fresh process has nothing in memory, so that it must read what stands in Redis.
    const std::string yaml = "upstream: http://127.0.0.1:" + std::to_string(stage.origin.port()) +
                             "\nnamespace: story\nstore: " + stage.redis->url() + "\n" + stored_rules;
    std::string changed_body = good;
    changed_body[changed_body.size() - 1] ^= 1;
    for (const std::string& value :
         {std::string("garbage"), std::string(), good.substr(0, good.size() / 2), changed_body,
          std::string(16, '9') + " nonsense\n", std::string(16, '9') + good.substr(16)}) {
        CAPTURE(value);
        stage.redis->command({"SET", keys, value});
        LarderProcess larder(yaml);
        HttpClient client(larder.port());
        const Response response = client.get("/items/1");
        CHECK(response.status == 200);
        CHECK(response.body.starts_with("GET /items/1 #"));
        CHECK_FALSE(is_hit(response));
        CHECK(larder.metric("larder_store_malformed_total") >= 1);
        CHECK(larder.log().find("a stored response is not as it was written") != std::string::npos);
        // It does not keep out what is stored in its place.
        await_condition("it is stored anew", [&] { return is_hit(client.get("/items/1")); });
    }
    std::string of_other_version = good;
    of_other_version.replace(good.find(" larder/2 "), 10, " larder/1 ");
    stage.redis->command({"SET", keys, of_other_version});
    LarderProcess larder(yaml);
    HttpClient client(larder.port());
    CHECK_FALSE(is_hit(client.get("/items/1")));
    CHECK(larder.metric("larder_store_malformed_total") >= 1);
    CHECK(larder.log().find("a stored response is of another version of Larder") != std::string::npos);
    await_condition("it is stored anew", [&] { return is_hit(client.get("/items/1")); });
}

TEST_CASE("an entry in Redis can be read by a person, has an expiry, and stands under the namespace")
{
    Stage stage(over<OverRedis>(stored_rules));
    stage.origin.on("/items/1").header("X-Kind", "item").reply(200, "", "the body itself");
    stage.fill("/items/1");
    const std::string key = stage.redis->command({"KEYS", "story*:e:*"});
    CAPTURE(key);
    CHECK(key.find("item:1") != std::string::npos);
    const std::string entry = stage.redis->command({"GET", key});
    CHECK(entry.find("X-Kind: item\r\n") != std::string::npos);
    CHECK(entry.ends_with("the body itself"));
    CHECK(std::stoll(stage.redis->command({"PTTL", key})) > 0);
}

}  // namespace larder::tests
