#include "rules/http/vary.hpp"

#include <algorithm>
#include <optional>

#include "rules/base/text.hpp"
#include "rules/http/fields.hpp"

namespace larder::rules {
namespace {

constexpr std::string_view path_name = ":path";  // no field name has a colon

void make_lower(std::string& text) { std::transform(text.begin(), text.end(), text.begin(), lower); }

void sort_unique(std::vector<std::string>& words)
{
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
}

/// A weight in thousandths; empty when it is none (RFC 9110 §12.4.2).
std::optional<int> parse_weight(std::string_view parameter) noexcept
{
    if (parameter.size() < 3 || lower(parameter[0]) != 'q' || parameter[1] != '=') return std::nullopt;
    const std::string_view weight = parameter.substr(2);
    if (weight.size() > 5 || (weight[0] != '0' && weight[0] != '1')) return std::nullopt;
    if (weight.size() > 1 && weight[1] != '.') return std::nullopt;
    const std::string_view fraction = weight.size() > 2 ? weight.substr(2) : std::string_view{};
    int thousandths = weight[0] == '1' ? 1000 : 0;
    for (int scale = 100; char c : fraction) {
        if (!is_digit(c) || (thousandths >= 1000 && c != '0')) return std::nullopt;
        thousandths += (c - '0') * scale;
        scale /= 10;
    }
    return thousandths;
}

struct Coding {
    std::string name;
    int weight = 1000;
};

/// Which codings are acceptable and which are preferred, without spelling or order of what is equal: "gzip, deflate,
/// br" and "br,x-gzip,deflate;q=1.0" give one variant, "br, gzip;q=0.5" another. Best first, equals sorted, a step down
/// written as '>'. Refused codings stand at the end. Empty when it cannot be read.
std::optional<std::string> normalise_accept_encoding(std::string_view value)
{
    std::vector<Coding> accepted;
    std::vector<std::string> refused;
    bool readable = true;
    for_each_element(value, [&](std::string_view element) {
        const std::size_t semicolon = element.find(';');
        Coding coding{std::string(trim(element.substr(0, semicolon)))};
        make_lower(coding.name);
        if (coding.name == "x-gzip") coding.name = "gzip";
        if (coding.name != "*" && !is_token(coding.name)) readable = false;
        if (semicolon != std::string_view::npos) {
            const auto weight = parse_weight(trim(element.substr(semicolon + 1)));
            if (!weight) readable = false;
            coding.weight = weight.value_or(0);
        }
        if (coding.weight == 0)
            refused.push_back(std::move(coding.name));
        else
            accepted.push_back(std::move(coding));
    });
    if (!readable) return std::nullopt;

    const auto is_refused = [&refused](std::string_view name) {
        return std::find(refused.begin(), refused.end(), name) != refused.end();
    };
    const auto accepts = [&accepted](std::string_view name) {
        return std::any_of(accepted.begin(), accepted.end(), [&](const Coding& coding) { return coding.name == name; });
    };
    const bool identity = accepts("identity") || (!is_refused("identity") && !is_refused("*"));
    // Acceptable and liked no better than the others is what it is unsaid.
    int least = 1000;
    for (const Coding& coding : accepted) least = std::min(least, coding.weight);
    std::erase_if(accepted,
                  [least](const Coding& coding) { return coding.name == "identity" && coding.weight == least; });
    if (!identity) accepted.push_back({"identity;q=0", 0});
    // Also where nothing would allow it: some apps look for the word alone, and take "gzip;q=0" for "gzip".
    for (const std::string& name : refused)
        if (name != "identity" && name != "*") accepted.push_back({name + ";q=0", 0});
    std::sort(accepted.begin(), accepted.end(), [](const Coding& a, const Coding& b) {
        return a.weight != b.weight ? a.weight > b.weight : a.name < b.name;
    });

    std::string text;
    const Coding* last = nullptr;
    for (const Coding& coding : accepted) {
        if (last && last->name == coding.name && last->weight == coding.weight) continue;
        if (last) text += coding.weight != 0 && coding.weight < last->weight ? '>' : ',';
        text += coding.name;
        last = &coding;
    }
    return text;
}

/// White space beside a comma means nothing where a list is, and a field that may come in several lines is one (RFC
/// 9110 §5.3); beside a semicolon neither, where the members have parameters. Not inside quotes.
std::string without_space_beside(std::string_view value, std::string_view signs)
{
    std::string text;
    text.reserve(value.size());
    bool quoted = false;
    for (std::size_t i = 0; i < value.size(); ++i) {
        const char c = value[i];
        if (quoted && c == '\\' && i + 1 < value.size()) {
            (text += c) += value[++i];
            continue;
        }
        if (c == '"') quoted = !quoted;
        if (!quoted && signs.find(c) != std::string_view::npos) {
            while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.pop_back();
            while (i + 1 < value.size() && (value[i + 1] == ' ' || value[i + 1] == '\t')) ++i;
        }
        text += c;
    }
    return text;
}

/// Media types have no case (RFC 9110 §8.3.1); the values of their parameters may have one.
std::string with_lower_types(std::string value)
{
    if (value.find('"') != std::string::npos) return value;
    bool is_type = true;
    for (char& c : value) {
        if (c == ';' || c == ',') is_type = c == ',';
        if (is_type) c = lower(c);
    }
    return value;
}

/// Fields that are no lists, or that say who somebody is: byte by byte.
bool is_compared_exactly(std::string_view name) noexcept
{
    constexpr std::string_view names[] = {"authorization", "cookie", "host", "referer", "user-agent"};
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::string normalise(std::string_view name, std::string value)
{
    if (is_compared_exactly(name)) return value;
    if (name == "accept-encoding") return normalise_accept_encoding(value).value_or(value);
    if (name == "accept-language") {
        value = without_space_beside(value, ",;");  // language tags and `q` have no case
        make_lower(value);
        return value;
    }
    if (name == "accept") return with_lower_types(without_space_beside(value, ",;"));
    return without_space_beside(value, ",");
}

}  // namespace

VarySpec parse_vary(const Fields& response_fields)
{
    VarySpec spec;
    for (const Field& field : response_fields.all) {
        if (field.id != FieldId::vary) continue;
        for_each_element(field.value, [&spec](std::string_view name) {
            // "*" by itself, or something no request field can be called: nothing can be compared with it.
            if (name == "*" || !is_token(name)) spec.any = true;
            make_lower(spec.names.emplace_back(name));
        });
    }
    if (spec.any) spec.names.clear();
    if (!spec.names.empty()) sort_unique(spec.names);
    return spec;
}

void vary_by_path(VarySpec& spec)
{
    spec.names.emplace_back(path_name);
    sort_unique(spec.names);
}

std::string vary_values(const VarySpec& spec, const Fields& request_fields, std::string_view path)
{
    std::string text;
    for (const std::string& name : spec.names) {
        text += name;
        if (name == path_name) {
            text.append(1, ':').append(path).append(1, '\n');
            continue;
        }
        // A field that is not there differs from one that is empty. No value contains a line end, so no two lists of
        // values give the same text.
        if (request_fields.find(name))
            text.append(1, ':').append(normalise(name, combined_value(request_fields, name)));
        text += '\n';
    }
    return text;
}

}  // namespace larder::rules
