#include "proxy/observe/advice.hpp"

#include <doctest/doctest.h>

#include "config/load.hpp"

namespace larder::proxy {

namespace {

constexpr rules::Instant now{std::chrono::hours{1}};

config::ConfigPtr shop()
{
    constexpr const char* yaml =
        "upstream: http://127.0.0.1:3000\n"
        "rules:\n"
        "  - {name: list, match: GET /events, key: list, ttl: 60s}\n"
        "  - {name: item, match: 'GET /events/{id}', key: 'item:{id}', ttl: 60s}\n"
        "  - {name: item-write, match: 'PUT /events/{id}', purge: ['item:{id}', list]}\n";
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
    CHECK(advice.look(workers, *config, now).empty());  // too few to judge

    count(second, 0, 60, rules::Forward::cookie, rules::NotStored::none);
    const std::vector<Advised> advised = advice.look(workers, *config, now);
    REQUIRE(advised.size() == 1);
    CHECK(advised[0].rule == "list");
    CHECK(advised[0].reason == "cookie");
    CHECK(advised[0].remedy.find("shared: true") != std::string_view::npos);
    CHECK(advised[0].requests == 110);
    CHECK(advised[0].affected == 110);
    CHECK(advice.look(workers, *config, now).empty());
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
    const std::vector<Advised> advised = advice.look({&counters}, *config, now);
    REQUIRE(advised.size() == 1);
    CHECK(advised[0].rule == "item");
    CHECK(advised[0].reason == "set-cookie");
}

TEST_CASE("a purge rule whose writes keep more than a fifth of all requests from the cache is named, now and then")
{
    const config::ConfigPtr config = shop();
    REQUIRE(config);
    Counters counters(config->rules.size());
    Advice advice;
    const auto pass_by = [&](std::uint32_t rule, int times) {
        ExchangeCount one;
        one.rule = 0;
        one.forward = rules::Forward::write_open;
        one.mark_rule = rule;
        for (int i = 0; i < times; ++i) counters.add_exchange(one);
    };
    const auto named = [&](rules::Instant at) {
        std::vector<std::string> names;
        for (const Advised& one : advice.look({&counters}, *config, at))
            if (one.reason == "write-open") names.emplace_back(one.rule);
        return names;
    };
    using Names = std::vector<std::string>;
    pass_by(2, 20);
    count(counters, 0, 80, rules::Forward::none, rules::NotStored::none);
    CHECK(named(now) == Names{});  // a fifth is not more than a fifth
    pass_by(2, 21);
    CHECK(named(now) == Names{});  // too few to judge
    count(counters, 0, 79, rules::Forward::none, rules::NotStored::none);
    CHECK(named(now) == Names{"item-write"});
    pass_by(2, 100);
    CHECK(named(now + Advice::write_silence / 2) == Names{});  // said already
    pass_by(2, 100);
    pass_by(UINT32_MAX, 100);
    CHECK(named(now + Advice::write_silence) == Names{"item-write", "other"});
    count(counters, 0, 1000, rules::Forward::none, rules::NotStored::none);
    CHECK(named(now + 3 * Advice::write_silence) == Names{});  // what is over is over
}

}  // namespace larder::proxy
