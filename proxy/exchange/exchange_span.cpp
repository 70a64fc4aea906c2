#include "proxy/exchange/exchange_span.hpp"

#include "proxy/net/clock.hpp"
#include "proxy/trace/fetch_span.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

using rules::Outcome;

namespace {

/// `host:port`, as Host has it.
void add_server(Span& span, std::string_view authority)
{
    const std::size_t colon = authority.rfind(':');
    const bool has_port = colon != std::string_view::npos && authority.find(']', colon) == std::string_view::npos;
    constexpr std::uint64_t none = UINT64_MAX;
    const std::uint64_t port = has_port ? rules::parse_digits(authority.substr(colon + 1)).value_or(none) : none;
    std::string_view host = port != none ? authority.substr(0, colon) : authority;
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    if (!host.empty()) span.add("server.address", host);
    if (port <= 65535) span.add("server.port", static_cast<std::int64_t>(port));
}

/// 5xx, an answer that was cut, none at all. A client that leaves with its answer, or a part of it, is no failure.
void add_failure(Span& span, const ExchangeCount& count, std::string& status)
{
    const bool is_cut =
        count.outcome == Outcome::upstream_failed || (count.outcome == Outcome::client_gone && count.status == 0);
    span.failed = count.status >= 500 || is_cut;
    if (!span.failed) return;
    status = std::to_string(count.status);
    span.add("error.type", count.status >= 500 ? std::string_view(status) : rules::word(count.outcome));
}

}  // namespace

rules::SpanId begin_fetch_span(Services& services, const Exchange& exchange, Fetch& fetch, std::string_view method,
                               std::string_view target)
{
    const rules::SpanId id = services.tracer->make_span_id();
    if (!exchange.trace.sampled) return id;
    std::string state = exchange.trace.parent != 0 ? rules::trace_state(exchange.head.fields) : std::string();
    fetch.watch(std::make_unique<FetchSpan>(*services.tracer, *services.config, exchange.trace, id, std::move(state),
                                            method, target, instant_now()));
    return id;
}

TraceContext end_exchange_span(Services& services, const Client& client, const Exchange& exchange, rules::Instant end)
{
    const rules::RequestHead& head = exchange.head;
    TraceContext trace = exchange.trace;
    if (trace.trace.is_none()) trace = services.tracer->begin(head.fields);
    if (!trace.sampled) return trace;

    const ExchangeCount& count = exchange.count;
    const std::string_view method = known_method(head.method, head.method_text);
    Span span;
    span.trace = trace.trace;
    span.id = trace.span;
    span.parent = trace.parent;
    span.parent_is_remote = trace.parent != 0;
    span.begun = unix_nanoseconds(exchange.begun);
    span.ended = unix_nanoseconds(end);
    span.link = exchange.joined;
    const std::string state = trace.parent != 0 ? rules::trace_state(head.fields) : std::string();
    span.trace_state = state;
    std::string name(method == "_OTHER" ? std::string_view("HTTP") : method);
    const rules::Rule* const rule = exchange.judgement.rule;
    if (rule) (name += ' ') += rule->name;
    span.name = name;

    span.add("http.request.method", method);
    if (method == "_OTHER") span.add("http.request.method_original", head.method_text);
    span.add("url.scheme", std::string_view("http"));
    span.add("url.path", head.path);
    const std::string query = head.has_query ? shown_query(head.query, services.config->log.query) : std::string();
    if (!query.empty()) span.add("url.query", query);
    if (rule && rule != &rules::respect_origin_rule()) span.add("http.route", rule->match.path_text);
    if (count.status != 0) span.add("http.response.status_code", std::int64_t{count.status});
    add_server(span, head.authority);
    if (!client.address.empty()) span.add("client.address", client.address);
    span.add("network.protocol.version", std::string_view(head.minor_version == 0 ? "1.0" : "1.1"));
    if (const rules::Field* agent = head.fields.find("User-Agent")) span.add("user_agent.original", agent->value);
    span.add("http.response.body.size", static_cast<std::int64_t>(exchange.body_bytes));
    std::string status;
    add_failure(span, count, status);

    span.add("larder.verdict", word(count.verdict));
    if (count.forward != rules::Forward::none) span.add("larder.reason", word(count.forward));
    if (count.not_stored != rules::NotStored::none) span.add("larder.not_stored", word(count.not_stored));
    span.add("larder.outcome", word(count.outcome));
    if (rule) span.add("larder.rule", rule->name);
    span.add_flag("larder.stored", exchange.stored);
    if (exchange.collapsed) span.add_flag("larder.collapsed", true);
    if (exchange.store_time.count() > 0) span.add("larder.store_us", exchange.store_time.count() / 1000);
    if (!exchange.request_id.empty()) span.add("larder.request_id", exchange.request_id);
    services.tracer->record(span);
    return trace;
}

}  // namespace larder::proxy
