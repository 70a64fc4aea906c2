// Every expected failure has a name here and a party at fault. Lowest level: everybody includes it, it includes
// only the standard library and Boost.System. Log texts, metric labels and documentation come from this table.
#pragma once

#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>
#include <string_view>

namespace larder::rules {

/// Whose fault a failure is. It picks the answer: client 4xx, upstream 502/504, store a miss, operator a start-up
/// error.
enum class Blame { client, upstream, store, operator_ };

// Columns: name, whose fault, text for log and docs.
#define LARDER_ERRORS(X)                                                             \
    X(client_gone, client, "client closed the connection")                           \
    X(client_timeout, client, "client missed a deadline")                            \
    X(client_malformed, client, "request body framing is malformed")                 \
    X(body_too_large, client, "request body is above the limit")                     \
    X(upstream_unresolved, upstream, "upstream name could not be resolved")          \
    X(upstream_refused, upstream, "upstream refused the connection")                 \
    X(upstream_connect_timeout, upstream, "upstream missed the connect deadline")    \
    X(upstream_tls, upstream, "TLS handshake with the upstream failed")              \
    X(upstream_timeout, upstream, "upstream missed the first-byte deadline")         \
    X(upstream_idle, upstream, "upstream stopped sending before its response ended") \
    X(upstream_closed, upstream, "upstream closed before its response was complete") \
    X(upstream_malformed, upstream, "upstream response could not be parsed")         \
    X(upstream_busy, upstream, "limits.inflight requests are under way already")     \
    X(store_unreachable, store, "cache store is not connected")                      \
    X(store_timeout, store, "cache store missed its deadline")                       \
    X(store_refused, store, "cache store answered with an error")                    \
    X(store_malformed, store, "cache store reply could not be understood")           \
    X(store_layout, store, "cache store is laid out for another number of shards")   \
    X(shutting_down, operator_, "process is stopping")

enum class Errc {
    ok = 0,
#define X(name, blame, text) name,
    LARDER_ERRORS(X)
#undef X
};

/// The category of `Errc` values; lives for the whole process.
const boost::system::error_category& error_category() noexcept;

inline boost::system::error_code make_error_code(Errc e) noexcept { return {static_cast<int>(e), error_category()}; }

/// The word for an error, as it appears in logs and metrics: `upstream_timeout`.
std::string_view word(Errc e) noexcept;
/// The sentence for an error, for people.
std::string_view text(Errc e) noexcept;
Blame blame(Errc e) noexcept;

template <class T>
using Result = boost::system::result<T, Errc>;

}  // namespace larder::rules

template <>
struct boost::system::is_error_code_enum<larder::rules::Errc> : std::true_type {
};
