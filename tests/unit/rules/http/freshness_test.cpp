// RFC 9111 §4.2: lifetime and age.
#include "rules/http/freshness.hpp"

#include <doctest/doctest.h>

#include "rules/http/date.hpp"

using namespace larder::rules;
using namespace std::chrono_literals;

namespace {

const WallTime noon = *parse_date("Wed, 01 Jul 2026 12:00:00 GMT", WallTime{});
constexpr auto noon_text = "Wed, 01 Jul 2026 12:00:00 GMT";

Fields fields_of(std::initializer_list<std::pair<std::string_view, std::string_view>> lines)
{
    Fields fields;
    for (const auto& [name, value] : lines) fields.all.push_back({name, value, field_id(name)});
    return fields;
}

}  // namespace

TEST_CASE("RFC 9111 4.2.1: s-maxage beats max-age, max-age beats Expires, Expires beats the rule")
{
    struct Row {
        std::string why;
        std::optional<Seconds> s_maxage, max_age, expires;
        std::optional<Milliseconds> rule;
        Milliseconds want;
        LifetimeSource source;
    };
    const Row rows[] = {
        {"shared caches obey s-maxage first", 10s, 20s, 30s, 60s, 10s, LifetimeSource::s_maxage},
        {"s-maxage of 0 is a lifetime", 0s, 20s, 30s, 60s, 0s, LifetimeSource::s_maxage},
        {"max-age next", {}, 20s, 30s, 60s, 20s, LifetimeSource::max_age},
        {"then Expires - Date", {}, {}, 30s, 60s, 30s, LifetimeSource::expires},
        {"an Expires in the past means 0", {}, {}, -5s, 60s, 0s, LifetimeSource::expires},
        {"a silent origin gets the rule", {}, {}, {}, 1500ms, 1500ms, LifetimeSource::rule},
        {"nobody says", {}, {}, {}, {}, 0s, LifetimeSource::none},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CacheControl cc;
        cc.s_maxage = row.s_maxage;
        cc.max_age = row.max_age;
        const Lifetime lifetime = freshness_lifetime(cc, row.expires, row.rule);
        CHECK((lifetime.value == row.want));
        CHECK((lifetime.source == row.source));
    }
}

TEST_CASE("RFC 9111 5.3: Expires counts from Date, and what cannot be read is in the past")
{
    struct Row {
        std::string why;
        Fields fields;
        std::optional<Seconds> want;
    };
    const auto later = "Wed, 01 Jul 2026 12:01:00 GMT";
    const Row rows[] = {
        {"no Expires", fields_of({{"Date", noon_text}}), {}},
        {"a minute", fields_of({{"Date", noon_text}, {"Expires", later}}), 60s},
        {"in the past", fields_of({{"Date", later}, {"Expires", noon_text}}), -60s},
        {"no Date: it was made now", fields_of({{"Expires", later}}), 60s},
        {"an unreadable Date too", fields_of({{"Expires", later}, {"Date", "x"}}), 60s},
        {"0", fields_of({{"Date", noon_text}, {"Expires", "0"}}), 0s},
        {"empty", fields_of({{"Date", noon_text}, {"Expires", ""}}), 0s},
        {"-1", fields_of({{"Date", noon_text}, {"Expires", "-1"}}), 0s},
        {"lower case", fields_of({{"Date", noon_text}, {"Expires", "wed, 01 jul 2026 12:01:00 gmt"}}), 60s},
        {"RFC 850", fields_of({{"Date", noon_text}, {"Expires", "Wednesday, 01-Jul-26 12:01:00 GMT"}}), 60s},
        {"asctime", fields_of({{"Date", noon_text}, {"Expires", "Wed Jul  1 12:01:00 2026"}}), 60s},
        {"another zone", fields_of({{"Date", noon_text}, {"Expires", "Wed, 01 Jul 2026 12:01:00 CET"}}), 0s},
        {"UTC", fields_of({{"Date", noon_text}, {"Expires", "Wed, 01 Jul 2026 12:01:00 UTC"}}), 0s},
        {"an offset", fields_of({{"Date", noon_text}, {"Expires", "Wed, 01 Jul 2026 12:01:00 +0000"}}), 0s},
        {"one-digit day", fields_of({{"Date", noon_text}, {"Expires", "Wed, 1 Jul 2026 12:01:00 GMT"}}), 0s},
        {"another day of the week", fields_of({{"Date", noon_text}, {"Expires", "Mon, 01 Jul 2026 12:01:00 GMT"}}),
         60s},
        {"quoted", fields_of({{"Date", noon_text}, {"Expires", "\"Wed, 01 Jul 2026 12:01:00 GMT\""}}), 0s},
        {"delta-seconds", fields_of({{"Date", noon_text}, {"Expires", "60"}}), 0s},
        {"a readable one and an empty one", fields_of({{"Date", noon_text}, {"Expires", later}, {"Expires", ""}}), 0s},
        {"twice the same", fields_of({{"Date", noon_text}, {"Expires", later}, {"Expires", later}}), 60s},
        {"twice, different", fields_of({{"Date", noon_text}, {"Expires", later}, {"Expires", noon_text}}), 0s},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK((expires_lifetime(row.fields, noon) == row.want));
    }
}

