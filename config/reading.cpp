#include "config/reading.hpp"

#include <filesystem>

namespace larder::config {

void Reading::add(Severity severity, rules::Place place, std::string text, std::string_view id)
{
    if (severity == Severity::error) ++errors_count_;
    if (!option_.empty()) text = option_ + ": " + text;
    messages_.push_back({severity, place, std::move(text), id});
}

std::string Reading::absolute_path(std::string_view path) const
{
    if (path.starts_with('/') || folder_.empty()) return std::string(path);
    return (std::filesystem::path(folder_) / path).string();
}

const std::string* read_text(Reading& reading, const Node& node, std::string_view wanted)
{
    if (node.is_broken) return nullptr;
    const std::string want = "wants " + std::string(wanted);
    switch (node.kind) {
    case Node::Kind::text: return &node.text;
    case Node::Kind::null: reading.error(node, want + ", and there is nothing"); break;
    case Node::Kind::list: reading.error(node, want + ", not a list"); break;
    case Node::Kind::mapping:
        reading.error(node, want + ", not a mapping; text that begins with { must stand in \"quotes\"");
        break;
    }
    return nullptr;
}

}  // namespace larder::config
