#include "proxy/exchange/heads.hpp"

#include <array>
#include <boost/asio/ip/network_v4.hpp>
#include <boost/asio/ip/network_v6.hpp>

#include "rules/base/appender.hpp"
#include "rules/base/text.hpp"
#include "rules/http/conditional.hpp"
#include "rules/http/date.hpp"
#include "rules/http/fields.hpp"
#include "rules/key/cache_key.hpp"

namespace larder::proxy {

using rules::Appender;
using rules::BodyKind;
using rules::Field;
using rules::FieldId;
using rules::Forward;
using rules::NotStored;

namespace {

/// The members of a list to which we add ours, from all lines of the field (RFC 9110 §5.3).
void append_list_so_far(Appender& out, const rules::Fields& fields, FieldId id)
{
    for (const Field& field : fields.all)
        if (field.id == id && !field.value.empty()) (out += field.value) += ", ";
}

bool is_in_network(const std::string& network, const asio::ip::address& address)
{
    error_code ec;
    const bool block = network.find('/') != std::string::npos;
    if (!block) return asio::ip::make_address(network, ec) == address && !ec;
    if (address.is_v4()) {
        const auto net = asio::ip::make_network_v4(network, ec);
        return !ec && asio::ip::make_network_v4(address.to_v4(), net.prefix_length()).canonical() == net.canonical();
    }
    const auto net = asio::ip::make_network_v6(network, ec);
    return !ec && asio::ip::make_network_v6(address.to_v6(), net.prefix_length()).canonical() == net.canonical();
}

bool is_trusted(const config::Config& config, std::string_view client_address)
{
    if (config.trusted_proxies.empty()) return false;
    error_code ec;
    const auto address = asio::ip::make_address(client_address, ec);
    if (ec) return false;
    for (const std::string& network : config.trusted_proxies)
        if (is_in_network(network, address)) return true;
    return false;
}

bool is_condition(FieldId id) noexcept
{
    switch (id) {
    case FieldId::if_match:
    case FieldId::if_none_match:
    case FieldId::if_modified_since:
    case FieldId::if_unmodified_since:
    case FieldId::if_range:
    case FieldId::range: return true;
    default: return false;
    }
}

bool is_of_part(FieldId id) noexcept { return id == FieldId::range || id == FieldId::if_range; }

/// As an sf-string (RFC 8941 §3.3.3); what that cannot hold is percent-encoded.
void append_quoted(Appender& out, std::string_view text)
{
    constexpr std::string_view hex = "0123456789ABCDEF";
    out += '"';
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte > 0x7e) {
            out += '%';
            out += hex[byte >> 4];
            out += hex[byte & 15];
            continue;
        }
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    out += '"';
}

/// Why it was so, in one line: a structured dictionary (RFC 8941 §3.2), with the words of `larder explain`.
void append_explanation(Appender& out, const Exchange& exchange)
{
    const ExchangeCount& count = exchange.count;
    const rules::Rule* rule = exchange.judgement.rule;
    out += "Larder-Explain: verdict=";
    out += rules::word(count.verdict);
    const auto add = [&out](std::string_view name, std::string_view text) {
        if (text.empty()) return;
        ((out += ", ") += name) += '=';
        append_quoted(out, text);
    };
    const auto add_word = [&out](std::string_view name, std::string_view word) {
        (((out += ", ") += name) += '=') += word;
    };
    if (rule) add("rule", rule->name);
    add("key", exchange.key);
    if (count.forward != Forward::none) {
        add_word("reason", rules::word(count.forward));
        add("because", rules::text(count.forward));
        if (count.forward == Forward::query_parameter && rule)
            add("parameter", rules::unnamed_parameter(*rule, exchange.view));
        add("switch", rules::remedy(count.forward));
    }
    if (count.not_stored != NotStored::none) {
        add_word("not-stored", rules::word(count.not_stored));
        add("not-stored-because", rules::text(count.not_stored));
        add("not-stored-switch", rules::remedy(count.not_stored));
    }
    if (exchange.explained_lifetime.count() >= 0) {
        out += ", lifetime=";
        out += static_cast<std::uint64_t>(std::chrono::floor<rules::Seconds>(exchange.explained_lifetime).count());
        add_word("lifetime-from", exchange.explained_source);
    }
    out += "\r\n";
}

/// The parameters of a request that was forwarded.
void append_forward_status(Appender& out, const Exchange& exchange)
{
    const ExchangeCount& count = exchange.count;
    if (const std::string_view fwd = rules::fwd(count.forward); !fwd.empty()) {
        out += "; fwd=";
        out += fwd;
    }
    if (exchange.forward_status != 0) {
        out += "; fwd-status=";
        out += static_cast<std::uint64_t>(exchange.forward_status);
    }
    if (exchange.stored) out += "; stored";
    if (exchange.collapsed) out += "; collapsed";
    // The detail is the most telling word: why it was not stored, else why it was forwarded if `fwd` does not say.
    std::string_view detail;
    if (count.outcome == rules::Outcome::stale_on_error)
        detail = rules::word(count.outcome);
    else if (exchange.waited_as != Forward::none && exchange.collapsed)
        detail = "other-replica";
    else if (count.not_stored != NotStored::none)
        detail = rules::word(count.not_stored);
    else if (count.forward != Forward::none && rules::word(count.forward) != rules::fwd(count.forward))
        detail = rules::word(count.forward);
    if (!detail.empty()) {
        out += "; detail=";
        out += detail;
    }
}

/// Where the app stands in the trace: what it does is a part of this fetch.
void append_trace(Appender& out, const Exchange& exchange, rules::SpanId fetch)
{
    const TraceContext& trace = exchange.trace;
    out.add_field("traceparent", rules::text_of(rules::format_traceparent(trace.trace, fetch, trace.sampled)));
    if (trace.parent == 0) return;  // a list of a trace that is not continued would lie
    if (const std::string state = rules::trace_state(exchange.head.fields); !state.empty())
        out.add_field("tracestate", state);
}

}  // namespace

