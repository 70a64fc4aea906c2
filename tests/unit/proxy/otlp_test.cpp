// Spans as bytes, read back by the tests' own reader; and who is recorded.
#include "proxy/trace/otlp.hpp"

#include <doctest/doctest.h>

#include <set>

#include "proxy/trace/fetch_span.hpp"
#include "tests/support/collected_spans.hpp"

using namespace larder::proxy;
using larder::config::OtlpProtocol;
using larder::tests::CollectedSpan;
using larder::tests::read_export;
namespace rules = larder::rules;

namespace {

constexpr OtlpProtocol protocols[] = {OtlpProtocol::protobuf, OtlpProtocol::json};

Span example()
{
    Span span;
    span.trace = {0x0af7651916cd43dd, 0x8448eb211c80319c};
    span.id = 0xb7ad6b7169203331;
    span.parent = 1;
    span.parent_is_remote = true;
    span.begun = 1'795'255'200'123'456'789;
    span.ended = 1'795'255'200'223'456'789;
    span.name = "GET event";
    span.trace_state = "congo=t61";
    return span;
}

CollectedSpan round_trip(OtlpProtocol protocol, const Span& span)
{
    const std::vector<std::string> spans{encode_span(protocol, span)};
    const auto read = read_export(content_type(protocol), encode_batch(protocol, {{"service.name", "larder"}}, spans));
    REQUIRE(read.size() == 1);
    return read.front();
}

}  // namespace

TEST_CASE("a span is the same in protobuf and in JSON")
{
    for (const OtlpProtocol protocol : protocols) {
        CAPTURE(static_cast<int>(protocol));
        Span span = example();
        span.link = {{1, 2}, 3};
        span.failed = true;
        span.add("text", std::string_view("a \"b\" \\ c"));
        span.add("number", std::int64_t{-7});
        span.add_flag("yes", true);
        span.add_flag("no", false);
        const CollectedSpan read = round_trip(protocol, span);
        CHECK(read.trace_id == "0af7651916cd43dd8448eb211c80319c");
        CHECK(read.span_id == "b7ad6b7169203331");
        CHECK(read.parent_id == "0000000000000001");
        CHECK(read.trace_state == "congo=t61");
        CHECK(read.name == "GET event");
        CHECK(read.is_server());
        CHECK(read.begun == span.begun);
        CHECK(read.ended == span.ended);
        CHECK(read.status == 2);
        CHECK(read.flags == 0x301);
        CHECK(read.attributes == std::map<std::string, std::string>{
                                     {"text", "a \"b\" \\ c"}, {"number", "-7"}, {"yes", "true"}, {"no", "false"}});
        REQUIRE(read.links.size() == 1);
        CHECK(read.links.front().first == "00000000000000010000000000000002");
        CHECK(read.links.front().second == "0000000000000003");
        CHECK(read.resource.at("service.name") == "larder");
        CHECK(read.scope == "larder");
    }
}

TEST_CASE("what a span does not have is not written")
{
    for (const OtlpProtocol protocol : protocols) {
        Span span = example();
        span.parent = 0;
        span.parent_is_remote = false;
        span.trace_state = {};
        span.kind = SpanKind::client;
        const CollectedSpan read = round_trip(protocol, span);
        CHECK(read.parent_id == "");
        CHECK(read.trace_state == "");
        CHECK(read.status == 0);
        CHECK(read.links.empty());
        CHECK(read.is_client());
        CHECK(read.flags == 0x101);
    }
}

