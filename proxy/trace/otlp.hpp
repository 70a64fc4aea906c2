// The OpenTelemetry protocol as bytes: spans and batches of them in protobuf or JSON, and what a collector answers.
// No I/O. The messages are few; field numbers are those of opentelemetry/proto/trace/v1/trace.proto.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/config.hpp"
#include "proxy/trace/span.hpp"

namespace larder::proxy {

/// Names and values of what all spans have in common.
using ResourceAttributes = std::vector<std::pair<std::string, std::string>>;

/// One span, ready to be one of a batch. Texts are made UTF-8, and cut at 1 KiB.
std::string encode_span(config::OtlpProtocol protocol, const Span& span);

/// An ExportTraceServiceRequest of spans that `encode_span` has written.
std::string encode_batch(config::OtlpProtocol protocol, const ResourceAttributes& resource,
                         const std::vector<std::string>& spans);

std::string_view content_type(config::OtlpProtocol protocol) noexcept;

/// What a collector has not taken, though it answered 200.
struct PartialSuccess {
    std::uint64_t rejected_count = 0;
    std::string message;
};
/// Reads an ExportTraceServiceResponse. What is malformed counts as nothing rejected.
PartialSuccess read_partial_success(config::OtlpProtocol protocol, std::string_view response);

}  // namespace larder::proxy
