// Conditional requests (RFC 9110 §13): a client's, answered from a stored response; ours, sent to the origin.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "rules/base/time.hpp"
#include "rules/http/head.hpp"

namespace larder::rules {

enum class Precondition { proceed, not_modified };

/// Evaluates If-None-Match, else If-Modified-Since, of a GET or HEAD against a stored response that would be answered
/// with 200 (RFC 9110 §13.2.2). If-Match and If-Unmodified-Since are for the origin to judge (RFC 9111 §4.3.2):
/// requests with them do not come here.
/// @param etag, last_modified  of the stored response; empty when it has none
/// @param date                 of the stored response, stands in for a missing Last-Modified (RFC 9111 §4.3.2)
Precondition evaluate_preconditions(const Fields& request, std::string_view etag, std::string_view last_modified,
                                    std::string_view date, WallTime now);

/// Weak comparison of two entity tags, e.g. W/"a" and "a" (RFC 9110 §8.8.3.2).
bool weakly_equal(std::string_view a, std::string_view b) noexcept;

/// Strong comparison: the same tag, and none of them weak (RFC 9110 §8.8.3.2). False without a tag.
bool strongly_equal(std::string_view a, std::string_view b) noexcept;

/// Is a 304 about the stored response whose validators were sent, so that it may update it (RFC 9111 §4.3.4)? A strong
/// entity tag must be the same, a weak one must match by weak comparison; without a tag Last-Modified decides. Without
/// any validator it answers the only question that was asked.
bool identifies(const Fields& not_modified, std::string_view stored_etag,
                std::string_view stored_last_modified) noexcept;

/// Does a 200 to a HEAD describe the stored response of a GET, so that it may update it (RFC 9111 §4.3.5)? The
/// validators that it brings are the stored ones, and its Content-Length is `size`.
bool describes(const ResponseHead& head_response, std::string_view stored_etag, std::string_view stored_last_modified,
               std::uint64_t size) noexcept;

/// The fields of a stored response after a 304 for it, or a HEAD (RFC 9111 §3.2): those of the 304 replace the stored
/// ones of the same name, except Content-Length, Content-Encoding, Content-Range, Set-Cookie, Age, Larder-Cache-Control
/// and hop-by-hop fields. Returns field lines.
std::string merge_not_modified(const Fields& stored, const Fields& update);

/// A field that a 304 repeats from the stored response (RFC 9110 §15.4.5): Cache-Control, Content-Location, Date, ETag,
/// Expires, Vary, and for Larder's own: nothing else.
bool belongs_in_not_modified(FieldId id) noexcept;

}  // namespace larder::rules
