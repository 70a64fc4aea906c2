// Orders to switch something at run time: what they may say, and what is wrong with those that may not.
#include <doctest/doctest.h>

#include "proxy/admin/switch_endpoint.hpp"

using namespace larder::proxy;
using larder::config::Config;
using larder::config::LogLevel;
using larder::config::Switches;

namespace {

Config config_with_rules()
{
    Config config;
    for (const char* name : {"item", "item-list", "item-write"}) {
        larder::rules::Rule rule;
        rule.name = name;
        config.rules.push_back(std::move(rule));
    }
    config.rules[2].purge.emplace_back();
    return config;
}

Switches read(std::string_view body, const Switches& before = {})
{
    auto read = read_switches(body, before, config_with_rules());
    if (const auto* wrong = std::get_if<std::string>(&read)) FAIL(*wrong);
    return std::get<Switches>(read);
}

}  // namespace

TEST_CASE("an order switches what it names and leaves the rest")
{
    CHECK(read("{}") == Switches{});
    const Switches off = read(R"({"cache":"off"})");
    CHECK(off.cache_off);
    const Switches more =
        read(R"({"cache":"off","rule":"item","log_level":"debug","log_access":"1/10","verify":"all"})", off);
    CHECK(more.cache_off);
    CHECK(more.rules_off.contains("item"));
    CHECK(more.log_level == LogLevel::debug);
    CHECK(more.access_every == 10u);
    CHECK(more.verify_every == 1u);
    const Switches back =
        read(R"({"cache":"on","rule":"item","log_level":null,"log_access":null,"verify":null})", more);
    CHECK(back == off);
    CHECK(read(R"({"cache":"on"})", back) == Switches{});
}

TEST_CASE("an order that cannot be understood says what to write instead")
{
    struct Row {
        const char* body;
        const char* says;
    };
    for (const Row& row : {
             Row{"", "no JSON object"},
             Row{"[]", "no JSON object"},
             Row{R"({"cach":"off"})", "\"cach\" is nothing that can be switched; there are cache, rule"},
             Row{R"({"cache":false})", "\"cache\" is \"on\" or \"off\""},
             Row{R"({"rule":"item"})", "\"rule\" goes with \"cache\""},
             Row{R"({"cache":"off","rule":"itme"})", "there is no cache rule \"itme\"; did you mean \"item\"?"},
             Row{R"({"cache":"off","rule":"item-write"})", "there is no cache rule \"item-write\""},
             Row{R"({"log_level":"loud"})", "\"debug\", \"info\", \"warn\" or \"error\""},
             Row{R"({"log_access":"some"})", "write off, all, or 1/100"},
             Row{R"({"log_access":7})", "\"log_access\" is \"off\", \"all\""},
             Row{R"({"verify":"often"})", "\"verify\": \"often\" is not known here"},
         }) {
        const auto read = read_switches(row.body, {}, config_with_rules());
        CAPTURE(row.body);
        REQUIRE(std::holds_alternative<std::string>(read));
        CAPTURE(std::get<std::string>(read));
        CHECK(std::get<std::string>(read).find(row.says) != std::string::npos);
    }
}

TEST_CASE("the switches are told beside what is in force, whoever has turned it")
{
    Config config = config_with_rules();
    config.cache = larder::rules::CacheMode::off;
    config.rules[1].cache = false;
    CHECK(switches_json({}, config) ==
          R"({"cache":"off","rules_off":["item-list"],"log_level":"info","log_access":"off","verify":"off",)"
          R"("switched":{"cache":null,"rules_off":[],"log_level":null,"log_access":null,"verify":null}})"
          "\n");
}
