// The client's side of a connection: bytes not yet consumed, bytes not yet taken by the kernel, and its deadlines.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "proxy/exchange/allowance.hpp"
#include "proxy/exchange/services.hpp"
#include "proxy/net/transport.hpp"
#include "rules/http/chunked.hpp"
#include "rules/http/head.hpp"

namespace larder::proxy {

/// Single-threaded.
class Client {
  public:
    Client(Services& services, Descriptor socket, std::string address)
        : transport(std::move(socket), services.context),
          deadline(transport),
          address(std::move(address)),
          services_(services)
    {
    }

    /// Hands the pieces to the kernel; what it does not take is kept and goes out with `flush`. `hold` keeps the memory
    /// of the last piece alive, which then is not copied. False: the client is gone.
    template <class Held>
    bool put(std::span<const iovec> pieces, const std::shared_ptr<Held>& hold)
    {
        const std::size_t rest = write_now(pieces);
        if (rest != 0) keep(pieces, rest, hold);
        return !gone_;
    }
    bool put(std::span<const iovec> pieces) { return put(pieces, std::shared_ptr<const void>()); }
    bool put(std::string_view bytes)
    {
        const iovec piece{const_cast<char*>(bytes.data()), bytes.size()};
        return put(std::span<const iovec>(&piece, 1));
    }
    /// Something is kept: `co_await flush()` before anything else is awaited.
    bool blocked() const noexcept { return !pending_.empty() || !held_.empty(); }
    asio::awaitable<bool> flush();
    bool gone() const noexcept { return gone_; }

    Transport transport;
    TransportDeadline deadline;
    std::string address;  // without port; empty for a unix socket
    std::string inbox;    // received, not consumed yet
    std::uint64_t sent_bytes = 0;

  private:
    /// Hands to the kernel what it takes at once. Returns the rest, in bytes.
    std::size_t write_now(std::span<const iovec> pieces);
    /// Keeps so many bytes at their end for `flush`.
    void keep(std::span<const iovec> pieces, std::size_t rest, std::shared_ptr<const void> hold);

    Services& services_;
    std::string pending_;
    std::string_view held_;
    std::shared_ptr<const void> hold_;
    bool gone_ = false;
};

/// Reads the body of one request from a client, decoded. Never reads past its end.
class RequestBody {
  public:
    RequestBody(Services& services, Client& client, const rules::RequestHead& head);

    enum class Kind : std::uint8_t { data, end, blocked, failed };
    struct Piece {
        Kind kind = Kind::failed;
        std::string_view data;  // until the next call or suspension
        rules::Errc error = rules::Errc::ok;
    };
    Piece next();
    asio::awaitable<bool> wait();
    /// Saves the unread bytes of the shared buffer. Call before suspending for anything but `wait`.
    void keep();
    bool ended() const noexcept { return ended_; }
    /// Moves the unread rest of what was received back to the client's inbox: the next request. After the last `next`.
    void give_back();
    /// Why `wait` has returned false: client_timeout or client_gone.
    rules::Errc fault() const noexcept;
    const std::string& trailers() const noexcept { return decoder_.trailers(); }

  private:
    Services& services_;
    Client& client_;
    /// Its own: the client's belongs to the answer, which may be under way meanwhile. It ends the wait and not the
    /// connection, since a 408 is still to be sent.
    class Stall final : public Deadline {
      public:
        explicit Stall(Transport& transport) : transport_(transport) {}
        bool expired = false;

      private:
        void on_expiry() noexcept override
        {
            expired = true;
            transport_.cancel_waits();
        }
        Transport& transport_;
    };
    Stall stall_;
    ClientAllowance allowance_;
    rules::BodyKind kind_;
    std::uint64_t left_;
    std::uint64_t seen_ = 0;
    bool ended_;
    std::string owned_;       // bytes taken from the inbox
    std::string_view input_;  // unread, in owned_ or in the shared read buffer
    bool input_shared_ = false;
    rules::ChunkedDecoder decoder_;
};

}  // namespace larder::proxy
