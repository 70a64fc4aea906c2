#include "config/match_reader.hpp"

#include <algorithm>
#include <boost/json/parse.hpp>

#include "config/nearest.hpp"
#include "config/value_types.hpp"
#include "rules/base/text.hpp"
#include "rules/http/target.hpp"

namespace larder::config {
namespace {

using rules::PathSegment;
using Kind = PathSegment::Kind;

constexpr std::string_view match_forms = "METHOD PATH, such as GET /api/events/{id}";

std::string quoted(std::string_view text) { return "\"" + std::string(text.substr(0, 80)) + "\""; }

// RFC 9110 §9, RFC 5789, WebDAV and the two that caches and searches use. Others are allowed with a warning, because
// a misspelt method makes a purge rule that never purges.
const std::vector<std::string_view>& known_methods()
{
    static const std::vector<std::string_view> methods{
        "GET",  "HEAD", "POST",   "PUT",      "PATCH",     "DELETE", "OPTIONS", "TRACE",  "CONNECT", "COPY",
        "MOVE", "LOCK", "UNLOCK", "PROPFIND", "PROPPATCH", "MKCOL",  "REPORT",  "SEARCH", "QUERY",   "PURGE"};
    return methods;
}

bool add_method(Reading& reading, rules::Place place, std::string_view text, rules::Match& match)
{
    std::string upper(text);
    for (char& c : upper)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
    if (!rules::is_token(text)) {
        reading.error(place, quoted(text) + " is no method; write " + std::string(match_forms) +
                                 ", several methods as POST|PUT|PATCH|DELETE");
        return false;
    }
    if (upper != text) {
        reading.error(place, "methods are upper case; write " + upper);
        return false;
    }
    if (std::find(match.methods.begin(), match.methods.end(), upper) != match.methods.end()) {
        reading.error(place, upper + " stands here twice");
        return false;
    }
    const auto& known = known_methods();
    if (std::find(known.begin(), known.end(), upper) == known.end()) {
        const auto near = nearest(upper, known);
        reading.warning(place,
                        upper + " is an unusual method" +
                            (near.empty() ? std::string() : "; did you mean " + std::string(near) + "?"),
                        "unusual-method");
    }
    match.methods.push_back(std::move(upper));
    return true;
}

bool read_methods(Reading& reading, const Node& node, std::size_t offset, std::string_view text, rules::Match& match)
{
    for (;;) {
        const std::size_t end = std::min(text.find('|'), text.size());
        if (!add_method(reading, node.place_of(offset), text.substr(0, end), match)) return false;
        if (end == text.size()) return true;
        text.remove_prefix(end + 1);
        offset += end + 1;
    }
}

bool is_value_name(std::string_view name) noexcept
{
    if (name.empty() || rules::is_digit(name.front()) || name.front() == '-') return false;
    return std::all_of(name.begin(), name.end(),
                       [](char c) { return rules::is_alpha(c) || rules::is_digit(c) || c == '_' || c == '-'; });
}

// One segment of a path template, or what is wrong with it.
Read<PathSegment> read_segment(std::string_view text)
{
    if (text.find_first_of("{}") == std::string_view::npos) {
        if (text == "." || text == "..")
            return std::string("a path has no . or .. segments; write the path they lead to");
        for (char c : text)
            if (c <= ' ' || c >= 0x7F || c == '"' || c == '<' || c == '>' || c == '^' || c == '`' || c == '|')
                return "write " +
                       std::string(c == ' ' ? "a space as %20" : "this character percent-encoded, as in URLs");
        if (text.find_first_of("?#") != std::string_view::npos)
            return std::string("a path ends before ? and #; conditions on parameters go under match.query");
        if (text.find('*') != std::string_view::npos)
            return std::string("* is no wildcard in a path; write {name} for one segment, {name*} for the rest");
        std::string scratch;
        const auto normal = rules::normalise_path("/" + std::string(text), scratch);
        if (normal.form == rules::PathForm::ambiguous)
            return std::string("servers read this segment in different ways, so such a path is never cached");
        return PathSegment{Kind::literal, normal.form == rules::PathForm::normal ? std::string(text)
                                                                                 : std::string(normal.text.substr(1))};
    }
    if (!text.starts_with('{') || text.find('}') != text.size() - 1 || text.rfind('{') != 0)
        return std::string("a placeholder is a whole segment: /items/{id}, not /item-{id}");
    PathSegment segment;
    std::string_view name = text.substr(1, text.size() - 2);
    segment.kind = name.ends_with('?') ? Kind::optional_value : name.ends_with('*') ? Kind::rest : Kind::value;
    if (segment.kind != Kind::value) name.remove_suffix(1);
    if (!is_value_name(name)) return quoted(name) + " is not a name; write letters, digits, _ and -, as in {event_id}";
    for (std::string_view taken : {"host", "path", "query", "method"})
        if (name == taken)
            return "{" + std::string(name) + "} means the request's " + std::string(name) +
                   " in a key; choose another name";
    segment.text = name;
    return segment;
}

bool read_path(Reading& reading, const Node& node, std::size_t offset, std::string_view text, rules::Match& match)
{
    const auto error = [&](std::size_t at, std::string what) {
        reading.error(node.place_of(offset + at), std::move(what));
        return false;
    };
    if (!text.starts_with('/'))
        return error(0, quoted(text) + " is no path: it begins with /; a host goes under match.host");
    if (text.size() > 2048) return error(0, "the path is longer than 2048 bytes");
    match.path_text = text;

    std::size_t values_count = 0;
    for (std::size_t begin = 1; begin <= text.size() && text.size() > 1;) {
        const std::size_t end = std::min(text.find('/', begin), text.size());
        const std::string_view part = text.substr(begin, end - begin);
        if (part.empty()) {
            if (end != text.size()) return error(begin, "an empty segment (//) is never cached; write one /");
            match.trailing_slash = true;
            break;
        }
        if (!match.segments.empty() && match.segments.back().kind != Kind::literal &&
            match.segments.back().kind != Kind::value)
            return error(begin, "{name?} and {name*} stand at the end of a path only");
        auto read = read_segment(part);
        if (auto* problem = std::get_if<std::string>(&read)) return error(begin, std::move(*problem));
        auto& segment = std::get<PathSegment>(read);
        if (segment.kind != Kind::literal) {
            for (const PathSegment& earlier : match.segments)
                if (earlier.kind != Kind::literal && earlier.text == segment.text)
                    return error(begin, "{" + segment.text + "} stands here twice; give each value its own name");
            if (++values_count > rules::max_path_values)
                return error(begin, "more than " + std::to_string(rules::max_path_values) + " values in one path");
        }
        match.segments.push_back(std::move(segment));
        begin = end + 1;
        if (end == text.size()) break;
    }
    if (match.trailing_slash && !match.segments.empty() && match.segments.back().kind != Kind::literal &&
        match.segments.back().kind != Kind::value)
        return error(text.size() - 1, "{name?} and {name*} stand at the end of a path only; remove the last /");
    return true;
}

bool read_short_form(Reading& reading, const Node& node, rules::Match& match)
{
    const std::string_view text = node.text;
    const std::size_t space = text.find(' ');
    if (space == std::string_view::npos) {
        if (text.starts_with('/'))
            reading.error(node, "the method is missing; write GET " + std::string(text.substr(0, 80)));
        else
            reading.error(node, quoted(text) + " is no match; write " + std::string(match_forms));
        return false;
    }
    const std::size_t path = text.find_first_not_of(' ', space);
    if (path == std::string_view::npos || text.find(' ', path) != std::string_view::npos) {
        reading.error(node, quoted(text) + " is no match; write " + std::string(match_forms));
        return false;
    }
    return read_methods(reading, node, 0, text.substr(0, space), match) &&
           read_path(reading, node, path, text.substr(path), match);
}

void read_host(Reading& reading, const Node& node, rules::Match& match)
{
    const std::string* text = read_text(reading, node, "a host name");
    if (text == nullptr) return;
    for (char c : *text) {
        if (rules::is_alpha(c) || rules::is_digit(c) || c == '.' || c == '-' || c == '_') continue;
        reading.error(node, c == ':'   ? "the port does not count; write the host name alone"
                            : c == '*' ? "a host is compared whole; write one rule for each host"
                                       : quoted(*text) + " is no host name");
        return;
    }
    if (text->empty()) return reading.error(node, "the host name is empty; leave host out to match any");
    match.host = *text;
    for (char& c : match.host) c = rules::lower(c);
}

void read_conditions(Reading& reading, const Node& node, bool are_headers, std::vector<rules::Condition>& conditions)
{
    if (node.kind != Node::Kind::mapping || node.entries.empty())
        return reading.error(node, "wants a mapping of names to values: {name: value}, or {name: null} for any value");
    for (const Node::Entry& entry : node.entries) {
        if (are_headers ? !rules::is_token(entry.name) : entry.name.empty()) {
            reading.error(entry.place,
                          quoted(entry.name) + (are_headers ? " is no header name" : " is no parameter name"));
        } else if (entry.value.kind == Node::Kind::null) {
            conditions.push_back({entry.name, std::nullopt});
        } else if (const std::string* text = read_text(reading, entry.value, "text, or null for any value")) {
            conditions.push_back({entry.name, *text});
        }
    }
}

const Options<rules::Match>& match_options()
{
    const auto value_schema = boost::json::parse(
        R"({"type":"object","minProperties":1,"additionalProperties":{"type":["string","number","boolean","null"]}})");
    static const Options<rules::Match> options{
        {{"method",
          "methods",
          "",
          "GET",
          "`GET`, `POST|PUT`, or a list",
          boost::json::parse(
              R"({"anyOf":[{"type":"string"},{"type":"array","minItems":1,"items":{"type":"string"}}]})"),
          {}},
         [](Reading& reading, const Node& node, rules::Match& match) {
             read_list(reading, node, [&](const Node& item) {
                 if (const std::string* text = read_text(reading, item, "a method, such as GET"))
                     read_methods(reading, item, 0, *text, match);
             });
         }},
        {{"path",
          "path",
          "",
          "",
          "segments are literals, `{name}`, and at the end `{name?}` (may be absent) or `{name*}` (the rest)",
          text_schema("/.*"),
          {},
          "path: /api/events/{id}"},
         [](Reading& reading, const Node& node, rules::Match& match) {
             if (const std::string* text = read_text(reading, node, "a path, such as /api/events/{id}"))
                 read_path(reading, node, 0, *text, match);
         }},
        {{"host",
          "host name",
          "",
          "",
          "only requests for this host; the port does not count",
          text_schema("[A-Za-z0-9._-]+"),
          {}},
         [](Reading& reading, const Node& node, rules::Match& match) { read_host(reading, node, match); }},
        {{"query",
          "mapping",
          "",
          "",
          "parameters that must be there: `{name: value}`, `{name: null}` for any value",
          value_schema,
          {}},
         [](Reading& reading, const Node& node, rules::Match& match) {
             read_conditions(reading, node, false, match.query);
         }},
        {{"header", "mapping", "", "", "request headers that must be there, in the same form", value_schema, {}},
         [](Reading& reading, const Node& node, rules::Match& match) {
             read_conditions(reading, node, true, match.headers);
         }},
    };
    return options;
}

}  // namespace

bool read_match(Reading& reading, const Node& node, rules::Match& match)
{
    if (node.is_broken) return false;
    if (node.kind == Node::Kind::text) return read_short_form(reading, node, match);
    if (node.kind != Node::Kind::mapping) {
        read_text(reading, node, std::string(match_forms) + ", or a mapping with method, path, host, query, header");
        return false;
    }
    const std::size_t errors_before = reading.errors_count();
    read_mapping(reading, node, match_options(), match, "match.");
    if (node.find("method") == nullptr) match.methods.emplace_back("GET");
    return reading.errors_count() == errors_before && !match.methods.empty() && !match.path_text.empty();
}

OptionText match_text()
{
    OptionText text;
    text.name = "match";
    text.type = "`METHOD PATH`, or a mapping";
    text.text = "which requests: `GET /api/events/{id}`, `POST|PUT /api/events/{id?}`";
    text.schema = text_schema("[A-Z|]+ +/.*");
    for (const auto& option : match_options()) text.children.push_back(option.text);
    text.required = "match: GET /api/events/{id}";
    return text;
}

}  // namespace larder::config
