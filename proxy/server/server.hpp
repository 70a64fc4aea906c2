// The clients' side of one worker: accepts connections, answers hits on them, and runs a coroutine for each that needs
// one. See connection.cpp.
#pragma once

#include <atomic>
#include <boost/intrusive/list.hpp>
#include <memory>

#include "proxy/exchange/exchange.hpp"
#include "proxy/exchange/lookup.hpp"
#include "proxy/server/listener.hpp"

namespace larder::proxy {

/// Client connections of the whole process, for the limit.
struct ConnectionLimit {
    std::atomic<std::uint32_t> open{0};
    std::atomic<std::uint32_t> most{UINT32_MAX};       // changes when the configuration is reloaded
    static constexpr std::uint32_t told_at_once = 64;  // so many above it are told why; more are closed at once
};

/// Single-threaded.
class Server {
  public:
    Server(Services& services, Listener& listener, ConnectionLimit& limit)
        : services_(services), listener_(listener), limit_(limit), scratch_(services.exchanges.take())
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

    /// Stands in the list of open ones and counts as a task for as long as it lives. Belongs to its coroutine or, while
    /// it has none, to the wait for its next bytes, or for what the shared store has.
    struct Connection final : Completion<bool>, Completion<std::optional<Found>>, boost::intrusive::list_base_hook<> {
        Connection(Server& server, Listener::Accepted accepted);
        ~Connection();
        /// The wait for its next request is over.
        void complete(bool&& ready) override;
        /// The shared store has said what it has of `asking`.
        void complete(std::optional<Found>&& found) override;
        void abandon() noexcept override { delete this; }
        Server& server;
        Tasks::Hold hold;
        Client client;
        Patience patience;
        ExchangePtr asking;  // waits for the shared store
        bool idle = false;   // waits for a request, of which nothing has come yet
    };
    using ConnectionPtr = std::unique_ptr<Connection>;

    /// Why answering what has been received went no further.
    enum class Stop : std::uint8_t {
        drained,   // what is left is no whole head
        exchange,  // the next request, in `scratch_` or an exchange of its own, is no hit that needs no waiting
        blocked,   // the client does not take its answers
        end,       // the connection is to be closed
    };

    template <class Step>
    class Answering;
    void wait_for_request(ConnectionPtr connection);
    void on_readable(ConnectionPtr connection, bool ready);
    bool may_read_once_more(const Client& client) const noexcept;
    Stop answer_hits(Connection& connection, std::string_view& input);
    void go_on(ConnectionPtr connection, Stop stop, std::string_view input);
    /// Not part of `go_on`, which is on the path of each hit and needs none of what a coroutine does.
    [[gnu::noinline]] void go_on_in_coroutine(ConnectionPtr connection, Stop stop, std::string_view input,
                                              ExchangePtr exchange);
    ExchangePtr take_request(Client& client, std::string_view input);
    bool begin_at_once(ConnectionPtr& connection, ExchangePtr& exchange, std::string_view input);
    bool ask(ConnectionPtr& connection, ExchangePtr& exchange);
    template <class Step>
    void wait_for_answer(ConnectionPtr connection, ExchangePtr exchange, std::unique_ptr<Step> step);
    void on_found(ConnectionPtr connection, ExchangePtr exchange, std::optional<Found>&& found);
    void on_answered(ConnectionPtr connection, Exchange& exchange);
    void go_on_after(ConnectionPtr connection, const Exchange& exchange);
    asio::awaitable<void> run_connection(ConnectionPtr owned, Stop stop, std::string_view input, ExchangePtr exchange,
                                         std::optional<Found> found, Begun begun);
    /// 503 before anything is read, then the end.
    asio::awaitable<void> run_refusal(ConnectionPtr owned);
    void refuse_head(Client& client, int status, std::string_view word, std::string_view text,
                     std::string_view extra_fields = {});
    asio::awaitable<void> linger(Connection& connection);

    Services& services_;
    Listener& listener_;
    ConnectionLimit& limit_;
    boost::intrusive::list<Connection> connections_;
    std::size_t open_count_ = 0;
    ExchangePtr scratch_;           // the request that is being read; handed on when it has to wait
    std::optional<Looked> looked_;  // what memory said of the request in `scratch_`, in this turn
    bool accepting_ = true;
};

}  // namespace larder::proxy
