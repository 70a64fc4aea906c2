// Structured field values (RFC 9651): what targeted cache directives (RFC 9213) and cache groups (RFC 9875) are written
// in. Strict, as the RFC asks: one wrong byte and the whole field says nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace larder::rules {

struct BareItem {
    enum class Kind : std::uint8_t { integer, decimal, string, token, bytes, boolean, date, display_string };
    Kind kind = Kind::boolean;
    std::int64_t integer = 0;  // integer and date, up to 15 digits
    bool truth = true;         // boolean
    std::string text;          // string, token, display string: what it says; decimal and bytes: as written
};

struct StructuredItem {
    BareItem value;
    std::vector<std::pair<std::string, BareItem>> parameters;
};

/// A member of a list or dictionary: one item, or an inner list of them (then `value` is unused).
struct StructuredMember : StructuredItem {
    bool is_inner_list = false;
    std::vector<StructuredItem> inner;
};

using StructuredList = std::vector<StructuredMember>;
using StructuredDictionary = std::vector<std::pair<std::string, StructuredMember>>;

/// @param text  all lines of the field, joined by ", " (RFC 9651 §4.2). Empty: a list without members.
/// @return empty when it cannot be parsed: the field must be ignored then
std::optional<StructuredList> parse_structured_list(std::string_view text);
/// The same for a dictionary. Of a key that stands twice the last value counts (RFC 9651 §4.2.2). More than 1024 keys,
/// or 256 parameters of one item, cannot be parsed.
std::optional<StructuredDictionary> parse_structured_dictionary(std::string_view text);

}  // namespace larder::rules
