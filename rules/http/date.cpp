#include "rules/http/date.hpp"

#include <array>
#include <cstdio>
#include <cstring>

#include "rules/base/text.hpp"

namespace larder::rules {
namespace {

constexpr std::array<std::string_view, 7> days = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                  "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> months = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::size_t short_day_bytes = 3;
constexpr std::size_t imf_bytes = 29;

/// Takes a date apart from the left; after the first thing that is not there, everything fails.
class Reader {
  public:
    explicit Reader(std::string_view text) noexcept : rest_(text) {}

    void literal(std::string_view expected) noexcept
    {
        good_ = good_ && begins_with(expected);
        if (good_) rest_.remove_prefix(expected.size());
    }

    int number(std::size_t digits) noexcept
    {
        good_ = good_ && rest_.size() >= digits;
        int value = 0;
        for (std::size_t i = 0; good_ && i < digits; ++i) {
            good_ = is_digit(rest_[i]);
            value = value * 10 + (rest_[i] - '0');
        }
        if (!good_) return 0;
        rest_.remove_prefix(digits);
        return value;
    }

    /// One or two digits in two columns, as asctime writes the day.
    int padded_number() noexcept
    {
        if (!rest_.starts_with(' ')) return number(2);
        literal(" ");
        return number(1);
    }

    template <std::size_t Count>
    std::size_t one_of(const std::array<std::string_view, Count>& words, std::size_t bytes) noexcept
    {
        const char first = good_ && !rest_.empty() ? lower(rest_.front()) : '\0';
        for (std::size_t i = 0; i < Count; ++i) {
            if (lower(words[i].front()) != first) continue;
            const std::string_view word = words[i].substr(0, bytes);
            if (!begins_with(word)) continue;
            rest_.remove_prefix(word.size());
            return i;
        }
        good_ = false;
        return 0;
    }

    bool ended_well() const noexcept { return good_ && rest_.empty(); }

  private:
    bool begins_with(std::string_view word) const noexcept
    {
        return equals_ignoring_case(rest_.substr(0, word.size()), word);
    }

    std::string_view rest_;
    bool good_ = true;
};

struct Parts {
    int year = 0, day = 0, hour = 0, minute = 0, second = 0;
    std::size_t month = 0;  // from 0

    void read_time(Reader& reader) noexcept
    {
        hour = reader.number(2);
        reader.literal(":");
        minute = reader.number(2);
        reader.literal(":");
        second = reader.number(2);
    }

    std::optional<WallTime> time() const noexcept
    {
        using namespace std::chrono;
        const year_month_day date(std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month) + 1),
                                  std::chrono::day(static_cast<unsigned>(day)));
        // 60 is a leap second (RFC 9110 §5.6.7 allows it); it counts as the second after it.
        if (!date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
        const WallTime time = sys_days(date) + hours(hour) + minutes(minute) + seconds(second);
        if (time >= sys_days(std::chrono::year(10'000) / January / 1)) return std::nullopt;  // no form can write it
        return time;
    }
};

/// `Sun, 06 Nov 1994 08:49:37 GMT`
std::optional<WallTime> parse_imf(std::string_view text) noexcept
{
    Reader reader(text);
    Parts parts;
    reader.one_of(days, short_day_bytes);
    reader.literal(", ");
    parts.day = reader.number(2);
    reader.literal(" ");
    parts.month = reader.one_of(months, 3);
    reader.literal(" ");
    parts.year = reader.number(4);
    reader.literal(" ");
    parts.read_time(reader);
    reader.literal(" GMT");
    return reader.ended_well() ? parts.time() : std::nullopt;
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
std::optional<WallTime> parse_rfc850(std::string_view text, WallTime now) noexcept
{
    Reader reader(text);
    Parts parts;
    reader.one_of(days, std::string_view::npos);
    reader.literal(", ");
    parts.day = reader.number(2);
    reader.literal("-");
    parts.month = reader.one_of(months, 3);
    reader.literal("-");
    const int two_digits = reader.number(2);
    reader.literal(" ");
    parts.read_time(reader);
    reader.literal(" GMT");
    if (!reader.ended_well()) return std::nullopt;

    using namespace std::chrono;
    const auto today = floor<std::chrono::days>(now);
    const year_month_day date(today);
    const int this_year = static_cast<int>(date.year());
    parts.year = this_year / 100 * 100 + 100 + two_digits;
    while (parts.year > this_year + 50) parts.year -= 100;
    const std::optional<WallTime> time = parts.time();
    if (parts.year < this_year + 50 || !time || *time <= sys_days(date + years(50)) + (now - today)) return time;
    parts.year -= 100;  // by hours or months more than fifty years ahead
    return parts.time();
}

/// `Sun Nov  6 08:49:37 1994`
std::optional<WallTime> parse_asctime(std::string_view text) noexcept
{
    Reader reader(text);
    Parts parts;
    reader.one_of(days, short_day_bytes);
    reader.literal(" ");
    parts.month = reader.one_of(months, 3);
    reader.literal(" ");
    parts.day = reader.padded_number();
    reader.literal(" ");
    parts.read_time(reader);
    reader.literal(" ");
    parts.year = reader.number(4);
    return reader.ended_well() ? parts.time() : std::nullopt;
}

}  // namespace

std::optional<WallTime> parse_date(std::string_view text, WallTime now) noexcept
{
    if (text.size() == imf_bytes && text[short_day_bytes] == ',') {
        // Within a second most responses bear the same date.
        thread_local std::array<char, imf_bytes> last_text{};
        thread_local std::optional<WallTime> last_time;
        if (std::memcmp(last_text.data(), text.data(), imf_bytes) == 0) return last_time;
        last_time = parse_imf(text);
        std::memcpy(last_text.data(), text.data(), imf_bytes);
        return last_time;
    }
    if (text.size() > short_day_bytes && text[short_day_bytes] == ' ') return parse_asctime(text);
    return parse_rfc850(text, now);
}

std::string format_date(WallTime time)
{
    using namespace std::chrono;
    const auto day = floor<std::chrono::days>(time);
    const year_month_day date(day);
    const hh_mm_ss clock(floor<seconds>(time - day));
    const std::string_view day_name = days[weekday(day).c_encoding()].substr(0, short_day_bytes);
    const std::string_view month_name = months[static_cast<unsigned>(date.month()) - 1];
    std::array<char, 48> text{};
    const int size = std::snprintf(text.data(), text.size(), "%.3s, %02u %.3s %04d %02d:%02d:%02d GMT", day_name.data(),
                                   static_cast<unsigned>(date.day()), month_name.data(), static_cast<int>(date.year()),
                                   static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                                   static_cast<int>(clock.seconds().count()));
    return std::string(text.data(), static_cast<std::size_t>(size));
}

}  // namespace larder::rules
