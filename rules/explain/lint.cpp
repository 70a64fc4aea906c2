#include "rules/explain/lint.hpp"

#include <algorithm>
#include <iterator>

#include "rules/base/text.hpp"
#include "rules/explain/reach.hpp"
#include "rules/explain/shape.hpp"

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

std::vector<Shape> shapes_of(const std::vector<Template>& texts, bool widened)
{
    std::vector<Shape> shapes;
    for (const Template& text : texts) shapes.emplace_back(text, widened);
    return shapes;
}

/// A rule with what the comparisons want of it. There are as many as there are pairs of rules: nothing is made in them.
struct Reading {
    explicit Reading(const Rule& read)
        : rule(read),
          forms(forms_of(read.match.segments)),
          key(read.is_purge() ? Shape() : Shape(read)),
          key_uses_path(key_template(read).uses(Source::path)),
          purges(shapes_of(read.purge, false)),
          widened_purges(shapes_of(read.purge, true))
    {
    }
    bool stores() const noexcept { return !rule.is_purge() && rule.cache; }

    const Rule& rule;
    std::vector<Segments> forms;
    Shape key;  ///< empty for a purge rule
    bool key_uses_path;
    std::vector<Shape> purges, widened_purges;
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

/// The literals that a path begins with.
std::vector<std::string_view> stem_of(const Match& match)
{
    std::vector<std::string_view> stem;
    for (const PathSegment& segment : match.segments) {
        if (segment.kind != Kind::literal) break;
        stem.push_back(segment.text);
    }
    return stem;
}

std::string text_of(const Match& match)
{
    std::string text;
    for (const std::string& method : match.methods) (text += text.empty() ? "" : "|") += method;
    return text + ' ' + match.path_text;
}

/// Is one of the words in the name, as a word of its own: "X-Tenant-Id", "tenantId", "api_version"?
bool has_word(std::string_view name, const std::string_view* begin, const std::string_view* end)
{
    std::string word;
    bool found = false;
    const auto close = [&] {
        found = found || std::find(begin, end, word) != end;
        word.clear();
    };
    for (std::size_t i = 0; i < name.size(); ++i) {
        const bool is_hump = i > 0 && name[i] != lower(name[i]) && name[i - 1] == lower(name[i - 1]);
        if (is_hump || name[i] == '-' || name[i] == '_' || name[i] == '.') close();
        if (is_alpha(name[i])) word += lower(name[i]);
    }
    close();
    return found;
}

/// Many have the same value in it: a key with it alone keeps groups apart, not users.
bool names_a_group(const TemplatePart& part)
{
    static constexpr std::string_view words[] = {
        "tenant",   "org",     "organization", "organisation", "company",  "workspace",  "team",
        "group",    "version", "locale",       "lang",         "language", "country",    "region",
        "city",     "geo",     "device",       "platform",     "os",       "currency",   "market",
        "channel",  "brand",   "theme",        "variant",      "bucket",   "experiment", "consent",
        "timezone", "tz",      "format",       "mode",         "env",      "scheme",     "protocol"};
    return part.names_somebody() && has_word(part.name, std::begin(words), std::end(words));
}

/// `/api/me/orders`, `/account`: the path says that the answer is the caller's own.
const PathSegment* own_segment(const Match& match)
{
    static constexpr std::string_view words[] = {"me",           "my",           "mine",   "self",   "myself",
                                                 "current-user", "current_user", "whoami", "account"};
    for (const PathSegment& segment : match.segments)
        if (segment.kind == Kind::literal &&
            std::find(std::begin(words), std::end(words), segment.text) != std::end(words))
            return &segment;
    return nullptr;
}

class Linter {
  public:
    Linter(const std::vector<Rule>& rules, CacheMode mode)
        : mode_(mode), first_(rules.data()), readings_(rules.begin(), rules.end())
    {
    }

