#include "rules/http/head.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

#include "rules/base/text.hpp"
#include "rules/http/bytes.hpp"
#include "rules/http/field_names.hpp"
#include "rules/http/fields.hpp"

namespace larder::rules {
namespace {

// --- lines ---

struct Input {
    const char* at;
    const char* end;    // never beyond the head limit
    Scan out_of_bytes;  // what it means to arrive at `end`: incomplete, or already too large

    Input(std::string_view buffer, const HeadLimits& limits) noexcept
        : at(buffer.data()),
          end(at + std::min(buffer.size(), limits.head_bytes)),
          out_of_bytes(buffer.size() >= limits.head_bytes ? Scan::head_too_large : Scan::incomplete)
    {
    }

    bool empty() const noexcept { return at == end; }
    std::size_t size() const noexcept { return static_cast<std::size_t>(end - at); }
};

std::string_view between(const char* from, const char* to) noexcept
{
    return {from, static_cast<std::size_t>(to - from)};
}

/// Takes CR LF. Anything else is `otherwise`, except that a lone CR or LF is always bad_line_end.
Scan take_line_end(Input& in, Scan otherwise) noexcept
{
    if (in.size() >= 2 && in.at[0] == '\r' && in.at[1] == '\n') {
        in.at += 2;
        return Scan::ok;
    }
    if (in.empty()) return in.out_of_bytes;
    if (*in.at == '\n') return Scan::bad_line_end;
    if (*in.at != '\r') return otherwise;
    return in.size() < 2 ? in.out_of_bytes : Scan::bad_line_end;
}

bool is_pair(const char* at, const char (&pair)[3]) noexcept { return std::memcmp(at, pair, 2) == 0; }

/// Takes the rest of a line as nearly everybody writes it: ": ", a value that begins and ends with visible bytes, CR
/// LF. False: nothing was taken, it is to be looked at more closely.
template <class Bytes>
bool take_usual_value(Input& in, const char* colon, const char*& value, const char*& last) noexcept
{
    if (colon == in.at || in.end - colon < 4 || !is_pair(colon, ": ") || colon[2] <= ' ') return false;
    const char* const end = Bytes::find_control(colon + 2, in.end);
    if (in.end - end < 2 || !is_pair(end, "\r\n") || end[-1] == ' ') return false;
    value = colon + 2;
    last = end;
    in.at = end + 2;
    return true;
}

/// Scans field lines up to and with the empty line. `on_field(field)` sees each of them that Larder knows; it may
/// refuse one.
template <class Bytes, class OnField>
Scan scan_fields(Input& in, const HeadLimits& limits, Fields& fields, OnField on_field)
{
    constexpr std::size_t usual_count = 16;
    if (fields.all.capacity() == 0) fields.all.reserve(usual_count);
    for (std::size_t count = 0;; ++count) {
        if (in.empty()) return in.out_of_bytes;
        const char* const line = in.at;
        const char* const colon = Bytes::skip_token(line, in.end);
        const char *value = nullptr, *last = nullptr;
        if (!take_usual_value<Bytes>(in, colon, value, last)) {
            if (colon == in.end || *colon != ':' || colon == line) {
                if (*line == '\r' || *line == '\n') return take_line_end(in, Scan::bad_line_end);
                if (static_cast<std::size_t>(colon - line) > limits.field_bytes) return Scan::head_too_large;
                if (colon == in.end) return in.out_of_bytes;
                return *colon == '\n' ? Scan::bad_line_end : Scan::bad_field;
            }
            value = colon + 1;
            while (value != in.end && (*value == ' ' || *value == '\t')) ++value;
            last = find_value_end<Bytes>(value, in.end);
            if (static_cast<std::size_t>(last - line) > limits.field_bytes) return Scan::head_too_large;
            in.at = last;
            if (const Scan scan = take_line_end(in, Scan::bad_field); scan != Scan::ok) return scan;
            while (last != value && (last[-1] == ' ' || last[-1] == '\t')) --last;
        }
        if (static_cast<std::size_t>(last - line) > limits.field_bytes) return Scan::head_too_large;
        if (count == limits.fields_count) return Scan::head_too_large;

        const std::string_view name = between(line, colon);
        const FieldId id = find_field_id(name);
        fields.all.push_back(Field{name, between(value, last), id});
        if (id == FieldId::other) continue;
        if (const Scan scan = on_field(fields.all.back()); scan != Scan::ok) return scan;
    }
}

// --- what the fields say about framing and connection ---

/// Gathered while the field lines go by.
struct Framing {
    std::optional<std::uint64_t> length;
    unsigned transfer_encodings_count = 0;
    bool chunked = false;
    bool close = false, keep_alive = false, upgrade_option = false;

