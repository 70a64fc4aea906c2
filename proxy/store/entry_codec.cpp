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
#include <cstring>
#include <new>
#include <optional>
#include <utility>

#include "rules/base/appender.hpp"
#include "rules/base/digits.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

using rules::Appender, rules::beyond_nine, rules::eight_times, rules::join_digits, rules::load_eight, rules::save_eight,
    rules::split_digits;

namespace {

// What each entry begins with: names at places that never change, so that all are compared at once and numbers are
// read where they stand. Zeros and dashes stand for what differs.
constexpr std::string_view form =
    "0000000000000000 larder/2 xxh3=0000000000000000 status=000 flags=--- stored=0000000000000 age=0000000000000"
    " ttl=0000000000000 swr=0000000000000 sie=0000000000000 expires=0000000000000 head=000000000 body=000000000 key=";

/// Where the value of a field stands. Each name stands in the form once.
consteval std::size_t place(std::string_view name) { return form.find(name) + name.size(); }

constexpr std::size_t position_digits = place(" larder/2") - std::string_view(" larder/2").size();
constexpr std::size_t time_digits = 13;  // milliseconds, until the year 2286
constexpr std::int64_t latest_ms = 9'999'999'999'999;
constexpr std::size_t size_digits = 9;  // a value in Redis has up to 512 MiB
constexpr std::size_t summed_from = form.find(" status=");

using Bytes [[gnu::vector_size(16)]] = unsigned char;

Bytes load_bytes(const void* from) noexcept
{
    Bytes bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return bytes;
}

bool is_any_set(Bytes bytes) noexcept
{
    const auto halves = std::bit_cast<std::array<std::uint64_t, 2>>(bytes);
    return (halves[0] | halves[1]) != 0;
}

/// Sixteen hex digits in lower case: a checksum has one spelling.
Bytes hex_of(std::uint64_t value) noexcept
{
    if (std::endian::native == std::endian::little) value = __builtin_bswap64(value);  // the highest byte first
    const auto first_half = [](std::uint64_t half) {
        return std::bit_cast<Bytes>(std::array<std::uint64_t, 2>{half, 0});
    };
    const Bytes high = first_half(value >> 4 & eight_times(15)), low = first_half(value & eight_times(15));
    const Bytes nibbles = __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    constexpr unsigned char to_letters = 'a' - '0' - 10;
    return nibbles + '0' + (Bytes(nibbles > 9) & to_letters);
}

std::uint64_t checksum(std::string_view bytes) noexcept { return XXH3_64bits(bytes.data(), bytes.size()); }

// --- writing ---

/// @tparam Width  up to 16; the number has no more digits
template <std::size_t Width>
void put_number(char* at, std::uint64_t number) noexcept
{
    static_assert(Width <= 16);
    constexpr std::uint64_t half = 100'000'000;
    std::array<char, 16> digits;
    if constexpr (Width > 8) save_eight(digits.data(), split_digits(number / half % half) ^ eight_times('0'));
    save_eight(digits.data() + 8, split_digits(number % half) ^ eight_times('0'));
    std::memcpy(at, digits.data() + 16 - Width, Width);
}

/// Where zeros stand already.
void put_milliseconds(char* at, std::int64_t count) noexcept
{
    if (count == 0) return;  // as most ages and stale windows
    put_number<time_digits>(at, static_cast<std::uint64_t>(std::clamp<std::int64_t>(count, 0, latest_ms)));
}

// Comma is escaped too, so that lists need no rule of their own.
constexpr auto plain_bytes = [] {
    std::array<bool, 256> plain{};
    for (unsigned c = 0x21; c < 0x7F; ++c) plain[c] = c != '%' && c != ',';
    return plain;
}();
inline bool is_plain(char c) noexcept { return plain_bytes[static_cast<unsigned char>(c)]; }
bool is_plain(std::string_view text) noexcept
{
    bool plain = true;  // no way out of the loop: nearly all are, to the end
    for (const char c : text) plain = plain && is_plain(c);
    return plain;
}

void append_escaped(Appender& out, std::string_view text)
{
    static constexpr char digits[] = "0123456789ABCDEF";
    if (is_plain(text)) {
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

// --- reading ---

/// Everything but numbers and flags is as in the form. There are as many bytes as it has.
bool has_form(const char* value) noexcept
{
    struct Part {
        std::size_t at;
        alignas(sizeof(Bytes)) std::array<unsigned char, sizeof(Bytes)> form, mask;
    };
    static constexpr auto parts = [] {
        std::array<Part, (form.size() + sizeof(Bytes) - 1) / sizeof(Bytes)> all{};
        for (std::size_t i = 0; i < all.size(); ++i) {
            all[i].at = std::min(i * sizeof(Bytes), form.size() - sizeof(Bytes));  // the last one overlaps
            for (std::size_t byte = 0; byte < sizeof(Bytes); ++byte) {
                const char c = form[all[i].at + byte];
                all[i].form[byte] = static_cast<unsigned char>(c);
                all[i].mask[byte] = c == '0' || c == '-' ? 0 : 0xff;
            }
        }
        return all;
    }();
    Bytes others{};
    const auto compare = [&]<std::size_t... I>(std::index_sequence<I...>)
    {  // a loop would not be unrolled
        ((others |=
          (load_bytes(value + parts[I].at) ^ load_bytes(parts[I].form.data())) & load_bytes(parts[I].mask.data())),
         ...);
    };
    compare(std::make_index_sequence<parts.size()>());
    return !is_any_set(others);
}

/// @param line  stands behind a form, whose last bytes are looked at too: it has neither
bool has_escape_or_line_end(std::string_view line) noexcept
{
    Bytes found{};
    for (std::size_t end = line.size(); end != 0; end -= std::min(end, sizeof(Bytes))) {
        const Bytes bytes = load_bytes(line.data() + end - sizeof(Bytes));
        found |= Bytes((bytes == '%') | (bytes == '\n'));
    }
    return is_any_set(found);
}

/// Takes numbers of a fixed width. After the first byte that is no digit `ok` is false and stays so.
struct NumberReader {
    const char* value;
    std::uint64_t others = 0;  // not 0: something was no digit

    bool ok() const noexcept { return others == 0; }

    /// @tparam Width  9 to 16; in front of them stand other bytes of the form
    template <std::size_t Width>
    std::uint64_t take(std::size_t at) noexcept
    {
        static_assert(Width > 8 && Width <= 16);
        constexpr std::uint64_t kept = ~std::uint64_t{0} << 8 * (16 - Width);
        const std::uint64_t high = (load_eight(value + at + Width - 16) ^ eight_times('0')) & kept;
        const std::uint64_t low = load_eight(value + at + Width - 8) ^ eight_times('0');
        if ((high | low) == 0) return 0;  // most stale windows
        others |= beyond_nine(high) | beyond_nine(low);
        const std::uint64_t last = join_digits(low);
        return high == 0 ? last : join_digits(high) * 100'000'000 + last;
    }
    rules::Milliseconds milliseconds(std::size_t at) noexcept
    {
        return rules::Milliseconds{static_cast<std::int64_t>(take<time_digits>(at))};
    }
    unsigned digit(char c) noexcept
    {
        const unsigned digit = static_cast<unsigned char>(c) - unsigned{'0'};
        others |= digit > 9 ? 1 : 0;
        return digit;
    }
    int take_status() noexcept
    {
        const char* const at = value + place(" status=");
        const unsigned first = digit(at[0]), second = digit(at[1]), third = digit(at[2]);
        return static_cast<int>(first * 100 + second * 10 + third);
    }
    bool take_flag(std::size_t at, char name) noexcept
    {
        if (value[at] != name && value[at] != '-') others = 1;
        return value[at] == name;
    }
};

// Takes the texts behind the form apart from the left, in the one order that the encoder writes. After the first thing
// that is not as expected `ok` is false and stays so.
struct LineReader {
    LineReader(std::string_view line, bool escapes) : rest(line), has_escapes(escapes) {}

    std::string_view rest;
    bool has_escapes;
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

    /// What is read stays where it is as long as the entry: only texts of a line with escapes are copied.
    template <std::size_t Size>
    void text(const char (&name)[Size], EntryText& into)
    {
        const std::string_view value = take(name);
        if (!has_escapes) return into.refer(value);
        std::string plain;
        unescape(value, plain);
        into = plain;
    }

    /// The same of the key, which is known and has its name in the form already: as a rule it has no escapes, and is
    /// compared where it stands. False: it is another.
    bool is_key(std::string_view expected, EntryText& into)
    {
        const std::size_t size = expected.size();
        const bool is_written_so =
            !has_escapes && rest.starts_with(expected) && (rest.size() == size || rest[size] == ' ');
        if (!is_written_so) {
            const std::size_t length = std::min(rest.find(' '), rest.size());
            std::string plain;
            unescape(rest.substr(0, length), plain);
            into = plain;
            rest.remove_prefix(length);
            return into == expected;
        }
        into.refer(rest.substr(0, size));
        rest.remove_prefix(size);
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

/// @param entry  its body is the whole value
bool decode(Entry& entry, std::string_view expected_key, std::string_view expected_variant)
{
    const std::string_view value = entry.body();
    if (value.size() <= form.size() || !has_form(value.data())) return false;

    // The checksum comes first: what follows reads only what an encoder wrote.
    const std::uint64_t sum = checksum(value.substr(summed_from));
    if (is_any_set(load_bytes(value.data() + place(" xxh3=")) ^ hex_of(sum))) return false;

    NumberReader numbers{value.data()};
    const Position position = numbers.take<position_digits>(0);
    entry.status = numbers.take_status();
    rules::StoredTimes& times = entry.times;
    times.must_revalidate = numbers.take_flag(place(" flags="), 'm');
    times.always_revalidate = numbers.take_flag(place(" flags=") + 1, 'a');
    if (numbers.take_flag(place(" flags=") + 2, 'i')) entry.kind = EntryKind::vary_index;
    times.stored = rules::WallTime{numbers.milliseconds(place(" stored="))};
    times.initial_age = numbers.milliseconds(place(" age="));
    times.lifetime = numbers.milliseconds(place(" ttl="));
    times.stale_while_revalidate = numbers.milliseconds(place(" swr="));
    times.stale_if_error = numbers.milliseconds(place(" sie="));
    entry.expires = rules::WallTime{numbers.milliseconds(place(" expires="))};
    const std::size_t head_bytes = numbers.take<size_digits>(place(" head="));
    const std::size_t body_bytes = numbers.take<size_digits>(place(" body="));
    if (!numbers.ok() || entry.status < 100) return false;

    const std::size_t payload_bytes = head_bytes + 2 + body_bytes;
    if (payload_bytes >= value.size() - form.size()) return false;
    const std::string_view payload = value.substr(value.size() - payload_bytes);
    if (payload.data()[-1] != '\n' || payload.substr(head_bytes, 2) != "\r\n") return false;
    const std::string_view head = payload.substr(0, head_bytes);
    if (!head.empty() && !head.ends_with("\r\n")) return false;

    const std::string_view line = value.substr(form.size(), value.size() - form.size() - payload_bytes - 1);
    const bool is_odd = has_escape_or_line_end(line);
    LineReader reader(line, is_odd);
    if ((is_odd && line.find('\n') != line.npos) || !reader.is_key(expected_key, entry.key)) return false;
    reader.text(" rule=", entry.rule);
    if (!reader.rest.empty()) {
        reader.text(" variant=", entry.variant);
        reader.text(" generation=", entry.generation);
        reader.list(" vary=", entry.vary_names);
        reader.list(" variants=", entry.variants);
        reader.text(" policy=", entry.own_policy);
        reader.list(" groups=", entry.groups);
    }
    if (!reader.ok || !reader.rest.empty() || entry.variant != expected_variant) return false;

    entry.head.refer(head);
    entry.refer_body(payload.substr(head_bytes + 2));
    entry.position.store(position, std::memory_order_relaxed);
    return true;
}

/// @param make  an entry whose body is the whole value
template <class Make>
std::shared_ptr<Entry> decode_made(Make make, std::string_view expected_key, std::string_view expected_variant)
{
    // Only memory can run out here; that is a miss like any other unreadable value.
    try {
        std::shared_ptr<Entry> entry = make();
        if (!decode(*entry, expected_key, expected_variant)) entry.reset();
        return entry;
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

}  // namespace

std::string encode_entry(const Entry& entry, Position position)
{
    std::string text;
    encode_entry(entry, position, text);
    return text;
}

void encode_entry(const Entry& entry, Position position, std::string& text)
{
    text.assign(form);
    // Room for the keys and lists with some escapes; more only costs a second allocation.
    const std::size_t line_room = 64 + entry.rule.size() + 2 * entry.key.size() +
                                  32 * (entry.vary_names.size() + entry.variants.size() + entry.groups.size());
    text.reserve(text.size() + line_room + entry.head.size() + entry.body().size());
    {
        Appender out(text, line_room);
        append_escaped(out, entry.key);
        append_text(out, " rule=", entry.rule);
        append_text(out, " variant=", entry.variant);
        append_text(out, " generation=", entry.generation);
        append_list(out, " vary=", entry.vary_names);
        append_list(out, " variants=", entry.variants);
        append_text(out, " policy=", entry.own_policy);
        append_list(out, " groups=", entry.groups);
    }
    const auto at = [&text](std::size_t place_in_form) { return text.data() + place_in_form; };
    const rules::StoredTimes& times = entry.times;
    put_number<position_digits>(at(0), position);
    put_number<3>(at(place(" status=")), static_cast<std::uint64_t>(std::clamp(entry.status, 100, 999)));
    if (times.must_revalidate) at(place(" flags="))[0] = 'm';
    if (times.always_revalidate) at(place(" flags="))[1] = 'a';
    if (entry.kind == EntryKind::vary_index) at(place(" flags="))[2] = 'i';
    put_milliseconds(at(place(" stored=")), times.stored.time_since_epoch().count());
    put_milliseconds(at(place(" age=")), times.initial_age.count());
    put_milliseconds(at(place(" ttl=")), times.lifetime.count());
    put_milliseconds(at(place(" swr=")), times.stale_while_revalidate.count());
    put_milliseconds(at(place(" sie=")), times.stale_if_error.count());
    put_milliseconds(at(place(" expires=")), entry.expires.time_since_epoch().count());
    put_number<size_digits>(at(place(" head=")), entry.head.size());
    put_number<size_digits>(at(place(" body=")), entry.body().size());
    text += '\n';
    text += entry.head;
    text += "\r\n";
    text += entry.body();

    const std::uint64_t sum = checksum(std::string_view(text).substr(summed_from));
    const Bytes hex = hex_of(sum);
    std::memcpy(at(place(" xxh3=")), &hex, sizeof hex);
}

std::shared_ptr<Entry> decode_entry(std::string_view value, std::string_view expected_key,
                                    std::string_view expected_variant)
{
    return decode_made([value] { return Entry::copy_of(value); }, expected_key, expected_variant);
}

std::shared_ptr<Entry> decode_entry(std::unique_ptr<char[]> block, std::size_t value_bytes,
                                    std::string_view expected_key, std::string_view expected_variant)
{
    const auto make = [&block, value_bytes] { return Entry::keeping(std::move(block), value_bytes); };
    return decode_made(make, expected_key, expected_variant);
}

std::optional<rules::WallTime> stored_time_of(std::string_view beginning) noexcept
{
    constexpr std::string_view name = " stored=";
    const std::size_t at = beginning.find(name);
    if (at == std::string_view::npos) return std::nullopt;
    beginning.remove_prefix(at + name.size());
    const auto count = rules::parse_digits(beginning.substr(0, beginning.find_first_not_of("0123456789")));
    if (!count) return std::nullopt;
    return rules::WallTime{rules::Milliseconds{static_cast<std::int64_t>(*count)}};
}

bool is_of_other_version(std::string_view value) noexcept
{
    constexpr std::string_view version = " larder/2 ";
    constexpr std::size_t name_bytes = version.find('/') + 1;
    if (value.size() < position_digits + version.size()) return false;
    value.remove_prefix(position_digits);
    return value.substr(0, name_bytes) == version.substr(0, name_bytes) && !value.starts_with(version);
}

}  // namespace larder::proxy
