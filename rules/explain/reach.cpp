#include "rules/explain/reach.hpp"

#include "rules/explain/shape.hpp"
#include "rules/pattern/pattern.hpp"

namespace larder::rules {

namespace {

const Template& key_of(const Rule& rule) { return rule.key ? *rule.key : default_key(); }

/// Values hold no ":", so that a key and the shape that made it have the same parts between them.
bool could_make(std::string_view shape, std::string_view key) noexcept
{
    for (;;) {
        const std::size_t shape_end = shape.find(':'), key_end = key.find(':');
        if (!matches(shape.substr(0, shape_end), key.substr(0, key_end))) return false;
        if (shape_end == std::string_view::npos || key_end == std::string_view::npos) return shape_end == key_end;
        shape.remove_prefix(shape_end + 1);
        key.remove_prefix(key_end + 1);
    }
}

}  // namespace

std::vector<const Rule*> rules_with_keys(const std::vector<Rule>& rules, CacheMode mode, bool with_off)
{
    std::vector<const Rule*> with_keys;
    for (const Rule& rule : rules)
        if (!rule.is_purge() && (rule.cache || with_off)) with_keys.push_back(&rule);
    if (mode == CacheMode::respect_origin) with_keys.push_back(&respect_origin_rule());
    return with_keys;
}

std::string family_of(const Rule& rule) { return shape_of(key_of(rule)); }

bool reaches(const PurgeTarget& target, const Rule& rule)
{
    const std::string shape = shape_of(key_of(rule));
    return target.exact ? could_make(shape, target.text) : may_overlap(target.text, shape);
}

}  // namespace larder::rules
