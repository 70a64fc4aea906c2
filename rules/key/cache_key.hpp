// Request → key, and write → purge patterns. Values are escaped here, so no request can reach another's key.
#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rules/match/matcher.hpp"

namespace larder::rules {

/// Fills in the rule's key template. Appends to `key`. A value that is absent or empty becomes the fallback, else the
/// empty value. Path values and `{path}` are percent-decoded; `{query.x}` takes the first parameter of that name,
/// decoded as a form ("+" is a space); a header or cookie that stands several times gives all its values. Repeated
/// parameters named by the key, or pinned by `match`, make `repeated_parameter` true (the caller passes such a request
/// by: two servers may read it differently).
struct KeyNotes {
    bool repeated_parameter = false;
};
KeyNotes append_key(std::string& key, const Rule& rule, const RequestView& request, const PathValues& values);

/// The first query parameter that the rule's key does not name and `ignore_query` does not list; empty: none.
/// One with ";" in it is never ignored, because some servers split there; nor under `query: ignore` one that some
/// frameworks take for a named one ("page[]", "Page" for "page").
std::string_view unnamed_parameter(const Rule& rule, const RequestView& request);

/// All of them, each once, and the parameters that make an answer a `repeated_parameter`. For `explain`.
std::vector<std::string> unnamed_parameters(const Rule& rule, const RequestView& request);
std::vector<std::string> repeated_parameters(const Rule& rule, const RequestView& request);

/// Appends the query with which an answer for this key is asked for: what the key does not tell apart reaches the app
/// in one form, so that nobody can have an answer stored for all that a parameter of his own has shaped. Without
/// ignored and unnamed parameters (but with those that `match` wants), sorted, in one percent-encoding. Nothing when
/// none is left.
void append_fill_query(std::string& out, const Rule& rule, const RequestView& request);

/// Does the key hold an identity that this request has? A key with {cookie.sid} names nobody when there is no such
/// cookie: every bearer of an Authorization would share one entry.
bool names_requester(const Rule& rule, const RequestView& request);

/// Is it, with `_` for `-`, a header that the rule's key names? Some servers take the two for one, and the key's words
/// would not be those that shape the answer.
bool stands_for_named(const Rule& rule, std::string_view name);

/// What a purge template may take from the write itself and from its response.
struct WriteValues {
    const boost::json::value* body = nullptr;  // null: none, too large or not JSON
    const Fields* response = nullptr;          // null: there is none
    bool before_response = false;              // not there yet: templates that need it are left out for now
};

/// One filled-in purge template.
struct PurgeTarget {
    std::string text;  // a pattern when `exact` is false, else the key itself (unescaped)
    bool exact = true;
    bool widened = false;  // a value was missing, `*` stands in its place
};

/// Appends one unless it is there already.
void append_target(std::vector<PurgeTarget>& targets, PurgeTarget target);

/// A host in lower case and without a default port, so that one site is one.
std::string normalise_host(std::string_view host);
/// The same as it stands in a key.
void append_key_host(std::string& out, std::string_view host);

/// Fills in every purge template of a rule. Appends to `targets` what is not there yet. A missing value widens to `*`,
/// or takes the fallback where it is known to be absent; a template that uses an absent `{id?}` without fallback is
/// left out; templates that use `{response…}` are left out while `write.before_response`, and widened when
/// `write.response` is null. From a body: strings, integers and booleans. A fraction widens (1.5 or 1.50?), as do
/// objects and arrays.
void append_purge_targets(std::vector<PurgeTarget>& targets, const Rule& rule, const RequestView& request,
                          const PathValues& values, const WriteValues& write);

/// The key under which the rule may have stored a GET of this target. Appends to `targets` what is not there yet. `*`
/// stands for each header and cookie: nobody knows who has asked.
void append_target_key(std::vector<PurgeTarget>& targets, const Rule& rule, const RequestView& target,
                       const PathValues& values);

/// Does any of the rule's purge templates need the request's body, or the response?
bool needs_body(const Rule& rule) noexcept;
bool needs_response(const Rule& rule) noexcept;

}  // namespace larder::rules
