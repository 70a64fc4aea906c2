// `larder explain`: what would happen to a request, told by the same judges as the request path. A value with all facts
// first; text for people and JSON for programs are made of it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "rules/verdict/judge_request.hpp"

namespace larder::rules {

struct Explanation {
    struct RuleName {
        std::string name;
        int line = 0;       // in the file; 0: it stands in none
        std::string match;  // "GET /api/events/{id}"
    };
    struct Value {
        std::string name;
        std::optional<std::string> value;  // empty: absent
    };
    /// A placeholder of the key and what stands for it.
    struct KeyPart {
        std::string placeholder;  // {query.page|1}
        std::string from;         // "query parameter page"
        std::string value;        // as it came, decoded
        std::string escaped;      // as it stands in the key
        bool fallback = false;    // absent or empty: the fallback stands for it
    };
    /// Why something is so, and the switch that would change it.
    struct Reason {
        std::string_view word;  // of the tables in rules/verdict
        std::string text;
        std::string detail;  // what it is about: a parameter, or the condition under which it holds
        std::string change;  // empty: nothing does
    };
    struct Other {
        RuleName rule;
        std::string why;  // it was not chosen
    };
    struct Lifetime {
        std::string statuses;  // "200, 203, ..."
        Milliseconds ttl{0};
    };
    /// A purge rule that can purge the key.
    struct Purger {
        RuleName rule;
        std::string pattern;
        std::string example;        // "PUT /api/events/7"
        std::string with;           // values of the write that it needs: "{body.id} = 7"
        bool only_widened = false;  // only when a value of the write is missing
    };
    struct Purge {
        std::string pattern;  // as written
        bool left_out = false;
        std::string text;  // filled in
        bool exact = true;
        std::vector<std::string> widened_by;            // placeholders whose values are missing, or not known here
        bool sees_body = false, sees_response = false;  // it needs what explain does not see
        std::vector<RuleName> reaches;
    };
    struct Write {
        RuleName rule;
        std::vector<Value> values;
        std::vector<Purge> purges;
        Fence fence = Fence::both;
        OnStoreError on_store_error = OnStoreError::forward;
        Milliseconds settle{0};
        bool tags = false;
    };
    struct Voided {
        std::string text;
        bool exact = true;
    };

    std::string method, target;
    std::string path;  // in normal form
    bool path_is_ambiguous = false;
    std::string raw_path;
    CacheMode mode = CacheMode::rules;

    /// The head itself is refused; nothing else is known then.
    struct Refusal {
        int status = 400;
        std::string_view word, text;
    };
    std::optional<Refusal> refused;

    std::optional<RuleName> rule;
    std::vector<Value> values;
    std::vector<Other> others;  // the nearest, in file order
    std::size_t others_left_out = 0;

    bool has_key = false;
    std::string key, key_template;
    bool key_is_default = false;
    std::vector<KeyPart> key_parts;

    bool looked_up = false;             // else it passes by, or is a write
    std::vector<Reason> passes_by;      // all of them; the first is the one in Cache-Status
    std::vector<Reason> would_pass_by;  // `detail`: what would have to be added to the request
    std::vector<Reason> on_miss;        // when nothing is stored: forwarded and not stored
    std::vector<Reason> not_stored;     // `detail`: which responses are not
    std::string client_directives;      // what its Cache-Control does; empty: it has none

    std::vector<Lifetime> lifetimes;  // empty: only what the response says
    CacheControlMode cache_control = CacheControlMode::respect;
    std::optional<ClientCacheControl> client_cache_control;
    Milliseconds stale_while_revalidate{0}, stale_if_error{0};
    bool tags = false;
    std::vector<Purger> purged_by;

    bool is_write = false;
    std::vector<Write> writes;
    std::vector<Voided> voids;  // by RFC 9111 §4.4
    bool fenced = false, wide = false;
    std::vector<RuleName> meanwhile;  // whose GETs pass by while the write runs
};

/// The rules of a configuration, with what holds for the whole process.
struct Rulebook {
    const std::vector<Rule>& rules;
    const Matcher& matcher;
    CacheMode mode = CacheMode::rules;
    std::optional<ClientCacheControl> client_cache_control = {};  // of the top level
};

/// @param target   as on the command line: "/path?query" or "http://host/path"
/// @param headers  name, value
Explanation explain(const Rulebook& rulebook, std::string_view method, std::string_view target,
                    const std::vector<std::pair<std::string, std::string>>& headers);

/// Lines, each "word: text"; what belongs to the line before is indented.
std::string to_text(const Explanation& explanation);
/// One JSON document with the same facts.
std::string to_json(const Explanation& explanation);

}  // namespace larder::rules
