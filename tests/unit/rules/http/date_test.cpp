// RFC 9110 §5.6.7: the three forms of a date.
#include "rules/http/date.hpp"

#include <doctest/doctest.h>

using namespace larder::rules;
using namespace std::chrono_literals;

namespace {

constexpr WallTime at(int year, unsigned month, unsigned day, std::chrono::seconds since_midnight)
{
    using namespace std::chrono;
    return sys_days(std::chrono::year(year) / month / day) + since_midnight;
}

const WallTime example = at(1994, 11, 6, 8h + 49min + 37s);
const WallTime now = at(2026, 7, 1, 0s);

}  // namespace

TEST_CASE("the three forms of one date are the same time, and nothing else is a date")
{
    struct Row {
        std::string why, text;
        std::optional<WallTime> want;
    };
    const Row rows[] = {
        {"IMF-fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", example},
        {"RFC 850", "Sunday, 06-Nov-94 08:49:37 GMT", example},
        {"asctime", "Sun Nov  6 08:49:37 1994", example},
        {"asctime with a two-digit day", "Wed Nov 16 08:49:37 1994", at(1994, 11, 16, 8h + 49min + 37s)},
        {"the epoch", "Thu, 01 Jan 1970 00:00:00 GMT", WallTime{}},
        {"before the epoch", "Wed, 31 Dec 1969 23:59:59 GMT", WallTime{-1s}},
        {"a leap day", "Thu, 29 Feb 2024 00:00:00 GMT", at(2024, 2, 29, 0s)},
        {"no leap day", "Wed, 29 Feb 2023 00:00:00 GMT", {}},
        {"a leap second is the next second", "Sat, 31 Dec 2016 23:59:60 GMT", at(2017, 1, 1, 0s)},
        {"far away", "Fri, 31 Dec 9999 23:59:59 GMT", at(9999, 12, 31, 23h + 59min + 59s)},
        {"a year with five digits", "Fri, 31 Dec 9999 23:59:60 GMT", {}},
        {"two digits, less than fifty years ahead", "Sunday, 06-Nov-75 08:49:37 GMT",
         at(2075, 11, 6, 8h + 49min + 37s)},
        {"two digits, months more than fifty years ahead", "Sunday, 06-Nov-76 08:49:37 GMT",
         at(1976, 11, 6, 8h + 49min + 37s)},
        {"two digits, more than fifty years ahead", "Sunday, 06-Nov-77 08:49:37 GMT",
         at(1977, 11, 6, 8h + 49min + 37s)},
        {"empty", "", {}},
        {"a number", "0", {}},
        {"-1, as some frameworks send", "-1", {}},
        {"another zone", "Sun, 06 Nov 1994 08:49:37 UTC", {}},
        {"an offset", "Sun, 06 Nov 1994 08:49:37 +0000", {}},
        {"no zone", "Sun, 06 Nov 1994 08:49:37", {}},
        {"lower case, which a cache should read (RFC 9111 4.2)", "sun, 06 nov 1994 08:49:37 gmt", example},
        {"upper case", "SUNDAY, 06-NOV-94 08:49:37 GMT", example},
        {"another day of the week", "Mon, 06 Nov 1994 08:49:37 GMT", example},
        {"a date of today fifty years ahead", "Wednesday, 01-Jul-76 00:00:00 GMT", at(2076, 7, 1, 0s)},
        {"one-digit day", "Sun, 6 Nov 1994 08:49:37 GMT", {}},
        {"hour 24", "Sun, 06 Nov 1994 24:00:00 GMT", {}},
        {"minute 60", "Sun, 06 Nov 1994 08:60:00 GMT", {}},
        {"second 61", "Sun, 06 Nov 1994 08:49:61 GMT", {}},
        {"day 0", "Sun, 00 Nov 1994 08:49:37 GMT", {}},
        {"day 31 of 30", "Sun, 31 Nov 1994 08:49:37 GMT", {}},
        {"no such month", "Sun, 06 Nox 1994 08:49:37 GMT", {}},
        {"no such day", "Sux, 06 Nov 1994 08:49:37 GMT", {}},
        {"bytes behind it", "Sun, 06 Nov 1994 08:49:37 GMT ", {}},
        {"two spaces", "Sun,  06 Nov 1994 08:49:37 GMT", {}},
        {"a sign in a number", "Sun, 06 Nov 1994 +8:49:37 GMT", {}},
        {"ISO 8601", "1994-11-06T08:49:37Z", {}},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK((parse_date(row.text, now) == row.want));
    }
}

TEST_CASE("a cut date is no date")
{
    for (const std::string text :
         {"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"})
        for (std::size_t size = 0; size < text.size(); ++size)
            CHECK_FALSE(parse_date(std::string_view(text).substr(0, size), now).has_value());
}

TEST_CASE("a date is written as IMF-fixdate, with parts of a second dropped")
{
    CHECK(format_date(example) == "Sun, 06 Nov 1994 08:49:37 GMT");
    CHECK(format_date(example + 999ms) == "Sun, 06 Nov 1994 08:49:37 GMT");
    CHECK(format_date(WallTime{-1ms}) == "Wed, 31 Dec 1969 23:59:59 GMT");
}

TEST_CASE("what is written is read back")
{
    for (WallTime time = at(1999, 12, 25, 0s); time < at(2001, 3, 5, 0s); time += 23h + 59min + 58s)
        CHECK((parse_date(format_date(time), now) == time));
}
