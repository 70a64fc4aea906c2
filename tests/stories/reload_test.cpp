// The configuration is replaced while requests run: by hand, by a signal, because the file has changed; and switches.
#include <signal.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const char* const more_rules = R"(
rules:
  - name: news
    match: GET /news
    key: news
    ttl: 60s
  - name: item
    match: GET /items/{id}
    key: item:{id}
    ttl: 90s
  - name: item-write
    match: PUT /items/{id}
    purge: ["item:{id}"]
)";

std::string before_rules(const Stage& stage, int workers = 2)
{
    std::string text = "upstream: http://127.0.0.1:" + std::to_string(stage.origin.port()) +
                       "\nnamespace: story\nworkers: " + std::to_string(workers) + "\n";
    if (stage.redis) text += "store:\n  url: " + stage.redis->url() + "\n";
    return text;
}

/// A stage whose file is not watched, so that a story decides when it is read.
StageOptions unwatched(const std::string& rules) { return over<Embedded>(rules, "watch: false\n"); }

}  // namespace

TEST_CASE_TEMPLATE("POST /-/reload puts new rules into force; what is stored, connections and counts stay", Backend,
                   Embedded, OverRedis)
{
    Stage stage(over<Backend>(item_rules, "watch: false\n"));
    stage.fill("/items/1");
    auto kept = stage.connect();
    CHECK(is_hit(kept->get("/items/1")));
    CHECK(contains(stage.get("/news").cache_status(), "detail=no-rule"));
    const double hits = stage.larder->metric("larder_requests_total", R"(rule="item",verdict="hit")");
    stage.larder->rewrite(before_rules(stage) + "watch: false\n" + more_rules);
    CHECK(contains(stage.get("/news").cache_status(), "detail=no-rule"));  // nobody has asked for it yet

    const Response reloaded = stage.larder->post("/-/reload", "");
    CAPTURE(reloaded.body);
    CHECK(reloaded.status == 200);
    CHECK(reloaded.body == "reloaded\n");
    CHECK(is_hit(kept->get("/items/1")));
    CHECK(is_hit(stage.fill("/news")));
    CHECK(contains(stage.larder->admin("GET", "/explain?url=/news").body, "news"));
    CHECK(stage.larder->metric("larder_requests_total", R"(rule="item",verdict="hit")") >= hits + 1);
    CHECK(stage.larder->metric("larder_requests_total", R"(rule="news",verdict="hit")") >= 1);
    CHECK(stage.larder->metric("larder_config_reloads_total", "success") == 1);
    CHECK(stage.larder->metric("larder_config_last_reload_successful") == 1);
    CHECK(contains(stage.larder->log(), "info configuration is reloaded cause=\"POST /-/reload\""));

    // The rule's place in the file is another one now: its writes still purge.
    stage.request("PUT", "/items/1", {}, "x");
    CHECK(contains(stage.get("/items/1").cache_status(), "detail=purged"));
}

TEST_CASE("a bad file is refused with what larder check says of it, and the rules before it stay in force")
{
    Stage stage(unwatched(item_rules));
    stage.fill("/items/1");
    stage.larder->rewrite(before_rules(stage) + "rules:\n  - name: item\n    mach: GET /items/{id}\n");
    const Response refused = stage.larder->post("/-/reload", "");
    CHECK(refused.status == 500);
    const Finished checked = run_larder({"check", stage.larder->file()});
    CHECK(checked.exit_code == 1);
    CAPTURE(refused.body);
    std::string quoted;  // a line of it, up to what is escaped in JSON
    std::istringstream lines(checked.standard_output);
    for (std::string line; std::getline(lines, line) && line.starts_with("/");) {
        quoted = line.substr(0, line.find('"'));
        CHECK(contains(refused.body, quoted));
    }
    CHECK(contains(quoted, "larder.yaml:"));
    CHECK(contains(refused.body, "did you mean"));
    CHECK(is_hit(stage.get("/items/1")));
    CHECK(stage.larder->metric("larder_config_last_reload_successful") == 0);
    CHECK(stage.larder->metric("larder_config_reloads_total", "refused") == 1);
    CHECK(contains(stage.larder->log(), "error configuration is refused: the one before stays in force"));
    CHECK(contains(stage.larder->log(), quoted));

    stage.larder->rewrite(before_rules(stage) + "watch: false\n" + more_rules);
    CHECK(stage.larder->post("/-/reload", "").status == 200);
    CHECK(stage.larder->metric("larder_config_last_reload_successful") == 1);
}

