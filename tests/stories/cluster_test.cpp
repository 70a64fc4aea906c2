// Redis Cluster: every shard's keys lie in one slot, each slot on one of three masters. One cluster plays all stories
// but the one over TLS; at the start of each it is whole, though other nodes may be the masters.
#include <map>
#include <set>

#include "tests/support/redis_group.hpp"
#include "tests/support/stage.hpp"
#include "tests/support/versioned_load.hpp"

namespace larder::tests {

namespace {

/// Slots of two shards: by the hash tags 10 and 40.
constexpr unsigned first_slot = 247, last_slot = 16130;

ClusterNodes& shared_cluster()
{
    static ClusterNodes cluster;
    cluster.restore();
    return cluster;
}

std::string yaml(const ScriptedOrigin& origin, const ClusterNodes& cluster, const std::string& options = "")
{
    return "upstream: http://127.0.0.1:" + std::to_string(origin.port()) + "\nnamespace: story\nworkers: 2\n" +
           cluster.store_yaml() + options + versioned_item_rules;
}

void await_hit(HttpClient& client, const std::string& target)
{
    await_condition("GET " + target + " becomes a hit", [&] { return is_hit(client.get(target)); });
}

void fill_all(HttpClient& client)
{
    for (std::size_t item = 0; item < VersionedItems::count; ++item) await_hit(client, VersionedItems::target(item));
}

/// The items whose entries are on a node.
std::set<std::size_t> items_on(const RedisNode& node)
{
    std::set<std::size_t> items;
    const std::string keys = node.command({"KEYS", "story:{*}:e:item:*"}) + "\n";
    for (std::size_t item = 0; item < VersionedItems::count; ++item)
        if (keys.find(":e:item:" + std::to_string(item) + "\n") != std::string::npos) items.insert(item);
    return items;
}

}  // namespace

TEST_CASE("in a cluster the entries lie on all masters, are shared, and are purged exactly and by pattern")
{
    ClusterNodes& cluster = shared_cluster();
    ScriptedOrigin origin;
    LarderProcess one(yaml(origin, cluster)), other(yaml(origin, cluster));
    HttpClient client(one.port()), other_client(other.port());
    CHECK_FALSE(is_hit(client.get("/items/0")));
    fill_all(client);
    for (const unsigned slot : {first_slot, 8000u, last_slot}) {
        CAPTURE(slot);
        CHECK_FALSE(items_on(cluster.master_of(slot)).empty());
    }
    const std::size_t asked_count = origin.requests();
    for (std::size_t item = 0; item < VersionedItems::count; ++item)
        CHECK(is_hit(other_client.get(VersionedItems::target(item))));
    CHECK(origin.requests() == asked_count);

    CHECK(client.request("PUT", "/items/3", {}, "x").status == 200);
    CHECK_FALSE(is_hit(other_client.get("/items/3")));
    CHECK(is_hit(other_client.get("/items/4")));
    fill_all(client);
    CHECK(other_client.request("DELETE", "/items").status == 200);
    for (std::size_t item = 0; item < VersionedItems::count; ++item)
        CHECK_FALSE(is_hit(client.get(VersionedItems::target(item))));
    CHECK(one.metric("larder_store_lookups_total") >= 1);
    CHECK(one.metric("larder_store_redirects_total") == 0);
    CHECK(one.log().find("a-secret-of-the-test") == std::string::npos);
}

TEST_CASE("a cluster's master killed under load: its replica is used, no client sees an error, nothing stale is served")
{
    ClusterNodes& cluster = shared_cluster();
    ScriptedOrigin origin;
    VersionedItems items(origin);
    LarderProcess larder(yaml(origin, cluster));
    unsigned slot = first_slot;
    if (!cluster.has_replica(cluster.master_of(slot))) slot = 8000;
    RedisNode& master = cluster.master_of(slot);
    REQUIRE(cluster.has_replica(master));
    {
        VersionedLoad load(larder.port(), items);
        load.await_hits(100);
        master.kill();
        load.await_hits(100);  // of the other shards
        cluster.await_failover(slot, master);
        await_condition("the links have moved",
                        [&] { return larder.metric("larder_store_failovers_total") >= 1 || load.errors > 0; });
        load.await_hits(100);
        load.stop();
        CHECK(load.errors == 0);
        CHECK(load.stale == 0);
    }
    CHECK(larder.log().find("store has moved") != std::string::npos);
    await_condition("every worker is connected", [&] { return larder.metric("larder_store_up") == 1; });
    HttpClient client(larder.port());
    fill_all(client);
}

TEST_CASE("a slot moved to another master under load stays coherent, and only its shard passes by meanwhile")
{
    ClusterNodes& cluster = shared_cluster();
    ScriptedOrigin origin;
    VersionedItems items(origin);
    LarderProcess larder(yaml(origin, cluster));
    RedisNode& from = cluster.master_of(first_slot);
    RedisNode& to = cluster.other_master(from);
    {
        VersionedLoad load(larder.port(), items);
        load.await_hits(200);
        cluster.move_slot(first_slot, to, [&] {
            await_condition("a redirect is met",
                            [&] { return larder.metric("larder_store_redirects_total") >= 1 || load.errors > 0; });
            load.await_hits(50);
        });
        await_condition("the node that is asked has heard of the move",
                        [&] { return &cluster.master_of(first_slot) == &to; });
        await_condition("the new node holds entries", [&] {
            return std::stoi(to.command({"CLUSTER", "COUNTKEYSINSLOT", std::to_string(first_slot)})) > 4 ||
                   load.errors > 0;
        });
        load.await_hits(100);
        load.stop();
        CHECK(load.errors == 0);
        CHECK(load.stale == 0);
    }
    HttpClient client(larder.port());
    fill_all(client);
    await_condition("the move is logged", [&] { return larder.log().find("store has moved") != std::string::npos; });
    cluster.move_slot(first_slot, from, [] {});
}

TEST_CASE("a node away takes its own keys out of the cache and no others; what was purged meanwhile is replayed")
{
    ClusterNodes& cluster = shared_cluster();
    ScriptedOrigin origin;
    VersionedItems items(origin);
    LarderProcess larder(yaml(origin, cluster));
    HttpClient client(larder.port());
    fill_all(client);
    unsigned slot = last_slot;
    for (const unsigned other : {first_slot, 8000u})
        if (!cluster.has_replica(cluster.master_of(other))) slot = other;
    RedisNode& node = cluster.master_of(slot);
    REQUIRE_FALSE(cluster.has_replica(node));
    const std::set<std::size_t> away = items_on(node);
    REQUIRE_FALSE(away.empty());
    REQUIRE(away.size() < VersionedItems::count);

    node.kill();
    for (std::size_t item = 0; item < VersionedItems::count; ++item) {
        CAPTURE(item);
        const std::string target = VersionedItems::target(item);
        if (!away.contains(item)) {
            await_hit(client, target);
            continue;
        }
        await_condition("its key passes by", [&] {
            const Response response = client.get(target);
            CHECK(response.status == 200);
            return response.cache_status() == "larder; fwd=bypass; detail=store-away";
        });
    }
    CHECK(larder.metric("larder_store_up") == 0);
    CHECK(larder.admin("GET", "/health/cache").body.find("partly up") != std::string::npos);
    CHECK(larder.log().find("store is down") != std::string::npos);

    // A pattern may match keys of every shard: what one of them did not take is owed to it.
    const Response write = client.request("DELETE", "/items");
    CHECK(write.status == 200);
    CHECK(write.field("X-Cache-Purge") == "deferred");
    CHECK(larder.metric("larder_purge_deferred_total") >= 1);
    for (std::size_t item = 0; item < VersionedItems::count; ++item)
        if (!away.contains(item)) CHECK_FALSE(is_hit(client.get(VersionedItems::target(item))));

    cluster.restore();
    fill_all(client);
    CHECK(larder.metric("larder_purge_replayed_total") >= 1);
    await_condition("every worker is connected", [&] { return larder.metric("larder_store_up") == 1; });
}

TEST_CASE("a cluster is reached with TLS, as the user that larder acl prints")
{
    ClusterNodes cluster(Wires::tls);
    ScriptedOrigin origin;
    LarderProcess larder(yaml(origin, cluster));
    HttpClient client(larder.port());
    fill_all(client);
    CHECK(client.request("DELETE", "/items").status == 200);
    CHECK_FALSE(is_hit(client.get("/items/1")));
}

}  // namespace larder::tests
