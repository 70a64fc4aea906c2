#include "proxy/store/entry_codec.hpp"

// Of a body of some KiB the sum costs more than all else, so the instructions of this very machine are used for it.
#if defined(__x86_64__) && __has_include(<xxh_x86dispatch.h>)
#include <xxh_x86dispatch.h>
#else
#define XXH_INLINE_ALL
#include <xxhash.h>
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>
#include <new>
#include <optional>

#include "rules/base/appender.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

using rules::Appender;

namespace {

constexpr std::string_view magic = " larder/1 ";
constexpr std::string_view checksum_name = " xxh3=";
constexpr std::size_t position_digits = 16;
constexpr std::size_t checksum_digits = 16;
// Milliseconds, about the year 33 000: sums of a few of them stay far inside 64 bits.
constexpr std::int64_t latest_ms = 1'000'000'000'000'000;

// --- writing ---

void append_milliseconds(Appender& out, std::string_view name, std::int64_t count)
{
    out += name;
    out += static_cast<std::uint64_t>(std::clamp<std::int64_t>(count, 0, latest_ms));
}

// Comma is escaped too, so that lists need no rule of their own.
constexpr bool is_plain(char c) noexcept { return c > 0x20 && c < 0x7F && c != '%' && c != ','; }

void append_escaped(Appender& out, std::string_view text)
{
    static constexpr char digits[] = "0123456789ABCDEF";
    if (std::all_of(text.begin(), text.end(), is_plain)) {
        out += text;
        return;
    }
    for (char c : text) {
        if (is_plain(c)) {
            out += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            out += '%';
            out += digits[byte >> 4];
            out += digits[byte & 15];
        }
    }
}

void append_text(Appender& out, std::string_view name, std::string_view text)
{
    if (text.empty()) return;
    out += name;
    append_escaped(out, text);
}

void append_list(Appender& out, std::string_view name, const std::vector<std::string>& texts)
{
    if (texts.empty()) return;
    out += name;
    for (const std::string& text : texts) {
        if (&text != &texts.front()) out += ',';
        append_escaped(out, text);
    }
}

void put_hex(char* at, std::uint64_t value)
{
    static constexpr char digits[] = "0123456789abcdef";
    for (int shift = 60; shift >= 0; shift -= 4) *at++ = digits[(value >> shift) & 15];
}

// The payload's hash is seeded with that of the line before it: one sum over both, without joining them.
std::uint64_t checksum(std::string_view line, std::string_view payload) noexcept
{
    return XXH3_64bits_withSeed(payload.data(), payload.size(), XXH3_64bits(line.data(), line.size()));
}

// --- reading ---

struct Digits {
    std::uint64_t value = 0;
    unsigned count = 0;
};

/// The digits at `at`, of which eight count. Eight bytes can be read there: a checksum follows what is read here.
[[gnu::always_inline]] inline Digits up_to_eight_digits(const char* at) noexcept
{
    Digits digits;
    if constexpr (std::endian::native == std::endian::little) {
        constexpr std::uint64_t ones = 0x0101010101010101, high = 0x80 * ones;
        std::uint64_t word = 0;
        std::memcpy(&word, at, sizeof word);
        word ^= '0' * ones;
        const std::uint64_t others = ((word + (0x80 - 10) * ones) | word) & high;  // the first of them is right
        digits.count = static_cast<unsigned>(std::countr_zero(others)) / 8;
        if (digits.count == 0) return digits;
        word <<= (8 - digits.count) * 8;  // zeros in front of it
        // Each step joins neighbours: digits to pairs, pairs to fours, fours to eight.
        word = (word * 10 + (word >> 8)) & 0x00ff00ff00ff00ff;
        word = (word * 100 + (word >> 16)) & 0x0000ffff0000ffff;
        digits.value = (word * 10'000 + (word >> 32)) & 0xffffffff;
    } else {
        for (; digits.count < 8 && rules::is_digit(at[digits.count]); ++digits.count)
            digits.value = digits.value * 10 + static_cast<std::uint64_t>(at[digits.count] - '0');
    }
    return digits;
}

/// The same, of which sixteen count: no number here has more.
Digits up_to_sixteen_digits(const char* at) noexcept
{
    static constexpr std::uint64_t scale[] = {1, 10, 100, 1'000, 10'000, 100'000, 1'000'000, 10'000'000, 100'000'000};
    Digits digits = up_to_eight_digits(at);
    if (digits.count < 8) return digits;
    const Digits more = up_to_eight_digits(at + 8);
    return {digits.value * scale[more.count] + more.value, 8 + more.count};
}

// Takes the metadata line apart from the left, in the one order that the encoder writes. After the first thing that is
// not as expected `ok` is false and stays so.
struct LineReader {
    std::string_view rest;
    bool ok = true;

    /// Takes the name of the field that stands next. Names are literals, so that comparing them is a few loads.
    template <std::size_t Size>
    bool take_name(const char (&name)[Size]) noexcept
    {
        if (rest.size() < Size - 1 || std::memcmp(rest.data(), name, Size - 1) != 0) return false;
        rest.remove_prefix(Size - 1);
        return true;
    }

    /// The value of the field that stands next; empty when another one does.
    template <std::size_t Size>
    std::string_view take(const char (&name)[Size]) noexcept
    {
        if (!take_name(name)) return {};
        const std::size_t length = std::min(rest.find(' '), rest.size());
        const std::string_view value = rest.substr(0, length);
        rest.remove_prefix(length);
        if (value.empty()) ok = false;
        return value;
    }

    template <std::size_t Size>
    std::uint64_t number(const char (&name)[Size], std::uint64_t least, std::uint64_t most) noexcept
    {
        if (take_name(name)) {
            const char* const at = rest.data();
            const bool is_one_digit = at[1] == ' ' && rules::is_digit(at[0]);  // usual: most stale windows are 0
            const Digits digits =
                is_one_digit ? Digits{static_cast<std::uint64_t>(at[0] - '0'), 1} : up_to_sixteen_digits(at);
            // Behind the line stands the space before its checksum.
            const bool is_whole = digits.count != 0 && at[digits.count] == ' ';
            if (is_whole && digits.value >= least && digits.value <= most) {
                rest.remove_prefix(digits.count);
                return digits.value;
            }
        }
        ok = false;
        return least;
    }

    template <std::size_t Size>
    rules::Milliseconds milliseconds(const char (&name)[Size]) noexcept
    {
        return rules::Milliseconds{static_cast<std::int64_t>(number(name, 0, latest_ms))};
    }

    /// What is read stays where it is as long as the entry: only a text with escapes is copied.
    template <std::size_t Size>
    void text(const char (&name)[Size], EntryText& into)
    {
        const std::string_view value = take(name);
        if (value.find('%') == value.npos) return into.refer(value);
        std::string plain;
        unescape(value, plain);
        into = plain;
    }

    /// The same of a text that is known: as a rule it has no escapes, and is compared where it stands. False: it is
    /// another.
    template <std::size_t Size>
    bool is_text(const char (&name)[Size], std::string_view expected, EntryText& into)
    {
        const bool is_written_so =
            !expected.empty() && rest.size() >= Size - 1 + expected.size() &&
            std::memcmp(rest.data(), name, Size - 1) == 0 && rest.substr(Size - 1, expected.size()) == expected &&
            rest.data()[Size - 1 + expected.size()] == ' ' && expected.find('%') == expected.npos;
        if (!is_written_so) {
            text(name, into);
            return into == expected;
        }
        into.refer(rest.substr(Size - 1, expected.size()));
        rest.remove_prefix(Size - 1 + expected.size());
        return true;
    }

    template <std::size_t Size>
    void list(const char (&name)[Size], std::vector<std::string>& into)
    {
        std::string_view values = take(name);
        if (values.empty()) return;
        for (;;) {
            const std::size_t comma = std::min(values.find(','), values.size());
            unescape(values.substr(0, comma), into.emplace_back());
            if (comma == values.size()) return;
            values.remove_prefix(comma + 1);
        }
    }

    void unescape(std::string_view value, std::string& into)
    {
        if (value.find('%') == value.npos) {
            into = value;
            return;
        }
        into.reserve(value.size());
        for (std::size_t i = 0; i < value.size(); ++i) {
            if (value[i] != '%') {
                into += value[i];
                continue;
            }
            const int high = i + 2 < value.size() ? rules::hex_value(value[i + 1]) : -1;
            const int low = i + 2 < value.size() ? rules::hex_value(value[i + 2]) : -1;
            if (high < 0 || low < 0) {
                ok = false;
                return;
            }
            into += static_cast<char>(high * 16 + low);
            i += 2;
        }
    }
};

// Lower case only: a checksum has one spelling.
constexpr auto hex_values = [] {
    std::array<std::uint8_t, 256> values{};
    for (std::uint8_t& value : values) value = 0xff;
    for (unsigned i = 0; i < 16; ++i) values[static_cast<unsigned char>("0123456789abcdef"[i])] = std::uint8_t(i);
    return values;
}();

bool read_hex(std::string_view digits, std::uint64_t& value) noexcept
{
    value = 0;
    unsigned wrong = 0;
    for (const char c : digits) {
        const std::uint8_t nibble = hex_values[static_cast<unsigned char>(c)];
        wrong |= nibble;
        value = value << 4 | nibble;
    }
    return wrong < 16;
}

bool read_flags(std::string_view flags, Entry& entry) noexcept
{
    if (flags == "-") return true;
    for (char flag : flags) {
        bool* set = nullptr;
        if (flag == 'm') set = &entry.times.must_revalidate;
        if (flag == 'a') set = &entry.times.always_revalidate;
        if (flag == 'i' && entry.kind == EntryKind::response)
            entry.kind = EntryKind::vary_index;
        else if (!set || *set)
            return false;
        else
            *set = true;
    }
    return !flags.empty();
}

std::shared_ptr<Entry> decode(std::string&& bytes, std::string_view expected_key, std::string_view expected_variant)
{
    const std::shared_ptr<Entry> entry = Entry::keeping(std::move(bytes));
    const std::string_view value = entry->body();
    const std::size_t line_end = value.find('\n');
    if (line_end == value.npos) return nullptr;
    const std::string_view whole_line = value.substr(0, line_end);
    const std::string_view payload = value.substr(line_end + 1);
    constexpr std::size_t tail = checksum_name.size() + checksum_digits;
    if (whole_line.size() < position_digits + magic.size() + tail) return nullptr;

    const Digits position = up_to_sixteen_digits(whole_line.data());
    std::string_view line = whole_line.substr(position_digits);
    if (position.count != position_digits || !line.starts_with(magic)) return nullptr;

    // The checksum comes first: what follows reads only what an encoder wrote.
    std::uint64_t expected = 0;
    if (!read_hex(line.substr(line.size() - checksum_digits), expected)) return nullptr;
    line.remove_suffix(checksum_digits);
    if (!line.ends_with(checksum_name)) return nullptr;
    line.remove_suffix(checksum_name.size());
    if (checksum(line, payload) != expected) return nullptr;

    LineReader reader{line.substr(magic.size() - 1)};  // each field brings the space before it
    entry->status = static_cast<int>(reader.number(" status=", 100, 999));
    entry->times.stored = rules::WallTime{reader.milliseconds(" stored=")};
    entry->times.initial_age = reader.milliseconds(" age=");
    entry->times.lifetime = reader.milliseconds(" ttl=");
    entry->times.stale_while_revalidate = reader.milliseconds(" swr=");
    entry->times.stale_if_error = reader.milliseconds(" sie=");
    if (!read_flags(reader.take(" flags="), *entry)) return nullptr;
    entry->expires = rules::WallTime{reader.milliseconds(" expires=")};
    const bool is_asked_for = reader.is_text(" key=", expected_key, entry->key) &&
                              reader.is_text(" variant=", expected_variant, entry->variant);
    if (!is_asked_for) return nullptr;
    reader.text(" generation=", entry->generation);
    reader.list(" vary=", entry->vary_names);
    reader.list(" variants=", entry->variants);
    reader.text(" rule=", entry->rule);
    reader.text(" policy=", entry->own_policy);
    reader.list(" groups=", entry->groups);
    const std::size_t head_bytes = reader.number(" head=", 0, payload.size());
    const std::size_t body_bytes = reader.number(" body=", 0, payload.size());
    if (!reader.ok || !reader.rest.empty()) return nullptr;

    if (head_bytes + 2 + body_bytes != payload.size() || payload.substr(head_bytes, 2) != "\r\n") return nullptr;
    const std::string_view head = payload.substr(0, head_bytes);
    if (!head.empty() && !head.ends_with("\r\n")) return nullptr;
    entry->head.refer(head);
    entry->refer_body(payload.substr(head_bytes + 2));
    entry->position.store(position.value, std::memory_order_relaxed);
    return entry;
}

}  // namespace

std::string encode_entry(const Entry& entry)
{
    std::string text;
    encode_entry(entry, text);
    return text;
}

void encode_entry(const Entry& entry, std::string& text)
{
    const rules::StoredTimes& times = entry.times;
    text.clear();
    // Room for the fixed fields, and for keys and lists with some escapes; more only costs a second allocation.
    const std::size_t line_room =
        320 + 2 * entry.key.size() + 32 * (entry.vary_names.size() + entry.variants.size() + entry.groups.size());
    text.reserve(line_room + entry.head.size() + entry.body().size());
    {
        Appender out(text, line_room);
        out += magic.substr(0, magic.size() - 1);
        out += " status=";
        out += static_cast<std::uint64_t>(std::clamp(entry.status, 100, 999));
        append_milliseconds(out, " stored=", times.stored.time_since_epoch().count());
        append_milliseconds(out, " age=", times.initial_age.count());
        append_milliseconds(out, " ttl=", times.lifetime.count());
        append_milliseconds(out, " swr=", times.stale_while_revalidate.count());
        append_milliseconds(out, " sie=", times.stale_if_error.count());
        const bool is_index = entry.kind == EntryKind::vary_index;
        out += " flags=";
        if (times.must_revalidate) out += 'm';
        if (times.always_revalidate) out += 'a';
        if (is_index) out += 'i';
        if (!times.must_revalidate && !times.always_revalidate && !is_index) out += '-';
        append_milliseconds(out, " expires=", entry.expires.time_since_epoch().count());
        append_text(out, " key=", entry.key);
        append_text(out, " variant=", entry.variant);
        append_text(out, " generation=", entry.generation);
        append_list(out, " vary=", entry.vary_names);
        append_list(out, " variants=", entry.variants);
        append_text(out, " rule=", entry.rule);
        append_text(out, " policy=", entry.own_policy);
        append_list(out, " groups=", entry.groups);
        out += " head=";
        out += std::uint64_t{entry.head.size()};
        out += " body=";
        out += std::uint64_t{entry.body().size()};
    }
    const std::size_t line_bytes = text.size();
    text += checksum_name;
    const std::size_t checksum_at = text.size();
    text.append(checksum_digits, '0');
    text += '\n';
    const std::size_t payload_at = text.size();
    text += entry.head;
    text += "\r\n";
    text += entry.body();

    const std::string_view written = text;
    put_hex(text.data() + checksum_at, checksum(written.substr(0, line_bytes), written.substr(payload_at)));
}

std::shared_ptr<Entry> decode_entry(std::string value, std::string_view expected_key, std::string_view expected_variant)
{
    // Only memory can run out here; that is a miss like any other unreadable value.
    try {
        return decode(std::move(value), expected_key, expected_variant);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

}  // namespace larder::proxy
