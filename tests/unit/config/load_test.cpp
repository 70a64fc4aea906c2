// From text to the checked value: what the basic form means, defaults, environment, flags.
#include "support.hpp"

namespace larder::config {

using namespace std::chrono_literals;
using rules::CacheMode;

namespace {
const std::string least = "upstream: http://127.0.0.1:3000\n";
const std::string origin = least + "cache: respect-origin\n";
std::string with_rule(const std::string& rule) { return least + "rules:\n  - {" + rule + "}\n"; }
}  // namespace

TEST_CASE("the basic form of the design means what it says")
{
    const Loaded loaded = load_file(std::string(LARDER_SOURCE_DIR) + "/deploy/examples/events-api.yaml",
                                    environment_of({{"APP_ENV", "prod"}}));
    REQUIRE(loaded.config != nullptr);
    const Config& config = *loaded.config;
    CHECK(config.listen.to_string() == "0.0.0.0:8080");
    CHECK(config.upstream.endpoint.to_string() == "127.0.0.1:3000");
    REQUIRE(config.admin.has_value());
    CHECK(config.admin->to_string() == "127.0.0.1:9090");
    CHECK(config.namespace_ == "shop-prod");
    CHECK(config.store.kind == StoreKind::redis);
    CHECK(config.store.url_for_display == "redis://127.0.0.1:6379/0");
    CHECK(config.memory == 64u << 20);
    CHECK(config.cache == CacheMode::rules);

    REQUIRE(config.rules.size() == 3);
    const rules::Rule& list = config.rules[0];
    CHECK(list.name == "event-list");
    CHECK(list.match.methods == std::vector<std::string>{"GET"});
    CHECK(list.match.path_text == "/api/events");
    REQUIRE(list.key.has_value());
    CHECK(list.key->text == "events:list:{query.page|1}");
    CHECK(list.ttl.any == Milliseconds(60s));
    CHECK(list.stale_while_revalidate == 30s);
    CHECK(list.stale_if_error == 10min);

    const rules::Rule& write = config.rules[2];
    CHECK(write.is_purge());
    CHECK(write.index == 2);
    CHECK(write.match.methods == std::vector<std::string>{"POST", "PUT", "PATCH", "DELETE"});
    REQUIRE(write.match.segments.size() == 3);
    CHECK(write.match.segments[2].kind == rules::PathSegment::Kind::optional_value);
    CHECK(write.match.segments[2].text == "id");
    REQUIRE(write.purge.size() == 2);
    CHECK(write.purge[1].text == "events:list:*");
    CHECK(config.matcher != nullptr);
}

TEST_CASE("client_cache_control of the whole process holds for rules that say nothing")
{
    using rules::ClientCacheControl;
    const std::string text =
        "rules:\n  - {name: a, match: GET /a}\n  - {name: b, match: GET /b, client_cache_control: ";
    const auto of = [&](const std::string& process, const std::string& rule) {
        return load_fine(least + process + text + rule + "}\n");
    };
    CHECK_FALSE(of("", "ignore")->rules[0].client_cache_control.has_value());
    CHECK((of("client_cache_control: respect\n", "ignore")->rules[0].client_cache_control ==
           ClientCacheControl::respect));
    CHECK(
        (of("client_cache_control: respect\n", "ignore")->rules[1].client_cache_control == ClientCacheControl::ignore));
    CHECK((of("client_cache_control: ignore\n", "respect")->rules[1].client_cache_control ==
           ClientCacheControl::respect));
}

TEST_CASE("what is left out has its default")
{
    const auto config = load_fine(origin);
    CHECK(config->listen.to_string() == "0.0.0.0:8080");
    CHECK_FALSE(config->admin.has_value());
    CHECK(config->store.kind == StoreKind::embedded);
    CHECK(config->timeouts.drain == 30s);
    CHECK(config->log.access_every == 0);
}

TEST_CASE("a rule without a name is called by its place")
{
    CHECK(load_fine(with_rule("match: GET /a, ttl: 60s"))->rules[0].name == "rule-1");
}

TEST_CASE("a file without rules is warned that nothing is cached")
{
    const Loaded loaded = load_text(least, "f", environment_of({}));
    CHECK(loaded.config != nullptr);
    CHECK(contains(all_messages(loaded), "warning: there are no rules"));
}

TEST_CASE("variables are replaced in values after parsing")
{
    struct Row {
        const char* why;
        const char* text;
        Variables variables;
        const char* want;
    };
    const Row rows[] = {
        {"set", "a-${X}-b", {{"X", "1"}}, "a-1-b"},
        {"unset with a default", "${X:-d}", {}, "d"},
        {"empty with a default, as a shell", "${X:-d}", {{"X", ""}}, "d"},
        {"set beats the default", "${X:-d}", {{"X", "1"}}, "1"},
        {"two dollar signs are one", "'$${X}'", {{"X", "1"}}, nullptr},
        {"two variables", "${X}${Y}", {{"X", "1"}, {"Y", "2"}}, "12"},
        {"the value is not replaced again", "${X}", {{"X", "${Y}"}}, nullptr},
        {"the value is no YAML", "${X}", {{"X", "{a: b}"}}, nullptr},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const Loaded loaded = load_text(origin + "namespace: " + row.text + "\n", "f", environment_of(row.variables));
        INFO(all_messages(loaded));
        if (row.want != nullptr) {
            REQUIRE(loaded.config != nullptr);
            CHECK(loaded.config->namespace_ == row.want);
        } else {
            CHECK(loaded.config == nullptr);
            CHECK(contains(all_messages(loaded), "is not a name"));
        }
    }
    CHECK(contains(load_broken(origin + "namespace: ${X\n"), "f:3:12: ${ without }"));
    CHECK(contains(load_broken(origin + "namespace: a${1x}\n"), "f:3:13: \"1x\" is no name of a variable"));
}

TEST_CASE("an empty variable means no store and no admin listener")
{
    const auto config = load_fine(origin + "store: ${REDIS_URL:-}\nadmin: ${ADMIN:-}\n");
    CHECK(config->store.kind == StoreKind::embedded);
    CHECK_FALSE(config->admin.has_value());
}

TEST_CASE("LARDER_CACHE=off turns the cache off, on changes nothing, anything else is an error")
{
    CHECK(load_fine(origin, {{"LARDER_CACHE", "off"}})->cache == CacheMode::off);
    CHECK(load_fine(origin, {{"LARDER_CACHE", "on"}})->cache == CacheMode::respect_origin);
    CHECK(load_fine(least + "cache: off\n", {{"LARDER_CACHE", "on"}})->cache == CacheMode::off);
    CHECK(contains(load_broken(origin, {{"LARDER_CACHE", "no"}}), "LARDER_CACHE=no; only on and off are known"));
}

TEST_CASE("on and off may be written true and false")
{
    CHECK(load_fine(with_rule("match: GET /a, ttl: 1s, shared: true"))->rules[0].shared);
    CHECK(load_fine(with_rule("match: GET /a, ttl: 1s, shared: on"))->rules[0].shared);
    CHECK_FALSE(load_fine(with_rule("match: GET /a, cache: off"))->rules[0].cache);
    CHECK_FALSE(load_fine(with_rule("match: GET /a, cache: false"))->rules[0].cache);
    CHECK(load_fine(least + "cache: false\n")->cache == CacheMode::off);
    CHECK(contains(load_broken(with_rule("match: GET /a, shared: yes")), "write on or off"));
}

TEST_CASE("a ttl may be given for each status")
{
    const auto config = load_fine(with_rule("match: GET /a, ttl: {200: 60s, 404: 10s}"));
    const auto& ttl = config->rules[0].ttl;
    CHECK_FALSE(ttl.any.has_value());
    CHECK(ttl.status.at(200) == 60s);
    CHECK(ttl.status.at(404) == 10s);
}

TEST_CASE("tracking stands for the parameters of advertisers")
{
    const auto config = load_fine(with_rule("match: GET /a, ttl: 1s, ignore_query: [tracking, ref, 'ab_*']"));
    const auto& names = config->rules[0].ignore_query;
    const auto has = [&](const char* name) { return std::find(names.begin(), names.end(), name) != names.end(); };
    CHECK(has("utm_*"));
    CHECK(has("fbclid"));
    CHECK(has("ref"));
    CHECK(has("ab_*"));
    CHECK_FALSE(has("tracking"));
    CHECK(contains(load_broken(with_rule("match: GET /a, ttl: 1s, ignore_query: '*'")), "write query: ignore"));
}

TEST_CASE("the mapping form of match has conditions on host, query and header")
{
    const auto config =
        load_fine(with_rule("match: {method: [GET, HEAD], path: '/a/{rest*}', host: Shop.Example, query: {page: 1, q: "
                            "null}, header: {X-A: b}}, "
                            "key: 'a:{rest}:{query.page}:{query.q}:{header.X-A}', ttl: 1s"));
    const rules::Match& match = config->rules[0].match;
    CHECK(match.methods == std::vector<std::string>{"GET", "HEAD"});
    CHECK(match.host == "shop.example");
    REQUIRE(match.query.size() == 2);
    CHECK(match.query[0].equals == "1");
    CHECK_FALSE(match.query[1].equals.has_value());
    REQUIRE(match.headers.size() == 1);
    CHECK(match.headers[0].name == "X-A");
    CHECK(match.segments.back().kind == rules::PathSegment::Kind::rest);
}

TEST_CASE("a literal segment is kept in its normal form")
{
    CHECK(load_fine(with_rule("match: GET /%61/b%2d, ttl: 1s"))->rules[0].match.segments[1].text == "b-");
    CHECK(contains(load_broken(with_rule("match: GET /a%2Fb, ttl: 1s")), "never cached"));
    const auto config = load_fine(with_rule("match: GET /a/, ttl: 1s"));
    CHECK(config->rules[0].match.trailing_slash);
    CHECK(load_fine(with_rule("match: GET /, ttl: 1s"))->rules[0].match.segments.empty());
}

TEST_CASE("a path has at most 16 values")
{
    std::string path;
    for (int i = 0; i < 17; ++i) path += "/{v" + std::to_string(i) + "}";
    CHECK(contains(load_broken(least + "rules:\n  - match: GET " + path + "\n"), "more than 16 values"));
}

TEST_CASE("an unusual method is a warning that names the usual one")
{
    const Loaded loaded = load_text(least + "rules:\n  - match: PSOT /a\n    purge: a\n", "f", environment_of({}));
    CHECK(contains(all_messages(loaded), "warning: match: PSOT is an unusual method; did you mean POST?"));
}

TEST_CASE("a password in a file loses its line end, and stands in no message")
{
    const auto folder = std::filesystem::temp_directory_path() / "larder-config-test";
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "secret") << "hunter2\r\n";
    const auto load = [&](const std::string& store) {
        return load_text(origin + "store: " + store + "\n", (folder / "larder.yaml").string(), environment_of({}));
    };
    const Loaded loaded = load("{url: 'redis://bob@h', password_file: secret}");
    INFO(all_messages(loaded));
    REQUIRE(loaded.config != nullptr);
    CHECK(loaded.config->store.password == "hunter2");
    CHECK_FALSE(contains(loaded.config->store.url_for_display, "hunter2"));