DebugAnswer debug_answer(const config::Config& config, const rules::RequestView& request,
                         std::string_view client_address)
{
    if (!request.fields.has(FieldId::larder_debug) || config.trusted_proxies.empty()) return debug_nothing;
    unsigned asked = debug_nothing;
    for (const Field& field : request.head->fields.all) {
        if (field.id != FieldId::larder_debug) continue;
        rules::for_each_element(field.value, [&asked](std::string_view word) {
            if (word == "key") asked |= debug_key;
            if (word == "explain") asked |= debug_explain;
        });
    }
    return asked != 0 && is_trusted(config, client_address) ? static_cast<DebugAnswer>(asked) : debug_nothing;
}

std::string fill_target(const Exchange& exchange)
{
    std::string target(exchange.view.path);
    rules::append_fill_query(target, *exchange.judgement.rule, exchange.view);
    return target;
}

void append_upstream_head(std::string& text, const Exchange& exchange, const UpstreamHeadOptions& options)
{
    const rules::RequestHead& head = exchange.head;
    const config::Config& config = *exchange.services->config;
    const bool trusted = is_trusted(config, exchange.client_address);
    constexpr std::size_t ours_bytes = 384;  // what is added, when names and addresses are of usual length
    Appender out(text, head.bytes.size() + ours_bytes);

    // A fill is of the whole answer, whoever asked for it: a HEAD may have found it stale.
    out += options.for_fill ? std::string_view("GET") : head.method_text;
    out += ' ';
    out += options.target;
    out += " HTTP/1.1\r\n";
    std::string_view host = head.authority.empty() ? std::string_view(config.upstream.host_header) : head.authority;
    // Spellings that share an entry reach the app in one, so that none of them shapes what the others get.
    const std::string normal_host = options.for_fill ? rules::normalise_host(host) : std::string();
    if (options.for_fill) host = normal_host;
    out.add_field("Host", host);

    const rules::HopByHop is_hop_by_hop(head.fields);
    const std::optional<std::uint64_t> forwards_left = rules::forwards_left(head);
    std::string_view forwarded_proto, forwarded_host;
    for (const Field& field : head.fields.all) {
        switch (field.id) {
        case FieldId::host:
        case FieldId::content_length:
        case FieldId::transfer_encoding:
        case FieldId::expect:
        case FieldId::larder_debug:
        case FieldId::x_request_id: continue;
        case FieldId::traceparent:
        case FieldId::tracestate:
            if (options.span != 0) continue;  // below
            break;
        case FieldId::via:
        case FieldId::x_forwarded_for: continue;  // below
        case FieldId::x_forwarded_proto: forwarded_proto = field.value; continue;
        case FieldId::x_forwarded_host: forwarded_host = field.value; continue;
        default: break;
        }
        if (!trusted && rules::is_override(field.name)) continue;
        if (options.for_fill && is_condition(field.id) && !(options.for_part && is_of_part(field.id))) continue;
        if (is_hop_by_hop(field)) continue;
        if (options.for_fill && rules::stands_for_named(*exchange.judgement.rule, field.name)) continue;
        if (forwards_left && rules::is_max_forwards(field.name))
            out.add_field(field.name, std::to_string(*forwards_left - 1));  // 0 was answered here
        else
            out.add_field(field.name, field.value);
    }
    if (options.revalidate) {
        const Validators held = options.revalidate->validators();
        if (!held.etag.empty()) out.add_field("If-None-Match", held.etag);
        if (rules::parse_date(held.last_modified, exchange.now)) out.add_field("If-Modified-Since", held.last_modified);
    }
    // A stranger's word about where a request came from is not passed on (trusted_proxies).
    out += "X-Forwarded-For: ";
    if (trusted) append_list_so_far(out, head.fields, FieldId::x_forwarded_for);
    out += exchange.client_address.empty() ? std::string_view("unix") : std::string_view(exchange.client_address);
    out += "\r\n";
    out.add_field("X-Forwarded-Proto", trusted && !forwarded_proto.empty() ? forwarded_proto : "http");
    out.add_field("X-Forwarded-Host", trusted && !forwarded_host.empty() ? forwarded_host : host);
    out += "Via: ";
    append_list_so_far(out, head.fields, FieldId::via);
    out += head.minor_version == 0 ? "1.0 larder\r\n" : "1.1 larder\r\n";
    out.add_field("X-Request-ID", exchange.request_id);
    if (options.span != 0) append_trace(out, exchange, options.span);
    if (options.expects_continue) out += "Expect: 100-continue\r\n";
    if (!options.upgrade_to.empty()) {
        out.add_field("Upgrade", options.upgrade_to);
        out += "Connection: upgrade\r\n";
    }
    if (options.framing.kind == BodyKind::chunked) {
        out += "Transfer-Encoding: chunked\r\n";
    } else if (options.framing.kind == BodyKind::length || head.fields.has(FieldId::content_length)) {
        out += "Content-Length: ";
        out += options.framing.length;
        out += "\r\n";
    }
    out += "\r\n";
}

