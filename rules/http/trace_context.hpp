// Where a request stands in a distributed trace: the fields `traceparent` and `tracestate` (W3C Trace Context, level 1
// and what level 2 adds to the syntax). Reads and writes them; what becomes of a trace is decided in proxy/trace.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "rules/http/head.hpp"

namespace larder::rules {

/// 16 bytes, the first one the most significant of `high`. Both 0: none.
struct TraceId {
    std::uint64_t high = 0, low = 0;
    bool is_none() const noexcept { return high == 0 && low == 0; }
    friend bool operator==(const TraceId&, const TraceId&) = default;
};
/// 8 bytes. 0: none.
using SpanId = std::uint64_t;

/// What a valid `traceparent` says.
struct TraceParent {
    TraceId trace;
    SpanId parent = 0;     // the sender's span
    bool sampled = false;  // the sender may have recorded it
};

/// Version 00 exactly; of a later version what 00 would read of it. Empty: invalid, or version ff.
std::optional<TraceParent> parse_traceparent(std::string_view value) noexcept;
/// Of a request. Empty: there is none, it is invalid, or there are several, which is no better.
std::optional<TraceParent> trace_parent(const Fields& request) noexcept;

/// The list of all `tracestate` lines, as it may travel on. Empty: there is none, or it breaks the rules: then all of
/// it is dropped. Only of a request with a valid `traceparent`.
std::string trace_state(const Fields& request);

std::array<char, 32> hex(const TraceId& trace) noexcept;
std::array<char, 16> hex(SpanId span) noexcept;
/// `00-TRACE-SPAN-01`
std::array<char, 55> format_traceparent(const TraceId& trace, SpanId span, bool sampled) noexcept;

}  // namespace larder::rules
