// What a rule is: the checked, immutable form of one entry under `rules:`. Made by config/, read by everything.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "rules/base/time.hpp"
#include "rules/http/head.hpp"
#include "rules/pattern/template.hpp"

namespace larder::rules {

/// One segment of a path template: `/api/events/{id?}`.
struct PathSegment {
    enum class Kind : std::uint8_t { literal, value, optional_value, rest } kind = Kind::literal;
    std::string text;  // the literal in normal form (normalise_path), or the name of the value
};

/// A condition on a header or query parameter of the request, from the mapping form of `match`.
struct Condition {
    std::string name;
    std::optional<std::string> equals;  // empty: it is enough that it is there
};

struct Match {
    std::vector<std::string> methods;   // upper case, at least one
    std::string path_text;              // as written
    std::vector<PathSegment> segments;  // of the path; empty for "/"
    bool trailing_slash = false;        // the template ends with "/": only such paths match
    std::string host;                   // lower case, without port; empty: any
    std::vector<Condition> headers;     // all must hold
    std::vector<Condition> query;       // all must hold
};

enum class CacheControlMode : std::uint8_t { respect, override_ };
/// What the directives of a request's Cache-Control do: nothing, so that no stranger can void the cache, or what RFC
/// 9111 §5.2.1 says.
enum class ClientCacheControl : std::uint8_t { ignore, respect };
enum class Fence : std::uint8_t { both, after };
enum class OnStoreError : std::uint8_t { forward, reject };
enum class QueryPolicy : std::uint8_t { strict, ignore };
/// How far one fetch of a missing key is shared: by all replicas, or by the requests of one process.
enum class Coalesce : std::uint8_t { fleet, process };

struct TtlTable {
    std::optional<Milliseconds> any;     // a plain `ttl`
    std::map<int, Milliseconds> status;  // `ttl: {200: 60s, 404: 10s}`

    bool given() const noexcept { return any || !status.empty(); }
    /// The rule's lifetime for a status; empty when the rule gives none. A plain `ttl` holds for 200, 203, 204, 300,
    /// 301, 308, and for 404 and 410 at a tenth.
    std::optional<Milliseconds> for_status(int status_code) const noexcept;
};

/// Where a rule stands in the file, for messages.
struct Place {
    int line = 0;    // from 1
    int column = 0;  // from 1
};

struct Rule {
    std::string name;
    std::uint32_t index = 0;  // row of its counters: its place in the file, from 0, or where its name was before
    Place place;
    Match match;
    bool cache = true;            // `cache: off`: matching requests pass by, and no later rule is asked
    std::optional<Template> key;  // omitted: host, path and sorted query
    TtlTable ttl;
    Milliseconds stale_while_revalidate{0};
    Milliseconds stale_if_error{0};
    CacheControlMode cache_control = CacheControlMode::respect;
    Coalesce coalesce = Coalesce::fleet;
    std::optional<ClientCacheControl> client_cache_control;  // empty: what the whole process does
    bool shared = false;
    bool strip_set_cookie = false;
    bool tags_of_response = false;  // `tags: response`: Surrogate-Key, Cache-Tag and xkey name groups
    QueryPolicy query_policy = QueryPolicy::strict;
    std::vector<std::string> ignore_query;  // names, or prefixes ending in '*'
    std::vector<std::string> ignore_lint;   // words of findings that are meant here: rules/explain/lint.hpp
    std::vector<Template> purge;            // not empty: a purge rule
    Fence fence = Fence::both;
    OnStoreError on_store_error = OnStoreError::forward;
    Milliseconds settle{0};

    /// A rule with `purge` is a purge rule; every other one is a cache rule.
    bool is_purge() const noexcept { return !purge.empty(); }
};

/// The key template of a rule that gives none: `{host}:{path}:{query}`.
const Template& default_key();

}  // namespace larder::rules
