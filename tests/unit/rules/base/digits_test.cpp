#include "rules/base/digits.hpp"

#include <doctest/doctest.h>

#include <string>

namespace larder::rules {

TEST_CASE("eight digits are what a number of eight digits is split into, and join to it")
{
    // Each number of four digits above and below the middle, and what is near the powers of ten.
    std::string wrong;
    const auto check = [&wrong](std::uint64_t number) {
        std::string expected = std::to_string(number);
        expected.insert(0, 8 - expected.size(), '0');
        std::string written(8, ' ');
        save_eight(written.data(), split_digits(number) ^ eight_times('0'));
        if (written != expected || join_digits(split_digits(number)) != number) wrong += expected + " ";
    };
    for (std::uint64_t number = 0; number < 10'000; ++number) {
        check(number);
        check(number * 10'000);
        check(number * 10'000 + 9'999);
    }
    for (std::uint64_t power = 1; power < 100'000'000; power *= 10) {
        check(power - 1);
        check(power);
        check(power + 1);
    }
    check(99'999'999);
    CHECK(wrong == "");
}

}  // namespace larder::rules
