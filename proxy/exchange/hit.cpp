#include "proxy/exchange/hit.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "proxy/exchange/heads.hpp"
#include "proxy/exchange/refuse.hpp"
#include "proxy/exchange/stored_entry.hpp"
#include "rules/base/appender.hpp"
#include "rules/base/text.hpp"
#include "rules/http/conditional.hpp"
#include "rules/http/date.hpp"
#include "rules/http/range.hpp"

namespace larder::proxy {

using rules::BodyKind;
using rules::FieldId;

namespace {

/// The fields of a stored head that a 304 repeats.
void append_not_modified_fields(std::string& out, std::string_view head)
{
    for_each_line(head, [&](FieldId id, std::string_view line) {
        if (rules::belongs_in_not_modified(id)) out += line;
    });
}

void append_cache_fields(std::string& out, const Exchange& exchange, rules::Milliseconds age)
{
    if (age.count() >= 0) {
        out += "Age: ";
        rules::append_number(out, static_cast<std::uint64_t>(std::chrono::floor<rules::Seconds>(age).count()));
        out += "\r\n";
    }
    append_cache_status(out, exchange);
}

/// The end of a hit's head, behind the stored fields: Content-Length is one of them.
void append_end_of_hit(std::string& out, const Exchange& exchange, rules::Milliseconds age)
{
    const bool is_usual = exchange.count.verdict == rules::Verdict::hit && exchange.debug == debug_nothing &&
                          exchange.keep_alive && exchange.head.minor_version != 0;
    if (!is_usual || age.count() < 0 || exchange.ttl.count() < 0) {
        append_cache_fields(out, exchange, age);
        append_framing(out, Framing{}, exchange);
        return;
    }
    // The same in one append: each one more is a call, and nearly every hit comes through here.
    std::array<char, 96> text;
    char* at = text.data();
    const auto add = [&at]<std::size_t Size>(const char(&literal)[Size]) { at = std::copy_n(literal, Size - 1, at); };
    constexpr std::size_t most_digits = 20;
    const auto add_seconds = [&at](rules::Milliseconds time) {
        const auto seconds = static_cast<std::uint64_t>(std::chrono::floor<rules::Seconds>(time).count());
        at = std::to_chars(at, at + most_digits, seconds).ptr;
    };
    add("Age: ");
    add_seconds(age);
    add("\r\nCache-Status: larder; hit; ttl=");
    add_seconds(exchange.ttl);
    add("\r\n\r\n");
    out.append(text.data(), static_cast<std::size_t>(at - text.data()));
}

/// The stored fields without those that describe the whole body. Returns the Content-Type.
std::string_view append_fields_of_part(std::string& out, std::string_view head, bool with_content_type)
{
    std::string_view content_type;
    for_each_line(head, [&](FieldId id, std::string_view line) {
        if (id == FieldId::content_length || id == FieldId::content_range) return;
        if (id == FieldId::content_type)
            content_type = rules::trim(line.substr(line.find(':') + 1, line.size() - line.find(':') - 3));
        if (id != FieldId::content_type || with_content_type) out += line;
    });
    return content_type;
}

/// Which bytes of the representation the stored body is.
rules::ContentRange place_of(const Entry& entry)
{
    if (entry.is_part())
        if (const auto place = rules::parse_content_range(entry.validators().content_range)) return *place;
    const std::uint64_t size = entry.body().size();
    return {{0, size == 0 ? 0 : size - 1}, size};
}

/// 206 with one part (RFC 9110 §15.3.7.1).
std::string_view append_part(std::string& out, Exchange& exchange, const Entry& entry, rules::Milliseconds age,
                             const rules::ByteRange& range)
{
    const rules::ContentRange held = place_of(entry);
    append_status_line(out, 206, reason_phrase(206));
    append_fields_of_part(out, entry.head, true);
    rules::append_content_range(out, {range, held.size});
    append_cache_fields(out, exchange, age);
    append_framing(out, {BodyKind::length, range.size()}, exchange);
    exchange.body_bytes = range.size();
    return entry.body().substr(range.first - held.range.first, range.size());
}

/// 206 with several (RFC 9110 §15.3.7.2). They are copied: merged ranges are not longer than the body.
void append_parts(std::string& out, Exchange& exchange, const Entry& entry, rules::Milliseconds age,
                  const std::vector<rules::ByteRange>& ranges)
{
    append_status_line(out, 206, reason_phrase(206));
    const std::string_view content_type = append_fields_of_part(out, entry.head, false);
    const auto id = make_request_id();
    const std::string_view boundary = rules::text_of(id);
    std::string body;
    for (const rules::ByteRange& range : ranges) {
        ((body += "\r\n--") += boundary) += "\r\n";
        if (!content_type.empty()) ((body += "Content-Type: ") += content_type) += "\r\n";
        rules::append_content_range(body, {range, entry.body().size()});
        (body += "\r\n") += entry.body().substr(range.first, range.size());
    }
    ((body += "\r\n--") += boundary) += "--\r\n";
    ((out += "Content-Type: multipart/byteranges; boundary=") += boundary) += "\r\n";
    append_cache_fields(out, exchange, age);
    append_framing(out, {BodyKind::length, body.size()}, exchange);
    exchange.body_bytes = body.size();
    out += body;
}

void append_unsatisfiable(std::string& out, Exchange& exchange, const Entry& entry)
{
    append_status_line(out, 416, reason_phrase(416));
    ((out += "Date: ") += rules::format_date(exchange.now)) += "\r\n";
    out += "Content-Range: bytes */";
    rules::append_number(out, place_of(entry).size);
    out += "\r\n";
    append_cache_status(out, exchange);
    append_framing(out, {BodyKind::length, 0}, exchange);
}

/// For a request with Range.
rules::SelectedRanges ranges_of(const Exchange& exchange, const Entry& entry)
{
    const rules::Fields& fields = exchange.head.fields;
    const Validators validators = entry.validators();
    const bool asks =
        exchange.head.method == rules::Method::get &&
        rules::if_range_holds(fields, validators.etag, validators.last_modified, validators.date, exchange.now);
    if (!asks) return {};
    const rules::ContentRange held = place_of(entry);
    rules::SelectedRanges selected = rules::select_ranges(fields, held.size);
    const auto lacks = [&held](const rules::ByteRange& range) { return !held.range.contains(range); };
    // The origin gave another part than the one asked for, or than it says (never stored): it goes out as it came.
    const bool is_odd = entry.is_part() && entry.body().size() != held.range.size();
    if (is_odd || std::any_of(selected.ranges.begin(), selected.ranges.end(), lacks)) return {};
    return selected;
}

}  // namespace

std::string_view append_stored_answer(Services& services, Exchange& exchange, const Entry& entry,
                                      rules::Milliseconds age)
{
    std::string& out = services.out;
    if (services.draining) exchange.keep_alive = false;
    exchange.answered = true;
    exchange.count.status = entry.status;
    if ((exchange.debug & debug_explain) != 0) note_lifetime(exchange, entry);
    const rules::FieldSet fields = exchange.view.fields;
    const bool may_select = entry.status == 200 || entry.is_part();
    if (may_select && fields.has_any({FieldId::if_none_match, FieldId::if_modified_since})) {
        const Validators held = entry.validators();
        const auto precondition =
            rules::evaluate_preconditions(exchange.head.fields, held.etag, held.last_modified, held.date, exchange.now);
        if (precondition == rules::Precondition::not_modified) {
            exchange.count.status = 304;
            append_status_line(out, 304, reason_phrase(304));
            append_not_modified_fields(out, entry.head);
            append_cache_fields(out, exchange, age);
            append_framing(out, Framing{}, exchange);
            return {};
        }
    }
    rules::SelectedRanges selected;
    if (may_select && fields.has(FieldId::range)) selected = ranges_of(exchange, entry);
    switch (selected.kind) {
    case rules::SelectedRanges::Kind::whole: break;
    case rules::SelectedRanges::Kind::unsatisfiable:
        exchange.count.status = 416;
        append_unsatisfiable(out, exchange, entry);
        return {};
    case rules::SelectedRanges::Kind::parts:
        exchange.count.status = 206;
        if (selected.ranges.size() == 1) return append_part(out, exchange, entry, age, selected.ranges.front());
        append_parts(out, exchange, entry, age, selected.ranges);
        return {};
    }
    out += entry.head;
    append_end_of_hit(out, exchange, age);
    if (exchange.is_head()) return {};
    exchange.body_bytes = entry.body().size();
    return entry.body();
}

bool put_stored_answer(Services& services, Client& client, Exchange& exchange, const EntryPtr& entry,
                       rules::Milliseconds age)
{
    const std::string_view body = append_stored_answer(services, exchange, *entry, age);
    std::string& out = services.out;
    bool there = false;
    if (body.size() <= copied_bytes) {
        out += body;
        there = client.put(out);
    } else {
        const std::array<iovec, 2> pieces{iovec{out.data(), out.size()},
                                          iovec{const_cast<char*>(body.data()), body.size()}};
        there = client.put(pieces, entry);
    }
    out.clear();
    return there;
}

}  // namespace larder::proxy
