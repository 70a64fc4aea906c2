// One fetch for all replicas: who fetches, who waits, and what ends each wait.
#include "tests/support/fleet.hpp"

#include <signal.h>

#include <condition_variable>

namespace larder::tests {

namespace {

const std::string fleet_rules = std::string(item_rules) + R"(
  - name: items-write
    match: PUT /items
    purge: ["item:*"]
)";

/// Plays a story in which replicas wait for each other's fetch. Such a wait ends after a second: where a machine was
/// too busy for that the story became another one, and is played again.
/// @param play  gets the fleet, and returns what is to be checked, as a function
template <class Play>
void play_in_time(std::size_t replicas_count, const Play& play)
{
    constexpr int rounds_limit = 5;
    for (int round = 1;; ++round) {
        Fleet fleet(fleet_rules, replicas_count);
        const auto check = play(fleet);
        const bool in_time = fleet.metric("larder_lease_wait_timeouts_total") == 0;
        if (!in_time && round < rounds_limit) continue;
        CHECK(in_time);
        return check();
    }
}

void await_stored(const Fleet& fleet, const std::string& key)
{
    await_condition("it is stored", [&] { return fleet.redis.command({"EXISTS", "story:{0}:e:" + key}) == "1"; });
}

}  // namespace

TEST_CASE("a thousand concurrent misses on one key over four replicas cost the origin one request")
{
    play_in_time(4, [](Fleet& fleet) {
        fleet.origin.on("/items/1").hold();
        Crowd crowd(fleet, scaled(1000));
        crowd.ask("/items/1");
        await_condition("three replicas wait", [&] { return fleet.metric("larder_lease_waits_total") >= 3; });
        fleet.origin.release("/items/1");
        return [&fleet, responses = crowd.read()] {
            std::size_t stored_count = 0;
            for (const Response& response : responses) {
                CHECK(response.status == 200);
                CHECK(response.body == "GET /items/1 #1");
                if (response.cache_status() == "larder; fwd=uri-miss; stored") ++stored_count;
            }
            CHECK(stored_count == 1);
            CHECK(fleet.origin.requests("/items/1") == 1);
            CHECK(fleet.metric("larder_leases_won_total") == 1);
            await_condition("the lease is free", [&] { return fleet.lease("item:1").empty(); });
        };
    });
}

TEST_CASE("who has waited for another replica's fetch is told so, and gets what it has stored")
{
    play_in_time(2, [](Fleet& fleet) {
        fleet.origin.on("/items/1").hold();
        auto first = fleet.start_get(0, "/items/1");
        fleet.origin.await_requests("/items/1", 1);
        auto second = fleet.start_get(1, "/items/1");
        await_condition("the other replica waits", [&] { return fleet.metric("larder_lease_waits_total") >= 1; });
        fleet.origin.release("/items/1");
        return [&fleet, fetched = first.get(), waited = second.get()] {
            CHECK(fetched.cache_status() == "larder; fwd=uri-miss; stored");
            CHECK(waited.cache_status() == "larder; fwd=uri-miss; collapsed; detail=other-replica");
            CHECK(waited.body == "GET /items/1 #1");
            CHECK(fleet.metric("larder_lease_fetches_spared_total") == 1);
            CHECK(is_hit(fleet.get(1, "/items/1")));
            CHECK(fleet.origin.requests("/items/1") == 1);
        };
    });
}

TEST_CASE("a thousand requests for a key that turns out uncacheable all go to the origin at once: nobody queues")
{
    play_in_time(4, [](Fleet& fleet) {
        const std::size_t count = scaled(1000);
        std::mutex mutex;
        std::condition_variable changed;
        std::size_t there_count = 0;
        bool may_answer = false;
        fleet.origin.on("/items/1").handle([&](Conversation& conversation) {
            std::unique_lock lock(mutex);
            // The first answer comes when the test says so, the others only when all of them stand here together.
            if (conversation.number > 1 && ++there_count == count - 1) changed.notify_all();
            changed.wait_for(lock, step_limit(),
                             [&] { return conversation.number == 1 ? may_answer : there_count == count - 1; });
            lock.unlock();
            conversation.wire.send("HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 4\r\n\r\nmine");
            conversation.keep = true;
        });
        Crowd crowd(fleet, count);
        crowd.ask("/items/1");
        await_condition("three replicas wait", [&] { return fleet.metric("larder_lease_waits_total") >= 3; });
        {
            const std::lock_guard lock(mutex);
            may_answer = true;
        }
        changed.notify_all();
        const std::vector<Response> responses = crowd.read();
        return [&fleet, responses, count, together_count = there_count] {
            for (const Response& response : responses) CHECK(response.body == "mine");
            CHECK(together_count == count - 1);
            CHECK(fleet.origin.requests("/items/1") == count);
            CHECK(fleet.metric("larder_uncacheable_told_total") == 1);
            CHECK(fleet.metric("larder_uncacheable_known_total") == 3);
            CHECK(fleet.lease("item:1").starts_with("U "));
        };
    });
}