    std::vector<LintNote> run()
    {
        for (const Reading& reading : readings_) {
            if (reading.rule.is_purge()) {
                check_purge(reading);
                continue;
            }
            if (check_shadow(reading)) continue;
            check_options(reading.rule);
            if (reading.stores()) check_key(reading), check_identity(reading.rule), check_life(reading);
        }
        return std::move(notes_);
    }

  private:
    void note(Lint lint, const Rule& rule, std::string_view option, std::string text, std::size_t item = 0)
    {
        note(lint, lint_kinds()[static_cast<std::size_t>(lint)].level, rule, option, std::move(text), item);
    }
    void note(Lint lint, LintLevel level, const Rule& rule, std::string_view option, std::string text,
              std::size_t item = 0)
    {
        const auto& ignored = rule.ignore_lint;
        if (std::find(ignored.begin(), ignored.end(), word(lint)) != ignored.end()) return;
        notes_.push_back({lint, level, static_cast<std::uint32_t>(&rule - first_), option, item,
                          "rule " + rule.name + ": " + std::move(text)});
    }

    /// Never used: nothing else matters then.
    bool check_shadow(const Reading& reading)
    {
        for (const Reading& earlier : readings_) {
            if (&earlier == &reading) return false;
            if (earlier.rule.is_purge() || !covers(earlier, reading)) continue;
            const bool is_same = covers(reading, earlier);
            note(Lint::shadowed_rule, reading.rule, "match",
                 "can never match, because " + earlier.rule.name + " before it takes all its requests; " +
                     (is_same ? "they match the same: remove one of them" : "put it first"));
            return true;
        }
        return false;
    }

    void check_key(const Reading& reading)
    {
        const Rule& rule = reading.rule;
        const Template& key = key_template(rule);
        for (const PathSegment& segment : rule.match.segments)
            if (segment.kind != Kind::literal && !key_has_value(key, segment.text))
                note(Lint::path_value_not_keyed, rule, "key",
                     "the key " + key.text + " lacks {" + segment.text +
                         "} of the path, so that paths which differ there share one entry; write {" + segment.text +
                         "} into the key");
        for (const Reading& earlier : readings_) {
            if (&earlier == &reading) break;
            if (!earlier.stores() || (reading.key_uses_path && earlier.key_uses_path)) continue;
            if (reading.key.overlaps(earlier.key))
                note(Lint::key_collision, rule, "key",
                     "its key " + key.text + " can be the same as that of " + earlier.rule.name + ", " +
                         key_template(earlier.rule).text + "; begin the keys of each rule with a word of its own");
        }
        check_query(rule, key);
    }

    void check_query(const Rule& rule, const Template& key)
    {
        if (!key.uses(Source::query)) return;
        const std::string cost =
            "each new parameter makes a new key, so that anybody can fill the cache with responses that nobody wants; ";
        if (rule.key)
            note(Lint::unbounded_query_key, rule, "key",
                 "the key takes all query parameters ({query}): " + cost +
                     "name those that matter, as in {query.page|1}: a request with another one then passes by, or "
                     "is stored without it where ignore_query lists it");
        else
            note(Lint::unbounded_query_key, LintLevel::note, rule, "",
                 "without key: the name of a response is " + key.text + ", with all query parameters: " + cost +
                     "write a key with those that matter, as in key: " + rule.name + ":{query.page|1}");
    }

