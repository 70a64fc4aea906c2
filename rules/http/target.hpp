// Path and query of a request target, brought to one form for reads and writes alike (RFC 3986 §6.2.2).
// Without this, GET /items/%37 would make an entry that PUT /items/7 never purges.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace larder::rules {

/// How a raw path relates to its normal form.
enum class PathForm {
    normal,      // nothing to do: the view is the normal form
    normalised,  // percent-encoded unreserved characters decoded, hex digits upper-cased, bytes above 0x7E encoded
    ambiguous,   // two servers may read it differently, so it is never cached; writes still purge by its normal form
};
// Ambiguous are: "//", dot segments (a server that does not resolve them answers for another resource), "%2F", "\\",
// "%5C", ";", "%3B", encoded control bytes, escapes that are none ("%zz"), and a path that does not begin with "/".
// Their normal form is the reading of the server that is most eager: dot segments resolved (never above the root),
// "//" made one, path parameters (";jsessionid=1") left out, a "%" that begins no escape encoded as "%25". What is
// still encoded then stays so.

struct NormalPath {
    PathForm form = PathForm::normal;
    std::string_view text;  // into `raw` when form is normal, else into `scratch`
};

/// @param raw     path as received, begins with "/"
/// @param scratch holds the result when it differs from `raw`; must outlive the view
NormalPath normalise_path(std::string_view raw, std::string& scratch);

/// Could a path of the same decoded text be spelt otherwise, in normal form too? "%40" and "@" are not the same to RFC
/// 3986 §2.2, though most apps take them so: keys and purges do not tell them apart, stored responses must.
bool has_spellings(std::string_view normal_path) noexcept;

/// Percent-encoding as in paths: unreserved characters decoded, hex digits upper-cased. Text with an invalid escape
/// stays as it is, all of it. Appends to `out`.
void append_normalised_encoding(std::string& out, std::string_view text);

/// Percent-decoding of every byte ("+" stays "+"); an invalid escape stays as it is.
std::string percent_decode(std::string_view text);

struct Parameter {
    std::string_view name;   // raw
    std::string_view value;  // raw, without "="
    bool has_value = false;
};
/// Calls `visit(parameter)` for each part between "&", in the order received. Empty parts are left out.
template <class Visit>
void for_each_parameter(std::string_view query, Visit visit);
/// Splits a raw query at "&". Empty parts are left out.
void split_query(std::string_view query, std::vector<Parameter>& parameters);
/// The parameters sorted by name (stable for equal names), joined by "&", with percent-encoding normalised as in paths.
std::string sorted_query(std::string_view query);

/// Percent-decoding of a parameter's name or value as HTML forms and every usual framework read it: "+" is a space.
std::string decode_parameter(std::string_view raw);
/// Is this raw name or value, decoded, the given text? Allocates only when there is something to decode.
bool parameter_is(std::string_view raw, std::string_view text);

// --- template definition ---
template <class Visit>
void for_each_parameter(std::string_view query, Visit visit)
{
    while (!query.empty()) {
        const std::size_t end = query.find('&');
        const std::string_view part = query.substr(0, end);
        query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
        if (part.empty()) continue;
        const std::size_t equals = part.find('=');
        const bool has_value = equals != std::string_view::npos;
        visit(Parameter{part.substr(0, equals), has_value ? part.substr(equals + 1) : std::string_view{}, has_value});
    }
}

}  // namespace larder::rules
