// Which of the fields that Larder knows a name is (`field_id`, head.hpp). Inline, because the scanner of heads asks it
// of every line.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "rules/http/head.hpp"

namespace larder::rules {

inline constexpr std::size_t name_slots = 256;

constexpr std::size_t name_slot(std::string_view name) noexcept
{
    const auto folded = [](char c) { return static_cast<unsigned char>(c | 0x20); };
    return (name.size() + folded(name[name.size() / 2]) * 3u + folded(name.back()) * 97u) % name_slots;
}

struct KnownName {
    std::string_view text;
    FieldId id = FieldId::other;
};

// A perfect hash over length, middle and last letter: one comparison decides. A new name that collides stops the build;
// then other factors are needed in name_slot.
inline constexpr auto known_names = [] {
    std::array<KnownName, name_slots> table{};
    const auto add = [&table](std::string_view text, FieldId id) {
        KnownName& slot = table[name_slot(text)];
        if (!slot.text.empty()) throw "two field names share a slot";
        slot = {text, id};
    };
#define X(name, text) add(text, FieldId::name);
    LARDER_FIELDS(X)
#undef X
    return table;
}();

constexpr std::uint32_t last_letter(std::string_view name) noexcept
{
    return std::uint32_t{1} << (static_cast<unsigned char>(name.back()) % 32);
}

// The last letters that known names of a length have, a bit each.
inline constexpr auto known_lasts = [] {
    std::array<std::uint32_t, 32> lasts{};
    for (const KnownName& known : known_names)
        if (!known.text.empty()) lasts[known.text.size()] |= last_letter(known.text);
    return lasts;
}();

/// No, of most of the names that Larder does not know, for less than a hash.
inline bool may_be_known(std::string_view name) noexcept
{
    return !name.empty() && name.size() < known_lasts.size() && (known_lasts[name.size()] & last_letter(name)) != 0;
}

template <class Word>
Word load_folded(const char* at) noexcept
{
    Word word = 0;
    std::memcpy(&word, at, sizeof word);
    return word | static_cast<Word>(0x2020202020202020);
}

/// Compares a token with a name in lower case. Setting bit 5 folds letters, and maps no other token character onto a
/// letter, a digit or "-", which is all that the known names are made of.
inline bool same_name(std::string_view token, std::string_view name) noexcept
{
    if (token.size() != name.size()) return false;
    const std::size_t size = name.size();
    const char *const a = token.data(), *const b = name.data();
    if (size < 4) {
        unsigned difference = 0;
        for (std::size_t i = 0; i < size; ++i) difference |= static_cast<unsigned>((a[i] | 0x20) ^ b[i]);
        return difference == 0;
    }
    using Half = std::uint32_t;
    using Whole = std::uint64_t;
    if (size < 8)
        return ((load_folded<Half>(a) ^ load_folded<Half>(b)) |
                (load_folded<Half>(a + size - 4) ^ load_folded<Half>(b + size - 4))) == 0;
    Whole difference = load_folded<Whole>(a + size - 8) ^ load_folded<Whole>(b + size - 8);
    for (std::size_t i = 0; i + 8 < size; i += 8) difference |= load_folded<Whole>(a + i) ^ load_folded<Whole>(b + i);
    return difference == 0;
}

inline FieldId find_field_id(std::string_view name) noexcept
{
    if (!may_be_known(name)) return FieldId::other;
    const KnownName& known = known_names[name_slot(name)];
    return same_name(name, known.text) ? known.id : FieldId::other;
}

}  // namespace larder::rules
