#include "rules/verdict/judge_lookup.hpp"

#include <algorithm>

#include "rules/base/text.hpp"
#include "rules/http/fields.hpp"

namespace larder::rules {

LookupJudgement judge_lookup(const StoredTimes& times, WallTime now) noexcept
{
    LookupJudgement judgement;
    judgement.age = times.age(now);
    judgement.ttl = times.lifetime - judgement.age;
    const Milliseconds staleness = -judgement.ttl;

    if (times.always_revalidate)
        judgement.verdict = Verdict::revalidate;
    else if (judgement.ttl > Milliseconds{0})
        judgement.verdict = Verdict::hit;
    else if (!times.must_revalidate && staleness < times.stale_while_revalidate)
        judgement.verdict = Verdict::stale_hit;
    else
        judgement.verdict = Verdict::revalidate;
    return judgement;
}

RequestDirectives request_directives(const Fields& request)
{
    RequestDirectives directives;
    const CacheControl cc = parse_cache_control(request);
    directives.no_cache = cc.no_cache || !cc.no_cache_fields.empty() ||
                          (!cc.present && list_contains(request, FieldId::pragma, "no-cache"));
    directives.only_if_cached = cc.only_if_cached;
    directives.max_age = cc.max_age;
    directives.min_fresh = cc.min_fresh;
    directives.stale_if_error = cc.stale_if_error;
    directives.max_stale = cc.max_stale_any ? Seconds{max_delta_seconds} : cc.max_stale;
    directives.given = directives.no_cache || directives.only_if_cached || directives.max_age || directives.min_fresh ||
                       directives.stale_if_error || directives.max_stale;
    return directives;
}

LookupJudgement judge_lookup(const StoredTimes& times, WallTime now, const RequestDirectives& request,
                             const CacheControl& stored) noexcept
{
    LookupJudgement judgement = judge_lookup(times, now);
    const bool fresh = judgement.verdict == Verdict::hit;
    const Milliseconds staleness = -judgement.ttl;
    const bool never_stale = times.must_revalidate || times.always_revalidate || stored.must_revalidate ||
                             stored.proxy_revalidate || stored.no_cache || stored.s_maxage;

    // `max-age=0` is what a browser sends to have a page validated, however young it is.
    const bool too_old = request.max_age && (judgement.age > *request.max_age || *request.max_age == Seconds{0});
    const bool not_fresh_enough = request.min_fresh && judgement.ttl < *request.min_fresh;
    if (request.no_cache || (too_old && !(fresh && stored.immutable)) || not_fresh_enough) {
        judgement.by_request = judgement.verdict != Verdict::revalidate;
        judgement.verdict = Verdict::revalidate;
    } else if (!fresh && request.max_stale && !never_stale && staleness <= *request.max_stale) {
        judgement.verdict = Verdict::hit;
    } else if (judgement.verdict == Verdict::stale_hit && (request.max_age || request.min_fresh)) {
        judgement.by_request = true;  // who says how fresh it should be wants nothing stale (§5.2.1.1, §5.2.1.3)
        judgement.verdict = Verdict::revalidate;
    }
    return judgement;
}

bool may_be_shared(const StoredTimes& times) noexcept
{
    return judge_lookup(times, times.stored).verdict != Verdict::revalidate;
}

bool may_serve_on_error(const StoredTimes& times, WallTime now, Milliseconds stale_for) noexcept
{
    if (times.always_revalidate) return false;
    const Milliseconds staleness = times.age(now) - times.lifetime;
    return staleness < Milliseconds{0} ||
           (!times.must_revalidate && staleness < std::max(times.stale_if_error, stale_for));
}

}  // namespace larder::rules
