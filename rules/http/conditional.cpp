#include "rules/http/conditional.hpp"

#include <algorithm>

#include "rules/base/text.hpp"
#include "rules/http/date.hpp"
#include "rules/http/fields.hpp"

namespace larder::rules {
namespace {

constexpr std::string_view weak_mark = "W/";

std::string_view opaque_tag(std::string_view tag) noexcept
{
    if (tag.starts_with(weak_mark)) tag.remove_prefix(weak_mark.size());
    return tag;
}

/// Takes one entity tag off a list. Inside its quotes a comma or a backslash is a byte like any other, which is why
/// this is no ordinary list. A tag without quotes ends at the comma. Empty at the end of the list.
std::string_view take_tag(std::string_view& list) noexcept
{
    const std::size_t start = std::min(list.find_first_not_of(" \t,"), list.size());
    list.remove_prefix(start);
    const std::size_t quote = list.starts_with(weak_mark) ? weak_mark.size() : 0;
    std::size_t end = std::string_view::npos;
    if (list.substr(quote).starts_with('"')) {
        end = list.find('"', quote + 1);
        if (end != std::string_view::npos) ++end;
    } else {
        end = list.find(',');
    }
    const std::string_view tag = trim(list.substr(0, end));
    list.remove_prefix(std::min(end, list.size()));
    return tag;
}

template <class Equal>
bool any_tag(const Fields& request, FieldId id, std::string_view etag, Equal equal)
{
    for (const Field& field : request.all) {
        if (field.id != id) continue;
        std::string_view list = field.value;
        for (std::string_view tag = take_tag(list); !tag.empty(); tag = take_tag(list))
            if (tag == "*" || equal(tag, etag)) return true;
    }
    return false;
}

/// The date of a conditional field; empty when the field must be ignored: absent, repeated or unreadable.
std::optional<WallTime> condition_date(const Fields& request, FieldId id, WallTime now)
{
    if (request.count(id) != 1) return std::nullopt;
    return parse_date(request.value(id), now);
}

/// What describes the stored body, or how it travelled: a 304 has no body and cannot know better (RFC 9111 §3.2).
/// Set-Cookie speaks to one client, and `Age` is counted here.
bool keeps_stored_value(FieldId id) noexcept
{
    switch (id) {
    case FieldId::age:
    case FieldId::content_encoding:
    case FieldId::content_length:
    case FieldId::content_range:
    case FieldId::larder_cache_control:
    case FieldId::set_cookie: return true;
    default: return false;
    }
}

void append_line(std::string& lines, const Field& field)
{
    lines.append(field.name).append(": ").append(field.value).append("\r\n");
}

}  // namespace

bool strongly_equal(std::string_view a, std::string_view b) noexcept
{
    return !a.empty() && a == b && !a.starts_with(weak_mark);
}

bool weakly_equal(std::string_view a, std::string_view b) noexcept
{
    return !a.empty() && opaque_tag(a) == opaque_tag(b);
}

Precondition evaluate_preconditions(const Fields& request, std::string_view etag, std::string_view last_modified,
                                    std::string_view date, WallTime now)
{
    if (request.has(FieldId::if_none_match)) {
        return any_tag(request, FieldId::if_none_match, etag, weakly_equal) ? Precondition::not_modified
                                                                            : Precondition::proceed;
    }
    const auto modified_since = condition_date(request, FieldId::if_modified_since, now);
    const auto modified = parse_date(last_modified.empty() ? date : last_modified, now);
    return modified_since && modified && *modified <= *modified_since ? Precondition::not_modified
                                                                      : Precondition::proceed;
}

bool identifies(const Fields& not_modified, std::string_view stored_etag,
                std::string_view stored_last_modified) noexcept
{
    const std::string_view etag = not_modified.value(FieldId::etag);
    const std::string_view last_modified = not_modified.value(FieldId::last_modified);
    if (!etag.empty() && !etag.starts_with(weak_mark)) return strongly_equal(etag, stored_etag);
    if (!etag.empty() && !stored_etag.empty()) return weakly_equal(etag, stored_etag);
    if (!last_modified.empty() && !stored_last_modified.empty()) return last_modified == stored_last_modified;
    return etag.empty() && last_modified.empty();
}

bool describes(const ResponseHead& head_response, std::string_view stored_etag, std::string_view stored_last_modified,
               std::uint64_t size) noexcept
{
    const Fields& fields = head_response.fields;
    if (fields.has(FieldId::etag) && fields.value(FieldId::etag) != stored_etag) return false;
    if (fields.has(FieldId::last_modified) && fields.value(FieldId::last_modified) != stored_last_modified)
        return false;
    return !fields.has(FieldId::content_length) || head_response.content_length == size;
}

std::string merge_not_modified(const Fields& stored, const Fields& update)
{
    const HopByHop stored_hop_by_hop(stored), new_hop_by_hop(update);
    const auto is_update = [&](const Field& field) { return !keeps_stored_value(field.id) && !new_hop_by_hop(field); };

    std::string lines;
    for (const Field& field : stored.all) {
        if (stored_hop_by_hop(field) || field.id == FieldId::age || field.id == FieldId::larder_cache_control) continue;
        const Field* replacement = update.find(field.name);
        if (!replacement || !is_update(*replacement)) append_line(lines, field);
    }
    for (const Field& field : update.all)
        if (is_update(field)) append_line(lines, field);
    return lines;
}

bool belongs_in_not_modified(FieldId id) noexcept
{
    switch (id) {
    case FieldId::cache_control:
    case FieldId::content_location:
    case FieldId::date:
    case FieldId::etag:
    case FieldId::expires:
    case FieldId::vary: return true;
    default: return false;
    }
}

}  // namespace larder::rules
