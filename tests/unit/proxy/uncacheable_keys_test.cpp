#include "proxy/exchange/uncacheable_keys.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace larder;
using namespace larder::proxy;
using namespace std::chrono_literals;
using rules::NotStored;

namespace {

constexpr rules::Instant start{1h};

}  // namespace

TEST_CASE("a key is known with its reason until its time is over, or until it is forgotten")
{
    UncacheableKeys keys;
    const std::string long_key(16'000, 'x');
    keys.remember("a", NotStored::set_cookie, start + 5s);
    keys.remember(long_key, NotStored::is_private, start + 5s);
    CHECK(keys.reason("a", start) == NotStored::set_cookie);
    CHECK(keys.reason(long_key, start) == NotStored::is_private);
    CHECK(keys.reason(long_key + "x", start) == NotStored::none);
    keys.remember("a", NotStored::vary_any, start + 6s);
    CHECK(keys.reason("a", start + 5s) == NotStored::vary_any);
    CHECK(keys.reason(long_key, start + 5s) == NotStored::none);
    CHECK(keys.forget("a"));
    CHECK_FALSE(keys.forget("a"));
    CHECK(keys.reason("a", start) == NotStored::none);
}

TEST_CASE("what has expired goes, when other keys are asked for and before anything that counts")
{
    constexpr std::size_t limit = 160;
    UncacheableKeys keys(limit);
    int number = 0;
    const auto remember = [&](int count, rules::Instant until) {
        for (int i = 0; i < count; ++i) keys.remember("key:" + std::to_string(++number), NotStored::status, until);
    };
    remember(100, start + 5s);
    for (int i = 0; i < 1'000; ++i) keys.reason("other:" + std::to_string(i), start + 6s);
    CHECK(keys.count() == 0);

    for (int second = 0; second < 100; ++second) {  // nobody asks
        remember(100, start + second * 10s + 5s);
        CHECK(keys.count() <= limit);
        CHECK(keys.reason("key:" + std::to_string(number), start + second * 10s) == NotStored::status);
    }
    remember(10'000, start + 2000s);
    CHECK(keys.count() <= limit);
    CHECK(keys.count() > 0);
}
