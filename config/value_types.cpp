#include "config/value_types.hpp"

#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <fstream>
#include <iterator>

#include "config/nearest.hpp"
#include "rules/base/text.hpp"

namespace larder::config {
namespace {

namespace json = boost::json;

constexpr std::string_view duration_pattern = "[0-9]+(ms|s|m|h|d)";
constexpr std::string_view size_pattern = "[0-9]+(B|KB|MB|GB|KiB|MiB|GiB)";

std::string between(const std::string& least, const std::string& most) { return least + " to " + most; }

// Readable, and small enough to be what it should be.
std::optional<std::string> read_small_file(const std::string& path, std::size_t limit_bytes)
{
    std::ifstream file(path, std::ios::binary);
    if (!file) return std::nullopt;
    std::string text(limit_bytes, '\0');
    file.read(text.data(), static_cast<std::streamsize>(limit_bytes));
    if (file.bad() || (file.gcount() == 0 && !file.eof())) return std::nullopt;
    text.resize(static_cast<std::size_t>(file.gcount()));
    return text;
}

}  // namespace

json::value text_schema(std::string_view pattern)
{
    return json::object{{"type", "string"}, {"pattern", "^(" + std::string(pattern) + ")$|\\$\\{"}};
}

json::value with_variable(json::value schema)
{
    return json::object{
        {"anyOf", json::array{std::move(schema), json::object{{"type", "string"}, {"pattern", "\\$\\{"}}}}};
}

json::value choice_schema(const std::vector<std::string_view>& words)
{
    json::array values;
    for (std::string_view word : words) {
        values.emplace_back(word);
        if (word == "on") values.emplace_back(true);
        if (word == "off") values.emplace_back(false);
    }
    return with_variable(json::object{{"enum", std::move(values)}});
}

std::optional<std::size_t> read_choice(Reading& reading, const Node& node, const std::vector<std::string_view>& words)
{
    std::string list;
    for (std::size_t i = 0; i < words.size(); ++i)
        list += (i == 0 ? "" : i + 1 == words.size() ? " or " : ", ") + std::string(words[i]);
    const std::string* text = read_text(reading, node, list);
    if (text == nullptr) return std::nullopt;
    const std::string_view word = *text == "true" ? "on" : *text == "false" ? "off" : std::string_view(*text);
    for (std::size_t i = 0; i < words.size(); ++i)
        if (words[i] == word || words[i] == *text) return i;
    reading.error(node, "\"" + text->substr(0, 40) + "\" is not known here; write " + list);
    return std::nullopt;
}

ValueType<Milliseconds> duration(Milliseconds least, Milliseconds most)
{
    ValueType<Milliseconds> type;
    type.words = "duration";
    type.range = between(write_duration(least), write_duration(most));
    type.schema = text_schema(duration_pattern);
    type.read = [=, range = type.range](Reading& reading, const Node& node) -> std::optional<Milliseconds> {
        const std::string* text = read_text(reading, node, "a duration, such as 60s");
        if (text == nullptr) return std::nullopt;
        const auto read = read_duration(*text);
        if (const auto* problem = std::get_if<std::string>(&read)) {
            reading.error(node, *problem);
            return std::nullopt;
        }
        const auto value = std::get<Milliseconds>(read);
        if (value < least || value > most) {
            reading.error(node, *text + " is out of range; write " + range);
            return std::nullopt;
        }
        return value;
    };
    type.write = write_duration;
    return type;
}

ValueType<std::uint64_t> size(std::uint64_t least, std::uint64_t most, std::string zero)
{
    ValueType<std::uint64_t> type;
    type.words = "size";
    type.range = between(write_size(least), write_size(most));
    if (!zero.empty()) type.range += ", or 0: " + zero;
    type.schema = text_schema(size_pattern);
    if (!zero.empty()) type.schema = json::object{{"anyOf", json::array{type.schema, json::object{{"const", 0}}}}};
    const bool may_be_zero = !zero.empty();
    type.read = [=, range = type.range](Reading& reading, const Node& node) -> std::optional<std::uint64_t> {
        const std::string* text = read_text(reading, node, "a size, such as 64MiB");
        if (text == nullptr) return std::nullopt;
        if (may_be_zero && *text == "0") return 0;
        const auto read = read_size(*text);
        if (const auto* problem = std::get_if<std::string>(&read)) {
            reading.error(node, *problem);
            return std::nullopt;
        }
        const auto value = std::get<std::uint64_t>(read);
        if ((value < least || value > most) && !(may_be_zero && value == 0)) {
            reading.error(node, *text + " is out of range; write " + range);
            return std::nullopt;
        }
        return value;
    };
    type.write = write_size;
    return type;
}

ValueType<std::uint32_t> count(std::uint32_t least, std::uint32_t most, std::string zero)
{
    ValueType<std::uint32_t> type;
    type.words = "number";
    type.range = between(std::to_string(least), std::to_string(most));
    const std::string wanted = "a whole number, " + type.range;
    if (!zero.empty()) type.range += "; 0: " + zero;
    type.schema = with_variable(json::object{{"type", "integer"}, {"minimum", least}, {"maximum", most}});
    type.read = [=](Reading& reading, const Node& node) -> std::optional<std::uint32_t> {
        const std::string* text = read_text(reading, node, wanted);
        if (text == nullptr) return std::nullopt;
        const auto number = rules::parse_digits(*text);
        if (!number || *number < least || *number > most) {
            reading.error(node, "\"" + text->substr(0, 40) + "\" is not right here; write " + wanted);
            return std::nullopt;
        }
        return static_cast<std::uint32_t>(*number);
    };
    type.write = [](const std::uint32_t& value) { return std::to_string(value); };
    return type;
}

ValueType<bool> on_off()
{
    ValueType<bool> type = choice<bool>({{"on", true}, {"off", false}});
    type.words = "`on`, `off` (or `true`, `false`)";
    return type;
}

bool is_name(std::string_view text) noexcept
{
    return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), [](char c) {
        return rules::is_alpha(c) || rules::is_digit(c) || c == '.' || c == '_' || c == '-';
    });
}

