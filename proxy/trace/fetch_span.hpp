// The CLIENT span of one fetch: begun with its request, recorded when the fetch has ended, whatever ended it.
#pragma once

#include <string>

#include "proxy/trace/tracer.hpp"
#include "proxy/upstream/fetch.hpp"

namespace larder::proxy {

class FetchSpan final : public FetchWatch {
  public:
    /// Copies what it needs: it may outlive the exchange, but not the tracer.
    /// @param exchange  of which the fetch is a part
    FetchSpan(Tracer& tracer, const config::Config& config, const TraceContext& exchange, rules::SpanId id,
              std::string trace_state, std::string_view method, std::string_view target, rules::Instant begun);

    void on_end(const Fetch& fetch) noexcept override;

  private:
    void record(const Fetch& fetch);

    Tracer& tracer_;
    const config::Endpoint app_;
    const TraceContext exchange_;
    const rules::SpanId id_;
    const std::string trace_state_, method_, url_;
    const rules::Instant begun_;
};

/// The method as `http.request.method` names it: one that is unknown is `_OTHER`.
std::string_view known_method(rules::Method method, std::string_view text) noexcept;

/// A query as it may be shown: as in the access log, and values that are signatures or credentials by their name become
/// REDACTED.
std::string shown_query(std::string_view query, config::QueryLog policy);

}  // namespace larder::proxy
