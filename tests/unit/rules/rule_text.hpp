// Rules and requests for tests, written as an operator would write them.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "rules/http/target.hpp"
#include "rules/match/matcher.hpp"

namespace larder::rules::test {

/// "GET|HEAD /a/{id?}/"
inline Match match_of(std::string_view text)
{
    Match match;
    const std::size_t space = text.find(' ');
    for (std::string_view methods = text.substr(0, space); !methods.empty();) {
        const std::size_t bar = std::min(methods.find('|'), methods.size());
        match.methods.emplace_back(methods.substr(0, bar));
        methods.remove_prefix(std::min(bar + 1, methods.size()));
    }
    std::string_view path = text.substr(space + 1);
    match.path_text = path;
    match.trailing_slash = path.size() > 1 && path.ends_with('/');
    while (!path.empty()) {
        path.remove_prefix(1);
        const std::size_t slash = std::min(path.find('/'), path.size());
        std::string_view segment = path.substr(0, slash);
        path.remove_prefix(slash);
        if (segment.empty()) continue;
        PathSegment made{PathSegment::Kind::literal, std::string(segment)};
        if (segment.starts_with('{')) {
            segment = segment.substr(1, segment.size() - 2);
            made.kind = segment.ends_with('?')   ? PathSegment::Kind::optional_value
                        : segment.ends_with('*') ? PathSegment::Kind::rest
                                                 : PathSegment::Kind::value;
            if (made.kind != PathSegment::Kind::value) segment.remove_suffix(1);
            made.text = segment;
        }
        match.segments.push_back(std::move(made));
    }
    return match;
}

inline Template template_of(std::string_view text, TemplateUse use)
{
    ParsedTemplate parsed = parse_template(text, use);
    REQUIRE_MESSAGE(parsed.errors.empty(), text);
    return std::move(parsed.value);
}

/// A cache rule; an empty key stands for the default key.
inline Rule cache_rule(std::string_view match, std::string_view key = "")
{
    Rule rule;
    rule.match = match_of(match);
    if (!key.empty()) rule.key = template_of(key, TemplateUse::key);
    return rule;
}

inline Rule purge_rule(std::string_view match, const std::vector<std::string>& purge)
{
    Rule rule;
    rule.match = match_of(match);
    for (const std::string& text : purge) rule.purge.push_back(template_of(text, TemplateUse::purge));
    return rule;
}

/// A request that keeps the bytes its views point into; made by the real scanner. Not movable.
struct Request {
    Request(std::string_view method, std::string_view target, std::string_view fields = "",
            std::string_view host = "shop")
    {
        bytes = std::string(method) + ' ' + std::string(target) + " HTTP/1.1\r\nHost: " + std::string(host) + "\r\n" +
                std::string(fields) + "\r\n";
        HeadLimits limits;
        limits.fields_count = 1000;
        REQUIRE_MESSAGE(scan_request(bytes, limits, head) == Scan::ok, bytes);
        const NormalPath normal = normalise_path(head.path, scratch);
        form = normal.form;
        view = {&head, normal.text, head.authority};
    }
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    std::string bytes, scratch;
    RequestHead head;
    RequestView view;
    PathForm form = PathForm::normal;
};

inline void number(std::vector<Rule>& rules)
{
    for (std::size_t i = 0; i < rules.size(); ++i) {
        rules[i].index = static_cast<std::uint32_t>(i);
        if (rules[i].name.empty()) rules[i].name = "rule-" + std::to_string(i);
        rules[i].place = {static_cast<int>(i) + 1, 3};
    }
}

}  // namespace larder::rules::test
