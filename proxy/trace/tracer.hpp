// One worker's part in traces: continues those that requests bring and begins others, decides which are recorded, makes
// ids, and hands finished spans to the exporter's queue.
#pragma once

#include <random>

#include "config/config.hpp"
#include "proxy/trace/span.hpp"
#include "proxy/trace/span_queue.hpp"

namespace larder::proxy {

/// Where an exchange stands.
struct TraceContext {
    rules::TraceId trace;      // none: nothing is traced, or it is not begun yet
    rules::SpanId span = 0;    // of the exchange
    rules::SpanId parent = 0;  // the client's; 0: the trace begins here
    bool sampled = false;      // its spans are recorded
};

/// Is a trace with this id among the share that is recorded? As the SDKs of OpenTelemetry decide it: the same ids at
/// every service, and all those of a smaller share among those of a larger one.
bool is_sampled(const rules::TraceId& trace, double ratio) noexcept;

/// Single-threaded.
class Tracer {
  public:
    Tracer(const config::Tracing& options, SpanQueue& queue);

    /// Continues the trace of the request's valid `traceparent`, or begins one.
    TraceContext begin(const rules::Fields& request);
    rules::SpanId make_span_id();

    /// Hands a span over, or drops it when too many wait.
    void record(const Span& span);

  private:
    const config::Tracing& options_;
    SpanQueue& queue_;
    std::mt19937_64 random_;
};

}  // namespace larder::proxy
