#include "rules/explain/purgers.hpp"

#include <algorithm>
#include <map>

#include "rules/base/text.hpp"
#include "rules/explain/mismatch.hpp"
#include "rules/explain/shape.hpp"
#include "rules/http/target.hpp"

namespace larder::rules {

namespace {

/// The values with which a purge template makes a key, by place among its parts.
using Values = std::map<std::size_t, std::string_view>;

/// Finds values with which the parts from `part` on make the rest of the key. What has failed once is not tried again.
class Backwards {
  public:
    Backwards(const Template& text, std::string_view key) : parts_(text.parts), key_(key) {}

    bool find(Values& values, std::size_t part = 0, std::size_t from = 0)
    {
        if (part == parts_.size()) return from == key_.size();
        bool& failed = failed_[{part, from}];
        if (failed) return false;
        const TemplatePart& at = parts_[part];
        if (at.source == Source::literal) {
            if (key_.substr(from, at.name.size()) == at.name && find(values, part + 1, from + at.name.size()))
                return true;
        } else {
            const bool is_wildcard = at.source == Source::wildcard;
            std::size_t most = is_wildcard ? key_.size() : std::min(key_.find(':', from), key_.size());
            for (std::size_t to = most + 1; to-- > from;) {
                if (!find(values, part + 1, to)) continue;
                if (!is_wildcard) values[part] = key_.substr(from, to - from);
                return true;
            }
        }
        failed_[{part, from}] = true;
        return false;
    }

  private:
    const std::vector<TemplatePart>& parts_;
    std::string_view key_;
    std::map<std::pair<std::size_t, std::size_t>, bool> failed_;
};

/// A value of a key as a segment of a path, or several of `{rest*}`.
std::string as_path(std::string_view escaped)
{
    constexpr std::string_view hex = "0123456789ABCDEF", plain = "-._~/";
    std::string path;
    for (const char c : percent_decode(escaped)) {
        const auto byte = static_cast<unsigned char>(c);
        if (is_alpha(c) || is_digit(c) || plain.find(c) != std::string_view::npos)
            path += c;
        else
            ((path += '%') += hex[byte >> 4]) += hex[byte & 15];
    }
    return path;
}

/// "PUT /api/events/7": the first method, and the path with the values that are known.
std::string example_of(const Rule& rule, const Template& pattern, const Values& values)
{
    std::string text = rule.match.methods.front() + ' ' + rule.match.host;
    const std::size_t before_path = text.size();
    for (const PathSegment& segment : rule.match.segments) {
        std::string_view value;
        bool is_known = false;
        for (const auto& [part, found] : values)
            if (pattern.parts[part].source == Source::path_value && pattern.parts[part].name == segment.text)
                value = found, is_known = true;
        if (segment.kind == PathSegment::Kind::literal)
            (text += '/') += segment.text;
        else if (is_known)
            (text += '/') += as_path(value);
        else if (segment.kind == PathSegment::Kind::value)
            (text += "/{") += segment.text + "}";
    }
    if (text.size() == before_path || rule.match.trailing_slash) text += '/';
    return text;
}

/// Values that come from elsewhere than the path.
std::string needed_values(const Template& pattern, const Values& values)
{
    std::string text;
    for (const auto& [part, value] : values) {
        if (pattern.parts[part].source == Source::path_value) continue;
        (text += text.empty() ? "" : ", ") += placeholder_text(pattern.parts[part]) + " = " + std::string(value);
    }
    return text;
}

}  // namespace

std::string placeholder_text(const TemplatePart& part)
{
    std::string text = "{";
    switch (part.source) {
    case Source::literal: return part.name;
    case Source::wildcard: return "*";
    case Source::path_value: text += part.name; break;
    case Source::query_value: text += "query." + part.name; break;
    case Source::header: text += "header." + part.name; break;
    case Source::cookie: text += "cookie." + part.name; break;
    case Source::host: text += "host"; break;
    case Source::path: text += "path"; break;
    case Source::query: text += "query"; break;
    case Source::method: text += "method"; break;
    case Source::body: text += "body." + part.name; break;
    case Source::response_header: text += "response.header." + part.name; break;
    }
    if (part.fallback) text += "|" + *part.fallback;
    return text + "}";
}

Explanation::RuleName rule_name(const Rule& rule) { return {rule.name, rule.place.line, match_text(rule.match)}; }

std::vector<Explanation::Purger> purgers_of(const std::vector<Rule>& rules, std::string_view key)
{
    std::vector<Explanation::Purger> purgers;
    const Shape shape = Shape::of_key(key);
    constexpr std::size_t longest_key = 4096;  // bytes; for longer ones no example is looked for
    for (const Rule& rule : rules) {
        for (const Template& pattern : rule.purge) {
            const bool by_values = Shape(pattern).overlaps(shape);
            if (!by_values && !Shape(pattern, true).overlaps(shape)) continue;
            Explanation::Purger purger{rule_name(rule), pattern.text, {}, {}, !by_values};
            Values values;
            if (by_values && key.size() <= longest_key) Backwards(pattern, key).find(values);
            purger.example = example_of(rule, pattern, values);
            purger.with = needed_values(pattern, values);
            purgers.push_back(std::move(purger));
        }
    }
    return purgers;
}

}  // namespace larder::rules
