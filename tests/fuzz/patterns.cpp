// Purge patterns and templates: what a pattern matches, and that nothing a client sends becomes part of its syntax.
#include <algorithm>
#include <string>
#include <vector>

#include "input.hpp"
#include "rules/http/target.hpp"
#include "rules/pattern/pattern.hpp"
#include "rules/pattern/template.hpp"
#include "targets.hpp"

namespace larder::fuzz {

namespace {

using namespace rules;

/// The definition, byte by byte: a table of what the first i bytes of the pattern can make of the first k of the key.
bool matches_by_table(std::string_view pattern, std::string_view key)
{
    std::vector<bool> row(key.size() + 1, false);
    row[0] = true;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        std::vector<bool> next(key.size() + 1, false);
        if (pattern[i] == '*') {
            bool reached = false;
            for (std::size_t k = 0; k <= key.size(); ++k) next[k] = reached = reached || row[k];
        } else {
            const bool any = pattern[i] == '?';
            if (pattern[i] == '\\' && i + 1 < pattern.size()) ++i;
            for (std::size_t k = 0; k < key.size(); ++k) next[k + 1] = row[k] && (any || pattern[i] == key[k]);
        }
        row = std::move(next);
    }
    return row[key.size()];
}

std::string print(const Template& text)
{
    std::string out;
    for (const TemplatePart& part : text.parts) {
        std::string_view before;
        switch (part.source) {
        case Source::literal:
        case Source::wildcard: out += part.name; continue;
        case Source::path_value: break;
        case Source::query_value: before = "query."; break;
        case Source::header: before = "header."; break;
        case Source::cookie: before = "cookie."; break;
        case Source::body: before = "body."; break;
        case Source::response_header: before = "response.header."; break;
        case Source::host: before = "host"; break;
        case Source::path: before = "path"; break;
        case Source::query: before = "query"; break;
        case Source::method: before = "method"; break;
        }
        out.append("{").append(before).append(part.name);
        if (part.fallback) out.append("|").append(*part.fallback);
        out += '}';
    }
    return out;
}

void check_use(std::string_view input, TemplateUse use)
{
    const ParsedTemplate parsed = parse_template(input, use);
    for (const TemplateError& error : parsed.errors) {
        expect(error.column <= input.size(), "an error points into the text");
        expect(!error.message.empty(), "an error says what is wrong");
    }
    if (!parsed.errors.empty()) return;
    expect(!parsed.value.parts.empty(), "a template is not empty");
    expect_same(parsed.value.text, input, "a template keeps its text");
    std::size_t column = 0;
    for (const TemplatePart& part : parsed.value.parts) {
        expect(part.column >= column && part.column < input.size(), "parts stand in order");
        column = part.column;
        if (part.source == Source::literal)
            expect(is_visible(part.name) && part.name.find_first_of("*?{}\\%") == std::string::npos,
                   "text of a key has no syntax of patterns in it");
        else if (part.source == Source::wildcard)
            expect(use == TemplateUse::purge, "a key has no wildcard");
        else if (part.source == Source::body || part.source == Source::response_header)
            expect(use == TemplateUse::purge, "a key knows nothing of a response");
    }
    const std::string printed = print(parsed.value);
    const ParsedTemplate again = parse_template(printed, use);
    expect(again.errors.empty() && again.value.parts.size() == parsed.value.parts.size(),
           "a template is accepted as we write it");
    for (std::size_t i = 0; i < again.value.parts.size(); ++i) {
        const TemplatePart &one = parsed.value.parts[i], &other = again.value.parts[i];
        expect(one.source == other.source && one.name == other.name && one.fallback == other.fallback,
               "a template is read back as it was");
    }
}

}  // namespace

void check_pattern(std::string_view input)
{
    constexpr std::size_t longest = 400;  // the tables are quadratic
    const std::size_t end = std::min(input.find('\n'), input.size());
    const std::string_view pattern = input.substr(0, std::min(end, longest));
    const std::string_view key = input.substr(std::min(end + 1, input.size())).substr(0, longest);

    const bool matched = matches(pattern, key);
    expect(matched == matches_by_table(pattern, key), "a pattern matches what it says");
    const std::string exact = escape(key);
    expect(is_exact(exact) && matches(exact, key), "an escaped key matches the key");
    expect_same(unescape(exact), key, "escapes are removed as they were put there");
    expect(may_overlap(pattern, exact) == matched, "a pattern overlaps the keys that it matches");
    expect(may_overlap(exact, pattern) == matched, "in both directions");
    expect(may_overlap(pattern, pattern), "a pattern overlaps itself");
    if (is_exact(pattern)) {
        expect(matches(pattern, unescape(pattern)), "an exact pattern matches its key");
        expect(matched == (unescape(pattern) == key), "and no other");
    }

    std::string value;
    append_key_value(value, key);
    expect(is_visible(value) && value.find_first_of(":*?{}\\") == std::string::npos, "a value has no syntax in it");
    expect_same(percent_decode(value), key, "no two values are written the same");
    expect(is_exact(value) && matches(value, value), "a value in a pattern stands for itself");
}

void check_template_text(std::string_view input)
{
    check_use(input, TemplateUse::key);
    check_use(input, TemplateUse::purge);
}

}  // namespace larder::fuzz
