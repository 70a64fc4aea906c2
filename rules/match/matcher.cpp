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
[[gnu::always_inline]] inline std::string_view take_segment(std::string_view& rest) noexcept
{
    const char* const begin = rest.data();
    const char* const end = begin + rest.size();
    const char* at = begin;
    while (at != end && *at != '/') ++at;  // segments are short: std::find costs more
    rest = at == end ? std::string_view{} : std::string_view(at + 1, static_cast<std::size_t>(end - at) - 1);
    return {begin, static_cast<std::size_t>(at - begin)};
}

/// Takes `literal` off `rest` if it is the first segment, without looking for the segment's end first.
[[gnu::always_inline]] inline bool take_literal(std::string_view& rest, std::string_view literal) noexcept
{
    if (!same_text(rest.substr(0, literal.size()), literal)) return false;
    if (rest.size() == literal.size()) {
        rest = {};
        return true;
    }
    if (rest[literal.size()] != '/') return false;
    rest.remove_prefix(literal.size() + 1);
    return true;
}

bool method_matches(const Rule& rule, std::string_view method)
{
    const auto named = [&methods = rule.match.methods](std::string_view name) {
        for (const std::string& one : methods)
            if (same_text(one, name)) return true;
        return false;
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

/// Sorted, because a place in a path has few names: comparing some costs less than a hash.
template <class T>
using ByText = boost::container::flat_map<std::string, T, std::less<>>;

using Indices = std::vector<std::uint32_t>;  // into the rules, ascending

/// The rules of one kind that a path reaches.
struct Candidates {
    Indices cache, purge;
    bool empty() const noexcept { return cache.empty() && purge.empty(); }
    void add(const Rule& rule, std::uint32_t index) { (rule.is_purge() ? purge : cache).push_back(index); }
};

/// A place in a path: what was read so far. Trailing slashes play no part here; `end_matches` looks at them.
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

/// How a path led to a list of candidates.
struct Way {
    bool slash_at_end = false;  // of the whole path, which is more than "/"
    bool is_root = false;       // the whole path is "/"

    struct Value {
        const char* begin;
        std::size_t size;
    };
    std::array<Value, max_path_values> values;  // the segments that were taken for values; not zeroed
    std::size_t values_count = 0;
    bool open = false;      // a slash was read, and what follows it is `rest`
    std::string_view rest;  // of a rule that takes it
};

/// Calls `visit(candidates, way)` with each list of candidates that the path leads to. `rest` is what follows the
/// slashes read so far.
template <class Visit>
void walk(const Node& node, std::string_view rest, Way& way, Visit& visit)
{
    way.rest = rest;
    if (!node.rests.empty()) visit(node.rests, way);
    if (rest.empty()) return visit(node.ends, way);
    if (!node.value && node.literals.size() == 1) {
        const auto& [literal, below] = *node.literals.begin();
        way.open = rest.size() > literal.size();
        if (take_literal(rest, literal)) walk(*below, rest, way, visit);
        return;
    }
    if (!node.value && node.literals.empty()) return;
    const std::size_t size = rest.size();
    const std::string_view segment = take_segment(rest);
    way.open = segment.size() < size;
    if (!node.literals.empty())
        if (const auto literal = node.literals.find(segment); literal != node.literals.end())
            walk(*literal->second, rest, way, visit);
    if (node.value && !segment.empty()) {
        way.open = segment.size() < size;
        if (way.values_count < max_path_values) way.values[way.values_count] = {segment.data(), segment.size()};
        ++way.values_count;
        walk(*node.value, rest, way, visit);
        --way.values_count;
    }
}

/// May the path end as it does? "/files" is not under "/files/", nor "/events/" the same as "/events": they are two
/// resources, often one a redirect to the other.
bool end_matches(const Rule& rule, const Way& way)
{
    if (rule.is_purge()) return true;
    const auto& segments = rule.match.segments;
    if (!segments.empty() && segments.back().kind == PathSegment::Kind::rest) return way.open || way.is_root;
    return way.is_root || way.slash_at_end == rule.match.trailing_slash;
}

/// Names what the path has for the rule's values.
void take_values(const Rule& rule, const Way& way, PathValues& values)
{
    values.clear();
    std::size_t taken = 0;
    for (const PathSegment& segment : rule.match.segments) {
        if (segment.kind == PathSegment::Kind::literal) continue;
        if (segment.kind == PathSegment::Kind::rest)
            values.add(segment.text, way.rest);
        else if (taken < way.values_count && taken < max_path_values) {
            values.add(segment.text, {way.values[taken].begin, way.values[taken].size});
            ++taken;
        }
    }
}

/// Does a rule match that the host and the path have led to, but for conditions on header fields?
bool target_matches(const Rule& rule, const RequestView& request, const Way& way)
{
    if (!method_matches(rule, request.head->method_text) || !end_matches(rule, way)) return false;
    for (const Condition& condition : rule.match.query)
        if (!parameter_holds(condition, request.head->query)) return false;
    return true;
}

bool headers_match(const Rule& rule, const RequestView& request)
{
    for (const Condition& condition : rule.match.headers)
        if (!header_holds(condition, request.head->fields)) return false;
    return true;
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
        Way way;
        way.is_root = rest.empty();
        way.open = !rest.empty();
        way.slash_at_end = way.open && rest.back() == '/';
        walk(any_host, rest, way, visit);
        if (hosts.empty()) return;
        const std::string_view host = bare_host(request.host);
        if (host.size() > longest_host) return;
        std::array<char, longest_host> lowered;
        std::transform(host.begin(), host.end(), lowered.begin(), lower);
        way.open = !rest.empty();
        if (const auto found = hosts.find(std::string_view{lowered.data(), host.size()}); found != hosts.end())
            walk(*found->second, rest, way, visit);
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
    tree_->visit_candidates(request, [&](const Candidates& candidates, const Way& way) {
        for (const std::uint32_t index : candidates.cache) {
            if (index >= best_index) return;
            const Rule& rule = (*tree_->rules)[index];
            if (!target_matches(rule, request, way) || !headers_match(rule, request)) continue;
            best.rule = &rule;
            take_values(rule, way, best.values);
            best_index = index;
            return;
        }
    });
    return best;
}

void Matcher::match_target(const RequestView& target, std::vector<Matched>& found) const
{
    const auto first = static_cast<std::ptrdiff_t>(found.size());
    tree_->visit_candidates(target, [&](const Candidates& candidates, const Way& way) {
        for (const std::uint32_t index : candidates.cache) {
            const Rule& rule = (*tree_->rules)[index];
            if (!target_matches(rule, target, way)) continue;
            Matched& matched = found.emplace_back();
            matched.rule = &rule;
            take_values(rule, way, matched.values);
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
    const auto first = static_cast<std::ptrdiff_t>(found.size());
    tree_->visit_candidates(request, [&](const Candidates& candidates, const Way& way) {
        for (const std::uint32_t index : candidates.purge) {
            const Rule& rule = (*tree_->rules)[index];
            if (!target_matches(rule, request, way) || !headers_match(rule, request)) continue;
            Matched& matched = found.emplace_back();
            matched.rule = &rule;
            take_values(rule, way, matched.values);
        }
    });
    std::sort(found.begin() + first, found.end(), [](const Matched& a, const Matched& b) { return a.rule < b.rule; });
}

}  // namespace larder::rules
