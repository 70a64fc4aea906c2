// Traces: what a client says of its own is written again as it was understood, nothing of it can break the request that
// goes to the app or the batch that goes to a collector, and a collector's answer is read without harm.
#include <string>

#include "input.hpp"
#include "proxy/trace/otlp.hpp"
#include "rules/base/text.hpp"
#include "rules/http/trace_context.hpp"
#include "targets.hpp"
#include "tests/support/collected_spans.hpp"

namespace larder::fuzz {

void check_trace_context(std::string_view input)
{
    std::string_view rest = input;
    const rules::Fields fields = take_fields(rest);
    if (const auto parent = rules::trace_parent(fields)) {
        expect(fields.count(rules::FieldId::traceparent) == 1, "two lines are no trace");
        expect(!parent->trace.is_none() && parent->parent != 0, "ids of zeros are no trace");
        const auto written = rules::format_traceparent(parent->trace, parent->parent, parent->sampled);
        const auto again = rules::parse_traceparent(rules::text_of(written));
        expect(again && again->trace == parent->trace && again->parent == parent->parent &&
                   again->sampled == parent->sampled,
               "what is written is read as the same");
        const std::string_view value = fields.value(rules::FieldId::traceparent);
        expect_same(rules::text_of(written).substr(2, 50), value.substr(2, 50), "and stands where it stood");
    }
    const std::string state = rules::trace_state(fields);
    expect(is_field_value(state) && state.find_first_of("\r\n") == std::string::npos, "a list is a field value");
    rules::Fields once;
    once.all.push_back({"tracestate", state, rules::FieldId::tracestate});
    expect_same(rules::trace_state(once), state, "a list that travels on is sound");
}

void check_otlp(std::string_view input)
{
    proxy::Span span;
    span.trace = {1, 2};
    span.id = 3;
    span.name = input;
    span.trace_state = input.substr(0, input.size() / 2);
    span.add("text", input);
    span.add("number", static_cast<std::int64_t>(hash_of(input)));
    span.add_flag("flag", input.empty());
    for (const auto protocol : {config::OtlpProtocol::protobuf, config::OtlpProtocol::json}) {
        const std::vector<std::string> spans{proxy::encode_span(protocol, span), proxy::encode_span(protocol, span)};
        const proxy::ResourceAttributes resource{{"name", std::string(input)}};
        const auto read =
            tests::read_export(proxy::content_type(protocol), proxy::encode_batch(protocol, resource, spans));
        expect(read.size() == 2, "no text ends its span");
        expect(read[1].attribute("number") == std::to_string(static_cast<std::int64_t>(hash_of(input))),
               "nor its attribute");
        expect(read[1].span_id == "0000000000000003" && read[1].resource.count("name") == 1, "all is there");
        const proxy::PartialSuccess partial = proxy::read_partial_success(protocol, input);
        expect(partial.message.size() <= input.size() * 4, "a message is part of the answer");
    }
}

}  // namespace larder::fuzz
