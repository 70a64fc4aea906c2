// Answers of the admin server: what all of them carry, and refusals as problem documents (RFC 9457).
#pragma once

#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/json/object.hpp>
#include <string>
#include <string_view>

namespace larder::proxy {

using AdminResponse = boost::beast::http::response<boost::beast::http::string_body>;

AdminResponse make_answer(boost::beast::http::status status, std::string_view content_type, std::string body);

/// @param detail  what is wrong and what to do instead
/// @param more    further members, for programs
AdminResponse make_problem(boost::beast::http::status status, std::string_view detail, boost::json::object more = {});

/// 405 with the methods that the path knows: "GET, HEAD".
AdminResponse make_wrong_method(std::string_view allowed);

}  // namespace larder::proxy
