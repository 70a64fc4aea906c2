#include "proxy/admin/admin_client.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <vector>

#include "proxy/net/asio.hpp"

namespace larder::proxy {

namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;
using Protocol = asio::generic::stream_protocol;
using Stream = beast::basic_stream<Protocol>;

constexpr std::chrono::seconds patience{10};

/// An address that means "any" is asked on loopback.
config::Endpoint asked_instead_of(config::Endpoint endpoint)
{
    if (!endpoint.unix_path.empty()) return endpoint;
    if (endpoint.host.empty() || endpoint.host == "0.0.0.0") endpoint.host = "127.0.0.1";
    if (endpoint.host == "::") endpoint.host = "::1";
    return endpoint;
}

std::vector<Protocol::endpoint> addresses_of(asio::io_context& context, const config::Endpoint& endpoint,
                                             error_code& ec)
{
    std::vector<Protocol::endpoint> addresses;
    if (!endpoint.unix_path.empty()) {
        addresses.emplace_back(asio::local::stream_protocol::endpoint{endpoint.unix_path});
        return addresses;
    }
    asio::ip::tcp::resolver resolver(context);
    for (const auto& found : resolver.resolve(endpoint.host, std::to_string(endpoint.port), ec))
        addresses.emplace_back(found.endpoint());
    return addresses;
}

// Borrows the reply: whoever starts it runs the context to its end.
asio::awaitable<void> run_request(std::vector<Protocol::endpoint> addresses, http::request<http::string_body> request,
                                  AdminReply& reply)
{
    const auto executor = co_await asio::this_coro::executor;
    Stream stream(executor);
    stream.expires_after(patience);
    error_code failed;
    for (const Protocol::endpoint& address : addresses) {
        error_code ignored;
        stream.socket().close(ignored);
        const auto [error] = co_await stream.async_connect(address, no_throw);
        failed = error;
        if (!failed) break;
    }
    if (!failed) {
        const auto [error, sent] = co_await http::async_write(stream, request, no_throw);
        failed = error;
    }
    if (!failed) {
        beast::flat_buffer buffer;
        http::response<http::string_body> response;
        const auto [error, received] = co_await http::async_read(stream, buffer, response, no_throw);
        failed = error;
        if (!failed) {
            reply.status = response.result_int();
            reply.body = std::move(response.body());
        }
    }
    if (failed == beast::error::timeout)
        reply.error = "no answer within 10 s";
    else if (failed)
        reply.error = failed.message();
}

}  // namespace

AdminReply post_to_admin(const config::Endpoint& admin, const std::string& target, const std::string& json,
                         const std::string& token)
{
    AdminReply reply;
    asio::io_context context{1};
    const config::Endpoint endpoint = asked_instead_of(admin);
    error_code ec;
    std::vector<Protocol::endpoint> addresses = addresses_of(context, endpoint, ec);
    if (ec || addresses.empty()) {
        reply.error = ec ? ec.message() : "the name has no address";
        return reply;
    }
    http::request<http::string_body> request{http::verb::post, target, 11};
    request.set(http::field::host, endpoint.unix_path.empty() ? endpoint.to_string() : "localhost");
    request.set(http::field::content_type, "application/json");
    request.set(http::field::connection, "close");
    if (!token.empty()) request.set(http::field::authorization, "Bearer " + token);
    request.body() = json;
    request.prepare_payload();
    auto ended = [&reply](std::exception_ptr failure) {
        if (failure && reply.error.empty()) reply.error = "the request could not be made";
    };
    asio::co_spawn(context, run_request(std::move(addresses), std::move(request), reply), std::move(ended));
    context.run();
    return reply;
}

}  // namespace larder::proxy
