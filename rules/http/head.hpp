// The strict scanner of request and response heads (RFC 9112 §2-§6): the one place where bytes from outside become
// a message. Used by proxy/server and proxy/upstream. Allocates nothing but the field table, keeps views into the
// caller's buffer. Whatever it is not sure about it refuses.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace larder::rules {

enum class Method : std::uint8_t { get, head, post, put, patch, delete_, options, trace, connect, other };

/// Fields that Larder itself looks at. Everything else is `other` and only passed on.
// Columns: name, text in lower case.
#define LARDER_FIELDS(X)                                      \
    X(accept_encoding, "accept-encoding")                     \
    X(age, "age")                                             \
    X(authorization, "authorization")                         \
    X(cache_control, "cache-control")                         \
    X(cache_group_invalidation, "cache-group-invalidation")   \
    X(cache_groups, "cache-groups")                           \
    X(cache_status, "cache-status")                           \
    X(cache_tag, "cache-tag")                                 \
    X(cdn_cache_control, "cdn-cache-control")                 \
    X(connection, "connection")                               \
    X(content_encoding, "content-encoding")                   \
    X(content_length, "content-length")                       \
    X(content_location, "content-location")                   \
    X(content_range, "content-range")                         \
    X(content_type, "content-type")                           \
    X(cookie, "cookie")                                       \
    X(date, "date")                                           \
    X(etag, "etag")                                           \
    X(expect, "expect")                                       \
    X(expires, "expires")                                     \
    X(forwarded, "forwarded")                                 \
    X(host, "host")                                           \
    X(http2_settings, "http2-settings")                       \
    X(if_match, "if-match")                                   \
    X(if_modified_since, "if-modified-since")                 \
    X(if_none_match, "if-none-match")                         \
    X(if_range, "if-range")                                   \
    X(if_unmodified_since, "if-unmodified-since")             \
    X(keep_alive, "keep-alive")                               \
    X(larder_cache_control, "larder-cache-control")           \
    X(larder_debug, "larder-debug")                           \
    X(last_modified, "last-modified")                         \
    X(location, "location")                                   \
    X(pragma, "pragma")                                       \
    X(proxy_authenticate, "proxy-authenticate")               \
    X(proxy_authentication_info, "proxy-authentication-info") \
    X(proxy_authorization, "proxy-authorization")             \
    X(proxy_connection, "proxy-connection")                   \
    X(range, "range")                                         \
    X(set_cookie, "set-cookie")                               \
    X(surrogate_key, "surrogate-key")                         \
    X(te, "te")                                               \
    X(traceparent, "traceparent")                             \
    X(tracestate, "tracestate")                               \
    X(trailer, "trailer")                                     \
    X(transfer_encoding, "transfer-encoding")                 \
    X(upgrade, "upgrade")                                     \
    X(vary, "vary")                                           \
    X(via, "via")                                             \
    X(warning, "warning")                                     \
    X(x_forwarded_for, "x-forwarded-for")                     \
    X(x_forwarded_host, "x-forwarded-host")                   \
    X(x_forwarded_proto, "x-forwarded-proto")                 \
    X(x_request_id, "x-request-id")                           \
    X(xkey, "xkey")

enum class FieldId : std::uint8_t {
    other,
#define X(name, text) name,
    LARDER_FIELDS(X)
#undef X
};

static_assert(static_cast<unsigned>(FieldId::xkey) < 64, "FieldSet has a bit for each");

/// The id of a field name (a token) in any case; `other` when Larder has no interest in it.
FieldId field_id(std::string_view name) noexcept;

struct Field {
    std::string_view name;   // as received
    std::string_view value;  // outer white space removed
    FieldId id = FieldId::other;
};

/// Some of the fields that Larder knows.
class FieldSet {
  public:
    constexpr FieldSet() = default;
    constexpr FieldSet(std::initializer_list<FieldId> ids) noexcept
    {
        for (const FieldId id : ids) add(id);
    }
    constexpr void add(FieldId id) noexcept { bits_ |= std::uint64_t{1} << static_cast<unsigned>(id); }
    constexpr bool has(FieldId id) const noexcept { return has_any({id}); }
    constexpr bool has_any(FieldSet others) const noexcept { return (bits_ & others.bits_) != 0; }

  private:
    std::uint64_t bits_ = 0;
};

/// Fields in the order received.
class Fields {
  public:
    /// Which there are. For who has several questions: one look at each line answers them all.
    FieldSet ids() const noexcept
    {
        FieldSet set;
        for (const Field& field : all) set.add(field.id);
        return set;
    }
    /// The first field of that id, or null. Do not use for list-valued fields: they may stand several times.
    const Field* find(FieldId id) const noexcept
    {
        for (const Field& field : all)
            if (field.id == id) return &field;
        return nullptr;
    }
    /// The first field of that name, in any case, or null.
    const Field* find(std::string_view name) const noexcept;
    bool has(FieldId id) const noexcept { return find(id) != nullptr; }
    /// The first field's value; empty when there is none.
    std::string_view value(FieldId id) const noexcept
    {
        const Field* field = find(id);
        return field ? field->value : std::string_view{};
    }
    std::size_t count(FieldId id) const noexcept;

