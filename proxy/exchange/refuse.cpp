#include "proxy/exchange/refuse.hpp"

#include <algorithm>
#include <array>
#include <random>

#include "proxy/exchange/heads.hpp"
#include "proxy/net/clock.hpp"
#include "rules/base/appender.hpp"
#include "rules/http/date.hpp"

namespace larder::proxy {

using rules::Errc;

std::string_view reason_phrase(int status) noexcept
{
    switch (status) {
    case 206: return "Partial Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 416: return "Range Not Satisfiable";
    case 431: return "Request Header Fields Too Large";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    default: return "Error";
    }
}

std::array<char, 16> make_request_id()
{
    thread_local std::mt19937_64 random = [] {
        std::random_device device;
        std::seed_seq seed{device(), device(), device(), device()};
        return std::mt19937_64(seed);
    }();
    static constexpr auto pairs = [] {
        std::array<std::array<char, 2>, 256> of_byte{};
        for (unsigned i = 0; i < 256; ++i) of_byte[i] = {"0123456789abcdef"[i / 16], "0123456789abcdef"[i % 16]};
        return of_byte;
    }();
    std::uint64_t bits = random();
    std::array<char, 16> id;
    for (std::size_t i = 0; i < id.size(); i += 2, bits >>= 8) std::copy_n(pairs[bits & 255].data(), 2, id.data() + i);
    return id;
}

void append_problem(std::string& out, Exchange& exchange, int status, std::string_view word, std::string_view detail,
                    std::string_view extra_fields)
{
    // Every part is ours or was checked: words and sentences from tables, the id made here or limited to token
    // characters.
    std::string body = R"({"type":"about:blank","title":")";
    body += reason_phrase(status);
    body += R"(","status":)";
    rules::append_number(body, static_cast<std::uint64_t>(status));
    body += R"(,"detail":")";
    body += detail;
    body += R"(","reason":")";
    body += word;
    body += R"(","request_id":")";
    body += exchange.request_id;
    body += "\"}\n";

    append_status_line(out, status, reason_phrase(status));
    ((out += "Date: ") += rules::format_date(wall_now())) += "\r\n";  // not exchange.now: it may have waited long
    out += "Content-Type: application/problem+json\r\nCache-Control: no-store\r\nX-Request-ID: ";
    out += exchange.request_id;
    out += "\r\n";
    out += extra_fields;
    if (exchange.count.forward != rules::Forward::none) append_cache_status(out, exchange);
    append_framing(out, Framing{rules::BodyKind::length, body.size()}, exchange);
    if (!exchange.is_head()) {
        out += body;
        exchange.body_bytes = body.size();
    }
    exchange.count.status = status;
    exchange.answered = true;
}

namespace {

int status_for(Errc error) noexcept
{
    switch (error) {
    case Errc::client_timeout: return 408;
    case Errc::body_too_large: return 413;
    case Errc::client_malformed: return 400;
    case Errc::upstream_timeout:
    case Errc::upstream_idle:
    case Errc::upstream_connect_timeout: return 504;
    case Errc::store_unreachable:
    case Errc::store_timeout:
    case Errc::store_refused:
    case Errc::store_malformed:
    case Errc::store_layout:
    case Errc::upstream_busy:
    case Errc::shutting_down: return 503;
    default: return 502;
    }
}

}  // namespace

asio::awaitable<void> refuse(Services& services, Client& client, Exchange& exchange, Errc error)
{
    services.counters.add_error(error);
    exchange.count.outcome = error == Errc::client_gone                      ? rules::Outcome::client_gone
                             : rules::blame(error) == rules::Blame::upstream ? rules::Outcome::upstream_failed
                                                                             : rules::Outcome::refused;
    if (exchange.answered || error == Errc::client_gone) {
        exchange.keep_alive = false;
        // A length or chunks tell the client that the end is missing, and an orderly close lets it keep what came; a
        // reset would throw that away. A body that ends with the connection has no other way to say it.
        const bool cut_shows = exchange.answered && exchange.head.minor_version >= 1;
        if (!cut_shows || rules::blame(error) != rules::Blame::upstream) client.transport.abort(Errc::client_gone);
        co_return;
    }
    if (rules::blame(error) == rules::Blame::client) exchange.keep_alive = false;
    std::string out;
    const std::string_view retry = status_for(error) == 503 ? "Retry-After: 1\r\n" : "";
    append_problem(out, exchange, status_for(error), rules::word(error), rules::text(error), retry);
    client.put(out);
    if (client.blocked()) co_await client.flush();
}

}  // namespace larder::proxy
