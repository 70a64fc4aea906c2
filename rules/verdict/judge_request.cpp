#include "rules/verdict/judge_request.hpp"

namespace larder::rules {

namespace {

bool is_read(const RequestHead& head) noexcept { return head.method == Method::get || head.method == Method::head; }

bool has_body(const RequestHead& head) noexcept
{
    return !(head.body == BodyKind::none || (head.body == BodyKind::length && head.content_length == 0));
}

/// Why the head alone, before any rule, keeps a request from the cache.
Forward judge_head(const RequestHead& head, CacheMode mode) noexcept
{
    if (!is_read(head)) return Forward::method;
    if (head.upgrade) return Forward::upgrade;
    if (has_body(head)) return Forward::request_body;
    if (mode == CacheMode::off) return Forward::cache_off;
    return Forward::none;
}

/// Does the request name somebody that the key does not?
bool is_strangers(const Rule& rule, const RequestView& request)
{
    const bool identified = request.fields.has_any({FieldId::authorization, FieldId::cookie});
    return identified && !rule.shared && !names_requester(rule, request);
}

bool has_condition(const RequestView& request) noexcept
{
    return request.fields.has_any({FieldId::if_match, FieldId::if_unmodified_since});
}

/// Why the fields of a request keep it from the cache: it names somebody that the key does not, or states a condition
/// that no cache may judge (RFC 9111 §4.3.2).
Forward judge_fields(const Rule& rule, const RequestView& request)
{
    if (is_strangers(rule, request))
        return request.fields.has(FieldId::authorization) ? Forward::authorization : Forward::cookie;
    return has_condition(request) ? Forward::condition : Forward::none;
}

}  // namespace

RequestJudgement judge_request(const Matcher& matcher, CacheMode mode, const RequestView& request, PathForm form,
                               std::string& key)
{
    RequestJudgement judgement;
    judgement.bypass = judge_head(*request.head, mode);
    if (judgement.bypass != Forward::none) return judgement;

    const Matched matched = matcher.match_cache(request);
    judgement.rule = matched.rule;
    if (!matched.rule && mode == CacheMode::respect_origin) judgement.rule = &respect_origin_rule();
    if (!judgement.rule) {
        judgement.bypass = Forward::no_rule;
        return judgement;
    }
    const Rule& rule = *judgement.rule;

    if (!rule.cache)
        judgement.bypass = Forward::rule_off;
    else if (form == PathForm::ambiguous)
        judgement.bypass = Forward::ambiguous_path;
    else
        judgement.bypass = judge_fields(rule, request);
    if (judgement.bypass != Forward::none) return judgement;

    judgement.parameter = unnamed_parameter(rule, request);
    if (!judgement.parameter.empty())
        judgement.bypass = Forward::query_parameter;
    else if (append_key(key, rule, request, matched.values).repeated_parameter)
        judgement.bypass = Forward::repeated_parameter;
    return judgement;
}

std::vector<PassReason> pass_reasons(const Matcher& matcher, CacheMode mode, const RequestView& request, PathForm form)
{
    std::vector<PassReason> reasons;
    const auto add = [&reasons](bool holds, Forward reason, std::string_view parameter = {}) {
        if (holds) reasons.push_back({reason, std::string(parameter)});
    };
    add(!is_read(*request.head), Forward::method);
    if (!reasons.empty()) return reasons;  // no cache rule is for it
    add(request.head->upgrade, Forward::upgrade);
    add(has_body(*request.head), Forward::request_body);
    add(mode == CacheMode::off, Forward::cache_off);

    const Rule* rule = matcher.match_cache(request).rule;
    if (!rule && mode == CacheMode::respect_origin) rule = &respect_origin_rule();
    add(!rule, Forward::no_rule);
    if (!rule) return reasons;
    add(!rule->cache, Forward::rule_off);
    add(form == PathForm::ambiguous, Forward::ambiguous_path);
    if (is_strangers(*rule, request)) {
        add(request.fields.has(FieldId::authorization), Forward::authorization);
        add(request.fields.has(FieldId::cookie), Forward::cookie);
    }
    add(has_condition(request), Forward::condition);
    for (const std::string& name : unnamed_parameters(*rule, request)) add(true, Forward::query_parameter, name);
    for (const std::string& name : repeated_parameters(*rule, request)) add(true, Forward::repeated_parameter, name);
    return reasons;
}

const Rule& respect_origin_rule()
{
    static const Rule rule = [] {
        Rule made;
        made.name = "respect-origin";
        made.match.methods = {"GET"};
        made.match.path_text = "/{rest*}";
        made.match.segments = {{PathSegment::Kind::rest, "rest"}};
        made.shared = true;
        made.client_cache_control = ClientCacheControl::respect;
        return made;
    }();
    return rule;
}

}  // namespace larder::rules