TEST_CASE("SIGHUP reads the file anew, and what larder check warns of is logged")
{
    Stage stage(unwatched(item_rules));
    stage.larder->rewrite(before_rules(stage) + "watch: false\n" + more_rules +
                          "  - {name: other-write, match: PUT /others, purge: \"nothing:*\"}\n");
    stage.larder->process().signal(SIGHUP);
    await_condition("it is reloaded",
                    [&] { return stage.larder->metric("larder_config_reloads_total", "success") == 1; });
    CHECK(contains(stage.larder->log(), "cause=SIGHUP"));
    await_condition("the warning is logged", [&] {
        return contains(stage.larder->log(), "warn warning about the configuration") &&
               contains(stage.larder->log(), "other-write: purge");
    });
    CHECK(is_hit(stage.fill("/news")));
}

TEST_CASE("a file that changes is read by itself: written in place, renamed over, or swapped under ..data as in a pod")
{
    Stage stage(over<Embedded>(item_rules));
    const auto await_reloads = [&](double count) {
        await_condition("reload " + std::to_string(count),
                        [&] { return stage.larder->metric("larder_config_reloads_total", "success") == count; });
    };
    stage.larder->rewrite(before_rules(stage) + more_rules);
    await_reloads(1);
    CHECK(is_hit(stage.fill("/news")));
    std::ofstream(stage.larder->file()) << "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n"
                                        << before_rules(stage) << item_rules;
    await_reloads(2);
    CHECK(contains(stage.get("/news").cache_status(), "detail=no-rule"));
    CHECK(stage.larder->metric("larder_config_needs_restart") == 0);
    CHECK(stage.larder->metric("larder_config_reloads_total", "refused") == 0);

    // As kubelet does it: larder.yaml -> ..data/larder.yaml, ..data -> a folder of its own for each version.
    const TemporaryDirectory mounted;
    const std::filesystem::path root = std::filesystem::path(mounted.write("one", "")).parent_path();
    const auto version = [&](const std::string& name, const std::string& rules) {
        std::filesystem::create_directory(root / name);
        std::ofstream(root / name / "larder.yaml") << "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n"
                                                   << before_rules(stage) << rules;
        std::filesystem::create_directory_symlink(name, root / "..data_tmp");
        std::filesystem::rename(root / "..data_tmp", root / "..data");
    };
    version("..v1", item_rules);
    std::filesystem::create_symlink("..data/larder.yaml", root / "larder.yaml");
    LarderProcess pod("", {}, {"--config", (root / "larder.yaml").string()});
    CHECK(pod.metric("larder_config_reloads_total") == 0);
    version("..v2", more_rules);
    await_condition("the swap is seen", [&] { return pod.metric("larder_config_reloads_total", "success") == 1; });
    CHECK(contains(pod.admin("GET", "/explain?url=/news").body, "news"));
}

TEST_CASE("a file that is touched and says the same, or that stays bad, is not spoken of again")
{
    Stage stage(over<Embedded>(item_rules));
    const std::string bad = before_rules(stage) + "rules: 7\n";
    stage.larder->rewrite(bad);
    await_condition("it is refused",
                    [&] { return stage.larder->metric("larder_config_reloads_total", "refused") == 1; });
    stage.larder->rewrite(bad);
    stage.larder->rewrite(before_rules(stage) + item_rules + "# another text\n");
    await_condition("the next one is taken",
                    [&] { return stage.larder->metric("larder_config_reloads_total", "success") == 1; });
    CHECK(stage.larder->metric("larder_config_reloads_total", "refused") == 1);
}

