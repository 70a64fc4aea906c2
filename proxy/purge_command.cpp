#include "proxy/purge_command.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "proxy/admin/admin_client.hpp"

namespace larder::proxy {

namespace {

namespace json = boost::json;

json::array array_of(const std::vector<std::string>& texts)
{
    json::array all;
    for (const std::string& text : texts) all.emplace_back(text);
    return all;
}

std::string request_of(const PurgeCommand& command)
{
    json::object request;
    if (!command.keys.empty()) request["keys"] = array_of(command.keys);
    if (!command.patterns.empty()) request["patterns"] = array_of(command.patterns);
    if (!command.tags.empty()) request["tags"] = array_of(command.tags);
    if (!command.rule.empty()) request["rule"] = command.rule;
    if (command.dry_run) request["dry_run"] = true;
    return json::serialize(request);
}

std::vector<std::string> texts_of(const json::object& reply, const char* name)
{
    std::vector<std::string> texts;
    const json::value* member = reply.if_contains(name);
    if (!member || !member->is_array()) return texts;
    for (const json::value& value : member->get_array())
        texts.push_back(value.is_string() ? std::string(value.get_string().data(), value.get_string().size())
                                          : json::serialize(value));
    return texts;
}

std::string joined(const std::vector<std::string>& texts)
{
    std::string all;
    for (const std::string& text : texts) (all += all.empty() ? "" : ", ") += text;
    return all;
}

std::string counted(std::size_t count, const std::string& what)
{
    return std::to_string(count) + ' ' + what + (count == 1 ? "" : "s");
}

std::string tell_done(const json::object& reply)
{
    const auto keys = texts_of(reply, "keys"), patterns = texts_of(reply, "patterns"), tags = texts_of(reply, "tags"),
               positions = texts_of(reply, "positions"), rules = texts_of(reply, "matches_rules"),
               none = texts_of(reply, "matches_no_rule");
    const json::value* dry = reply.if_contains("dry_run");
    std::string text;
    if (dry && dry->is_bool() && dry->get_bool())
        text = "dry run: nothing is purged\n";
    else
        text = "purged: " + counted(positions.size(), "record") + " in the log, at " + joined(positions) + "\n";
    if (!keys.empty()) text += "keys: " + joined(keys) + "\n";
    if (!patterns.empty()) text += "patterns: " + joined(patterns) + "\n";
    if (!tags.empty()) text += "tags: " + joined(tags) + "\n";
    text += rules.empty() ? "reaches: no rule's keys\n" : "reaches: keys of " + joined(rules) + "\n";
    if (!none.empty()) text += "fits no rule's key: " + joined(none) + "; is it mistyped?\n";
    return text;
}

}  // namespace

PurgeTold tell_purge_reply(unsigned status, const std::string& body)
{
    PurgeTold told;
    boost::system::error_code ec;
    const json::value parsed = json::parse(body, ec);
    const json::object* reply = ec ? nullptr : parsed.if_object();
    if (status == 200 && reply && reply->contains("keys")) {
        told.done = true;
        told.text = tell_done(*reply);
        return told;
    }
    const json::value* detail = reply ? reply->if_contains("detail") : nullptr;
    if (detail && detail->is_string())
        told.text = std::string(detail->get_string().data(), detail->get_string().size());
    else
        told.text = "what answers there (status " + std::to_string(status) + ") is not the admin port of a Larder";
    return told;
}

PurgeTold run_purge_command(const config::Endpoint& admin, const PurgeCommand& command)
{
    const AdminReply reply = post_to_admin(admin, "/purge", request_of(command), command.token);
    if (reply.status != 0) return tell_purge_reply(reply.status, reply.body);
    return {false, "cannot reach the admin port at " + admin.to_string() + ": " + reply.error};
}

}  // namespace larder::proxy
