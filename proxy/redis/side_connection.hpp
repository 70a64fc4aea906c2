// A connection for a question or two, or for listening: to a sentinel, or to a node of a cluster about the others.
// Entries and purges go over links, never here.
#pragma once

#include <string>
#include <vector>

#include "proxy/net/transport.hpp"
#include "proxy/redis/reply_reader.hpp"

namespace larder::proxy {

/// Single-threaded. Lives in the frame of whoever asks.
class SideConnection {
  public:
    SideConnection(asio::io_context& context, DeadlineWheel& wheel);

    /// Connects and logs in, within `timeout` each. What went wrong, in words; empty: nothing.
    /// @param tls  null without TLS
    asio::awaitable<std::string> open(config::Endpoint endpoint, const TlsContext* tls, std::string user,
                                      std::string password, rules::Milliseconds timeout);

    asio::awaitable<bool> send(std::vector<std::string> words, rules::Milliseconds timeout);
    /// The next reply, or message of a subscription. store_timeout: none came in time, and the connection is as good
    /// as before. Any other error: it is not.
    asio::awaitable<rules::Result<Reply>> next(rules::Milliseconds timeout);
    /// `send` and `next`.
    asio::awaitable<rules::Result<Reply>> ask(std::vector<std::string> words, rules::Milliseconds timeout);

    /// Ends whatever waits, for good.
    void abort() noexcept { transport_.abort(rules::Errc::shutting_down); }

  private:
    DeadlineWheel& wheel_;
    Transport transport_;
    ReplyReader reader_{16 * 1024};
};

/// The words for a connection attempt that failed: the transport speaks of the upstream.
std::string_view connect_reason(rules::Errc error) noexcept;

}  // namespace larder::proxy
