#include "proxy/trace/otlp.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>

#include "proxy/observe/escape.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

namespace {

namespace json = boost::json;
using config::OtlpProtocol;

constexpr std::size_t text_limit_bytes = 1024;

// Bits of Span.flags: the trace flags, and whether the parent is known to be of another process or of this one.
constexpr std::uint32_t sampled_flag = 0x01, has_is_remote_flag = 0x100, is_remote_flag = 0x200;
constexpr unsigned status_error = 2;

std::uint32_t flags_of(const Span& span) noexcept
{
    return sampled_flag | has_is_remote_flag | (span.parent_is_remote ? is_remote_flag : 0);
}

// --- protobuf
// ---------------------------------------------------------------------------------------------------------

enum class Wire : unsigned { varint = 0, fixed64 = 1, bytes = 2, fixed32 = 5 };

void put_varint(std::string& out, std::uint64_t value)
{
    for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
    out += static_cast<char>(value);
}

void put_tag(std::string& out, unsigned field, Wire wire) { put_varint(out, field << 3 | static_cast<unsigned>(wire)); }

template <class Number>
void put_fixed(std::string& out, unsigned field, Number value)
{
    put_tag(out, field, sizeof value == 8 ? Wire::fixed64 : Wire::fixed32);
    for (std::size_t i = 0; i < sizeof value; ++i) out += static_cast<char>(value >> 8 * i & 0xff);
}

void put_number(std::string& out, unsigned field, std::uint64_t value)
{
    put_tag(out, field, Wire::varint);
    put_varint(out, value);
}

/// Ids are bytes, the most significant first.
void append_big_endian(std::string& out, std::uint64_t value)
{
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(value >> shift & 0xff);
}

void put_id(std::string& out, unsigned field, const rules::TraceId& trace)
{
    put_tag(out, field, Wire::bytes);
    put_varint(out, 16);
    append_big_endian(out, trace.high);
    append_big_endian(out, trace.low);
}

void put_id(std::string& out, unsigned field, rules::SpanId span)
{
    put_tag(out, field, Wire::bytes);
    put_varint(out, 8);
    append_big_endian(out, span);
}

/// `write` appends what the message holds; its length goes before it.
template <class Write>
void put_message(std::string& out, unsigned field, Write write)
{
    put_tag(out, field, Wire::bytes);
    out += '\0';  // most messages have fewer bytes than one byte can say
    const std::size_t begin = out.size();
    write();
    const std::size_t size = out.size() - begin;
    if (size < 0x80) {
        out[begin - 1] = static_cast<char>(size);
        return;
    }
    std::string length;
    put_varint(length, size);
    out.replace(begin - 1, 1, length);
}

/// Bytes of the UTF-8 character at the start; 0: it is none (RFC 3629).
std::size_t character_bytes(std::string_view text) noexcept
{
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned first = byte(0);
    if (first < 0x80) return 1;
    const std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || text.size() < size) return 0;
    for (std::size_t i = 1; i < size; ++i)
        if ((byte(i) & 0xc0u) != 0x80u) return 0;
    const bool overlong = (first == 0xe0 && byte(1) < 0xa0) || (first == 0xf0 && byte(1) < 0x90);
    const bool out_of_range = (first == 0xed && byte(1) > 0x9f) || (first == 0xf4 && byte(1) > 0x8f);
    return overlong || out_of_range ? 0 : size;
}

/// A `string` of protobuf is UTF-8: a collector refuses the whole batch for anything else.
void put_text(std::string& out, unsigned field, std::string_view text)
{
    const bool is_ascii = std::none_of(text.begin(), text.end(), [](char c) { return (c & 0x80) != 0; });
    if (is_ascii) {
        text = text.substr(0, text_limit_bytes);
        put_tag(out, field, Wire::bytes);
        put_varint(out, text.size());
        out += text;
        return;
    }
    put_message(out, field, [&] {
        const std::size_t limit = out.size() + text_limit_bytes;
        while (!text.empty()) {
            const std::size_t size = character_bytes(text);
            const std::string_view character = size == 0 ? std::string_view("\xef\xbf\xbd") : text.substr(0, size);
            if (out.size() + character.size() > limit) break;
            out += character;
            text.remove_prefix(std::max<std::size_t>(size, 1));
        }
    });
}