TEST_CASE("options that want a restart stay as they were, and are named; the others change at once")
{
    Stage stage(unwatched(item_rules));
    auto kept = stage.connect();
    CHECK(kept->get("/items/1").status == 200);
    stage.larder->rewrite(before_rules(stage, 1) +
                          "watch: false\nmemory: 5MiB\nmax_object: 1KiB\nlog:\n  access: all\n" + item_rules);
    const Response reloaded = stage.larder->post("/-/reload", "");
    CHECK(reloaded.status == 200);
    CHECK(contains(reloaded.body, "wants a restart, and stays as it was: memory\n"));
    CHECK(contains(reloaded.body, "wants a restart, and stays as it was: workers\n"));
    CHECK(contains(stage.larder->log(), "options=\"memory, workers\""));
    CHECK(stage.larder->metric("larder_workers") == 2);
    CHECK(stage.larder->metric("larder_memory_capacity_bytes") == 64 * 1024 * 1024);
    CHECK(stage.larder->metric("larder_config_needs_restart") == 1);
    stage.origin.on("/items/big").header("Cache-Control", "max-age=60").reply(200, "", std::string(2000, 'x'));
    CHECK(contains(stage.get("/items/big").cache_status(), "too-large"));
    CHECK(kept->get("/items/1").status == 200);
    CHECK(stage.larder->stop() == 0);
    CHECK(contains(stage.larder->access_log(), "path=/items/big"));
}

TEST_CASE("another upstream is used from the reload on, and requests to the old one end there")
{
    Stage stage(unwatched("rules: []\n"));
    ScriptedOrigin other;
    other.on("/who").reply(200, "", "other");
    stage.origin.on("/slow").hold();
    auto slow = stage.start_get("/slow");
    stage.origin.await_requests("/slow", 1);
    std::string text = before_rules(stage) + "watch: false\n";
    const std::string old_port = std::to_string(stage.origin.port());
    text.replace(text.find(old_port), old_port.size(), std::to_string(other.port()));
    stage.larder->rewrite(text);
    CHECK(stage.larder->post("/-/reload", "").status == 200);
    for (int i = 0; i < 8; ++i) CHECK(stage.get("/who").body == "other");
    stage.origin.release("/slow");
    CHECK(slow.get().status == 200);
    CHECK(stage.get("/who").body == "other");
}

TEST_CASE_TEMPLATE("reloads under load lose no request and answer none wrongly", Backend, Embedded, OverRedis)
{
    Stage stage(over<Backend>(item_rules, "watch: false\n"));
    std::atomic<bool> stop{false};
    std::atomic<int> answered{0}, wrong{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < 4; ++i)
        clients.emplace_back([&, i] {
            auto client = stage.connect();
            for (int n = 0; !stop; ++n) {
                const std::string target = n % 7 == 0 ? "/news" : "/items/" + std::to_string(n % 5);
                const bool is_write = i == 0 && n % 11 == 0;
                const Response response = is_write ? client->request("PUT", "/items/1", {}, "x") : client->get(target);
                wrong += response.status != 200;
                ++answered;
            }
        });
    for (int i = 0; i < 20; ++i) {
        stage.larder->rewrite(before_rules(stage) + "watch: false\n" + (i % 2 == 0 ? more_rules : item_rules));
        CHECK(stage.larder->post("/-/reload", "").status == 200);
        const int before = answered;
        await_condition("requests go on", [&] { return answered > before + 20; });
    }
    stop = true;
    for (std::thread& client : clients) client.join();
    CHECK(wrong == 0);
    CHECK(stage.larder->metric("larder_config_reloads_total", "success") == 20);
}

TEST_CASE("a write that began before a reload purges by the new rules, too")
{
    // The new rule stores under another name, while the app still works on the write.
    const std::string renamed = R"(
rules:
  - name: item
    match: GET /items/{id}
    key: thing:{id}
    ttl: 60s
  - name: item-write
    match: PUT /items/{id}
    purge: ["thing:{id}"]
)";
    Stage stage(unwatched(item_rules));
    stage.origin.on("PUT /items/1").hold();
    auto write = stage.start_request("PUT", "/items/1", {}, "x");
    stage.origin.await_requests("PUT /items/1", 1);
    stage.larder->rewrite(before_rules(stage) + "watch: false\n" + renamed);
    CHECK(stage.larder->post("/-/reload", "").status == 200);
    stage.fill("/items/1");
    stage.origin.release("PUT /items/1");
    CHECK(write.get().status == 200);
    CHECK(contains(stage.get("/items/1").cache_status(), "detail=purged"));
}

