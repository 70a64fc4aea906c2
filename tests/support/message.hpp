// HTTP/1.1 messages as a test sees them: the bytes as they came, and the fields by name. Reads only what well-behaved
// peers send; it judges nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/wire.hpp"

namespace larder::tests {

struct Message {
    std::string head;        // exact bytes, with the empty line
    std::string start_line;  // without its line end
    std::vector<std::pair<std::string, std::string>> fields;
    std::string body;  // decoded; at most `keep_bytes` of it
    std::uint64_t body_bytes = 0;
    std::vector<std::pair<std::string, std::string>> trailers;
    bool ended_properly = true;  // false: the stream ended inside the body

    /// Value of the first field of that name (any case); empty when there is none.
    std::string field(std::string_view name) const;
    std::size_t fields_count(std::string_view name) const;
    bool has(std::string_view name) const { return fields_count(name) > 0; }
};

struct Request : Message {
    std::string method, target;
    std::size_t connection = 0;  // number of the connection it came on, from 1
};

struct Response : Message {
    int status = 0;
    std::vector<Response> interim;  // the 1xx that came first

    /// Larder's own member of Cache-Status, as it stands there.
    std::string cache_status() const;
    /// The seconds of Age; -1 when there is none.
    long age() const;
};

/// Reads a request head. Throws Ended when the peer closes instead.
Request read_request_head(Wire& wire);
/// Reads the body of a request by its framing.
/// @param sink  called with each piece, if given
void read_body(Wire& wire, Request& request, std::size_t keep_bytes,
               const std::function<void(std::string_view)>& sink = {});

/// Reads interim responses and the final head, without a body.
Response read_response_head(Wire& wire);
/// Reads a whole response.
/// @param to_head  the request was a HEAD: no body follows
Response read_response(Wire& wire, bool to_head = false);
/// Reads the body that belongs to a head just read. A stream that ends too early only clears `ended_properly`.
void read_body(Wire& wire, Response& response, std::size_t keep_bytes,
               const std::function<void(std::string_view)>& sink = {});

/// Bytes [from, from + count) of an endless pattern in which no two positions close to each other look alike.
std::string pattern_bytes(std::uint64_t from, std::size_t count);
/// True when `bytes` is what the pattern has from `from` on.
bool is_pattern(std::string_view bytes, std::uint64_t from);

bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace larder::tests
