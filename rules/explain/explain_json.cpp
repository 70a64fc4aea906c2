// The explanation for programs: one document, with the words of the text.
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "rules/base/utf8.hpp"
#include "rules/explain/explain.hpp"

namespace larder::rules {

namespace {

namespace json = boost::json;

json::string text(std::string_view bytes)
{
    const std::string valid = valid_utf8(bytes);
    return json::string(valid);
}

json::object rule_json(const Explanation::RuleName& rule)
{
    json::object out{{"name", text(rule.name)}, {"match", text(rule.match)}};
    if (rule.line > 0) out["line"] = rule.line;
    return out;
}

template <class Range, class Write>
json::array list(const Range& range, Write write)
{
    json::array out;
    for (const auto& one : range) out.push_back(write(one));
    return out;
}

json::array rule_names(const std::vector<Explanation::RuleName>& rules)
{
    return list(rules, [](const auto& rule) { return text(rule.name); });
}

json::object reason_json(const Explanation::Reason& reason, std::string_view detail_name)
{
    json::object out{{"reason", reason.word}, {"because", text(reason.text)}};
    if (!reason.detail.empty()) out[detail_name] = text(reason.detail);
    if (!reason.change.empty()) out["switch"] = text(reason.change);
    return out;
}

json::array reasons_json(const std::vector<Explanation::Reason>& reasons, std::string_view detail_name)
{
    return list(reasons, [&](const auto& reason) { return reason_json(reason, detail_name); });
}

json::object values_json(const std::vector<Explanation::Value>& values)
{
    json::object out;
    for (const auto& [name, value] : values) out[name] = value ? json::value(text(*value)) : json::value(nullptr);
    return out;
}

json::object key_json(const Explanation& told)
{
    return {{"value", text(told.key)},
            {"template", text(told.key_template)},
            {"is_default", told.key_is_default},
            {"parts", list(told.key_parts, [](const Explanation::KeyPart& part) {
                 return json::object{{"placeholder", text(part.placeholder)},
                                     {"from", text(part.from)},
                                     {"value", text(part.value)},
                                     {"escaped", text(part.escaped)},
                                     {"fallback", part.fallback},
                                     {"absent", part.escaped.empty()}};
             })}};
}

json::object lifetime_json(const Explanation& told)
{
    const bool override = told.cache_control == CacheControlMode::override_;
    json::object out{{"from", told.lifetimes.empty() ? "response"
                              : override             ? "rule"
                                                     : "response, else rule"},
                     {"cache_control", override ? "override" : "respect"},
                     {"ttl", list(told.lifetimes,
                                  [](const auto& one) {
                                      return json::object{{"statuses", one.statuses}, {"ms", one.ttl.count()}};
                                  })},
                     {"stale_while_revalidate_ms", told.stale_while_revalidate.count()},
                     {"stale_if_error_ms", told.stale_if_error.count()}};
    if (told.client_cache_control)
        out["client_cache_control"] = *told.client_cache_control == ClientCacheControl::respect ? "respect" : "ignore";
    return out;
}

json::object purger_json(const Explanation::Purger& purger)
{
    return {{"rule", rule_json(purger.rule)},
            {"pattern", text(purger.pattern)},
            {"example", text(purger.example)},
            {"with", text(purger.with)},
            {"only_when_widened", purger.only_widened}};
}

json::object purge_json(const Explanation::Purge& purge)
{
    if (purge.left_out) return {{"pattern", text(purge.pattern)}, {"left_out", true}};
    return {{"pattern", text(purge.pattern)},
            {"left_out", false},
            {"purges", text(purge.text)},
            {"exact", purge.exact},
            {"widened_by", list(purge.widened_by, [](const auto& one) { return text(one); })},
            {"reaches", rule_names(purge.reaches)}};
}

json::object write_json(const Explanation::Write& write)
{
    return {{"rule", rule_json(write.rule)},
            {"values", values_json(write.values)},
            {"patterns", list(write.purges, purge_json)},
            {"fence", write.fence == Fence::both ? "both" : "after"},
            {"on_store_error", write.on_store_error == OnStoreError::reject ? "reject" : "forward"},
            {"settle_ms", write.settle.count()},
            {"tags", write.tags}};
}

std::string_view mode_word(CacheMode mode) noexcept
{
    switch (mode) {
    case CacheMode::rules: return "rules";
    case CacheMode::respect_origin: return "respect-origin";
    case CacheMode::off: return "off";
    }
    return "rules";
}

}  // namespace

std::string to_json(const Explanation& told)
{
    json::object out{{"request", json::object{{"method", text(told.method)}, {"target", text(told.target)}}}};
    if (told.refused) {
        out["verdict"] = "refused";
        out["refused"] = json::object{
            {"status", told.refused->status}, {"reason", told.refused->word}, {"because", told.refused->text}};
        return json::serialize(out) + '\n';
    }
    out["path"] = json::object{
        {"normal", text(told.path)}, {"received", text(told.raw_path)}, {"ambiguous", told.path_is_ambiguous}};
    out["cache"] = mode_word(told.mode);
    out["rule"] = told.rule ? json::value(rule_json(*told.rule)) : json::value(nullptr);
    out["values"] = values_json(told.values);
    out["other_rules"] = list(told.others, [](const auto& other) {
        json::object one = rule_json(other.rule);
        one["why_not"] = text(other.why);
        return one;
    });
    out["other_rules_left_out"] = told.others_left_out;
    out["verdict"] = told.looked_up ? "lookup" : "bypass";
    out["passes_by"] = reasons_json(told.passes_by, "parameter");
    if (told.looked_up) {
        out["would_pass_by"] = reasons_json(told.would_pass_by, "when");
        out["on_a_miss"] = reasons_json(told.on_miss, "when");
        out["client_directives"] = text(told.client_directives);
    }
    if (told.has_key) {
        out["key"] = key_json(told);
        out["lifetime"] = lifetime_json(told);
        out["not_stored"] = reasons_json(told.not_stored, "when");
        out["purged_by"] = list(told.purged_by, purger_json);
        out["tags"] = told.tags;
    }
    if (told.is_write) {
        out["writes"] = list(told.writes, write_json);
        out["voids"] = list(told.voids, [](const auto& one) {
            return json::object{{"purges", text(one.text)}, {"exact", one.exact}};
        });
        out["fenced"] = told.fenced;
        out["meanwhile"] = rule_names(told.meanwhile);
    }
    return json::serialize(out) + '\n';
}

}  // namespace larder::rules
