#include "rules/verdict/judge_store.hpp"

#include <algorithm>
#include <span>

#include "rules/http/range.hpp"
#include "rules/http/vary.hpp"

namespace larder::rules {
namespace {

/// Statuses whose caching requirements Larder meets, for must-understand (RFC 9111 §5.2.2.3): those of RFC 9110 §15
/// that are an answer of their own, and of RFC 6585 and 7725.
constexpr int understood[] = {200, 201, 202, 203, 204, 205, 206, 300, 301, 302, 303, 307, 308, 400, 401,
                              402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 413, 414, 415, 417, 421,
                              422, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 511};

/// Statuses that may be stored without anybody saying for how long (RFC 9110 §15.1), as far as Larder does.
constexpr int heuristically_cacheable[] = {200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501};

/// Statuses that RFC 6585 forbids a cache to store; only a rule that names one overrules it.
constexpr int never_cacheable[] = {428, 429, 431, 511};

bool is_among(std::span<const int> statuses, int status) noexcept
{
    return std::find(statuses.begin(), statuses.end(), status) != statuses.end();
}

bool has_validator(const Fields& fields) noexcept
{
    return fields.has(FieldId::etag) || fields.has(FieldId::last_modified);
}

/// `private="Set-Cookie"` says no more than what holds for Set-Cookie anyway. Any other name concerns the whole
/// response, as RFC 9111 §5.2.2.7 allows: nobody should have to trust that a field was cut out everywhere.
bool names_more_than_set_cookie(const std::vector<std::string>& names)
{
    return std::any_of(names.begin(), names.end(), [](const std::string& name) { return name != "set-cookie"; });
}

/// A part has the lifetime of the whole.
int status_of_whole(const ResponseHead& response) noexcept { return response.status == 206 ? 200 : response.status; }

/// A part whose place is known, as long as it says. One that varies would have to be found through an index, which is
/// for whole responses.
bool is_one_part(const ResponseHead& response)
{
    const auto part = parse_content_range(response.fields.value(FieldId::content_range));
    const bool fits = response.body != BodyKind::length || (part && response.content_length == part->range.size());
    return part && fits && response.fields.count(FieldId::content_range) == 1 && !response.fields.has(FieldId::vary);
}

/// What holds whatever the rule says about the origin's word.
NotStored judge_response(const CacheControl& cc, const ResponseHead& response, bool part_asked)
{
    const int status = response.status;
    // 412 and 416 answer a condition or a range of one request, not the question that the key stands for.
    if (status < 200 || status == 304 || status == 412 || status == 416) return NotStored::not_final;
    if (status == 206 && !(part_asked && is_one_part(response))) return NotStored::partial;
    if (cc.must_understand && !is_among(understood, status)) return NotStored::must_understand;
    // An open quote is no no-store that the origin meant to lift: it may have swallowed anything, `private` as well.
    if (cc.no_store && (!cc.must_understand || cc.open_quote)) return NotStored::no_store;
    return NotStored::none;
}

NotStored judge_privacy(const CacheControl& cc, const RequestHead& request)
{
    if (cc.is_private || names_more_than_set_cookie(cc.private_fields)) return NotStored::is_private;
    const bool for_everybody = cc.is_public || cc.s_maxage || cc.must_revalidate;
    if (request.fields.has(FieldId::authorization) && !for_everybody) return NotStored::response_authorization;
    return NotStored::none;
}

/// What would hand one user's answer to another, or could never be found again.
NotStored judge_content(const ResponseHead& response, const Rule& rule)
{
    if (response.fields.has(FieldId::set_cookie) && !rule.strip_set_cookie) return NotStored::set_cookie;
    if (parse_vary(response.fields).any) return NotStored::vary_any;
    return NotStored::none;
}

/// A stored response that is never fresh is of use only as something to ask about, or to serve stale.
NotStored judge_use(const StoredTimes& times, const Fields& fields)
{
    if (has_validator(fields)) return NotStored::none;
    if (times.always_revalidate) return NotStored::zero_lifetime;
    const bool fresh = times.lifetime > times.initial_age;
    const Milliseconds none{0};
    const bool stale_use =
        !times.must_revalidate && (times.stale_while_revalidate > none || times.stale_if_error > none);
    return fresh || stale_use ? NotStored::none : NotStored::zero_lifetime;
}

/// RFC 9111 for a shared cache, with the rule where the origin is silent.
StoreJudgement judge_by_origin(const RequestHead& request, const ResponseHead& response, const CachePolicy& policy,
                               const Rule& rule, WallTime requested, WallTime received)
{
    const CacheControl& cc = policy.directives;
    StoreJudgement judgement;
    judgement.policy_source = policy.source;
    const auto refuse = [&judgement](NotStored reason) {
        judgement.reason = reason;
        return judgement;
    };
    if (const NotStored reason = judge_privacy(cc, request); reason != NotStored::none) return refuse(reason);
    if (const NotStored reason = judge_content(response, rule); reason != NotStored::none) return refuse(reason);

    const auto rule_ttl = rule.ttl.for_status(status_of_whole(response));
    std::optional<Seconds> expires;  // a targeted field takes its place too (RFC 9213 §2.2)
    if (policy.source == PolicySource::cache_control) expires = expires_lifetime(response.fields, received);
    const Lifetime lifetime = freshness_lifetime(cc, expires, rule_ttl);
    judgement.lifetime_source = lifetime.source;

    StoredTimes& times = judgement.times;
    times.stored = received;
    times.initial_age = initial_age(response.fields, requested, received);
    times.lifetime = lifetime.value;
    times.always_revalidate = cc.no_cache || names_more_than_set_cookie(cc.no_cache_fields);
    // s-maxage forbids stale answers (§5.2.2.10) unless the same response allows them in so many words, as
    // `s-maxage=60, stale-while-revalidate=30` does; the rule's windows then stay shut.
    const bool origin_window = cc.stale_while_revalidate || cc.stale_if_error;
    times.must_revalidate =
        cc.must_revalidate || cc.proxy_revalidate || times.always_revalidate || (cc.s_maxage && !origin_window);
    const Milliseconds rule_while = cc.s_maxage ? Milliseconds{0} : rule.stale_while_revalidate;
    const Milliseconds rule_error = cc.s_maxage ? Milliseconds{0} : rule.stale_if_error;
    times.stale_while_revalidate = cc.stale_while_revalidate ? *cc.stale_while_revalidate : rule_while;
    times.stale_if_error = cc.stale_if_error ? *cc.stale_if_error : rule_error;

    if (is_among(never_cacheable, response.status) && !rule_ttl) return refuse(NotStored::status);
    if (lifetime.source == LifetimeSource::none) {
        const bool storable = cc.is_public || is_among(heuristically_cacheable, status_of_whole(response));
        const bool ask_always = times.always_revalidate && storable;
        if (!ask_always) return refuse(rule.ttl.given() ? NotStored::status : NotStored::no_lifetime);
    }
    return refuse(judge_use(times, response.fields));
}

/// The rule's lifetime, counted from the arrival here: the origin's clock and `Age` have no say in it.
StoreJudgement judge_by_rule(const ResponseHead& response, const Rule& rule, Milliseconds ttl, WallTime requested,
                             WallTime received)
{
    StoreJudgement judgement;
    judgement.lifetime_source = LifetimeSource::rule_override;
    StoredTimes& times = judgement.times;
    times.stored = received;
    times.initial_age = initial_age(response.fields, requested, received);
    times.lifetime = times.initial_age + ttl;
    times.stale_while_revalidate = rule.stale_while_revalidate;
    times.stale_if_error = rule.stale_if_error;
    judgement.reason = judge_content(response, rule);
    if (judgement.reason == NotStored::none) judgement.reason = judge_use(times, response.fields);
    return judgement;
}

/// Did the origin want it otherwise?
bool differs(const StoreJudgement& rule, const StoreJudgement& origin) noexcept
{
    if (rule.reason != origin.reason) return true;
    if (rule.reason != NotStored::none) return false;
    const bool same_lifetime = origin.lifetime_source == LifetimeSource::rule ||
                               rule.times.lifetime - rule.times.initial_age == origin.times.lifetime;
    return !same_lifetime || rule.times.always_revalidate != origin.times.always_revalidate ||
           rule.times.must_revalidate != origin.times.must_revalidate ||
           rule.times.stale_while_revalidate != origin.times.stale_while_revalidate ||
           rule.times.stale_if_error != origin.times.stale_if_error;
}

}  // namespace

StoreJudgement judge_store(const RequestHead& request, const ResponseHead& response, const Rule& rule,
                           WallTime requested, WallTime received, bool part_asked)
{
    const CachePolicy policy = cache_policy(response.fields);
    StoreJudgement judgement;
    judgement.policy_source = policy.source;
    judgement.reason = judge_response(policy.directives, response, part_asked);
    if (judgement.reason != NotStored::none) return judgement;

    const StoreJudgement by_origin = judge_by_origin(request, response, policy, rule, requested, received);
    const auto ttl = rule.ttl.for_status(status_of_whole(response));
    if (rule.cache_control == CacheControlMode::respect || !ttl) return by_origin;

    judgement = judge_by_rule(response, rule, *ttl, requested, received);
    judgement.policy_source = policy.source;
    judgement.ignored_origin = differs(judgement, by_origin);
    return judgement;
}

}  // namespace larder::rules
