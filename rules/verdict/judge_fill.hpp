// Between lookup and fetch: nothing that will do is stored. May the answer of this request be, and be another's too?
#pragma once

#include "rules/match/matcher.hpp"
#include "rules/verdict/verdict.hpp"

namespace larder::rules {

struct FillJudgement {
    bool fills = true;                       // false: it is forwarded as it is
    Forward forward = Forward::none;         // why not; with neither it is a HEAD, whose answer has no body
    NotStored not_stored = NotStored::none;  // why not, when its sender forbids it
};

/// @param is_stored  a whole response is, or the very part that is asked for: it is revalidated, not the range fetched
FillJudgement judge_fill(const RequestView& request, bool is_stored);

}  // namespace larder::rules
