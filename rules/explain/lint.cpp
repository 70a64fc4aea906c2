#include <algorithm>

#include "rules/explain/explain.hpp"
#include "rules/explain/shape.hpp"
#include "rules/pattern/pattern.hpp"

namespace larder::rules {

namespace {

using Kind = PathSegment::Kind;
using Segments = std::vector<PathSegment>;

/// A path template as the one or two it stands for: with and without its optional value.
std::vector<Segments> forms_of(const Segments& segments)
{
    if (segments.empty() || segments.back().kind != Kind::optional_value) return {segments};
    Segments with = segments, without = segments;
    with.back().kind = Kind::value;
    without.pop_back();
    return {with, without};
}

/// Does every path of `inner` fit `outer`, too? Says no when it is not sure.
bool form_covers(const Segments& outer, bool outer_slash, const Segments& inner, bool inner_slash)
{
    const bool inner_rest = !inner.empty() && inner.back().kind == Kind::rest;
    for (std::size_t i = 0; i < outer.size(); ++i) {
        if (outer[i].kind == Kind::rest) return i < inner.size() || (i == inner.size() && (inner_slash || i == 0));
        if (i >= inner.size() || inner[i].kind == Kind::rest) return false;
        if (outer[i].kind == Kind::literal && (inner[i].kind != Kind::literal || inner[i].text != outer[i].text))
            return false;
    }
    return outer.size() == inner.size() && !inner_rest && (outer_slash == inner_slash || outer.empty());
}

bool has_method(const Match& match, std::string_view method)
{
    return std::find(match.methods.begin(), match.methods.end(), method) != match.methods.end();
}

bool conditions_cover(const std::vector<Condition>& outer, const std::vector<Condition>& inner)
{
    return std::all_of(outer.begin(), outer.end(), [&](const Condition& wanted) {
        return std::any_of(inner.begin(), inner.end(), [&](const Condition& given) {
            return given.name == wanted.name && (!wanted.equals || given.equals == wanted.equals);
        });
    });
}

const Template& key_of(const Rule& rule) { return rule.key ? *rule.key : default_key(); }

/// A rule with what the comparisons want of it. There are as many as there are pairs of rules: nothing is made in them.
struct Reading {
    explicit Reading(const Rule& read)
        : rule(read), forms(forms_of(read.match.segments)), key_uses_path(key_of(read).uses(Source::path))
    {
        if (!read.is_purge()) key_shape = shape_of(key_of(read));
        for (const Template& pattern : read.purge) purge_shapes.push_back(shape_of(pattern));
    }

    const Rule& rule;
    std::vector<Segments> forms;
    std::string key_shape;  ///< empty for a purge rule
    bool key_uses_path;
    std::vector<std::string> purge_shapes;
};

bool path_covers(const Reading& outer, const Reading& inner)
{
    return std::all_of(inner.forms.begin(), inner.forms.end(), [&](const Segments& in) {
        return std::any_of(outer.forms.begin(), outer.forms.end(), [&](const Segments& out) {
            return form_covers(out, outer.rule.match.trailing_slash, in, inner.rule.match.trailing_slash);
        });
    });
}

bool covers(const Reading& outer_rule, const Reading& inner_rule)
{
    const Match& outer = outer_rule.rule.match;
    const Match& inner = inner_rule.rule.match;
    return path_covers(outer_rule, inner_rule) && (has_method(outer, "GET") || !has_method(inner, "GET")) &&
           (outer.host.empty() || outer.host == inner.host) && conditions_cover(outer.headers, inner.headers) &&
           conditions_cover(outer.query, inner.query);
}

bool key_has_value(const Template& key, std::string_view name)
{
    return key.uses(Source::path) || std::any_of(key.parts.begin(), key.parts.end(), [&](const TemplatePart& part) {
               return part.source == Source::path_value && part.name == name;
           });
}

/// Could keys of the two shapes be the same? Values hold no ":", so that the parts between ":" are compared one by one.
bool keys_may_meet(std::string_view left, std::string_view right)
{
    for (;;) {
        const std::size_t end_a = left.find(':'), end_b = right.find(':');
        if (!may_overlap(left.substr(0, end_a), right.substr(0, end_b))) return false;
        if (end_a == std::string_view::npos || end_b == std::string_view::npos) return end_a == end_b;
        left.remove_prefix(end_a + 1);
        right.remove_prefix(end_b + 1);
    }
}

class Linter {
  public:
    explicit Linter(const std::vector<Rule>& rules) : readings_(rules.begin(), rules.end()) {}

    std::vector<LintNote> run()
    {
        for (const Reading& reading : readings_) {
            const Rule& rule = reading.rule;
            if (rule.is_purge()) {
                check_purge(reading);
                continue;
            }
            if (!has_method(rule.match, "GET") && !has_method(rule.match, "HEAD"))
                note(rule, "never used: only GET and HEAD are answered from the cache");
            check_shadow(reading);
            if (rule.cache) check_key(reading), check_life(reading);
        }
        return std::move(notes_);
    }

