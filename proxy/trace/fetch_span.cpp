#include "proxy/trace/fetch_span.hpp"

#include <algorithm>

#include "proxy/net/clock.hpp"
#include "rules/http/target.hpp"

namespace larder::proxy {

namespace {

/// The address of what is asked for, as the app knows it.
std::string url_of(const config::Config& config, std::string_view target)
{
    const config::Upstream& upstream = config.upstream;
    std::string url = upstream.tls ? "https://" : "http://";
    url += upstream.host_header;
    const std::size_t question = std::min(target.find('?'), target.size());
    url += target.substr(0, question);
    const std::string query =
        question < target.size() ? shown_query(target.substr(question + 1), config.log.query) : std::string();
    if (!query.empty()) (url += '?') += query;
    return url;
}

}  // namespace

std::string_view known_method(rules::Method method, std::string_view text) noexcept
{
    return method == rules::Method::other ? std::string_view("_OTHER") : text;
}

std::string shown_query(std::string_view query, config::QueryLog policy)
{
    if (policy == config::QueryLog::drop) return {};
    // Those that the semantic conventions of OpenTelemetry name, and what nobody wants to find in a trace.
    constexpr std::string_view secret[] = {"AWSAccessKeyId",   "Signature",       "sig",
                                           "X-Goog-Signature", "X-Amz-Signature", "access_token",
                                           "api_key",          "password",        "token"};
    std::string shown;
    rules::for_each_parameter(query, [&](const rules::Parameter& parameter) {
        if (!shown.empty()) shown += '&';
        shown += parameter.name;
        if (!parameter.has_value) return;
        const bool is_secret = std::any_of(std::begin(secret), std::end(secret), [&](std::string_view name) {
            return rules::parameter_is(parameter.name, name);
        });
        shown += '=';
        if (policy == config::QueryLog::names) return;
        shown += is_secret ? std::string_view("REDACTED") : parameter.value;
    });
    return shown;
}

FetchSpan::FetchSpan(Tracer& tracer, const config::Config& config, const TraceContext& exchange, rules::SpanId id,
                     std::string trace_state, std::string_view method, std::string_view target, rules::Instant begun)
    : tracer_(tracer),
      app_(config.upstream.endpoint),
      exchange_(exchange),
      id_(id),
      trace_state_(std::move(trace_state)),
      method_(method),
      url_(url_of(config, target)),
      begun_(begun)
{
}

void FetchSpan::on_end(const Fetch& fetch) noexcept
try {
    record(fetch);
} catch (const std::bad_alloc&) {  // a span less
}

void FetchSpan::record(const Fetch& fetch)
{
    Span span;
    span.trace = exchange_.trace;
    span.id = id_;
    span.parent = exchange_.span;
    span.kind = SpanKind::client;
    span.begun = unix_nanoseconds(begun_);
    span.ended = unix_nanoseconds(instant_now());
    span.trace_state = trace_state_;
    span.name = method_ == "_OTHER" ? std::string_view("HTTP") : std::string_view(method_);
    span.add("http.request.method", method_);
    span.add("url.full", url_);
    span.add("server.address", app_.unix_path.empty() ? app_.host : app_.unix_path);
    if (app_.unix_path.empty()) span.add("server.port", std::int64_t{app_.port});
    span.add("network.protocol.version", std::string_view("1.1"));
    std::string status;
    if (fetch.has_final_head()) {
        status = std::to_string(fetch.head().status);
        span.add("http.response.status_code", std::int64_t{fetch.head().status});
        span.failed = fetch.head().status >= 400;
        if (span.failed) span.add("error.type", status);
    }
    if (!span.failed && !fetch.is_whole()) {
        const rules::Errc error = fetch.last_error();
        span.failed = true;
        span.add("error.type", error == rules::Errc::ok ? std::string_view("_OTHER") : rules::word(error));
    }
    tracer_.record(span);
}

}  // namespace larder::proxy