    const Loaded reversed = load("{password_file: secret, url: 'redis://bob@h'}");
    REQUIRE(reversed.config != nullptr);
    CHECK(reversed.config->store.password == "hunter2");

    CHECK(contains(all_messages(load("{url: 'redis://b:other@h', password_file: secret}")), "and in password_file"));
    std::ofstream(folder / "secret") << "\n";
    CHECK(contains(all_messages(load("{url: 'redis://h', password_file: secret}")), "one line with the password"));
    std::filesystem::remove_all(folder);
}

TEST_CASE("options that fit no value of each other are errors")
{
    CHECK(contains(load_broken(origin + "memory: 0\n"), "without a Redis store this is the only store"));
    CHECK(load_fine(origin + "memory: 0\nstore: redis://h\n")->memory == 0);
    CHECK(contains(load_broken(origin + "memory: 1MiB\nmax_object: 2MiB\n"), "does not fit into memory"));
    CHECK(contains(load_broken(origin + "listen: :80\nadmin: 127.0.0.1:80\n"), "this is the address of listen"));
    CHECK(contains(load_broken(origin + "store: {url: 'redis://h', ca_file: /etc/passwd}\n"), "only rediss://"));
}

TEST_CASE("a flag may set one option of a group")
{
    const Loaded loaded =
        load_flags({{"upstream", "http://a"}, {"log.level", "warn"}, {"log.access", "1/10"}}, environment_of({}));
    REQUIRE(loaded.config);
    CHECK(loaded.config->log.level == LogLevel::warn);
    CHECK(loaded.config->log.access_every == 10);
    CHECK_FALSE(load_flags({{"upstream", "http://a"}, {"log.level", "loud"}}, environment_of({})).config);
}

