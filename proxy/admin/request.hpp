// Requests to the admin server: scanned by the same strict scanner as those on the traffic port, and held whole, since
// all of them are small.
#pragma once

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <cstdint>
#include <string>
#include <string_view>

#include "proxy/net/asio.hpp"
#include "rules/http/head.hpp"

namespace larder::proxy {

using AdminStream = boost::beast::basic_stream<asio::generic::stream_protocol>;

struct AdminRequest {
    AdminRequest() = default;
    AdminRequest(const AdminRequest&) = delete;
    AdminRequest& operator=(const AdminRequest&) = delete;

    std::string head_bytes;
    rules::RequestHead head;  // views into head_bytes
    std::string body;
};

/// Whether a request was read. If not, the connection must end: after an answer with `status`, or without one when that
/// is 0, because the client is gone or too slow.
struct RequestRead {
    bool complete = false;
    int status = 0;
    std::string_view why;
};

/// Reads one request within the deadline that the stream has.
/// @param inbox       what was received and not used up, before and after
/// @param body_bytes  more is a 413
/// @param request     a new one; it is whole only when the read is complete
asio::awaitable<RequestRead> read_request(AdminStream& stream, std::string& inbox, const rules::HeadLimits& limits,
                                          std::uint64_t body_bytes, AdminRequest& request);

}  // namespace larder::proxy
