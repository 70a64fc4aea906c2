#include "rules/verdict/judge_fill.hpp"

#include "rules/http/cache_control.hpp"
#include "rules/http/fields.hpp"
#include "rules/http/range.hpp"
#include "rules/http/target.hpp"

namespace larder::rules {

namespace {

/// May the 206 to this request be stored? Of one range, and nothing else that the origin has to judge.
bool may_store_part(const RequestView& request)
{
    const Fields& fields = request.head->fields;
    // A part has no variants, and a path of several spellings needs them.
    return !has_spellings(request.path) && asks_one_range(fields) && !fields.has(FieldId::if_none_match) &&
           !fields.has(FieldId::if_modified_since);
}

}  // namespace

FillJudgement judge_fill(const RequestView& request, bool is_stored)
{
    const Fields& fields = request.head->fields;
    if (request.head->method == Method::head) return {false};
    if (request.fields.has(FieldId::range) && !is_stored && !may_store_part(request)) return {false, Forward::range};
    if (HopByHop(fields).names_end_to_end_field()) return {false, Forward::connection_option};
    // A client's no-store keeps its own answer out (RFC 9111 §5.2.1.5); it does not keep others from what is stored.
    if (parse_cache_control(fields).no_store) return {false, Forward::none, NotStored::request_no_store};
    return {};
}

}  // namespace larder::rules
