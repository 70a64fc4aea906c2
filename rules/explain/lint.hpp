// `larder check`: what is allowed in a configuration and probably not meant. Each finding has a name, by which it can
// be silenced. Only rules are looked at, never a request.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rules/verdict/judge_request.hpp"

namespace larder::rules {

/// A warning is probably a mistake. A note is worth knowing, and often meant.
enum class LintLevel : std::uint8_t { warning, note };

// Columns: name, word, level it has as a rule, what it finds.
#define LARDER_LINTS(X)                                                                                                \
    X(no_purge, "no-purge", note,                                                                                      \
      "a rule with a ttl whose keys no purge rule reaches: a write is seen when the ttl has passed. A warning when a " \
      "purge rule for the same path reaches other keys only")                                                          \
    X(long_ttl_without_purge, "long-ttl-without-purge", warning,                                                       \
      "a ttl above an hour, and no purge rule reaches the keys")                                                       \
    X(dead_purge, "dead-purge", warning,                                                                               \
      "a purge pattern that fits no rule's key, or only when a value of the write is missing")                         \
    X(shadowed_rule, "shadowed-rule", warning, "a rule that never matches, because an earlier one takes its requests") \
    X(identity_not_keyed, "identity-not-keyed", warning,                                                               \
      "a rule that sees who asks (in match, in its path, in a part of its key) and has a key that does not tell "      \
      "users "                                                                                                         \
      "apart: it shares one user's answer, or caches nothing")                                                         \
    X(shared_private, "shared-private", warning,                                                                       \
      "shared: true with cache_control: override: what the origin marks as private is shown to everybody")             \
    X(unbounded_query_key, "unbounded-query-key", warning,                                                             \
      "a key with {query}: each new parameter makes a new key, so anybody can fill the cache. A note when it is the "  \
      "default key")                                                                                                   \
    X(path_value_not_keyed, "path-value-not-keyed", warning,                                                           \
      "a key without one of the path's values: different paths share one response")                                    \
    X(key_collision, "key-collision", warning, "two rules whose keys can be the same")                                 \
    X(wide_purge, "wide-purge", warning,                                                                               \
      "a purge pattern that takes the keys of several rules from the cache while its write runs")                      \
    X(useless_option, "useless-option", warning, "an option that changes nothing beside the others of its rule")

enum class Lint : std::uint8_t {
#define X(name, word, level, text) name,
    LARDER_LINTS(X)
#undef X
};

struct LintKind {
    std::string_view word;
    LintLevel level;
    std::string_view text;  ///< what it finds
};
/// All of them, in the order of the enumeration.
const std::vector<LintKind>& lint_kinds();
std::string_view word(Lint lint) noexcept;
/// Empty: there is no such word.
std::optional<Lint> lint_of(std::string_view word) noexcept;

struct LintNote {
    Lint lint = Lint::no_purge;
    LintLevel level = LintLevel::warning;
    std::uint32_t rule = 0;   ///< its place among all rules
    std::string_view option;  ///< of the rule, that it is about: "purge"; empty: the rule
    std::size_t item = 0;     ///< of a list: which
    std::string text;         ///< what, why it matters, what to write instead
};
/// In the order of the rules. What a rule lists under `ignore_lint` is left out.
std::vector<LintNote> lint(const std::vector<Rule>& rules, CacheMode mode = CacheMode::rules);

}  // namespace larder::rules
