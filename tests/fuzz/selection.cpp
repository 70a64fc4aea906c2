// What a request selects of a stored response: ranges, conditions, variants.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "input.hpp"
#include "rules/http/conditional.hpp"
#include "rules/http/fields.hpp"
#include "rules/http/range.hpp"
#include "rules/http/vary.hpp"
#include "targets.hpp"

namespace larder::fuzz {

namespace {

using namespace rules;
using namespace std::chrono_literals;

constexpr WallTime now{1'763'722'000'123ms};

// --- ranges: held against a reading of RFC 9110 §14.1.2 that looks at each byte of a small body ---

/// The number that digits say, but no more than `most`; empty: no digits.
std::optional<std::uint64_t> saturated(std::string_view digits, std::uint64_t most)
{
    if (digits.empty()) return std::nullopt;
    std::uint64_t number = 0;
    for (const char c : digits) {
        if (!is_digit(c)) return std::nullopt;
        number = std::min(number * 10 + static_cast<std::uint64_t>(c - '0'), most);
    }
    return number;
}

struct Wanted {
    bool malformed = false;
    std::size_t count = 0;
    std::vector<bool> bytes;
};

Wanted read_ranges(std::string_view set, std::size_t size)
{
    const std::uint64_t beyond = 1'000'000;  // of every body here
    Wanted wanted{false, 0, std::vector<bool>(size, false)};
    while (!set.empty()) {
        const std::size_t comma = std::min(set.find(','), set.size());
        const std::string_view spec = trim(set.substr(0, comma));
        set.remove_prefix(std::min(comma + 1, set.size()));
        if (spec.empty()) continue;
        ++wanted.count;
        const std::size_t dash = spec.find('-');
        const std::string_view before = spec.substr(0, dash);
        const std::string_view after = dash == std::string_view::npos ? std::string_view{} : spec.substr(dash + 1);
        const auto first = saturated(before, beyond), last = saturated(after, beyond);
        const bool bad =
            dash == std::string_view::npos || (!first && !before.empty()) || (!last && !after.empty()) ||
            (!first && !last) ||
            (first && last && parse_digits(after).value_or(UINT64_MAX) < parse_digits(before).value_or(UINT64_MAX));
        if (bad) {
            wanted.malformed = true;
            continue;
        }
        std::size_t from = 0, to = size;  // to: not included
        if (first) {
            from = std::min<std::size_t>(*first, size);
            if (last) to = std::min<std::size_t>(*last + 1, size);
        } else {
            from = size - std::min<std::size_t>(*last, size);
        }
        for (std::size_t i = from; i < to; ++i) wanted.bytes[i] = true;
    }
    return wanted;
}

/// Parts of one body, as two 206 bring them.
void check_parts(const Fields& fields)
{
    std::vector<ContentRange> parts;
    for (const Field& field : fields.all) {
        if (field.id != FieldId::content_range) continue;
        const auto part = parse_content_range(field.value);
        if (!part) continue;
        expect(part->range.first <= part->range.last && part->range.last < part->size, "a part lies in its whole");
        std::string line;
        append_content_range(line, *part);
        std::string_view rest = line;
        const auto again = parse_content_range(take_fields(rest).value(FieldId::content_range));
        expect(again && again->range.first == part->range.first && again->range.last == part->range.last &&
                   again->size == part->size,
               "the place of a part is read back as it was");
        if (part->size <= 5000) parts.push_back(*part);
    }
    if (parts.size() < 2) return;
    const ContentRange &a = parts[0], &b = parts[1];
    std::string body;
    for (std::uint64_t i = 0; i < a.size; ++i) body += static_cast<char>(i * 31 % 251);
    const auto bytes_of = [&](const ContentRange& part) { return body.substr(part.range.first, part.range.size()); };
    if (a.size != b.size) {
        std::string none;
        expect(!join_parts(a, {}, b, {}, none), "parts of two sizes are not of one body");
        return;
    }
    std::string joined, turned;
    const auto both = join_parts(a, bytes_of(a), b, bytes_of(b), joined);
    const auto both_turned = join_parts(b, bytes_of(b), a, bytes_of(a), turned);
    const bool touch = a.range.first <= b.range.last + 1 && b.range.first <= a.range.last + 1;
    expect(both.has_value() == touch && both_turned.has_value() == touch, "parts that touch are joined, and no others");
    if (!both) return;
    expect(both->range.first == std::min(a.range.first, b.range.first) &&
               both->range.last == std::max(a.range.last, b.range.last) && both->size == a.size,
           "what is joined is both");
    expect_same(joined, bytes_of(*both), "joined parts are that part of the body");
    expect_same(turned, joined, "the order of parts means nothing");
}

// --- entity tags ---

bool is_entity_tag(std::string_view text)
{
    if (text.starts_with("W/")) text.remove_prefix(2);
    return text.size() >= 2 && text.front() == '"' && text.find('"', 1) == text.size() - 1;
}

/// Entity tags, separated by commas: a list that can be read in one way only.
bool is_tag_list(std::string_view list)
{
    while (!list.empty()) {
        list.remove_prefix(std::min(list.find_first_not_of(" \t,"), list.size()));
        if (list.empty()) return true;
        if (list.starts_with("W/")) list.remove_prefix(2);
        if (!list.starts_with('"')) return false;
        const std::size_t end = list.find('"', 1);
        if (end == std::string_view::npos) return false;
        list = trim(list.substr(end + 1));
        if (!list.empty() && list.front() != ',') return false;
    }
    return true;
}

std::string print(const Fields& fields)
{
    std::string text;
    for (const Field& field : fields.all) text.append(field.name).append(": ").append(field.value).append("\r\n");
    return text;
}

Fields with(Fields fields, std::string_view name, std::string_view value)
{
    fields.all.push_back({name, value, field_id(name)});
    return fields;
}

}  // namespace

void check_range(std::string_view input)
{
    std::string_view rest = input;
    Fields fields = take_fields(rest);
    const std::size_t size = parse_digits(take_field(fields, "X-Size")).value_or(1000) % 5000;
    const std::string_view etag = take_field(fields, "X-ETag"), modified = take_field(fields, "X-Last-Modified"),
                           date = take_field(fields, "X-Date");

    const SelectedRanges selected = select_ranges(fields, size);
    const bool parts = selected.kind == SelectedRanges::Kind::parts;
    expect(parts == !selected.ranges.empty(), "parts are what a partial answer has");
    std::uint64_t sum = 0;
    std::vector<bool> sent(size, false);
    for (const ByteRange& range : selected.ranges) {
        expect(range.first <= range.last && range.last < size, "a part lies in the body");
        sum += range.size();
        for (std::uint64_t i = range.first; i <= range.last; ++i) {
            expect(!sent[i], "no byte is sent twice");
            sent[i] = true;
        }
    }
    expect(sum <= size && selected.ranges.size() <= ranges_limit, "the parts are not more than the body");

    const std::string_view field = fields.value(FieldId::range);
    const std::size_t equals = std::min(field.find('='), field.size());
    const bool is_bytes = equals < field.size() && equals_ignoring_case(field.substr(0, equals), "bytes");
    if (size == 0 || fields.count(FieldId::range) != 1 || !is_bytes) {
        expect(selected.kind == SelectedRanges::Kind::whole, "a Range that says nothing is ignored");
    } else if (field.find('"') == std::string_view::npos) {
        const Wanted wanted = read_ranges(field.substr(equals + 1), size);
        const bool ignored = wanted.malformed || wanted.count == 0 || wanted.count > ranges_limit;
        const bool any = std::find(wanted.bytes.begin(), wanted.bytes.end(), true) != wanted.bytes.end();
        if (ignored)
            expect(selected.kind == SelectedRanges::Kind::whole, "a malformed Range is ignored");
        else if (!any)
            expect(selected.kind == SelectedRanges::Kind::unsatisfiable, "a Range of nothing cannot be satisfied");
        else
            expect(parts, "a Range of something is a part");
        for (std::size_t i = 0; parts && i < size; ++i)
            expect(!wanted.bytes[i] || sent[i], "every byte that was asked for is sent");
        for (const ByteRange& range : selected.ranges) {
            expect(wanted.bytes[range.first] && wanted.bytes[range.last],
                   "a part begins and ends with what was asked for");
            expect(range.first == 0 || !sent[range.first - 1], "parts that touch are one");
        }
    }

    if (parts && asks_one_range(fields)) expect(selected.ranges.size() == 1, "who asks for one part gets one");
    check_parts(fields);

    const bool holds = if_range_holds(fields, etag, modified, date, now);
    const std::string_view condition = fields.value(FieldId::if_range);
    if (!fields.has(FieldId::if_range))
        expect(holds, "no condition holds");
    else if (holds)
        expect(!condition.starts_with("W/") && (condition == etag || !condition.starts_with('"')),
               "only the very same bytes are continued");
}

void check_conditional(std::string_view input)
{
    std::string_view rest = input;
    const Fields request = take_fields(rest), stored = take_fields(rest), update = take_fields(rest);
    const std::string_view etag = stored.value(FieldId::etag), modified = stored.value(FieldId::last_modified),
                           date = stored.value(FieldId::date);

    const Precondition asked = evaluate_preconditions(request, etag, modified, date, now);
    if (!request.has(FieldId::if_none_match) && !request.has(FieldId::if_modified_since))
        expect(asked == Precondition::proceed, "without a condition there is an answer");
    const auto with_tag = [&](std::string_view tag) {
        return evaluate_preconditions(with(request, "If-None-Match", tag), etag, modified, date, now);
    };
    expect(with_tag("*") == Precondition::not_modified, "* is any tag");
    if (is_entity_tag(etag)) {
        const std::string_view opaque = etag.starts_with("W/") ? etag.substr(2) : etag;
        const std::string weak = "W/" + std::string(opaque);
        expect(with_tag(opaque) == Precondition::not_modified && with_tag(weak) == Precondition::not_modified,
               "the same tag, weak or strong, is not modified");
        expect(weakly_equal(etag, weak) && weakly_equal(weak, etag) && weakly_equal(opaque, weak),
               "comparison is symmetric");
        expect(strongly_equal(etag, etag) == !etag.starts_with("W/") && !strongly_equal(etag, weak),
               "no weak tag is strongly equal to any");
        if (!etag.starts_with("W/")) {
            Fields same;
            same.all.push_back({"ETag", etag, FieldId::etag});
            expect(identifies(same, etag, modified), "a 304 with the same strong tag is about the same response");
        }
    }
    if (request.count(FieldId::if_none_match) > 1) {
        const std::string joined = combined_value(request, FieldId::if_none_match);
        bool plain = true;
        for (const Field& field : request.all)
            plain = plain && (field.id != FieldId::if_none_match || is_tag_list(field.value));
        Fields one = request;
        std::erase_if(one.all, [](const Field& field) { return field.id == FieldId::if_none_match; });
        if (plain)
            expect(evaluate_preconditions(with(one, "If-None-Match", joined), etag, modified, date, now) == asked,
                   "several lines are one list");
    }

    identifies(update, etag, modified);
    ResponseHead head_response;
    head_response.status = 200;
    head_response.fields = update;
    head_response.content_length = parse_digits(update.value(FieldId::content_length)).value_or(0);
    if (describes(head_response, etag, modified, 5)) {
        expect(!update.has(FieldId::etag) || update.value(FieldId::etag) == etag,
               "a HEAD with another tag is of another");
        expect(!update.has(FieldId::content_length) || head_response.content_length == 5, "and so is another length");
    }
    const std::string merged_text = merge_not_modified(stored, update);
    std::string_view merged_rest = merged_text;
    const Fields merged = take_fields(merged_rest);
    expect_same(print(merged), merged_text, "merged fields are field lines");
    expect_same(merge_not_modified(merged, update), merged_text, "a 304 that comes twice changes nothing more");
    const HopByHop is_hop_by_hop(merged);
    for (const Field& field : merged.all) {
        expect(!is_hop_by_hop(field), "nothing about a connection is stored");
        expect(field.id != FieldId::age && field.id != FieldId::larder_cache_control,
               "what we count or obey is not stored");
    }
    for (const FieldId id :
         {FieldId::content_length, FieldId::content_encoding, FieldId::content_range, FieldId::set_cookie})
        expect_same(combined_value(merged, id), combined_value(stored, id), "a 304 does not describe the stored body");
}

void check_vary(std::string_view input)
{
    std::string_view rest = input;
    const Fields response = take_fields(rest), request = take_fields(rest);
    const VarySpec spec = parse_vary(response);
    expect(!spec.any || spec.names.empty(), "* stands for all names");
    expect(std::is_sorted(spec.names.begin(), spec.names.end()) &&
               std::adjacent_find(spec.names.begin(), spec.names.end()) == spec.names.end(),
           "names are sorted and stand once");
    for (const std::string& name : spec.names)
        expect(is_token(name) && std::none_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; }),
               "a name is a token in lower case");

    const std::string values = vary_values(spec, request);
    expect(static_cast<std::size_t>(std::count(values.begin(), values.end(), '\n')) == spec.names.size(),
           "one line for each name: no value holds a line end");

    // The same request in other words: lines joined, other fields added, in another order.
    std::vector<std::pair<std::string, std::string>> joined;
    for (const Field& field : request.all) {
        const auto same = std::find_if(joined.begin(), joined.end(), [&](const auto& other) {
            return equals_ignoring_case(other.first, field.name);
        });
        if (same == joined.end()) joined.emplace_back(field.name, combined_value(request, field.name));
    }
    Fields other;
    for (auto it = joined.rbegin(); it != joined.rend(); ++it)
        other.all.push_back({it->first, it->second, field_id(it->first)});
    expect_same(vary_values(spec, other), values,
                "lines of one name are one list, and the order of names means nothing");

    // White space beside commas means nothing where fields are lists.
    std::vector<std::string> spaced(request.all.size());
    Fields wide = request;
    for (std::size_t i = 0; i < request.all.size(); ++i) {
        const Field& field = request.all[i];
        if (field.value.find_first_of("\"\\") != std::string_view::npos) continue;
        const bool exact = field.id == FieldId::authorization || field.id == FieldId::cookie ||
                           field.id == FieldId::host || equals_ignoring_case(field.name, "referer") ||
                           equals_ignoring_case(field.name, "user-agent");
        if (exact || field.id == FieldId::accept_encoding) continue;
        for (const char c : field.value) spaced[i] += c == ',' ? std::string(" ,\t ") : std::string(1, c);
        wide.all[i].value = trim(spaced[i]);
    }
    const bool quotes = std::any_of(request.all.begin(), request.all.end(), [](const Field& field) {
        return field.value.find_first_of("\"\\") != std::string_view::npos;
    });
    if (!quotes) expect_same(vary_values(spec, wide), values, "white space beside commas means nothing");

    // Accept-Encoding: the order of its members means nothing, neither does their case.
    const VarySpec encoding{false, {"accept-encoding"}};
    const std::string accepted = combined_value(request, FieldId::accept_encoding);
    if (!request.has(FieldId::accept_encoding) || accepted.find('"') != std::string::npos) return;
    std::vector<std::string> members;
    for_each_element(accepted, [&](std::string_view member) { members.emplace_back(member); });
    std::reverse(members.begin(), members.end());
    std::string reversed;
    for (const std::string& member : members) reversed += (reversed.empty() ? "" : " ,\t") + member;
    Fields turned;
    turned.all.push_back({"Accept-Encoding", reversed, FieldId::accept_encoding});
    const std::string normal = vary_values(encoding, request);
    const bool readable = normal != "accept-encoding:" + accepted + '\n';
    if (readable) expect_same(vary_values(encoding, turned), normal, "the order of codings means nothing");
    for (char& c : reversed) c = is_alpha(c) ? static_cast<char>(c ^ 0x20) : c;
    turned.all.front().value = reversed;
    if (readable) expect_same(vary_values(encoding, turned), normal, "codings have no case");
}

}  // namespace larder::fuzz
