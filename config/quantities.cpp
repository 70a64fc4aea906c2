#include "config/quantities.hpp"

#include <limits>
#include <optional>

#include "rules/base/text.hpp"

namespace larder::config {
namespace {

struct Unit {
    std::string_view name;
    std::uint64_t factor;
};
// Largest first, so that writing takes the first unit that divides.
constexpr Unit duration_units[] = {{"d", 86'400'000}, {"h", 3'600'000}, {"m", 60'000}, {"s", 1000}, {"ms", 1}};
constexpr Unit size_units[] = {{"GiB", 1ull << 30},
                               {"MiB", 1ull << 20},
                               {"KiB", 1ull << 10},
                               {"GB", 1'000'000'000},
                               {"MB", 1'000'000},
                               {"KB", 1000},
                               {"B", 1}};
// A century of milliseconds and a petabyte: below any overflow, above any wish.
constexpr std::uint64_t duration_most = 3'155'760'000'000, size_most = 1ull << 50;

std::string quoted(std::string_view text) { return "\"" + std::string(text.substr(0, 40)) + "\""; }

template <std::size_t Count>
std::variant<std::uint64_t, std::string> read_quantity(std::string_view text, const Unit (&units)[Count],
                                                       std::uint64_t most, std::string_view what,
                                                       std::string_view common_unit, std::string_view examples)
{
    std::size_t digits = 0;
    while (digits < text.size() && rules::is_digit(text[digits])) ++digits;
    const std::optional<std::uint64_t> number = rules::parse_digits(text.substr(0, digits));
    if (!number) {
        return quoted(text) + " is not a " + std::string(what) + "; write a whole number and a unit, such as " +
               std::string(examples);
    }
    const std::string_view unit_name = text.substr(digits);
    if (unit_name.empty()) {
        return "a " + std::string(what) + " needs a unit; write " + std::to_string(*number) + std::string(common_unit) +
               " (or another unit: " + std::string(examples) + ")";
    }
    for (const Unit& unit : units) {
        if (unit.name != unit_name) continue;
        if (*number > most / unit.factor) return quoted(text) + " is too large";
        return *number * unit.factor;
    }
    return quoted(text) + " is not a " + std::string(what) + "; write a whole number and a unit, such as " +
           std::string(examples);
}

template <std::size_t Count>
std::string write_quantity(std::uint64_t value, const Unit (&units)[Count], std::string_view zero)
{
    if (value == 0) return std::string(zero);
    for (const Unit& unit : units)
        if (value % unit.factor == 0) return std::to_string(value / unit.factor) + std::string(unit.name);
    return {};
}

}  // namespace

Read<Milliseconds> read_duration(std::string_view text)
{
    auto read = read_quantity(text, duration_units, duration_most, "duration", "s", "500ms, 60s, 30m, 1h, 1d");
    if (auto* number = std::get_if<std::uint64_t>(&read)) return Milliseconds(static_cast<std::int64_t>(*number));
    return std::get<std::string>(read);
}

Read<std::uint64_t> read_size(std::string_view text)
{
    return read_quantity(text, size_units, size_most, "size", "MiB", "64KiB, 10MB, 1GiB");
}

std::string write_duration(Milliseconds duration)
{
    return write_quantity(static_cast<std::uint64_t>(duration.count()), duration_units, "0ms");
}

std::string write_size(std::uint64_t bytes) { return write_quantity(bytes, size_units, "0"); }

Read<std::uint32_t> read_sampling(std::string_view text)
{
    if (text == "off" || text == "false") return 0u;
    if (text == "all") return 1u;
    const auto every = text.starts_with("1/") ? rules::parse_digits(text.substr(2)) : std::nullopt;
    if (every && *every >= 1 && *every <= 999'999'999) return static_cast<std::uint32_t>(*every);
    return "\"" + std::string(text.substr(0, 40)) +
           "\" is not known here; write off, all, or 1/100 for one in a hundred";
}

std::string write_sampling(std::uint32_t every)
{
    return every == 0 ? std::string("off") : every == 1 ? "all" : "1/" + std::to_string(every);
}

}  // namespace larder::config
