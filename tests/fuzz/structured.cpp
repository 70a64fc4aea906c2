// Structured fields: strict, and what is accepted is written and read back as the same value. Groups and tags: names
// that stand in the purge log, where no byte of a stranger's may become a wildcard.
#include "rules/http/structured.hpp"

#include <algorithm>
#include <string>

#include "input.hpp"
#include "rules/key/groups.hpp"
#include "rules/pattern/pattern.hpp"
#include "targets.hpp"

namespace larder::fuzz {

namespace {

using namespace rules;
using Kind = BareItem::Kind;

/// Length of the UTF-8 sequence at the front (RFC 3629), 0: none.
std::size_t utf8_length(std::string_view text)
{
    const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
    const unsigned first = byte(0);
    const std::size_t length = first < 0x80   ? 1
                               : first < 0xC2 ? 0
                               : first < 0xE0 ? 2
                               : first < 0xF0 ? 3
                               : first < 0xF5 ? 4
                                              : 0;
    std::uint32_t value = length < 2 ? first : first & (0x7Fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return 0;
        value = value << 6 | (byte(i) & 0x3F);
    }
    const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
    return overlong || (value >= 0xD800 && value <= 0xDFFF) || value > 0x10FFFF ? 0 : length;
}

bool is_utf8(std::string_view text)
{
    while (!text.empty()) {
        const std::size_t length = utf8_length(text);
        if (length == 0) return false;
        text.remove_prefix(length);
    }
    return true;
}

std::string print_number(std::int64_t number) { return std::to_string(number); }

std::string print(const BareItem& item)
{
    constexpr std::string_view hex = "0123456789abcdef";
    std::string text;
    switch (item.kind) {
    case Kind::integer:
        expect(item.integer <= 999'999'999'999'999 && item.integer >= -999'999'999'999'999, "an integer has 15 digits");
        return print_number(item.integer);
    case Kind::date: return "@" + print_number(item.integer);
    case Kind::decimal: return item.text;
    case Kind::token: return item.text;
    case Kind::bytes: {
        const std::size_t padding = std::min(item.text.find('='), item.text.size());
        expect(item.text.find_first_not_of('=', padding) == std::string::npos, "padding is the end of base64");
        return ":" + item.text + ":";
    }
    case Kind::boolean: return item.truth ? "?1" : "?0";
    case Kind::string:
        for (const char c : item.text) {
            expect(c >= ' ' && c <= '~', "a string is printable ASCII");
            if (c == '"' || c == '\\') text += '\\';
            text += c;
        }
        return '"' + text + '"';
    case Kind::display_string:
        expect(is_utf8(item.text), "a display string is UTF-8");
        for (const char c : item.text) {
            const auto byte = static_cast<unsigned char>(c);
            if (byte >= 0x20 && byte < 0x7f && c != '%' && c != '"')
                text += c;
            else
                ((text += '%') += hex[byte >> 4]) += hex[byte & 15];
        }
        return "%\"" + text + '"';
    }
    return {};
}

template <class Parameters>
std::string print_parameters(const Parameters& parameters)
{
    std::string text;
    for (const auto& [key, value] : parameters) {
        text += ';' + key;
        if (value.kind != Kind::boolean || !value.truth) text += '=' + print(value);
    }
    return text;
}

std::string print(const StructuredItem& item) { return print(item.value) + print_parameters(item.parameters); }

std::string print(const StructuredMember& member)
{
    if (!member.is_inner_list) return print(static_cast<const StructuredItem&>(member));
    std::string text;
    for (const StructuredItem& item : member.inner) text += (text.empty() ? "" : " ") + print(item);
    return '(' + text + ')' + print_parameters(member.parameters);
}

std::string print(const StructuredList& list)
{
    std::string text;
    for (const StructuredMember& member : list) text += (text.empty() ? "" : ", ") + print(member);
    return text;
}

std::string print(const StructuredDictionary& dictionary)
{
    std::string text;
    for (const auto& [key, member] : dictionary) {
        text += (text.empty() ? "" : ", ") + key;
        const bool is_true = !member.is_inner_list && member.value.kind == Kind::boolean && member.value.truth;
        text += is_true ? print_parameters(member.parameters) : '=' + print(member);
    }
    return text;
}

template <class Parse>
void check_with(std::string_view input, Parse parse)
{
    const auto parsed = parse(input);
    const auto spaced = parse("  " + std::string(input) + " ");
    expect(parsed.has_value() == spaced.has_value(), "spaces around a field mean nothing");
    if (!parsed) return;
    const std::string printed = print(*parsed);
    expect_same(printed, print(*spaced), "spaces around a field mean nothing");
    const auto again = parse(printed);
    expect(again.has_value(), "what was accepted is accepted as we write it");
    expect_same(printed, print(*again), "a field is read back as it was");
}

}  // namespace

void check_structured(std::string_view input)
{
    check_with(input, [](std::string_view text) { return parse_structured_list(text); });
    check_with(input, [](std::string_view text) { return parse_structured_dictionary(text); });
    if (const auto dictionary = parse_structured_dictionary(input)) {
        for (std::size_t i = 0; i < dictionary->size(); ++i)
            for (std::size_t k = 0; k < i; ++k)
                expect((*dictionary)[i].first != (*dictionary)[k].first, "a key stands once");
    }
}

void check_groups(std::string_view input)
{
    std::string_view rest = input;
    Fields fields = take_fields(rest);
    const std::string host(take_field(fields, "Host"));
    const std::vector<std::string> names = groups_of(fields, host, true);
    for (const std::string& name : names) {
        expect(is_visible(name) && name.find_first_of("*?\\") == std::string::npos, "a name is text without wildcards");
        expect(name.starts_with("{group}") || name.starts_with("{tag}"), "a name says what it is of, and is no key");
        expect(is_tag_name(name) == name.starts_with("{tag}"), "a tag is a tag");
        expect(is_exact(name) && matches(name, name), "a name matches itself");
        expect(std::count(names.begin(), names.end(), name) == 1, "a name stands once");
    }
    for (const std::string& name : groups_of(fields, host, false))
        expect(!is_tag_name(name), "tags are taken where a rule says so");

    // A write that names the same groups purges them.
    for (Field& field : fields.all)
        if (field.id == FieldId::cache_groups)
            field.id = FieldId::cache_group_invalidation;
        else if (field.id == FieldId::cache_group_invalidation)
            field.id = FieldId::cache_groups;
    std::vector<PurgeTarget> targets;
    append_group_targets(targets, fields, host, true);
    expect(targets.size() == names.size(), "what is named the same is purged");
    for (std::size_t i = 0; i < targets.size(); ++i) expect_same(targets[i].text, names[i], "under the same name");
}

}  // namespace larder::fuzz
