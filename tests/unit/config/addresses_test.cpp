#include "config/addresses.hpp"

#include "support.hpp"

namespace larder::config {

TEST_CASE("an address to listen on is HOST:PORT, :PORT or a unix socket")
{
    struct Row {
        const char* text;
        const char* host;
        int port;
        const char* shown;
    };
    const Row rows[] = {
        {"127.0.0.1:9090", "127.0.0.1", 9090, "127.0.0.1:9090"},
        {"localhost:9090", "localhost", 9090, "localhost:9090"},
        {"[::]:8080", "::", 8080, "[::]:8080"},
        {"[::1]:0", "::1", 0, "[::1]:0"},
        {":8080", "", 8080, ":8080"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        const auto read = read_endpoint(row.text);
        REQUIRE(std::holds_alternative<Endpoint>(read));
        const auto& endpoint = std::get<Endpoint>(read);
        CHECK(endpoint.host == row.host);
        CHECK(endpoint.port == row.port);
        CHECK(endpoint.to_string() == row.shown);
    }
    CHECK(std::get<Endpoint>(read_endpoint("unix:/run/larder.sock")).unix_path == "/run/larder.sock");
    for (const char* text : {"", "8080", "localhost", "::1:8080", "127.0.0.1:", "127.0.0.1:99999", "http://a:80",
                             "user@host:80", "unix:relative", "a b:80", "h%41:80"}) {
        CAPTURE(text);
        CHECK(std::holds_alternative<std::string>(read_endpoint(text)));
    }
}

TEST_CASE("an upstream is an http or https URL without path, query or user, or a unix socket")
{
    const auto plain = std::get<Upstream>(read_upstream_url("http://127.0.0.1:3000"));
    CHECK(plain.endpoint.to_string() == "127.0.0.1:3000");
    CHECK(plain.host_header == "127.0.0.1:3000");
    CHECK(std::get<Upstream>(read_upstream_url("http://a:003000")).host_header == "a:3000");
    CHECK(std::get<Upstream>(read_upstream_url("http://a:")).host_header == "a");
    CHECK_FALSE(plain.tls);

    const auto tls = std::get<Upstream>(read_upstream_url("https://App.example/"));
    CHECK(tls.tls);
    CHECK(tls.endpoint.port == 443);
    CHECK(tls.host_header == "App.example");

    const auto v6 = std::get<Upstream>(read_upstream_url("http://[::1]"));
    CHECK(v6.endpoint.host == "::1");
    CHECK(v6.endpoint.port == 80);
    CHECK(v6.host_header == "[::1]");

    CHECK(std::get<Upstream>(read_upstream_url("unix:/run/app.sock")).endpoint.unix_path == "/run/app.sock");
    CHECK(std::get<Upstream>(read_upstream_url("unix:///run/app.sock")).endpoint.unix_path == "/run/app.sock");

    for (const char* text :
         {"", "127.0.0.1:3000", "localhost:3000", "ftp://a", "http://", "http://a/b", "http://a?b", "http://u:p@a",
          "http://a:0", "http://a:99999", "unix:app.sock", "unix://app.sock", "http:a", "http://a b"}) {
        CAPTURE(text);
        CHECK(std::holds_alternative<std::string>(read_upstream_url(text)));
    }
    CHECK(contains(std::get<std::string>(read_upstream_url("localhost:3000")), "write http://localhost:3000"));
    CHECK(contains(std::get<std::string>(read_upstream_url("http://a:x")), "a port is a number"));
    CHECK(contains(std::get<std::string>(read_store_url("redis://a:x/0")), "a port is a number"));
}

TEST_CASE("a store's URL gives address, login and database, and is shown without the password")
{
    const auto store = std::get<Store>(read_store_url("rediss://bob:p%40ss@cache.example:6380/3"));
    CHECK(store.tls);
    CHECK(store.user == "bob");
    CHECK(store.password == "p@ss");
    CHECK(store.endpoint.to_string() == "cache.example:6380");
    CHECK(store.database == 3);
    CHECK(store.url_for_display == "rediss://bob@cache.example:6380/3");

    const auto plain = std::get<Store>(read_store_url("redis://:secret@127.0.0.1"));
    CHECK(plain.endpoint.port == 6379);
    CHECK(plain.password == "secret");
    CHECK(plain.url_for_display == "redis://127.0.0.1:6379/0");

    const auto socket = std::get<Store>(read_store_url("unix:///run/redis.sock?db=2"));
    CHECK(socket.endpoint.unix_path == "/run/redis.sock");
    CHECK(socket.database == 2);
    CHECK(socket.url_for_display == "unix:///run/redis.sock?db=2");
}

TEST_CASE("a sentinel's URL gives the sentinels, the master's name, the login of the servers and the database")
{
    const auto store =
        std::get<Store>(read_store_url("redis+sentinel://bob:p%40%2Css@a.example,[::1]:5,b:26380/my.master_1/3"));
    CHECK(store.kind == StoreKind::redis);
    CHECK(store.topology == StoreTopology::sentinel);
    CHECK_FALSE(store.tls);
    CHECK(store.user == "bob");
    CHECK(store.password == "p@,ss");
    REQUIRE(store.seeds.size() == 3);
    CHECK(store.seeds[0].to_string() == "a.example:26379");
    CHECK(store.seeds[1].to_string() == "[::1]:5");
    CHECK(store.seeds[2].to_string() == "b:26380");
    CHECK(store.master_name == "my.master_1");
    CHECK(store.database == 3);
    CHECK(store.url_for_display == "redis+sentinel://bob@a.example:26379,[::1]:5,b:26380/my.master_1/3");

    const auto tls = std::get<Store>(read_store_url("rediss+sentinel://:secret@h/m"));
    CHECK(tls.tls);
    CHECK(tls.password == "secret");
    CHECK(tls.database == 0);
    CHECK(tls.url_for_display == "rediss+sentinel://h:26379/m/0");
}

TEST_CASE("a cluster's URL gives nodes to begin with, and has no database")
{
    const auto store = std::get<Store>(read_store_url("redis+cluster://bob:secret@a,[fd00::2]:7000"));
    CHECK(store.topology == StoreTopology::cluster);
    CHECK(store.user == "bob");
    CHECK(store.password == "secret");
    REQUIRE(store.seeds.size() == 2);
    CHECK(store.seeds[0].to_string() == "a:6379");
    CHECK(store.seeds[1].to_string() == "[fd00::2]:7000");
    CHECK(store.url_for_display == "redis+cluster://bob@a:6379,[fd00::2]:7000");
    CHECK(std::get<Store>(read_store_url("rediss+cluster://a/")).tls);
    for (const char* text : {"redis+cluster://a/0", "redis+cluster://a,b/3"}) {
        CAPTURE(text);
        CHECK(contains(std::get<std::string>(read_store_url(text)), "a cluster has no databases"));
    }
}

TEST_CASE("what is wrong with a URL of sentinels or nodes is said")
{
    struct Row {
        const char* text;
        const char* said;
    };
    const Row rows[] = {
        {"redis+sentinel://a,b", "the master is missing"},
        {"redis+sentinel://a,b/", "the master is missing"},
        {"redis+sentinel://a/my*master", "a master's name has letters"},
        {"redis+sentinel://a/m/x", "the database is a number"},
        {"redis+sentinel:a/m", "not a URL; write redis+sentinel://HOST:26379,HOST:26379/NAME"},
        {"redis+sentinel:///m", "a host is missing"},
        {"redis+sentinel://a,,b/m", "a host is missing"},
        {"redis+sentinel://a,/m", "a host is missing"},
        {"redis+sentinel://a:0/m", "port 0"},
        {"redis+sentinel://a:99999/m", "a port is a number up to 65535"},
        {"redis+sentinel://a b/m", "one of the hosts"},
        {"redis+sentinel://::1/m", "one of the hosts"},
        {"redis+sentinel://a/m?db=3", "this kind of URL has no ?"},
        {"rediss+cluster://a b", "write rediss+cluster://HOST:6379,HOST:6379"},
        {"redis+cluster://", "a host is missing"},
        {"redis+ring://a", "after redis+ comes sentinel or cluster"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.text);
        const auto read = read_store_url(row.text);
        REQUIRE(std::holds_alternative<std::string>(read));
        CAPTURE(std::get<std::string>(read));
        CHECK(contains(std::get<std::string>(read), row.said));
    }
}

TEST_CASE("a message about a store's URL never repeats its password")
{
    for (const char* text :
         {"redis+sentinel://u:hun/ter2@h/m", "redis+sentinel://u:hunter2@h:x/m", "redis+sentinel://u:hunter2@/m",
          "redis+cluster://u:hunter2@a@b:c", "redis+cluster://hunter2:hunter2", "redis+cluster://u:%zzhunter2@h",
          "redis+cluster://u:p@h/hunter2", "redis+hunter2://h", "redis://u:hunter2@", "redis://u:hunter2@h:99999",
          "redis://u:hunter2@h/x", "redis://u:hun/ter2@h", "http://u:hunter2@h", "redis+sentinel://u:hunter2@h",
          "u:hunter2@h:6379", "redis://u:hunter2@h/0?x=1", "redis://u:hunter2@h/0#x", "unix://u:hunter2@h/x",
          "hunter2"}) {
        CAPTURE(text);
        const auto read = read_store_url(text);
        REQUIRE(std::holds_alternative<std::string>(read));
        CHECK_FALSE(contains(std::get<std::string>(read), "hunter2"));
        CHECK_FALSE(contains(
            load_broken("upstream: http://a\ncache: respect-origin\nstore: " + std::string(text) + "\n"), "hunter2"));
    }
}

TEST_CASE("a network is an address, or one with a prefix length that fits")
{
    for (const char* text : {"10.0.0.0/8", "192.0.2.7", "::1", "fd00::/8", "0.0.0.0/0", "::/128"})
        CHECK_MESSAGE(check_network(text).empty(), text);
    for (const char* text : {"", "10.0.0.0/33", "::/129", "10.0.0/8", "localhost", "10.0.0.0/", "10.0.0.0/-1"})
        CHECK_MESSAGE(!check_network(text).empty(), text);
}

}  // namespace larder::config
