#include "config/load.hpp"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "config/check.hpp"
#include "config/findings.hpp"
#include "config/nearest.hpp"
#include "config/substitution.hpp"
#include "config/tracing.hpp"
#include "rules/explain/lint.hpp"

namespace larder::config {
namespace {

// The rollback switch. It can only turn off: what the file says is the operator's decision.
void apply_environment_switch(Reading& reading, Config& config)
{
    const auto value = reading.environment()("LARDER_CACHE");
    if (!value || value->empty() || *value == "on") return;
    if (*value == "off")
        config.cache = rules::CacheMode::off;
    else
        reading.error(rules::Place{},
                      "the environment says LARDER_CACHE=" + value->substr(0, 40) + "; only on and off are known",
                      "variable");
}

void sort_by_place(std::vector<Message>& messages)
{
    std::stable_sort(messages.begin(), messages.end(), [](const Message& a, const Message& b) {
        return std::pair(a.place.line, a.place.column) < std::pair(b.place.line, b.place.column);
    });
}

template <class Member>
void keep(Config& next, const Config& current, Member member, const char* name, std::vector<std::string>& kept)
{
    if (next.*member == current.*member) return;
    next.*member = current.*member;
    kept.emplace_back(name);
}

/// Sockets are bound, threads run and memory is laid out: these are as they were, and named if they should not be.
std::vector<std::string> keep_what_needs_restart(Config& next, const Config& current)
{
    std::vector<std::string> kept;
    keep(next, current, &Config::listen, "listen", kept);
    keep(next, current, &Config::admin, "admin", kept);
    keep(next, current, &Config::namespace_, "namespace", kept);
    keep(next, current, &Config::store, "store", kept);
    keep(next, current, &Config::memory, "memory", kept);
    keep(next, current, &Config::workers, "workers", kept);
    keep(next, current, &Config::watch, "watch", kept);
    keep(next, current, &Config::tracing, "tracing", kept);
    if (next.log.format != current.log.format) kept.emplace_back("log.format");
    next.log.format = current.log.format;
    return kept;
}

void apply(const Switches& switches, Config& config)
{
    if (switches.cache_off) config.cache = rules::CacheMode::off;
    for (rules::Rule& rule : config.rules)
        if (switches.rules_off.contains(rule.name) && !rule.is_purge()) rule.cache = false;
    if (switches.log_level) config.log.level = *switches.log_level;
    if (switches.access_every) config.log.access_every = *switches.access_every;
    if (switches.verify_every) config.verify_every = *switches.verify_every;
}

/// Gives each rule the row that its name has had, and a new one to a new name.
void give_rows(Config& next, const Config* current)
{
    std::vector<std::string>& names = next.counted_names;
    if (current) names = current->counted_names;
    for (rules::Rule& rule : next.rules) {
        const auto known = std::find(names.begin(), names.end(), rule.name);
        rule.index = static_cast<std::uint32_t>(known - names.begin());
        if (known == names.end()) names.push_back(rule.name);
    }
}

// Where the option of a rule stands that a finding is about, or its item of a list; else the rule.
rules::Place place_in(const RuleDraft& rule, const rules::LintNote& note)
{
    const Node* value = note.option.empty() ? nullptr : rule.node->find(note.option);
    if (value == nullptr) return rule.rule.place;
    if (value->kind == Node::Kind::list && note.item < value->items.size()) return value->items[note.item].place;
    return value->place;
}

// Makes the immutable value when there was no error; adds what the lint finds.
Loaded finish(Draft draft, std::vector<Message> messages, const std::string& file, const Running& running)
{
    Loaded loaded;
    name_findings(messages, "bad-combination");
    const bool has_errors = std::any_of(messages.begin(), messages.end(),
                                        [](const Message& message) { return message.severity == Severity::error; });
    if (!has_errors) {
        auto config = std::make_shared<Config>(std::move(draft.config));
        config->file = file;
        for (RuleDraft& rule : draft.rules) config->rules.push_back(rule.rule);
        for (rules::Rule& rule : config->rules)
            if (!rule.client_cache_control) rule.client_cache_control = config->client_cache_control;
        for (rules::LintNote& note : rules::lint(config->rules, config->cache)) {
            const RuleDraft& rule = draft.rules[note.rule];
            const Severity severity = note.level == rules::LintLevel::warning ? Severity::warning : Severity::note;
            messages.push_back(
                {severity, place_in(rule, note), std::move(note.text), rules::word(note.lint), rule.rule.name});
        }
        if (running.current) loaded.kept = keep_what_needs_restart(*config, *running.current);
        apply(running.switches, *config);
        give_rows(*config, running.current);
        config->matcher = std::make_unique<rules::Matcher>(config->rules);
        loaded.config = std::move(config);
    }
    sort_by_place(messages);
    loaded.messages = std::move(messages);
    return loaded;
}

}  // namespace

std::string Message::to_string(std::string_view file) const
{
    std::string line;
    if (!file.empty())
        line = std::string(file) + ":" + std::to_string(place.line) + ":" + std::to_string(place.column) + ": ";
    if (severity != Severity::error) (line += word(severity)) += ": ";
    line += text;
    // Only what is found in a rule can be meant.
    if (severity != Severity::error && rules::lint_of(id)) ((line += " (meant? ignore_lint: [") += id) += "])";
    return line;
}

Environment process_environment()
{
    return [](std::string_view name) -> std::optional<std::string> {
        const char* value = std::getenv(std::string(name).c_str());
        if (value == nullptr) return std::nullopt;
        return std::string(value);
    };
}

Loaded load_text(std::string_view yaml, const std::string& file, const Environment& environment, const Running& running)
{
    const std::uint64_t digest = std::max<std::uint64_t>(XXH3_64bits(yaml.data(), yaml.size()), 1);
    std::vector<Message> messages;
    Draft draft;
    std::optional<Node> root = read_yaml(yaml, messages);
    name_findings(messages, "syntax");
    if (root && root->kind == Node::Kind::null)
        messages.push_back({Severity::error,
                            {1, 1},
                            "the file is empty; the least it needs is upstream: http://127.0.0.1:3000",
                            "missing-option"});
    if (!root || root->kind == Node::Kind::null) {
        sort_by_place(messages);
        return {nullptr, std::move(messages), std::string(yaml), digest, {}};
    }
    substitute(*root, environment, messages);
    name_findings(messages, "variable");
    Reading reading(environment, std::filesystem::path(file).parent_path().string(), messages);
    read_mapping(reading, *root, all_options(), draft);
    apply_tracing_variables(reading, draft.config.tracing);
    name_findings(messages, "bad-value");
    if (root->kind == Node::Kind::mapping) check(reading, *root, draft);
    apply_environment_switch(reading, draft.config);
    Loaded loaded = finish(std::move(draft), std::move(messages), file, running);
    loaded.text = yaml;
    loaded.digest = digest;
    return loaded;
}

Loaded load_file(const std::string& path, const Environment& environment, const Running& running)
{
    const auto unreadable = [&](std::string why) {
        return Loaded{nullptr,
                      {{Severity::error, {}, "the file cannot be read: " + std::move(why), "unreadable-file"}},
                      {},
                      0,
                      {}};
    };
    std::error_code ec;
    if (std::filesystem::is_directory(path, ec)) return unreadable("it is a folder");
    std::ifstream file(path, std::ios::binary);
    if (!file) return unreadable(std::filesystem::exists(path, ec) ? "no permission" : "there is no such file");
    // One byte more than allowed, so that a device that never ends is refused like a file that is too large.
    std::string text(file_limit_bytes + 1, '\0');
    file.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (file.bad()) return unreadable("reading failed");
    text.resize(static_cast<std::size_t>(file.gcount()));
    return load_text(text, path, environment, running);
}

Loaded load_flags(const std::vector<std::pair<std::string, std::string>>& flags, const Environment& environment,
                  const Running& running)
{
    std::vector<Message> messages;
    Draft draft;
    draft.config.cache = rules::CacheMode::respect_origin;
    Reading reading(environment, {}, messages);
    const auto& options = all_options();
    for (const auto& [name, value] : flags) {
        // "log.level" is an option of a group: read as a mapping with this one entry.
        const std::size_t dot = name.find('.');
        const std::string_view top = std::string_view(name).substr(0, dot);
        const auto option =
            std::find_if(options.begin(), options.end(), [&](const auto& row) { return row.text.name == top; });
        std::string flag = "--" + name;
        std::replace(flag.begin(), flag.end(), '.', '-');
        const Reading::Scope scope(reading, flag);
        Node node;
        node.kind = Node::Kind::text;
        node.text = value;
        if (dot != std::string::npos) {
            Node group;
            group.kind = Node::Kind::mapping;
            group.entries.push_back(Node::Entry{name.substr(dot + 1), {}, std::move(node)});
            node = std::move(group);
        }
        if (option == options.end()) {
            std::vector<std::string_view> known;
            for (const auto& row : options) known.push_back(row.text.name);
            reading.error(rules::Place{}, "not an option" + suggestion(name, known));
        } else if (dot == std::string::npos &&
                   (option->text.repeated || (!option->text.children.empty() && option->text.schema.is_null()))) {
            reading.error(rules::Place{}, "can only be given in a file; write larder --config FILE");
        } else {
            option->read(reading, node, draft);
        }
    }
    const bool has_upstream =
        std::any_of(flags.begin(), flags.end(), [](const auto& flag) { return flag.first == "upstream"; });
    if (!has_upstream)
        reading.error(rules::Place{},
                      "where is the app server? Write --upstream http://127.0.0.1:3000, or --config FILE");
    name_findings(messages, "bad-value");
    const Node nothing;
    apply_tracing_variables(reading, draft.config.tracing);
    check(reading, nothing, draft);
    apply_environment_switch(reading, draft.config);
    return finish(std::move(draft), std::move(messages), "", running);
}

}  // namespace larder::config
