// What it means that a rule matches, said once more as plainly as can be: one rule at a time, over the list of the
// path's segments. The matcher, which walks a tree, is held against it.
#pragma once

#include <algorithm>
#include <vector>

#include "rules/base/text.hpp"
#include "rules/http/target.hpp"
#include "rules/match/matcher.hpp"

namespace larder::rules::test {

/// "/a/b/" is "a", "b" and "".
inline std::vector<std::string_view> segments_of(std::string_view path)
{
    std::vector<std::string_view> segments;
    for (std::size_t slash = 0; slash != path.npos;) {
        const std::size_t next = path.find('/', slash + 1);
        segments.push_back(path.substr(slash + 1, next - slash - 1));
        slash = next;
    }
    return segments;
}

inline bool plain_path_matches(const Rule& rule, std::string_view path, PathValues& values)
{
    using Kind = PathSegment::Kind;
    if (!path.starts_with('/')) return false;
    std::vector<PathSegment> wanted = rule.match.segments;
    std::vector<std::string_view> given = segments_of(path);
    const bool takes_rest = !wanted.empty() && wanted.back().kind == Kind::rest;
    if (takes_rest) {
        wanted.pop_back();
        // A write to "/files" counts as one to "/files/".
        if (rule.is_purge() && given.size() == wanted.size()) given.push_back(path.substr(path.size()));
        if (given.size() <= wanted.size()) return false;
    } else {
        const bool slash_at_end = given.back().empty() && path != "/";
        if (given.back().empty()) given.pop_back();
        if (!rule.is_purge() && path != "/" && slash_at_end != rule.match.trailing_slash) return false;
        if (!wanted.empty() && wanted.back().kind == Kind::optional_value && given.size() == wanted.size() - 1)
            wanted.pop_back();
        if (given.size() != wanted.size()) return false;
    }
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        if (wanted[i].kind == Kind::literal ? given[i] != wanted[i].text : given[i].empty()) return false;
        if (wanted[i].kind != Kind::literal) values.add(rule.match.segments[i].text, given[i]);  // a view of the name
    }
    if (takes_rest) {
        const auto begin = static_cast<std::size_t>(given[wanted.size()].data() - path.data());
        values.add(rule.match.segments.back().text, path.substr(begin));
    }
    return true;
}

inline bool matches_rule(const Rule& rule, const RequestView& request, PathValues& values)
{
    values.clear();
    const Match& match = rule.match;
    const auto takes_method = [&match](std::string_view method) {
        return std::count(match.methods.begin(), match.methods.end(), method) > 0;
    };
    const std::string_view method = request.head->method_text;
    if (!takes_method(method) && !(method == "HEAD" && takes_method("GET"))) return false;

    std::string host(request.host);
    if (!host.ends_with(']')) host = host.substr(0, host.rfind(':'));
    if (host.ends_with('.')) host.pop_back();
    if (!match.host.empty() && !equals_ignoring_case(host, match.host)) return false;

    for (const Condition& wanted : match.headers) {
        bool holds = false;
        for (const Field& field : request.head->fields.all)
            holds |= equals_ignoring_case(field.name, wanted.name) &&
                     field.value == wanted.equals.value_or(std::string(field.value));
        if (!holds) return false;
    }
    for (const Condition& wanted : match.query) {
        bool holds = false;
        for_each_parameter(request.head->query, [&](const Parameter& parameter) {
            holds |= decode_parameter(parameter.name) == wanted.name &&
                     (!wanted.equals || decode_parameter(parameter.value) == *wanted.equals);
        });
        if (!holds) return false;
    }
    return plain_path_matches(rule, request.path, values);
}

}  // namespace larder::rules::test
