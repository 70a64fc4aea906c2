// Paths and queries: one form for each, reached in one step, that means what was asked for.
#include "rules/http/target.hpp"

#include <algorithm>
#include <string>
#include <tuple>
#include <vector>

#include "input.hpp"
#include "targets.hpp"

namespace larder::fuzz {

namespace {

using namespace rules;

void check_path(std::string_view raw)
{
    std::string scratch, scratch_again;
    const NormalPath path = normalise_path(raw, scratch);
    const NormalPath again = normalise_path(path.text, scratch_again);
    expect_same(path.text, again.text, "a normal form is its own normal form");
    if (!raw.starts_with('/')) {
        expect(path.form == PathForm::ambiguous, "a path begins with a slash");
        return;
    }
    if (path.form == PathForm::normal) expect_same(path.text, raw, "a normal path is left as it is");
    if (path.form != PathForm::ambiguous) {
        expect(again.form == PathForm::normal, "a normal form is normal");
        expect_same(percent_decode(path.text), percent_decode(raw), "a normal form names what the path named");
        expect(percent_decode(path.text).find_first_of(std::string_view("\\;\0\r\n", 5)) == std::string::npos,
               "a path with such bytes is ambiguous");
    }
    expect(path.text.starts_with('/') && is_visible(path.text),
           "a normal form is visible ASCII and begins with a slash");
    expect(path.text.find("//") == std::string_view::npos, "no empty segment is left");
    expect(path.text.find(';') == std::string_view::npos, "no path parameter is left");
    for (std::string_view rest = path.text; !rest.empty();) {
        rest.remove_prefix(1);
        const std::string_view segment = rest.substr(0, rest.find('/'));
        expect(segment != "." && segment != "..", "no dot segment is left");
        rest.remove_prefix(segment.size());
    }
}

using Decoded = std::tuple<std::string, bool, std::string>;

/// As a server reads it.
std::vector<Decoded> decoded(std::string_view query)
{
    std::vector<Decoded> parameters;
    for_each_parameter(query, [&](const Parameter& parameter) {
        parameters.emplace_back(decode_parameter(parameter.name), parameter.has_value,
                                decode_parameter(parameter.value));
    });
    std::sort(parameters.begin(), parameters.end());
    return parameters;
}

void check_query(std::string_view raw)
{
    const std::string sorted = sorted_query(raw);
    expect_same(sorted, sorted_query(sorted), "a sorted query is sorted");
    expect(decoded(raw) == decoded(sorted), "a sorted query asks for what the query asked for");

    std::vector<Parameter> parameters;
    split_query(raw, parameters);
    for (const Parameter& parameter : parameters) {
        expect(lies_in(parameter.name, raw), "a name is part of the query");
        expect(parameter_is(parameter.name, decode_parameter(parameter.name)), "a name is what it decodes to");
        expect(!parameter_is(parameter.name, decode_parameter(parameter.name) + "x"), "and nothing else");
    }
}

}  // namespace

void check_target(std::string_view input)
{
    const std::size_t mark = std::min(input.find('?'), input.size());
    check_path(input.substr(0, mark));
    check_query(input.substr(std::min(mark + 1, input.size())));
}

}  // namespace larder::fuzz
