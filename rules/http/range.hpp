// Range requests (RFC 9110 §14), answered from what is stored: the whole, or a part of it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "rules/base/time.hpp"
#include "rules/http/head.hpp"

namespace larder::rules {

struct ByteRange {
    std::uint64_t first = 0, last = 0;  // both included

    std::uint64_t size() const noexcept { return last - first + 1; }
    bool contains(const ByteRange& other) const noexcept { return first <= other.first && other.last <= last; }
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

/// Does the request ask for one range, whose 206 is no multipart? Malformed ones count: they get a 200.
bool asks_one_range(const Fields& request) noexcept;

/// Which bytes a 206 brings, and of how many.
struct ContentRange {
    ByteRange range;
    std::uint64_t size = 0;  // of the whole: above `range.last`

    bool is_whole() const noexcept { return range.size() == size; }
};
/// Reads `Content-Range` (RFC 9110 §14.4). Empty: malformed, another unit, or of unknown size.
std::optional<ContentRange> parse_content_range(std::string_view value);
void append_content_range(std::string& out, const ContentRange& part);

/// Two parts of one representation that touch or overlap as one (RFC 9111 §3.4): its place, and the bytes in `bytes`.
/// Empty: there is a gap between them, or they are not of one size.
/// @param bytes_a, bytes_b  as many as `a` and `b` say
std::optional<ContentRange> join_parts(const ContentRange& a, std::string_view bytes_a, const ContentRange& b,
                                       std::string_view bytes_b, std::string& bytes);

}  // namespace larder::rules