    std::vector<Field> all;
};

/// How the end of a body is found (RFC 9112 §6).
enum class BodyKind : std::uint8_t { none, length, chunked, until_close };

struct HeadLimits {
    std::size_t head_bytes = 32 * 1024;  // start line and all fields
    std::size_t target_bytes = 16 * 1024;
    std::size_t fields_count = 128;
    std::size_t field_bytes = 16 * 1024;  // one field line
};

/// What a scan says. `incomplete` asks for more bytes; every other word but `ok` ends the connection.
// Columns: name, status to answer a client with, reason word, text.
#define LARDER_HEAD_FAULTS(X)                                                                            \
    X(bad_start_line, 400, "bad-start-line", "the first line is not a valid HTTP/1.x start line")        \
    X(bad_method, 400, "bad-method", "the method is not a token")                                        \
    X(bad_target, 400, "bad-target", "the request target has a form or a byte that HTTP does not allow") \
    X(bad_version, 400, "bad-version", "only HTTP/1.0 and HTTP/1.1 are spoken here")                     \
    X(bad_field, 400, "bad-field", "a field line is malformed")                                          \
    X(bad_line_end, 400, "bad-line-end", "a line does not end with CR LF")                               \
    X(bad_host, 400, "bad-host", "Host is missing, repeated or invalid")                                 \
    X(bad_length, 400, "bad-length", "Content-Length is invalid or repeated")                            \
    X(bad_transfer_encoding, 400, "bad-transfer-encoding",                                               \
      "Transfer-Encoding is not exactly `chunked`, or stands beside Content-Length")                     \
    X(bad_status, 502, "bad-status-line", "the status line is invalid")                                  \
    X(target_too_long, 414, "target-too-long", "the request target is above the limit")                  \
    X(head_too_large, 431, "head-too-large", "the request head is above the limit")

enum class Scan : std::uint8_t {
    ok,
    incomplete,
#define X(name, status, word, text) name,
    LARDER_HEAD_FAULTS(X)
#undef X
};
int status_for(Scan fault) noexcept;
std::string_view word(Scan fault) noexcept;
std::string_view text(Scan fault) noexcept;

/// A scanned request head. All views point into the scanned buffer; `rebase` moves them when the bytes move.
struct RequestHead {
    std::string_view bytes;  // the whole head, with its empty line
    std::string_view method_text;
    Method method = Method::other;
    std::string_view target;     // as received, for logs
    std::string_view authority;  // of an absolute-form target, else the value of Host; may be empty in HTTP/1.0
    std::string_view path;       // raw path: "/a/b"; "*" for OPTIONS *; "/" when an absolute-form target has none
    std::string_view query;      // raw, without "?"
    bool has_query = false;      // "/a?" and "/a" are two targets
    int minor_version = 1;
    Fields fields;
    BodyKind body = BodyKind::none;
    std::uint64_t content_length = 0;
    bool keep_alive = true;  // what the client wants
    bool expects_continue = false;
    /// HTTP/1.1, Connection names Upgrade, and Upgrade a protocol that may be tunnelled (`upgrade_protocol`).
    bool upgrade = false;

    /// Moves every view to a copy of the same bytes that begins at `new_base`.
    void rebase(const char* new_base) noexcept;
    void clear() noexcept;
};

/// Scans one request head at the start of `buffer`, always from its beginning. On `ok` `head.bytes.size()` bytes belong
/// to it. A fault is told as soon as its byte is there; `head` then holds what was scanned before it.
Scan scan_request(std::string_view buffer, const HeadLimits& limits, RequestHead& head);

struct ResponseHead {
    std::string_view bytes;
    int status = 0;
    std::string_view phrase;
    int minor_version = 1;
    Fields fields;
    BodyKind body = BodyKind::until_close;
    std::uint64_t content_length = 0;
    bool keep_alive = true;  // the upstream will keep the connection open

    void rebase(const char* new_base) noexcept;
    void clear() noexcept;
};

/// Scans one response head. `to_head` says that the request was a HEAD: no body follows whatever the fields say.
Scan scan_response(std::string_view buffer, const HeadLimits& limits, bool to_head, ResponseHead& head);

/// True when `line`, without its CR LF, has the syntax of a field line (RFC 9112 §5): for trailers.
bool is_field_line(std::string_view line) noexcept;

/// True when `host` is a valid Host value: reg-name, IPv4 or [IPv6], optional port (RFC 9110 §7.2, RFC 3986 §3.2.2).
bool is_valid_host(std::string_view host) noexcept;

/// True for a method that is defined as safe (RFC 9110 §9.2.1). Unknown methods count as unsafe.
constexpr bool is_safe(Method method) noexcept
{
    return method == Method::get || method == Method::head || method == Method::options || method == Method::trace;
}

}  // namespace larder::rules
