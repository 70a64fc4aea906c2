#include "config/tracing.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>

#include "config/addresses.hpp"
#include "rules/base/text.hpp"

namespace larder::config {
namespace {

using rules::equals_ignoring_case;
using Pairs = std::vector<std::pair<std::string, std::string>>;

constexpr Milliseconds unlimited{24 * 3600 * 1000};  // a timeout of 0 means none

/// The value of a variable; an empty one counts as none.
struct Variable {
    std::string name, value;
    bool is_set() const noexcept { return !value.empty(); }
    explicit operator bool() const noexcept { return is_set(); }
};

class Variables {
  public:
    explicit Variables(Reading& reading) : reading_(reading) {}

    Variable get(std::string name) const
    {
        std::string value = std::string(rules::trim(reading_.environment()(name).value_or("")));
        return {std::move(name), std::move(value)};
    }
    /// OTEL_EXPORTER_OTLP_TRACES_X, or else OTEL_EXPORTER_OTLP_X.
    Variable of_exporter(const std::string& last) const
    {
        Variable own = get("OTEL_EXPORTER_OTLP_TRACES_" + last);
        return own ? own : get("OTEL_EXPORTER_OTLP_" + last);
    }
    bool is_true(const std::string& name)
    {
        const Variable variable = get(name);
        if (equals_ignoring_case(variable.value, "true")) return true;
        if (variable && !equals_ignoring_case(variable.value, "false"))
            warn(variable, "wants true or false; false is used");
        return false;
    }
    /// Milliseconds, or a count.
    std::optional<std::uint32_t> number(const Variable& variable, const std::string& used_instead)
    {
        if (!variable) return std::nullopt;
        const auto number = rules::parse_digits(variable.value);
        if (number && *number <= INT32_MAX) return static_cast<std::uint32_t>(*number);
        warn(variable, "wants a whole number from 0 to 2147483647; " + used_instead + " is used");
        return std::nullopt;
    }
    void duration(const Variable& variable, Milliseconds& into, bool is_timeout)
    {
        const auto given = number(variable, std::to_string(into.count()) + " (milliseconds)");
        if (given) into = is_timeout && *given == 0 ? unlimited : Milliseconds{*given};
    }
    void warn(const Variable& variable, const std::string& text)
    {
        reading_.warning(rules::Place{}, said(variable) + "; it " + text, "otel-variable");
    }
    void error(const Variable& variable, const std::string& text)
    {
        reading_.error(rules::Place{}, said(variable) + ": " + text);
    }
    /// For what may hold a secret.
    void warn_hiding(const Variable& variable, const std::string& text)
    {
        reading_.warning(rules::Place{}, "the environment sets " + variable.name + "; " + text, "otel-variable");
    }

