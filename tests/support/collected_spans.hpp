// What a collector is sent: OTLP, read by a reader that has nothing in common with the writer. Throws on whatever
// breaks the encoding. Header only, for units and stories alike.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace larder::tests {

struct CollectedSpan {
    std::string trace_id, span_id, parent_id;  // hex; empty: none
    std::string trace_state, name;
    std::uint64_t kind = 0, begun = 0, ended = 0, status = 0, flags = 0;
    std::map<std::string, std::string> attributes;           // numbers and true, false as text
    std::vector<std::pair<std::string, std::string>> links;  // trace, span
    std::map<std::string, std::string> resource;
    std::string scope;

    std::string attribute(const std::string& key) const
    {
        const auto found = attributes.find(key);
        return found == attributes.end() ? std::string() : found->second;
    }
    bool is_server() const { return kind == 2; }
    bool is_client() const { return kind == 3; }
};

namespace otlp {

inline std::string to_hex(std::string_view bytes)
{
    std::string text;
    for (const char c : bytes) {
        text += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4];
        text += "0123456789abcdef"[static_cast<unsigned char>(c) & 15];
    }
    return text;
}

struct Value {
    std::uint64_t field = 0, number = 0;
    std::string_view bytes;
};

inline std::uint64_t take_varint(std::string_view& rest)
{
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        if (rest.empty() || shift > 63) throw std::runtime_error("a varint has no end");
        const auto byte = static_cast<unsigned char>(rest.front());
        rest.remove_prefix(1);
        value |= std::uint64_t{byte & 0x7fu} << shift;
        if (byte < 0x80) return value;
    }
}

/// The fields of one message, in order.
inline std::vector<Value> fields_of(std::string_view message)
{
    std::vector<Value> fields;
    while (!message.empty()) {
        Value value;
        const std::uint64_t tag = take_varint(message);
        value.field = tag >> 3;
        std::size_t size = 0;
        switch (tag & 7) {
        case 0: value.number = take_varint(message); break;
        case 1: size = 8; break;
        case 2: size = take_varint(message); break;
        case 5: size = 4; break;
        default: throw std::runtime_error("an unknown wire type");
        }
        if (size > message.size()) throw std::runtime_error("a field is longer than its message");
        value.bytes = message.substr(0, size);
        message.remove_prefix(size);
        if ((tag & 7) == 1 || (tag & 7) == 5)
            for (std::size_t i = size; i-- > 0;)
                value.number = value.number << 8 | static_cast<unsigned char>(value.bytes[i]);
        fields.push_back(value);
    }
    return fields;
}

inline std::pair<std::string, std::string> attribute_of(std::string_view message)
{
    std::pair<std::string, std::string> attribute;
    for (const Value& part : fields_of(message)) {
        if (part.field == 1) attribute.first = part.bytes;
        if (part.field != 2) continue;
        for (const Value& any : fields_of(part.bytes)) {
            if (any.field == 1) attribute.second = any.bytes;
            if (any.field == 2) attribute.second = any.number != 0 ? "true" : "false";
            if (any.field == 3) attribute.second = std::to_string(static_cast<std::int64_t>(any.number));
        }
    }
    return attribute;
}

inline CollectedSpan span_of(std::string_view message)
{
    CollectedSpan span;
    for (const Value& field : fields_of(message)) {
        switch (field.field) {
        case 1: span.trace_id = to_hex(field.bytes); break;
        case 2: span.span_id = to_hex(field.bytes); break;
        case 3: span.trace_state = field.bytes; break;
        case 4: span.parent_id = to_hex(field.bytes); break;
        case 5: span.name = field.bytes; break;
        case 6: span.kind = field.number; break;
        case 7: span.begun = field.number; break;
        case 8: span.ended = field.number; break;
        case 9: span.attributes.insert(attribute_of(field.bytes)); break;
        case 13: {
            std::pair<std::string, std::string> link;
            for (const Value& part : fields_of(field.bytes)) {
                if (part.field == 1) link.first = to_hex(part.bytes);
                if (part.field == 2) link.second = to_hex(part.bytes);
            }
            span.links.push_back(link);
            break;
        }
        case 15:
            for (const Value& part : fields_of(field.bytes))
                if (part.field == 3) span.status = part.number;
            break;
        case 16: span.flags = field.number; break;
        default: throw std::runtime_error("a span has no field " + std::to_string(field.field));
        }
    }
    return span;
}

