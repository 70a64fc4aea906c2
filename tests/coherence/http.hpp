// The little HTTP/1.1 that the checker speaks on both sides, made for speed: heads with Content-Length, nothing else.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <string>
#include <string_view>

namespace larder::tests {

namespace asio = boost::asio;
using asio::ip::tcp;
inline constexpr auto no_throw = asio::as_tuple(asio::use_awaitable);

/// The value of a field in a head, any case; empty when it is not there.
std::string_view find_field(std::string_view head, std::string_view name);
/// `%41` becomes `A`; dot segments are taken out: what an application sees of a path.
std::string decode_path(std::string_view path);

/// One message from a stream of them. `buffer` keeps what came after it.
struct Incoming {
    std::string_view head;  // with its empty line; both are views into the buffer until `consume`
    std::string_view body;
    std::size_t size = 0;
};

/// Reads until `buffer` begins with a whole message. False when the peer closed or broke the connection, or sent what
/// this does not understand.
asio::awaitable<bool> read_message(tcp::socket& socket, std::string& buffer, Incoming& message);
asio::awaitable<bool> write_all(tcp::socket& socket, const std::string& bytes);

}  // namespace larder::tests
