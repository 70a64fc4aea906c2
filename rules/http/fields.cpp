#include "rules/http/fields.hpp"

#include <algorithm>

#include "rules/base/text.hpp"

namespace larder::rules {
namespace {

/// Fields that concern one connection only, whether `Connection` names them or not (RFC 9110 §7.6.1, RFC 9111 §3.1).
bool is_always_hop_by_hop(FieldId id) noexcept
{
    switch (id) {
    case FieldId::connection:
    case FieldId::http2_settings:
    case FieldId::keep_alive:
    case FieldId::proxy_authenticate:
    case FieldId::proxy_authentication_info:
    case FieldId::proxy_authorization:
    case FieldId::proxy_connection:
    case FieldId::te:
    case FieldId::transfer_encoding:
    case FieldId::upgrade: return true;
    default: return false;
    }
}

template <class Matches>
std::string combine(const Fields& fields, Matches matches)
{
    std::string combined;
    bool first = true;
    for (const Field& field : fields.all) {
        if (!matches(field)) continue;
        if (!first) combined += ", ";
        combined += field.value;
        first = false;
    }
    return combined;
}

}  // namespace

bool list_contains(const Fields& fields, FieldId id, std::string_view token) noexcept
{
    bool found = false;
    for (const Field& field : fields.all) {
        if (field.id != id) continue;
        for_each_element(field.value, [&](std::string_view element) { found |= equals_ignoring_case(element, token); });
    }
    return found;
}

std::string combined_value(const Fields& fields, FieldId id)
{
    return combine(fields, [id](const Field& field) { return field.id == id; });
}

std::string combined_value(const Fields& fields, std::string_view name)
{
    return combine(fields, [name](const Field& field) { return equals_ignoring_case(field.name, name); });
}

HopByHop::HopByHop(const Fields& fields)
{
    for (const Field& field : fields.all) {
        if (field.id != FieldId::connection) continue;
        for_each_element(field.value, [this](std::string_view option) {
            // A field that Larder knows has a standard meaning beyond this hop (or is removed anyway): naming it here
            // is an attempt to hide it from the next server.
            if (field_id(option) == FieldId::other && !equals_ignoring_case(option, "close")) named_.push_back(option);
        });
    }
}

bool HopByHop::operator()(const Field& field) const noexcept
{
    if (field.id != FieldId::other) return is_always_hop_by_hop(field.id);
    return std::any_of(named_.begin(), named_.end(),
                       [&](std::string_view name) { return equals_ignoring_case(name, field.name); });
}

}  // namespace larder::rules
