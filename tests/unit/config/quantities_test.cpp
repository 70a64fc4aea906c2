#include "config/quantities.hpp"

#include "support.hpp"

namespace larder::config {

using namespace std::chrono_literals;

TEST_CASE("a duration is a whole number and one of five units")
{
    struct Row {
        const char* text;
        Milliseconds want;
    };
    const Row rows[] = {{"500ms", 500ms}, {"60s", 60s}, {"30m", 30min}, {"1h", 1h}, {"1d", 24h}, {"0s", 0s}};
    for (const Row& row : rows) {
        CAPTURE(row.text);
        const auto read = read_duration(row.text);
        REQUIRE(std::holds_alternative<Milliseconds>(read));
        CHECK(std::get<Milliseconds>(read) == row.want);
    }
    for (const char* text :
         {"", "s", "60", "1.5h", "-1s", "1h30m", "60 s", "60S", "99999999999999999999s", "99999999999d", "1w"}) {
        CAPTURE(text);
        CHECK(std::holds_alternative<std::string>(read_duration(text)));
    }
    CHECK(contains(std::get<std::string>(read_duration("60")), "write 60s"));
}

TEST_CASE("a size is a whole number and a unit of 1000 or 1024")
{
    CHECK(std::get<std::uint64_t>(read_size("64KiB")) == 65536);
    CHECK(std::get<std::uint64_t>(read_size("10MB")) == 10'000'000);
    CHECK(std::get<std::uint64_t>(read_size("1GiB")) == 1ull << 30);
    CHECK(std::get<std::uint64_t>(read_size("7B")) == 7);
    for (const char* text : {"", "64", "64K", "64kib", "1.5MiB", "-1MiB", "99999999999GiB"}) {
        CAPTURE(text);
        CHECK(std::holds_alternative<std::string>(read_size(text)));
    }
    CHECK(contains(std::get<std::string>(read_size("64")), "write 64MiB"));
}

TEST_CASE("what is written reads back to the same value")
{
    for (Milliseconds value : {0ms, 1ms, 1500ms, 60'000ms, 55'000ms, 86'400'000ms})
        CHECK(std::get<Milliseconds>(read_duration(write_duration(value))) == value);
    for (std::uint64_t value : {1ull, 1000ull, 1024ull, 10'000'000ull, 64ull << 20})
        CHECK(std::get<std::uint64_t>(read_size(write_size(value))) == value);
}

}  // namespace larder::config
