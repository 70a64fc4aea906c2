// Every fuzz target: a parser of bytes from outside, and what must hold of it whatever the bytes are. One function
// each, `check_NAME(input)`; it returns, or throws `Broken`. Add a row here, the function in the file of its subject,
// seeds in seeds/NAME/ and, if the syntax has words, dictionaries/NAME.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace larder::fuzz {

// Columns: name, cost (its share of the runs is 1/cost), what it reads.
#define LARDER_FUZZ_TARGETS(X)                                                                             \
    X(request_head, 2, "a request head, as it comes from a client")                                        \
    X(response_head, 2, "a response head, as it comes from the upstream")                                  \
    X(chunked, 2, "a body in the chunked transfer coding")                                                 \
    X(target, 1, "path and query of a request: PATH?QUERY")                                                \
    X(cache_control, 1, "lines of Cache-Control values")                                                   \
    X(policy, 2, "fields of a response: how long it is stored, and served")                                \
    X(date, 1, "an HTTP date")                                                                             \
    X(structured, 1, "a structured field value, as list and as dictionary")                                \
    X(groups, 1, "fields of a response that name groups and tags")                                         \
    X(range, 1, "Range, If-Range, Content-Range; X-Size, X-ETag, X-Last-Modified, X-Date: what is stored") \
    X(conditional, 1, "a request's conditions, an empty line, stored fields, an empty line, a 304's")      \
    X(vary, 1, "fields of a response, an empty line, fields of a request")                                 \
    X(pattern, 1, "a purge pattern, a line end, a key (the rest)")                                         \
    X(template_text, 1, "a key or purge template")                                                         \
    X(cache_key, 4, "a request and its JSON body: rule, key, purges, lines ending with LF")                \
    X(explain, 4, "what GET /explain of the admin API is asked: lines of method, target, headers")         \
    X(configuration, 20, "a configuration file")                                                           \
    X(quantity, 1, "a duration or a size")                                                                 \
    X(address, 2, "an address, a URL of upstream or store, or a network")                                  \
    X(entry, 1, "a stored entry, as Redis has it")                                                         \
    X(redis_reply, 2, "what a Redis server sends: any replies, read as every kind that is asked for")      \
    X(purge_record, 1, "an answer to XRANGE: records of the purge log")                                    \
    X(purge_order, 4, "the body of POST /purge of the admin API")                                          \
    X(log_text, 1, "text from outside that becomes part of a log line")                                    \
    X(trace_context, 1, "fields of a request that say which trace it belongs to")                          \
    X(otlp, 2, "text that becomes part of a span; and what a collector answers")

#define X(name, cost, what) void check_##name(std::string_view input);
LARDER_FUZZ_TARGETS(X)
#undef X

struct Target {
    std::string_view name;
    unsigned cost;
    std::string_view what;
    void (*check)(std::string_view input);
};
inline constexpr Target targets[] = {
#define X(name, cost, what) {#name, cost, what, check_##name},
    LARDER_FUZZ_TARGETS(X)
#undef X
};

/// Something that must hold does not. Any other exception that leaves a target is a fault as well.
class Broken : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

inline void expect(bool holds, const char* what)
{
    if (!holds) throw Broken(what);
}

/// The same for two texts, both shown.
inline void expect_same(std::string_view one, std::string_view other, const char* what)
{
    if (one != other)
        throw Broken(std::string(what) + "\n  one:   " + std::string(one) + "\n  other: " + std::string(other));
}

}  // namespace larder::fuzz