TEST_CASE("the cache is switched off and on at run time, for a rule or for all, and writes still purge")
{
    Stage stage(over<Embedded>(item_rules));
    stage.fill("/items/1");
    const Response off = stage.larder->post("/switches", R"({"cache":"off"})");
    CHECK(off.status == 200);
    CHECK(contains(off.body, R"("cache":"off")"));
    CHECK(contains(stage.get("/items/1").cache_status(), "detail=cache-off"));
    CHECK(stage.larder->metric("larder_cache_enabled") == 0);
    CHECK(contains(stage.larder->admin("GET", "/readyz?verbose").body, "[!]cache is switched off"));
    CHECK(contains(stage.larder->log(), "warn switched at run time cache=off"));
    stage.request("PUT", "/items/1", {}, "x");
    CHECK(contains(stage.larder->post("/switches", R"({"cache":"on"})").body, R"("cache":"on")"));
    CHECK(contains(stage.get("/items/1").cache_status(), "detail=purged"));
    stage.fill("/items/1");

    CHECK(stage.larder->post("/switches", R"({"cache":"off","rule":"item"})").status == 200);
    CHECK_FALSE(is_hit(stage.get("/items/1")));
    CHECK(stage.larder->metric("larder_cache_enabled") == 1);
    CHECK(stage.larder->metric("larder_rules_disabled") == 1);
    stage.larder->rewrite(before_rules(stage) + more_rules);  // a reload turns nothing back
    await_condition("it is reloaded",
                    [&] { return stage.larder->metric("larder_config_reloads_total", "success") == 1; });
    CHECK_FALSE(is_hit(stage.get("/items/1")));
    CHECK(is_hit(stage.fill("/news")));
    CHECK(stage.larder->post("/switches", R"({"cache":"on","rule":"item"})").status == 200);
    CHECK(is_hit(stage.fill("/items/1")));
    CHECK(stage.larder->admin("GET", "/switches").body ==
          R"({"cache":"on","rules_off":[],"log_level":"info","log_access":"off","verify":"off",)"
          R"("switched":{"cache":null,"rules_off":[],"log_level":null,"log_access":null,"verify":null}})"
          "\n");
}

TEST_CASE("the log is turned up at run time, and switching works though the file has become a bad one")
{
    Stage stage(unwatched(item_rules));
    stage.larder->rewrite("rules: 7\n");
    CHECK(stage.larder->post("/switches", R"({"log_access":"all","log_level":"error"})").status == 200);
    stage.get("/items/1");
    CHECK(stage.larder->post("/switches", R"({"cache":"of"})").status == 400);
    CHECK(stage.larder->post("/switches", R"({"cache":"off"})", {}).status == 415);
    CHECK(stage.larder->admin("DELETE", "/switches").status == 405);
    CHECK(stage.larder->stop() == 0);
    CHECK(contains(stage.larder->access_log(), "path=/items/1"));
    CHECK_FALSE(contains(stage.larder->log(), "info stopped"));
}

TEST_CASE("larder reload and larder switch reach the running Larder, and say what went wrong")
{
    Stage stage(unwatched(item_rules));
    const std::string admin = "127.0.0.1:" + std::to_string(stage.larder->admin_port());
    const Finished reloaded = run_larder({"reload", "--admin", admin});
    CHECK(reloaded.exit_code == 0);
    CHECK(reloaded.standard_output == "reloaded\n");
    const Finished off = run_larder({"switch", "--admin", admin, "--cache", "off", "--rule", "item"});
    CHECK(off.exit_code == 0);
    CHECK(contains(off.standard_output, R"("rules_off":["item"])"));
    const Finished state = run_larder({"switch", "--admin", admin});
    CHECK(state.standard_output == off.standard_output);
    const Finished wrong = run_larder({"switch", "--admin", admin, "--cache", "off", "--rule", "itm"});
    CHECK(wrong.exit_code == 1);
    CHECK(contains(wrong.standard_error, "did you mean \"item\"?"));
    stage.larder->rewrite("rules: 7\n");
    const Finished refused = run_larder({"reload", "--admin", admin});
    CHECK(refused.exit_code == 1);
    CHECK(contains(refused.standard_error, "larder.yaml:3:"));
    CHECK(run_larder({"reload"}).exit_code == 2);
}

}  // namespace larder::tests
