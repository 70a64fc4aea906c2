// Sends spans to the collector, by OTLP over HTTP, on a thread of its own: nothing that it waits for is waited for by a
// request. What cannot be sent in time is dropped and counted.
#pragma once

#include <chrono>
#include <memory>

#include "config/config.hpp"
#include "proxy/observe/metrics.hpp"
#include "proxy/trace/span_queue.hpp"

namespace larder::proxy {

class SpanExporter {
  public:
    /// Throws std::runtime_error when the certificates to trust cannot be used.
    explicit SpanExporter(config::ConfigPtr config);
    /// As `stop` without patience.
    ~SpanExporter();
    SpanExporter(const SpanExporter&) = delete;
    SpanExporter& operator=(const SpanExporter&) = delete;

    const config::Tracing& options() const noexcept;
    /// A queue for one worker; lives as long as the exporter. Before `start`.
    SpanQueue& make_queue();

    void start();
    /// When nobody records any more: sends what is left, for `patience` at most.
    void stop(rules::Milliseconds patience);

    /// Any thread.
    TraceCounts counts() const noexcept;

  private:
    class State;
    std::unique_ptr<State> state_;
    bool is_clean_ = true;  // nothing borrows from `state_` any more
};

}  // namespace larder::proxy
