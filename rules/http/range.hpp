// Range requests (RFC 9110 §14), answered from a response that is stored as a whole.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "rules/base/time.hpp"
#include "rules/http/head.hpp"

namespace larder::rules {

struct ByteRange {
    std::uint64_t first = 0, last = 0;  // both included

    std::uint64_t size() const noexcept { return last - first + 1; }
};

struct SelectedRanges {
    enum class Kind : std::uint8_t {
        whole,          // there is no Range, or it must or may be ignored: 200
        parts,          // 206
        unsatisfiable,  // 416
    } kind = Kind::whole;
    std::vector<ByteRange> ranges;  // of `parts`: not empty, in the order asked for; in rising order once merged
};

/// More ranges than these are ignored (RFC 9110 §14.2, §17.15): nobody has a use for them but an attacker.
inline constexpr std::size_t ranges_limit = 32;

/// Which parts of a representation of `size` bytes a GET asks for. Ranges that overlap, or lie so close that the head
/// of a part would be longer than the gap, become one. Ignored are: another unit than bytes, a field that is malformed
/// or stands twice, and every range of an empty representation.
SelectedRanges select_ranges(const Fields& request, std::uint64_t size);

/// Does `If-Range` hold for a stored response (RFC 9110 §13.1.5)? True without one. By strong comparison: a weak tag
/// never holds, nor a Last-Modified that is less than a second older than `Date`.
bool if_range_holds(const Fields& request, std::string_view etag, std::string_view last_modified, std::string_view date,
                    WallTime now);

}  // namespace larder::rules
