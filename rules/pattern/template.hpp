// Key and purge templates: text with placeholders, parsed once at start-up, filled in per request.
// `event:{id}`, `list:{query.page|1}`, `user:{body.user_id}:*`. Filling lives in rules/key; this is the syntax.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace larder::rules {

enum class Source : std::uint8_t {
    literal,          // `name` is the text itself
    wildcard,         // `*`, in purge templates only
    path_value,       // {id}: a named segment of `match`
    query_value,      // {query.page}
    header,           // {header.X-Tenant}
    cookie,           // {cookie.sid}
    host,             // {host}
    path,             // {path}
    query,            // {query}: all parameters, sorted
    method,           // {method}
    body,             // {body.items.0.id}, in purge templates only
    response_header,  // {response.header.Location}, in purge templates only
};

/// Accept-Language and its kind: in a key they choose a form of the answer, and say nothing about who asks.
bool is_negotiation_header(std::string_view name) noexcept;

struct TemplatePart {
    Source source = Source::literal;
    std::string name;                     // literal text, or what follows the source: "page", "X-Tenant", "items.0.id"
    std::optional<std::string> fallback;  // {query.page|1}
    std::size_t column = 0;               // offset of the part in the template text, for messages

    /// A cookie, or a header that says who or what the client is rather than which form of the answer it likes.
    bool names_somebody() const noexcept
    {
        return source == Source::cookie || (source == Source::header && !is_negotiation_header(name));
    }
};

struct Template {
    std::string text;  // as written
    std::vector<TemplatePart> parts;

    bool uses(Source source) const noexcept;
    /// The key contains an identity: a cookie placeholder, or one of a header other than Accept-Language and its kind,
    /// or a rule with {header.Accept-Language} would show one user's page to all who read the same language.
    bool has_identity() const noexcept;
};

enum class TemplateUse { key, purge };

struct TemplateError {
    std::size_t column = 0;  // offset in the text
    std::string message;     // what is wrong and what to write instead
};

/// Parses a template. Literal text must be printable ASCII without space, '{', '}', '\' or '%'; '*' and '?' only
/// as said above ('?' is never allowed). `{name}` without a dot is a path value unless it is host, path, query or
/// method.
struct ParsedTemplate {
    Template value;
    std::vector<TemplateError> errors;
};
ParsedTemplate parse_template(std::string_view text, TemplateUse use);

}  // namespace larder::rules
