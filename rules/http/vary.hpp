// Vary and the choice among variants (RFC 9111 §4.1).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rules/http/head.hpp"

namespace larder::rules {

struct VarySpec {
    bool any = false;                // "*"
    std::vector<std::string> names;  // lower case, sorted, without duplicates; empty: no Vary
};
VarySpec parse_vary(const Fields& response_fields);

/// Adds the path of the request to what a response varies by. No field of a response can name it.
void vary_by_path(VarySpec& spec);

/// The nominated request fields in one text, normalised without change of meaning: the same text, the same variant.
/// Accept-Encoding is reduced to the codings that a client accepts, in the order of its preference.
/// @param path  as it is forwarded; used after `vary_by_path` only
std::string vary_values(const VarySpec& spec, const Fields& request_fields, std::string_view path = {});

}  // namespace larder::rules
