// The words of every decision: the same in header, log, metric and `larder explain`. One table each.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace larder::rules {

/// Decided before the fetch.
enum class Verdict : std::uint8_t { hit, stale_hit, revalidate, miss, bypass };

// Why an exchange was not served from the cache. Columns: name, word, RFC 9211 `fwd` value, text, switch that changes
// it.
#define LARDER_FORWARD_REASONS(X)                                                                                    \
    X(method, "method", "method", "only GET and HEAD are answered from the cache", "")                               \
    X(no_rule, "no-rule", "bypass", "no cache rule matches", "add a rule")                                           \
    X(rule_off, "rule-off", "bypass", "the rule says cache: off", "cache: on")                                       \
    X(cache_off, "cache-off", "bypass", "LARDER_CACHE=off, or cache: off for the whole process", "LARDER_CACHE=on")  \
    X(authorization, "authorization", "request", "the request has Authorization and the key names nobody",           \
      "put {header.Authorization} or another identity into the key, or shared: true")                                \
    X(cookie, "cookie", "request", "the request has Cookie and the key names nobody",                                \
      "put {cookie.NAME} into the key, or shared: true")                                                             \
    X(query_parameter, "query-parameter", "request", "a query parameter is not named by the key",                    \
      "name it in the key, list it under ignore_query, or query: ignore")                                            \
    X(repeated_parameter, "repeated-parameter", "request", "a query parameter that the key names stands twice", "")  \
    X(ambiguous_path, "ambiguous-path", "request", "the path can be read in two ways", "")                           \
    X(request_body, "request-body", "request", "a GET with a body", "")                                              \
    X(upgrade, "upgrade", "request", "the client asks for another protocol", "")                                     \
    X(connection_option, "connection-option", "request", "Connection takes a field away that the upstream may need", \
      "")                                                                                                            \
    X(condition, "condition", "request", "If-Match and If-Unmodified-Since are for the app to judge", "")            \
    X(client_cache_control, "client-cache-control", "request",                                                       \
      "the request's Cache-Control does not allow what is stored", "client_cache_control: ignore")                   \
    X(only_if_cached, "only-if-cached", "", "the request wants a stored response or none",                           \
      "client_cache_control: ignore")                                                                                \
    X(range, "range", "request", "a Range of something that is not stored", "")                                      \
    X(partial, "partial", "partial", "what is stored is a part, and not the one that is asked for", "")              \
    X(store_away, "store-away", "bypass", "the store does not answer", "")                                           \
    X(write_open, "write-open", "bypass", "a write to this key is under way", "fence: after")                        \
    X(uncacheable, "uncacheable", "bypass", "the last answer to this key could not be stored", "")                   \
    X(uri_miss, "uri-miss", "uri-miss", "nothing is stored under this key", "")                                      \
    X(vary_miss, "vary-miss", "vary-miss", "stored, but for other request header values", "")                        \
    X(purged, "purged", "miss", "a write has purged this key", "")                                                   \
    X(stale, "stale", "stale", "the stored response has expired", "a longer ttl, or stale_while_revalidate")

enum class Forward : std::uint8_t {
    none,
#define X(name, word, fwd, text, change) name,
    LARDER_FORWARD_REASONS(X)
#undef X
};

// Why a response was not stored. Columns: name, word, text, switch that changes it.
#define LARDER_STORE_REASONS(X)                                                                                   \
    X(status, "status", "the rule gives no ttl for this status and the origin no lifetime", "ttl: {STATUS: ...}") \
    X(no_lifetime, "no-lifetime", "neither the origin nor the rule says how long", "ttl in the rule")             \
    X(no_store, "no-store", "Cache-Control: no-store", "")                                                        \
    X(is_private, "private", "Cache-Control: private", "cache_control: override")                                 \
    X(zero_lifetime, "zero-lifetime", "the lifetime is 0 and there is no validator", "cache_control: override")   \
    X(response_authorization, "authorization-not-public", "RFC 9111 3.5: the request had Authorization",          \
      "public or s-maxage from the origin, or cache_control: override")                                           \
    X(set_cookie, "set-cookie", "the response sets a cookie", "strip_set_cookie: true")                           \
    X(vary_any, "vary-any", "Vary: *", "")                                                                        \
    X(vary_changed, "vary-changed", "the 304 to a stored range varies by other fields than the range did", "")    \
    X(too_large, "too-large", "the body is above max_object", "max_object")                                       \
    X(partial, "partial", "a 206 is not the whole", "")                                                           \
    X(not_final, "not-final", "a 1xx, 304, 412 or 416 is no answer of its own", "")                               \
    X(incomplete, "incomplete", "the response was cut short", "")                                                 \
    X(close_delimited, "close-delimited",                                                                         \
      "only the close of the connection marks the body's end: cut or whole, nobody can tell",                     \
      "Content-Length or chunked from the origin")                                                                \
    X(fenced, "fenced", "a write purged this key while the response was on its way", "")                          \
    X(newer, "newer", "a newer response is stored already", "")                                                   \
    X(log_gap, "log-gap", "the purge log could not be read without a gap", "")                                    \
    X(store_failed, "store-failed", "the store did not take it", "")                                              \
    X(request_no_store, "request-no-store", "the request says no-store", "")                                      \
    X(must_understand, "must-understand", "must-understand with a status that Larder does not know", "")

enum class NotStored : std::uint8_t {
    none,
#define X(name, word, text, change) name,
    LARDER_STORE_REASONS(X)
#undef X
};

/// Recorded after the exchange.
// Columns: name, word.
#define LARDER_OUTCOMES(X)                \
    X(served, "served")                   \
    X(stored, "stored")                   \
    X(collapsed, "collapsed")             \
    X(passed, "passed")                   \
    X(revalidated, "revalidated")         \
    X(stale_on_error, "stale-on-error")   \
    X(refused, "refused")                 \
    X(upstream_failed, "upstream-failed") \
    X(client_gone, "client-gone")

enum class Outcome : std::uint8_t {
#define X(name, word) name,
    LARDER_OUTCOMES(X)
#undef X
};

std::string_view word(Verdict verdict) noexcept;
std::string_view word(Forward reason) noexcept;
/// The `fwd` parameter of RFC 9211 for a reason; empty when it is not forwarded.
std::string_view fwd(Forward reason) noexcept;
std::string_view text(Forward reason) noexcept;
/// The switch that would change it, in the operator's words; empty when there is none.
std::string_view remedy(Forward reason) noexcept;
std::string_view word(NotStored reason) noexcept;
/// The reason of a word; empty: no such word.
std::optional<NotStored> not_stored_of(std::string_view word) noexcept;
std::string_view text(NotStored reason) noexcept;
std::string_view remedy(NotStored reason) noexcept;
std::string_view word(Outcome outcome) noexcept;

inline constexpr std::size_t forward_reasons_count = static_cast<std::size_t>(Forward::stale) + 1;
inline constexpr std::size_t store_reasons_count = static_cast<std::size_t>(NotStored::must_understand) + 1;
inline constexpr std::size_t outcomes_count = static_cast<std::size_t>(Outcome::client_gone) + 1;

}  // namespace larder::rules
