// What is written is read back: dates in the three forms, Cache-Control in the spellings that mean the same.
#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "rules/http/cache_control.hpp"
#include "rules/http/date.hpp"

using namespace larder::rules;
using namespace std::chrono_literals;

namespace {

/// Numbers in a given order, the same in every run.
class Chance {
  public:
    explicit Chance(std::uint64_t seed) : engine_(seed) {}
    std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
    bool coin() { return below(2) == 1; }
    std::string any_case(std::string text)
    {
        for (char& c : text)
            if (coin()) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c >= 'A' && c <= 'Z' ? c + 32 : c);
        return text;
    }

  private:
    std::mt19937_64 engine_;
};

constexpr std::string_view long_days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

/// The other two forms of an IMF-fixdate.
std::string as_rfc850(const std::string& imf, WallTime time)
{
    const auto day = std::chrono::weekday(std::chrono::floor<std::chrono::days>(time)).c_encoding();
    return std::string(long_days[day]) + ", " + imf.substr(5, 2) + '-' + imf.substr(8, 3) + '-' + imf.substr(14, 2) +
           imf.substr(16);
}

std::string as_asctime(const std::string& imf)
{
    std::string day = imf.substr(5, 2);
    if (day[0] == '0') day[0] = ' ';
    return imf.substr(0, 3) + ' ' + imf.substr(8, 3) + ' ' + day + ' ' + imf.substr(17, 8) + ' ' + imf.substr(12, 4);
}

}  // namespace

TEST_CASE("any second of the years 1 to 9999 is read back from its date, in any case")
{
    Chance chance(1);
    const WallTime first = std::chrono::sys_days(std::chrono::year(1) / 1 / 1);
    const WallTime end = std::chrono::sys_days(std::chrono::year(9999) / 12 / 31);
    const auto span = static_cast<std::uint64_t>(std::chrono::floor<Seconds>(end - first).count());
    for (int i = 0; i < 20'000; ++i) {
        const WallTime time = first + Seconds(static_cast<std::int64_t>(chance.below(span)));
        const std::string text = format_date(time);
        REQUIRE(text.size() == 29);
        REQUIRE((parse_date(chance.any_case(text), {}) == time));
        REQUIRE((parse_date(chance.any_case(as_asctime(text)), {}) == time));
    }
}

TEST_CASE("a date with a two-digit year is read back from forty-nine years on either side of now")
{
    Chance chance(2);
    const auto years_49 = static_cast<std::uint64_t>(std::chrono::floor<Seconds>(std::chrono::years(49)).count());
    for (int i = 0; i < 20'000; ++i) {
        const WallTime now = WallTime{} + Seconds(static_cast<std::int64_t>(chance.below(4'000'000'000)));
        const Seconds away(static_cast<std::int64_t>(chance.below(years_49)));
        const WallTime time = chance.coin() ? now + away : now - away;
        const WallTime second = std::chrono::floor<Seconds>(time);
        const auto read = parse_date(as_rfc850(format_date(second), second), now);
        REQUIRE(read.has_value());
        REQUIRE((*read == second));
    }
}

TEST_CASE("directives are read back, whatever their order, case, white space, quotes and unknown neighbours")
{
    Chance chance(3);
    for (int i = 0; i < 5'000; ++i) {
        CacheControl want;
        std::vector<std::string> elements;
        const auto flag = [&](std::string_view name, bool& into) {
            if (!chance.coin()) return;
            into = true;
            elements.push_back(chance.any_case(std::string(name)));
        };
        const auto seconds = [&](std::string_view name, std::optional<Seconds>& into) {
            if (!chance.coin()) return;
            const std::uint64_t value = chance.below(1ull << (1 + chance.below(40)));
            into = Seconds(static_cast<std::int64_t>(std::min(value, max_delta_seconds)));
            const std::string quote = chance.coin() ? "\"" : "";
            elements.push_back(chance.any_case(std::string(name)) + '=' + quote + std::to_string(value) + quote);
        };
        flag("no-store", want.no_store);
        flag("no-cache", want.no_cache);
        flag("private", want.is_private);
        flag("public", want.is_public);
        flag("must-revalidate", want.must_revalidate);
        flag("proxy-revalidate", want.proxy_revalidate);
        flag("must-understand", want.must_understand);
        flag("immutable", want.immutable);
        seconds("max-age", want.max_age);
        seconds("s-maxage", want.s_maxage);
        seconds("stale-while-revalidate", want.stale_while_revalidate);
        seconds("stale-if-error", want.stale_if_error);
        for (const char* unknown : {"foo", "x=\"no-store, max-age=1\"", "bar=\"a\\\"b, private\"", "public-ish=7"})
            if (chance.coin()) elements.emplace_back(unknown);
        for (std::size_t k = elements.size(); k > 1; --k) std::swap(elements[k - 1], elements[chance.below(k)]);
        std::string text;
        for (const std::string& element : elements) {
            constexpr const char* separators[] = {",", ", ", " ,\t", ",, "};
            if (!text.empty()) text += separators[chance.below(4)];
            text += element;
        }

        CAPTURE(text);
        CacheControl read;
        parse_cache_control(text, read);
        REQUIRE(read.no_store == want.no_store);
        REQUIRE(read.no_cache == want.no_cache);
        REQUIRE(read.is_private == want.is_private);
        REQUIRE(read.is_public == want.is_public);
        REQUIRE(read.must_revalidate == want.must_revalidate);
        REQUIRE(read.proxy_revalidate == want.proxy_revalidate);
        REQUIRE(read.must_understand == want.must_understand);
        REQUIRE(read.immutable == want.immutable);
        REQUIRE((read.max_age == want.max_age));
        REQUIRE((read.s_maxage == want.s_maxage));
        REQUIRE((read.stale_while_revalidate == want.stale_while_revalidate));
        REQUIRE((read.stale_if_error == want.stale_if_error));
    }
}
