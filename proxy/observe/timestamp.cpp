#include "proxy/observe/timestamp.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>

namespace larder::proxy {

void append_digits(std::string& out, std::uint64_t number, std::size_t width)
{
    char digits[20];
    const auto end = std::to_chars(std::begin(digits), std::end(digits), number).ptr;
    const auto length = static_cast<std::size_t>(end - digits);
    if (length < width) out.append(width - length, '0');
    out.append(digits, length);
}

void append_time(std::string& out, rules::WallTime time)
{
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{time - day};
    append_digits(out, static_cast<std::uint64_t>(std::max(static_cast<int>(date.year()), 0)), 4);
    out += '-';
    append_digits(out, static_cast<unsigned>(date.month()), 2);
    out += '-';
    append_digits(out, static_cast<unsigned>(date.day()), 2);
    out += 'T';
    append_digits(out, static_cast<std::uint64_t>(clock.hours().count()), 2);
    out += ':';
    append_digits(out, static_cast<std::uint64_t>(clock.minutes().count()), 2);
    out += ':';
    append_digits(out, static_cast<std::uint64_t>(clock.seconds().count()), 2);
    out += '.';
    append_digits(out, static_cast<std::uint64_t>(clock.subseconds().count()), 3);
    out += 'Z';
}

}  // namespace larder::proxy
