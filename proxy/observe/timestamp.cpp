#include "proxy/observe/timestamp.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "rules/base/appender.hpp"

namespace larder::proxy {

void append_time(std::string& out, rules::WallTime time)
{
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date{day};
    const std::chrono::hh_mm_ss clock{time - day};
    rules::append_number(out, static_cast<std::uint64_t>(std::max(static_cast<int>(date.year()), 0)), 4);
    out += '-';
    rules::append_number(out, static_cast<unsigned>(date.month()), 2);
    out += '-';
    rules::append_number(out, static_cast<unsigned>(date.day()), 2);
    out += 'T';
    rules::append_number(out, static_cast<std::uint64_t>(clock.hours().count()), 2);
    out += ':';
    rules::append_number(out, static_cast<std::uint64_t>(clock.minutes().count()), 2);
    out += ':';
    rules::append_number(out, static_cast<std::uint64_t>(clock.seconds().count()), 2);
    out += '.';
    rules::append_number(out, static_cast<std::uint64_t>(clock.subseconds().count()), 3);
    out += 'Z';
}

}  // namespace larder::proxy
