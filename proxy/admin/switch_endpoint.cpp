#include "proxy/admin/switch_endpoint.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "config/nearest.hpp"
#include "config/quantities.hpp"
#include "proxy/observe/log.hpp"
#include "rules/base/text.hpp"

namespace larder::proxy {

namespace {

namespace http = boost::beast::http;
namespace json = boost::json;
using config::LogLevel;
using config::Switches;

constexpr std::pair<std::string_view, LogLevel> levels[] = {
    {"debug", LogLevel::debug}, {"info", LogLevel::info}, {"warn", LogLevel::warn}, {"error", LogLevel::error}};

std::string_view word_of(LogLevel level) noexcept
{
    for (const auto& [word, value] : levels)
        if (value == level) return word;
    return "info";
}

std::string list_of(const std::set<std::string, std::less<>>& names)
{
    std::string list;
    for (const std::string& name : names) (list += list.empty() ? "" : ",") += name;
    return list.empty() ? "-" : list;
}

/// Empty: done.
std::string switch_cache(const json::object& order, Switches& switches, const config::Config& config)
{
    const json::value* cache = order.if_contains("cache");
    const json::value* rule = order.if_contains("rule");
    if (!cache) return rule ? "\"rule\" goes with \"cache\": write {\"cache\":\"off\",\"rule\":\"item\"}" : "";
    if (!cache->is_string() || (cache->get_string() != "on" && cache->get_string() != "off"))
        return "\"cache\" is \"on\" or \"off\"";
    const bool off = cache->get_string() == "off";
    if (!rule) return switches.cache_off = off, "";
    if (!rule->is_string()) return "\"rule\" is the name of a cache rule";
    const std::string name(rule->get_string());
    std::vector<std::string_view> names;
    for (const rules::Rule& one : config.rules)
        if (!one.is_purge()) names.push_back(one.name);
    if (std::find(names.begin(), names.end(), name) == names.end())
        return "there is no cache rule \"" + name.substr(0, 60) + "\"" + config::suggestion(name, names);
    if (off)
        switches.rules_off.insert(name);
    else
        switches.rules_off.erase(name);
    return "";
}

/// `off`, `all`, `1/N`, or null: as the file says.
std::string switch_sampling(const json::object& order, std::string_view name, std::optional<std::uint32_t>& every)
{
    const json::value* given = order.if_contains(name);
    if (!given) return "";
    every.reset();
    if (given->is_null()) return "";
    const std::string quoted = "\"" + std::string(name) + "\"";
    if (!given->is_string()) return quoted + " is \"off\", \"all\" or one in N as \"1/100\"; null: as the file says";
    const auto read = config::read_sampling(std::string_view(given->get_string()));
    if (const auto* wrong = std::get_if<std::string>(&read)) return quoted + ": " + *wrong;
    every = std::get<std::uint32_t>(read);
    return "";
}

std::string switch_log(const json::object& order, Switches& switches)
{
    if (const json::value* level = order.if_contains("log_level")) {
        switches.log_level.reset();
        if (level->is_string())
            for (const auto& [word, value] : levels)
                if (level->get_string() == word) switches.log_level = value;
        if (!switches.log_level && !level->is_null())
            return "\"log_level\" is \"debug\", \"info\", \"warn\" or \"error\"; null: as the file says";
    }
    return switch_sampling(order, "log_access", switches.access_every);
}

void log_change(const Switches& before, const Switches& after, std::string_view from)
{
    const std::string rules_off = list_of(after.rules_off);
    const auto sampling = [](const std::optional<std::uint32_t>& every) {
        return every ? config::write_sampling(*every) : std::string("as configured");
    };
    const std::string access = sampling(after.access_every), verify = sampling(after.verify_every);
    if (before == after) return;
    log_event(LogLevel::warn, "switched at run time",
              {{"cache", after.cache_off ? std::string_view("off") : std::string_view("on")},
               {"rules_off", std::string_view(rules_off)},
               {"log_level", after.log_level ? word_of(*after.log_level) : std::string_view("as configured")},
               {"log_access", std::string_view(access)},
               {"verify", std::string_view(verify)},
               {"from", from}});
}

}  // namespace

std::variant<Switches, std::string> read_switches(std::string_view body, Switches switches,
                                                  const config::Config& config)
{
    boost::system::error_code ec;
    const json::value value = json::parse(body, ec);
    if (ec || !value.is_object())
        return "the body is no JSON object; write {\"cache\":\"off\"}, {\"cache\":\"off\",\"rule\":\"item\"}, "
               "{\"log_level\":\"debug\"}, {\"log_access\":\"1/100\"} or {\"verify\":\"1/1000\"}";
    const json::object& order = value.get_object();
    constexpr std::string_view known[] = {"cache", "rule", "log_level", "log_access", "verify"};
    for (const auto& [key, ignored] : order)
        if (std::find(std::begin(known), std::end(known), std::string_view(key)) == std::end(known))
            return "\"" + std::string(key).substr(0, 60) +
                   "\" is nothing that can be switched; there are cache, rule, log_level, log_access and verify";
    std::string wrong = switch_cache(order, switches, config);
    if (wrong.empty()) wrong = switch_log(order, switches);
    if (wrong.empty()) wrong = switch_sampling(order, "verify", switches.verify_every);
    if (!wrong.empty()) return wrong;
    return switches;
}

std::string switches_json(const Switches& switches, const config::Config& config)
{
    json::array rules_off, rules_switched;
    for (const rules::Rule& rule : config.rules)
        if (!rule.is_purge() && !rule.cache) rules_off.emplace_back(rule.name);
    for (const std::string& name : switches.rules_off) rules_switched.emplace_back(name);
    json::object switched{{"cache", switches.cache_off ? json::value("off") : json::value(nullptr)},
                          {"rules_off", std::move(rules_switched)},
                          {"log_level", nullptr},
                          {"log_access", nullptr},
                          {"verify", nullptr}};
    if (switches.log_level) switched["log_level"] = word_of(*switches.log_level);
    if (switches.access_every) switched["log_access"] = config::write_sampling(*switches.access_every);
    if (switches.verify_every) switched["verify"] = config::write_sampling(*switches.verify_every);
    const json::object told{{"cache", config.cache == rules::CacheMode::off ? "off" : "on"},
                            {"rules_off", std::move(rules_off)},
                            {"log_level", word_of(config.log.level)},
                            {"log_access", config::write_sampling(config.log.access_every)},
                            {"verify", config::write_sampling(config.verify_every)},
                            {"switched", std::move(switched)}};
    return json::serialize(told) + "\n";
}

asio::awaitable<AdminResponse> answer_switches(const AdminRequest& request, std::string from,
                                               const std::function<config::ConfigPtr()>& config,
                                               const SwitchHandlers& handlers)
{
    using rules::Method;
    const Method method = request.head.method;
    const Switches before = handlers.now();
    if (method == Method::get || method == Method::head)
        co_return make_answer(http::status::ok, "application/json", switches_json(before, *config()));
    if (method != Method::post) co_return make_wrong_method("GET, HEAD, POST");
    const std::string_view type = request.head.fields.value(rules::FieldId::content_type);
    if (!rules::equals_ignoring_case(rules::trim(type.substr(0, type.find(';'))), "application/json"))
        co_return make_problem(http::status::unsupported_media_type,
                               "the body is JSON: Content-Type: application/json");
    auto read = read_switches(request.body, before, *config());
    if (const auto* wrong = std::get_if<std::string>(&read)) co_return make_problem(http::status::bad_request, *wrong);
    Switches after = std::get<Switches>(read);
    const std::string failed = co_await handlers.change(after);
    if (!failed.empty()) co_return make_problem(http::status::internal_server_error, failed);
    log_change(before, after, from);
    co_return make_answer(http::status::ok, "application/json", switches_json(after, *config()));
}

}  // namespace larder::proxy
