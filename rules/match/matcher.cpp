#include "rules/match/matcher.hpp"

#include <algorithm>
#include <array>
#include <boost/container/flat_map.hpp>
#include <cstdint>
#include <functional>
#include <limits>

#include "rules/base/text.hpp"
#include "rules/http/target.hpp"

namespace larder::rules {

namespace {

constexpr std::size_t longest_host = 255;  // bytes; DNS allows no longer name, so no rule can be meant

/// A host without port and without the final dot, in the case it came in.
std::string_view bare_host(std::string_view host) noexcept
{
    const std::size_t colon = host.rfind(':');
    if (colon != std::string_view::npos && host.find(']', colon) == std::string_view::npos)
        host = host.substr(0, colon);
    if (host.ends_with('.')) host.remove_suffix(1);
    return host;
}

/// Takes the first segment off `rest`, which begins after a "/".
std::string_view take_segment(std::string_view& rest) noexcept
{
    const std::size_t slash = rest.find('/');
    const std::string_view segment = rest.substr(0, slash);
    rest = slash == std::string_view::npos ? std::string_view{} : rest.substr(slash + 1);
    return segment;
}

bool path_matches(const Rule& rule, std::string_view path, PathValues& values)
{
    using Kind = PathSegment::Kind;
    if (path.empty() || path.front() != '/') return false;
    const auto& segments = rule.match.segments;
    const bool slash_at_end = path.size() > 1 && path.back() == '/';
    const bool takes_rest = !segments.empty() && segments.back().kind == Kind::rest;
    if (!takes_rest && !rule.is_purge() && path.size() > 1 && slash_at_end != rule.match.trailing_slash) return false;

    bool open = path.size() > 1;  // a "/" was read, and what follows it is in `rest`
    std::string_view rest = path.substr(1);
    if (slash_at_end && !takes_rest) rest.remove_suffix(1);
    for (const PathSegment& segment : segments) {
        if (segment.kind == Kind::rest) {
            // "/files" is not under "/files/": they are two resources, often one a redirect to the other.
            if (!open && !rule.is_purge() && path != "/") return false;
            values.add(segment.text, rest);
            return true;
        }
        if (!open || rest.empty()) return segment.kind == Kind::optional_value;
        const std::size_t slash = rest.find('/');
        open = slash != std::string_view::npos;
        const std::string_view text = take_segment(rest);
        if (segment.kind == Kind::literal ? text != segment.text : text.empty()) return false;
        if (segment.kind != Kind::literal) values.add(segment.text, text);
    }
    return !open;
}

bool method_matches(const Rule& rule, std::string_view method)
{
    const auto& methods = rule.match.methods;
    const auto named = [&methods](std::string_view name) {
        return std::find(methods.begin(), methods.end(), name) != methods.end();
    };
    return named(method) || (method == "HEAD" && named("GET"));
}

bool header_holds(const Condition& condition, const Fields& fields)
{
    return std::any_of(fields.all.begin(), fields.all.end(), [&](const Field& field) {
        return equals_ignoring_case(field.name, condition.name) &&
               (!condition.equals || field.value == *condition.equals);
    });
}

bool parameter_holds(const Condition& condition, std::string_view query)
{
    bool holds = false;
    for_each_parameter(query, [&](const Parameter& parameter) {
        holds = holds || (parameter_is(parameter.name, condition.name) &&
                          (!condition.equals || parameter_is(parameter.value, *condition.equals)));
    });
    return holds;
}

/// All conditions of a rule but those on header fields.
bool matches_target(const Rule& rule, const RequestView& request, PathValues& values)
{
    values.clear();
    const Match& match = rule.match;
    if (!method_matches(rule, request.head->method_text)) return false;
    if (!match.host.empty() && !equals_ignoring_case(bare_host(request.host), match.host)) return false;
    return path_matches(rule, request.path, values) &&
           std::all_of(match.query.begin(), match.query.end(),
                       [&](const Condition& condition) { return parameter_holds(condition, request.head->query); });
}

/// Sorted, because a place in a path has few names: comparing some costs less than a hash.
template <class T>
using ByText = boost::container::flat_map<std::string, T, std::less<>>;

using Indices = std::vector<std::uint32_t>;  // into the rules, ascending

/// The rules of one kind that a path reaches.
struct Candidates {
    Indices cache, purge;
    void add(const Rule& rule, std::uint32_t index) { (rule.is_purge() ? purge : cache).push_back(index); }
};

/// A place in a path: what was read so far. Trailing slashes play no part here; `matches_rule` looks at them.
struct Node {
    ByText<std::unique_ptr<Node>> literals;
    std::unique_ptr<Node> value;  // below any one segment
    Candidates ends;              // rules whose path ends here
    Candidates rests;             // rules that take whatever follows
};

void insert(Node& root, const Rule& rule, std::uint32_t index)
{
    Node* node = &root;
    auto step_into = [](std::unique_ptr<Node>& child) {
        if (!child) child = std::make_unique<Node>();
        return child.get();
    };
    for (const PathSegment& segment : rule.match.segments) {
        switch (segment.kind) {
        case PathSegment::Kind::literal: node = step_into(node->literals[segment.text]); break;
        case PathSegment::Kind::optional_value: node->ends.add(rule, index); [[fallthrough]];
        case PathSegment::Kind::value: node = step_into(node->value); break;
        case PathSegment::Kind::rest: node->rests.add(rule, index); return;
        }
    }
    node->ends.add(rule, index);
}

/// Calls `visit` with each list of candidates that the path leads to. `rest` is what follows the slashes read so far.
template <class Visit>
void walk(const Node& node, std::string_view rest, Visit& visit)
{
    visit(node.rests);
    if (rest.empty()) return visit(node.ends);
    const std::string_view segment = take_segment(rest);
    if (const auto literal = node.literals.find(segment); literal != node.literals.end())
        walk(*literal->second, rest, visit);
    if (node.value) walk(*node.value, rest, visit);
}

}  // namespace

struct Matcher::Tree {
    const std::vector<Rule>* rules = nullptr;
    Node any_host;
    ByText<std::unique_ptr<Node>> hosts;

