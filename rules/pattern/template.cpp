#include "rules/pattern/template.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "rules/base/text.hpp"

namespace larder::rules {

namespace {

struct Known {
    std::string_view word;  // what stands before the first dot, or alone
    Source source;
    bool takes_name;  // {query.NAME}
    bool in_keys;     // may stand in a key as well as in a purge template
};

constexpr Known known_placeholders[] = {
    {"query", Source::query_value, true, true},
    {"header", Source::header, true, true},
    {"cookie", Source::cookie, true, true},
    {"body", Source::body, true, false},
    {"response", Source::response_header, true, false},
    {"host", Source::host, false, true},
    {"path", Source::path, false, true},
    {"query", Source::query, false, true},
    {"method", Source::method, false, true},
};

/// Insertions, deletions and replacements that turn one word into the other; a swap of neighbours counts as one.
std::size_t distance(std::string_view a, std::string_view b)
{
    std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
    std::iota(above.begin(), above.end(), std::size_t{0});
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = std::min(row[j], before[j - 2] + 1);
        }
        std::swap(before, above);
        std::swap(above, row);
    }
    return above[b.size()];
}

/// "; did you mean {query.page}?", or nothing when no known word is near.
std::string suggestion(std::string_view word, std::string_view name)
{
    const Known* best = nullptr;
    std::size_t best_distance = word.size() / 3 + 2;
    for (const Known& known : known_placeholders) {
        if (known.takes_name != !name.empty()) continue;
        const std::size_t d = distance(word, known.word);
        if (d < best_distance) best = &known, best_distance = d;
    }
    if (!best) return {};
    std::string text = "; did you mean {" + std::string(best->word);
    if (best->source == Source::response_header && name.substr(0, 7) != "header.") text += ".header";
    if (!name.empty()) (text += '.') += name;
    return text + "}?";
}

bool is_value_name(std::string_view name) noexcept
{
    return !name.empty() && std::all_of(name.begin(), name.end(),
                                        [](char c) { return is_alpha(c) || is_digit(c) || c == '_' || c == '-'; });
}

bool is_printable(char c) noexcept { return c > ' ' && c < 0x7f; }

class Parser {
  public:
    Parser(std::string_view text, TemplateUse use) : text_(text), use_(use) { parsed_.value.text = text; }

    ParsedTemplate run()
    {
        if (text_.empty())
            fail(0, use_ == TemplateUse::key ? "a key must not be empty" : "a purge pattern must not be empty");
        while (at_ < text_.size()) {
            if (text_[at_] == '{')
                parse_placeholder();
            else
                parse_literal_char();
        }
        return std::move(parsed_);
    }

  private:
    void fail(std::size_t column, std::string message) { parsed_.errors.push_back({column, std::move(message)}); }

    std::vector<TemplatePart>& parts() { return parsed_.value.parts; }

    void parse_literal_char()
    {
        const char c = text_[at_];
        if (c == '*') {
            if (use_ == TemplateUse::key)
                fail(at_, "'*' stands for any text in a purge pattern only; a key names one entry");
            else if (parts().empty() || parts().back().source != Source::wildcard)
                parts().push_back({Source::wildcard, "*", std::nullopt, at_});
            ++at_;
            return;
        }
        if (c == '}')
            fail(at_, "'}' without '{' before it");
        else if (c == '?')
            fail(at_, use_ == TemplateUse::key ? "'?' cannot stand in a key"
                                               : "'?' cannot stand in a purge pattern; write '*'");
        else if (c == '\\' || c == '%')
            fail(at_, std::string("'") + c + "' cannot stand in a key; values are escaped without it");
        else if (!is_printable(c))
            fail(at_, "a key is made of printable ASCII without spaces");
        else {
            if (parts().empty() || parts().back().source != Source::literal)
                parts().push_back({Source::literal, {}, std::nullopt, at_});
            parts().back().name += c;
        }
        ++at_;
    }

