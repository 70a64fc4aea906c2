#include "config/check.hpp"

#include <algorithm>
#include <map>

#include "config/addresses.hpp"
#include "config/nearest.hpp"
#include "config/quantities.hpp"

namespace larder::config {
namespace {

using rules::PathSegment;
using rules::Rule;
using rules::Source;
using rules::Template;

const Node& value_or(const Node& mapping, std::string_view name)
{
    const Node* value = mapping.find(name);
    return value != nullptr ? *value : mapping;
}

rules::Place place_of_name(const Node& mapping, std::string_view name)
{
    for (const Node::Entry& entry : mapping.entries)
        if (entry.name == name) return entry.place;
    return mapping.place;
}

bool is_this_machine(const std::string& host)
{
    return host.empty() || host == "0.0.0.0" || host == "::" || host == "::1" || host == "localhost" ||
           host.starts_with("127.");
}

bool is_same_listener(const Endpoint& a, const Endpoint& b)
{
    if (!a.unix_path.empty() || !b.unix_path.empty()) return a.unix_path == b.unix_path;
    const bool any = a.host.empty() || b.host.empty() || a.host == "0.0.0.0" || b.host == "0.0.0.0" || a.host == "::" ||
                     b.host == "::";
    return a.port != 0 && a.port == b.port && (any || a.host == b.host);
}

bool leads_back(const Endpoint& upstream, const Endpoint& listen)
{
    if (!upstream.unix_path.empty() || !listen.unix_path.empty()) return upstream.unix_path == listen.unix_path;
    return listen.port != 0 && upstream.port == listen.port && is_this_machine(upstream.host) &&
           is_this_machine(listen.host);
}

void check_process(Reading& reading, const Node& root, const Config& config)
{
    if (leads_back(config.upstream.endpoint, config.listen))
        reading.error(value_or(root, "upstream"),
                      "upstream: this is where Larder itself listens; write the app server's address");
    if (config.admin && is_same_listener(*config.admin, config.listen))
        reading.error(value_or(root, "admin"), "admin: this is the address of listen; give it a port of its own");
    if (!config.upstream.tls && !config.upstream.ca_file.empty())
        reading.error(value_or(value_or(root, "upstream"), "ca_file"),
                      "upstream.ca_file: only https:// has certificates");

    const Node& store = value_or(root, "store");
    const bool is_redis = config.store.kind == StoreKind::redis;
    if (is_redis && !config.store.tls && !config.store.ca_file.empty())
        reading.error(value_or(store, "ca_file"), "store.ca_file: only rediss:// has certificates");
    if (is_redis && config.store.topology != StoreTopology::sentinel) {
        for (const std::string_view name : {"sentinel_user", "sentinel_password_file"})
            if (store.kind == Node::Kind::mapping && store.find(name) != nullptr)
                reading.error(value_or(store, name),
                              "store." + std::string(name) + ": only redis+sentinel:// has sentinels");
    }
    if (is_redis && !config.store.sentinel_user.empty() && config.store.sentinel_password.empty())
        reading.error(value_or(store, "sentinel_user"),
                      "store.sentinel_user: a user needs a password; write sentinel_password_file as well");
    if (store.kind == Node::Kind::mapping && store.find("password_file") != nullptr) {
        const Node* url = store.find("url");
        const auto read = read_store_url(url != nullptr ? url->text : "");
        if (const auto* plain = std::get_if<Store>(&read); plain != nullptr && !plain->password.empty())
            reading.error(*url, "store.url: the password stands here and in password_file; keep the file");
    }
    if (config.tracing.is_on() && !config.tracing.tls && !config.tracing.ca_file.empty())
        reading.error(value_or(value_or(root, "tracing"), "ca_file"),
                      "tracing.ca_file: only https:// has certificates");
    if (const Node* tracing = root.find("tracing"); tracing != nullptr && tracing->kind == Node::Kind::mapping)
        if (!config.tracing.is_on() && tracing->find("endpoint") == nullptr && !tracing->entries.empty())
            reading.warning(tracing->place, "tracing: spans have nowhere to go; add endpoint: http://127.0.0.1:4318",
                            "useless-option");
    if (!is_redis && config.memory == 0)
        reading.error(value_or(root, "memory"),
                      "memory: without a Redis store this is the only store; write memory: 64MiB");
    if (!is_redis && config.memory != 0 && config.max_object > config.memory)
        reading.error(value_or(root, "max_object"), "max_object: " + write_size(config.max_object) +
                                                        " does not fit into memory: " + write_size(config.memory));
}

bool has_value(const Rule& rule, std::string_view name)
{
    return std::any_of(rule.match.segments.begin(), rule.match.segments.end(), [&](const PathSegment& segment) {
        return segment.kind != PathSegment::Kind::literal && segment.text == name;
    });
}

// Every {name} of a template must be a segment of the rule's path.
void check_template(Reading& reading, const Rule& rule, const Template& text, const Node& node)
{
    std::vector<std::string_view> known;
    for (const PathSegment& segment : rule.match.segments)
        if (segment.kind != PathSegment::Kind::literal) known.push_back(segment.text);
    for (const rules::TemplatePart& part : text.parts) {
        if (part.source != Source::path_value || has_value(rule, part.name)) continue;
        std::string message = "the path of match has no {" + part.name + "}";
        if (known.empty())
            message += "; write {query." + part.name + "} for a query parameter, or name a segment of the path";
        else if (const auto near = nearest(part.name, known); !near.empty())
            message += "; did you mean {" + std::string(near) + "}?";
        else
            message += "; it has {" + std::string(known.front()) + "}" + (known.size() > 1 ? " and others" : "");
        reading.error(node.place_of(part.column), message);
    }
}

void check_templates(Reading& reading, const RuleDraft& draft)
{
    const Rule& rule = draft.rule;
    if (const Node* key = draft.node->find("key"); key != nullptr && rule.key) {
        const Reading::Scope scope(reading, "key");
        check_template(reading, rule, *rule.key, *key);
    }
    const Node* purge = draft.node->find("purge");
    if (purge == nullptr || !draft.templates_are_read) return;
    const Reading::Scope scope(reading, "purge");
    for (std::size_t i = 0; i < rule.purge.size(); ++i)
        check_template(reading, rule, rule.purge[i], purge->kind == Node::Kind::list ? purge->items[i] : *purge);
}

// Options that the other kind of rule has are mistakes: they would silently do nothing.
void check_kind(Reading& reading, const RuleDraft& draft)
{
    constexpr std::string_view of_cache_rules[] = {"key",
                                                   "ttl",
                                                   "stale_while_revalidate",
                                                   "stale_if_error",
                                                   "cache",
                                                   "cache_control",
                                                   "coalesce",
                                                   "shared",
                                                   "query",
                                                   "ignore_query",
                                                   "strip_set_cookie",
                                                   "client_cache_control"};
    constexpr std::string_view of_purge_rules[] = {"fence", "on_store_error", "settle"};
    const bool is_purge = draft.node->find("purge") != nullptr;
    const auto report = [&](std::string_view name) {
        if (draft.node->find(name) == nullptr) return;
        reading.error(
            place_of_name(*draft.node, name),
            std::string(name) + (is_purge ? ": a rule with purge stores nothing; move this to a rule of its own"
                                          : ": only a rule with purge has this; add purge, or remove it"));
    };
    if (is_purge)
        for (std::string_view name : of_cache_rules) report(name);
    else
        for (std::string_view name : of_purge_rules) report(name);

    const auto& methods = draft.rule.match.methods;
    const Node& match = value_or(*draft.node, "match");
    const auto has = [&](std::string_view method) {
        return std::find(methods.begin(), methods.end(), method) != methods.end();
    };
    if (is_purge) {
        if (has("GET") || has("HEAD"))
            reading.error(
                match, "match: a purge rule is for writes; GET and HEAD change nothing. Write POST|PUT|PATCH|DELETE");
        return;
    }
    for (const std::string& method : methods) {
        if (method == "GET" || method == "HEAD") continue;
        reading.error(match, "match: only GET and HEAD are ever stored, so " + method +
                                 " cannot stand here; remove it, or add purge to say what such a write changes");
        return;
    }
    if (!has("GET")) reading.error(match, "match: HEAD is answered from what GET has stored; write GET");
}

}  // namespace

void check(Reading& reading, const Node& root, const Draft& draft)
{
    if (reading.errors_count() == 0) check_process(reading, root, draft.config);
    std::map<std::string_view, const RuleDraft*> by_name;
    for (const RuleDraft& rule : draft.rules) {
        if (rule.node->kind != Node::Kind::mapping) continue;
        const auto [known, is_new] = by_name.emplace(rule.rule.name, &rule);
        if (!is_new)
            reading.error(value_or(*rule.node, "name"), "name: the rule in line " +
                                                            std::to_string(known->second->rule.place.line) +
                                                            " has this name already; each rule needs its own");
        if (!rule.match_is_read) continue;
        check_kind(reading, rule);
        check_templates(reading, rule);
    }
    if (draft.rules.empty() && draft.config.cache == rules::CacheMode::rules && reading.errors_count() == 0)
        reading.warning(value_or(root, "rules").place,
                        "there are no rules, so nothing is cached; add some, or write cache: respect-origin",
                        "no-rules");
}

}  // namespace larder::config