    void take_connection(std::string_view value)
    {
        if (equals_ignoring_case(value, "keep-alive")) {  // what browsers send
            keep_alive = true;
            return;
        }
        for_each_element(value, [this](std::string_view option) {
            if (equals_ignoring_case(option, "close"))
                close = true;
            else if (equals_ignoring_case(option, "keep-alive"))
                keep_alive = true;
            else if (equals_ignoring_case(option, "upgrade"))
                upgrade_option = true;
        });
    }

    void take_transfer_encoding(std::string_view value)
    {
        ++transfer_encodings_count;
        chunked = equals_ignoring_case(value, "chunked");
    }

    /// Nothing but one `chunked` in HTTP/1.1, never beside Content-Length: every other form has been read in two ways
    /// by two servers somewhere.
    bool is_transfer_encoding_sound(int minor_version) const
    {
        if (transfer_encodings_count == 0) return true;
        return transfer_encodings_count == 1 && chunked && !length && minor_version >= 1;
    }

    bool keeps_alive(int minor_version) const { return !close && (minor_version >= 1 || keep_alive); }
};

/// Larger values would turn negative in somebody's signed arithmetic.
constexpr std::uint64_t max_content_length = INT64_MAX;

std::optional<std::uint64_t> parse_content_length(std::string_view text) noexcept
{
    const auto length = parse_digits(text);
    return length && *length <= max_content_length ? length : std::nullopt;
}

// --- start lines ---

Method parse_method(std::string_view text) noexcept
{
    switch (text.size()) {
    case 3:
        if (text == "GET") return Method::get;
        if (text == "PUT") return Method::put;
        break;
    case 4:
        if (text == "POST") return Method::post;
        if (text == "HEAD") return Method::head;
        break;
    case 5:
        if (text == "PATCH") return Method::patch;
        if (text == "TRACE") return Method::trace;
        break;
    case 6:
        if (text == "DELETE") return Method::delete_;
        break;
    case 7:
        if (text == "OPTIONS") return Method::options;
        if (text == "CONNECT") return Method::connect;
        break;
    default: break;
    }
    return Method::other;
}

/// Takes `HTTP/1.` and a digit. `fault` when something else stands there, as soon as that is certain.
Scan take_version(Input& in, int highest_minor, Scan fault, int& minor_version) noexcept
{
    constexpr std::string_view name = "HTTP/1.";
    if (in.size() > name.size() && std::memcmp(in.at, name.data(), name.size()) == 0 && in.at[name.size()] == '1') {
        minor_version = 1;
        in.at += name.size() + 1;
        return Scan::ok;
    }
    if (in.empty()) return in.out_of_bytes;
    const std::size_t seen = std::min(in.size(), name.size());
    if (std::memcmp(in.at, name.data(), seen) != 0) return fault;
    if (in.size() <= name.size()) return in.out_of_bytes;
    const char digit = in.at[name.size()];
    if (!is_digit(digit) || digit - '0' > highest_minor) return fault;
    minor_version = std::min(digit - '0', 1);  // a later minor version is answered as 1.1 (RFC 9110 §6.2)
    in.at += name.size() + 1;
    return Scan::ok;
}

/// Splits the target into authority, path and query. False when HTTP gives it no meaning with this method.
bool split_target(RequestHead& head) noexcept
{
    std::string_view rest = head.target;
    if (rest == "*") {
        head.path = rest;
        return head.method == Method::options;
    }
    if (rest.front() != '/') {
        const std::size_t scheme = equals_ignoring_case(rest.substr(0, 7), "http://")    ? 7
                                   : equals_ignoring_case(rest.substr(0, 8), "https://") ? 8
                                                                                         : 0;
        if (scheme == 0) return false;
        rest.remove_prefix(scheme);
        const std::size_t authority_bytes = std::min(rest.find_first_of("/?"), rest.size());
        head.authority = rest.substr(0, authority_bytes);
        if (!is_valid_host(head.authority)) return false;
        rest.remove_prefix(authority_bytes);
    }
    const std::size_t mark = rest.find('?');
    head.has_query = mark != std::string_view::npos;
    head.path = rest.substr(0, mark);
    if (head.has_query) head.query = rest.substr(mark + 1);
    if (head.path.empty()) {
        // RFC 9112 §3.2.4: OPTIONS for a whole server reaches it as "*".
        const bool whole_server = head.method == Method::options && !head.has_query;
        head.path = whole_server ? std::string_view("*") : std::string_view("/");
    }
    return true;
}

template <class Bytes>
Scan scan_request_line(Input& in, const HeadLimits& limits, RequestHead& head) noexcept
{
    // One empty line before it is forgiven, as RFC 9112 §2.2 asks: some clients end a body with one too many.
    if (!in.empty() && *in.at == '\r')
        if (const Scan scan = take_line_end(in, Scan::bad_line_end); scan != Scan::ok) return scan;

    const char* const method = in.at;
    const bool is_get = in.size() >= 4 && std::memcmp(method, "GET ", 4) == 0;
    in.at = is_get ? method + 3 : Bytes::skip_token(method, in.end);
    if (in.empty()) return in.out_of_bytes;
    head.method_text = between(method, in.at);
    head.method = is_get ? Method::get : parse_method(head.method_text);
    if (*in.at == '\n') return Scan::bad_line_end;
    if (*in.at == '\r') return Scan::bad_start_line;
    if (*in.at != ' ' || head.method_text.empty()) return Scan::bad_method;
    if (head.method == Method::connect) return Scan::bad_method;
    ++in.at;

    const char* const target = in.at;
    const std::size_t room = std::min(in.size(), limits.target_bytes + 1);
    in.at = Bytes::skip_target(target, target + room);
    head.target = between(target, in.at);
    if (head.target.size() > limits.target_bytes) return Scan::target_too_long;
    if (in.empty()) return in.out_of_bytes == Scan::incomplete ? Scan::incomplete : Scan::target_too_long;
    if (*in.at == '\n') return Scan::bad_line_end;
    if (*in.at == '\r' || head.target.empty()) return Scan::bad_start_line;
    if (*in.at != ' ') return Scan::bad_target;
    ++in.at;

    if (const Scan scan = take_version(in, 9, Scan::bad_version, head.minor_version); scan != Scan::ok) return scan;
    if (const Scan scan = take_line_end(in, Scan::bad_version); scan != Scan::ok) return scan;
    return split_target(head) ? Scan::ok : Scan::bad_target;
}

template <class Bytes>
Scan scan_status_line(Input& in, ResponseHead& head) noexcept
{
    if (const Scan scan = take_version(in, 1, Scan::bad_status, head.minor_version); scan != Scan::ok) return scan;
    if (in.empty()) return in.out_of_bytes;
    if (*in.at != ' ') return *in.at == '\n' ? Scan::bad_line_end : Scan::bad_status;
    ++in.at;
    for (int i = 0; i < 3; ++i, ++in.at) {
        if (in.empty()) return in.out_of_bytes;
        if (!is_digit(*in.at)) return *in.at == '\n' ? Scan::bad_line_end : Scan::bad_status;
        head.status = head.status * 10 + (*in.at - '0');
    }
    if (head.status < 100 || head.status > 599) return Scan::bad_status;
    if (!in.empty() && *in.at == ' ') {
        const char* const phrase = ++in.at;
        in.at = find_value_end<Bytes>(phrase, in.end);
        head.phrase = between(phrase, in.at);
    }
    return take_line_end(in, Scan::bad_status);
}

// --- hosts ---

bool is_ipv6(std::string_view text) noexcept
{
    std::array<char, INET6_ADDRSTRLEN> copy{};
    if (text.size() >= copy.size() || text.find('\0') != std::string_view::npos) return false;
    std::copy(text.begin(), text.end(), copy.begin());
    in6_addr address{};
    return ::inet_pton(AF_INET6, copy.data(), &address) == 1;
}

/// What follows the host: nothing, or ":" and digits, which RFC 3986 allows to be absent.
bool is_port_suffix(std::string_view text) noexcept
{
    if (text.empty()) return true;
    if (text.front() != ':' || text.size() > 6) return false;
    unsigned port = 0;
    for (const char c : text.substr(1)) {
        if (!is_digit(c)) return false;
        port = port * 10 + static_cast<unsigned>(c - '0');
    }
    return port <= 65535;
}

#ifdef __SSE2__
/// Is each byte a letter, a digit, "-" or "."?
bool is_usual_name(__m128i bytes) noexcept
{
    const __m128i is_mark =
        _mm_or_si128(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('-')), _mm_cmpeq_epi8(bytes, _mm_set1_epi8('.')));
    return _mm_movemask_epi8(_mm_or_si128(alphanumerics(bytes), is_mark)) == 0xffff;
}
#endif

/// Is it certain, at little cost, that a host is valid? Letters, digits, "-" and ".", and maybe a port.
bool is_usual_host([[maybe_unused]] std::string_view host) noexcept
{
#ifdef __SSE2__
    const char* end = host.data() + host.size();
    const char* digits = end;
    while (digits != host.data() && is_digit(digits[-1])) --digits;
    if (digits != host.data() && digits[-1] == ':') {
        constexpr std::ptrdiff_t always_valid = 4;  // so many digits
        if (end - digits > always_valid && !is_port_suffix(between(digits - 1, end))) return false;
        end = digits - 1;
    }
    return holds_throughout(between(host.data(), end), is_usual_name);
#else
    return false;
#endif
}

// --- whole heads ---

template <class Bytes>
Scan scan_request_by(std::string_view buffer, const HeadLimits& limits, RequestHead& head)
{
    head.clear();
    Input in(buffer, limits);
    if (const Scan scan = scan_request_line<Bytes>(in, limits, head); scan != Scan::ok) return scan;

    Framing framing;
    unsigned hosts_count = 0;
    bool upgrade_field = false;
    std::string_view host;
    const Scan scan = scan_fields<Bytes>(in, limits, head.fields, [&](const Field& field) {
        switch (field.id) {
        case FieldId::host:
            ++hosts_count;
            host = field.value;
            break;
        case FieldId::content_length: {
            const auto length = parse_content_length(field.value);
            // Repeated with one value is legal to accept (RFC 9110 §8.6), but no honest client sends it.
            if (!length || framing.length) return Scan::bad_length;
            framing.length = length;
            break;
        }
        case FieldId::transfer_encoding: framing.take_transfer_encoding(field.value); break;
        case FieldId::connection: framing.take_connection(field.value); break;
        case FieldId::upgrade: upgrade_field |= !upgrade_protocol(field.value).empty(); break;
        case FieldId::expect: head.expects_continue |= equals_ignoring_case(field.value, "100-continue"); break;
        default: break;
        }
        return Scan::ok;
    });
    if (scan != Scan::ok) return scan;

    const bool is_1_1 = head.minor_version >= 1;
    if (hosts_count > 1 || (is_1_1 && hosts_count == 0)) return Scan::bad_host;
    if ((is_1_1 || !host.empty()) && !is_valid_host(host)) return Scan::bad_host;
    if (!framing.is_transfer_encoding_sound(head.minor_version)) return Scan::bad_transfer_encoding;

    if (head.authority.empty()) head.authority = host;
    head.content_length = framing.length.value_or(0);
    head.body = framing.chunked ? BodyKind::chunked : head.content_length > 0 ? BodyKind::length : BodyKind::none;
    head.keep_alive = framing.keeps_alive(head.minor_version);
    head.expects_continue &= is_1_1;
    head.upgrade = is_1_1 && framing.upgrade_option && upgrade_field;
    head.bytes = between(buffer.data(), in.at);
    return Scan::ok;
}

template <class Bytes>
Scan scan_response_by(std::string_view buffer, const HeadLimits& limits, bool to_head, ResponseHead& head)
{
    head.clear();
    Input in(buffer, limits);
    if (const Scan scan = scan_status_line<Bytes>(in, head); scan != Scan::ok) return scan;

    Framing framing;
    const Scan scan = scan_fields<Bytes>(in, limits, head.fields, [&](const Field& field) {
        switch (field.id) {
        case FieldId::content_length: {
            // One value said several times is one value (RFC 9112 §6.3); two values are none.
            std::string_view rest = field.value;
            for (;;) {
                const std::size_t comma = rest.find(',');
                const auto length = parse_content_length(trim(rest.substr(0, comma)));
                if (!length || (framing.length && *framing.length != *length)) return Scan::bad_length;
                framing.length = length;
                if (comma == std::string_view::npos) break;
                rest.remove_prefix(comma + 1);
            }
            break;
        }
        case FieldId::transfer_encoding: framing.take_transfer_encoding(field.value); break;
        case FieldId::connection: framing.take_connection(field.value); break;
        default: break;
        }
        return Scan::ok;
    });
    if (scan != Scan::ok) return scan;
    if (!framing.is_transfer_encoding_sound(head.minor_version)) return Scan::bad_transfer_encoding;

    const bool has_no_body = to_head || head.status < 200 || head.status == 204 || head.status == 304;
    head.content_length = framing.length.value_or(0);
    head.body = has_no_body       ? BodyKind::none
                : framing.chunked ? BodyKind::chunked
                : framing.length  ? BodyKind::length
                                  : BodyKind::until_close;
    head.keep_alive = framing.keeps_alive(head.minor_version) && head.body != BodyKind::until_close;
    head.bytes = between(buffer.data(), in.at);
    return Scan::ok;
}

// Flat, or a third of what a browser's head costs would be calls.
[[gnu::flatten]] Scan scan_request_usual(std::string_view buffer, const HeadLimits& limits, RequestHead& head)
{
    return scan_request_by<UsualBytes>(buffer, limits, head);
}

[[gnu::flatten]] Scan scan_response_usual(std::string_view buffer, const HeadLimits& limits, bool to_head,
                                          ResponseHead& head)
{
    return scan_response_by<UsualBytes>(buffer, limits, to_head, head);
}

#if defined(__x86_64__)
[[gnu::target("avx2,bmi"), gnu::flatten]] Scan scan_request_avx2(std::string_view buffer, const HeadLimits& limits,
                                                                 RequestHead& head)
{
    return scan_request_by<Avx2Bytes>(buffer, limits, head);
}

[[gnu::target("avx2,bmi"), gnu::flatten]] Scan scan_response_avx2(std::string_view buffer, const HeadLimits& limits,
                                                                  bool to_head, ResponseHead& head)
{
    return scan_response_by<Avx2Bytes>(buffer, limits, to_head, head);
}
#endif

// --- moving views ---

/// Moves a view that lies within `old`; one into static text, or none, stays.
void move_view(std::string_view& view, std::string_view old, const char* new_base) noexcept
{
    const std::uintptr_t at =
        reinterpret_cast<std::uintptr_t>(view.data()) - reinterpret_cast<std::uintptr_t>(old.data());
    if (at <= old.size()) view = {new_base + at, view.size()};
}

void move_fields(Fields& fields, std::string_view old, const char* new_base) noexcept
{
    for (Field& field : fields.all) {
        move_view(field.name, old, new_base);
        move_view(field.value, old, new_base);
    }
}

}  // namespace