    void parse_placeholder()
    {
        const std::size_t open = at_;
        const std::size_t end = text_.find_first_of("{}", open + 1);
        if (end == std::string_view::npos || text_[end] == '{') {
            fail(open, "'{' without '}'; a placeholder looks like {id} or {query.page}");
            at_ = end == std::string_view::npos ? text_.size() : end;
            return;
        }
        at_ = end + 1;

        std::string_view inside = text_.substr(open + 1, end - open - 1);
        TemplatePart part;
        part.column = open;
        if (const std::size_t bar = inside.find('|'); bar != std::string_view::npos) {
            part.fallback = std::string(inside.substr(bar + 1));
            inside = inside.substr(0, bar);
        }
        if (inside.empty())
            return fail(open,
                        "an empty placeholder; write {id}, {query.page}, {header.X-Tenant}, {cookie.sid} or {path}");
        if (use_ == TemplateUse::purge && part.fallback && part.fallback->find('*') != std::string::npos)
            return fail(open, "leave the fallback out: a value that is missing becomes '*' by itself");

        const std::size_t dot = inside.find('.');
        const bool has_dot = dot != std::string_view::npos;
        const std::string_view word = inside.substr(0, dot);
        const std::string_view name = has_dot ? inside.substr(dot + 1) : std::string_view{};
        if (has_dot && name.empty())
            return fail(open, "{" + std::string(inside) + "} lacks a name after the dot, as in {query.page}");

        for (const Known& known : known_placeholders) {
            if (known.word != word || known.takes_name != has_dot) continue;
            if (use_ == TemplateUse::key && !known.in_keys)
                return fail(open, "{" + std::string(inside) +
                                      "} is not known when a request is looked up; it can stand in purge only");
            part.source = known.source;
            part.name = name;
            if (!check_name(part)) return;
            parts().push_back(std::move(part));
            return;
        }
        if (has_dot) return fail(open, "unknown placeholder {" + std::string(inside) + "}" + suggestion(word, name));
        parse_path_value(word, std::move(part));
    }

    void parse_path_value(std::string_view word, TemplatePart part)
    {
        const std::size_t open = part.column;
        if (word == "header" || word == "cookie" || word == "body" || word == "response")
            return fail(open, "{" + std::string(word) + "} lacks a name; write {" + std::string(word) +
                                  (word == "response" ? ".header.NAME}" : ".NAME}"));
        if (word.ends_with('?') || word.ends_with('*'))
            return fail(open, "write {" + std::string(word.substr(0, word.size() - 1)) + "} here; '" + word.back() +
                                  "' belongs to the path in match");
        if (!is_value_name(word))
            return fail(open,
                        "{" + std::string(word) + "} is not a name; names are made of letters, digits, '_' and '-'");
        part.source = Source::path_value;
        part.name = word;
        parts().push_back(std::move(part));
    }

    /// Checks what follows the dot, and reduces `header.Location` of a response to `Location`.
    bool check_name(TemplatePart& part)
    {
        const std::size_t open = part.column;
        if (part.source == Source::response_header) {
            if (!part.name.starts_with("header.")) {
                fail(open, "only headers can be taken from a response; write {response.header." + part.name + "}");
                return false;
            }
            part.name.erase(0, 7);
        }
        if (part.source == Source::header || part.source == Source::cookie || part.source == Source::response_header) {
            if (is_token(part.name)) return true;
            fail(open, "\"" + part.name + "\" is not a valid " + (part.source == Source::cookie ? "cookie" : "header") +
                           " name");
            return false;
        }
        if (part.source == Source::body &&
            (part.name.front() == '.' || part.name.back() == '.' || part.name.find("..") != std::string::npos)) {
            fail(open, "an empty step in {body." + part.name + "}; write {body.items.0.id}");
            return false;
        }
        return true;
    }

    std::string_view text_;
    TemplateUse use_;
    std::size_t at_ = 0;
    ParsedTemplate parsed_;
};

}  // namespace

bool is_negotiation_header(std::string_view name) noexcept
{
    static constexpr std::string_view names[] = {
        "accept",
        "accept-charset",
        "accept-encoding",
        "accept-language",
        "accept-datetime",
        "content-type",
        "dnt",
        "host",
        "origin",
        "prefer",
        "referer",
        "save-data",
        "user-agent",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-requested-with",
    };
    if (name.size() > 8 && equals_ignoring_case(name.substr(0, 7), "sec-ch-")) return true;
    return std::any_of(std::begin(names), std::end(names),
                       [&](std::string_view known) { return equals_ignoring_case(known, name); });
}

bool Template::uses(Source source) const noexcept
{
    return std::any_of(parts.begin(), parts.end(), [&](const TemplatePart& part) { return part.source == source; });
}

bool Template::has_identity() const noexcept
{
    return std::any_of(parts.begin(), parts.end(), [](const TemplatePart& part) { return part.names_somebody(); });
}

ParsedTemplate parse_template(std::string_view text, TemplateUse use) { return Parser(text, use).run(); }

}  // namespace larder::rules
