// The first decision: may this request be answered from the cache at all, and under which key?
#pragma once

#include <string>
#include <vector>

#include "rules/http/target.hpp"
#include "rules/key/cache_key.hpp"
#include "rules/match/matcher.hpp"
#include "rules/verdict/verdict.hpp"

namespace larder::rules {

/// How the whole process caches: by rules, by the origin's headers alone, or not at all.
enum class CacheMode : std::uint8_t { rules, respect_origin, off };

struct RequestJudgement {
    Forward bypass = Forward::none;  // none: look it up under `key`
    const Rule* rule = nullptr;      // the rule that matched, also when the request passes by
    std::string_view parameter;      // with query_parameter: which one
};

/// @param key      the key is appended to it when the request may be looked up; reused between requests
/// @param form     how the path relates to its normal form
/// Applies the safe defaults of the design in this order: method, upgrade, request body, cache off, rule, ambiguous
/// path, identity (Authorization, Cookie), conditions that only the origin can judge, query parameters. `shared: true`
/// lifts the identity switch only. A Range does not matter here: the whole answer is looked up.
RequestJudgement judge_request(const Matcher& matcher, CacheMode mode, const RequestView& request, PathForm form,
                               std::string& key);

struct PassReason {
    Forward reason = Forward::none;
    std::string parameter;  // of query_parameter and repeated_parameter: its name as received
};
/// Every reason for which `judge_request` would let the request pass by, in its order: the first is its own. Without a
/// rule there are none that a rule decides.
std::vector<PassReason> pass_reasons(const Matcher& matcher, CacheMode mode, const RequestView& request, PathForm form);

/// The rule that stands in for a missing one under `respect_origin`: default key, no ttl. It is `shared`, because what
/// a shared cache may keep is then said by the response alone, and judged when it is stored (RFC 9111 §3.5). It
/// respects what requests say about caching, as RFC 9111 §5.2.1 has it, where the operator does not say otherwise.
const Rule& respect_origin_rule();

}  // namespace larder::rules
