#include "config/options.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include "config/match_reader.hpp"
#include "config/nearest.hpp"
#include "config/value_types.hpp"
#include "rules/base/text.hpp"
#include "rules/explain/lint.hpp"
#include "rules/pattern/template.hpp"

namespace larder::config {
namespace {

using namespace std::chrono_literals;
using rules::CacheMode;
namespace json = boost::json;
using rules::Template;

// One row of a table: name, where the value goes, what kind of value, what it does. The default is what a fresh
// target holds, so that the documentation cannot lag behind it; `fallback` overrides the words.
template <class Target, class Access, class T>
Option<Target> option(std::string name, Access access, ValueType<T> type, std::string text,
                      std::optional<std::string> fallback = std::nullopt)
{
    Option<Target> row;
    Target fresh{};
    row.text = {std::move(name), type.words,  type.range, fallback ? *fallback : type.write(std::invoke(access, fresh)),
                std::move(text), type.schema, {}};
    row.read = [access, read = std::move(type.read)](Reading& reading, const Node& node, Target& target) {
        if (auto value = read(reading, node)) std::invoke(access, target) = std::move(*value);
    };
    return row;
}

ValueType<std::optional<rules::ClientCacheControl>> client_cache_control()
{
    using rules::ClientCacheControl;
    ValueType<ClientCacheControl> plain =
        choice<ClientCacheControl>({{"ignore", ClientCacheControl::ignore}, {"respect", ClientCacheControl::respect}});
    ValueType<std::optional<ClientCacheControl>> type;
    type.words = plain.words;
    type.range = plain.range;
    type.schema = plain.schema;
    type.read = [read = plain.read](Reading& reading,
                                    const Node& node) -> std::optional<std::optional<ClientCacheControl>> {
        if (auto value = read(reading, node)) return std::optional<ClientCacheControl>(*value);
        return std::nullopt;
    };
    type.write = [](const std::optional<ClientCacheControl>&) { return std::string(); };
    return type;
}

template <class Target>
std::vector<OptionText> texts_of(const Options<Target>& options)
{
    std::vector<OptionText> texts;
    for (const auto& row : options) texts.push_back(row.text);
    return texts;
}

// A row whose value is a mapping with a table of its own.
template <class Target, class Access, class Inner>
Option<Target> group(std::string name, Access access, const Options<Inner>& inner, std::string text)
{
    Option<Target> row;
    row.text = {name, "mapping", "", "", std::move(text), nullptr, texts_of(inner)};
    row.read = [access, &inner, name](Reading& reading, const Node& node, Target& target) {
        const std::string prefix = name + ".";
        read_mapping(reading, node, inner, std::invoke(access, target), prefix);
    };
    return row;
}

// The same where a plain scalar stands for the option `url` of the mapping.
template <class Target, class Access, class Inner>
Option<Target> url_or_group(std::string name, Access access, const Options<Inner>& inner, std::string text)
{
    Option<Target> row = group<Target>(name, access, inner, std::move(text));
    row.text.type = "URL, or a mapping";
    row.text.schema = inner.front().text.schema;
    row.read = [access, &inner, read_group = row.read](Reading& reading, const Node& node, Target& target) {
        if (node.kind == Node::Kind::mapping)
            read_group(reading, node, target);
        else
            inner.front().read(reading, node, std::invoke(access, target));
    };
    return row;
}

const Options<Upstream>& upstream_options()
{
    static const Options<Upstream> options = [] {
        Option<Upstream> url;
        url.text = {"url",
                    "URL",
                    "",
                    "",
                    "`http://HOST[:PORT]`, `https://HOST[:PORT]` or `unix:/path`",
                    text_schema("https?://[^/?#@]+/?|unix:/.+"),
                    {},
                    "url: http://127.0.0.1:3000"};
        url.read = [](Reading& reading, const Node& node, Upstream& upstream) {
            const std::string* text = read_text(reading, node, "a URL, such as http://127.0.0.1:3000");
            if (text == nullptr) return;
            auto read = read_upstream_url(*text);
            if (auto* problem = std::get_if<std::string>(&read)) return reading.error(node, *problem);
            auto& address = std::get<Upstream>(read);
            upstream.endpoint = std::move(address.endpoint);
            upstream.tls = address.tls;
            upstream.host_header = std::move(address.host_header);
        };
        const auto row = [](auto&&... arguments) { return option<Upstream>(std::move(arguments)...); };
        return Options<Upstream>{
            url,
            row("ca_file", &Upstream::ca_file, readable_file(),
                "PEM file with the certificates to trust; only with `https://`",
                std::optional<std::string>("the system's certificates")),
            row("connect_timeout", &Upstream::connect_timeout, duration(1ms, 10min), "to open a connection; then 502"),
            row("first_byte_timeout", &Upstream::first_byte_timeout, duration(1ms, 24h),
                "from the end of a request to the first byte of its response; then 504"),
            row("idle_timeout", &Upstream::idle_timeout, duration(1ms, 24h), "between two reads or writes of a body"),
            row("keep_alive", &Upstream::keep_alive, duration(0ms, 24h),
                "how long an unused connection is kept; a little less than the app server's own limit"),
            row("pool_size", &Upstream::pool_size, count(0, 65'536), "unused connections kept, per worker"),
        };
    }();
    return options;
}

const Options<Store>& store_options()
{
    static const Options<Store> options = [] {
        Option<Store> url;
        url.text = {"url",
                    "URL",
                    "",
                    "",
                    "`redis://[user:password@]HOST[:PORT][/DB]`, `unix:///path?db=N`, "
                    "`redis+sentinel://[user:password@]HOST[:PORT],HOST…/NAME[/DB]`, "
                    "`redis+cluster://[user:password@]HOST[:PORT],HOST…`; with TLS `rediss…`",
                    text_schema("(rediss?://.+|rediss?\\+sentinel://.+/.+|rediss?\\+cluster://[^/]+/?|unix:/.+)?"),
                    {},
                    "url: redis://127.0.0.1:6379/0"};
        url.read = [](Reading& reading, const Node& node, Store& store) {
            if (node.is_empty()) return;  // store: ${REDIS_URL:-} means the embedded store
            const std::string* text = read_text(reading, node, "a URL, such as redis://127.0.0.1:6379/0");
            if (text == nullptr) return;
            auto read = read_store_url(*text);
            if (auto* problem = std::get_if<std::string>(&read)) return reading.error(node, *problem);
            auto& address = std::get<Store>(read);
            store.kind = address.kind;
            store.topology = address.topology;
            store.endpoint = std::move(address.endpoint);
            store.seeds = std::move(address.seeds);
            store.master_name = std::move(address.master_name);
            store.tls = address.tls;
            store.user = std::move(address.user);
            if (!address.password.empty()) store.password = std::move(address.password);
            store.database = address.database;
            store.url_for_display = std::move(address.url_for_display);
        };
        const auto row = [](auto&&... arguments) { return option<Store>(std::move(arguments)...); };
        return Options<Store>{
            url,
            row("password_file", &Store::password, secret_file(),
                "file with the password in one line, so that it stands in no configuration"),
            row("ca_file", &Store::ca_file, readable_file(),
                "PEM file with the certificates to trust; only with `rediss…`",
                std::optional<std::string>("the system's certificates")),
            row("sentinel_user", &Store::sentinel_user, identifier(),
                "user to log in to the sentinels with; only with `redis+sentinel://`"),
            row("sentinel_password_file", &Store::sentinel_password, secret_file(),
                "file with the password of the sentinels; without it they are asked without a login"),
            row("timeout", &Store::timeout, duration(1ms, 10s),
                "for one operation; then the request goes on without the store"),
            row("slow_log", &Store::slow_log, duration(0ms, 10min),
                "operations that take longer are logged (once a second at most) and counted"),
            row("connect_timeout", &Store::connect_timeout, duration(1ms, 60s), "to open a connection"),
        };
    }();
    return options;
}

const Options<Timeouts>& timeouts_options()
{
    const auto row = [](auto&&... arguments) { return option<Timeouts>(std::move(arguments)...); };
    static const Options<Timeouts> options{
        row("client_head", &Timeouts::client_head, duration(1ms, 10min),
            "first to last byte of a request's head; then 408"),
        row("client_idle", &Timeouts::client_idle, duration(1ms, 24h),
            "between two requests of a connection; then it is closed"),
        row("client_body", &Timeouts::client_body, duration(1ms, 24h),
            "between two reads of a request's body, or two writes of a response"),
        row("drain", &Timeouts::drain, duration(0ms, 1h), "from SIGTERM to the exit: what is under way may end"),
    };
    return options;
}

const Options<Limits>& limits_options()
{
    constexpr std::uint64_t mib = 1ull << 20;
    const auto row = [](auto&&... arguments) { return option<Limits>(std::move(arguments)...); };
    static const Options<Limits> options{
        row("request_head", &Limits::request_head, size(1024, mib), "request line and header fields; then 431"),
        row("target", &Limits::target, size(256, mib), "path and query; then 414"),
        row("field", &Limits::field, size(256, mib), "one header field of a request, name and value; then 431"),
        row("fields", &Limits::fields, count(8, 10'000), "header fields of a request; then 431"),
        row("response_head", &Limits::response_head, size(1024, mib),
            "status line and header fields of the upstream; then 502"),
        row("request_body", &Limits::request_body, size(1, 1ull << 50, "no limit"), "then 413"),
        row("client_rate", &Limits::client_rate, size(1, 1ull << 30, "no limit"),
            "per second: the least that a client must send of a body, or take of a response, once it has been waited "
            "for for `timeouts.client_body` in all; then 408, or the end of the connection"),
        row("connections", &Limits::connections, count(0, 10'000'000, "as many as open files allow"),
            "client connections in all; then 503 with `Retry-After`"),
        row("inflight", &Limits::inflight, count(0, 10'000'000, "no limit"),
            "requests under way to the upstream, in all; then 503 with `Retry-After`, or a stale response that may "
            "stand in"),
    };
    return options;
}

const Options<Tracing>& tracing_options()
{
    Option<Tracing> endpoint;
    endpoint.text = {
        "endpoint",
        "URL",
        "",
        "",
        "the collector: `http://HOST:4318` or `https://HOST/PATH`; without a path `/v1/traces` is added. Empty: "
        "nothing is traced. `OTEL_EXPORTER_OTLP_ENDPOINT` and its like win over what stands here",
        text_schema("(https?://.+)?"),
        {}};
    endpoint.read = [](Reading& reading, const Node& node, Tracing& tracing) {
        if (node.is_empty()) return;  // tracing: ${COLLECTOR:-} means none
        const std::string* text = read_text(reading, node, "a URL, such as http://127.0.0.1:4318");
        if (text == nullptr) return;
        if (std::string problem = read_otlp_url(*text, OtlpPath::completed, tracing); !problem.empty())
            reading.error(node, problem);
    };
    const auto row = [](auto&&... arguments) { return option<Tracing>(std::move(arguments)...); };
    static const Options<Tracing> options{
        endpoint,
        row("ca_file", &Tracing::ca_file, readable_file(),
            "PEM file with the certificates to trust; only with `https://`",
            std::optional<std::string>("the system's certificates")),
        row("protocol", &Tracing::protocol,
            choice<OtlpProtocol>({{"http/protobuf", OtlpProtocol::protobuf}, {"http/json", OtlpProtocol::json}}),
            "how spans are written"),
        row("sample", &Tracing::sample_every, access_sampling(),
            "which traces that begin here are recorded; a request that brings a `traceparent` says so itself"),
        row("service_name", &Tracing::service_name, identifier(), "what the spans are of: `service.name`"),
    };
    return options;
}

const Options<Log>& log_options()
{
    const auto row = [](auto&&... arguments) { return option<Log>(std::move(arguments)...); };
    static const Options<Log> options{
        row("level", &Log::level,
            choice<LogLevel>({{"debug", LogLevel::debug},
                              {"info", LogLevel::info},
                              {"warn", LogLevel::warn},
                              {"error", LogLevel::error}}),
            "the least important line that is written"),
        row("format", &Log::format, choice<LogFormat>({{"text", LogFormat::text}, {"json", LogFormat::json}}),
            "of a line"),
        row("access", &Log::access_every, access_sampling(), "one line per request, for all of them or one in N"),
        row("query", &Log::query,
            choice<QueryLog>({{"keep", QueryLog::keep}, {"names", QueryLog::names}, {"drop", QueryLog::drop}}),
            "what the access log says of query strings: `names` leaves the values out, for those that hold secrets"),
    };
    return options;
}

// ---- rules ----

// A template, or nothing after its errors were reported where they stand.
std::optional<Template> read_template(Reading& reading, const Node& node, rules::TemplateUse use, RuleDraft& draft)
{
    const std::string* text = read_text(reading, node, "text, such as \"event:{id}\"");
    if (text != nullptr && text->empty()) reading.error(node, "the text is empty; write such as \"event:{id}\"");
    if (text == nullptr || text->empty()) {
        draft.templates_are_read = false;
        return std::nullopt;
    }
    auto parsed = rules::parse_template(*text, use);
    for (const auto& error : parsed.errors) reading.error(node.place_of(error.column), error.message);
    if (parsed.errors.empty()) return std::move(parsed.value);
    draft.templates_are_read = false;
    return std::nullopt;
}

void read_ttl(Reading& reading, const Node& node, RuleDraft& draft)
{
    static const ValueType<Milliseconds> lifetime = duration(0ms, 24h * 3660);
    const auto read = [&](const Node& value) -> std::optional<Milliseconds> {
        auto ttl = lifetime.read(reading, value);
        if (ttl && *ttl == 0ms) {
            reading.error(value, "a lifetime of 0 stores nothing; write cache: off for that, or a longer time");
            return std::nullopt;
        }
        return ttl;
    };
    if (node.kind != Node::Kind::mapping) {
        if (auto ttl = read(node)) draft.rule.ttl.any = *ttl;
        return;
    }
    if (node.entries.empty()) reading.error(node, "the mapping is empty; write {200: 60s, 404: 10s}");
    for (const Node::Entry& entry : node.entries) {
        const auto status = rules::parse_digits(entry.name);
        if (entry.name.size() != 3 || !status || *status < 200 || *status > 599)
            reading.error(entry.place,
                          "\"" + entry.name.substr(0, 40) + "\" is no status; write a number from 200 to 599");
        else if (*status == 206 || *status == 304)
            reading.error(entry.place, entry.name + " is never stored; remove it");
        else if (auto ttl = read(entry.value))
            draft.rule.ttl.status[static_cast<int>(*status)] = *ttl;
    }
}

void read_purge(Reading& reading, const Node& node, RuleDraft& draft)
{
    if (node.kind == Node::Kind::null) read_text(reading, node, "a pattern, such as \"event:{id}\"");
    if (node.kind == Node::Kind::null)
        draft.templates_are_read = false;
    else
        read_list(reading, node, [&](const Node& item) {
            if (auto pattern = read_template(reading, item, rules::TemplateUse::purge, draft))
                draft.rule.purge.push_back(std::move(*pattern));
        });
    if (node.kind == Node::Kind::list && node.items.empty()) draft.templates_are_read = false;
}

void read_ignored_parameters(Reading& reading, const Node& node, RuleDraft& draft)
{
    auto& names = draft.rule.ignore_query;
    read_list(reading, node, [&](const Node& item) {
        const std::string* text = read_text(reading, item, "the name of a query parameter");
        if (text == nullptr) return;
        const std::size_t star = text->find('*');
        if (*text == "tracking")
            names.insert(names.end(), tracking_parameters().begin(), tracking_parameters().end());
        else if (*text == "*")
            reading.error(item, "to ignore every parameter write query: ignore");
        else if (text->empty() || text->find_first_of("&=# ") != std::string::npos)
            reading.error(item, "\"" + text->substr(0, 40) + "\" is no parameter name");
        else if (star != std::string::npos && star + 1 != text->size())
            reading.error(item, "* stands only at the end: utm_*");
        else
            names.push_back(*text);
    });
}

void read_ignored_lint(Reading& reading, const Node& node, RuleDraft& draft)
{
    std::vector<std::string_view> known;
    for (const rules::LintKind& kind : rules::lint_kinds()) known.push_back(kind.word);
    read_list(reading, node, [&](const Node& item) {
        const std::string* text = read_text(reading, item, "the name of a finding, such as no-purge");
        if (text == nullptr) return;
        if (rules::lint_of(*text))
            draft.rule.ignore_lint.push_back(*text);
        else
            reading.error(item,
                          "\"" + text->substr(0, 40) + "\" is no finding of larder check" + suggestion(*text, known));
    });
}

template <class Member>
auto of_rule(Member member)
{
    return [member](RuleDraft & draft) -> auto& { return draft.rule.*member; };
}

const Options<RuleDraft>& rule_options()
{
    using rules::CacheControlMode, rules::Coalesce, rules::Fence, rules::OnStoreError, rules::QueryPolicy, rules::Rule;
    const auto row = [](auto&&... arguments) { return option<RuleDraft>(std::move(arguments)...); };
    static const Options<RuleDraft> options = [&] {
        Option<RuleDraft> match;
        match.text = match_text();
        match.read = [](Reading& reading, const Node& node, RuleDraft& draft) {
            draft.match_is_read = read_match(reading, node, draft.rule.match);
        };
        const Option<RuleDraft> key{
            {"key",
             "template",
             "",
             "{host}:{path}:{query}",
             "name of the stored response. Placeholders: `{id}` from the path, `{query.page|1}`, `{header.X-Tenant}`, "
             "`{cookie.sid}`, `{host}`, `{path}`, `{query}`, `{method}`",
             boost::json::parse(R"({"type":"string","minLength":1})"),
             {}},
            [](Reading& reading, const Node& node, RuleDraft& draft) {
                draft.rule.key = read_template(reading, node, rules::TemplateUse::key, draft);
            }};
        const Option<RuleDraft> ttl{
            {"ttl",
             "duration, or status: duration",
             "",
             "",
             "how long a response is fresh when the origin does not say. A plain duration holds for 200, 203, 204, "
             "300, "
             "301, 308, and for 404, 410 at a tenth. Without it: only what the origin allows",
             boost::json::parse(R"({"anyOf":[{"type":"string","pattern":"^([0-9]+(ms|s|m|h|d))$|\\$\\{"},
                {"type":"object","minProperties":1,"additionalProperties":false,"patternProperties":
                {"^[2-5][0-9][0-9]$":{"type":"string","pattern":"^([0-9]+(ms|s|m|h|d))$|\\$\\{"}}}]})"),
             {}},
            read_ttl};
        const Option<RuleDraft> purge{
            {"purge",
             "pattern, or a list",
             "",
             "",
             "makes this a purge rule: what a matching write removes. As in `key`, with `*` for any run of characters, "
             "and values of the write: `{body.user_id}`, `{response.header.Location}`",
             boost::json::parse(
                 R"({"anyOf":[{"type":"string","minLength":1},{"type":"array","minItems":1,"items":{"type":"string","minLength":1}}]})"),
             {}},
            read_purge};
        const Option<RuleDraft> ignore_query{
            {"ignore_query",
             "list of names",
             "",
             "",
             "query parameters that do not change the response; `utm_*` for a family, `tracking` for the usual ones of "
             "advertisers",
             boost::json::parse(
                 R"({"anyOf":[{"type":"string","minLength":1},{"type":"array","minItems":1,"items":{"type":"string","minLength":1}}]})"),
             {}},
            read_ignored_parameters};
        json::array findings;
        for (const rules::LintKind& kind : rules::lint_kinds()) findings.emplace_back(kind.word);
        const json::object finding{{"enum", std::move(findings)}};
        const Option<RuleDraft> ignore_lint{
            {"ignore_lint",
             "list of findings",
             "",
             "",
             "findings of `larder check` that are meant here, such as `no-purge`",
             json::object{{"anyOf", json::array{finding, json::object{{"type", "array"}, {"items", finding}}}}},
             {}},
            read_ignored_lint};
        return Options<RuleDraft>{
            row("name", of_rule(&Rule::name), identifier(), "in logs, metrics and `Cache-Status`",
                std::optional<std::string>("rule-N, its place in the file")),
            match,
            key,
            ttl,
            row("stale_while_revalidate", of_rule(&Rule::stale_while_revalidate), duration(0ms, 24h * 3660),
                "after the ttl: answer with the old response for so long, and fetch a new one behind it"),
            row("stale_if_error", of_rule(&Rule::stale_if_error), duration(0ms, 24h * 3660),
                "after the ttl: answer with the old response for so long when the upstream fails"),
            purge,
            row("cache", of_rule(&Rule::cache), on_off(),
                "`off`: matching requests are never stored, and no later rule is asked"),
            row("cache_control", of_rule(&Rule::cache_control),
                choice<CacheControlMode>(
                    {{"respect", CacheControlMode::respect}, {"override", CacheControlMode::override_}}),
                "`override`: the ttl wins over everything the origin says but `no-store`"),
            row("client_cache_control", of_rule(&Rule::client_cache_control), client_cache_control(),
                "the same for this rule's requests", std::optional<std::string>("that of the whole process")),
            row("coalesce", of_rule(&Rule::coalesce),
                choice<Coalesce>({{"fleet", Coalesce::fleet}, {"process", Coalesce::process}}),
                "who shares the fetch of a key that is not stored: `fleet`, all replicas, with a Redis store; "
                "`process`, the requests of each replica alone"),
            row("tags", of_rule(&Rule::tags_of_response), choice<bool>({{"none", false}, {"response", true}}),
                "`response`: the tags of the response (`Surrogate-Key`, `Cache-Tag`, `xkey`) name groups that can be "
                "purged together; of a write's response, those that it purges"),
            row("shared", of_rule(&Rule::shared), on_off(),
                "requests with `Authorization` or `Cookie` may share one response, though the key names nobody"),
            row("query", of_rule(&Rule::query_policy),
                choice<QueryPolicy>({{"strict", QueryPolicy::strict}, {"ignore", QueryPolicy::ignore}}),
                "a parameter that the key does not name: `strict` passes the request by, `ignore` drops it from the "
                "key"),
            ignore_query,
            row("strip_set_cookie", of_rule(&Rule::strip_set_cookie), on_off(),
                "store responses with `Set-Cookie`, without that field"),
            row("fence", of_rule(&Rule::fence), choice<Fence>({{"both", Fence::both}, {"after", Fence::after}}),
                "of a purge rule. `both`: matching keys are not cached while the write runs; `after`: purge when it "
                "has ended"),
            row("on_store_error", of_rule(&Rule::on_store_error),
                choice<OnStoreError>({{"forward", OnStoreError::forward}, {"reject", OnStoreError::reject}}),
                "of a purge rule, when the store is away: forward the write all the same, or answer 503"),
            row("settle", of_rule(&Rule::settle), duration(0ms, 60s),
                "of a purge rule: nothing is stored for so long after the write, for apps that read from lagging "
                "replicas"),
            ignore_lint,
        };
    }();
    return options;
}

void read_rules(Reading& reading, const Node& node, Draft& draft)
{
    if (node.kind == Node::Kind::null) return;
    if (node.kind != Node::Kind::list) return reading.error(node, "wants a list; begin each rule with \"- name: …\"");
    for (const Node& item : node.items) {
        RuleDraft rule;
        rule.node = &item;
        rule.rule.index = static_cast<std::uint32_t>(draft.rules.size());
        rule.rule.place = item.place;
        const Reading::Scope scope(reading, "");
        read_mapping(reading, item, rule_options(), rule);
        if (rule.rule.name.empty()) rule.rule.name = "rule-" + std::to_string(rule.rule.index + 1);
        draft.rules.push_back(std::move(rule));
    }
}

// ---- top level ----

template <class Member>
auto of_config(Member member)
{
    return [member](Draft & draft) -> auto& { return draft.config.*member; };
}

// An option that is off when its value is empty, as in `admin: ${ADMIN:-}`.
ValueType<std::optional<Endpoint>> endpoint_or_none()
{
    ValueType<std::optional<Endpoint>> type;
    ValueType<Endpoint> plain = endpoint();
    type.words = plain.words;
    type.schema = text_schema("([^/@]*:[0-9]{1,5}|unix:/.+)?");
    type.read = [read = plain.read](Reading& reading, const Node& node) -> std::optional<std::optional<Endpoint>> {
        if (node.is_empty()) return std::optional<Endpoint>();
        if (auto value = read(reading, node)) return std::optional<Endpoint>(std::move(*value));
        return std::nullopt;
    };
    type.write = [](const std::optional<Endpoint>&) { return std::string("none"); };
    return type;
}

void find_homes(const std::vector<OptionText>& options, std::string_view name, const std::string& path,
                std::vector<std::string>& homes)
{
    for (const OptionText& option : options) {
        if (option.name == name && !path.empty()) homes.push_back(path);
        find_homes(option.children, name, path.empty() ? option.name : path + "." + option.name, homes);
    }
}

}  // namespace

void report_unknown(Reading& reading, const Node::Entry& entry, const std::vector<std::string_view>& known)
{
    const std::string name = "\"" + entry.name.substr(0, 60) + "\"";
    if (nearest(entry.name, known).empty()) {
        std::vector<std::string> homes;
        find_homes(texts_of(all_options()), entry.name, "", homes);
        if (!homes.empty())
            return reading.error(entry.place, name + " is no option here; it belongs under " + homes.front(),
                                 "unknown-option");
        const auto top = texts_of(all_options());
        const bool is_top =
            std::any_of(top.begin(), top.end(), [&](const auto& option) { return option.name == entry.name; });
        if (is_top)
            return reading.error(entry.place, name + " is no option here; it belongs at the top level of the file",
                                 "unknown-option");
    }
    reading.error(entry.place, name + " is not an option" + suggestion(entry.name, known), "unknown-option");
}

const std::vector<std::string>& tracking_parameters()
{
    static const std::vector<std::string> names{
        "utm_*", "gclid",  "gclsrc", "dclid",   "gbraid",    "wbraid", "gad_source", "fbclid", "msclkid",
        "yclid", "ysclid", "twclid", "ttclid",  "li_fat_id", "igshid", "mc_cid",     "mc_eid", "_ga",
        "_gl",   "_hsenc", "_hsmi",  "mkt_tok", "s_kwcid",   "epik",   "srsltid"};
    return names;
}

const Options<Draft>& all_options()
{
    const auto row = [](auto&&... arguments) { return option<Draft>(std::move(arguments)...); };
    constexpr std::uint64_t mib = 1ull << 20;
    static const Options<Draft> options = [&] {
        Option<Draft> rules_row;
        rules_row.text = {
            "rules",
            "list",
            "",
            "",
            "the rules, in order: the first cache rule that matches wins, every purge rule that matches applies",
            nullptr,
            texts_of(rule_options()),
            {},
            true};
        rules_row.read = read_rules;
        Option<Draft> upstream =
            url_or_group<Draft>("upstream", of_config(&Config::upstream), upstream_options(), "the app server");
        upstream.text.required = "upstream: http://127.0.0.1:3000";
        return Options<Draft>{
            row("listen", of_config(&Config::listen), endpoint(),
                "where clients come; `:8080` is any address, port 0 any free port"),
            upstream,
            row("admin", of_config(&Config::admin), endpoint_or_none(),
                "where probes, metrics and explain are; keep it away from the outside"),
            row("admin_token_file", of_config(&Config::admin_token), secret_file(),
                "file with the token, in one line, that `POST` there wants as `Authorization: Bearer TOKEN`; without "
                "it "
                "`POST` is for an `admin` on loopback or a unix socket only"),
            row("namespace", of_config(&Config::namespace_), identifier(),
                "first part of every Redis key; replicas of one app share it"),
            url_or_group<Draft>("store", of_config(&Config::store), store_options(),
                                "the shared store; without it, a store inside the process"),
            row("memory", of_config(&Config::memory), size(mib, 1ull << 44, "none, only with a Redis store"),
                "size of the store inside the process"),
            row("max_object", of_config(&Config::max_object), size(1024, 512 * mib),
                "larger bodies are forwarded and not stored"),
            row("workers", of_config(&Config::workers), count(0, 1024, "one per core that the cgroup allows"),
                "threads"),
            row("watch", of_config(&Config::watch), on_off(),
                "reload when this file changes; without it, on `SIGHUP` and `larder reload` only"),
            row("trust", of_config(&Config::trust), duration(0ms, 60s),
                "how long responses in memory are served without asking Redis whether a write has purged them; 0ms: "
                "always ask"),
            row("verify", of_config(&Config::verify_every), access_sampling(),
                "one hit in N is held against what the app answers now, while nobody waits for it; "
                "`larder_verifications_total` and the log tell what differs"),
            row("cache", of_config(&Config::cache),
                choice<CacheMode>({{"rules", CacheMode::rules},
                                   {"on", CacheMode::rules},
                                   {"respect-origin", CacheMode::respect_origin},
                                   {"off", CacheMode::off}}),
                "`rules` (or `on`): what a rule matches; `respect-origin`: also everything whose own headers allow it; "
                "`off`: nothing, writes still purge"),
            row("client_cache_control", of_config(&Config::client_cache_control), client_cache_control(),
                "what `Cache-Control` of a request does, for rules that say nothing: `ignore`, nothing, so that nobody "
                "can void the cache from outside; `respect`, what RFC 9111 says",
                std::optional<std::string>("ignore; respect for what `cache: respect-origin` stores without a rule")),
            row("trusted_proxies", of_config(&Config::trusted_proxies), networks(),
                "who may set `X-Forwarded-*` (from others it is replaced), and be told by `Larder-Debug: key` and "
                "`explain` under which key and why",
                std::optional<std::string>("nobody")),
            group<Draft>("timeouts", of_config(&Config::timeouts), timeouts_options(), "of clients"),
            group<Draft>("limits", of_config(&Config::limits), limits_options(), "of requests and responses"),
            group<Draft>("log", of_config(&Config::log), log_options(),
                         "what is logged: events to standard error, the access log to standard output"),
            url_or_group<Draft>(
                "tracing", of_config(&Config::tracing), tracing_options(),
                "where spans go (OpenTelemetry); without it, and without a variable that says so, nowhere"),
            rules_row,
        };
    }();
    return options;
}

}  // namespace larder::config
