// Request and response heads: the scanner must not be led out of its bytes, must say the same however the bytes arrive,
// and what it accepts must be written and read back as the same message.
#include <algorithm>
#include <string>

#include "input.hpp"
#include "rules/base/text.hpp"
#include "rules/http/fields.hpp"
#include "rules/http/head.hpp"
#include "targets.hpp"

namespace larder::fuzz {

namespace {

using namespace rules;

// Small enough to be met by inputs of any length.
constexpr HeadLimits small_limits{400, 60, 6, 100};
constexpr HeadLimits larger_limits{};

/// Limits of the whole kind: a response has no target.
Scan scan(std::string_view bytes, const HeadLimits& limits, RequestHead& head)
{
    return scan_request(bytes, limits, head);
}
Scan scan(std::string_view bytes, const HeadLimits& limits, ResponseHead& head)
{
    return scan_response(bytes, limits, false, head);
}

FieldId id_by_table(std::string_view name)
{
#define X(id, text) \
    if (equals_ignoring_case(name, text)) return FieldId::id;
    LARDER_FIELDS(X)
#undef X
    return FieldId::other;
}

void check_fields(const Fields& fields, std::string_view bytes, const HeadLimits& limits)
{
    expect(fields.all.size() <= limits.fields_count, "no more fields than the limit");
    for (const Field& field : fields.all) {
        expect(lies_in(field.name, bytes) && lies_in(field.value, bytes), "a field lies in the head");
        expect(is_token(field.name), "a field name is a token");
        expect(is_field_value(field.value), "a field value has no control byte but tab");
        expect_same(field.value, trim(field.value), "a field value has no outer white space");
        expect(field.id == id_by_table(field.name), "a field's id is that of its name");
    }
}

void append_fields(std::string& out, const Fields& fields)
{
    for (const Field& field : fields.all) out.append(field.name).append(": ").append(field.value).append("\r\n");
    out += "\r\n";
}

void expect_same_fields(const Fields& one, const Fields& other, const char* what)
{
    expect(one.all.size() == other.all.size(), what);
    for (std::size_t i = 0; i < one.all.size(); ++i) {
        expect_same(one.all[i].name, other.all[i].name, what);
        expect_same(one.all[i].value, other.all[i].value, what);
        expect(one.all[i].id == other.all[i].id, what);
    }
}

void expect_same_head(const RequestHead& one, const RequestHead& other, const char* what)
{
    expect_same(one.method_text, other.method_text, what);
    expect(one.method == other.method, what);
    expect_same(one.target, other.target, what);
    expect_same(one.authority, other.authority, what);
    expect_same(one.path, other.path, what);
    expect_same(one.query, other.query, what);
    expect(one.has_query == other.has_query && one.minor_version == other.minor_version && one.body == other.body &&
               one.content_length == other.content_length && one.keep_alive == other.keep_alive &&
               one.expects_continue == other.expects_continue && one.upgrade == other.upgrade,
           what);
    expect_same_fields(one.fields, other.fields, what);
}

void expect_same_head(const ResponseHead& one, const ResponseHead& other, const char* what)
{
    expect_same(one.phrase, other.phrase, what);
    expect(one.status == other.status && one.minor_version == other.minor_version && one.body == other.body &&
               one.content_length == other.content_length && one.keep_alive == other.keep_alive,
           what);
    expect_same_fields(one.fields, other.fields, what);
}

std::string print(const RequestHead& head)
{
    std::string out;
    out.append(head.method_text).append(" ").append(head.target).append(" HTTP/1.");
    out.append(head.minor_version == 0 ? "0" : "1").append("\r\n");
    append_fields(out, head.fields);
    return out;
}

std::string print(const ResponseHead& head)
{
    std::string out = head.minor_version == 0 ? "HTTP/1.0 " : "HTTP/1.1 ";
    out.append(std::to_string(head.status)).append(" ").append(head.phrase).append("\r\n");
    append_fields(out, head.fields);
    return out;
}

/// A read may end anywhere: until the answer is certain it is `incomplete`, and then it is the answer of the whole.
template <class Head>
void check_cuts(std::string_view input, const HeadLimits& limits, Scan whole)
{
    const std::size_t step = std::max<std::size_t>(1, input.size() / 80);
    Head head;
    for (std::size_t size = 0; size < input.size(); size += step) {
        const ExactCopy cut(input.substr(0, size));
        const Scan early = scan(cut.view(), limits, head);
        if (early != Scan::incomplete)
            expect_same(word(early), word(whole), "what is said early is what the whole gets");
    }
}

template <class Head>
void check_head(std::string_view input, const HeadLimits& limits, Head& head)
{
    const Scan whole = scan(input, limits, head);
    check_fields(head.fields, input, limits);
    check_cuts<Head>(input, limits, whole);
    if (whole != Scan::ok) {
        expect(!word(whole).empty() && !text(whole).empty() && status_for(whole) >= 400, "each fault has its words");
        return;
    }

    expect(head.bytes.data() == input.data() && head.bytes.size() <= input.size(),
           "a head begins where the input does");
    expect(head.bytes.ends_with("\r\n\r\n"), "a head ends with an empty line");
    expect(head.bytes.size() <= limits.head_bytes, "a head is not above the limit");

    Head again;
    const std::string printed = print(head);
    expect(scan(printed, {}, again) == Scan::ok, "a head that was accepted is accepted as we write it");
    expect_same_head(head, again, "a head is read back as it was");

    const std::string followed = std::string(head.bytes) + "GET / HTTP/1.1\r\n";
    expect(scan(followed, limits, again) == Scan::ok && again.bytes == head.bytes,
           "what follows a head is not part of it");

    const ExactCopy moved(head.bytes);
    Head rebased = head;
    rebased.rebase(moved.view().data());
    expect(scan(moved.view(), limits, again) == Scan::ok, "a head alone is a head");
    expect_same_head(rebased, again, "a head that has moved is the same");
    check_fields(rebased.fields, moved.view(), limits);
}

void check_accepted(const RequestHead& head)
{
    expect(is_token(head.method_text), "a method is a token");
    expect(!head.target.empty() && is_visible(head.target), "a target is visible ASCII");
    expect(head.target.find('#') == std::string_view::npos, "a target has no fragment");
    expect(head.path == "*" || head.path.starts_with('/'), "a path begins with a slash");
    expect(head.path.find('?') == std::string_view::npos, "a path has no query");
    if (head.path != "*" && head.target.find_first_of("/?") != std::string_view::npos) {
        const std::string both = std::string(head.path) + (head.has_query ? "?" : "") + std::string(head.query);
        expect(head.target.ends_with(both) || (head.path == "/" && head.target.ends_with(both.substr(1))),
               "path and query are the end of the target");
    }
    expect(head.has_query || head.query.empty(), "no query without its mark");
    expect(head.authority.empty() ? head.minor_version == 0 : is_valid_host(head.authority), "the host is valid");
    expect(head.fields.count(FieldId::host) <= 1 && head.fields.count(FieldId::content_length) <= 1 &&
               head.fields.count(FieldId::transfer_encoding) <= 1,
           "what could be read in two ways stands once");
    const bool has_length = head.fields.has(FieldId::content_length);
    const bool has_encoding = head.fields.has(FieldId::transfer_encoding);
    expect(!has_length || !has_encoding, "never both ways to frame a body");
    expect(has_encoding == (head.body == BodyKind::chunked), "chunked is what says so");
    expect((head.content_length > 0) == (head.body == BodyKind::length), "a length is a body of it");
    expect(head.content_length <= INT64_MAX, "a length is never negative for anybody");
    expect(head.body != BodyKind::until_close, "no request ends with the connection");
    expect(head.minor_version >= 1 || (!head.upgrade && !head.expects_continue), "HTTP/1.0 has no such thing");

    std::string_view protocol;
    for (const Field& field : head.fields.all)
        if (field.id == FieldId::upgrade && protocol.empty()) protocol = upgrade_protocol(field.value);
    expect(!head.upgrade ||
               (!protocol.empty() && !equals_ignoring_case(protocol, "h2") && !equals_ignoring_case(protocol, "h2c")),
           "no other HTTP is tunnelled");

    // What would travel on frames nothing.
    const HopByHop is_hop_by_hop(head.fields);
    for (const Field& field : head.fields.all)
        if (field.id == FieldId::transfer_encoding || field.id == FieldId::connection || field.id == FieldId::upgrade)
            expect(is_hop_by_hop(field), "what is about this connection stays on it");
        else if (field.id == FieldId::host || field.id == FieldId::authorization || field.id == FieldId::cookie ||
                 field.id == FieldId::cache_control)
            expect(!is_hop_by_hop(field), "what is about the message goes on, whatever Connection names");
}

void check_accepted(const ResponseHead& head)
{
    expect(head.status >= 100 && head.status <= 599, "a status has three digits that mean something");
    expect(is_field_value(head.phrase), "a phrase has no control byte but tab");
    expect(head.content_length <= INT64_MAX, "a length is never negative for anybody");
    expect(!(head.fields.has(FieldId::content_length) && head.fields.has(FieldId::transfer_encoding)),
           "never both ways to frame a body");
    const bool no_body = head.status < 200 || head.status == 204 || head.status == 304;
    expect(!no_body || head.body == BodyKind::none, "these have no body");
    expect(!(head.keep_alive && head.body == BodyKind::until_close), "a connection that marks an end is not kept");
}

}  // namespace

void check_request_head(std::string_view input)
{
    for (const HeadLimits& limits : {larger_limits, small_limits}) {
        RequestHead head;
        check_head(input, limits, head);
        if (!head.bytes.empty()) check_accepted(head);
    }
}

void check_response_head(std::string_view input)
{
    for (const HeadLimits& limits : {larger_limits, small_limits}) {
        ResponseHead head;
        check_head(input, limits, head);
        if (!head.bytes.empty()) check_accepted(head);
    }
    ResponseHead to_get, to_head;
    const Scan scan_get = scan_response(input, {}, false, to_get), scan_head = scan_response(input, {}, true, to_head);
    expect(scan_get == scan_head, "the method of the request changes nothing about the syntax");
    if (scan_head == Scan::ok) expect(to_head.body == BodyKind::none, "no body follows the head of a HEAD");
}

}  // namespace larder::fuzz
