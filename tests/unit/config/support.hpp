// What the tests of config/ share: an environment that is a map, and messages as text.
#pragma once

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "config/load.hpp"

namespace larder::config {

using Variables = std::map<std::string, std::string, std::less<>>;

inline Environment environment_of(Variables variables)
{
    return [variables = std::move(variables)](std::string_view name) -> std::optional<std::string> {
        const auto found = variables.find(name);
        if (found == variables.end()) return std::nullopt;
        return found->second;
    };
}

inline std::string read_all(const std::filesystem::path& path)
{
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

inline std::vector<std::filesystem::path> files_in(const std::string& folder)
{
    std::vector<std::filesystem::path> files;
    for (const auto& entry : std::filesystem::directory_iterator(std::string(LARDER_SOURCE_DIR) + "/" + folder))
        if (entry.path().extension() == ".yaml") files.push_back(entry.path());
    return files;
}

/// Every message, one on a line, as the operator would see it in a file named "f".
inline std::string all_messages(const Loaded& loaded)
{
    std::string text;
    for (const Message& message : loaded.messages) text += message.to_string("f") + "\n";
    return text;
}

/// Loads and expects success without warnings.
inline ConfigPtr load_fine(std::string_view yaml, Variables variables = {})
{
    const Loaded loaded = load_text(yaml, "f", environment_of(std::move(variables)));
    INFO(all_messages(loaded));
    REQUIRE(loaded.config != nullptr);
    for (const Message& message : loaded.messages) CHECK(message.severity == Severity::note);
    return loaded.config;
}

/// Loads a configuration that has errors and gives its messages.
inline std::string load_broken(std::string_view yaml, Variables variables = {})
{
    const Loaded loaded = load_text(yaml, "f", environment_of(std::move(variables)));
    CHECK(loaded.config == nullptr);
    return all_messages(loaded);
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

}  // namespace larder::config