TEST_CASE("bytes of a client that are no UTF-8 spoil no batch, and long texts are cut between two characters")
{
    Span span = example();
    const std::string odd = std::string("ok\xff\xc3(\xed\xa0\x80\xf4\x90\x80\x80") + '\0' + "\xe2\x82\xac";
    std::string lengthy;
    while (lengthy.size() < 5'000) lengthy += "\xe2\x82\xac";
    span.add("odd", odd);
    span.add("long", lengthy);
    const CollectedSpan read = round_trip(OtlpProtocol::protobuf, span);
    const std::string unknown = "\xef\xbf\xbd";
    std::string want = "ok" + unknown + unknown + "(";
    for (int i = 0; i < 7; ++i) want += unknown;
    CHECK(read.attributes.at("odd") == want + '\0' + "\xe2\x82\xac");
    CHECK(read.attributes.at("long") == lengthy.substr(0, 1023));
    const CollectedSpan in_json = round_trip(OtlpProtocol::json, span);
    CHECK(in_json.attributes.at("odd").starts_with("ok\\xff"));
    CHECK(in_json.attributes.at("long").size() <= 1027);
}

TEST_CASE("a batch holds its spans in order, however many")
{
    for (const OtlpProtocol protocol : protocols) {
        std::vector<std::string> spans;
        for (rules::SpanId id = 1; id <= 700; ++id) {
            Span span = example();
            span.id = id;
            spans.push_back(encode_span(protocol, span));
        }
        const auto read = read_export(content_type(protocol), encode_batch(protocol, {}, spans));
        REQUIRE(read.size() == 700);
        CHECK(read.front().span_id == "0000000000000001");
        CHECK(read.back().span_id == "00000000000002bc");
        CHECK(read_export(content_type(protocol), encode_batch(protocol, {}, {})).empty());
    }
}

TEST_CASE("what a collector has rejected is read, and an answer that is none rejects nothing")
{
    using namespace std::string_view_literals;
    const auto rejected = [](std::string_view answer) {
        return read_partial_success(OtlpProtocol::protobuf, answer).rejected_count;
    };
    const std::string_view partial =
        "\x0a\x09\x08\x96\x01\x12\x04"
        "full"sv;
    CHECK(rejected(partial) == 150);
    CHECK(read_partial_success(OtlpProtocol::protobuf, partial).message == "full");
    CHECK(rejected("") == 0);
    CHECK(rejected("\x0a\x00"sv) == 0);
    CHECK(rejected("<html>") == 0);
    for (std::size_t size = 0; size < partial.size(); ++size) {
        CAPTURE(size);
        CHECK(rejected(partial.substr(0, size)) == 0);
    }
    const auto in_json = [](std::string_view answer) {
        return read_partial_success(OtlpProtocol::json, answer).rejected_count;
    };
    CHECK(in_json(R"({"partialSuccess":{"rejectedSpans":"12","errorMessage":"full"}})") == 12);
    CHECK(in_json(R"({"partialSuccess":{"rejectedSpans":12}})") == 12);
    for (const char* answer :
         {"", "{}", "[]", "null", R"({"partialSuccess":1})", R"({"partialSuccess":{}})",
          R"({"partialSuccess":{"rejectedSpans":-1}})", R"({"partialSuccess":{"rejectedSpans":[]}})"}) {
        CAPTURE(answer);
        CHECK(in_json(answer) == 0);
    }
}

TEST_CASE("a share of the traces is recorded by their ids, and a larger share has those of a smaller one")
{
    larder::config::Tracing options;
    SpanRoom room(1, 1, [] {});
    SpanQueue queue(room);
    Tracer tracer(options, queue);
    constexpr int count = 20'000;
    int quarter = 0;
    for (int i = 0; i < count; ++i) {
        const rules::TraceId trace = tracer.begin({}).trace;
        quarter += is_sampled(trace, 0.25) ? 1 : 0;
        const bool is_nested = !is_sampled(trace, 0.1) || is_sampled(trace, 0.25);
        CHECK(is_nested);
        CHECK_FALSE(is_sampled(trace, 0));
        CHECK(is_sampled(trace, 1));
    }
    CHECK(quarter == doctest::Approx(count / 4).epsilon(0.1));
    CHECK(is_sampled({1, 0}, 1e-18));
    CHECK_FALSE(is_sampled({1, UINT64_MAX}, 0.999999));
}

TEST_CASE("a trace is continued with an id of its own, and begun anew otherwise; no two ids are the same")
{
    larder::config::Tracing options;
    SpanRoom room(1, 1, [] {});
    SpanQueue queue(room);
    Tracer tracer(options, queue);
    const std::string value = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    rules::Fields request;
    request.all.push_back({"traceparent", value, rules::FieldId::traceparent});
    const TraceContext continued = tracer.begin(request);
    CHECK(continued.trace == rules::TraceId{0x0af7651916cd43dd, 0x8448eb211c80319c});
    CHECK(continued.parent == 0xb7ad6b7169203331);
    CHECK_FALSE(continued.sampled);
    options.follows_parent = false;
    CHECK(tracer.begin(request).sampled);
    std::set<rules::SpanId> spans;
    std::set<std::pair<std::uint64_t, std::uint64_t>> traces;
    for (int i = 0; i < 1000; ++i) {
        const TraceContext begun = tracer.begin({});
        CHECK(begun.parent == 0);
        spans.insert(begun.span);
        traces.emplace(begun.trace.high, begun.trace.low);
    }
    CHECK(spans.size() == 1000);
    CHECK(traces.size() == 1000);
    CHECK(Tracer(options, queue).begin({}).trace != Tracer(options, queue).begin({}).trace);
}

TEST_CASE("above the limit of all queues spans are dropped and counted, and who completes a batch tells of it once")
{
    int told = 0;
    SpanRoom room(3, 2, [&told] { ++told; });
    SpanQueue one(room), other(room);
    const auto push = [](SpanQueue& queue) {
        const bool has_room = queue.has_room();
        if (has_room) queue.push("span");
        return has_room;
    };
    CHECK(push(one));
    CHECK(told == 0);
    CHECK(push(other));
    CHECK(told == 1);
    CHECK(push(one));
    CHECK(told == 1);
    CHECK_FALSE(push(other));
    CHECK(room.dropped() == 1);
    CHECK(one.take().size() == 2);
    CHECK_FALSE(push(one));  // taken, but not sent yet
    room.tell_again();
    room.leave(2);
    CHECK(push(one));
    CHECK(told == 2);
    CHECK(room.dropped() == 2);
}

TEST_CASE("a query is shown as in the access log, and without what is secret by its name")
{
    using larder::config::QueryLog;
    const auto shown_query = [](std::string_view query) { return larder::proxy::shown_query(query, QueryLog::keep); };
    CHECK(larder::proxy::shown_query("page=2&token=x&flag", QueryLog::names) == "page=&token=&flag");
    CHECK(larder::proxy::shown_query("page=2&token=x&flag", QueryLog::drop) == "");
    CHECK(shown_query("page=2&sort=") == "page=2&sort=");
    CHECK(shown_query("sig=abc&page=2&access_token=x&%73ig=y&flag") ==
          "sig=REDACTED&page=2&access_token=REDACTED&%73ig=REDACTED&flag");
}
