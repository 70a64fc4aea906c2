// Short names for Asio, and the one completion token of this program: errors as values, never exceptions.
#pragma once

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/error_code.hpp>

namespace larder::proxy {

namespace asio = boost::asio;
using boost::system::error_code;

inline constexpr auto no_throw = asio::as_tuple(asio::use_awaitable);

}  // namespace larder::proxy
