// Traces: what a client says of its own passes through or is continued, and spans reach a collector without anybody
// waiting for it.
#include <algorithm>
#include <atomic>
#include <set>

#include "tests/support/collected_spans.hpp"
#include "tests/support/stage.hpp"

namespace larder::tests {

namespace {

const std::string trace = "0af7651916cd43dd8448eb211c80319c";
const std::string caller = "b7ad6b7169203331";
const std::string recorded = "traceparent: 00-" + trace + "-" + caller + "-01";
const std::string not_recorded = "traceparent: 00-" + trace + "-" + caller + "-00";

/// How often a line of the log has this in it.
std::size_t count_in(const std::string& text, const std::string& part)
{
    std::size_t count = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
    return count;
}

std::string collector_at(const ScriptedOrigin& collector)
{
    return "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:" + std::to_string(collector.port());
}

/// A collector, and a stage that exports to it every few milliseconds.
struct Traced {
    explicit Traced(std::vector<std::string> variables = {}, bool over_redis = false, const std::string& options = "")
    {
        collector.on("/v1/traces").reply(200, "", "");
        StageOptions stage_options;
        stage_options.rules = item_rules;
        stage_options.options = options;
        stage_options.over_redis = over_redis;
        stage_options.environment = std::move(variables);
        stage_options.environment.push_back(collector_at(collector));
        const auto says_delay = [](const std::string& one) { return one.starts_with("OTEL_BSP_SCHEDULE_DELAY="); };
        if (std::none_of(stage_options.environment.begin(), stage_options.environment.end(), says_delay))
            stage_options.environment.push_back("OTEL_BSP_SCHEDULE_DELAY=5");
        stage = std::make_unique<Stage>(stage_options);
    }

    std::vector<CollectedSpan> spans() const
    {
        std::vector<CollectedSpan> all;
        for (const Request& request : collector.all()) {
            // A request is listed from its head on.
            if (std::to_string(request.body.size()) != request.field("Content-Length")) continue;
            for (CollectedSpan& span : read_export(request.field("Content-Type"), request.body))
                all.push_back(std::move(span));
        }
        return all;
    }
    std::vector<CollectedSpan> await_spans(std::size_t count) const
    {
        std::vector<CollectedSpan> all;
        await_condition("the collector has " + std::to_string(count) + " spans", [&] {
            all = spans();
            return all.size() >= count;
        });
        CHECK(all.size() == count);
        return all;
    }

