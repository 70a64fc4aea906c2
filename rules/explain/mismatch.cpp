#include "rules/explain/mismatch.hpp"

#include <algorithm>

namespace larder::rules {

namespace {

using Kind = PathSegment::Kind;

/// Asks the matcher about a rule that stands alone.
bool fits(Rule rule, const RequestView& request)
{
    const std::vector<Rule> rules{std::move(rule)};
    const Matcher matcher(rules);
    if (!rules.front().is_purge()) return matcher.match_cache(request).rule != nullptr;
    std::vector<Matched> found;
    matcher.match_purge(request, found);
    return !found.empty();
}

std::string quoted(std::string_view text) { return '"' + std::string(text) + '"'; }

std::string written(const PathSegment& segment)
{
    switch (segment.kind) {
    case Kind::literal: return quoted(segment.text);
    case Kind::value: return "{" + segment.text + "}";
    case Kind::optional_value: return "{" + segment.text + "?}";
    case Kind::rest: return "{" + segment.text + "*}";
    }
    return {};
}

/// How far a path goes along with a rule's.
struct Walk {
    std::size_t fitting = 0;          // segments
    const PathSegment* at = nullptr;  // the first that does not fit; null: they all do
    std::string_view segment;         // the path's there; empty: it has ended
    std::string_view rest;            // what the path has more, without the "/" before it
    bool at_end = false;              // nothing is left on either side
};

Walk walk(const Rule& rule, std::string_view path) noexcept
{
    Walk along;
    std::string_view rest = path.empty() ? path : path.substr(1);
    for (const PathSegment& segment : rule.match.segments) {
        if (segment.kind == Kind::rest) {
            along.at_end = true;
            return along;
        }
        const std::size_t slash = std::min(rest.find('/'), rest.size());
        along.segment = rest.substr(0, slash);
        const bool is_absent = along.segment.empty();
        if (is_absent && segment.kind == Kind::optional_value) break;
        if (is_absent || (segment.kind == Kind::literal && along.segment != segment.text)) {
            along.at = &segment;
            return along;
        }
        rest.remove_prefix(std::min(slash + 1, rest.size()));
        ++along.fitting;
    }
    along.rest = rest;
    along.at_end = rest.empty();
    return along;
}

std::string path_mismatch(const Rule& rule, std::string_view path)
{
    if (!path.starts_with('/')) return "the target is no path";
    const Walk along = walk(rule, path);
    if (along.at && along.segment.empty()) return "the path ends before " + written(*along.at);
    if (along.at)
        return "segment " + std::to_string(along.fitting + 1) + " of the path is " + quoted(along.segment) + ", not " +
               written(*along.at);
    if (!along.rest.empty()) return "the path goes on with " + quoted(along.rest);
    const auto& segments = rule.match.segments;
    if (!segments.empty() && segments.back().kind == Kind::rest)
        return "the path ends before the \"/\" that " + written(segments.back()) + " stands behind";
    return path.ends_with('/') ? "the path ends with \"/\", and the rule's does not"
                               : "the path does not end with \"/\", as the rule's does";
}

std::string condition_text(std::string_view kind, const Condition& condition)
{
    std::string text = std::string(kind) + " " + condition.name;
    return text + (condition.equals ? " is not " + quoted(*condition.equals) : " is not there");
}

}  // namespace

std::string match_text(const Match& match)
{
    std::string text;
    for (const std::string& method : match.methods) (text += text.empty() ? "" : "|") += method;
    return text + ' ' + match.host + match.path_text;
}

std::size_t nearness(const Rule& rule, std::string_view path) noexcept
{
    const Walk along = walk(rule, path);
    return along.fitting * 2 + (along.at ? 0 : 1) + (along.at_end ? 1 : 0);
}

std::string mismatch(const Rule& rule, const RequestView& request)
{
    if (fits(rule, request)) return {};
    // One part after the other is put right, until what is left is what was wrong.
    Rule bare = rule;
    bare.match.headers.clear();
    bare.match.query.clear();
    bare.match.host.clear();
    bare.match.methods = {std::string(request.head->method_text)};
    const bool path_fits = fits(bare, request);

    Rule with = bare;
    with.match.methods = rule.match.methods;
    if (path_fits && !fits(with, request)) {
        std::string methods;
        for (const std::string& method : rule.match.methods) (methods += methods.empty() ? "" : "|") += method;
        return "it is for " + methods + ", not " + std::string(request.head->method_text);
    }
    with = bare;
    with.match.host = rule.match.host;
    if (path_fits && !fits(with, request))
        return "it is for the host " + rule.match.host + ", not " +
               (request.host.empty() ? "a request without one" : std::string(request.host));
    if (!path_fits) return path_mismatch(rule, request.path);
    for (const Condition& condition : rule.match.query) {
        with = bare;
        with.match.query = {condition};
        if (!fits(with, request)) return condition_text("the query parameter", condition);
    }
    for (const Condition& condition : rule.match.headers) {
        with = bare;
        with.match.headers = {condition};
        if (!fits(with, request)) return condition_text("the header", condition);
    }
    return "its parts do not fit together";
}

}  // namespace larder::rules
