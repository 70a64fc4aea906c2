#include "rules/explain/reach.hpp"

#include "rules/explain/shape.hpp"

namespace larder::rules {

const Template& key_template(const Rule& rule) { return rule.key ? *rule.key : default_key(); }

std::vector<const Rule*> rules_with_keys(const std::vector<Rule>& rules, CacheMode mode, bool with_off)
{
    std::vector<const Rule*> with_keys;
    for (const Rule& rule : rules)
        if (!rule.is_purge() && (rule.cache || with_off)) with_keys.push_back(&rule);
    if (mode == CacheMode::respect_origin) with_keys.push_back(&respect_origin_rule());
    return with_keys;
}

std::string family_of(const Rule& rule) { return shape_of(key_template(rule)); }

bool reaches(const PurgeTarget& target, const Rule& rule) { return Shape(target).overlaps(Shape(rule)); }

}  // namespace larder::rules
