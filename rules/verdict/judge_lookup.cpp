#include "rules/verdict/judge_lookup.hpp"

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

bool may_serve_on_error(const StoredTimes& times, WallTime now) noexcept
{
    if (times.always_revalidate) return false;
    const Milliseconds staleness = times.age(now) - times.lifetime;
    return staleness < Milliseconds{0} || (!times.must_revalidate && staleness < times.stale_if_error);
}

}  // namespace larder::rules
