// Every head that leaves this process is composed here, from parsed parts: requests to the upstream, answers to
// clients, heads of entries. No line of a peer's is passed on by its bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/exchange/exchange.hpp"
#include "proxy/store/entry.hpp"
#include "rules/base/appender.hpp"
#include "rules/http/head.hpp"

namespace larder::proxy {

/// How the body behind a head is framed.
struct Framing {
    rules::BodyKind kind = rules::BodyKind::none;
    std::uint64_t length = 0;
};

struct UpstreamHeadOptions {
    Framing framing;
    std::string_view target;            // what to ask for
    bool for_fill = false;              // the answer will be stored: conditions and ranges of the client's are left out
    bool for_part = false;              // of a fill: the client's Range and If-Range go along
    const Entry* revalidate = nullptr;  // conditions from this entry's validators
    bool expects_continue = false;
    std::string_view upgrade_to;  // protocol; empty: none
    rules::SpanId span = 0;       // of this fetch; 0: nothing is traced, the client's trace passes through
};
/// Path and query that a fill of the exchange's key asks for: one form for all who share the key.
std::string fill_target(const Exchange& exchange);
/// Appends the request head for the upstream: hop-by-hop fields out; Host, X-Forwarded-*, Via, X-Request-ID set.
void append_upstream_head(std::string& out, const Exchange& exchange, const UpstreamHeadOptions& options);

/// Calls `visit(id, line)` with each field line of a stored head, CR LF included.
template <class Visit>
void for_each_line(std::string_view head, Visit visit)
{
    const std::size_t start = head.find("\r\n");  // behind the status line
    head = start == std::string_view::npos ? std::string_view{} : head.substr(start + 2);
    while (!head.empty()) {
        const std::size_t end = head.find("\r\n");
        if (end == std::string_view::npos) break;
        const std::string_view line = head.substr(0, end + 2);
        head.remove_prefix(end + 2);
        visit(rules::field_id(line.substr(0, line.find(':'))), line);
    }
}

/// Appends the fields of a response that travel on, each with CR LF: no hop-by-hop fields, no framing.
/// @param for_entry  also without Age, and without Set-Cookie when `strip_set_cookie`
void append_end_to_end_fields(std::string& out, const rules::ResponseHead& response, bool for_entry,
                              bool strip_set_cookie, rules::WallTime now);
void append_end_to_end_fields(rules::Appender& out, const rules::ResponseHead& response, bool for_entry,
                              bool strip_set_cookie, rules::WallTime now);
void append_status_line(std::string& out, int status, std::string_view phrase);
void append_status_line(rules::Appender& out, int status, std::string_view phrase);
/// Appends a whole 1xx head as it travels on (RFC 9110 §15.2).
void append_interim_head(std::string& out, const rules::ResponseHead& interim);
/// Appends Content-Length or Transfer-Encoding, and Connection, then the empty line.
void append_framing(std::string& out, const Framing& framing, const Exchange& exchange);
void append_framing(rules::Appender& out, const Framing& framing, const Exchange& exchange);
/// `Cache-Status: larder; ...` as RFC 9211 says, from what the exchange has counted so far; with `debug_explain` also
/// `Larder-Explain`.
void append_cache_status(std::string& out, const Exchange& exchange);
void append_cache_status(rules::Appender& out, const Exchange& exchange);

/// What the request asks for with `Larder-Debug: key` or `explain`, as far as its client may know it (trusted_proxies).
DebugAnswer debug_answer(const config::Config& config, const rules::RequestView& request,
                         std::string_view client_address);

/// How an answer is framed for this client when the length is known, or not.
Framing framing_for(const Exchange& exchange, bool length_known, std::uint64_t length);

}  // namespace larder::proxy
