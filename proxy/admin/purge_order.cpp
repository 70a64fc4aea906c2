#include "proxy/admin/purge_order.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <set>

#include "config/nearest.hpp"
#include "rules/base/text.hpp"
#include "rules/explain/reach.hpp"
#include "rules/key/groups.hpp"
#include "rules/pattern/pattern.hpp"

namespace larder::proxy {

namespace {

namespace json = boost::json;
using rules::PurgeTarget;

constexpr std::string_view example = R"({"keys": ["event:42"], "patterns": ["events:list:*"]})";

std::string quoted(std::string_view text)
{
    constexpr std::size_t shown = 60;
    return '"' + std::string(text.substr(0, shown)) + (text.size() > shown ? "..." : "") + '"';
}

/// Reads the members one by one; stops at the first that is wrong.
class Reader {
  public:
    explicit Reader(const config::Config& config) : config_(config) {}

    std::variant<PurgeOrder, RefusedOrder> run(std::string_view body)
    {
        boost::system::error_code ec;
        const json::value parsed = json::parse({body.data(), body.size()}, ec);
        if (ec)
            fail("the body is not JSON (" + ec.message() + "); send for example " + std::string(example));
        else if (!parsed.is_object())
            fail("the body must be a JSON object, such as " + std::string(example));
        else
            read_members(parsed.get_object());
        if (refused_.empty() && order_.targets.empty())
            fail("nothing to purge: name at least one of keys, patterns, tags and rule, such as " +
                 std::string(example));
        if (!refused_.empty()) return RefusedOrder{400, std::move(refused_)};
        judge_reach();
        return std::move(order_);
    }

  private:
    void fail(std::string detail)
    {
        if (refused_.empty()) refused_ = std::move(detail);
    }

    void read_members(const json::object& members)
    {
        for (const auto& member : members) {
            const std::string_view name{member.key().data(), member.key().size()};
            const json::value& value = member.value();
            if (name == "keys")
                read_list(name, value, purge_keys_limit, &Reader::add_key);
            else if (name == "patterns")
                read_list(name, value, purge_patterns_limit, &Reader::add_pattern);
            else if (name == "tags")
                read_list(name, value, purge_patterns_limit, &Reader::add_tag);
            else if (name == "rule")
                read_rule(value);
            else if (name == "dry_run" && value.is_bool())
                order_.dry_run = value.get_bool();
            else if (name == "dry_run")
                fail("dry_run wants true or false");
            else
                fail(quoted(name) + " is no member of a purge" +
                     config::suggestion(name, {"keys", "patterns", "tags", "rule", "dry_run"}));
        }
    }

    void read_list(std::string_view name, const json::value& value, std::size_t most, void (Reader::*add)(std::string))
    {
        const std::string list = std::string(name);
        const std::string wanted = name == "keys"   ? R"(keys wants a list of strings: ["event:42"])"
                                   : name == "tags" ? R"(tags wants a list of strings: ["product-7"])"
                                                    : R"(patterns wants a list of strings: ["events:list:*"])";
        if (!value.is_array()) return fail(wanted);
        if (value.get_array().size() > most)
            return fail(list + " has " + std::to_string(value.get_array().size()) + " elements, at most " +
                        std::to_string(most) + " are taken at once: send several requests, or a wider pattern");
        for (const json::value& element : value.get_array()) {
            if (!element.is_string()) return fail(wanted);
            const std::string_view text{element.get_string().data(), element.get_string().size()};
            if (text.empty()) return fail(list + " has an empty element; remove it");
            if (!std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; }))
                return fail(
                    quoted(text) + " in " + list +
                    ": no key has a space, a control byte or one above 0x7E; they stand in keys as %20, %C3%A9");
            (this->*add)(std::string(text));
        }
    }

    void add_key(std::string key)
    {
        if (key.find_first_of("*?\\") != std::string::npos)
            return fail(quoted(key) + " in keys has a wildcard, which no key contains: put it under patterns");
        add({std::move(key), true, false});
    }