    /// Where it is seen who asks, and the key does not say it.
    void check_identity(const Rule& rule)
    {
        const Template& key = key_template(rule);
        const auto keyed = [&key](std::string_view header) {
            const bool is_cookie = equals_ignoring_case(header, "cookie");
            return std::any_of(key.parts.begin(), key.parts.end(), [&](const TemplatePart& part) {
                return (is_cookie && part.source == Source::cookie) ||
                       (part.source == Source::header && equals_ignoring_case(part.name, header));
            });
        };
        const bool overrides = rule.shared && rule.cache_control == CacheControlMode::override_ && !key.has_identity();
        if (overrides)
            note(Lint::shared_private, rule, "shared",
                 "shared: true with cache_control: override stores what the origin marks as private, and shows it to "
                 "everybody; leave one of the two out, or put {cookie.NAME} or {header.Authorization} into the key");

        bool told = false;
        for (const Condition& condition : rule.match.headers) {
            const TemplatePart part{Source::header, condition.name, std::nullopt, 0};
            if (condition.equals || !part.names_somebody() || keyed(condition.name)) continue;
            const bool is_login =
                equals_ignoring_case(condition.name, "authorization") || equals_ignoring_case(condition.name, "cookie");
            const std::string placeholder =
                equals_ignoring_case(condition.name, "cookie") ? "{cookie.NAME}" : "{header." + condition.name + "}";
            // A login that the key does not name passes by; of other headers Larder cannot know that they are one.
            if (is_login && !rule.shared && !key.has_identity())
                note(Lint::identity_not_keyed, rule, "key",
                     "match wants " + condition.name +
                         ", and the key names nobody, so that every request passes by; put " + placeholder +
                         " into the key, or say shared: true if all may see the same");
            else if (!is_login || rule.shared)
                note(Lint::identity_not_keyed, rule, "key",
                     "match wants " + condition.name +
                         " with any value, and the key does not have it: all values share "
                         "one response; put " +
                         placeholder + " into the key");
            else
                continue;
            told = true;
        }
        if (told || overrides) return;

        if (const PathSegment* own = own_segment(rule.match); own && !key.has_identity()) {
            note(Lint::identity_not_keyed, rule, "key",
                 "the path says \"" + own->text +
                     "\", which is another page for each user, and the key names nobody: " +
                     (rule.shared ? "with shared: true one user's page is shown to all"
                                  : "requests with a login pass by, so that nothing is cached for them") +
                     "; put {cookie.NAME}, {header.Authorization} or the header that names the user into the key, or "
                     "say cache: off");
            return;
        }

        if (rule.shared) return;
        const TemplatePart* group = nullptr;
        for (const TemplatePart& part : key.parts) {
            if (!part.names_somebody()) continue;
            if (!names_a_group(part)) return;  // the one beside it tells users apart
            group = &part;
        }
        if (!group) return;
        const std::string placeholder = (group->source == Source::cookie ? "{cookie." : "{header.") + group->name + "}";
        note(Lint::identity_not_keyed, rule, "key",
             placeholder +
                 " in the key counts as the name of who asks, so that requests with Authorization or Cookie "
                 "are cached: all users with the same value share one response. Put {header.Authorization} "
                 "or the login's {cookie.NAME} into the key as well, or say shared: true if they may");
    }

    /// Can the pattern match one of the keys, as far as anybody would mean it? `event:*` is not meant for the key
    /// {host}:{path} of a host of that name.
    static bool fits(const Template& pattern, const Shape& shape, const Template& key, const Shape& key_shape)
    {
        const bool is_by_host = !key.parts.empty() && key.parts.front().source == Source::host;
        if (is_by_host && !pattern.parts.empty() && pattern.parts.front().source == Source::literal) {
            const std::string_view text = pattern.parts.front().name;
            const std::size_t colon = text.find(':');
            const std::string_view host = text.substr(0, colon);
            const bool is_host = host.find('.') != std::string_view::npos || host == "localhost";
            if (colon != std::string_view::npos && !is_host) return false;
        }
        return shape.overlaps(key_shape);
    }
    static bool fits(const Reading& purge, std::size_t i, const Reading& stored)
    {
        return fits(purge.rule.purge[i], purge.purges[i], key_template(stored.rule), stored.key);
    }
    static bool fits_widened(const Reading& purge, std::size_t i, const Reading& stored)
    {
        return fits(purge.rule.purge[i], purge.widened_purges[i], key_template(stored.rule), stored.key);
    }

