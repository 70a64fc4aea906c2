// The clients' side of one worker: accepts connections and runs one coroutine for each. See connection.cpp for its
// loop.
#pragma once

#include <atomic>
#include <boost/intrusive/list.hpp>
#include <memory>

#include "proxy/exchange/exchange.hpp"
#include "proxy/server/listener.hpp"

namespace larder::proxy {

/// Client connections of the whole process, for the limit.
struct ConnectionLimit {
    std::atomic<std::uint32_t> open{0};
    std::uint32_t most = UINT32_MAX;
    static constexpr std::uint32_t told_at_once = 64;  // so many above it are told why; more are closed at once
};

/// Single-threaded.
class Server {
  public:
    Server(Services& services, Listener& listener, ConnectionLimit& limit)
        : services_(services), listener_(listener), limit_(limit)
    {
    }

    /// Accepts until `stop_accepting`.
    asio::awaitable<void> run_listener();
    /// No new connections; idle ones end now, busy ones after their answer.
    void stop_accepting() noexcept;
    /// Ends every connection where it stands.
    void abort_all() noexcept;
    std::size_t open_connections() const noexcept { return open_count_; }

  private:
    /// Ends the wait for a request, not the connection: a 408 may be due.
    class Patience final : public Deadline {
      public:
        explicit Patience(Transport& transport) : transport_(transport) {}
        bool expired = false;

      private:
        void on_expiry() noexcept override
        {
            expired = true;
            transport_.cancel_waits();
        }
        Transport& transport_;
    };

    struct Connection : boost::intrusive::list_base_hook<> {
        Connection(Services& services, Descriptor socket, std::string address)
            : client(services, std::move(socket), std::move(address)), patience(client.transport)
        {
        }
        Client client;
        Patience patience;
        bool idle = false;  // waits for a request, of which nothing has come yet
    };

    class Registration;
    asio::awaitable<void> run_connection(Descriptor socket, std::string address);
    asio::awaitable<void> serve_connection(Connection& connection);
    asio::awaitable<bool> serve_requests(Connection& connection, std::string_view received);
    /// 503 before anything is read, then the end.
    asio::awaitable<void> run_refusal(Descriptor socket, std::string address);
    void refuse_head(Client& client, int status, std::string_view word, std::string_view text,
                     std::string_view extra_fields = {});
    asio::awaitable<void> linger(Connection& connection);

    Services& services_;
    Listener& listener_;
    ConnectionLimit& limit_;
    boost::intrusive::list<Connection> connections_;
    std::size_t open_count_ = 0;
    Exchange scratch_;  // of hits, which never suspend
    bool accepting_ = true;
};

}  // namespace larder::proxy
