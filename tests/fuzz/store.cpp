// The stored form of an entry: what was stored comes back as it was, and nothing else comes back at all.
#include "proxy/store/entry_codec.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "input.hpp"
#include "proxy/store/entry.hpp"
#include "targets.hpp"

namespace larder::fuzz {

namespace {

using namespace proxy;

constexpr Position position = 1763722000123456;
constexpr std::int64_t latest_ms = 9'999'999'999'999;

void expect_same_entry(const Entry& one, const Entry& other)
{
    const char* const what = "an entry is read back as it was";
    expect_same(one.key, other.key, what);
    expect_same(one.variant, other.variant, what);
    expect_same(one.head, other.head, what);
    expect_same(one.body(), other.body(), what);
    expect_same(one.generation, other.generation, what);
    expect_same(one.rule, other.rule, what);
    expect_same(one.own_policy, other.own_policy, what);
    expect(one.kind == other.kind && one.status == other.status && one.expires == other.expires, what);
    expect(one.vary_names == other.vary_names && one.variants == other.variants && one.groups == other.groups, what);
    const rules::StoredTimes &a = one.times, &b = other.times;
    expect(a.stored == b.stored && a.initial_age == b.initial_age && a.lifetime == b.lifetime &&
               a.stale_while_revalidate == b.stale_while_revalidate && a.stale_if_error == b.stale_if_error &&
               a.must_revalidate == b.must_revalidate && a.always_revalidate == b.always_revalidate,
           what);
    expect(one.position.load() == other.position.load(), what);
}

void check_decoded(const Entry& entry)
{
    const Validators held = entry.validators();
    for (const std::string_view view : {held.etag, held.last_modified, held.date, held.content_range})
        expect(view.empty() || lies_in(view, entry.head), "what is found in the head lies there");
    expect(entry.status >= 100 && entry.status <= 999, "a status has three digits");
    for (const rules::Milliseconds duration : {entry.times.initial_age, entry.times.lifetime,
                                               entry.times.stale_while_revalidate, entry.times.stale_if_error})
        expect(duration.count() >= 0 && duration.count() <= latest_ms, "no duration is negative or overflows");
    expect(entry.head.empty() || std::string_view(entry.head).ends_with("\r\n"), "a head is whole lines");

    const std::string value = encode_entry(entry, entry.position.load());
    const auto again = decode_entry(value, entry.key, entry.variant);
    expect(again != nullptr, "what was read is read again as we write it");
    expect_same_entry(entry, *again);
    expect(decode_entry(value, std::string(entry.key) + "x", entry.variant) == nullptr, "not under another key");
    expect(decode_entry(value, entry.key, std::string(entry.variant) + "x") == nullptr, "not as another variant");
    expect(decode_entry(value.substr(0, value.size() - 1), entry.key, entry.variant) == nullptr, "not when it is cut");
}

/// What stands behind " name=" of the metadata line, unescaped.
std::string field_of(std::string_view line, std::string_view name)
{
    const std::size_t at = line.find(name);
    if (at == std::string_view::npos) return {};
    const std::string_view value = line.substr(at + name.size());
    std::string text;
    for (std::size_t i = 0; i < value.size() && value[i] != ' '; ++i) {
        const bool escape = value[i] == '%' && i + 2 < value.size() && rules::hex_value(value[i + 1]) >= 0 &&
                            rules::hex_value(value[i + 2]) >= 0;
        text +=
            escape ? static_cast<char>(rules::hex_value(value[i + 1]) * 16 + rules::hex_value(value[i + 2])) : value[i];
        if (escape) i += 2;
    }
    return text;
}

/// The input with the checksum that an encoder would write, so that what is behind the checksum is reached.
std::string with_checksum(std::string_view input)
{
    constexpr std::string_view before = "1763722000123456 larder/2 xxh3=";
    constexpr std::size_t digits_end = before.size() + 16;
    if (input.size() < digits_end) return std::string(input);
    const std::string_view summed = input.substr(digits_end);
    char digits[24];
    std::snprintf(digits, sizeof digits, "%016llx",
                  static_cast<unsigned long long>(XXH3_64bits(summed.data(), summed.size())));
    return std::string(input.substr(0, before.size())).append(digits).append(summed);
}

void check_value(std::string_view value)
{
    const std::string_view line = value.substr(0, value.find('\n'));
    const std::string key = field_of(line, " key="), variant = field_of(line, " variant=");
    auto block = std::make_unique<char[]>(value.size());  // a read beyond it is seen, as of `copy`
    value.copy(block.get(), value.size());
    const auto entry = decode_entry(std::move(block), value.size(), key, variant);
    const ExactCopy copy(value);
    const auto copied = decode_entry(copy.view(), key, variant);
    expect((entry == nullptr) == (copied == nullptr), "a copy is read as the value is");
    is_of_other_version(copy.view());
    if (!entry) return;
    expect_same_entry(*entry, *copied);
    check_decoded(*entry);
}

/// Takes an entry's parts from the input: any bytes in any of them.
class Source {
  public:
    explicit Source(std::string_view bytes) : rest_(bytes), chance_(hash_of(bytes)) {}

    std::string text(std::size_t most)
    {
        const std::size_t size = std::min(chance_.below(most + 1), rest_.size());
        std::string taken(rest_.substr(0, size));
        rest_.remove_prefix(size);
        return taken;
    }
    std::vector<std::string> list()
    {
        std::vector<std::string> texts(chance_.below(4));
        for (std::string& one : texts)
            if ((one = text(12)).empty()) one = ",";  // no list has empty members
        return texts;
    }
    rules::Milliseconds duration()
    {
        return rules::Milliseconds{static_cast<std::int64_t>(chance_.next() % static_cast<std::uint64_t>(latest_ms))};
    }
    bool coin() { return chance_.one_in(2); }
    std::string rest() { return std::string(rest_); }

  private:
    std::string_view rest_;
    Chance chance_;
};

}  // namespace

void check_entry(std::string_view input)
{
    check_value(input);
    check_value(with_checksum(input));

    Source source(input);
    Entry entry;
    entry.key = source.text(200);
    if (source.coin()) entry.variant = source.text(40);
    if (source.coin()) entry.kind = EntryKind::vary_index;
    entry.status = 100 + static_cast<int>(source.duration().count() % 900);
    entry.times = {rules::WallTime{source.duration()},
                   source.duration(),
                   source.duration(),
                   source.duration(),
                   source.duration(),
                   source.coin(),
                   source.coin()};
    entry.expires = rules::WallTime{source.duration()};
    entry.generation = source.text(20);
    entry.vary_names = source.list();
    entry.variants = source.list();
    entry.groups = source.list();
    entry.rule = source.text(20);
    entry.own_policy = source.text(40);
    std::string head = source.text(200);
    if (!head.empty()) head += "\r\n";
    entry.head = head;
    entry.set_body(std::string(source.rest()));
    const auto decoded = decode_entry(encode_entry(entry, position), entry.key, entry.variant);
    expect(decoded != nullptr, "what is stored is found");
    entry.position.store(position);
    expect_same_entry(entry, *decoded);
    check_decoded(*decoded);
}

}  // namespace larder::fuzz