    void check_life(const Reading& reading)
    {
        const Rule& rule = reading.rule;
        constexpr Milliseconds long_life = std::chrono::hours{1};
        if (rule.tags_of_response) return;  // purged by what writes answer
        for (const Reading& other : readings_)
            for (std::size_t i = 0; i < other.rule.purge.size(); ++i)
                if (fits_widened(other, i, reading)) return;

        Milliseconds longest = rule.ttl.any.value_or(Milliseconds{0});
        for (const auto& [status, ttl] : rule.ttl.status) longest = std::max(longest, ttl);
        if (longest > long_life)
            return note(Lint::long_ttl_without_purge, rule, "ttl",
                        "kept for more than an hour, and no rule purges it: whoever reads after a change may see the "
                        "old response for so long; add a purge rule or shorten ttl");
        if (const Rule* write = write_beside(rule))
            return note(Lint::no_purge, LintLevel::warning, rule, "key",
                        "no rule purges it, though " + write->name + " is for writes to the same path (" +
                            text_of(write->match) + "); add a pattern for " + key_template(rule).text +
                            " to it, such as \"" + shape_of(key_template(rule)) + "\"");
        if (longest.count() > 0)
            note(Lint::no_purge, rule, "ttl",
                 "no rule purges it: who reads after a write may see the old response until its ttl has passed; add a "
                 "purge rule if something writes it");
    }

    /// A purge rule for the same resource.
    const Rule* write_beside(const Rule& rule) const
    {
        const auto stem = stem_of(rule.match);
        if (stem.empty()) return nullptr;
        for (const Reading& other : readings_) {
            if (!other.rule.is_purge() || stem_of(other.rule.match) != stem) continue;
            if (other.rule.match.host.empty() || other.rule.match.host == rule.match.host) return &other.rule;
        }
        return nullptr;
    }

    /// Options that are allowed together and say nothing together.
    void check_options(const Rule& rule)
    {
        const auto useless = [&](std::string_view option, std::string text) {
            note(Lint::useless_option, rule, option, std::move(text));
        };
        if (!rule.cache) {
            if (rule.ttl.given()) useless("ttl", "ttl changes nothing beside cache: off; remove one of them");
            return;
        }
        const Template& key = key_template(rule);
        if (rule.query_policy == QueryPolicy::ignore && key.uses(Source::query))
            useless("query",
                    "query: ignore changes nothing, because the key takes all parameters ({query}); name those "
                    "that matter in the key, as in {query.page|1}, or write a key without {query}");
        if (rule.cache_control == CacheControlMode::override_ && !rule.ttl.given())
            useless("cache_control", "cache_control: override changes nothing without a ttl that wins; add ttl");
    }

    void check_purge(const Reading& reading)
    {
        const Rule& rule = reading.rule;
        for (std::size_t i = 0; i < rule.purge.size(); ++i) {
            check_dead(reading, i);
            if (rule.fence == Fence::both) check_width(reading, i);
        }
    }

    void check_dead(const Reading& reading, std::size_t i)
    {
        static const Shape default_shape{default_key()};
        const Reading *widened_fits = nullptr, *off_fits = nullptr;
        for (const Reading& other : readings_) {
            if (other.rule.is_purge()) continue;
            if (fits(reading, i, other)) {
                if (other.rule.cache) return;
                off_fits = &other;
            } else if (other.rule.cache && !widened_fits && fits_widened(reading, i, other)) {
                widened_fits = &other;
            }
        }
        const bool is_open = mode_ == CacheMode::respect_origin;  // stores without rules, under the default key
        const Template& pattern = reading.rule.purge[i];
        if (is_open && fits(pattern, reading.purges[i], default_key(), default_shape)) return;
        const std::string what = "purge \"" + pattern.text + "\" fits ";
        const std::string remedy = remedy_for_dead(pattern);
        if (widened_fits)
            return note(Lint::dead_purge, reading.rule, "purge",
                        what + "the key " + key_template(widened_fits->rule).text + " of " + widened_fits->rule.name +
                            " only when a value of the write is missing; " + remedy,
                        i);
        if (off_fits)
            return note(Lint::dead_purge, reading.rule, "purge",
                        what + "only the keys of " + off_fits->rule.name + ", which says cache: off; remove it", i);
        note(Lint::dead_purge, reading.rule, "purge", what + "no rule's key, so that it purges nothing; " + remedy, i);
    }

