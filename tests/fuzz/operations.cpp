// What reaches an operator's tools: purges by hand, and log lines with bytes of strangers in them.
#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <variant>

#include "config/load.hpp"
#include "input.hpp"
#include "proxy/admin/purge_order.hpp"
#include "proxy/observe/escape.hpp"
#include "rules/key/groups.hpp"
#include "rules/pattern/pattern.hpp"
#include "targets.hpp"

namespace larder::fuzz {

namespace {

const config::Config& shop()
{
    static const config::ConfigPtr loaded = [] {
        const auto nothing = [](std::string_view) { return std::optional<std::string>(); };
        const auto result = config::load_text(R"(
upstream: http://127.0.0.1:3000
rules:
  - {name: list, match: GET /events, key: "events:list:{query.page|1}", ttl: 60s}
  - {name: event, match: "GET /events/{id}", key: "event:{id}", ttl: 60s, tags: response}
  - {name: front, match: GET /, key: front, ttl: 60s}
  - {name: write, match: "PUT /events/{id}", purge: ["event:{id}", "events:list:*"]}
)",
                                              "fuzz.yaml", nothing);
        if (!result.config) throw std::logic_error("the configuration of this target does not load");
        return result.config;
    }();
    return *loaded;
}

void check_order(const proxy::PurgeOrder& order)
{
    expect(!order.targets.empty(), "an order purges something");
    for (const rules::PurgeTarget& target : order.targets) {
        expect(!target.text.empty() && is_visible(target.text), "a purge is visible ASCII");
        if (!target.exact)
            expect(!rules::is_exact(target.text) || rules::is_tag_name(target.text), "a pattern has a wildcard");
        const auto same = std::count_if(
            order.targets.begin(), order.targets.end(),
            [&](const rules::PurgeTarget& other) { return other.exact == target.exact && other.text == target.text; });
        expect(same == 1, "nothing is purged twice");
    }
    expect(order.matches_no_rule.size() <= order.targets.size(), "what fits no rule is among what is purged");
}

/// Does UTF-8 text hold a control of C1, a line or paragraph separator, or one that reverses the direction?
bool moves_text(std::string_view text)
{
    for (std::size_t i = 0; i + 1 < text.size(); ++i) {
        const auto byte = [&](std::size_t k) { return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u; };
        if (byte(i) == 0xC2 && byte(i + 1) < 0xA0) return true;
        if (byte(i) != 0xE2) continue;
        if (byte(i + 1) == 0x80 && byte(i + 2) >= 0xA8 && byte(i + 2) <= 0xAE) return true;
        if (byte(i + 1) == 0x81 && byte(i + 2) >= 0xA6 && byte(i + 2) <= 0xA9) return true;
    }
    return false;
}

}  // namespace

void check_purge_order(std::string_view input)
{
    const auto read = proxy::read_purge_order("application/json", input, shop());
    if (const auto* refused = std::get_if<proxy::RefusedOrder>(&read))
        expect(refused->status == 400 && !refused->detail.empty(), "a refusal says what is wrong");
    else
        check_order(std::get<proxy::PurgeOrder>(read));
    const auto form = proxy::read_purge_order("application/x-www-form-urlencoded", input, shop());
    expect(std::holds_alternative<proxy::RefusedOrder>(form), "a web page's form cannot purge");
}

void check_log_text(std::string_view input)
{
    for (const std::size_t limit : {SIZE_MAX, std::size_t{20}}) {
        std::string text, field, json;
        proxy::append_escaped(text, input, limit);
        proxy::append_text_field(field, "key", input, limit);
        proxy::append_json_string(json, input, limit);
        for (const std::string& line : {text, field, json}) {
            expect(std::none_of(line.begin(), line.end(), [](char c) { return (c >= 0 && c < ' ') || c == 0x7f; }),
                   "no control byte reaches a log");
            expect(!moves_text(line), "nothing steers a terminal, turns text around or breaks a line");
            expect(limit == SIZE_MAX || line.size() <= limit + 16, "a log line is limited");
        }
        boost::system::error_code ec;
        const boost::json::value parsed = boost::json::parse(json, ec);
        expect(!ec && parsed.is_string(), "a log line of JSON is JSON, and UTF-8");
        const bool plain = std::all_of(input.begin(), input.end(), [](char c) { return c >= ' ' && c < 0x7f; });
        if (plain && limit == SIZE_MAX)
            expect_same({parsed.get_string().data(), parsed.get_string().size()}, input, "text is read back as it was");
        expect(field.starts_with(" key="), "a field has its name");
        const std::string_view value = std::string_view(field).substr(5);
        const bool quoted = value.size() >= 2 && value.front() == '"' && value.back() == '"';
        expect(quoted || value.find_first_of(" \"=") == std::string_view::npos, "no value can end its field");
    }
}

}  // namespace larder::fuzz