    template <class Visit>
    void visit_candidates(const RequestView& request, Visit visit) const
    {
        if (request.path.empty() || request.path.front() != '/') return;
        const std::string_view rest = request.path.substr(1);
        walk(any_host, rest, visit);
        if (hosts.empty()) return;
        const std::string_view host = bare_host(request.host);
        if (host.size() > longest_host) return;
        std::array<char, longest_host> lowered;
        std::transform(host.begin(), host.end(), lowered.begin(), lower);
        if (const auto found = hosts.find(std::string_view{lowered.data(), host.size()}); found != hosts.end())
            walk(*found->second, rest, visit);
    }
};

Matcher::Matcher(const std::vector<Rule>& rules) : tree_(std::make_unique<Tree>())
{
    tree_->rules = &rules;
    for (std::uint32_t index = 0; index < rules.size(); ++index) {
        const Rule& rule = rules[index];
        Node* root = &tree_->any_host;
        if (!rule.match.host.empty()) {
            std::unique_ptr<Node>& of_host = tree_->hosts[rule.match.host];
            if (!of_host) of_host = std::make_unique<Node>();
            root = of_host.get();
        }
        insert(*root, rule, index);
    }
}
Matcher::~Matcher() = default;
Matcher::Matcher(Matcher&&) noexcept = default;
Matcher& Matcher::operator=(Matcher&&) noexcept = default;

Matched Matcher::match_cache(const RequestView& request) const
{
    Matched best;
    std::uint32_t best_index = std::numeric_limits<std::uint32_t>::max();
    tree_->visit_candidates(request, [&](const Candidates& candidates) {
        for (const std::uint32_t index : candidates.cache) {
            if (index >= best_index) return;
            const Rule& rule = (*tree_->rules)[index];
            PathValues values;
            if (!matches_rule(rule, request, best.rule ? values : best.values)) continue;
            if (best.rule) best.values = values;
            best.rule = &rule;
            best_index = index;
            return;
        }
    });
    return best;
}

void Matcher::match_target(const RequestView& target, std::vector<Matched>& found) const
{
    const auto first = static_cast<std::ptrdiff_t>(found.size());
    tree_->visit_candidates(target, [&](const Candidates& candidates) {
        for (const std::uint32_t index : candidates.cache) {
            Matched matched;
            if (!matches_target((*tree_->rules)[index], target, matched.values)) continue;
            matched.rule = &(*tree_->rules)[index];
            found.push_back(matched);
        }
    });
    std::sort(found.begin() + first, found.end(), [](const Matched& a, const Matched& b) { return a.rule < b.rule; });
    // The first that asks for no header field leaves nothing to those behind it.
    const auto last = std::find_if(found.begin() + first, found.end(),
                                   [](const Matched& one) { return one.rule->match.headers.empty(); });
    if (last != found.end()) found.erase(last + 1, found.end());
}

void Matcher::match_purge(const RequestView& request, std::vector<Matched>& found) const
{
    const std::size_t first = found.size();
    tree_->visit_candidates(request, [&](const Candidates& candidates) {
        for (const std::uint32_t index : candidates.purge) {
            Matched matched;
            if (!matches_rule((*tree_->rules)[index], request, matched.values)) continue;
            matched.rule = &(*tree_->rules)[index];
            found.push_back(matched);
        }
    });
    std::sort(found.begin() + static_cast<std::ptrdiff_t>(first), found.end(),
              [](const Matched& a, const Matched& b) { return a.rule < b.rule; });
}

bool matches_rule(const Rule& rule, const RequestView& request, PathValues& values)
{
    return matches_target(rule, request, values) &&
           std::all_of(rule.match.headers.begin(), rule.match.headers.end(),
                       [&](const Condition& condition) { return header_holds(condition, request.head->fields); });
}

}  // namespace larder::rules
