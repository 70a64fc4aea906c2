// What a forwarded exchange is made of on its way: shared by forward.cpp, forward_bodies.cpp and tunnel.cpp.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "proxy/exchange/forward.hpp"

namespace larder::proxy {

/// The request's body on its way up, while the response may come down already. Shared by the two coroutines, one
/// thread.
struct Forwarding::Upload {
    explicit Upload(asio::io_context& context) : finished(context) {}
    bool done = false;  // the whole body has been sent
    bool stop = false;  // nobody wants the rest
    WakeUp finished;    // the coroutine has ended
};

/// A transfer gives way to the worker's other connections after so much without waiting.
inline constexpr std::size_t turn_bytes = 1024 * 1024;

inline iovec piece_of(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

/// A chunk's size line, in `buffer`.
std::string_view size_line(std::array<char, 20>& buffer, std::size_t size);
/// The last chunk, with the trailer lines that may travel on: none that would change framing, routing, caching or
/// identity (RFC 9110 §6.5.1).
std::string end_of_chunks(const std::string& trailers);

}  // namespace larder::proxy
