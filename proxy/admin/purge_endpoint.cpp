#include "proxy/admin/purge_endpoint.hpp"

#include <boost/beast/http/status.hpp>
#include <boost/json/array.hpp>
#include <boost/json/serialize.hpp>

#include "proxy/admin/purge_order.hpp"
#include "proxy/observe/log.hpp"
#include "rules/key/groups.hpp"

namespace larder::proxy {

namespace {

namespace http = boost::beast::http;
namespace json = boost::json;
using config::LogLevel;

json::array array_of(const std::vector<std::string>& texts) { return json::array(texts.begin(), texts.end()); }

json::array targets_of(const PurgeOrder& order, bool exact)
{
    json::array texts;
    for (const rules::PurgeTarget& target : order.targets)
        if (target.exact == exact && !rules::is_tag_name(target.text)) texts.emplace_back(target.text);
    return texts;
}

/// The members that every answer to a purge has.
json::object told(const PurgeOrder& order, json::array positions)
{
    json::object members{{"dry_run", order.dry_run},
                         {"keys", targets_of(order, true)},
                         {"patterns", targets_of(order, false)},
                         {"positions", std::move(positions)},
                         {"matches_rules", array_of(order.matches_rules)},
                         {"matches_no_rule", array_of(order.matches_no_rule)}};
    if (!order.tags.empty()) members["tags"] = array_of(order.tags);
    return members;
}

/// `event:42, events:list:* and 8 more`
std::string shortened(const std::vector<rules::PurgeTarget>& targets)
{
    constexpr std::size_t shown = 5, shown_bytes = 100;
    std::string text;
    for (std::size_t i = 0; i < targets.size() && i < shown; ++i) {
        if (i > 0) text += ", ";
        text += targets[i].text.substr(0, shown_bytes);
        if (targets[i].text.size() > shown_bytes) text += "...";
    }
    if (targets.size() > shown) text += " and " + std::to_string(targets.size() - shown) + " more";
    return text;
}

void log_purge(const PurgeOrder& order, const std::string& from, const HandPurge& done)
{
    const bool appended = done.kind == HandPurge::Kind::appended;
    const std::string what = shortened(order.targets);
    log_event(appended ? LogLevel::info : LogLevel::warn,
              appended                                 ? "purged by hand"
              : done.kind == HandPurge::Kind::deferred ? "a purge by hand waits for the store"
                                                       : "a purge by hand was not answered in time",
              {{"what", std::string_view(what)},
               {"keys", static_cast<std::int64_t>(targets_of(order, true).size())},
               {"patterns", static_cast<std::int64_t>(targets_of(order, false).size())},
               {"rule", order.rule.empty() ? std::string_view("-") : std::string_view(order.rule)},
               {"records", static_cast<std::int64_t>(done.positions.size())},
               {"from", std::string_view(from)}});
}

AdminResponse answer_done(const PurgeOrder& order, HandPurge done)
{
    json::object members = told(order, json::array(done.positions.begin(), done.positions.end()));
    switch (done.kind) {
    case HandPurge::Kind::appended:
        return make_answer(http::status::ok, "application/json", json::serialize(members) + "\n");
    case HandPurge::Kind::deferred:
        members["deferred"] = true;
        return make_problem(http::status::service_unavailable,
                            "the store is away (" + std::string(rules::word(done.error)) +
                                "): the purge is queued here, and appended before this replica trusts the store "
                                "again. Until then other replicas may answer with what it was to purge. It is lost "
                                "when this process ends first; there is no need to repeat it otherwise",
                            std::move(members));
    case HandPurge::Kind::unanswered:
        return make_problem(http::status::service_unavailable,
                            "the purge was not answered in time: it may or may not have been appended. Repeat it; "
                            "twice does no harm",
                            std::move(members));
    case HandPurge::Kind::stopping: break;
    }
    return make_problem(http::status::service_unavailable,
                        "this process is stopping and has purged nothing; ask another replica", std::move(members));
}

}  // namespace

asio::awaitable<AdminResponse> answer_purge(const AdminRequest& request, std::string from,
                                            const config::ConfigPtr& config, const PurgeByHand& purge)
{
    if (request.head.method != rules::Method::post) co_return make_wrong_method("POST");
    if (!config) co_return make_problem(http::status::service_unavailable, "there is no configuration yet");
    const std::string_view type = request.head.fields.value(rules::FieldId::content_type);
    auto read = read_purge_order(type, request.body, *config);
    if (const auto* refused = std::get_if<RefusedOrder>(&read))
        co_return make_problem(static_cast<http::status>(refused->status), refused->detail);
    const PurgeOrder& order = std::get<PurgeOrder>(read);
    if (order.dry_run)
        co_return make_answer(http::status::ok, "application/json", json::serialize(told(order, {})) + "\n");

    std::vector<rules::PurgeTarget> targets = order.targets;
    HandPurge done = co_await purge(std::move(targets));
    if (done.kind != HandPurge::Kind::stopping) log_purge(order, from, done);
    co_return answer_done(order, std::move(done));
}

}  // namespace larder::proxy
