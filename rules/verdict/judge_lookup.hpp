// The second decision: an entry was found (or not) – serve it, revalidate it, or fetch?
#pragma once

#include "rules/base/time.hpp"
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
    Milliseconds ttl{0};  // what is left of the lifetime; negative when stale
};

/// Judges an entry that is valid by the purge log. Fresh: hit. Within stale-while-revalidate: stale_hit. Else
/// revalidate.
LookupJudgement judge_lookup(const StoredTimes& times, WallTime now) noexcept;

/// May it be served because the upstream failed (RFC 5861 §4)?
bool may_serve_on_error(const StoredTimes& times, WallTime now) noexcept;

}  // namespace larder::rules