  private:
    static std::string said(const Variable& variable)
    {
        return "the environment says " + variable.name + "=" + variable.value.substr(0, 60);
    }
    Reading& reading_;
};

/// `key=value,key=value`, values percent-encoded. Empty when any part of it is wrong.
std::optional<Pairs> read_pairs(std::string_view list)
{
    Pairs pairs;
    while (!list.empty()) {
        const std::size_t end = std::min(list.find(','), list.size());
        const std::string_view member = rules::trim(list.substr(0, end));
        list.remove_prefix(std::min(end + 1, list.size()));
        if (member.empty()) continue;
        const std::size_t equals = member.find('=');
        if (equals == std::string_view::npos) return std::nullopt;
        const std::string_view key = rules::trim(member.substr(0, equals));
        const std::string_view raw = rules::trim(member.substr(equals + 1));
        std::string value;
        for (std::size_t i = 0; i < raw.size(); ++i) {
            if (raw[i] != '%') {
                value += raw[i];
                continue;
            }
            const int high = i + 2 < raw.size() ? rules::hex_value(raw[i + 1]) : -1;
            const int low = i + 2 < raw.size() ? rules::hex_value(raw[i + 2]) : -1;
            if (high < 0 || low < 0) return std::nullopt;
            value += static_cast<char>(high * 16 + low);
            i += 2;
        }
        if (key.empty()) return std::nullopt;
        pairs.emplace_back(key, std::move(value));
    }
    return pairs;
}

bool is_sound_header(const std::pair<std::string, std::string>& header)
{
    constexpr std::string_view ours[] = {"host",       "content-length", "content-type", "transfer-encoding",
                                         "connection", "upgrade",        "expect"};
    const auto is_visible = [](char c) { return static_cast<unsigned char>(c) >= ' ' && c != 0x7f; };
    return rules::is_token(header.first) && std::all_of(header.second.begin(), header.second.end(), is_visible) &&
           std::none_of(std::begin(ours), std::end(ours),
                        [&](std::string_view name) { return equals_ignoring_case(header.first, name); });
}

void read_endpoint_variables(Variables& variables, Tracing& tracing)
{
    const Variable own = variables.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT");
    const Variable base = variables.get("OTEL_EXPORTER_OTLP_ENDPOINT");
    const Variable& given = own ? own : base;
    if (!given) return;
    const OtlpPath path = own ? OtlpPath::exact : OtlpPath::base;
    if (const std::string problem = read_otlp_url(given.value, path, tracing); !problem.empty())
        return variables.error(given, problem);
    if (!tracing.tls) tracing.ca_file.clear();  // of an endpoint in the file
}

void read_protocol(Variables& variables, Tracing& tracing)
{
    const Variable protocol = variables.of_exporter("PROTOCOL");
    if (!protocol) return;
    if (protocol.value == "http/protobuf")
        tracing.protocol = OtlpProtocol::protobuf;
    else if (protocol.value == "http/json")
        tracing.protocol = OtlpProtocol::json;
    else
        variables.error(protocol,
                        "spans are sent by OTLP over HTTP; write http/protobuf or http/json, and the "
                        "collector's HTTP port (usually 4318) into the endpoint");
}

void read_headers(Variables& variables, Tracing& tracing)
{
    const Variable list = variables.of_exporter("HEADERS");
    if (!list) return;
    std::optional<Pairs> headers = read_pairs(list.value);
    if (headers && std::all_of(headers->begin(), headers->end(), is_sound_header))
        tracing.headers = std::move(*headers);
    else
        variables.warn_hiding(list,
                              "it wants name=value,name=value with percent-encoded values, and no field that Larder "
                              "sets itself; exports are sent without them");
}

void read_resource(Variables& variables, Tracing& tracing)
{
    const Variable list = variables.get("OTEL_RESOURCE_ATTRIBUTES");
    if (list) {
        if (std::optional<Pairs> attributes = read_pairs(list.value)) {
            for (auto& [key, value] : *attributes) {
                if (key == "service.name")
                    tracing.service_name = std::move(value);
                else
                    tracing.resource.emplace_back(key, std::move(value));
            }
        } else {
            variables.warn(list, "wants key=value,key=value with percent-encoded values; none of it is used");
        }
    }
    if (const Variable name = variables.get("OTEL_SERVICE_NAME")) tracing.service_name = name.value;
}

void read_sampler(Variables& variables, Tracing& tracing)
{
    const Variable sampler = variables.get("OTEL_TRACES_SAMPLER");
    const Variable argument = variables.get("OTEL_TRACES_SAMPLER_ARG");
    if (!sampler) {
        if (argument) variables.warn(argument, "means nothing without OTEL_TRACES_SAMPLER=parentbased_traceidratio");
        return;
    }
    std::string_view word = sampler.value;
    constexpr std::string_view by_parent = "parentbased_";
    const bool follows =
        word.size() > by_parent.size() && equals_ignoring_case(word.substr(0, by_parent.size()), by_parent);
    if (follows) word.remove_prefix(by_parent.size());
    double ratio = 1;
    if (equals_ignoring_case(word, "always_off")) {
        ratio = 0;
    } else if (equals_ignoring_case(word, "traceidratio")) {
        double given = 1;
        const char* const end = argument.value.data() + argument.value.size();
        const auto read = std::from_chars(argument.value.data(), end, given);
        const bool is_ratio = read.ec == std::errc{} && read.ptr == end && given >= 0 && given <= 1;
        if (is_ratio)
            ratio = given;
        else if (argument)
            variables.warn(argument, "wants a number from 0 to 1; 1 is used");
    } else if (!equals_ignoring_case(word, "always_on")) {
        return variables.warn(sampler,
                              "is no sampler here (always_on, always_off, traceidratio, and these with "
                              "parentbased_ before them); parentbased_always_on is used");
    }
    tracing.follows_parent = follows;
    tracing.ratio = ratio;
}

void read_batches(Variables& variables, Tracing& tracing)
{
    variables.duration(variables.of_exporter("TIMEOUT"), tracing.timeout, true);
    variables.duration(variables.get("OTEL_BSP_EXPORT_TIMEOUT"), tracing.export_timeout, true);
    variables.duration(variables.get("OTEL_BSP_SCHEDULE_DELAY"), tracing.schedule_delay, false);
    const auto count = [&](const std::string& name, std::uint32_t& into) {
        const Variable variable = variables.get(name);
        const auto given = variables.number(variable, std::to_string(into));
        if (given && *given == 0) variables.warn(variable, "wants at least 1; " + std::to_string(into) + " is used");
        if (given && *given != 0) into = *given;
    };
    count("OTEL_BSP_MAX_QUEUE_SIZE", tracing.queue_size);
    count("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", tracing.batch_size);
    if (tracing.batch_size <= tracing.queue_size) return;
    if (const Variable batch = variables.get("OTEL_BSP_MAX_EXPORT_BATCH_SIZE"))
        variables.warn(batch, "is more than the queue holds; " + std::to_string(tracing.queue_size) + " is used");
    tracing.batch_size = tracing.queue_size;
}

void read_certificate(Variables& variables, Tracing& tracing)
{
    const Variable file = variables.of_exporter("CERTIFICATE");
    if (!file || !tracing.tls) return;
    if (!std::ifstream(file.value)) return variables.error(file, "the file cannot be read");
    tracing.ca_file = file.value;
}

/// What others know and Larder does not, so that nobody believes it is in use.
void tell_unknown(Variables& variables)
{
    if (const Variable compression = variables.of_exporter("COMPRESSION"); compression && compression.value != "none")
        variables.warn(compression, "is not known here; exports are not compressed");
    if (const Variable key = variables.of_exporter("CLIENT_KEY"))
        variables.warn(key, "is not known here; no client certificate is sent");
    const Variable propagators = variables.get("OTEL_PROPAGATORS");
    if (propagators && propagators.value.find("tracecontext") == std::string::npos)
        variables.warn(propagators, "does not name tracecontext, the only one here; it is used all the same");
}

}  // namespace

void apply_tracing_variables(Reading& reading, Tracing& tracing)
{
    Variables variables(reading);
    tracing.ratio = tracing.sample_every == 0 ? 0 : 1.0 / tracing.sample_every;
    read_endpoint_variables(variables, tracing);
    if (!tracing.is_on()) return;
    const Variable exporter = variables.get("OTEL_TRACES_EXPORTER");
    const bool is_off = variables.is_true("OTEL_SDK_DISABLED") || exporter.value == "none";
    if (is_off) {
        tracing = Tracing{};
        return;
    }
    if (exporter && exporter.value.find("otlp") == std::string::npos)
        variables.warn(exporter, "is no exporter here (otlp, none); otlp is used");
    read_protocol(variables, tracing);
    read_headers(variables, tracing);
    read_resource(variables, tracing);
    read_sampler(variables, tracing);
    read_batches(variables, tracing);
    read_certificate(variables, tracing);
    tell_unknown(variables);
}

}  // namespace larder::config