inline std::vector<CollectedSpan> read_protobuf(std::string_view body)
{
    std::vector<CollectedSpan> spans;
    for (const Value& resource_spans : fields_of(body)) {
        std::map<std::string, std::string> resource;
        for (const Value& part : fields_of(resource_spans.bytes)) {
            if (part.field == 1)
                for (const Value& attribute : fields_of(part.bytes)) resource.insert(attribute_of(attribute.bytes));
            if (part.field != 2) continue;
            std::string scope;
            for (const Value& inner : fields_of(part.bytes)) {
                if (inner.field == 1) scope = fields_of(inner.bytes).front().bytes;
                if (inner.field != 2) continue;
                spans.push_back(span_of(inner.bytes));
                spans.back().resource = resource;
                spans.back().scope = scope;
            }
        }
    }
    return spans;
}

inline std::string text_in(const boost::json::object& object, const char* key)
{
    const boost::json::value* value = object.if_contains(key);
    return value ? std::string(value->as_string()) : std::string();
}

inline std::map<std::string, std::string> attributes_in(const boost::json::object& object)
{
    std::map<std::string, std::string> attributes;
    for (const auto& one : object.at("attributes").as_array()) {
        const auto& value = one.at("value").as_object();
        std::string text;
        if (value.contains("stringValue")) text = text_in(value, "stringValue");
        if (value.contains("intValue")) text = text_in(value, "intValue");
        if (value.contains("boolValue")) text = value.at("boolValue").as_bool() ? "true" : "false";
        attributes.emplace(text_in(one.as_object(), "key"), text);
    }
    return attributes;
}

inline std::vector<CollectedSpan> read_json(std::string_view body)
{
    std::vector<CollectedSpan> spans;
    const boost::json::value document = boost::json::parse(boost::json::string_view(body.data(), body.size()));
    for (const auto& resource_spans : document.at("resourceSpans").as_array()) {
        for (const auto& scope_spans : resource_spans.at("scopeSpans").as_array()) {
            for (const auto& one : scope_spans.at("spans").as_array()) {
                const boost::json::object& object = one.as_object();
                CollectedSpan span;
                span.resource = attributes_in(resource_spans.at("resource").as_object());
                span.scope = text_in(scope_spans.at("scope").as_object(), "name");
                span.trace_id = text_in(object, "traceId");
                span.span_id = text_in(object, "spanId");
                span.parent_id = text_in(object, "parentSpanId");
                span.trace_state = text_in(object, "traceState");
                span.name = text_in(object, "name");
                span.kind = static_cast<std::uint64_t>(object.at("kind").as_int64());
                span.flags = static_cast<std::uint64_t>(object.at("flags").as_int64());
                span.begun = std::stoull(text_in(object, "startTimeUnixNano"));
                span.ended = std::stoull(text_in(object, "endTimeUnixNano"));
                span.attributes = attributes_in(object);
                const boost::json::object& status = object.at("status").as_object();
                if (status.contains("code")) span.status = static_cast<std::uint64_t>(status.at("code").as_int64());
                if (const boost::json::value* links = object.if_contains("links"))
                    for (const auto& link : links->as_array())
                        span.links.emplace_back(text_in(link.as_object(), "traceId"),
                                                text_in(link.as_object(), "spanId"));
                spans.push_back(std::move(span));
            }
        }
    }
    return spans;
}

}  // namespace otlp

/// The spans of one export, by its Content-Type.
inline std::vector<CollectedSpan> read_export(std::string_view content_type, std::string_view body)
{
    if (content_type == "application/x-protobuf") return otlp::read_protobuf(body);
    if (content_type == "application/json") return otlp::read_json(body);
    throw std::runtime_error("no content type of OTLP: " + std::string(content_type));
}

}  // namespace larder::tests