    void add_pattern(std::string pattern)
    {
        if (pattern.size() > purge_pattern_bytes_limit)
            return fail(quoted(pattern) + " in patterns is longer than " + std::to_string(purge_pattern_bytes_limit) +
                        " bytes; end it earlier with *");
        std::size_t escapes = 0;
        while (escapes < pattern.size() && pattern[pattern.size() - 1 - escapes] == '\\') ++escapes;
        if (escapes % 2 != 0) return fail(quoted(pattern) + R"( in patterns ends with a \ that escapes nothing)");
        if (rules::is_exact(pattern))
            add({rules::unescape(pattern), true, false});
        else
            add({std::move(pattern), false, false});
    }

    void add_tag(std::string tag)
    {
        if (tag.size() > purge_pattern_bytes_limit)
            return fail(quoted(tag) + " in tags is longer than " + std::to_string(purge_pattern_bytes_limit) +
                        " bytes");
        if (tag.find(',') != std::string::npos)
            return fail(quoted(tag) + " in tags has a comma, which separates tags: make it two elements");
        add({rules::tag_name(tag), false, false});
        order_.tags.push_back(std::move(tag));
    }

    void read_rule(const json::value& value)
    {
        if (!value.is_string()) return fail("rule wants the name of one rule, as a string");
        order_.rule.assign(value.get_string().data(), value.get_string().size());
        std::vector<std::string_view> names;
        for (const rules::Rule* rule : rules::rules_with_keys(config_.rules, config_.cache, true)) {
            if (rule->name == order_.rule) {
                const std::string family = rules::family_of(*rule);
                return add({family, rules::is_exact(family), false});
            }
            names.push_back(rule->name);
        }
        const bool purges = std::any_of(config_.rules.begin(), config_.rules.end(),
                                        [&](const rules::Rule& rule) { return rule.name == order_.rule; });
        if (purges)
            return fail("rule " + quoted(order_.rule) +
                        " is a purge rule and has no keys of its own; name a cache rule, or send its patterns");
        fail("there is no rule " + quoted(order_.rule) +
             (names.empty() ? "; the configuration has no cache rules" : config::suggestion(order_.rule, names)));
    }

    void add(PurgeTarget target)
    {
        if (seen_.emplace(target.exact, target.text).second) order_.targets.push_back(std::move(target));
    }

    static bool reaches(const PurgeTarget& target, const rules::Rule& rule)
    {
        return rules::is_tag_name(target.text) ? rule.tags_of_response : rules::reaches(target, rule);
    }

    void judge_reach()
    {
        const auto rules = rules::rules_with_keys(config_.rules, config_.cache);
        std::vector<bool> reached(rules.size(), false);
        for (const PurgeTarget& target : order_.targets) {
            bool any = false;
            for (std::size_t i = 0; i < rules.size(); ++i) {
                if (!reaches(target, *rules[i])) continue;
                any = true;
                reached[i] = true;
            }
            if (!any) order_.matches_no_rule.push_back(target.text);
        }
        for (std::size_t i = 0; i < rules.size(); ++i)
            if (reached[i]) order_.matches_rules.push_back(rules[i]->name);
    }

    const config::Config& config_;
    PurgeOrder order_;
    std::string refused_;
    std::set<std::pair<bool, std::string>> seen_;
};

}  // namespace

std::variant<PurgeOrder, RefusedOrder> read_purge_order(std::string_view content_type, std::string_view body,
                                                        const config::Config& config)
{
    const std::string_view media_type = rules::trim(content_type.substr(0, content_type.find(';')));
    if (!rules::equals_ignoring_case(media_type, "application/json"))
        return RefusedOrder{415, "send the purge as JSON, with Content-Type: application/json"};
    return Reader(config).run(body);
}

}  // namespace larder::proxy