  private:
    void note(const Rule& rule, std::string text)
    {
        notes_.push_back({rule.place, "rule " + rule.name + ": " + std::move(text)});
    }

    void check_shadow(const Reading& reading)
    {
        for (const Reading& earlier : readings_) {
            if (&earlier == &reading) return;
            if (earlier.rule.is_purge() || !covers(earlier, reading)) continue;
            return note(reading.rule, "can never match, because " + earlier.rule.name +
                                          " before it takes all its requests; put it first");
        }
    }

    void check_key(const Reading& reading)
    {
        const Rule& rule = reading.rule;
        const Template& key = key_of(rule);
        for (const PathSegment& segment : rule.match.segments)
            if (segment.kind != Kind::literal && !key_has_value(key, segment.text))
                note(rule, "the key " + key.text + " lacks {" + segment.text +
                               "} of the path, so that paths which differ there share one entry");
        for (const Reading& earlier : readings_) {
            if (&earlier == &reading) break;
            if (earlier.rule.is_purge() || !earlier.rule.cache || (reading.key_uses_path && earlier.key_uses_path))
                continue;
            if (keys_may_meet(reading.key_shape, earlier.key_shape))
                note(rule, "its key " + key.text + " can be the same as that of " + earlier.rule.name + ", " +
                               key_of(earlier.rule).text + "; begin the keys of each rule with a word of its own");
        }
        if (rule.shared && rule.cache_control == CacheControlMode::override_ && !key.has_identity())
            note(rule,
                 "shared: true with cache_control: override stores what the origin marks as private, and shows it to "
                 "everybody");
    }

    void check_life(const Reading& reading)
    {
        const Rule& rule = reading.rule;
        constexpr Milliseconds long_life = std::chrono::hours{1};
        Milliseconds longest = rule.ttl.any.value_or(Milliseconds{0});
        for (const auto& [status, ttl] : rule.ttl.status) longest = std::max(longest, ttl);
        if (longest <= long_life) return;
        for (const Reading& other : readings_)
            for (const std::string& shape : other.purge_shapes)
                if (may_overlap(shape, reading.key_shape)) return;
        note(rule, "kept for more than an hour, and no rule purges it; add a purge rule or shorten ttl");
    }

    void check_purge(const Reading& reading)
    {
        const Rule& rule = reading.rule;
        for (std::size_t i = 0; i < rule.purge.size(); ++i) {
            const Template& pattern = rule.purge[i];
            const std::string& shape = reading.purge_shapes[i];
            const bool used = std::any_of(readings_.begin(), readings_.end(), [&](const Reading& other) {
                return !other.rule.is_purge() && other.rule.cache && may_overlap(shape, other.key_shape);
            });
            if (!used) note(rule, "purge \"" + pattern.text + "\" fits no rule's key, so that it purges nothing");
            if (rule.fence == Fence::both) check_width(rule, pattern, shape);
        }
    }

    /// Patterns that take more from the cache while a write is under way than one thing: those with a `*` that no value
    /// of the write stands before, when they fit the keys of several rules.
    void check_width(const Rule& rule, const Template& pattern, const std::string& shape)
    {
        const bool covers_all = shape.starts_with('*') && shape.find(':') == std::string::npos;
        const auto open = std::find_if(pattern.parts.begin(), pattern.parts.end(),
                                       [](const TemplatePart& part) { return part.source != Source::literal; });
        const bool wide = open != pattern.parts.end() && open->source == Source::wildcard;
        if (!covers_all && !wide) return;
        std::vector<const Rule*> taken;
        for (const Reading& other : readings_)
            if (!other.rule.is_purge() && other.rule.cache && may_overlap(shape, other.key_shape))
                taken.push_back(&other.rule);
        if (!covers_all && taken.size() < 2) return;
        std::string text = "purge \"" + pattern.text + "\" covers " +
                           (covers_all ? "every key" : "keys of several rules") +
                           ": while such a write is under way, reads of " + names_of(taken) + " pass by; ";
        note(rule, text + "name what it changes, one pattern for each rule" + narrower_example(taken) +
                       ", or say fence: after if that is everything");
    }

    static std::string names_of(const std::vector<const Rule*>& taken)
    {
        constexpr std::size_t most = 6;
        std::string names;
        for (std::size_t i = 0; i < taken.size() && i < most; ++i) (names += i == 0 ? "" : ", ") += taken[i]->name;
        if (taken.size() > most) names += " and " + std::to_string(taken.size() - most) + " more";
        return names.empty() ? "all keys" : names;
    }

    /// ` (such as "event:*")`: the shape of a key that begins with a word of its own.
    static std::string narrower_example(const std::vector<const Rule*>& taken)
    {
        for (const Rule* rule : taken) {
            const Template& key = key_of(*rule);
            if (!key.parts.empty() && key.parts.front().source == Source::literal)
                return " (such as \"" + shape_of(key) + "\")";
        }
        return {};
    }

    std::vector<Reading> readings_;
    std::vector<LintNote> notes_;
};

}  // namespace

std::vector<LintNote> lint(const std::vector<Rule>& rules) { return Linter(rules).run(); }

}  // namespace larder::rules
