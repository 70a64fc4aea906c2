// How targets take an input apart: seeds are text that people can read and write, mutated by bytes.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "rules/base/text.hpp"
#include "rules/http/head.hpp"

namespace larder::fuzz {

/// A copy that ends where its memory ends, so that a sanitizer sees any step beyond it.
class ExactCopy {
  public:
    explicit ExactCopy(std::string_view bytes) : memory_(new char[bytes.size()]), size_(bytes.size())
    {
        std::copy(bytes.begin(), bytes.end(), memory_.get());
    }
    std::string_view view() const noexcept { return {memory_.get(), size_}; }

  private:
    std::unique_ptr<char[]> memory_;
    std::size_t size_;
};

/// Numbers in an order that the seed decides alone (splitmix64).
class Chance {
  public:
    explicit Chance(std::uint64_t seed) noexcept : state_(seed) {}
    std::uint64_t next() noexcept
    {
        std::uint64_t z = state_ += 0x9E3779B97F4A7C15;
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
        return z ^ (z >> 31);
    }
    std::size_t below(std::size_t limit) noexcept { return limit == 0 ? 0 : static_cast<std::size_t>(next() % limit); }
    bool one_in(std::size_t count) noexcept { return below(count) == 0; }

  private:
    std::uint64_t state_;
};

/// FNV-1a: choices that a target makes depend on its input only, so that a replay makes them again.
inline std::uint64_t hash_of(std::string_view text) noexcept
{
    std::uint64_t hash = 0xCBF29CE484222325;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
    return hash;
}

/// Takes a line off the front, without its LF or CR LF.
inline std::string_view take_line(std::string_view& rest) noexcept
{
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

/// Field lines up to an empty line or the end, taken off the front. Lines that the head scanner would refuse are left
/// out: no parser of field values meets a control byte.
inline rules::Fields take_fields(std::string_view& rest)
{
    rules::Fields fields;
    while (!rest.empty()) {
        const std::string_view line = take_line(rest);
        if (line.empty()) break;
        if (!rules::is_field_line(line)) continue;
        const std::size_t colon = line.find(':');
        const std::string_view name = line.substr(0, colon);
        fields.all.push_back({name, rules::trim(line.substr(colon + 1)), rules::field_id(name)});
    }
    return fields;
}

/// The value of a field that the target itself reads, and takes out: X-Size and the like.
inline std::string_view take_field(rules::Fields& fields, std::string_view name)
{
    std::string_view value;
    for (std::size_t i = 0; i < fields.all.size();) {
        if (!rules::equals_ignoring_case(fields.all[i].name, name)) {
            ++i;
            continue;
        }
        value = fields.all[i].value;
        fields.all.erase(fields.all.begin() + static_cast<std::ptrdiff_t>(i));
    }
    return value;
}

inline bool lies_in(std::string_view part, std::string_view whole) noexcept
{
    return part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size();
}

/// Visible ASCII only.
inline bool is_visible(std::string_view text) noexcept
{
    return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

/// No control byte but tab: what a field value may hold.
inline bool is_field_value(std::string_view text) noexcept
{
    return std::all_of(text.begin(), text.end(),
                       [](char c) { return c == '\t' || (static_cast<unsigned char>(c) >= 0x20 && c != 0x7f); });
}

}  // namespace larder::fuzz
