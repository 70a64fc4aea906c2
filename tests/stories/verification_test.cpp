// verify: hits are held against what the app answers now, while nobody waits for it.
#include <fstream>
#include <sstream>

#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

double verified(Stage& stage, const std::string& result)
{
    return stage.larder->metric("larder_verifications_total", R"(rule="item",result=")" + result + "\"");
}

void await_verified(Stage& stage, const std::string& result, double count)
{
    await_condition(result + " is counted", [&] { return verified(stage, result) >= count; });
}

}  // namespace

TEST_CASE_TEMPLATE("with verify: all each hit is compared with the app's answer, and what differs is logged", Backend,
                   Embedded, OverRedis)
{
    Stage stage(over<Backend>(item_rules, "verify: all\n"));
    stage.origin.on("/items/1").reply(200, "", "one");
    stage.fill("/items/1");
    await_verified(stage, "same", 1);
    CHECK(verified(stage, "different") == 0);
    CHECK_FALSE(contains(stage.larder->log(), "is not what the app answers now"));

    stage.origin.on("/items/1").reply(200, "", "two");  // behind Larder's back
    CHECK(stage.get("/items/1").body == "one");
    await_verified(stage, "different", 1);
    await_condition("it is logged", [&] {
        return contains(stage.larder->log(),
                        "warn a response that was served from the cache is not what the app answers now rule=item "
                        "path=/items/1 stored_ms_ago=");
    });
    CHECK(stage.get("/items/1").body == "one");  // it tells, and changes nothing

    stage.origin.on("/items/1").reply(200, "", "one and more");
    stage.get("/items/1");
    await_verified(stage, "different", 2);
    stage.origin.on("/items/1").reply(404, "", "one");
    stage.get("/items/1", {"If-None-Match: \"x\"", "Range: bytes=0-1"});
    await_verified(stage, "different", 3);
}

TEST_CASE("a hit that waits for Redis while its rule goes is answered, and not compared by rules that it does not know")
{
    const char* const searches = "rules: [{name: item, match: GET /items, key: 'items:{query}', ttl: 60s}]\n";
    StageOptions options = over<OverRedis>(searches, "verify: all\nwatch: false\nmemory: 0\n");
    options.workers = 1;
    options.store_timeout = "10s";
    Stage stage(options);
    stage.origin.on("/items").reply(200, "", "one");
    stage.fill("/items?page=1");
    await_verified(stage, "same", 1);
    std::stringstream text;
    text << std::ifstream(stage.larder->file()).rdbuf();
    const double asked = stage.larder->metric("larder_store_gets_total");
    stage.redis->stop();
    auto hit = stage.start_get("/items?page=1");
    await_condition("Redis is asked", [&] { return stage.larder->metric("larder_store_gets_total") > asked; });
    stage.larder->rewrite(text.str().substr(text.str().find("upstream:")) + "cache: off\n");
    CHECK(stage.larder->post("/-/reload", "").status == 200);
    stage.redis->go_on();
    CHECK(is_hit(hit.get()));
    CHECK(contains(stage.get("/items?page=1").cache_status(), "fwd=bypass"));
    CHECK(verified(stage, "same") == 1);
}

TEST_CASE("requests that came in one piece are answered each by its own, while hits before them are compared")
{
    StageOptions options = over<Embedded>(item_rules, "verify: all\n");
    options.workers = 1;
    Stage stage(options);
    constexpr int count = 40;
    std::string all;
    for (int i = 0; i < count; ++i) {
        const std::string target = "/items/" + std::to_string(i);
        stage.origin.on(target).reply(200, "", "body of " + target);
        stage.fill(target);
        all += "GET " + target + " HTTP/1.1\r\nHost: larder\r\n\r\n";
    }
    for (int round = 0; round < 5; ++round) {
        HttpClient client(stage.larder->port());
        client.wire().send(all);
        for (int i = 0; i < count; ++i) {
            const Response response = read_response(client.wire());
            CHECK(response.body == "body of /items/" + std::to_string(i));
        }
    }
    await_verified(stage, "same", 2);
    CHECK(verified(stage, "different") == 0);
}

TEST_CASE("what a write has purged while it was compared is no difference")
{
    Stage stage(over<Embedded>(item_rules, "verify: all\n"));
    stage.origin.on("GET /items/1").reply(200, "", "one");
    stage.fill("/items/1");
    await_verified(stage, "same", 1);
    const std::size_t before = stage.origin.requests("GET /items/1");
    stage.origin.on("GET /items/1").reply(200, "", "two").hold();
    CHECK(stage.get("/items/1").body == "one");
    stage.origin.await_requests("GET /items/1", before + 1);
    stage.request("PUT", "/items/1", {}, "two");
    stage.origin.release("GET /items/1");
    await_verified(stage, "outdated", 1);
    CHECK(verified(stage, "different") == 0);
}

TEST_CASE("an app that fails, or gives no answer, says nothing about what is stored")
{
    Stage stage(over<Embedded>(item_rules, "verify: all\n"));
    stage.origin.on("/items/1").reply(200, "", "one");
    stage.fill("/items/1");
    await_verified(stage, "same", 1);
    stage.origin.on("/items/1").reply(503, "", "away");
    stage.get("/items/1");
    await_verified(stage, "failed", 1);
    stage.origin.on("/items/1").drop();
    stage.get("/items/1");
    await_verified(stage, "failed", 2);
    CHECK(is_hit(stage.get("/items/1")));
}

TEST_CASE("one hit in N is compared, none without verify, and the rate is switched at run time")
{
    StageOptions options = over<Embedded>(item_rules);
    options.workers = 1;
    Stage stage(options);
    stage.origin.on("/items/1").reply(200, "", "one");
    stage.fill("/items/1");
    auto client = stage.connect();
    for (int i = 0; i < 20; ++i) client->get("/items/1");
    CHECK(stage.origin.requests("/items/1") == 1);
    CHECK(stage.larder->post("/switches", R"({"verify":"1/5"})").status == 200);
    for (int i = 0; i < 4; ++i) client->get("/items/1");
    CHECK(stage.origin.requests("/items/1") == 1);
    client->get("/items/1");
    await_verified(stage, "same", 1);
    CHECK(stage.origin.requests("/items/1") == 2);
    CHECK(stage.larder->post("/switches", R"({"verify":null})").status == 200);
    for (int i = 0; i < 20; ++i) client->get("/items/1");
    CHECK(stage.origin.requests("/items/1") == 2);
}

}  // namespace larder::tests
