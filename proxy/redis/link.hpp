// The connection of one worker thread to the server of one shard. All commands of a loop turn leave in one write;
// replies are matched in order. A missed deadline or a reply that cannot be understood fails everything under way and
// closes the connection, so that a late reply is never taken for another's. Knows nothing of entries or purges.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "proxy/net/asio.hpp"
#include "proxy/net/deadline.hpp"
#include "proxy/net/transport.hpp"
#include "proxy/observe/counters.hpp"
#include "proxy/redis/breaker.hpp"
#include "proxy/redis/locator.hpp"
#include "proxy/redis/reply_reader.hpp"
#include "proxy/redis/resp.hpp"
#include "rules/base/errors.hpp"

namespace larder::proxy {

/// A command under way, or several that were sent together. Belongs to whoever sent it and lives until `complete` or
/// `abandon`, of which exactly one is called.
class LinkOperation {
  public:
    /// Called on the loop, outside of `send`. May send again. An error reply of the server is a value here.
    virtual void complete(rules::Result<Reply>&& reply) = 0;
    /// Called instead when the operation was made for a reply of so many texts, and that is what has come, all at once:
    /// views into what was read, valid within the call. Empty: nil.
    /// @param large  the block of the first text, if that has one: to take it is to keep the text
    virtual void complete_in_place(std::span<const std::optional<std::string_view>>, std::unique_ptr<char[]>&) {}
    /// Called before, for each command but the last of several, unless the link ends first. Sends nothing.
    virtual void take_earlier(const Reply&) {}
    /// The link is destroyed with the operation still under way: free what is held, resume nobody.
    virtual void abandon() noexcept = 0;

  protected:
    /// @param texts  0: always `complete`
    explicit LinkOperation(StoreOperation operation = StoreOperation::log, std::uint8_t texts = 0)
        : operation_(operation), texts_(texts)
    {
    }
    static constexpr std::size_t most_texts = 2;
    ~LinkOperation() = default;

    /// When it was sent, or up to a turn of the loop earlier.
    rules::Instant sent() const noexcept { return sent_; }

  private:
    friend class Link;
    LinkOperation* next_ = nullptr;
    rules::Instant sent_;
    StoreOperation operation_;  // for histogram and log
    std::uint8_t texts_;        // that its reply has, as a rule
    std::uint8_t earlier_ = 0;  // replies that are due before its own
};

/// Single-threaded: everything happens on the thread that runs the io_context. The io_context must not run any more
/// after the link is destroyed.
class Link {
  public:
    /// @param tls      null without TLS; must outlive the link
    /// @param locator  of this link alone; must outlive it
    Link(asio::io_context& context, DeadlineWheel& wheel, const config::Store& store, const TlsContext* tls,
         Counters& counters, Locator& locator);
    ~Link();
    Link(const Link&) = delete;
    Link& operator=(const Link&) = delete;

    /// Asks where the server is, connects, reads, reconnects: until `stop`, with the pauses of the breaker. Spawn once.
    asio::awaitable<void> run();

    /// Fails what is under way with shutting_down and ends `run`. For good.
    void stop() noexcept;

    /// Number of the connection in use, counted from 1; 0: none now.
    std::uint64_t connection() const noexcept { return breaker_.is_closed() ? connections_count_ : 0; }
    /// The same as a question that any thread may ask.
    bool is_up() const noexcept { return breaker_.is_closed(); }

    /// The server of the present attempt or connection, as text; empty: not located yet.
    const std::string& server() const noexcept { return server_; }

    /// Sends one command and waits for its reply. `args` and what they point to must live until then: name them in the
    /// awaiting frame. An error reply of the server is a value (`Reply::is_error`).
    /// Errors: store_unreachable (at once while there is no connection), store_timeout, store_malformed, shutting_down.
    /// Cancellation is not supported: the operation ends by its own deadline.
    asio::awaitable<rules::Result<Reply>> execute(std::span<const std::string_view> args,
                                                  StoreOperation operation = StoreOperation::log);