FieldId field_id(std::string_view name) noexcept { return find_field_id(name); }

bool is_field_line(std::string_view line) noexcept
{
    const char* const end = line.data() + line.size();
    const char* const colon = UsualBytes::skip_token(line.data(), end);
    if (colon == line.data() || colon == end || *colon != ':') return false;
    return find_value_end(colon, end) == end;
}

const Field* Fields::find(std::string_view name) const noexcept
{
    for (const Field& field : all)
        if (equals_ignoring_case(field.name, name)) return &field;
    return nullptr;
}

std::size_t Fields::count(FieldId id) const noexcept
{
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [id](const Field& field) { return field.id == id; }));
}

int status_for(Scan fault) noexcept
{
    switch (fault) {
    case Scan::ok: return 200;
    case Scan::incomplete: return 408;
#define X(name, status, word, text) \
    case Scan::name: return status;
        LARDER_HEAD_FAULTS(X)
#undef X
    }
    return 400;
}

std::string_view word(Scan fault) noexcept
{
    switch (fault) {
    case Scan::ok: return "ok";
    case Scan::incomplete: return "incomplete";
#define X(name, status, word, text) \
    case Scan::name: return word;
        LARDER_HEAD_FAULTS(X)
#undef X
    }
    return "unknown";
}

std::string_view text(Scan fault) noexcept
{
    switch (fault) {
    case Scan::ok: return "no fault";
    case Scan::incomplete: return "the head has not arrived completely";
#define X(name, status, word, text) \
    case Scan::name: return text;
        LARDER_HEAD_FAULTS(X)
#undef X
    }
    return "unknown fault";
}

