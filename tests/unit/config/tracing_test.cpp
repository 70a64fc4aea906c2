// Where spans go: `tracing` in the file, and the variables of OpenTelemetry.
#include "support.hpp"

using namespace larder::config;
using namespace std::chrono_literals;

namespace {

constexpr std::string_view plain = "upstream: http://127.0.0.1:3000\ncache: respect-origin\n";

Variables with(Variables more)
{
    more.emplace("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
    return more;
}

Tracing tracing_of(Variables variables) { return load_fine(plain, std::move(variables))->tracing; }

/// What is warned of, when that is one thing, and what is used all the same.
std::string warning_of(Variables variables, Tracing* used = nullptr)
{
    const Loaded loaded = load_text(plain, "f", environment_of(with(std::move(variables))));
    INFO(all_messages(loaded));
    REQUIRE(loaded.config != nullptr);
    REQUIRE(loaded.messages.size() == 1);
    CHECK(loaded.messages.front().severity == Severity::warning);
    if (used) *used = loaded.config->tracing;
    return loaded.messages.front().text;
}

}  // namespace

TEST_CASE("nothing is traced unless an endpoint is named, and then no other variable is looked at")
{
    CHECK_FALSE(load_fine(plain)->tracing.is_on());
    CHECK_FALSE(tracing_of({{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"}, {"OTEL_TRACES_SAMPLER", "x"}}).is_on());
    CHECK_FALSE(tracing_of({{"OTEL_EXPORTER_OTLP_ENDPOINT", ""}}).is_on());
    CHECK_FALSE(tracing_of(with({{"OTEL_SDK_DISABLED", "True"}})).is_on());
    CHECK_FALSE(tracing_of(with({{"OTEL_TRACES_EXPORTER", "none"}})).is_on());
    CHECK(tracing_of(with({{"OTEL_SDK_DISABLED", "false"}, {"OTEL_TRACES_EXPORTER", "otlp"}})).is_on());
}

TEST_CASE("the general endpoint gets the path of traces, that of traces alone is used as it is")
{
    struct Row {
        const char *variable, *value, *endpoint, *host_header, *target;
        std::uint16_t port;
    };
    const char *const general = "OTEL_EXPORTER_OTLP_ENDPOINT", *const own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
    const Row rows[] = {
        {general, "http://c:4318", "http://c:4318/v1/traces", "c:4318", "/v1/traces", 4318},
        {general, "http://c:4318/", "http://c:4318/v1/traces", "c:4318", "/v1/traces", 4318},
        {general, "http://c/otlp/", "http://c/otlp/v1/traces", "c", "/otlp/v1/traces", 80},
        {general, "https://c", "https://c/v1/traces", "c", "/v1/traces", 443},
        {own, "http://c:4318/v1/traces", "http://c:4318/v1/traces", "c:4318", "/v1/traces", 4318},
        {own, "http://c:4318", "http://c:4318/", "c:4318", "/", 4318},
        {own, "http://[::1]:4318/a?b=c", "http://[::1]:4318/a", "[::1]:4318", "/a?b=c", 4318},
    };
    for (const Row& row : rows) {
        CAPTURE(row.value);
        const Tracing tracing = tracing_of({{row.variable, row.value}});
        CHECK(tracing.endpoint == row.endpoint);
        CHECK(tracing.host_header == row.host_header);
        CHECK(tracing.target == row.target);
        CHECK(tracing.address.port == row.port);
    }
    const Tracing both = tracing_of({{general, "http://a:1"}, {own, "http://b:2/x"}});
    CHECK(both.endpoint == "http://b:2/x");
}

TEST_CASE("what stands behind the ? of an endpoint is sent and not shown")
{
    const Tracing tracing = tracing_of({{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://c/in?key=secret"}});
    CHECK(tracing.target == "/in?key=secret");
    CHECK(tracing.endpoint == "https://c/in");
}

TEST_CASE("an endpoint that cannot be understood, or speaks another protocol, is an error that says what to write")
{
    const auto error = [](Variables variables) { return load_broken(plain, std::move(variables)); };
    const std::string general = "OTEL_EXPORTER_OTLP_ENDPOINT";
    CHECK(error({{general, "collector:4318"}}) ==
          "f:0:0: the environment says OTEL_EXPORTER_OTLP_ENDPOINT=collector:4318: the scheme is missing; write "
          "http://collector:4318\n");
    CHECK(contains(error({{general, "grpc://c:4317"}}),
                   "spans are posted to an http or https URL; write http://HOST:4318"));
    CHECK(contains(error({{general, "http://c:99999"}}), "write http://HOST:4318"));
    CHECK(
        contains(error({{general, "http://user:secret@c:4318"}}), "OTEL_EXPORTER_OTLP_HEADERS=Authorization=Basic%20"));
    for (const char* variable : {"OTEL_EXPORTER_OTLP_PROTOCOL", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"})
        CHECK(contains(error(with({{variable, "grpc"}})),
                       std::string("the environment says ") + variable +
                           "=grpc: spans are sent by OTLP over HTTP; write http/protobuf or http/json"));
    CHECK(contains(error({{general, "https://c"}, {"OTEL_EXPORTER_OTLP_CERTIFICATE", "/no/such"}}), "cannot be read"));
}

TEST_CASE("variables for traces win over the general ones")
{
    const Tracing tracing = tracing_of(with({{"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"},
                                             {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json"},
                                             {"OTEL_EXPORTER_OTLP_TIMEOUT", "1"},
                                             {"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "2500"},
                                             {"OTEL_EXPORTER_OTLP_HEADERS", "a=1"},
                                             {"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "b=2"}}));
    CHECK(tracing.protocol == OtlpProtocol::json);
    CHECK(tracing.timeout == 2500ms);
    REQUIRE(tracing.headers.size() == 1);
    CHECK(tracing.headers.front() == std::pair<std::string, std::string>("b", "2"));
    CHECK(tracing_of(with({{"OTEL_EXPORTER_OTLP_TIMEOUT", "0"}})).timeout == 24h);
}

TEST_CASE("headers and resource attributes are percent-decoded lists")
{
    const Tracing tracing =
        tracing_of(with({{"OTEL_EXPORTER_OTLP_HEADERS", "Authorization=Basic%20dTpw, x-tenant = a%2Cb ,"},
                         {"OTEL_RESOURCE_ATTRIBUTES", "service.name=other,deployment.environment=t%C3%A4st"}}));
    REQUIRE(tracing.headers.size() == 2);
    CHECK(tracing.headers[0] == std::pair<std::string, std::string>("Authorization", "Basic dTpw"));
    CHECK(tracing.headers[1] == std::pair<std::string, std::string>("x-tenant", "a,b"));
    CHECK(tracing.service_name == "other");
    REQUIRE(tracing.resource.size() == 1);
    CHECK(tracing.resource[0] == std::pair<std::string, std::string>("deployment.environment", "t\xc3\xa4st"));
    CHECK(tracing_of(with({{"OTEL_SERVICE_NAME", "mine"}, {"OTEL_RESOURCE_ATTRIBUTES", "service.name=other"}}))
              .service_name == "mine");
}

TEST_CASE("samplers: all, none or a share of the traces, decided by the caller when he has one")
{
    struct Row {
        const char *sampler, *argument;
        bool follows_parent;
        double ratio;
    };
    const Row rows[] = {
        {"", "", true, 1},
        {"always_on", "", false, 1},
        {"always_off", "", false, 0},
        {"traceidratio", "0.25", false, 0.25},
        {"traceidratio", "", false, 1},
        {"parentbased_always_on", "", true, 1},
        {"parentbased_always_off", "", true, 0},
        {"parentbased_traceidratio", "1e-3", true, 0.001},
        {"ParentBased_TraceIdRatio", "0", true, 0},
    };
    for (const Row& row : rows) {
        CAPTURE(row.sampler);
        const Tracing tracing =
            tracing_of(with({{"OTEL_TRACES_SAMPLER", row.sampler}, {"OTEL_TRACES_SAMPLER_ARG", row.argument}}));
        CHECK(tracing.follows_parent == row.follows_parent);
        CHECK(tracing.ratio == doctest::Approx(row.ratio));
    }
}

TEST_CASE("a value that cannot be used is a warning that says what is used instead")
{
    Tracing used;
    CHECK(warning_of({{"OTEL_TRACES_SAMPLER", "jaeger_remote"}}, &used) ==
          "the environment says OTEL_TRACES_SAMPLER=jaeger_remote; it is no sampler here (always_on, always_off, "
          "traceidratio, and these with parentbased_ before them); parentbased_always_on is used");
    CHECK(used.follows_parent);
    for (const char* argument : {"1.5", "-1", "half", "0.5x", "nan"}) {
        CAPTURE(argument);
        CHECK(contains(
            warning_of({{"OTEL_TRACES_SAMPLER", "traceidratio"}, {"OTEL_TRACES_SAMPLER_ARG", argument}}, &used),
            "it wants a number from 0 to 1; 1 is used"));
        CHECK(used.ratio == 1);
    }
    CHECK(contains(warning_of({{"OTEL_TRACES_SAMPLER_ARG", "0.5"}}), "means nothing without OTEL_TRACES_SAMPLER"));
    for (const char* number : {"-1", "5s", "99999999999", "1.5"}) {
        CAPTURE(number);
        CHECK(contains(warning_of({{"OTEL_BSP_SCHEDULE_DELAY", number}}, &used), "5000 (milliseconds) is used"));
        CHECK(used.schedule_delay == 5s);
    }
    CHECK(contains(warning_of({{"OTEL_BSP_MAX_QUEUE_SIZE", "0"}}, &used), "wants at least 1; 2048 is used"));
    CHECK(contains(warning_of({{"OTEL_BSP_MAX_QUEUE_SIZE", "100"}, {"OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "200"}}, &used),
                   "is more than the queue holds; 100 is used"));
    CHECK(used.batch_size == 100);
    CHECK(contains(warning_of({{"OTEL_SDK_DISABLED", "yes"}}), "wants true or false; false is used"));
    CHECK(contains(warning_of({{"OTEL_TRACES_EXPORTER", "zipkin"}}), "otlp is used"));
    CHECK(contains(warning_of({{"OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"}}), "exports are not compressed"));
    CHECK(contains(warning_of({{"OTEL_PROPAGATORS", "b3"}}), "does not name tracecontext"));
    CHECK(contains(warning_of({{"OTEL_RESOURCE_ATTRIBUTES", "a=b,c"}}, &used), "none of it is used"));
    CHECK(used.resource.empty());
}

TEST_CASE("headers that cannot be sent are left out, and no message shows them")
{
    for (const char* list : {"api-key=secret%0d%0aX: y", "api-key", "api-key=secret%zz", "a b=secret", "Host=secret",
                             "content-length=secret", "=secret", "api-key=secret%2"}) {
        CAPTURE(list);
        Tracing used;
        const std::string warning = warning_of({{"OTEL_EXPORTER_OTLP_HEADERS", list}}, &used);
        CHECK(contains(warning, "OTEL_EXPORTER_OTLP_HEADERS"));
        CHECK_FALSE(contains(warning, "secret"));
        CHECK(used.headers.empty());
    }
}

TEST_CASE("the file may say where spans go, in short or in full, and variables win")
{
    const std::string head(plain);
    const Tracing brief = load_fine(head + "tracing: http://c:4318\n")->tracing;
    CHECK(brief.endpoint == "http://c:4318/v1/traces");
    CHECK(brief.ratio == 1);
    const std::string full = head +
                             "tracing:\n  endpoint: http://c:4318/in\n  protocol: http/json\n  sample: 1/4\n"
                             "  service_name: shop\n";
    const Tracing in_full = load_fine(full)->tracing;
    CHECK(in_full.endpoint == "http://c:4318/in");
    CHECK(in_full.protocol == OtlpProtocol::json);
    CHECK(in_full.ratio == 0.25);
    CHECK(in_full.follows_parent);
    CHECK(in_full.service_name == "shop");
    const Tracing won = load_fine(full, {{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://d"},
                                         {"OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"},
                                         {"OTEL_SERVICE_NAME", "other"},
                                         {"OTEL_TRACES_SAMPLER", "always_off"}})
                            ->tracing;
    CHECK(won.endpoint == "http://d/v1/traces");
    CHECK(won.protocol == OtlpProtocol::protobuf);
    CHECK(won.service_name == "other");
    CHECK(won.ratio == 0);
    CHECK(load_fine(head + "tracing: {endpoint: 'http://c', sample: off}\n")->tracing.ratio == 0);
    const Loaded flags =
        load_flags({{"upstream", "http://127.0.0.1:3000"}, {"tracing", "http://c:4318"}}, environment_of({}));
    REQUIRE(flags.config != nullptr);
    CHECK(flags.config->tracing.endpoint == "http://c:4318/v1/traces");
    CHECK_FALSE(load_fine(head + "tracing: ${COLLECTOR:-}\n")->tracing.is_on());
    CHECK(contains(load_broken(head + "tracing: c:4318\n"),
                   "f:3:10: tracing: the scheme is missing; write http://c:4318"));
    CHECK(contains(load_broken(head + "tracing: {endpoint: 'http://c', protocol: grpc}\n"), "http/protobuf"));
    const Loaded nowhere = load_text(head + "tracing: {sample: 1/10}\n", "f", environment_of({}));
    CHECK(contains(all_messages(nowhere), "spans have nowhere to go; add endpoint: http://127.0.0.1:4318"));
}

TEST_CASE("where spans go is read at the start: a reload keeps it, and says that it wants a restart")
{
    const std::string head(plain);
    const ConfigPtr current = load_fine(head + "tracing: http://c:4318\n");
    const Loaded same = load_text(head + "tracing: http://c:4318\n", "f", environment_of({}), {current.get(), {}});
    CHECK(same.kept.empty());
    const Loaded other = load_text(plain, "f", environment_of({}), {current.get(), {}});
    REQUIRE(other.config != nullptr);
    CHECK(other.config->tracing.endpoint == "http://c:4318/v1/traces");
    CHECK(other.kept == std::vector<std::string>{"tracing"});
}
