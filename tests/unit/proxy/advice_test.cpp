#include "proxy/observe/advice.hpp"

#include <doctest/doctest.h>

#include "config/load.hpp"

namespace larder::proxy {

namespace {

config::ConfigPtr shop()
{
    constexpr const char* yaml =
        "upstream: http://127.0.0.1:3000\n"
        "rules:\n"
        "  - {name: list, match: GET /events, key: list, ttl: 60s}\n"
        "  - {name: item, match: 'GET /events/{id}', key: 'item:{id}', ttl: 60s}\n";
    const auto no_environment = [](std::string_view) { return std::optional<std::string>(); };
    return config::load_text(yaml, "test.yaml", no_environment).config;
}

void count(Counters& counters, std::uint32_t rule, int times, rules::Forward forward, rules::NotStored not_stored)
{
    ExchangeCount one;
    one.rule = rule;
    one.forward = forward;
    one.not_stored = not_stored;
    one.status = 200;
    for (int i = 0; i < times; ++i) counters.add_exchange(one);
}

}  // namespace

TEST_CASE("a rule whose requests mostly pass by for one reason is advised of the switch, once")
{
    const config::ConfigPtr config = shop();
    REQUIRE(config);
    Counters first(config->rules.size()), second(config->rules.size());
    const std::vector<const Counters*> workers{&first, &second};
    Advice advice;

    count(first, 0, 50, rules::Forward::cookie, rules::NotStored::none);
    CHECK(advice.look(workers, *config).empty());  // too few to judge

    count(second, 0, 60, rules::Forward::cookie, rules::NotStored::none);
    const std::vector<Advised> advised = advice.look(workers, *config);
    REQUIRE(advised.size() == 1);
    CHECK(advised[0].rule == "list");
    CHECK(advised[0].reason == "cookie");
    CHECK(advised[0].remedy.find("shared: true") != std::string_view::npos);
    CHECK(advised[0].requests == 110);
    CHECK(advised[0].affected == 110);
    CHECK(advice.look(workers, *config).empty());
}

TEST_CASE("answers that may not be stored are advised of as well, and half of the requests is not most of them")
{
    const config::ConfigPtr config = shop();
    REQUIRE(config);
    Counters counters(config->rules.size());
    Advice advice;
    count(counters, 1, 100, rules::Forward::uri_miss, rules::NotStored::set_cookie);
    count(counters, 0, 100, rules::Forward::none, rules::NotStored::none);
    count(counters, 0, 100, rules::Forward::authorization, rules::NotStored::none);
    const std::vector<Advised> advised = advice.look({&counters}, *config);
    REQUIRE(advised.size() == 1);
    CHECK(advised[0].rule == "item");
    CHECK(advised[0].reason == "set-cookie");
}

}  // namespace larder::proxy