Scan scan_request(std::string_view buffer, const HeadLimits& limits, RequestHead& head)
{
#if defined(__x86_64__)
    if (has_avx2()) return scan_request_avx2(buffer, limits, head);
#endif
    return scan_request_usual(buffer, limits, head);
}

Scan scan_response(std::string_view buffer, const HeadLimits& limits, bool to_head, ResponseHead& head)
{
#if defined(__x86_64__)
    if (has_avx2()) return scan_response_avx2(buffer, limits, to_head, head);
#endif
    return scan_response_usual(buffer, limits, to_head, head);
}

bool is_valid_host(std::string_view host) noexcept
{
    if (host.empty()) return false;
    if (is_usual_host(host)) return true;
    if (host.front() == '[') {
        const std::size_t close = host.find(']');
        return close != std::string_view::npos && is_ipv6(host.substr(1, close - 1)) &&
               is_port_suffix(host.substr(close + 1));
    }
    const char* const end = host.data() + host.size();
    const char* at = host.data();
    for (;;) {
        at = skip(reg_name_byte, at, end);
        if (at == end || *at != '%') break;
        if (end - at < 3 || hex_value(at[1]) < 0 || hex_value(at[2]) < 0) return false;
        at += 3;
    }
    return at != host.data() && is_port_suffix(between(at, end));
}

void RequestHead::rebase(const char* new_base) noexcept
{
    move_view(method_text, bytes, new_base);
    move_view(target, bytes, new_base);
    move_view(authority, bytes, new_base);
    move_view(path, bytes, new_base);
    move_view(query, bytes, new_base);
    move_fields(fields, bytes, new_base);
    bytes = {new_base, bytes.size()};
}

void RequestHead::clear() noexcept
{
    bytes = method_text = target = authority = path = query = {};
    method = Method::other;
    has_query = false;
    minor_version = 1;
    fields.all.clear();
    body = BodyKind::none;
    content_length = 0;
    keep_alive = true;
    expects_continue = upgrade = false;
}

void ResponseHead::rebase(const char* new_base) noexcept
{
    move_view(phrase, bytes, new_base);
    move_fields(fields, bytes, new_base);
    bytes = {new_base, bytes.size()};
}

void ResponseHead::clear() noexcept
{
    bytes = phrase = {};
    status = 0;
    minor_version = 1;
    fields.all.clear();
    body = BodyKind::until_close;
    content_length = 0;
    keep_alive = true;
}

}  // namespace larder::rules