TEST_CASE("flags make a configuration that caches what the origin allows")
{
    const Loaded loaded = load_flags({{"upstream", "http://127.0.0.1:3000"}, {"listen", ":8081"}}, environment_of({}));
    INFO(all_messages(loaded));
    REQUIRE(loaded.config != nullptr);
    CHECK(loaded.messages.empty());
    CHECK(loaded.config->cache == CacheMode::respect_origin);
    CHECK(loaded.config->listen.port == 8081);
    CHECK(loaded.config->file.empty());
    CHECK(load_flags({{"upstream", "http://a"}, {"cache", "off"}}, environment_of({})).config->cache == CacheMode::off);
}

TEST_CASE("a wrong flag is named as it was written")
{
    const auto first = [](std::vector<std::pair<std::string, std::string>> flags) {
        const Loaded loaded = load_flags(flags, environment_of({}));
        CHECK(loaded.config == nullptr);
        REQUIRE_FALSE(loaded.messages.empty());
        return loaded.messages.front().to_string("");
    };
    CHECK(first({{"upstream", "http://a"}, {"listen", "8080"}}).starts_with("--listen: the host is missing"));
    CHECK(first({{"upstream", "http://a"}, {"lissten", ":1"}}) == "--lissten: not an option; did you mean \"listen\"?");
    CHECK(first({{"upstream", "http://a"}, {"rules", "x"}}).starts_with("--rules: can only be given in a file"));
    CHECK(contains(first({}), "Write --upstream"));
}