ValueType<std::string> identifier()
{
    ValueType<std::string> type;
    type.words = "name";
    type.range = "letters, digits, `.` `_` `-`; at most 64";
    type.schema = text_schema("[A-Za-z0-9._-]{1,64}");
    type.read = [](Reading& reading, const Node& node) -> std::optional<std::string> {
        const std::string* text = read_text(reading, node, "a name");
        if (text == nullptr) return std::nullopt;
        if (is_name(*text)) return *text;
        reading.error(node, "\"" + text->substr(0, 40) + "\" is not a name; write 1 to 64 letters, digits, . _ -");
        return std::nullopt;
    };
    type.write = [](const std::string& value) { return value; };
    return type;
}

ValueType<std::string> readable_file()
{
    ValueType<std::string> type;
    type.words = "file";
    type.schema = json::object{{"type", "string"}, {"minLength", 1}};
    type.read = [](Reading& reading, const Node& node) -> std::optional<std::string> {
        const std::string* text = read_text(reading, node, "the name of a file");
        if (text == nullptr) return std::nullopt;
        std::string path = reading.absolute_path(*text);
        if (!text->empty() && read_small_file(path, 1)) return path;
        reading.error(node,
                      "the file \"" + path + "\" cannot be read; relative names start from the folder of this file");
        return std::nullopt;
    };
    type.write = [](const std::string& value) { return value; };
    return type;
}

ValueType<std::string> secret_file()
{
    constexpr std::size_t limit_bytes = 4096;
    ValueType<std::string> type = readable_file();
    type.read = [read_path = type.read](Reading& reading, const Node& node) -> std::optional<std::string> {
        const std::optional<std::string> path = read_path(reading, node);
        if (!path) return std::nullopt;
        std::optional<std::string> secret = read_small_file(*path, limit_bytes + 1);
        if (secret && secret->ends_with('\n')) secret->pop_back();
        if (secret && secret->ends_with('\r')) secret->pop_back();
        if (secret && !secret->empty() && secret->size() <= limit_bytes && secret->find('\n') == std::string::npos)
            return secret;
        reading.error(node, "the file \"" + *path + "\" must hold one line with the password, at most 4096 bytes");
        return std::nullopt;
    };
    type.write = [](const std::string&) { return std::string(); };
    return type;
}

ValueType<Endpoint> endpoint()
{
    ValueType<Endpoint> type;
    type.words = "HOST:PORT";
    type.schema = text_schema("[^/@]*:[0-9]{1,5}|unix:/.+");
    type.read = [](Reading& reading, const Node& node) -> std::optional<Endpoint> {
        const std::string* text = read_text(reading, node, "HOST:PORT, such as 127.0.0.1:9090");
        if (text == nullptr) return std::nullopt;
        auto read = read_endpoint(*text);
        if (auto* value = std::get_if<Endpoint>(&read)) return *value;
        reading.error(node, std::get<std::string>(read));
        return std::nullopt;
    };
    type.write = [](const Endpoint& value) { return value.to_string(); };
    return type;
}

ValueType<std::uint32_t> access_sampling()
{
    ValueType<std::uint32_t> type;
    type.words = "`off`, `all`, `1/N`";
    type.schema =
        json::object{{"anyOf", json::array{text_schema("off|all|1/[1-9][0-9]{0,8}"), json::object{{"const", false}}}}};
    type.read = [](Reading& reading, const Node& node) -> std::optional<std::uint32_t> {
        const std::string* text = read_text(reading, node, "off, all, or 1/N");
        if (text == nullptr) return std::nullopt;
        auto every = read_sampling(*text);
        if (const auto* wrong = std::get_if<std::string>(&every)) {
            reading.error(node, *wrong);
            return std::nullopt;
        }
        return std::get<std::uint32_t>(every);
    };
    type.write = write_sampling;
    return type;
}

void read_list(Reading& reading, const Node& node, const std::function<void(const Node&)>& read_item)
{
    if (node.kind != Node::Kind::list) return read_item(node);
    if (node.items.empty())
        reading.error(node, "the list is empty; leave the option out, or write what it should hold");
    for (const Node& item : node.items) read_item(item);
}

ValueType<std::vector<std::string>> networks()
{
    ValueType<std::vector<std::string>> type;
    type.words = "list of addresses or networks";
    const json::value one = text_schema("[0-9a-fA-F:.]+(/[0-9]{1,3})?");
    type.schema = json::object{{"anyOf", json::array{one, json::object{{"type", "array"}, {"items", one}}}}};
    type.read = [](Reading& reading, const Node& node) -> std::optional<std::vector<std::string>> {
        std::vector<std::string> values;
        if (node.kind == Node::Kind::list && node.items.empty()) return values;
        const std::size_t errors_before = reading.errors_count();
        read_list(reading, node, [&](const Node& item) {
            const std::string* text = read_text(reading, item, "an address or a network, such as 10.0.0.0/8");
            if (text == nullptr) return;
            if (const std::string problem = check_network(*text); !problem.empty())
                reading.error(item, problem);
            else
                values.push_back(*text);
        });
        if (reading.errors_count() != errors_before) return std::nullopt;
        return values;
    };
    type.write = [](const std::vector<std::string>&) { return std::string(); };
    return type;
}

}  // namespace larder::config
