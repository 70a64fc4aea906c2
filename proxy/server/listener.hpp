// The listening socket of one worker: every worker has its own (SO_REUSEPORT), so that the kernel spreads connections
// and no accept is shared. Connections are taken in batches.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <string>

#include "config/config.hpp"
#include "proxy/net/asio.hpp"
#include "proxy/net/transport.hpp"

namespace larder::proxy {

class Listener {
  public:
    explicit Listener(asio::io_context& context) : socket_(context) {}
    ~Listener();

    /// Binds and listens. Returns what is wrong, in words; empty: listening.
    /// @param joins  another worker of this process listens there already
    std::string open(const config::Endpoint& endpoint, bool joins);
    /// Listens on the same unix socket as another worker's: those cannot be bound twice.
    std::string share(const Listener& other);
    /// The port in use, also when 0 was asked for.
    std::uint16_t port() const noexcept { return port_; }

    /// The next connection, and its peer's address without port. Empty optional: none just now (`wait`).
    struct Accepted {
        Descriptor socket;  // does not block
        std::string address;
    };
    enum class Try : std::uint8_t { accepted, none, exhausted };  // exhausted: no file descriptors or memory left
    Try try_accept(std::optional<Accepted>& accepted);
    asio::awaitable<bool> wait();
    void close() noexcept;

  private:
    asio::posix::stream_descriptor socket_;
    std::uint16_t port_ = 0;
    std::string unlink_path_;
};

}  // namespace larder::proxy
