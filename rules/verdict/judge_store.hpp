// The third decision: may this response be stored, for how long, and if not, why not (RFC 9111 §3)?
#pragma once

#include "rules/http/freshness.hpp"
#include "rules/http/head.hpp"
#include "rules/http/targeted.hpp"
#include "rules/match/rule.hpp"
#include "rules/verdict/judge_lookup.hpp"
#include "rules/verdict/verdict.hpp"

namespace larder::rules {

struct StoreJudgement {
    NotStored reason = NotStored::none;  // none: store it
    StoredTimes times;
    LifetimeSource lifetime_source = LifetimeSource::none;
    PolicySource policy_source = PolicySource::cache_control;  // the field whose directives were obeyed (RFC 9213 §2.2)
    bool ignored_origin = false;                               // override: the origin said something else
};

/// @param request, response  heads of the fetch
/// @param rule               the matching rule
/// @param requested, received when the request was sent and the response head arrived
/// @param part_asked         the request was for one range of bytes: a 206 may be stored as that part (RFC 9111 §3.3)
/// Looks at the head only; size, truncation and the purge log are judged by who stores.
///
/// The first reason that holds, in this order: not_final, partial, must_understand, no_store, is_private,
/// response_authorization, set_cookie, vary_any, status or no_lifetime, zero_lifetime. Under `override` a ttl of the
/// rule for this status lifts private, no-cache, §3.5 and every lifetime of the origin, and counts from the arrival
/// here; where the rule has none, `override` has nothing to say and the origin decides.
StoreJudgement judge_store(const RequestHead& request, const ResponseHead& response, const Rule& rule,
                           WallTime requested, WallTime received, bool part_asked = false);

}  // namespace larder::rules