TEST_CASE("what one replica has found uncacheable the others pass by without asking again, with the reason")
{
    Fleet fleet(fleet_rules, 2);
    fleet.origin.on("/items/1").header("Set-Cookie", "a=1").reply(200, "", "mine");
    CHECK(fleet.get(0, "/items/1").cache_status() == "larder; fwd=uri-miss; detail=set-cookie");
    await_condition("it is told", [&] { return fleet.metric("larder_uncacheable_told_total") >= 1; });
    const Response response = fleet.get(1, "/items/1");
    CHECK(response.cache_status() == "larder; fwd=bypass; detail=set-cookie");
    await_condition("it is counted",
                    [&] { return fleet.replicas[1]->metric("larder_forwards_total", "reason=\"uncacheable\"") == 1; });
    CHECK(fleet.replicas[1]->metric("larder_fills_total") == 0);
}

TEST_CASE("a request that the app refuses keeps nobody's key out of the cache, in no replica")
{
    Fleet fleet(fleet_rules, 2);
    fleet.origin.on("/items/1").reply(400, "no-store", "what is this?");
    CHECK(fleet.get(0, "/items/1").status == 400);
    await_condition("the lease is back", [&] { return fleet.metric("larder_leases_released_total") >= 1; });
    fleet.origin.on("/items/1").reply(200, "", "fine");
    CHECK(fleet.get(0, "/items/1").cache_status() == "larder; fwd=uri-miss; stored");
    await_condition("all have it",
                    [&] { return fleet.get(1, "/items/1").cache_status().find("; hit") != std::string::npos; });
    CHECK(fleet.metric("larder_uncacheable_told_total") == 0);
}

TEST_CASE("an answer that could be stored ends that its key is uncacheable, for all replicas")
{
    Fleet fleet(fleet_rules, 2);
    fleet.origin.on("/items/1").reply(200, "private", "mine");
    fleet.get(0, "/items/1");
    await_condition("it is told", [&] { return fleet.lease("item:1").starts_with("U "); });
    fleet.origin.on("/items/1").reply(200, "", "everybody's");
    CHECK(fleet.get(0, "/items/1").cache_status() == "larder; fwd=bypass; detail=private");
    await_condition("it is ended", [&] { return fleet.metric("larder_uncacheable_ended_total") == 1; });
    CHECK(fleet.lease("item:1").empty());
    CHECK(fleet.get(1, "/items/1").cache_status() == "larder; fwd=uri-miss; stored");
    await_condition("it is a hit",
                    [&] { return fleet.get(0, "/items/1").cache_status().find("; hit") != std::string::npos; });
}