void append_status_line(std::string& text, int status, std::string_view phrase)
{
    Appender out(text, phrase.size() + 40);
    append_status_line(out, status, phrase);
}

void append_status_line(Appender& out, int status, std::string_view phrase)
{
    out += "HTTP/1.1 ";
    out += static_cast<std::uint64_t>(status);
    out += ' ';
    out += phrase;
    out += "\r\n";
}

void append_interim_head(std::string& text, const rules::ResponseHead& interim)
{
    append_status_line(text, interim.status, interim.phrase);
    const rules::HopByHop is_hop_by_hop(interim.fields);
    Appender out(text, interim.bytes.size());
    for (const Field& field : interim.fields.all)
        if (!is_hop_by_hop(field) && field.id != FieldId::content_length) out.add_field(field.name, field.value);
    out += "\r\n";
}

void append_end_to_end_fields(std::string& text, const rules::ResponseHead& response, bool for_entry,
                              bool strip_set_cookie, rules::WallTime now)
{
    Appender out(text, response.bytes.size());
    append_end_to_end_fields(out, response, for_entry, strip_set_cookie, now);
}

void append_end_to_end_fields(Appender& out, const rules::ResponseHead& response, bool for_entry, bool strip_set_cookie,
                              rules::WallTime now)
{
    const rules::HopByHop is_hop_by_hop(response.fields);
    bool has_date = false;
    for (const Field& field : response.fields.all) {
        switch (field.id) {
        case FieldId::content_length:
        case FieldId::transfer_encoding: continue;
        case FieldId::age:
            if (for_entry) continue;
            break;
        case FieldId::set_cookie:
            if (for_entry && strip_set_cookie) continue;
            break;
        case FieldId::larder_cache_control: continue;
        case FieldId::date: has_date = true; break;
        default: break;
        }
        if (is_hop_by_hop(field)) continue;
        out.add_field(field.name, field.value);
    }
    if (!has_date) out.add_field("Date", rules::format_date(now));  // RFC 9110 §6.6.1
}

