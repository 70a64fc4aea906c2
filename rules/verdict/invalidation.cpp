#include "rules/verdict/invalidation.hpp"

#include "rules/http/target.hpp"

namespace larder::rules {

void append_invalidated(std::vector<PurgeTarget>& targets, const Matcher& matcher, CacheMode mode,
                        std::string_view host, std::string_view path, std::string_view query)
{
    if (mode == CacheMode::off) return;
    RequestHead get;
    get.method = Method::get;
    get.method_text = "GET";
    get.query = query;
    std::string scratch;
    // Of an ambiguous path nothing is stored; a write to it is taken for one to what the most eager server reads.
    const RequestView target{&get, normalise_path(path, scratch).text, host};
    std::vector<Matched> found;
    matcher.match_target(target, found);
    for (const Matched& one : found)
        if (one.rule->cache) append_target_key(targets, *one.rule, target, one.values);
    const bool is_left_to_origin = found.empty() || !found.back().rule->match.headers.empty();
    if (mode == CacheMode::respect_origin && is_left_to_origin)
        append_target_key(targets, respect_origin_rule(), target, {});
}

}  // namespace larder::rules