    /// What to write in place of a pattern that fits nothing: the nearest that would.
    std::string remedy_for_dead(const Template& pattern) const
    {
        Template longer = pattern;
        longer.parts.push_back({Source::literal, ":", std::nullopt, 0});
        longer.parts.push_back({Source::wildcard, "*", std::nullopt, 0});
        const Shape shape(longer);
        const Reading* best = nullptr;
        std::size_t best_size = 0;
        for (const Reading& other : readings_) {
            if (!other.stores()) continue;
            if (fits(longer, shape, key_template(other.rule), other.key))
                return "write \"" + pattern.text + ":*\": the key of " + other.rule.name + " is " +
                       key_template(other.rule).text;
            const std::string &a = pattern.text, &b = key_template(other.rule).text;
            const auto same =
                static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
            if (same > best_size) best = &other, best_size = same;
        }
        if (best) return "the nearest key is that of " + best->rule.name + ": " + key_template(best->rule).text;
        return "write the key of the rule whose responses this changes, with * for what the write does not know";
    }

    /// Patterns that take more from the cache while a write is under way than one thing: those with a `*` that no value
    /// of the write stands before, when they fit the keys of several rules.
    void check_width(const Reading& reading, std::size_t i)
    {
        const Template& pattern = reading.rule.purge[i];
        const std::string text_shape = shape_of(pattern);
        const bool covers_all = text_shape.starts_with('*') && text_shape.find(':') == std::string::npos;
        const auto open = std::find_if(pattern.parts.begin(), pattern.parts.end(),
                                       [](const TemplatePart& part) { return part.source != Source::literal; });
        const bool wide = open != pattern.parts.end() && open->source == Source::wildcard;
        if (!covers_all && !wide) return;
        std::vector<const Rule*> taken;
        for (const Reading& other : readings_)
            if (other.stores() && fits(reading, i, other)) taken.push_back(&other.rule);
        if (!covers_all && taken.size() < 2) return;
        const std::string text = "purge \"" + pattern.text + "\" covers " +
                                 (covers_all ? "every key" : "keys of several rules") +
                                 ": while such a write is under way, reads of " + names_of(taken) + " pass by; ";
        note(Lint::wide_purge, reading.rule, "purge",
             text + "name what it changes, one pattern for each rule" + narrower_example(taken) +
                 ", or say fence: after if that is everything",
             i);
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
            const Template& key = key_template(*rule);
            if (!key.parts.empty() && key.parts.front().source == Source::literal)
                return " (such as \"" + shape_of(key) + "\")";
        }
        return {};
    }

    CacheMode mode_;
    const Rule* first_;  // Rule::index is for metrics, and may differ from the place
    std::vector<Reading> readings_;
    std::vector<LintNote> notes_;
};

}  // namespace

const std::vector<LintKind>& lint_kinds()
{
    static const std::vector<LintKind> kinds{
#define X(name, word, level, text) {word, LintLevel::level, text},
        LARDER_LINTS(X)
#undef X
    };
    return kinds;
}

std::string_view word(Lint lint) noexcept
{
    switch (lint) {
#define X(name, word, level, text) \
    case Lint::name: return word;
        LARDER_LINTS(X)
#undef X
    }
    return "unknown";
}

std::optional<Lint> lint_of(std::string_view name) noexcept
{
#define X(lint, word, level, text) \
    if (name == word) return Lint::lint;
    LARDER_LINTS(X)
#undef X
    return std::nullopt;
}

std::vector<LintNote> lint(const std::vector<Rule>& rules, CacheMode mode) { return Linter(rules, mode).run(); }

}  // namespace larder::rules
