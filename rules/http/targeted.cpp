#include "rules/http/targeted.hpp"

#include <algorithm>

#include "rules/base/text.hpp"
#include "rules/http/fields.hpp"
#include "rules/http/structured.hpp"

namespace larder::rules {
namespace {

using Kind = BareItem::Kind;

bool is_true(const StructuredMember& member) noexcept
{
    return !member.is_inner_list && member.value.kind == Kind::boolean && member.value.truth;
}

void set(bool& into, const StructuredMember& member) noexcept { into = into || is_true(member); }

/// Delta-seconds are integers. Below 0 there is none; that is invalid freshness, and so stale (RFC 9111 §4.2.1).
void set(std::optional<Seconds>& into, const StructuredMember& member) noexcept
{
    if (member.is_inner_list || member.value.kind != Kind::integer) return;
    into = Seconds{std::clamp<std::int64_t>(member.value.integer, 0, static_cast<std::int64_t>(max_delta_seconds))};
}

/// True, or a string with a list of field names.
void set_qualified(bool& whole, std::vector<std::string>& names, const StructuredMember& member)
{
    if (is_true(member)) whole = true;
    if (member.is_inner_list || (member.value.kind != Kind::string && member.value.kind != Kind::token)) return;
    const std::size_t before = names.size();
    for_each_element(member.value.text, [&](std::string_view name) {
        std::string& added = names.emplace_back(name);
        std::transform(added.begin(), added.end(), added.begin(), lower);
    });
    if (names.size() == before) whole = true;
}

void add(CacheControl& into, std::string_view name, const StructuredMember& member)
{
    if (name == "max-age")
        set(into.max_age, member);
    else if (name == "s-maxage")
        set(into.s_maxage, member);
    else if (name == "no-store")
        set(into.no_store, member);
    else if (name == "no-cache")
        set_qualified(into.no_cache, into.no_cache_fields, member);
    else if (name == "private")
        set_qualified(into.is_private, into.private_fields, member);
    else if (name == "public")
        set(into.is_public, member);
    else if (name == "must-revalidate")
        set(into.must_revalidate, member);
    else if (name == "proxy-revalidate")
        set(into.proxy_revalidate, member);
    else if (name == "must-understand")
        set(into.must_understand, member);
    else if (name == "no-transform")
        set(into.no_transform, member);
    else if (name == "immutable")
        set(into.immutable, member);
    else if (name == "stale-while-revalidate")
        set(into.stale_while_revalidate, member);
    else if (name == "stale-if-error")
        set(into.stale_if_error, member);
}

bool read_targeted(const Fields& response, FieldId id, CacheControl& into)
{
    if (!response.has(id)) return false;
    const auto dictionary = parse_structured_dictionary(combined_value(response, id));
    if (!dictionary || dictionary->empty()) return false;
    into.present = true;
    for (const auto& [name, member] : *dictionary) add(into, name, member);
    return true;
}

}  // namespace

std::string_view word(PolicySource source) noexcept
{
    switch (source) {
    case PolicySource::larder_cache_control: return "Larder-Cache-Control";
    case PolicySource::cdn_cache_control: return "CDN-Cache-Control";
    case PolicySource::cache_control: return "Cache-Control";
    }
    return "unknown";
}

CachePolicy cache_policy(const Fields& response)
{
    CachePolicy policy;
    if (read_targeted(response, FieldId::larder_cache_control, policy.directives))
        policy.source = PolicySource::larder_cache_control;
    else if (read_targeted(response, FieldId::cdn_cache_control, policy.directives))
        policy.source = PolicySource::cdn_cache_control;
    else
        policy.directives = parse_cache_control(response);
    return policy;
}

}  // namespace larder::rules
