#include "rules/http/range.hpp"

#include <algorithm>
#include <optional>

#include "rules/base/text.hpp"
#include "rules/http/date.hpp"
#include "rules/http/fields.hpp"

namespace larder::rules {

namespace {

/// What a part costs besides its bytes, roughly: boundary, Content-Type and Content-Range.
constexpr std::uint64_t part_head_bytes = 120;

/// Digits of any length: what does not fit is far behind every end.
std::optional<std::uint64_t> position(std::string_view digits) noexcept
{
    if (digits.empty() || !std::all_of(digits.begin(), digits.end(), is_digit)) return std::nullopt;
    return parse_digits(digits).value_or(UINT64_MAX);
}

struct Spec {
    std::optional<ByteRange> range;  // empty: not satisfiable
};

/// One `first-last`, `first-` or `-suffix`. Empty: malformed.
std::optional<Spec> read_spec(std::string_view text, std::uint64_t size)
{
    const std::size_t dash = text.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const std::string_view before = text.substr(0, dash), after = text.substr(dash + 1);
    Spec spec;
    if (before.empty()) {
        const auto suffix = position(after);
        if (!suffix) return std::nullopt;
        if (*suffix != 0) spec.range = ByteRange{size - std::min(*suffix, size), size - 1};
        return spec;
    }
    const auto first = position(before);
    const auto last = after.empty() ? std::optional<std::uint64_t>(UINT64_MAX) : position(after);
    if (!first || !last || *last < *first) return std::nullopt;
    if (*first < size) spec.range = ByteRange{*first, std::min(*last, size - 1)};
    return spec;
}

bool near(const ByteRange& a, const ByteRange& b) noexcept
{
    const ByteRange& low = a.first <= b.first ? a : b;
    const ByteRange& high = a.first <= b.first ? b : a;
    return high.first <= low.last || high.first - low.last - 1 < part_head_bytes;
}

void merge(std::vector<ByteRange>& ranges)
{
    bool any = false;
    for (std::size_t i = 0; i < ranges.size(); ++i)
        for (std::size_t k = i + 1; k < ranges.size(); ++k) any = any || near(ranges[i], ranges[k]);
    if (!any) return;
    std::sort(ranges.begin(), ranges.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<ByteRange> merged;
    for (const ByteRange& range : ranges) {
        if (!merged.empty() && near(merged.back(), range))
            merged.back().last = std::max(merged.back().last, range.last);
        else
            merged.push_back(range);
    }
    ranges = std::move(merged);
}

}  // namespace

SelectedRanges select_ranges(const Fields& request, std::uint64_t size)
{
    constexpr std::string_view unit = "bytes";
    SelectedRanges selected;
    if (request.count(FieldId::range) != 1 || size == 0) return selected;
    const std::string_view field = request.value(FieldId::range);
    const std::size_t equals = field.find('=');
    if (equals == std::string_view::npos || !equals_ignoring_case(field.substr(0, equals), unit)) return selected;

    std::vector<ByteRange> ranges;
    std::size_t count = 0;
    bool well_formed = true;
    for_each_element(field.substr(equals + 1), [&](std::string_view text) {
        if (++count > ranges_limit || !well_formed) return;
        const auto spec = read_spec(text, size);
        well_formed = spec.has_value();
        if (spec && spec->range) ranges.push_back(*spec->range);
    });
    if (!well_formed || count == 0 || count > ranges_limit) return selected;
    selected.kind = ranges.empty() ? SelectedRanges::Kind::unsatisfiable : SelectedRanges::Kind::parts;
    merge(ranges);
    selected.ranges = std::move(ranges);
    return selected;
}

bool asks_one_range(const Fields& request) noexcept
{
    return request.count(FieldId::range) == 1 && request.value(FieldId::range).find(',') == std::string_view::npos;
}

std::optional<ContentRange> parse_content_range(std::string_view value)
{
    constexpr std::string_view unit = "bytes ";
    if (value.size() < unit.size() || !equals_ignoring_case(value.substr(0, unit.size()), unit)) return std::nullopt;
    value.remove_prefix(unit.size());
    const std::size_t dash = value.find('-'), slash = value.find('/');
    if (dash == std::string_view::npos || slash == std::string_view::npos || slash < dash) return std::nullopt;
    const auto first = parse_digits(value.substr(0, dash));
    const auto last = parse_digits(value.substr(dash + 1, slash - dash - 1));
    const auto size = parse_digits(value.substr(slash + 1));
    if (!first || !last || !size || *last < *first || *last >= *size) return std::nullopt;
    return ContentRange{{*first, *last}, *size};
}

void append_content_range(std::string& out, const ContentRange& part)
{
    out += "Content-Range: bytes ";
    out += std::to_string(part.range.first);
    out += '-';
    out += std::to_string(part.range.last);
    out += '/';
    out += std::to_string(part.size);
    out += "\r\n";
}

std::optional<ContentRange> join_parts(const ContentRange& a, std::string_view bytes_a, const ContentRange& b,
                                       std::string_view bytes_b, std::string& bytes)
{
    const bool a_is_low = a.range.first <= b.range.first;
    const ContentRange &low = a_is_low ? a : b, &high = a_is_low ? b : a;
    const std::string_view low_bytes = a_is_low ? bytes_a : bytes_b, high_bytes = a_is_low ? bytes_b : bytes_a;
    if (a.size != b.size || high.range.first > low.range.last + 1) return std::nullopt;
    const std::uint64_t overlap = low.range.last + 1 - high.range.first;
    bytes = low_bytes;
    if (overlap < high_bytes.size()) bytes += high_bytes.substr(overlap);
    return ContentRange{{low.range.first, std::max(low.range.last, high.range.last)}, a.size};
}

bool if_range_holds(const Fields& request, std::string_view etag, std::string_view last_modified, std::string_view date,
                    WallTime now)
{
    if (!request.has(FieldId::if_range)) return true;
    if (request.count(FieldId::if_range) != 1) return false;
    const std::string_view wanted = request.value(FieldId::if_range);
    if (wanted.starts_with('"')) return wanted == etag;
    const auto wanted_date = parse_date(wanted, now), modified = parse_date(last_modified, now),
               sent = parse_date(date, now);
    return wanted_date && modified && sent && *wanted_date == *modified && *sent - *modified >= Seconds{1};
}

}  // namespace larder::rules