TEST_CASE("RFC 9111 4.2.3: the age at arrival is the larger of what Date and what Age say")
{
    struct Row {
        std::string why;
        Fields fields;
        Milliseconds delay, after_date, want;
    };
    const Row rows[] = {
        {"made just now", fields_of({{"Date", noon_text}}), 0ms, 0ms, 0ms},
        {"Date has no parts of a second, so they are no age", fields_of({{"Date", noon_text}}), 0ms, 999ms, 0ms},
        {"the way here is age", fields_of({{"Date", noon_text}}), 250ms, 999ms, 250ms},
        {"an old Date", fields_of({{"Date", noon_text}}), 100ms, 10s, 10s},
        {"a Date in the future", fields_of({{"Date", noon_text}}), 0ms, -10s, 0ms},
        {"Age and the way here", fields_of({{"Date", noon_text}, {"Age", "5"}}), 200ms, 0ms, 5200ms},
        {"Date says more than Age", fields_of({{"Date", noon_text}, {"Age", "5"}}), 0ms, 9s, 9s},
        {"no Date", fields_of({{"Age", "5"}}), 0ms, 0ms, 5s},
        {"an unreadable Date", fields_of({{"Date", "0"}}), 100ms, 0ms, 100ms},
        {"a list: the first member", fields_of({{"Age", "5, 7"}}), 0ms, 0ms, 5s},
        {"a list that begins with nothing", fields_of({{"Age", ", 5, 7"}}), 0ms, 0ms, 5s},
        {"two lines: the first", fields_of({{"Age", "5"}, {"Age", "7"}}), 0ms, 0ms, 5s},
        {"an empty line and a second one", fields_of({{"Age", ""}, {"Age", "7"}}), 0ms, 0ms, 7s},
        {"a list whose first member is no number: ignored", fields_of({{"Age", "x, 7"}}), 0ms, 0ms, 0s},
        {"quoted: ignored", fields_of({{"Age", "\"5\""}}), 0ms, 0ms, 0s},
        {"a parameter: ignored", fields_of({{"Age", "5;x"}}), 0ms, 0ms, 0s},
        {"a sign: ignored", fields_of({{"Age", "+5"}}), 0ms, 0ms, 0s},
        {"no number: ignored", fields_of({{"Age", "-5"}}), 0ms, 0ms, 0ms},
        {"a fraction: ignored", fields_of({{"Age", "5.5"}}), 0ms, 0ms, 0ms},
        {"empty: ignored", fields_of({{"Age", ""}}), 0ms, 0ms, 0ms},
        {"too large", fields_of({{"Age", "99999999999999999999"}}), 0ms, 0ms, 2147483648s},
        {"a clock that went back during the fetch", fields_of({}), -100ms, 0ms, 0ms},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const WallTime received = noon + row.after_date;
        CHECK((initial_age(row.fields, received - row.delay, received) == row.want));
    }
}
