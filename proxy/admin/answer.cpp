#include "proxy/admin/answer.hpp"

#include <boost/beast/http/field.hpp>
#include <boost/beast/http/status.hpp>
#include <boost/json/serialize.hpp>

namespace larder::proxy {

namespace http = boost::beast::http;

AdminResponse make_answer(http::status status, std::string_view content_type, std::string body)
{
    AdminResponse response{status, 11};
    response.set(http::field::content_type, {content_type.data(), content_type.size()});
    response.set(http::field::cache_control, "no-store");
    response.set("X-Content-Type-Options", "nosniff");  // explain repeats what it was asked
    response.body() = std::move(body);
    return response;
}

AdminResponse make_problem(http::status status, std::string_view detail, boost::json::object more)
{
    const auto title = http::obsolete_reason(status);
    boost::json::object problem{{"type", "about:blank"},
                                {"title", std::string_view{title.data(), title.size()}},
                                {"status", static_cast<unsigned>(status)},
                                {"detail", detail}};
    for (auto& member : more) problem[member.key()] = std::move(member.value());
    return make_answer(status, "application/problem+json", boost::json::serialize(problem) + "\n");
}

AdminResponse make_wrong_method(std::string_view allowed)
{
    const std::string allowed_text(allowed);
    AdminResponse refused = make_problem(http::status::method_not_allowed, "this path knows " + allowed_text + " only");
    refused.set(http::field::allow, allowed_text);
    return refused;
}

}  // namespace larder::proxy
