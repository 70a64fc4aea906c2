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
    normalised,  // percent-encoded unreserved characters decoded, hex digits upper-cased, dot segments removed
    ambiguous,   // "//", "%2F", "%5C", "\\", "%00" or another encoded control byte, ";", or dots that climb above the root:
                 // two servers may read it differently, so it is never cached (writes still purge by its normal form)
};

struct NormalPath {
    PathForm form = PathForm::normal;
    std::string_view text;  // into `raw` when form is normal, else into `scratch`
};

/// @param raw     path as received, begins with "/"
/// @param scratch holds the result when it differs from `raw`; must outlive the view
NormalPath normalise_path(std::string_view raw, std::string& scratch);

/// Percent-decoding of every byte ("+" stays "+"); an invalid escape stays as it is.
std::string percent_decode(std::string_view text);

struct Parameter {
    std::string_view name;   // raw
    std::string_view value;  // raw, without "="
    bool has_value = false;
};
/// Splits a raw query at "&". Empty parts are left out.
void split_query(std::string_view query, std::vector<Parameter>& parameters);
/// The parameters sorted by name (stable for equal names), joined by "&", with percent-encoding normalised as in paths.
std::string sorted_query(std::string_view query);

}  // namespace larder::rules