TEST_CASE("a configuration that replaces another keeps the rows of its rules' names, and what wants a restart")
{
    const ConfigPtr first =
        load_fine(least + "memory: 2MiB\nrules:\n  - {name: a, match: GET /a}\n  - {name: b, match: GET /b}\n");
    CHECK(first->counted_names == std::vector<std::string>{"a", "b"});
    const Loaded next = load_text(least +
                                      "memory: 3MiB\nworkers: 7\nmax_object: 2KiB\n"
                                      "rules:\n  - {name: c, match: GET /c}\n  - {name: b, match: GET /b}\n",
                                  "f", environment_of({}), {first.get(), {}});
    REQUIRE(next.config != nullptr);
    CHECK(next.kept == std::vector<std::string>{"memory", "workers"});
    CHECK(next.config->memory == 2u << 20);
    CHECK(next.config->workers == 0);
    CHECK(next.config->max_object == 2048);
    CHECK(next.config->counted_names == std::vector<std::string>{"a", "b", "c"});
    CHECK(next.config->rules[0].index == 2);
    CHECK(next.config->rules[1].index == 1);
    CHECK(next.digest != 0);
    CHECK(next.digest != load_text(least, "f", environment_of({})).digest);
}

TEST_CASE("what was switched at run time holds over what the file says")
{
    Switches switches;
    switches.rules_off = {"a", "gone"};
    switches.log_level = LogLevel::error;
    switches.access_every = 9;
    const std::string text =
        least + "log: {level: debug}\nrules:\n  - {name: a, match: GET /a}\n  - {name: b, match: GET /b}\n";
    const Loaded loaded = load_text(text, "f", environment_of({}), {nullptr, switches});
    REQUIRE(loaded.config != nullptr);
    CHECK_FALSE(loaded.config->rules[0].cache);
    CHECK(loaded.config->rules[1].cache);
    CHECK(loaded.config->log.level == LogLevel::error);
    CHECK(loaded.config->log.access_every == 9);
    CHECK(loaded.config->cache == CacheMode::rules);
    switches.cache_off = true;
    CHECK(load_text(text, "f", environment_of({}), {nullptr, switches}).config->cache == CacheMode::off);
}

}  // namespace larder::config
