#include "rules/http/cache_control.hpp"

#include <algorithm>

#include "rules/base/text.hpp"
#include "rules/http/fields.hpp"

namespace larder::rules {
namespace {

/// Where the quoted string that `text` begins with ends; npos when it does not.
std::size_t find_closing_quote(std::string_view text) noexcept
{
    for (std::size_t i = 1; i < text.size(); ++i) {
        if (text[i] == '"') return i;
        if (text[i] == '\\') ++i;
    }
    return std::string_view::npos;
}

/// One directive: a name, and an argument as a token or as the inside of a quoted string.
struct Directive {
    std::string_view name;
    std::string_view argument;
    bool has_argument = false;
    bool open_quote =
        false;            // a quote where none may be, or a quoted string that does not end where the directive ends
    bool spaced = false;  // white space before "=", where none may be

    /// @param may_quote  false: there is no quote in it
    Directive(std::string_view text, bool may_quote) noexcept
    {
        const std::size_t equals = text.find('=');
        name = trim(text.substr(0, equals));
        spaced = equals != std::string_view::npos && name.size() != equals;
        if (equals != std::string_view::npos) {
            has_argument = true;
            argument = text.substr(equals + 1);
        }
        if (may_quote) take_quotes();
    }

    void take_quotes() noexcept
    {
        open_quote = name.find('"') != std::string_view::npos;
        if (!has_argument) return;
        const std::string_view value = trim(argument);
        const bool quoted = value.starts_with('"');
        open_quote |= quoted ? find_closing_quote(value) != value.size() - 1 : value.find('"') != value.npos;
        if (argument.starts_with('"')) argument = argument.substr(1, argument.size() - 2);
    }

    bool is(std::string_view text) const noexcept { return equals_ignoring_case(name, text); }
};

/// Delta-seconds; what cannot be read is the most restrictive value.
Seconds parse_delta(const Directive& directive) noexcept
{
    std::string_view digits = directive.argument;
    if (directive.spaced || digits.empty() || !std::all_of(digits.begin(), digits.end(), is_digit)) return Seconds{0};
    const std::uint64_t value = parse_digits(digits).value_or(max_delta_seconds);
    return Seconds{static_cast<std::int64_t>(std::min(value, max_delta_seconds))};
}

/// Two different values for one directive contradict each other: the response counts as stale (RFC 9111 §4.2.1).
void set(std::optional<Seconds>& into, const Directive& directive) noexcept
{
    const Seconds value = parse_delta(directive);
    into = !into || *into == value ? value : Seconds{0};
}

/// `no-cache` and `private`: about the whole response, or only about the fields named in the argument.
void set_qualified(bool& whole, std::vector<std::string>& names, const Directive& directive)
{
    const std::size_t before = names.size();
    for_each_element(directive.argument, [&](std::string_view name) {
        std::string& added = names.emplace_back(name);
        std::transform(added.begin(), added.end(), added.begin(), lower);
    });
    if (names.size() == before) whole = true;
}

void add(CacheControl& into, const Directive& directive)
{
    if (directive.is("max-age"))
        set(into.max_age, directive);
    else if (directive.is("s-maxage"))
        set(into.s_maxage, directive);
    else if (directive.is("no-store"))
        into.no_store = true;
    else if (directive.is("no-cache"))
        set_qualified(into.no_cache, into.no_cache_fields, directive);
    else if (directive.is("private"))
        set_qualified(into.is_private, into.private_fields, directive);
    else if (directive.is("public") && !directive.spaced)
        into.is_public = true;
    else if (directive.is("must-revalidate"))
        into.must_revalidate = true;
    else if (directive.is("proxy-revalidate"))
        into.proxy_revalidate = true;
    else if (directive.is("must-understand"))
        into.must_understand = true;
    else if (directive.is("no-transform"))
        into.no_transform = true;
    else if (directive.is("immutable"))
        into.immutable = true;
    else if (directive.is("only-if-cached"))
        into.only_if_cached = true;
    else if (directive.is("stale-while-revalidate"))
        set(into.stale_while_revalidate, directive);
    else if (directive.is("stale-if-error"))
        set(into.stale_if_error, directive);
    else if (directive.is("min-fresh"))
        set(into.min_fresh, directive);
    else if (directive.is("max-stale") && directive.has_argument)
        set(into.max_stale, directive);
    else if (directive.is("max-stale"))
        into.max_stale_any = true;
}

}  // namespace

void parse_cache_control(std::string_view value, CacheControl& into)
{
    into.present = true;
    const bool has_quotes = value.find('"') != std::string_view::npos;
    const auto take = [&](std::string_view element) {
        const Directive directive(element, has_quotes);
        add(into, directive);
        // Nobody can say which directives an unbalanced quote has swallowed; no-store may be among them.
        if (directive.open_quote) into.no_store = into.open_quote = true;
    };
    if (has_quotes) return for_each_element(value, take);
    for (;;) {  // a comma is nothing else then
        const std::size_t comma = value.find(',');
        if (const std::string_view element = trim(value.substr(0, comma)); !element.empty()) take(element);
        if (comma == std::string_view::npos) return;
        value.remove_prefix(comma + 1);
    }
}

CacheControl parse_cache_control(const Fields& fields, FieldId id)
{
    CacheControl cc;
    for (const Field& field : fields.all)
        if (field.id == id) parse_cache_control(field.value, cc);
    return cc;
}

}  // namespace larder::rules
