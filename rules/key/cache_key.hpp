// Request → key, and write → purge patterns. Values are escaped here, so no request can reach another's key.
#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rules/match/matcher.hpp"

namespace larder::rules {

/// Fills in the rule's key template. Appends to `key`. A value that is absent and has no fallback is filled in as the
/// empty value; `{query.x}` takes the first parameter of that name, percent-decoded; repeated parameters named by the key
/// make `repeated_parameter` true (the caller passes such a request by: two servers may read it differently).
struct KeyNotes {
    bool repeated_parameter = false;
};
KeyNotes append_key(std::string& key, const Rule& rule, const RequestView& request, const PathValues& values);

/// The first query parameter that the rule's key does not name and `ignore_query` does not list; empty: none.
std::string_view unnamed_parameter(const Rule& rule, const RequestView& request);

/// What a purge template may take from the write itself and from its response.
struct WriteValues {
    const boost::json::value* body = nullptr;     // null: none, too large or not JSON
    const Fields* response = nullptr;             // null: not there yet
};

/// One filled-in purge template.
struct PurgeTarget {
    std::string text;     // a pattern when `exact` is false, else the key itself (unescaped)
    bool exact = true;
    bool widened = false; // a value was missing, `*` stands in its place
};

/// Fills in every purge template of a rule. A missing value widens to `*`; a template that uses an absent `{id?}` is
/// left out; templates that use `{response…}` are widened while `write.response` is null.
void append_purge_targets(std::vector<PurgeTarget>& targets, const Rule& rule, const RequestView& request,
                          const PathValues& values, const WriteValues& write);

/// Does any of the rule's purge templates need the request's body, or the response?
bool needs_body(const Rule& rule) noexcept;
bool needs_response(const Rule& rule) noexcept;

}  // namespace larder::rules
