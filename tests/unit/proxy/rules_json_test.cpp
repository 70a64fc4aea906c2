#include "proxy/admin/rules_json.hpp"

#include <doctest/doctest.h>

#include <boost/json.hpp>

#include "config/load.hpp"

using namespace larder::proxy;
namespace config = larder::config;
namespace json = boost::json;

namespace {

json::object told(const std::string& more)
{
    const auto environment = [](std::string_view name) {
        return name == "PASSWORD" ? std::optional<std::string>("s3cret") : std::nullopt;
    };
    const auto loaded = config::load_text("upstream: http://127.0.0.1:3000\n" + more, "shop.yaml", environment);
    REQUIRE(loaded.config != nullptr);
    const std::string text = rules_json(*loaded.config, "127.0.0.1:8080");
    CHECK(text.find("s3cret") == std::string::npos);
    return json::parse(text).as_object();
}

}  // namespace

TEST_CASE("rules are told in the order of the file, with their place in it")
{
    const json::object object = told(
        "rules:\n"
        "  - {name: event, match: {method: GET, host: shop.example, path: '/events/{id}'}, key: 'event:{id}', ttl: "
        "{200: 90s, 404: 5s}}\n"
        "  - {name: event-write, match: 'PUT|PATCH /events/{id?}', purge: ['event:{id}', 'list:*'], fence: after}\n"
        "  - {name: off, match: GET /off, cache: off}\n"
        "  - {name: rest, match: 'GET /{rest*}', shared: true, ttl: 30m}\n");
    CHECK(object.at("listen").as_string() == "127.0.0.1:8080");
    CHECK(object.at("upstream").as_string() == "127.0.0.1:3000");
    CHECK(object.at("store").as_string() == "embedded");
    CHECK(object.at("cache").as_string() == "rules");
    const json::array& rules = object.at("rules").as_array();
    REQUIRE(rules.size() == 4);
    CHECK(json::serialize(rules[0]) ==
          R"({"name":"event","kind":"cache","match":"GET shop.example/events/{id}","place":"shop.yaml:3",)"
          R"("cache":true,"key":"event:{id}","ttl":"200: 90s, 404: 5s"})");
    CHECK(json::serialize(rules[1]) ==
          R"({"name":"event-write","kind":"purge","match":"PUT|PATCH /events/{id?}","place":"shop.yaml:4",)"
          R"("purge":["event:{id}","list:*"],"fence":"after","on_store_error":"forward"})");
    CHECK_FALSE(rules[2].at("cache").as_bool());
    CHECK(rules[3].at("key").as_string() == "{host}:{path}:{query}");
    CHECK(rules[3].at("ttl").as_string() == "30m");
    CHECK(rules[3].at("shared").as_bool());
}

TEST_CASE("what a condition compares with, and a password, is told to nobody")
{
    const json::object object = told(
        "store: redis://larder:${PASSWORD}@127.0.0.1:6379/0\n"
        "rules:\n"
        "  - name: preview\n"
        "    match: {method: GET, path: /a, header: {X-Key: '${PASSWORD}'}, query: {draft: '1'}}\n"
        "    ttl: 60s\n");
    CHECK(object.at("store").as_string().starts_with("redis://"));
    CHECK(object.at("rules").at(0).at("match").as_string() == "GET /a with header X-Key, query draft");
}

TEST_CASE("each reason is told with what it means and the switch that changes it")
{
    const json::object object = told("cache: off\n");
    CHECK(object.at("cache").as_string() == "off");
    const json::object& cookie = object.at("forward_reasons").at("cookie").as_object();
    CHECK(cookie.at("text").as_string() == "the request has Cookie and the key names nobody");
    CHECK(cookie.at("change").as_string() == "put {cookie.NAME} into the key, or shared: true");
    CHECK(object.at("store_reasons").at("set-cookie").at("change").as_string() == "strip_set_cookie: true");
    CHECK_FALSE(object.at("forward_reasons").as_object().contains("none"));
}