void put_attribute(std::string& out, unsigned field, const SpanAttribute& attribute)
{
    put_message(out, field, [&] {
        put_text(out, 1, attribute.key);
        put_message(out, 2, [&] {
            if (const auto* text = std::get_if<std::string_view>(&attribute.value))
                put_text(out, 1, *text);
            else if (const bool* is_set = std::get_if<bool>(&attribute.value))
                put_number(out, 2, *is_set ? 1 : 0);
            else
                put_number(out, 3, static_cast<std::uint64_t>(std::get<std::int64_t>(attribute.value)));
        });
    });
}

std::string span_in_protobuf(const Span& span)
{
    std::string out;
    out.reserve(768);
    put_message(out, 2, [&] {  // ScopeSpans.spans
        put_id(out, 1, span.trace);
        put_id(out, 2, span.id);
        if (!span.trace_state.empty()) put_text(out, 3, span.trace_state);
        if (span.parent != 0) put_id(out, 4, span.parent);
        put_text(out, 5, span.name);
        put_number(out, 6, static_cast<unsigned>(span.kind));
        put_fixed(out, 7, span.begun);
        put_fixed(out, 8, span.ended);
        for (const SpanAttribute& attribute : span.attributes) put_attribute(out, 9, attribute);
        if (span.link.span != 0) {
            put_message(out, 13, [&] {
                put_id(out, 1, span.link.trace);
                put_id(out, 2, span.link.span);
                put_fixed(out, 6, sampled_flag);
            });
        }
        if (span.failed) put_message(out, 15, [&] { put_number(out, 3, status_error); });
        put_fixed(out, 16, flags_of(span));
    });
    return out;
}

std::string batch_in_protobuf(const ResourceAttributes& resource, const std::vector<std::string>& spans)
{
    std::size_t spans_bytes = 0;
    for (const std::string& span : spans) spans_bytes += span.size();
    std::string scope_spans;
    scope_spans.reserve(spans_bytes + 64);
    put_message(scope_spans, 1, [&] {
        put_text(scope_spans, 1, "larder");
        put_text(scope_spans, 2, LARDER_VERSION);
    });
    for (const std::string& span : spans) scope_spans += span;

    std::string out;
    out.reserve(scope_spans.size() + 1024);
    put_message(out, 1, [&] {
        put_message(out, 1, [&] {
            for (const auto& [key, value] : resource) put_attribute(out, 1, {key, std::string_view(value)});
        });
        put_message(out, 2, [&] { out += scope_spans; });
    });
    return out;
}

/// Reads what protobuf messages are made of. Any malformation ends it.
class ProtobufReader {
  public:
    explicit ProtobufReader(std::string_view rest) : rest_(rest) {}

    struct Field {
        std::uint64_t number = 0, value = 0;  // of a varint or a fixed
        std::string_view bytes;
    };
    std::optional<Field> next()
    {
        const auto tag = varint();
        if (!tag) return std::nullopt;
        Field field;
        field.number = *tag >> 3;
        std::size_t size = 0;
        switch (static_cast<Wire>(*tag & 7)) {
        case Wire::varint: {
            const auto value = varint();
            if (!value) return std::nullopt;
            field.value = *value;
            return field;
        }
        case Wire::fixed64: size = 8; break;
        case Wire::fixed32: size = 4; break;
        case Wire::bytes: {
            const auto length = varint();
            if (!length || *length > rest_.size()) return std::nullopt;
            size = static_cast<std::size_t>(*length);
            break;
        }
        default: return std::nullopt;
        }
        if (size > rest_.size()) return std::nullopt;
        field.bytes = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return field;
    }

  private:
    std::optional<std::uint64_t> varint()
    {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
            const auto byte = static_cast<unsigned char>(rest_.front());
            rest_.remove_prefix(1);
            value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
            if (byte < 0x80) return value;
        }
        return std::nullopt;
    }
    std::string_view rest_;
};

PartialSuccess partial_success_in_protobuf(std::string_view response)
{
    PartialSuccess read;
    ProtobufReader fields(response);
    while (const auto field = fields.next()) {
        if (field->number != 1) continue;
        ProtobufReader inner(field->bytes);
        while (const auto part = inner.next()) {
            if (part->number == 1) read.rejected_count = part->value;
            if (part->number == 2) read.message = part->bytes;
        }
    }
    return read;
}

// --- JSON: ids in hex, 64-bit numbers as text
// ----------------------------------------------------------------------------

void append_attribute(std::string& out, const SpanAttribute& attribute)
{
    out += R"({"key":)";
    append_json_string(out, attribute.key);
    out += R"(,"value":{)";
    if (const auto* text = std::get_if<std::string_view>(&attribute.value)) {
        out += R"("stringValue":)";
        append_json_string(out, *text, text_limit_bytes);
    } else if (const bool* is_set = std::get_if<bool>(&attribute.value)) {
        out += *is_set ? R"("boolValue":true)" : R"("boolValue":false)";
    } else {
        out += R"("intValue":")" + std::to_string(std::get<std::int64_t>(attribute.value)) + '"';
    }
    out += "}}";
}

