#include "proxy/observe/recent.hpp"

#include <doctest/doctest.h>

#include <string>
#include <thread>

using namespace larder::proxy;

TEST_CASE("what was added last comes first, and no more is kept than was said")
{
    Recent<int> recent{3};
    CHECK(recent.newest_first().empty());
    recent.add(1);
    recent.add(2);
    CHECK(recent.newest_first() == std::vector<int>{2, 1});
    for (int i = 3; i <= 8; ++i) recent.add(i);
    CHECK(recent.newest_first() == std::vector<int>{8, 7, 6});
}

TEST_CASE("one thread adds while another reads")
{
    Recent<std::string> recent{10};
    std::thread writer([&] {
        for (int i = 0; i < 2'000; ++i) recent.add(std::string(40, 'x') + std::to_string(i));
    });
    for (int i = 0; i < 200; ++i) {
        const std::vector<std::string> seen = recent.newest_first();
        CHECK(seen.size() <= 10);
        for (const std::string& one : seen) CHECK(one.size() > 40);
    }
    writer.join();
    CHECK(recent.newest_first().front().ends_with("1999"));
}
