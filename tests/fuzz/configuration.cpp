// What an operator writes: any text loads, or fails with messages that help and give no secret away.
#include <algorithm>
#include <boost/json/parse.hpp>
#include <string>
#include <variant>
#include <vector>

#include "config/addresses.hpp"
#include "config/load.hpp"
#include "config/quantities.hpp"
#include "input.hpp"
#include "rules/explain/explain.hpp"
#include "rules/http/head.hpp"
#include "targets.hpp"

namespace larder::fuzz {

namespace {

using namespace config;

std::optional<std::string> environment(std::string_view name)
{
    if (name == "PORT") return "3000";
    if (name == "EMPTY") return "";
    if (name == "YAML") return "a: [b, {c: d}]\n";
    return std::nullopt;
}

void check_accepted(const Config& config)
{
    expect(!config.upstream.host_header.empty() && rules::is_valid_host(config.upstream.host_header),
           "the upstream has a valid host");
    expect(config.trust.count() >= 0 && config.timeouts.drain.count() >= 0, "no duration is negative");
    expect(config.matcher != nullptr, "rules can be found");
    for (const rules::Rule& rule : config.rules) {
        expect(!rule.name.empty() && !rule.match.methods.empty() && rule.match.path_text.starts_with('/'),
               "a rule has a name and says what it matches");
        expect(rule.stale_while_revalidate.count() >= 0 && rule.stale_if_error.count() >= 0 && rule.settle.count() >= 0,
               "no duration is negative");
        for (const auto& [status, ttl] : rule.ttl.status)
            expect(ttl.count() >= 0 && status >= 100, "no ttl is negative");
    }
    for (const char* target : {"/", "/items/7?page=2", "/api/events/1/comments", "/a%2Fb"}) {
        for (const char* method : {"GET", "PUT"}) {
            const rules::Explanation told =
                rules::explain({config.rules, *config.matcher, config.cache, config.client_cache_control}, method,
                               target, {{"Cookie", "sid=1"}, {"Authorization", "x"}});
            expect(!rules::to_text(told).empty(), "any request can be explained");
            boost::system::error_code ec;
            boost::json::parse(rules::to_json(told), ec);
            expect(!ec, "an explanation is a JSON document");
        }
    }
}

/// A value comes back from what we write for it.
template <class Value, class ReadValue, class WriteValue>
void check_read_back(std::string_view input, ReadValue read, WriteValue write, bool zero_has_a_unit)
{
    const auto first = read(input);
    if (const auto* problem = std::get_if<std::string>(&first)) {
        expect(!problem->empty(), "a problem is told");
        return;
    }
    const Value value = std::get<Value>(first);
    const std::string written = write(value);
    if (value == Value{} && !zero_has_a_unit) return;
    const auto again = read(written);
    expect(std::holds_alternative<Value>(again) && std::get<Value>(again) == value, "a value is read back as it was");
}

/// What every message about a store's URL may say. What it says in sentences has spaces.
bool is_help(std::string_view text)
{
    static const std::string help = [] {
        std::string all;
        for (const char* wrong : {"a",
                                  "a://b",
                                  "redis:",
                                  "redis://a/b",
                                  "redis://a?b",
                                  "redis://a#b",
                                  "redis://a:0",
                                  "redis+a",
                                  "redis://a b",
                                  "redis+cluster://a b",
                                  "redis+sentinel:",
                                  "redis+sentinel://a",
                                  "redis+sentinel://a/b/c",
                                  "redis+cluster://a/b",
                                  "redis+cluster://a,,b",
                                  "rediss+a",
                                  "rediss+cluster:",
                                  "rediss+sentinel:",
                                  "unix://a/b",
                                  "unix:a",
                                  "unix:/a?b"})
            all += std::get<std::string>(read_store_url(wrong));
        return all;
    }();
    return text.find(' ') != std::string_view::npos || help.find(text) != std::string::npos;
}

/// What stands between the first ':' behind "//" and the last '@': a password, if it is long enough to be told from
/// other text.
std::string_view password_in(std::string_view url)
{
    const std::size_t begin = url.find("//");
    if (begin == std::string_view::npos) return {};
    const std::size_t colon = url.find(':', begin), at = url.rfind('@');
    if (colon == std::string_view::npos || at == std::string_view::npos || at < colon + 8) return {};
    return url.substr(colon + 1, at - colon - 1);
}

}  // namespace

void check_configuration(std::string_view input)
{
    const Loaded loaded = load_text(input, "fuzz.yaml", environment);
    std::vector<std::size_t> lengths{0};  // of lines, in bytes
    for (const char c : input) c == '\n' ? lengths.push_back(0) : void(++lengths.back());
    bool errors = false;
    for (const Message& message : loaded.messages) {
        errors = errors || message.severity == Severity::error;
        expect(!message.text.empty(), "a message says something");
        const auto line = static_cast<std::size_t>(message.place.line);
        expect(message.place.line >= 0 && line <= lengths.size() + 1 && message.place.column >= 0,
               "a message points into the file");
        if (line >= 1 && line <= lengths.size())
            expect(static_cast<std::size_t>(message.place.column) <= lengths[line - 1] + 2,
                   "a message points into its line, or behind its end");
    }
    expect(errors == (loaded.config == nullptr), "a configuration loads or has errors");
    expect(std::is_sorted(loaded.messages.begin(), loaded.messages.end(),
                          [](const Message& a, const Message& b) { return a.place.line < b.place.line; }),
           "messages are in the order of the file");
    if (loaded.config) check_accepted(*loaded.config);
}

void check_quantity(std::string_view input)
{
    check_read_back<Milliseconds>(input, read_duration, write_duration, true);
    check_read_back<std::uint64_t>(input, read_size, write_size, false);
}

void check_address(std::string_view input)
{
    const auto listen = read_endpoint(input);
    // "unix:" with a path of several slashes in front is shown as it is, and would be read with fewer.
    if (const auto* endpoint = std::get_if<Endpoint>(&listen); endpoint && !endpoint->unix_path.starts_with("//")) {
        const auto again = read_endpoint(endpoint->to_string());
        expect(std::holds_alternative<Endpoint>(again), "an address is accepted as we write it");
        expect_same(std::get<Endpoint>(again).to_string(), endpoint->to_string(), "an address is read back as it was");
    }
    if (const auto read = read_upstream_url(input); const auto* upstream = std::get_if<Upstream>(&read)) {
        expect(rules::is_valid_host(upstream->host_header), "what is sent as Host is a valid one");
        expect(
            !upstream->endpoint.unix_path.empty() || (upstream->endpoint.port != 0 && !upstream->endpoint.host.empty()),
            "an upstream can be connected to");
    } else {
        expect(!std::get<std::string>(read).empty(), "a problem is told");
    }
    const std::string_view secret = password_in(input);
    const auto read = read_store_url(input);
    if (const auto* store = std::get_if<Store>(&read)) {
        const std::string& shown = store->url_for_display;
        expect(!store->seeds.empty() || !store->endpoint.unix_path.empty() || !store->endpoint.host.empty(),
               "a store can be connected to");
        expect(shown.find("//") != std::string::npos, "a store is shown as a URL");
        const std::string_view hosts = input.substr(std::min(input.rfind('@'), input.size() - 1) + 1);
        if (store->password.size() >= 8 && hosts.find(store->password) == std::string_view::npos &&
            secret.find(store->password) != std::string_view::npos &&
            store->user.find(store->password) == std::string::npos)
            expect(shown.find(store->password) == std::string::npos, "no password is shown");
    } else if (!secret.empty() && !is_help(secret)) {
        expect(std::get<std::string>(read).find(secret) == std::string::npos, "no password stands in a message");
    }
    const std::string problem = check_network(input);
    if (problem.empty()) expect(!input.empty() && is_visible(input), "a network is visible ASCII");
}

}  // namespace larder::fuzz