    /// The same without a coroutine: `operation.complete` is called later, never from within.
    /// @return false: not sent, `operation` is not touched; why: `send_error()`
    bool send(LinkOperation& operation, std::span<const std::string_view> args);
    /// The same of several commands that leave together: the reply of the last completes the operation, which is not
    /// one for texts. An error of an earlier one is counted and logged too.
    bool send_all(LinkOperation& operation, std::initializer_list<std::span<const std::string_view>> commands);
    /// The same of the commands that the frame is with those rests in it. Of one command the operation may be for
    /// texts.
    bool send(LinkOperation& operation, const CommandFrame& frame, std::span<const CommandFrame::Rest> rests);
    rules::Errc send_error() const noexcept;

    /// Changes when commands leave: what was sent in the present batch is still here.
    std::uint64_t batch() const noexcept { return batch_; }

    Counters& counters() noexcept { return counters_; }
    asio::io_context& context() noexcept { return context_; }

  private:
    // Asks a server that may be deposed for its role, once a second.
    class RolePoll final : public LinkOperation, public Deadline {
      public:
        explicit RolePoll(Link& link) : link_(link) {}
        void arm();
        void complete(rules::Result<Reply>&& reply) override;
        void abandon() noexcept override {}

      private:
        void on_expiry() noexcept override;
        Link& link_;
    };

    asio::awaitable<void> attempt(const config::Endpoint& server);
    asio::awaitable<std::string> set_up(Transport& transport);
    asio::awaitable<void> run_replies(Transport& transport);
    asio::awaitable<void> pause();
    /// The attempt under way still is: nobody has stopped it or named another server.
    bool is_wanted() const noexcept { return !breaker_.is_stopped() && !breaker_.is_relocated(); }
    bool take_reply(rules::Instant now);
    LinkOperation& take_oldest(rules::Instant now);
    void deliver(rules::Result<Reply>&& reply, rules::Instant now);
    void heed_error(const Reply& reply, rules::Instant now);
    void heed(const Redirect& redirect, std::string_view error, rules::Instant now);
    void log_error(std::string_view text, rules::Instant now);
    void relocate();

    bool begin_command();
    void await_reply(LinkOperation& operation, std::size_t earlier) noexcept;
    void flush();
    void write_some();
    void arm_timer(std::chrono::nanoseconds after);
    void on_timer();
    void lose(rules::Errc why, std::string_view reason, const Redirect& doubt = {});
    void end(rules::Errc why);
    void fail_all(rules::Errc why);
    void log_up();
    void log_down(std::string_view reason, bool from_server);
    void log_state(config::LogLevel level, std::string_view event, std::string_view reason);

    asio::io_context& context_;
    DeadlineWheel& wheel_;
    config::Store store_;
    const TlsContext* tls_;
    Counters& counters_;
    Locator& locator_;

    std::string server_;       // of the present attempt or connection, as text; empty: not located yet
    std::string last_server_;  // of the last connection
    bool role_is_told_ = false;
    RolePoll role_poll_{*this};

    Transport* transport_ = nullptr;  // of the present attempt or connection; lives in run's frame
    Breaker breaker_;
    std::uint64_t connections_count_ = 0;

    std::string out_;  // commands; those before `written_` are with the kernel
    std::size_t written_ = 0;
    bool flush_posted_ = false;
    std::uint64_t batch_ = 1;
    bool write_waits_ = false;           // for the socket to take more
    bool write_waits_for_read_ = false;  // TLS: the reader tries again
    rules::Instant turn_time_;           // when the first command of this loop turn came

    LinkOperation* oldest_ = nullptr;
    LinkOperation* newest_ = nullptr;
    asio::steady_timer timer_;
    bool timer_armed_ = false;

    ReplyReader reader_;
    rules::Result<Reply> delivered_ = Reply{};  // what is left of it, for the next

    asio::steady_timer pause_timer_;
    std::minstd_rand random_;
    std::string logged_reason_;
    rules::Instant slow_logged_, error_logged_;
};

}  // namespace larder::proxy