TEST_CASE("the lease is given back at once, whatever becomes of the fetch")
{
    Fleet fleet(fleet_rules + std::string(R"(
  - name: shared
    match: GET /shared/{id}
    key: shared:{id}
    ttl: 60s
    shared: true
)"),
                1, "max_object: 2KiB\n");
    auto& origin = fleet.origin;
    origin.on("/items/fails").reply(500, "", "no");
    origin.on("/items/drops").drop();
    origin.on("/items/cut").reply(200, "", std::string(1000, 'x')).cut_after(500);
    origin.on("/items/refused").reply(400, "no-store", "x");
    origin.on("/items/often").reply(429, "no-store", "x");
    origin.on("/items/gone").reply(410, "no-store", "x");
    origin.on("/items/private").reply(200, "private", "x");
    origin.on("/items/large").reply(200, "", std::string(10'000, 'x'));
    origin.on("/items/larger").reply(200, "", std::string(10'000, 'x')).chunked(500);
    origin.on("/items/nonsense").raw("what\r\n\r\n");
    origin.on("/items/endless").reply(200, "", "x").until_close();
    origin.on("/items/varying").header("Vary", "*").reply(200, "", "x");
    struct Row {
        const char* why;
        const char* target;
        const char* key;
        std::vector<std::string> fields;
        bool uncacheable;
    };
    const Row rows[] = {
        {"a failure of the app", "/items/fails", "item:fails", {}, false},
        {"no answer", "/items/drops", "item:drops", {}, false},
        {"half a body", "/items/cut", "item:cut", {}, false},
        {"no HTTP", "/items/nonsense", "item:nonsense", {}, false},
        {"one requester's credentials", "/shared/1", "shared:1", {"Authorization: Basic eA=="}, false},
        {"the app refuses this one request", "/items/refused", "item:refused", {}, false},
        {"the app asks this client to wait", "/items/often", "item:often", {}, false},
        {"it is gone, for good or bad", "/items/gone", "item:gone", {}, true},
        {"private", "/items/private", "item:private", {}, true},
        {"no end that can be told from a cut", "/items/endless", "item:endless", {}, true},
        {"for nobody else", "/items/varying", "item:varying", {}, true},
        {"too large by its head", "/items/large", "item:large", {}, true},
        {"too large by its body", "/items/larger", "item:larger", {}, true},
    };
    LarderProcess& replica = *fleet.replicas[0];
    double released = 0, told = 0;
    for (const Row& row : rows) {
        CAPTURE(row.why);
        try {
            fleet.get(0, row.target, row.fields);
        } catch (const Ended&) {
        }  // cut for the client too
        if (row.uncacheable) {
            ++told;
            await_condition("it is told", [&] { return replica.metric("larder_uncacheable_told_total") >= told; });
            CHECK(fleet.lease(row.key).starts_with("U "));
        } else {
            ++released;
            await_condition("it is released",
                            [&] { return replica.metric("larder_leases_released_total") >= released; });
            CHECK(fleet.lease(row.key).empty());
        }
    }
    CHECK(replica.metric("larder_leases_won_total") == std::size(rows));
}

TEST_CASE("a fetch that a purge by pattern has overtaken gives the lease back, and stores nothing")
{
    Fleet fleet(fleet_rules, 2);
    fleet.origin.on("/items/1").hold();
    auto early = fleet.start_get(0, "/items/1");
    fleet.origin.await_requests("/items/1", 1);
    HttpClient admin(fleet.replicas[1]->admin_port());
    const std::string purge = R"({"patterns": ["item:*"]})";
    CHECK(admin.request("POST", "/purge", {"Host: localhost", "Content-Type: application/json"}, purge).status == 200);
    fleet.origin.release("/items/1");
    CHECK(early.get().body == "GET /items/1 #1");
    await_condition("the lease is free", [&] { return fleet.lease("item:1").empty(); });
    CHECK(fleet.get(0, "/items/1").body == "GET /items/1 #2");  // nothing was stored
}

TEST_CASE("a client that leaves takes no lease with it")
{
    play_in_time(2, [](Fleet& fleet) {
        fleet.origin.on("/items/1").hold();
        HttpClient client(fleet.replicas[0]->port());
        client.send("GET", "/items/1");
        fleet.origin.await_requests("/items/1", 1);
        auto second = fleet.start_get(1, "/items/1");
        await_condition("the other replica waits", [&] { return fleet.metric("larder_lease_waits_total") >= 1; });
        client.wire().reset();
        fleet.origin.release("/items/1");
        return [&fleet, response = second.get()] {
            CHECK(response.body == "GET /items/1 #1");
            CHECK(fleet.origin.requests("/items/1") == 1);
            await_condition("the lease is free", [&] { return fleet.lease("item:1").empty(); });
        };
    });
}

TEST_CASE("a replica that must stop before its fetch has ended gives the lease back")
{
    Fleet fleet(fleet_rules, 1, "timeouts:\n  drain: 0ms\n");
    fleet.origin.on("/items/1").silent();
    HttpClient client(fleet.replicas[0]->port());
    client.send("GET", "/items/1");
    fleet.origin.await_requests("/items/1", 1);
    REQUIRE_FALSE(fleet.lease("item:1").empty());
    const milliseconds before = monotonic_time();
    CHECK(fleet.replicas[0]->stop() == 0);
    const bool was_quick = monotonic_time() - before < 2500ms;  // after 3 s it would have ended by itself
    if (was_quick) CHECK(fleet.lease("item:1").empty());
}

TEST_CASE("a replica that is killed while it fetches holds the others up for a bounded time")
{
    Fleet fleet(fleet_rules, 2);
    fleet.origin.on("/items/1").hold();
    HttpClient client(fleet.replicas[0]->port());
    client.send("GET", "/items/1");
    fleet.origin.await_requests("/items/1", 1);
    fleet.replicas[0]->process().signal(SIGKILL);
    fleet.replicas[0]->process().wait_for_exit();
    auto second = fleet.start_get(1, "/items/1");
    fleet.origin.await_requests("/items/1", 2);
    fleet.origin.release("/items/1");
    CHECK(second.get().cache_status() == "larder; fwd=uri-miss; stored");
    await_condition("it is stored", [&] { return is_hit(fleet.get(1, "/items/1")); });
    CHECK(fleet.replicas[1]->metric("larder_lease_wait_timeouts_total") == 1);
    CHECK(contains(fleet.replicas[1]->log(), "gave up waiting for another replica's fetch"));
}

TEST_CASE("an expired response that four replicas serve stale is refreshed once")
{
    Fleet fleet(fleet_rules);
    auto& route = fleet.origin.on("/items/1").reply(200, "max-age=1, stale-while-revalidate=60", "old");
    CHECK(fleet.get(0, "/items/1").body == "old");
    await_stored(fleet, "item:1");
    route.hold().reply(200, "max-age=60", "new");
    for (std::size_t i = 0; i < 4; ++i) {
        await_condition("it is served stale", [&] {
            const Response response = fleet.get(i, "/items/1");
            CHECK(response.body == "old");
            return response.cache_status().starts_with("larder; hit; ttl=-");
        });
    }
    fleet.origin.await_requests("/items/1", 2);
    for (std::size_t i = 0; i < 40; ++i) CHECK(fleet.get(i % 4, "/items/1").body == "old");
    fleet.origin.release("/items/1");
    for (std::size_t i = 0; i < 4; ++i)
        await_condition("the new one is served", [&] { return fleet.get(i, "/items/1").body == "new"; });
    CHECK(fleet.origin.requests("/items/1") == 2);
    CHECK(fleet.lease("item:1").empty());
}

TEST_CASE("a refresh that fails gives the lease back, and the next one renews what is served")
{
    Fleet fleet(fleet_rules, 2);
    auto& route = fleet.origin.on("/items/1").reply(200, "max-age=1, stale-while-revalidate=60", "old");
    for (std::size_t i = 0; i < 2; ++i) CHECK(fleet.get(i, "/items/1").body == "old");
    route.reply(500, "", "no");
    await_condition("a refresh has failed", [&] {
        CHECK(fleet.get(0, "/items/1").body == "old");
        return fleet.metric("larder_leases_released_total") >= 1;
    });
    route.reply(200, "max-age=60", "new");
    for (std::size_t i = 0; i < 2; ++i)
        await_condition("the new one is served", [&] { return fleet.get(1 - i, "/items/1").body == "new"; });
    await_condition("the lease is free", [&] { return fleet.lease("item:1").empty(); });
}

TEST_CASE("when the one fetch of an expired response fails every replica serves it stale, and nobody after a purge")
{
    Fleet fleet(fleet_rules, 3);
    auto& route = fleet.origin.on("GET /items/1").reply(200, "max-age=1, stale-if-error=60", "old");
    CHECK(fleet.get(0, "/items/1").body == "old");
    await_stored(fleet, "item:1");
    route.hold().reply(503, "", "no");
    std::vector<std::future<Response>> readers;
    await_condition("it has expired", [&] {
        readers.push_back(fleet.start_get(0, "/items/1"));
        return fleet.origin.requests("GET /items/1") >= 2;
    });
    for (std::size_t i = 1; i < 3; ++i) readers.push_back(fleet.start_get(i, "/items/1"));
    await_condition("two replicas wait", [&] { return fleet.metric("larder_lease_waits_total") >= 2; });
    fleet.origin.release("GET /items/1");
    for (auto& reader : readers) {
        const Response response = reader.get();
        CHECK(response.status == 200);
        CHECK(response.body == "old");
    }
    await_condition("the lease is free", [&] { return fleet.lease("item:1").empty(); });
    CHECK(fleet.request(1, "PUT", "/items/1", {}, "x").status == 200);
    for (std::size_t i = 0; i < 3; ++i) CHECK(fleet.get(i, "/items/1").status == 503);
}

TEST_CASE("an expired response is revalidated once, and all replicas have the new one")
{
    play_in_time(4, [](Fleet& fleet) {
        auto& route = fleet.origin.on("/items/1").header("ETag", "\"1\"").reply(200, "max-age=1", "old");
        CHECK(fleet.get(0, "/items/1").body == "old");
        await_stored(fleet, "item:1");
        route.hold().reply(304, "max-age=60", "");
        std::vector<std::future<Response>> readers;
        await_condition("it has expired", [&] {
            readers.push_back(fleet.start_get(0, "/items/1"));
            return fleet.origin.requests("/items/1") >= 2;
        });
        for (std::size_t i = 1; i < 4; ++i) readers.push_back(fleet.start_get(i, "/items/1"));
        await_condition("three replicas wait", [&] { return fleet.metric("larder_lease_waits_total") >= 3; });
        fleet.origin.release("/items/1");
        for (auto& reader : readers) CHECK(reader.get().body == "old");
        return [&fleet] {
            CHECK(fleet.origin.requests("/items/1") == 2);
            for (std::size_t i = 0; i < 4; ++i)
                await_condition("it is stored", [&] { return is_hit(fleet.get(i, "/items/1")); });
        };
    });
}

TEST_CASE("a purge ends the wait for a fetch that began before it: the answer is fresh")
{
    // By hand: a write would first open a mark, and who looks again while it stands passes by.
    std::string purge;
    SUBCASE("by its key") { purge = R"({"keys": ["item:1"]})"; }
    SUBCASE("by a pattern") { purge = R"({"patterns": ["item:*"]})"; }
    play_in_time(3, [&](Fleet& fleet) {
        fleet.origin.on("GET /items/1").hold();
        auto early = fleet.start_get(0, "/items/1");
        fleet.origin.await_requests("GET /items/1", 1);
        auto waiting = fleet.start_get(1, "/items/1");
        await_condition("the other replica waits", [&] { return fleet.metric("larder_lease_waits_total") >= 1; });
        HttpClient admin(fleet.replicas[2]->admin_port());
        CHECK(admin.request("POST", "/purge", {"Host: localhost", "Content-Type: application/json"}, purge).status ==
              200);
        fleet.origin.await_requests("GET /items/1", 2);  // while the first is still held
        fleet.origin.release("GET /items/1");
        return [&fleet, before = early.get(), after = waiting.get()] {
            CHECK(before.body == "GET /items/1 #1");
            CHECK(after.body == "GET /items/1 #2");
            CHECK(fleet.get(2, "/items/1").body == "GET /items/1 #2");
            CHECK(fleet.origin.requests("GET /items/1") == 2);
        };
    });
}

TEST_CASE("whoever comes after a purge shares a fetch that began after it, and no older one, through whatever replica")
{
    Fleet fleet(fleet_rules, 3);
    fleet.origin.on("GET /items/1").hold();
    auto early = fleet.start_get(0, "/items/1");
    fleet.origin.await_requests("GET /items/1", 1);
    auto waiting = fleet.start_get(1, "/items/1");
    await_condition("the other replica waits", [&] { return fleet.metric("larder_lease_waits_total") >= 1; });
    const auto purge_by_hand = [&](const std::string& what) {
        HttpClient admin(fleet.replicas[2]->admin_port());
        return admin.request("POST", "/purge", {"Host: localhost", "Content-Type: application/json"}, what).status;
    };
    int status = 0;
    SUBCASE("by hand, its key") { status = purge_by_hand(R"({"keys": ["item:1"]})"); }
    SUBCASE("by hand, a pattern") { status = purge_by_hand(R"({"patterns": ["item:*"]})"); }
    SUBCASE("by a write to it") { status = fleet.request(2, "PUT", "/items/1", {}, "x").status; }
    SUBCASE("by a write to all") { status = fleet.request(2, "PUT", "/items", {}, "x").status; }
    CHECK(status == 200);
    std::vector<std::future<Response>> late;
    for (std::size_t i = 0; i < 6; ++i) late.push_back(fleet.start_get(i % 3, "/items/1"));
    await_condition("a fetch is under way in whose lease the others wait",
                    [&] { return fleet.origin.requests("GET /items/1") >= 2; });
    fleet.origin.release("GET /items/1");
    for (auto& reader : late) CHECK(reader.get().body != "GET /items/1 #1");
    CHECK(waiting.get().status == 200);
    CHECK(early.get().body == "GET /items/1 #1");
    for (std::size_t i = 0; i < 3; ++i) CHECK(fleet.get(i, "/items/1").body != "GET /items/1 #1");
}

TEST_CASE("a write that begins during the wait sends the waiting by")
{
    Fleet fleet(fleet_rules, 3);
    fleet.origin.on("GET /items/1").hold();
    fleet.origin.on("PUT /items/1").hold();
    auto early = fleet.start_get(0, "/items/1");
    fleet.origin.await_requests("GET /items/1", 1);
    auto waiting = fleet.start_get(1, "/items/1");
    await_condition("the other replica waits", [&] { return fleet.metric("larder_lease_waits_total") >= 1; });
    auto writing = std::async(std::launch::async, [&] { return fleet.request(2, "PUT", "/items/1", {}, "x"); });
    fleet.origin.await_requests("GET /items/1", 2);
    fleet.origin.release("GET /items/1");
    CHECK(waiting.get().cache_status() == "larder; fwd=bypass; detail=write-open");
    fleet.origin.release("PUT /items/1");
    CHECK(writing.get().status == 200);
    CHECK(early.get().status == 200);
}

TEST_CASE("variants that nobody knew of are each fetched once")
{
    play_in_time(3, [](Fleet& fleet) {
        std::promise<void> go_on;
        auto allowed = go_on.get_future().share();
        fleet.origin.on("/items/1").handle([allowed](Conversation& conversation) {
            const std::string body = "in " + conversation.request.field("Accept-Language");
            if (conversation.number == 1) allowed.wait();
            conversation.wire.send("HTTP/1.1 200 OK\r\nVary: Accept-Language\r\nContent-Length: " +
                                   std::to_string(body.size()) + "\r\n\r\n" + body);
            conversation.keep = true;
        });
        auto first = fleet.start_get(0, "/items/1", {"Accept-Language: de"});
        fleet.origin.await_requests("/items/1", 1);
        auto same = fleet.start_get(1, "/items/1", {"Accept-Language: de"});
        auto other = fleet.start_get(2, "/items/1", {"Accept-Language: fr"});
        await_condition("the other replicas wait", [&] { return fleet.metric("larder_lease_waits_total") >= 2; });
        go_on.set_value();
        CHECK(first.get().body == "in de");
        CHECK(same.get().body == "in de");
        CHECK(other.get().body == "in fr");
        return [&fleet] { CHECK(fleet.origin.requests("/items/1") == 2); };
    });
}

TEST_CASE("coalesce: process lets each replica fetch for itself")
{
    Fleet fleet(R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 60s
    coalesce: process
)",
                2);
    fleet.origin.on("/items/1").hold();
    auto first = fleet.start_get(0, "/items/1");
    auto second = fleet.start_get(1, "/items/1");
    fleet.origin.await_requests("/items/1", 2);
    CHECK(fleet.lease("item:1").empty());
    fleet.origin.release("/items/1");
    CHECK(first.get().status == 200);
    CHECK(second.get().status == 200);
    CHECK(fleet.metric("larder_leases_won_total") == 0);
}

TEST_CASE("Redis lost during the wait: each replica goes on by itself")
{
    Fleet fleet(fleet_rules, 2);
    fleet.origin.on("/items/1").hold();
    auto first = fleet.start_get(0, "/items/1");
    fleet.origin.await_requests("/items/1", 1);
    auto second = fleet.start_get(1, "/items/1");
    await_condition("the other replica waits", [&] { return fleet.metric("larder_lease_waits_total") >= 1; });
    fleet.redis.kill();
    fleet.origin.await_requests("/items/1", 2);
    fleet.origin.release("/items/1");
    CHECK(first.get().status == 200);
    CHECK(second.get().status == 200);
}

}  // namespace larder::tests
