#include "rules/http/fields.hpp"

#include <algorithm>
#include <array>

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

/// Equal in any case, `_` counting as `-`.
bool is_spelt(std::string_view name, std::string_view wanted) noexcept
{
    return name.size() == wanted.size() && std::equal(name.begin(), name.end(), wanted.begin(),
                                                      [](char a, char b) { return (a == '_' ? '-' : lower(a)) == b; });
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

std::string_view upgrade_protocol(std::string_view list) noexcept
{
    constexpr std::string_view http = "http/", tls = "tls/";
    std::string_view found;
    for_each_element(list, [&](std::string_view protocol) {
        const bool is_http = equals_ignoring_case(protocol, "h2c") || equals_ignoring_case(protocol, "h2") ||
                             equals_ignoring_case(protocol.substr(0, http.size()), http);
        const bool is_tls = equals_ignoring_case(protocol.substr(0, tls.size()), tls);
        if (found.empty() && !is_http && !is_tls) found = protocol;
    });
    return found;
}

namespace {

/// With `_` for `-` a field that Larder knows by itself, or one that apps choose their answer by: `Content_Length`,
/// `Accept_Language`.
bool is_alias(std::string_view name) noexcept
{
    std::array<char, 64> dashed;
    if (name.size() > dashed.size() || name.find('_') == name.npos) return false;
    std::replace_copy(name.begin(), name.end(), dashed.begin(), '_', '-');
    const std::string_view meant(dashed.data(), name.size());
    constexpr std::string_view choosing[] = {"accept-charset", "accept-language", "user-agent", "x-requested-with"};
    return field_id(meant) != FieldId::other ||
           std::any_of(std::begin(choosing), std::end(choosing),
                       [meant](std::string_view known) { return equals_ignoring_case(meant, known); });
}

}  // namespace

bool is_max_forwards(std::string_view name) noexcept { return equals_ignoring_case(name, "max-forwards"); }

std::optional<std::uint64_t> forwards_left(const RequestHead& head) noexcept
{
    if (head.method != Method::options && head.method != Method::trace) return std::nullopt;
    for (const Field& field : head.fields.all)
        if (is_max_forwards(field.name)) return parse_digits(field.value);
    return std::nullopt;
}

bool is_override(std::string_view name) noexcept
{
    if (is_alias(name)) return true;
    constexpr std::string_view names[] = {
        "cf-connecting-ip",
        "client-ip",
        "fastly-client-ip",
        "forwarded",
        "forwarded-for",
        "front-end-https",
        "http-host",
        "proxy",
        "true-client-ip",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-forward-for",
        "x-forward-host",
        "x-forward-proto",
        "x-forwarded",
        "x-host",
        "x-http-host-override",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-middleware-subrequest",
        "x-original-forwarded-for",
        "x-original-host",
        "x-original-method",
        "x-original-uri",
        "x-original-url",
        "x-originating-ip",
        "x-override-url",
        "x-proxyuser-ip",
        "x-real-ip",
        "x-remote-addr",
        "x-remote-ip",
        "x-rewrite-uri",
        "x-rewrite-url",
        "x-scheme",
        "x-url-scheme",
    };
    constexpr std::string_view forwarded = "x-forwarded-";
    if (is_spelt(name.substr(0, forwarded.size()), forwarded)) return true;
    return std::any_of(std::begin(names), std::end(names), [name](auto wanted) { return is_spelt(name, wanted); });
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
