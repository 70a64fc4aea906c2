#include "proxy/admin/rules_json.hpp"

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "config/quantities.hpp"
#include "rules/verdict/verdict.hpp"

namespace larder::proxy {

namespace {

namespace json = boost::json;

/// `GET|POST shop.example/api/{id} with header X-Preview, query draft`
std::string match_text(const rules::Match& match)
{
    std::string text;
    for (const std::string& method : match.methods) (text += text.empty() ? "" : "|") += method;
    text += ' ' + match.host + match.path_text;
    std::string_view before = " with ";
    const auto add_conditions = [&](const std::vector<rules::Condition>& conditions, std::string_view kind) {
        for (const rules::Condition& condition : conditions) {
            ((text += before) += kind) += condition.name;
            before = ", ";
        }
    };
    add_conditions(match.headers, "header ");
    add_conditions(match.query, "query ");
    return text;
}

/// `30m`, or `200: 60s, 404: 10s`; empty: what the response says.
std::string ttl_text(const rules::TtlTable& ttl)
{
    std::string text = ttl.any ? config::write_duration(*ttl.any) : "";
    for (const auto& [status, lifetime] : ttl.status)
        (text += text.empty() ? "" : ", ") += std::to_string(status) + ": " + config::write_duration(lifetime);
    return text;
}

json::object rule_object(const rules::Rule& rule, const std::string& file)
{
    json::object object{
        {"name", rule.name}, {"kind", rule.is_purge() ? "purge" : "cache"}, {"match", match_text(rule.match)}};
    if (rule.place.line > 0) object["place"] = (file.empty() ? "line " : file + ":") + std::to_string(rule.place.line);
    if (rule.is_purge()) {
        json::array patterns;
        for (const rules::Template& pattern : rule.purge) patterns.emplace_back(pattern.text);
        object["purge"] = std::move(patterns);
        object["fence"] = rule.fence == rules::Fence::both ? "both" : "after";
        object["on_store_error"] = rule.on_store_error == rules::OnStoreError::reject ? "reject" : "forward";
        return object;
    }
    object["cache"] = rule.cache;
    object["key"] = rule.key ? rule.key->text : rules::default_key().text;
    if (rule.ttl.given()) object["ttl"] = ttl_text(rule.ttl);
    if (rule.shared) object["shared"] = true;
    return object;
}

std::string_view mode_word(rules::CacheMode mode) noexcept
{
    switch (mode) {
    case rules::CacheMode::rules: return "rules";
    case rules::CacheMode::respect_origin: return "respect-origin";
    case rules::CacheMode::off: return "off";
    }
    return "rules";
}

/// `{"cookie": {"text": "...", "change": "..."}}` for every reason but `none`.
template <class Reason>
json::object reasons(std::size_t count)
{
    json::object all;
    for (std::size_t i = 1; i < count; ++i) {
        const auto reason = static_cast<Reason>(i);
        all[word(reason)] = json::object{{"text", text(reason)}, {"change", remedy(reason)}};
    }
    return all;
}

}  // namespace

std::string rules_json(const config::Config& config, std::string_view listens_on)
{
    json::array rules;
    for (const rules::Rule& rule : config.rules) rules.push_back(rule_object(rule, config.file));
    const bool embedded = config.store.kind == config::StoreKind::embedded;
    const json::object all{
        {"version", LARDER_VERSION},
        {"listen", listens_on},
        {"upstream", config.upstream.endpoint.to_string()},
        {"store", embedded ? "embedded" : std::string_view(config.store.url_for_display)},
        {"namespace", config.namespace_},
        {"file", config.file},
        {"cache", mode_word(config.cache)},
        {"rules", std::move(rules)},
        {"forward_reasons", reasons<rules::Forward>(rules::forward_reasons_count)},
        {"store_reasons", reasons<rules::NotStored>(rules::store_reasons_count)},
    };
    return json::serialize(all) + "\n";
}

}  // namespace larder::proxy