    ScriptedOrigin collector;
    std::unique_ptr<Stage> stage;
};

/// The only span for which this holds.
template <class Predicate>
CollectedSpan only(const std::vector<CollectedSpan>& spans, Predicate is_it)
{
    CollectedSpan found;
    std::size_t count = 0;
    for (const CollectedSpan& span : spans) {
        if (!is_it(span)) continue;
        found = span;
        ++count;
    }
    CHECK(count == 1);
    return found;
}

CollectedSpan only_server(const std::vector<CollectedSpan>& spans)
{
    return only(spans, [](const CollectedSpan& span) { return span.is_server(); });
}

CollectedSpan only_client(const std::vector<CollectedSpan>& spans)
{
    return only(spans, [](const CollectedSpan& span) { return span.is_client(); });
}

/// `00-TRACE-PARENT-FLAGS` in its parts.
struct Passed {
    explicit Passed(const std::string& traceparent)
    {
        REQUIRE(traceparent.size() == 55);
        trace_id = traceparent.substr(3, 32);
        parent_id = traceparent.substr(36, 16);
        flags = traceparent.substr(53);
    }
    std::string trace_id, parent_id, flags;
};

}  // namespace

TEST_CASE("without tracing what a client says of its trace reaches the app as it is, and the access log names it")
{
    StageOptions options = over<Embedded>(item_rules, "log:\n  access: all\n  format: json\n");
    Stage stage(options);
    stage.get("/items/1", {recorded, "tracestate: congo=t61, rojo=1", "baggage: user=7"});
    const Request seen = stage.origin.last("/items/1");
    CHECK("traceparent: " + seen.field("traceparent") == recorded);
    CHECK(seen.field("tracestate") == "congo=t61, rojo=1");
    CHECK(seen.field("baggage") == "user=7");
    CHECK(is_hit(stage.get("/items/1", {not_recorded})));
    stage.get("/odd", {"traceparent: no trace at all", "tracestate: ???"});
    CHECK(stage.origin.last("/odd").field("traceparent") == "no trace at all");
    CHECK(stage.origin.last("/odd").field("tracestate") == "???");
    CHECK(stage.larder->stop() == 0);
    const std::string log = stage.larder->access_log();
    CHECK(count_in(log, R"("trace_id":")" + trace + '"') == 2);
    CHECK(count_in(log, "trace_id") == 2);
    CHECK_FALSE(contains(stage.larder->log(), "spans"));
}

TEST_CASE("a trace is continued: the app sees the same one, a parent of Larder's, and the other fields as they were")
{
    Traced traced({}, false, "log: {access: all}\n");
    traced.stage->get("/items/1", {recorded, "tracestate: congo=t61 , rojo=1", "baggage: user=7"});
    const Request seen = traced.stage->origin.last("/items/1");
    CHECK(seen.fields_count("traceparent") == 1);
    const Passed passed(seen.field("traceparent"));
    CHECK(passed.trace_id == trace);
    CHECK(passed.parent_id != caller);
    CHECK(passed.flags == "01");
    CHECK(seen.field("tracestate") == "congo=t61,rojo=1");
    CHECK(seen.field("baggage") == "user=7");
    const auto spans = traced.await_spans(2);
    CHECK(only_server(spans).parent_id == caller);
    CHECK(only_server(spans).trace_state == "congo=t61,rojo=1");
    CHECK(only_client(spans).span_id == passed.parent_id);
    CHECK(only_client(spans).trace_id == trace);
    CHECK(traced.stage->larder->stop() == 0);
    CHECK(contains(traced.stage->larder->access_log(), " trace_id=" + trace));
}

TEST_CASE("without a valid traceparent a trace begins, and a list that belongs to none is dropped")
{
    Traced traced({}, false, "log: {access: all}\n");
    std::set<std::string> traces;
    const std::vector<std::vector<std::string>> heads = {
        {},
        {"traceparent: 00-" + trace + "-0000000000000000-01", "tracestate: congo=t61"},
        {recorded, recorded, "tracestate: congo=t61"},
        {"traceparent: 00-0AF7651916CD43DD8448EB211C80319C-" + caller + "-01"},
    };
    for (const auto& fields : heads) {
        traced.stage->get("/odd", fields);
        const Request seen = traced.stage->origin.last("/odd");
        CHECK(seen.fields_count("traceparent") == 1);
        CHECK_FALSE(seen.has("tracestate"));
        const Passed passed(seen.field("traceparent"));
        CHECK(passed.trace_id != trace);
        CHECK(passed.flags == "01");
        traces.insert(passed.trace_id);
    }
    CHECK(traces.size() == heads.size());
    for (const CollectedSpan& span : traced.await_spans(2 * heads.size())) {
        CHECK(traces.count(span.trace_id) == 1);
        CHECK((span.is_client() || span.parent_id.empty()));
    }
    CHECK(traced.stage->larder->stop() == 0);
    for (const std::string& one : traces) CHECK(contains(traced.stage->larder->access_log(), "trace_id=" + one));
}

TEST_CASE("what the caller does not record is not recorded: the app is told so, and nothing is exported")
{
    Traced traced;
    traced.stage->get("/items/1", {not_recorded, "tracestate: congo=t61"});
    const Request seen = traced.stage->origin.last("/items/1");
    const Passed passed(seen.field("traceparent"));
    CHECK(passed.trace_id == trace);
    CHECK(passed.parent_id != caller);
    CHECK(passed.flags == "00");
    CHECK(seen.field("tracestate") == "congo=t61");
    CHECK(is_hit(traced.stage->get("/items/1", {not_recorded})));
    traced.stage->get("/odd");
    for (const CollectedSpan& span : traced.await_spans(2)) CHECK(span.trace_id != trace);
}

TEST_CASE("a sampler that does not ask the caller decides for him")
{
    Traced none({"OTEL_TRACES_SAMPLER=always_off"});
    none.stage->get("/odd", {recorded});
    CHECK(Passed(none.stage->origin.last("/odd").field("traceparent")).flags == "00");
    Traced all({"OTEL_TRACES_SAMPLER=traceidratio", "OTEL_TRACES_SAMPLER_ARG=1"});
    all.stage->get("/odd", {not_recorded});
    CHECK(Passed(all.stage->origin.last("/odd").field("traceparent")).flags == "01");
    all.await_spans(2);
    CHECK(none.stage->larder->stop() == 0);
    CHECK(none.collector.requests() == 0);
}

TEST_CASE_TEMPLATE("a miss is a span with its fetch in it, a hit a span alone, in protobuf and in JSON", Backend,
                   Embedded, OverRedis)
{
    for (const char* protocol : {"http/protobuf", "http/json"}) {
        CAPTURE(protocol);
        // Without memory a hit comes from Redis, and has waited for it.
        Traced traced({std::string("OTEL_EXPORTER_OTLP_PROTOCOL=") + protocol}, Backend::over_redis,
                      Backend::over_redis ? "memory: 0\n" : "");
        traced.stage->get("/items/1", {recorded, "Host: shop.example:8080", "User-Agent: tests"});
        const auto of_miss = traced.await_spans(2);
        const CollectedSpan server = only_server(of_miss), client = only_client(of_miss);
        CHECK(server.name == "GET item");
        CHECK(server.attribute("http.request.method") == "GET");
        CHECK(server.attribute("url.path") == "/items/1");
        CHECK(server.attribute("url.scheme") == "http");
        CHECK(server.attribute("http.route") == "/items/{id}");
        CHECK(server.attribute("http.response.status_code") == "200");
        CHECK(server.attribute("server.address") == "shop.example");
        CHECK(server.attribute("server.port") == "8080");
        CHECK(server.attribute("client.address") == "127.0.0.1");
        CHECK(server.attribute("network.protocol.version") == "1.1");
        CHECK(server.attribute("user_agent.original") == "tests");
        CHECK(server.attribute("larder.verdict") == "miss");
        CHECK(server.attribute("larder.reason") == "uri-miss");
        CHECK(server.attribute("larder.rule") == "item");
        CHECK(server.attribute("larder.stored") == "true");
        CHECK(server.status == 0);
        CHECK(client.name == "GET");
        CHECK(client.parent_id == server.span_id);
        CHECK(client.attribute("url.full") ==
              "http://127.0.0.1:" + std::to_string(traced.stage->origin.port()) + "/items/1");
        CHECK(client.attribute("server.port") == std::to_string(traced.stage->origin.port()));
        CHECK(client.attribute("http.response.status_code") == "200");
        CHECK(client.status == 0);
        CHECK(server.begun <= client.begun);
        CHECK(client.begun <= client.ended);
        CHECK(server.begun <= server.ended);
        CHECK(server.resource.at("service.name") == "larder");
        CHECK(server.resource.at("larder.namespace") == "story");

        await_condition("it is stored", [&] { return is_hit(traced.stage->get("/items/1", {not_recorded})); });
        CHECK(is_hit(traced.stage->get("/items/1", {recorded})));
        const CollectedSpan hit = traced.await_spans(3).back();
        CHECK(hit.is_server());
        CHECK(hit.name == "GET item");
        CHECK(hit.parent_id == caller);
        CHECK(hit.attribute("larder.verdict") == "hit");
        CHECK(hit.attribute("larder.reason") == "");
        CHECK(hit.attribute("larder.stored") == "false");
        CHECK(traced.stage->larder->stop() == 0);
        CHECK(traced.collector.connections() == 1);
    }
}

TEST_CASE("a path is never a span's name, a query is shown without secrets, and an odd method has no name of its own")
{
    Traced traced;
    traced.stage->get("/other/7?page=2&sig=abc");
    const auto spans = traced.await_spans(2);
    CHECK(only_server(spans).name == "GET");
    CHECK(only_server(spans).attribute("url.query") == "page=2&sig=REDACTED");
    CHECK(only_client(spans).attribute("url.full").ends_with("/other/7?page=2&sig=REDACTED"));
    CHECK(traced.stage->origin.last("/other/7").target == "/other/7?page=2&sig=abc");
    traced.stage->request("BREW", "/pot");
    const auto all = traced.await_spans(4);
    const CollectedSpan odd =
        only(all, [](const CollectedSpan& span) { return span.attribute("http.request.method_original") == "BREW"; });
    CHECK(odd.name == "HTTP");
    CHECK(odd.attribute("http.request.method") == "_OTHER");
}

TEST_CASE("a write has its fetch, and failures are told: of the app, of the way to it, and none for a 404")
{
    Traced traced;
    Stage& stage = *traced.stage;
    stage.request("PUT", "/items/1", {}, "x");
    const auto of_write = traced.await_spans(2);
    CHECK(only_server(of_write).attribute("larder.verdict") == "bypass");
    CHECK(only_client(of_write).name == "PUT");
    CHECK(only_client(of_write).parent_id == only_server(of_write).span_id);

    const auto of = [](std::vector<CollectedSpan> spans, std::size_t from) {
        return std::vector<CollectedSpan>(spans.begin() + static_cast<std::ptrdiff_t>(from), spans.end());
    };
    stage.origin.on("/broken").reply(500, "", "sorry");
    CHECK(stage.get("/broken").status == 500);
    const auto of_500 = of(traced.await_spans(4), 2);
    CHECK(only_server(of_500).status == 2);
    CHECK(only_server(of_500).attribute("error.type") == "500");
    CHECK(only_client(of_500).status == 2);

    stage.origin.on("/missing").reply(404, "", "");
    CHECK(stage.get("/missing").status == 404);
    const auto of_404 = of(traced.await_spans(6), 4);
    CHECK(only_server(of_404).status == 0);
    CHECK(only_client(of_404).status == 2);
    CHECK(only_client(of_404).attribute("error.type") == "404");

    stage.origin.on("/cut").header("Content-Length", "100").cut_after(10).reply(200, "", std::string(100, 'x'));
    stage.get("/cut");
    const auto of_cut = of(traced.await_spans(8), 6);
    CHECK(only_server(of_cut).status == 2);
    CHECK(only_server(of_cut).attribute("error.type") == "upstream-failed");
    CHECK(only_client(of_cut).attribute("error.type") == "upstream_closed");

    stage.origin.stop_listening();
    CHECK(stage.get("/items/2").status == 502);
    const auto of_502 = of(traced.await_spans(10), 8);
    CHECK(only_server(of_502).attribute("http.response.status_code") == "502");
    CHECK(only_server(of_502).status == 2);
    CHECK(only_client(of_502).attribute("error.type") == "upstream_refused");
    CHECK(only_client(of_502).attribute("http.response.status_code") == "");
}

TEST_CASE("who joins another's fetch has no fetch of his own, and refers to it")
{
    Traced traced;
    Stage& stage = *traced.stage;
    stage.origin.on("/items/1").hold().reply(200, "max-age=60", "hello");
    auto first = stage.start_get("/items/1", {recorded});
    stage.origin.await_requests("/items/1", 1);
    auto second = stage.start_get("/items/1");
    await_condition("it has joined", [&] { return stage.larder->metric("larder_fill_joins_total") == 1; });
    stage.origin.release("/items/1");
    CHECK(first.get().status == 200);
    CHECK(second.get().status == 200);
    const auto spans = traced.await_spans(3);
    const CollectedSpan fetch = only_client(spans);
    CHECK(fetch.trace_id == trace);
    const CollectedSpan joined =
        only(spans, [](const CollectedSpan& span) { return span.attribute("larder.collapsed") == "true"; });
    CHECK(joined.trace_id != trace);
    REQUIRE(joined.links.size() == 1);
    CHECK(joined.links.front() == std::pair(fetch.trace_id, fetch.span_id));
}

TEST_CASE("what a collector wants to be sent along is sent: headers, resource attributes, the name of the service")
{
    Traced traced({"OTEL_EXPORTER_OTLP_HEADERS=api-key=a%20b,x-tenant=7", "OTEL_SERVICE_NAME=shop-cache",
                   "OTEL_RESOURCE_ATTRIBUTES=deployment.environment=test,host.name=here"});
    traced.stage->get("/odd");
    const auto spans = traced.await_spans(2);
    CHECK(spans.front().resource.at("service.name") == "shop-cache");
    CHECK(spans.front().resource.at("deployment.environment") == "test");
    CHECK(spans.front().resource.at("host.name") == "here");
    const Request sent = traced.collector.last("/v1/traces");
    CHECK(sent.method == "POST");
    CHECK(sent.field("api-key") == "a b");
    CHECK(sent.field("x-tenant") == "7");
    CHECK(sent.field("Content-Type") == "application/x-protobuf");
    CHECK(sent.field("Host") == "127.0.0.1:" + std::to_string(traced.collector.port()));
    CHECK_FALSE(contains(traced.stage->larder->log(), "a b"));
    CHECK(contains(traced.stage->larder->log(), "spans are exported endpoint=http://127.0.0.1:"));
    await_condition("they are counted",
                    [&] { return traced.stage->larder->metric("larder_trace_spans_exported_total") == 2; });
    CHECK(traced.stage->larder->metric("larder_trace_spans_dropped_total") == 0);
}

TEST_CASE("the file may say where spans go")
{
    ScriptedOrigin collector;
    const std::string endpoint = "http://127.0.0.1:" + std::to_string(collector.port()) + "/in";
    StageOptions options = over<Embedded>(
        item_rules, "tracing: {endpoint: '" + endpoint + "', protocol: http/json, service_name: shop}\n");
    options.environment = {"OTEL_BSP_SCHEDULE_DELAY=5"};
    Stage stage(options);
    stage.get("/odd");
    collector.await_requests("/in", 1);
    Request sent;  // listed from its head on
    await_condition("it has come whole", [&] {
        sent = collector.last("/in");
        return std::to_string(sent.body.size()) == sent.field("Content-Length");
    });
    CHECK(read_export(sent.field("Content-Type"), sent.body).front().resource.at("service.name") == "shop");
}

TEST_CASE("a collector may speak TLS, with a certificate that is checked")
{
    const Certificates certificates = make_certificates();
    const TemporaryDirectory directory;
    const std::string authority = directory.write("ca.pem", certificates.authority);
    const std::string wrong = directory.write("other.pem", make_certificates().authority);
    ScriptedOrigin collector(ScriptedOrigin::Kind::tls, "", certificates);
    collector.on("/v1/traces").reply(200, "", "");
    const std::string endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=https://localhost:" + std::to_string(collector.port());
    StageOptions options = over<Embedded>(item_rules);
    options.environment = {endpoint, "OTEL_EXPORTER_OTLP_CERTIFICATE=" + authority, "OTEL_BSP_SCHEDULE_DELAY=5"};
    Stage stage(options);
    stage.get("/odd");
    collector.await_requests("/v1/traces", 1);
    options.environment[1] = "OTEL_EXPORTER_OTLP_CERTIFICATE=" + wrong;
    Stage refused(options);
    refused.get("/odd");
    await_condition("it is told", [&] {
        return contains(refused.larder->log(), "spans cannot be exported") &&
               contains(refused.larder->log(), "reason=upstream_tls");
    });
}

TEST_CASE("a collector that is away costs no request anything: spans are dropped and counted, and the log says it once")
{
    ScriptedOrigin collector;
    collector.stop_listening();
    StageOptions options = over<Embedded>(item_rules);
    options.environment = {collector_at(collector), "OTEL_BSP_SCHEDULE_DELAY=5", "OTEL_BSP_EXPORT_TIMEOUT=20"};
    Stage stage(options);
    await_condition("many exports have failed, and their spans are given up", [&] {
        CHECK(stage.get("/items/1").status == 200);
        return stage.larder->metric("larder_trace_exports_failed_total") > 3 &&
               stage.larder->metric("larder_trace_spans_dropped_total", "reason=\"export-failed\"") > 3;
    });
    CHECK(stage.larder->metric("larder_trace_spans_exported_total") == 0);
    CHECK(count_in(stage.larder->log(), "spans cannot be exported") == 1);
    CHECK(contains(stage.larder->log(), "reason=upstream_refused"));
    CHECK(stage.larder->stop() == 0);
}

TEST_CASE("a collector that never answers holds nobody up, not even the end of the process")
{
    ScriptedOrigin collector;
    collector.on("/v1/traces").silent();
    StageOptions options = over<Embedded>(item_rules);
    options.environment = {collector_at(collector), "OTEL_BSP_SCHEDULE_DELAY=5", "OTEL_BSP_MAX_QUEUE_SIZE=2",
                           "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=1", "OTEL_EXPORTER_OTLP_TIMEOUT=600000"};
    Stage stage(options);
    await_condition("the queue is full", [&] {
        CHECK(stage.get("/items/1").status == 200);
        return stage.larder->metric("larder_trace_spans_dropped_total", "reason=\"queue-full\"") > 5;
    });
    CHECK(stage.larder->stop() == 0);
}

TEST_CASE("a collector that misses its time is told once in the log, and spans reach it when it answers again")
{
    Traced traced({"OTEL_EXPORTER_OTLP_TIMEOUT=30", "OTEL_BSP_EXPORT_TIMEOUT=30"});
    traced.collector.on("/v1/traces").silent();
    await_condition("spans were dropped", [&] {
        CHECK(traced.stage->get("/items/1").status == 200);
        return traced.stage->larder->metric("larder_trace_spans_dropped_total", "reason=\"export-failed\"") > 2;
    });
    CHECK(contains(traced.stage->larder->log(), "reason=upstream_timeout"));
    CHECK(count_in(traced.stage->larder->log(), "spans cannot be exported") == 1);
}

TEST_CASE("an export that is refused for now is sent again, one that is refused for good is not")
{
    Traced traced;
    std::atomic<int> answered{0};
    std::atomic<bool> is_stranger{false};
    traced.collector.on("/v1/traces").handle([&](Conversation& conversation) {
        read_body(conversation.wire, conversation.request, 1 << 20);
        const char* const answers[] = {"503 Busy\r\nRetry-After: 0", "429 Slow\r\nRetry-After: 0",
                                       "502 Bad\r\nRetry-After: Thu, 01 Jan 1970 00:00:00 GMT", "200 OK"};
        const std::string answer = is_stranger ? "401 Who" : answers[std::min(answered++, 3)];
        conversation.wire.send("HTTP/1.1 " + answer + "\r\nContent-Length: 0\r\n\r\n");
        conversation.keep = true;
    });
    traced.stage->get("/odd");
    await_condition("they are taken",
                    [&] { return traced.stage->larder->metric("larder_trace_spans_exported_total") == 2; });
    CHECK(traced.stage->larder->metric("larder_trace_exports_failed_total") == 3);
    CHECK(traced.stage->larder->metric("larder_trace_spans_dropped_total") == 0);
    CHECK(count_in(traced.stage->larder->log(), "spans cannot be exported") == 1);
    CHECK(contains(traced.stage->larder->log(), "reason=\"answered 503\""));
    CHECK(count_in(traced.stage->larder->log(), "spans are exported again") == 1);

    is_stranger = true;
    traced.stage->get("/odd");
    await_condition("they are given up", [&] {
        return traced.stage->larder->metric("larder_trace_spans_dropped_total", "reason=\"export-failed\"") == 2;
    });
    CHECK(contains(traced.stage->larder->log(), "reason=\"answered 401\""));
}

TEST_CASE("spans that a collector rejects among others are counted, with its reason in the log")
{
    Traced traced({"OTEL_EXPORTER_OTLP_PROTOCOL=http/json"});
    traced.collector.on("/v1/traces")
        .reply(200, "", R"({"partialSuccess":{"rejectedSpans":"1","errorMessage":"too old"}})");
    traced.stage->get("/odd");
    await_condition("it is counted", [&] {
        return traced.stage->larder->metric("larder_trace_spans_dropped_total", "reason=\"rejected\"") >= 1;
    });
    CHECK(contains(traced.stage->larder->log(), "the collector rejects spans"));
    CHECK(contains(traced.stage->larder->log(), "reason=\"too old\""));
}

TEST_CASE("SIGTERM sends what waits")
{
    Traced traced({"OTEL_BSP_SCHEDULE_DELAY=600000"});
    traced.stage->get("/items/1", {recorded});
    traced.stage->get("/items/1", {recorded});
    CHECK(traced.collector.requests() == 0);
    CHECK(traced.stage->larder->stop() == 0);
    CHECK(traced.spans().size() == 3);
    CHECK(traced.collector.requests() == 1);
}

TEST_CASE("a full batch does not wait for its time, and no export has more spans than it may")
{
    Traced traced({"OTEL_BSP_SCHEDULE_DELAY=600000", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=4"});
    for (int i = 0; i < 10; ++i) traced.stage->get("/odd");
    await_condition("the first have come", [&] { return traced.spans().size() >= 4; });
    CHECK(traced.stage->larder->stop() == 0);
    CHECK(traced.spans().size() == 20);
    for (const Request& request : traced.collector.all())
        CHECK(read_export(request.field("Content-Type"), request.body).size() <= 4);
}

TEST_CASE("an endpoint or a protocol that cannot be is an error at the start, other nonsense a warning")
{
    const TemporaryDirectory directory;
    const std::string file =
        directory.write("larder.yaml", "listen: 127.0.0.1:0\nupstream: http://127.0.0.1:9\ncache: respect-origin\n");
    const std::string endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:9";
    const Finished grpc = run_larder({"--config", file}, {endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"});
    CHECK(grpc.exit_code == 1);
    CHECK(contains(grpc.standard_error,
                   "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: spans are sent by OTLP over HTTP; write "
                   "http/protobuf or http/json"));
    const Finished odd = run_larder({"--config", file}, {"OTEL_EXPORTER_OTLP_ENDPOINT=127.0.0.1:4318"});
    CHECK(odd.exit_code == 1);
    CHECK(contains(odd.standard_error, "the scheme is missing; write http://127.0.0.1:4318"));
    const Finished certificate = run_larder({"--config", file}, {"OTEL_EXPORTER_OTLP_ENDPOINT=https://127.0.0.1:9",
                                                                 "OTEL_EXPORTER_OTLP_CERTIFICATE=" + file});
    CHECK(certificate.exit_code == 3);
    CHECK(contains(certificate.standard_error, "the CA file " + file + " cannot be used"));
    const Finished sampler = run_larder({"check", file}, {endpoint, "OTEL_TRACES_SAMPLER=sometimes"});
    CHECK(sampler.exit_code == 0);
    CHECK(contains(sampler.standard_output, "warning: the environment says OTEL_TRACES_SAMPLER=sometimes"));
    CHECK(contains(sampler.standard_output, "parentbased_always_on is used"));
}

}  // namespace larder::tests
