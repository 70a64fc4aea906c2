// One finished span as it is written: views only, gathered on the stack of whoever ends it.
#pragma once

#include <boost/container/static_vector.hpp>
#include <cstdint>
#include <string_view>
#include <variant>

#include "rules/http/trace_context.hpp"

namespace larder::proxy {

/// The numbers are OTLP's.
enum class SpanKind : std::uint8_t { server = 2, client = 3 };

/// Another span, of this trace or another one.
struct SpanLink {
    rules::TraceId trace;
    rules::SpanId span = 0;  // 0: none
};

struct SpanAttribute {
    std::string_view key;
    std::variant<std::string_view, std::int64_t, bool> value;
};

struct Span {
    rules::TraceId trace;
    rules::SpanId id = 0;
    rules::SpanId parent = 0;       // 0: the trace begins with it
    bool parent_is_remote = false;  // of another process
    SpanKind kind = SpanKind::server;
    bool failed = false;
    std::uint64_t begun = 0, ended = 0;  // nanoseconds since 1970
    std::string_view name;
    std::string_view trace_state;
    SpanLink link;
    boost::container::static_vector<SpanAttribute, 28> attributes;

    void add(std::string_view key, std::string_view text) { attributes.push_back({key, text}); }
    void add(std::string_view key, std::int64_t number) { attributes.push_back({key, number}); }
    void add_flag(std::string_view key, bool is_set) { attributes.push_back({key, is_set}); }
};

}  // namespace larder::proxy
