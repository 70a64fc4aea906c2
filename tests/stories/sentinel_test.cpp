// Redis behind Sentinel: found through the sentinels, followed when they elect another master, trusted never once it
// is deposed. One set of processes plays all stories but those that break it for good.
#include "tests/support/redis_group.hpp"
#include "tests/support/stage.hpp"
#include "tests/support/versioned_load.hpp"

namespace larder::tests {

namespace {

/// Whole at the start of each story; who is the master differs.
SentinelSet& shared_set()
{
    static SentinelSet set;
    set.restore();
    return set;
}

std::string yaml(const ScriptedOrigin& origin, const SentinelSet& set)
{
    return "upstream: http://127.0.0.1:" + std::to_string(origin.port()) + "\nnamespace: story\nworkers: 2\n" +
           set.store_yaml() + versioned_item_rules;
}

Response fill(LarderProcess& larder, const std::string& target)
{
    HttpClient client(larder.port());
    Response response;
    await_condition("GET " + target + " becomes a hit", [&] {
        response = client.get(target);
        return is_hit(response);
    });
    return response;
}

}  // namespace

TEST_CASE("behind Sentinel entries are shared and purged as with one server, exactly and by pattern")
{
    SentinelSet& set = shared_set();
    ScriptedOrigin origin;
    LarderProcess one(yaml(origin, set)), other(yaml(origin, set));
    HttpClient client(one.port()), other_client(other.port());
    CHECK(client.get("/items/a").cache_status().starts_with("larder; fwd="));
    const std::string body = fill(one, "/items/a").body;
    CHECK(fill(other, "/items/a").body == body);

    CHECK(client.request("PUT", "/items/a", {}, "x").status == 200);
    CHECK_FALSE(is_hit(other_client.get("/items/a")));
    CHECK(fill(other, "/items/a").body != body);

    fill(one, "/items/b");
    CHECK(other_client.request("DELETE", "/items").status == 200);
    CHECK_FALSE(is_hit(client.get("/items/b")));
    for (const char* secret : {"a-secret-of-the-test", "a-secret-of-the-sentinels"})
        CHECK(one.log().find(secret) == std::string::npos);
    CHECK(one.log().find("listening to a sentinel") != std::string::npos);
    CHECK(one.metric("larder_store_lookups_total") >= 1);
}

TEST_CASE("a master killed under load: the next one is used, no client sees an error, nothing stale is served")
{
    SentinelSet& set = shared_set();
    ScriptedOrigin origin;
    VersionedItems items(origin);
    LarderProcess larder(yaml(origin, set));
    {
        VersionedLoad load(larder.port(), items);
        load.await_hits(100);
        RedisNode& master = set.master();
        master.kill();
        set.await_failover(master);
        load.await_hits(100);
        load.stop();
        CHECK(load.errors == 0);
        CHECK(load.stale == 0);
    }
    CHECK(larder.metric("larder_store_failovers_total") >= 1);
    CHECK(larder.log().find("store has moved") != std::string::npos);
    await_condition("every worker is connected", [&] { return larder.metric("larder_store_up") == 1; });
}

TEST_CASE("a master that hangs and comes back deposed is not asked again, nothing stale is served")
{
    SentinelSet& set = shared_set();
    ScriptedOrigin origin;
    VersionedItems items(origin);
    LarderProcess larder(yaml(origin, set));
    {
        VersionedLoad load(larder.port(), items);
        load.await_hits(100);
        RedisNode& master = set.master();
        master.stop();
        set.await_failover(master);
        load.await_hits(100);
        master.go_on();  // it still believes to be the master, until the sentinels tell it
        load.await_hits(100);
        set.restore();
        load.await_hits(100);
        load.stop();
        CHECK(load.errors == 0);
        CHECK(load.stale == 0);
    }
}

TEST_CASE("a failover by hand moves the links at once, though the old master stays up")
{
    SentinelSet& set = shared_set();
    ScriptedOrigin origin;
    LarderProcess larder(yaml(origin, set));
    fill(larder, "/items/a");
    set.hand_over();
    await_condition("the links have moved", [&] { return larder.metric("larder_store_failovers_total") >= 2; });
    HttpClient client(larder.port());
    CHECK(client.request("PUT", "/items/a", {}, "x").status == 200);
    fill(larder, "/items/a");
    CHECK(larder.metric("larder_purge_deferred_total") == 0);
}

TEST_CASE("behind Sentinel with TLS and logins; and when the sentinels go, the master in use stays in use")
{
    SentinelSet set(Wires::tls);
    ScriptedOrigin origin;
    LarderProcess larder(yaml(origin, set));
    fill(larder, "/items/a");
    for (const auto& sentinel : set.sentinels()) sentinel->kill();
    await_condition("the loss is noticed",
                    [&] { return larder.log().find("no sentinel is listened to") != std::string::npos; });
    CHECK(larder.metric("larder_store_sentinel_downs_total") >= 1);
    fill(larder, "/items/a");

    LarderProcess late(yaml(origin, set));
    HttpClient client(late.port());
    CHECK(client.get("/items/a").status == 200);
    CHECK(late.log().find("no sentinel names the master") != std::string::npos);
    set.restore();
    fill(late, "/items/a");
    await_condition("a sentinel is listened to",
                    [&] { return late.log().find("listening to a sentinel") != std::string::npos; });
}

}  // namespace larder::tests