template <class Attributes>
void append_attributes(std::string& out, const Attributes& attributes)
{
    out += R"("attributes":[)";
    bool is_first = true;
    for (const auto& attribute : attributes) {
        if (!is_first) out += ',';
        is_first = false;
        if constexpr (std::is_same_v<Attributes, ResourceAttributes>)
            append_attribute(out, {attribute.first, std::string_view(attribute.second)});
        else
            append_attribute(out, attribute);
    }
    out += ']';
}

std::string span_in_json(const Span& span)
{
    std::string out;
    out.reserve(1536);
    out += R"({"traceId":")";
    out += rules::text_of(rules::hex(span.trace));
    out += R"(","spanId":")";
    out += rules::text_of(rules::hex(span.id));
    out += '"';
    if (!span.trace_state.empty()) append_json_field(out, "traceState", span.trace_state);
    if (span.parent != 0) append_json_field(out, "parentSpanId", rules::text_of(rules::hex(span.parent)));
    out += R"(,"flags":)" + std::to_string(flags_of(span));
    append_json_field(out, "name", span.name, text_limit_bytes);
    out += R"(,"kind":)" + std::to_string(static_cast<unsigned>(span.kind));
    out += R"(,"startTimeUnixNano":")" + std::to_string(span.begun);
    out += R"(","endTimeUnixNano":")" + std::to_string(span.ended) + R"(",)";
    append_attributes(out, span.attributes);
    if (span.link.span != 0) {
        out += R"(,"links":[{"traceId":")";
        out += rules::text_of(rules::hex(span.link.trace));
        out += R"(","spanId":")";
        out += rules::text_of(rules::hex(span.link.span));
        out += R"(","flags":1}])";
    }
    out += R"(,"status":{)";
    if (span.failed) out += R"("code":)" + std::to_string(status_error);
    out += "}}";
    return out;
}

std::string batch_in_json(const ResourceAttributes& resource, const std::vector<std::string>& spans)
{
    std::string out = R"({"resourceSpans":[{"resource":{)";
    append_attributes(out, resource);
    out += R"(},"scopeSpans":[{"scope":{"name":"larder","version":")" LARDER_VERSION R"("},"spans":[)";
    for (std::size_t i = 0; i < spans.size(); ++i) {
        if (i != 0) out += ',';
        out += spans[i];
    }
    out += "]}]}]}";
    return out;
}

PartialSuccess partial_success_in_json(std::string_view response)
{
    PartialSuccess read;
    boost::system::error_code ec;
    const json::value document = json::parse(json::string_view(response.data(), response.size()), ec);
    const json::object* const answer = ec ? nullptr : document.if_object();
    const json::value* const partial = answer ? answer->if_contains("partialSuccess") : nullptr;
    if (!partial || !partial->is_object()) return read;
    if (const json::value* count = partial->get_object().if_contains("rejectedSpans")) {
        std::uint64_t digits = 0;
        if (const json::string* text = count->if_string())  // int64 is text in JSON
            for (const char c : *text) digits = c >= '0' && c <= '9' ? digits * 10 + static_cast<unsigned>(c - '0') : 0;
        if (const std::int64_t* number = count->if_int64())
            digits = *number > 0 ? static_cast<std::uint64_t>(*number) : 0;
        read.rejected_count = digits;
    }
    if (const json::value* message = partial->get_object().if_contains("errorMessage"))
        if (const json::string* text = message->if_string()) read.message.assign(text->data(), text->size());
    return read;
}

}  // namespace

std::string encode_span(OtlpProtocol protocol, const Span& span)
{
    return protocol == OtlpProtocol::json ? span_in_json(span) : span_in_protobuf(span);
}

std::string encode_batch(OtlpProtocol protocol, const ResourceAttributes& resource,
                         const std::vector<std::string>& spans)
{
    return protocol == OtlpProtocol::json ? batch_in_json(resource, spans) : batch_in_protobuf(resource, spans);
}

std::string_view content_type(OtlpProtocol protocol) noexcept
{
    return protocol == OtlpProtocol::json ? "application/json" : "application/x-protobuf";
}

PartialSuccess read_partial_success(OtlpProtocol protocol, std::string_view response)
{
    return protocol == OtlpProtocol::json ? partial_success_in_json(response) : partial_success_in_protobuf(response);
}

}  // namespace larder::proxy
