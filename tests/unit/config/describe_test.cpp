// The schema and the reference come from the option table; README.md holds a copy of the reference.
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <sstream>

#include "support.hpp"

namespace larder::config {

TEST_CASE("the option reference in config/README.md is the one that the option table gives")
{
    const std::string readme = read_all(std::string(LARDER_SOURCE_DIR) + "/config/README.md");
    const std::string begin = "<!-- options begin -->\n", end = "<!-- options end -->";
    const auto from = readme.find(begin), to = readme.find(end);
    REQUIRE(from != std::string::npos);
    REQUIRE(to != std::string::npos);
    CHECK_MESSAGE(readme.substr(from + begin.size(), to - from - begin.size()) == options_markdown(),
                  "write the output of options_markdown() between the markers");
}

TEST_CASE("the JSON Schema is strict JSON of draft 2020-12 and knows every option of every example")
{
    const auto schema = boost::json::parse(json_schema());
    CHECK(schema.at("$schema").as_string() == "https://json-schema.org/draft/2020-12/schema");
    CHECK_FALSE(schema.at("additionalProperties").as_bool());
    const auto& rule = schema.at("properties").at("rules").at("items");
    CHECK_FALSE(rule.at("additionalProperties").as_bool());
    for (const char* name : {"listen", "upstream", "admin", "namespace", "store", "memory", "max_object", "workers",
                             "trust", "cache", "trusted_proxies", "timeouts", "limits", "log", "rules"})
        CHECK_MESSAGE(schema.at("properties").as_object().contains(name), name);
    for (const auto& option : rule.at("properties").as_object())
        CHECK_MESSAGE(option.value().as_object().contains("description"), option.key());
}

TEST_CASE("the example with every option leaves none out")
{
    const std::string example = read_all(std::string(LARDER_SOURCE_DIR) + "/config/examples/every-option.yaml");
    std::istringstream lines(options_markdown());
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with("| `")) continue;
        const std::string path = line.substr(3, line.find('`', 3) - 3);
        const std::string name = path.substr(path.rfind('.') + 1);
        CHECK_MESSAGE(contains(example, name + ":"), path);
    }
}

}  // namespace larder::config
