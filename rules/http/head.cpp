#include "rules/http/head.hpp"

#include <arpa/inet.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <functional>
#include <optional>

#include "rules/base/text.hpp"
#include "rules/http/fields.hpp"

namespace larder::rules {
namespace {

// --- bytes ---

constexpr std::uint8_t token_byte = 1;     // RFC 9110 §5.6.2
constexpr std::uint8_t target_byte = 2;    // visible ASCII without "#": no fragment is ever sent
constexpr std::uint8_t reg_name_byte = 4;  // RFC 3986 §3.2.2, without "%"

constexpr auto byte_classes = [] {
    std::array<std::uint8_t, 256> classes{};
    for (unsigned i = 0; i < 128; ++i) {
        const char c = static_cast<char>(i);
        if (is_token_char(c)) classes[i] |= token_byte;
        if (c > ' ' && c < 0x7f && c != '#') classes[i] |= target_byte;
        if (is_alpha(c) || is_digit(c) || std::string_view("-._~!$&'()*+,;=").find(c) != std::string_view::npos)
            classes[i] |= reg_name_byte;
    }
    return classes;
}();

bool is(std::uint8_t byte_class, char c) noexcept
{
    return (byte_classes[static_cast<unsigned char>(c)] & byte_class) != 0;
}

const char* skip(std::uint8_t byte_class, const char* at, const char* end) noexcept
{
    for (; end - at >= 4; at += 4) {
        if (!is(byte_class, at[0])) return at;
        if (!is(byte_class, at[1])) return at + 1;
        if (!is(byte_class, at[2])) return at + 2;
        if (!is(byte_class, at[3])) return at + 3;
    }
    while (at != end && is(byte_class, *at)) ++at;
    return at;
}

/// The first control byte (below 0x20, or DEL), or `end`. Many bytes a step: field values are most of a head.
const char* find_control(const char* at, const char* end) noexcept
{
#ifdef __SSE2__
    const __m128i highest_control = _mm_set1_epi8(0x1f), del_byte = _mm_set1_epi8(0x7f);
    for (; end - at >= 16; at += 16) {
        const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
        const __m128i is_low = _mm_cmpeq_epi8(_mm_min_epu8(bytes, highest_control), bytes);
        const auto found =
            static_cast<unsigned>(_mm_movemask_epi8(_mm_or_si128(is_low, _mm_cmpeq_epi8(bytes, del_byte))));
        if (found != 0) return at + std::countr_zero(found);
    }
#endif
    if constexpr (std::endian::native == std::endian::little) {
        constexpr std::uint64_t ones = 0x0101010101010101;
        while (end - at >= 8) {
            std::uint64_t word = 0;
            std::memcpy(&word, at, 8);
            const std::uint64_t low = (word - ones * 0x20) & ~word;
            const std::uint64_t not_del = word ^ (ones * 0x7f);
            const std::uint64_t del = (not_del - ones) & ~not_del;
            // A borrow can only raise flags above a true one, so the lowest flag is always right.
            const std::uint64_t flags = (low | del) & (ones * 0x80);
            if (flags != 0) return at + std::countr_zero(flags) / 8;
            at += 8;
        }
    }
    while (at != end && static_cast<unsigned char>(*at) >= 0x20 && *at != 0x7f) ++at;
    return at;
}

/// Behind the last byte of a field value or phrase: the first control byte that is not a tab.
const char* find_value_end(const char* at, const char* end) noexcept
{
    at = find_control(at, end);
    while (at != end && *at == '\t') at = find_control(at + 1, end);
    return at;
}

// --- field names ---

constexpr std::size_t name_slots = 256;

constexpr std::size_t name_slot(std::string_view name) noexcept
{
    const auto folded = [](char c) { return static_cast<unsigned char>(c | 0x20); };
    return (name.size() + folded(name[name.size() / 2]) * 3u + folded(name.back()) * 97u) % name_slots;
}

struct KnownName {
    std::string_view text;
    FieldId id = FieldId::other;
};

// A perfect hash over length, middle and last letter: one comparison decides. A new name that collides stops the build;
// then other factors are needed in name_slot.
constexpr auto known_names = [] {
    std::array<KnownName, name_slots> table{};
    const auto add = [&table](std::string_view text, FieldId id) {
        KnownName& slot = table[name_slot(text)];
        if (!slot.text.empty()) throw "two field names share a slot";
        slot = {text, id};
    };
#define X(name, text) add(text, FieldId::name);
    LARDER_FIELDS(X)
#undef X
    return table;
}();

std::uint64_t load_folded(const char* at) noexcept
{
    std::uint64_t word = 0;
    std::memcpy(&word, at, 8);
    return word | 0x2020202020202020;
}

/// Compares a token with a name in lower case. Setting bit 5 folds letters, and maps no other token character onto a
/// letter, a digit or "-", which is all that the known names are made of.
bool same_name(std::string_view token, std::string_view name) noexcept
{
    if (token.size() != name.size()) return false;
    const std::size_t size = name.size();
    if (size < 8) {
        unsigned difference = 0;
        for (std::size_t i = 0; i < size; ++i) difference |= static_cast<unsigned>((token[i] | 0x20) ^ name[i]);
        return difference == 0;
    }
    std::uint64_t difference = 0;
    for (std::size_t i = 0; i + 8 <= size; i += 8)
        difference |= load_folded(token.data() + i) ^ load_folded(name.data() + i);
    difference |= load_folded(token.data() + size - 8) ^ load_folded(name.data() + size - 8);
    return difference == 0;
}

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
    if (in.empty()) return in.out_of_bytes;
    if (*in.at == '\n') return Scan::bad_line_end;
    if (*in.at != '\r') return otherwise;
    if (in.size() < 2) return in.out_of_bytes;
    if (in.at[1] != '\n') return Scan::bad_line_end;
    in.at += 2;
    return Scan::ok;
}

/// Scans field lines up to and with the empty line. `on_field(field)` sees each of them; it may refuse one.
template <class OnField>
Scan scan_fields(Input& in, const HeadLimits& limits, Fields& fields, OnField on_field)
{
    constexpr std::size_t usual_count = 16;
    if (fields.all.capacity() == 0) fields.all.reserve(usual_count);
    for (;;) {
        if (in.empty()) return in.out_of_bytes;
        if (*in.at == '\r' || *in.at == '\n') return take_line_end(in, Scan::bad_line_end);

        const char* const line = in.at;
        const char* const colon = skip(token_byte, line, in.end);
        if (static_cast<std::size_t>(colon - line) > limits.field_bytes) return Scan::head_too_large;
        if (colon == in.end) return in.out_of_bytes;
        if (*colon != ':' || colon == line) return *colon == '\n' ? Scan::bad_line_end : Scan::bad_field;

        const char* value = colon + 1;
        while (value != in.end && (*value == ' ' || *value == '\t')) ++value;
        const char* const end = find_value_end(value, in.end);
        if (static_cast<std::size_t>(end - line) > limits.field_bytes) return Scan::head_too_large;
        in.at = end;
        if (const Scan scan = take_line_end(in, Scan::bad_field); scan != Scan::ok) return scan;
        if (fields.all.size() == limits.fields_count) return Scan::head_too_large;

        const char* last = end;
        while (last != value && (last[-1] == ' ' || last[-1] == '\t')) --last;
        const std::string_view name = between(line, colon);
        const Field& field = fields.all.emplace_back(Field{name, between(value, last), field_id(name)});
        if (const Scan scan = on_field(field); scan != Scan::ok) return scan;
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

Scan scan_request_line(Input& in, const HeadLimits& limits, RequestHead& head) noexcept
{
    // One empty line before it is forgiven, as RFC 9112 §2.2 asks: some clients end a body with one too many.
    if (!in.empty() && *in.at == '\r')
        if (const Scan scan = take_line_end(in, Scan::bad_line_end); scan != Scan::ok) return scan;

    const char* const method = in.at;
    in.at = skip(token_byte, method, in.end);
    if (in.empty()) return in.out_of_bytes;
    head.method_text = between(method, in.at);
    head.method = parse_method(head.method_text);
    if (*in.at == '\n') return Scan::bad_line_end;
    if (*in.at == '\r') return Scan::bad_start_line;
    if (*in.at != ' ' || head.method_text.empty()) return Scan::bad_method;
    if (head.method == Method::connect) return Scan::bad_method;
    ++in.at;

    const char* const target = in.at;
    const std::size_t room = std::min(in.size(), limits.target_bytes + 1);
    in.at = skip(target_byte, target, target + room);
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
        in.at = find_value_end(phrase, in.end);
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
    if (text.empty() || text == ":") return true;
    if (text.front() != ':' || text.size() > 6) return false;
    const auto port = parse_digits(text.substr(1));
    return port && *port <= 65535;
}

// --- moving views ---

/// Moves a view that lies within `old`; one into static text, or none, stays.
void move_view(std::string_view& view, std::string_view old, const char* new_base) noexcept
{
    const std::less_equal<const char*> not_after;
    if (!not_after(old.data(), view.data()) || !not_after(view.data(), old.data() + old.size())) return;
    view = {new_base + (view.data() - old.data()), view.size()};
}

void move_fields(Fields& fields, std::string_view old, const char* new_base) noexcept
{
    for (Field& field : fields.all) {
        move_view(field.name, old, new_base);
        move_view(field.value, old, new_base);
    }
}

}  // namespace

FieldId field_id(std::string_view name) noexcept
{
    if (name.empty()) return FieldId::other;
    const KnownName& known = known_names[name_slot(name)];
    return same_name(name, known.text) ? known.id : FieldId::other;
}

bool is_field_line(std::string_view line) noexcept
{
    const char* const end = line.data() + line.size();
    const char* const colon = skip(token_byte, line.data(), end);
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
    head.clear();
    Input in(buffer, limits);
    if (const Scan scan = scan_request_line(in, limits, head); scan != Scan::ok) return scan;

    Framing framing;
    unsigned hosts_count = 0;
    bool upgrade_field = false;
    std::string_view host;
    const Scan scan = scan_fields(in, limits, head.fields, [&](const Field& field) {
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

Scan scan_response(std::string_view buffer, const HeadLimits& limits, bool to_head, ResponseHead& head)
{
    head.clear();
    Input in(buffer, limits);
    if (const Scan scan = scan_status_line(in, head); scan != Scan::ok) return scan;

    Framing framing;
    const Scan scan = scan_fields(in, limits, head.fields, [&](const Field& field) {
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

bool is_valid_host(std::string_view host) noexcept
{
    if (host.empty()) return false;
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
    for (std::string_view* view : {&method_text, &target, &authority, &path, &query}) move_view(*view, bytes, new_base);
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
