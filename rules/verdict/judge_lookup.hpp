// The second decision: an entry was found (or not) – serve it, revalidate it, or fetch?
#pragma once

#include <optional>

#include "rules/base/time.hpp"
#include "rules/http/cache_control.hpp"
#include "rules/http/head.hpp"
#include "rules/verdict/verdict.hpp"

namespace larder::rules {

/// The times of a stored response, as its entry keeps them.
struct StoredTimes {
    WallTime stored;              // when the response head arrived here (by the storing replica's clock)
    Milliseconds initial_age{0};  // its age then (RFC 9111 §4.2.3)
    Milliseconds lifetime{0};     // freshness lifetime
    Milliseconds stale_while_revalidate{0};
    Milliseconds stale_if_error{0};
    bool must_revalidate = false;    // must-revalidate, proxy-revalidate, s-maxage or no-cache: never served stale
    bool always_revalidate = false;  // no-cache: stored, but asked about each time

    Milliseconds age(WallTime now) const noexcept
    {
        const Milliseconds resident = now > stored ? now - stored : Milliseconds{0};
        return initial_age + resident;
    }
};

struct LookupJudgement {
    Verdict verdict = Verdict::miss;
    Milliseconds age{0};
    Milliseconds ttl{0};      // what is left of the lifetime; negative when stale
    bool by_request = false;  // revalidate: the request's directives ask for it, the entry could have been served
};

/// What a request says about the response it wants (RFC 9111 §5.2.1, RFC 5861 §4).
struct RequestDirectives {
    bool given = false;  // any of those below
    bool no_cache = false;
    bool only_if_cached = false;
    std::optional<Seconds> max_age, min_fresh, stale_if_error;
    std::optional<Seconds> max_stale;  // without a value: the largest there is
};
/// Reads Cache-Control; where there is none, `Pragma: no-cache` counts as no-cache.
RequestDirectives request_directives(const Fields& request);

/// Judges an entry that is valid by the purge log. Fresh: hit. Within stale-while-revalidate: stale_hit. Else
/// revalidate.
LookupJudgement judge_lookup(const StoredTimes& times, WallTime now) noexcept;

/// The same for a request whose directives are honoured.
/// @param stored  the directives of the stored response: what forbids stale answers also forbids max-stale, and a fresh
///                immutable response needs no asking for a mere max-age (RFC 8246 §2)
LookupJudgement judge_lookup(const StoredTimes& times, WallTime now, const RequestDirectives& request,
                             const CacheControl& stored) noexcept;

/// May one response serve requests beside the one it was fetched for (RFC 9111 §4)? Not when it must be validated from
/// the first moment: such requests are not collapsed into one.
bool may_be_shared(const StoredTimes& times) noexcept;

/// May it be served because the upstream failed (RFC 5861 §4)?
/// @param stale_for  what the request's own stale-if-error allows; 0: it has none
bool may_serve_on_error(const StoredTimes& times, WallTime now, Milliseconds stale_for = Milliseconds{0}) noexcept;

}  // namespace larder::rules
