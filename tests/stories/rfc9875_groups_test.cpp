// RFC 9875: one purge for several responses; and the tags of CDNs, which are the same thing under older names.
#include "tests/support/fleet.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const shop_rules = R"(
rules:
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 60s
    tags: response
  - name: page
    match: GET /pages/{id}
    key: page:{id}
    ttl: 60s
  - name: item-write
    match: PUT /items/{id}
    purge: item:{id}
    tags: response
)";

}  // namespace

TEST_CASE_TEMPLATE("the response to a write voids whole groups of its origin", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(shop_rules));
    stage.origin.on("GET /items/1").header("Cache-Groups", R"("sale", "one")");
    stage.origin.on("GET /items/2").header("Cache-Groups", R"("sale")");
    stage.origin.on("GET /pages/1").header("Cache-Groups", R"("Sale")");
    stage.origin.on("POST /sale").header("Cache-Group-Invalidation", R"("sale")");
    for (int round = 0; round < 5; ++round) {
        for (const char* target : {"/items/1", "/items/2", "/pages/1", "/pages/2"}) stage.fill(target);
        CHECK(stage.request("POST", "/sale", {}, "x").status == 200);
        CHECK_FALSE(is_hit(stage.get("/items/1")));
        CHECK_FALSE(is_hit(stage.get("/items/2")));
        CHECK(is_hit(stage.get("/pages/1")));
        CHECK(is_hit(stage.get("/pages/2")));
    }
    await_condition("the purges are counted",
                    [&] { return stage.larder->metric("larder_purges_total", "source=\"invalidation\"") == 5; });
    stage.fill("/items/1");
    CHECK(stage.request("POST", "http://other.test/sale", {}, "x").status == 200);
    CHECK(is_hit(stage.get("/items/1")));
}

TEST_CASE("Cache-Group-Invalidation in the response to a safe method voids nothing (RFC 9875 section 3)")
{
    Stage stage(over<Embedded>(shop_rules));
    stage.origin.on("GET /items/1").header("Cache-Groups", R"("sale")");
    stage.origin.on("GET /other").header("Cache-Group-Invalidation", R"("sale")");
    stage.fill("/items/1");
    CHECK(stage.get("/other").status == 200);
    CHECK(is_hit(stage.get("/items/1")));
}

TEST_CASE_TEMPLATE("a response that a purge of its group has overtaken is not stored", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(shop_rules));
    stage.origin.on("GET /items/1").header("Cache-Groups", R"("sale")").hold();
    stage.origin.on("POST /sale").header("Cache-Group-Invalidation", R"("sale")");
    auto early = stage.start_get("/items/1");
    stage.origin.await_requests("GET /items/1", 1);
    CHECK(stage.request("POST", "/sale", {}, "x").status == 200);
    auto late = stage.start_get("/items/1");
    await_condition("it waits for the first", [&] { return stage.larder->metric("larder_fill_joins_total") == 1; });
    stage.origin.release("GET /items/1");
    CHECK(early.get().body == "GET /items/1 #1");
    // It began after the purge was answered: the fetch before it is not for it, though nobody could know that then.
    CHECK(late.get().body == "GET /items/1 #2");
    CHECK(stage.get("/items/1").body != "GET /items/1 #1");
}

TEST_CASE_TEMPLATE("a response keeps its groups when it is validated", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(shop_rules));
    stage.origin.on("GET /items/1")
        .header("Cache-Groups", R"("sale")")
        .header("ETag", R"("v1")")
        .reply(200, "max-age=60, no-cache", "one");
    stage.origin.on("POST /sale").header("Cache-Group-Invalidation", R"("sale")");
    CHECK(stage.get("/items/1").status == 200);
    stage.origin.on("GET /items/1").reply(304, "max-age=60", "");
    await_condition("it is validated",
                    [&] { return stage.get("/items/1").cache_status().find("fwd-status=304") != std::string::npos; });
    await_condition("it is fresh", [&] { return is_hit(stage.get("/items/1")); });
    CHECK(stage.request("POST", "/sale", {}, "x").status == 200);
    stage.origin.on("GET /items/1").reply(200, "max-age=60", "two");
    CHECK(stage.get("/items/1").body == "two");
}

TEST_CASE_TEMPLATE("tags of the response are groups where the rule says so, purged by a write's response and by hand",
                   Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(shop_rules));
    stage.origin.on("GET /items/1").header("Surrogate-Key", "all p-1");
    stage.origin.on("GET /items/2").header("Cache-Tag", "all,p-2");
    stage.origin.on("GET /items/3").header("xkey", "p-3");
    stage.origin.on("GET /pages/1").header("Cache-Tag", "all");
    stage.origin.on("PUT /items/9").header("Cache-Tag", "p-1");
    const auto fill_all = [&] {
        for (const char* target : {"/items/1", "/items/2", "/items/3", "/pages/1"}) stage.fill(target);
    };
    fill_all();
    CHECK(stage.get("/items/1").field("Surrogate-Key") == "all p-1");
    CHECK(stage.request("PUT", "/items/9", {}, "x").status == 200);
    CHECK_FALSE(is_hit(stage.get("/items/1")));
    CHECK(is_hit(stage.get("/items/2")));

    fill_all();
    HttpClient admin(stage.larder->admin_port());
    const Response purged = admin.request("POST", "/purge", {"Host: localhost", "Content-Type: application/json"},
                                          R"({"tags": ["all", "p-3"]})");
    CHECK(purged.status == 200);
    CHECK(purged.body.find(R"("matches_rules":["item"],"matches_no_rule":[],"tags":["all","p-3"])") !=
          std::string::npos);
    for (const char* target : {"/items/1", "/items/2", "/items/3"}) CHECK_FALSE(is_hit(stage.get(target)));
    CHECK(is_hit(stage.get("/pages/1")));

    fill_all();
    const Finished told =
        run_larder({"purge", "--admin", "127.0.0.1:" + std::to_string(stage.larder->admin_port()), "--tag", "p-3"});
    CHECK(told.exit_code == 0);
    CHECK(told.standard_output.find("tags: p-3\nreaches: keys of item\n") != std::string::npos);
    CHECK_FALSE(is_hit(stage.get("/items/3")));
}

TEST_CASE("a group is purged in every replica, in memory and in Redis, from the write's answer on")
{
    Fleet fleet(shop_rules, 3);
    fleet.origin.on("GET /items/1").header("Cache-Groups", R"("sale")");
    fleet.origin.on("POST /sale").header("Cache-Group-Invalidation", R"("sale")");
    for (int round = 0; round < 5; ++round) {
        for (std::size_t i = 0; i < 2; ++i)
            await_condition("it is stored", [&] { return is_hit(fleet.get(i, "/items/1")); });
        const std::size_t before = fleet.origin.requests("GET /items/1");
        CHECK(fleet.request(2, "POST", "/sale", {}, "x").status == 200);
        for (std::size_t i = 0; i < 3; ++i)
            CHECK(fleet.get(i, "/items/1").body > "GET /items/1 #" + std::to_string(before));
    }
}

}  // namespace larder::tests