void append_framing(std::string& text, const Framing& framing, const Exchange& exchange)
{
    const bool is_usual = exchange.keep_alive && exchange.head.minor_version != 0;
    if (is_usual && framing.kind == BodyKind::none) {
        text += "\r\n";
        return;
    }
    Appender out(text, 72);
    append_framing(out, framing, exchange);
}

void append_framing(Appender& out, const Framing& framing, const Exchange& exchange)
{
    if (framing.kind == BodyKind::chunked) {
        out += "Transfer-Encoding: chunked\r\n";
    } else if (framing.kind == BodyKind::length) {
        out += "Content-Length: ";
        out += framing.length;
        out += "\r\n";
    }
    if (!exchange.keep_alive)
        out += "Connection: close\r\n";
    else if (exchange.head.minor_version == 0)
        out += "Connection: keep-alive\r\n";
    out += "\r\n";
}

Framing framing_for(const Exchange& exchange, bool length_known, std::uint64_t length)
{
    if (length_known) return {BodyKind::length, length};
    return {exchange.head.minor_version >= 1 ? BodyKind::chunked : BodyKind::until_close, 0};
}

void append_cache_status(std::string& text, const Exchange& exchange)
{
    constexpr std::size_t usual_bytes = 96, explained_bytes = 384;
    const std::size_t debug_bytes = exchange.debug == debug_nothing ? 0 : exchange.key.size() * 2 + explained_bytes;
    Appender out(text, usual_bytes + debug_bytes);
    append_cache_status(out, exchange);
}

void append_cache_status(Appender& out, const Exchange& exchange)
{
    const ExchangeCount& count = exchange.count;
    if (count.verdict == rules::Verdict::hit || count.verdict == rules::Verdict::stale_hit) {
        const auto ttl = std::chrono::floor<rules::Seconds>(exchange.ttl).count();
        out += "Cache-Status: larder; hit; ttl=";
        if (ttl < 0) out += '-';
        out += static_cast<std::uint64_t>(ttl < 0 ? -ttl : ttl);
    } else {
        out += "Cache-Status: larder";
        append_forward_status(out, exchange);
    }
    if (exchange.debug == debug_nothing) {
        out += "\r\n";
        return;
    }
    if ((exchange.debug & debug_key) != 0 && !exchange.key.empty()) {
        out += "; key=";
        append_quoted(out, exchange.key);
    }
    out += "\r\n";
    if ((exchange.debug & debug_explain) != 0) append_explanation(out, exchange);
}

}  // namespace larder::proxy
