// The option table: everything that can stand in the file, with type, range, default and text. Reading, "did you
// mean", the JSON Schema and the reference in README.md all come from it; there is no second list.
#pragma once

#include <boost/json/value.hpp>
#include <functional>
#include <string>
#include <vector>

#include "config/reading.hpp"

namespace larder::config {

/// What documentation and schema know about an option.
struct OptionText {
    std::string name;
    std::string type;           // "duration"
    std::string range;          // "1ms to 10m"; empty: none
    std::string fallback;       // the default as it would be written; empty: none
    std::string text;           // what it does
    boost::json::value schema;  // of the value as written; with `children`, of the short form or null
    std::vector<OptionText> children = {};
    std::string required = {};  // how to write it when it is missing; empty: it may be
    bool repeated = false;      // a list of `children`: the rules
};

template <class Target>
struct Option {
    OptionText text;
    std::function<void(Reading&, const Node&, Target&)> read;
};
template <class Target>
using Options = std::vector<Option<Target>>;

/// A rule while it is being read: `node` is what was written, for messages about how options fit together.
struct RuleDraft {
    rules::Rule rule;
    const Node* node = nullptr;
    bool match_is_read = false;
    bool templates_are_read = true;
};

/// A configuration while it is being read.
struct Draft {
    Config config;
    std::vector<RuleDraft> rules;
};

/// The table, top level; `rules` is one of its rows and has the options of a rule as children.
const Options<Draft>& all_options();

/// Reports a name that no row of a table has: with the nearest one, or with the place where it belongs.
void report_unknown(Reading& reading, const Node::Entry& entry, const std::vector<std::string_view>& known);

/// Reads a mapping by a table. Unknown names are errors with a suggestion, missing required ones errors too.
/// @param prefix for messages: "timeouts." or nothing
template <class Target>
void read_mapping(Reading& reading, const Node& node, const Options<Target>& options, Target& target,
                  const std::string& prefix = {})
{
    if (node.kind != Node::Kind::mapping) {
        reading.error(node, "wants a mapping, one \"name: value\" on each line");
        return;
    }
    for (const Node::Entry& entry : node.entries) {
        const Option<Target>* found = nullptr;
        for (const auto& option : options)
            if (option.text.name == entry.name) found = &option;
        if (found != nullptr) {
            const Reading::Scope scope(reading, prefix + entry.name);
            found->read(reading, entry.value, target);
            continue;
        }
        std::vector<std::string_view> known;
        for (const auto& option : options) known.push_back(option.text.name);
        report_unknown(reading, entry, known);
    }
    for (const auto& option : options)
        if (!option.text.required.empty() && node.find(option.text.name) == nullptr)
            reading.error(node, "\"" + option.text.name + "\" is missing; write " + option.text.required,
                          "missing-option");
}

/// The query parameters that `tracking` stands for under `ignore_query`.
const std::vector<std::string>& tracking_parameters();

}  // namespace larder::config
