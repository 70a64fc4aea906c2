#include "config/substitution.hpp"

#include "rules/base/text.hpp"

namespace larder::config {
namespace {

bool is_variable_name(std::string_view name) noexcept
{
    if (name.empty() || rules::is_digit(name.front())) return false;
    for (char c : name)
        if (!rules::is_alpha(c) && !rules::is_digit(c) && c != '_') return false;
    return true;
}

void substitute_text(Node& node, const Environment& environment, std::vector<Message>& messages)
{
    const std::string_view text = node.text;
    if (text.find('$') == std::string_view::npos) return;

    std::string result;
    const auto error = [&](std::size_t offset, std::string what) {
        messages.push_back({Severity::error, node.place_of(offset), std::move(what)});
        node.is_broken = true;
    };
    for (std::size_t i = 0; i < text.size();) {
        if (text.substr(i).starts_with("$$")) {
            result += '$';
            i += 2;
            continue;
        }
        if (!text.substr(i).starts_with("${")) {
            result += text[i++];
            continue;
        }
        const std::size_t end = text.find('}', i);
        if (end == std::string_view::npos) {
            error(i, "${ without }; write ${NAME} or ${NAME:-default}, or $$ for a dollar sign");
            return;
        }
        const std::string_view inside = text.substr(i + 2, end - i - 2);
        const std::size_t separator = inside.find(":-");
        const std::string_view name = inside.substr(0, separator);
        if (!is_variable_name(name)) {
            error(i, "\"" + std::string(name) +
                         "\" is no name of a variable; write ${NAME} or ${NAME:-default}, or $$ for a dollar sign");
        } else {
            const std::optional<std::string> value = environment(name);
            if (separator != std::string_view::npos)
                result += value && !value->empty() ? *value : std::string(inside.substr(separator + 2));
            else if (value)
                result += *value;
            else
                error(i, "the environment has no " + std::string(name) + "; set it, or write ${" + std::string(name) +
                             ":-default}");
        }
        i = end + 1;
    }
    if (node.is_broken) return;
    node.text = std::move(result);
    node.as_written = false;
}

}  // namespace

void substitute(Node& node, const Environment& environment, std::vector<Message>& messages)
{
    if (node.kind == Node::Kind::text) substitute_text(node, environment, messages);
    for (Node& item : node.items) substitute(item, environment, messages);
    for (Node::Entry& entry : node.entries) substitute(entry.value, environment, messages);
}

}  // namespace larder::config
