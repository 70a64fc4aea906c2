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

TEST_CASE("a message about a store's URL never repeats its password")
{
    for (const char* text :
         {"redis://u:hunter2@", "redis://u:hunter2@h:99999", "redis://u:hunter2@h/x", "redis://u:hun/ter2@h",
          "http://u:hunter2@h", "redis+sentinel://u:hunter2@h", "u:hunter2@h:6379", "redis://u:hunter2@h/0?x=1",
          "redis://u:hunter2@h/0#x", "unix://u:hunter2@h/x", "hunter2"}) {
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
