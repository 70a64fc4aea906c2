#include "rules/http/vary.hpp"

#include <algorithm>
#include <optional>

#include "rules/base/text.hpp"
#include "rules/http/fields.hpp"

namespace larder::rules {
namespace {

void make_lower(std::string& text) { std::transform(text.begin(), text.end(), text.begin(), lower); }

void sort_unique(std::vector<std::string>& words)
{
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
}

/// Is a weight zero? Empty when it is no weight (RFC 9110 §12.4.2).
std::optional<bool> is_zero_weight(std::string_view parameter) noexcept
{
    if (parameter.size() < 3 || lower(parameter[0]) != 'q' || parameter[1] != '=') return std::nullopt;
    const std::string_view weight = parameter.substr(2);
    if (weight.size() > 5 || (weight[0] != '0' && weight[0] != '1')) return std::nullopt;
    if (weight.size() > 1 && weight[1] != '.') return std::nullopt;
    const std::string_view fraction = weight.size() > 2 ? weight.substr(2) : std::string_view{};
    if (!std::all_of(fraction.begin(), fraction.end(), is_digit)) return std::nullopt;
    return weight[0] == '0' && fraction.find_first_not_of('0') == std::string_view::npos;
}

/// Which codings are acceptable, without order, weight or spelling: "gzip, deflate, br" and "br;q=0.9,x-gzip,deflate"
/// give one variant. A refused coding matters only where `*` would otherwise allow it. Empty when it cannot be read.
std::optional<std::string> normalise_accept_encoding(std::string_view value)
{
    std::vector<std::string> accepted, refused;
    bool readable = true;
    for_each_element(value, [&](std::string_view element) {
        const std::size_t semicolon = element.find(';');
        std::string coding(trim(element.substr(0, semicolon)));
        make_lower(coding);
        if (coding == "x-gzip") coding = "gzip";
        if (coding != "*" && !is_token(coding)) readable = false;
        bool zero = false;
        if (semicolon != std::string_view::npos) {
            const auto weight = is_zero_weight(trim(element.substr(semicolon + 1)));
            if (!weight) readable = false;
            zero = weight.value_or(false);
        }
        (zero ? refused : accepted).push_back(std::move(coding));
    });
    if (!readable) return std::nullopt;

    const auto contains = [](const std::vector<std::string>& words, std::string_view word) {
        return std::find(words.begin(), words.end(), word) != words.end();
    };
    const bool any = contains(accepted, "*");
    const bool identity = contains(accepted, "identity") || (!contains(refused, "identity") && !contains(refused, "*"));
    std::erase(accepted, "identity");
    if (!identity) accepted.push_back("identity;q=0");
    if (any)
        for (const std::string& coding : refused)
            if (coding != "identity" && coding != "*") accepted.push_back(coding + ";q=0");
    sort_unique(accepted);

    std::string text;
    for (const std::string& coding : accepted) {
        if (!text.empty()) text += ',';
        text += coding;
    }
    return text;
}

std::string normalise(std::string_view name, std::string value)
{
    if (name == "accept-encoding") return normalise_accept_encoding(value).value_or(value);
    if (name == "accept" || name == "accept-language") {
        // Lists whose members have no case and no meaning in white space, unless somebody quotes.
        if (value.find('"') != std::string::npos) return value;
        std::erase_if(value, [](char c) { return c == ' ' || c == '\t'; });
        make_lower(value);
    }
    return value;
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
    sort_unique(spec.names);
    return spec;
}

std::string vary_values(const VarySpec& spec, const Fields& request_fields)
{
    std::string text;
    for (const std::string& name : spec.names) {
        text += name;
        // A field that is not there differs from one that is empty. No value contains a line end, so no two lists of
        // values give the same text.
        if (request_fields.find(name))
            text.append(1, ':').append(normalise(name, combined_value(request_fields, name)));
        text += '\n';
    }
    return text;
}

}  // namespace larder::rules
