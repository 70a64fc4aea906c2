#include "rules/verdict/judge_request.hpp"

namespace larder::rules {

namespace {

/// Why the head alone, before any rule, keeps a request from the cache.
Forward judge_head(const RequestHead& head, CacheMode mode) noexcept
{
    if (head.method != Method::get && head.method != Method::head) return Forward::method;
    if (head.upgrade) return Forward::upgrade;
    const bool empty_body = head.body == BodyKind::none || (head.body == BodyKind::length && head.content_length == 0);
    if (!empty_body) return Forward::request_body;
    if (mode == CacheMode::off) return Forward::cache_off;
    return Forward::none;
}

/// Why the fields of a request keep it from the cache: it names somebody that the key does not, or states a condition
/// that no cache may judge (RFC 9111 §4.3.2).
Forward judge_fields(const Rule& rule, const RequestView& request)
{
    const bool identified = request.fields.has_any({FieldId::authorization, FieldId::cookie});
    if (identified && !rule.shared && !names_requester(rule, request))
        return request.fields.has(FieldId::authorization) ? Forward::authorization : Forward::cookie;
    const bool condition = request.fields.has_any({FieldId::if_match, FieldId::if_unmodified_since});
    return condition ? Forward::condition : Forward::none;
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
