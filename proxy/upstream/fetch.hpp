// One request to the upstream and its response, on one connection: sends the head, retries once when a reused
// connection had died, reads the head, then hands out the body piece by piece without copying. The framing is checked
// here: whoever sees `end` has the whole body.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "proxy/net/waiter.hpp"
#include "proxy/upstream/pool.hpp"
#include "rules/http/chunked.hpp"
#include "rules/http/head.hpp"

namespace larder::proxy {

/// What the next piece of a body is.
struct BodyPiece {
    enum class Kind : std::uint8_t { data, end, blocked, failed, none } kind = Kind::failed;
    std::string_view data;                // with data: valid until the next read or suspension
    rules::Errc error = rules::Errc::ok;  // with failed
};

class Fetch;

/// Told once how a fetch has ended, whatever ended it.
class FetchWatch {
  public:
    virtual ~FetchWatch() = default;
    virtual void on_end(const Fetch& fetch) noexcept = 0;
};

class Fetch {
  public:
    /// @param read_buffer  shared by everything on this thread: its bytes are ours only between a read and the next
    ///                     suspension; `keep` saves what is left
    Fetch(UpstreamPool& pool, std::span<char> read_buffer, const rules::HeadLimits& limits)
        : pool_(pool), read_buffer_(read_buffer), limits_(limits)
    {
    }
    ~Fetch();
    Fetch(const Fetch&) = delete;
    Fetch& operator=(const Fetch&) = delete;

    /// Sends the request head and what there is of the body, as far as that needs no waiting; empty: `co_await
    /// send_rest()`, which connects or waits for room. Both must live until `read_head` has returned: they are sent
    /// again when `may_retry` and a reused connection turns out to be dead before the first byte of its answer. Errors:
    /// upstream_*; upstream_busy when `limits.inflight` requests are under way.
    std::optional<rules::Errc> send(std::string_view head, std::string_view body, bool may_retry);
    asio::awaitable<rules::Errc> send_rest();

    /// Reads one response head, interim ones (1xx) too: call again after those. 101 is final.
    asio::awaitable<rules::Errc> read_head(bool to_head);
    /// What of that needs no waiting. Empty: `co_await wait_head()` and call again, or `co_await read_head(to_head)`,
    /// which goes on from here and connects anew where it has to.
    /// @param may_read  false: the wait for more has failed
    std::optional<rules::Errc> take_head(bool to_head, bool may_read = true);
    /// False: the wait was ended, the fetch is over.
    asio::awaitable<bool> wait_head() { return connection_->transport.wait(head_waits_for_); }
    /// The same for who is no coroutine: `waiting` is told later, never from within.
    void when_head_comes(Completion<bool>& waiting) { connection_->transport.when_ready(head_waits_for_, waiting); }
    const rules::ResponseHead& head() const noexcept { return head_; }

    /// The next piece of the body. `blocked`: `co_await wait_body()`, then call again.
    BodyPiece next_body() { return next_piece(true); }
    /// The same without reading, so that pieces given before stay valid: `none` when only a read could tell.
    BodyPiece next_received() { return next_piece(false); }
    asio::awaitable<bool> wait_body();
    /// While the client is waited for, the upstream's silence is not its fault.
    void pause_deadline() noexcept { connection_->deadline.disarm(); }
    void resume_deadline() noexcept
    {
        connection_->deadline.arm(pool_.wheel(), pool_.options().idle_timeout, rules::Errc::upstream_idle);
    }
    /// A body of known length, all of which has been received: `next_received` gives it.
    bool has_whole_body() const noexcept { return head_.body == rules::BodyKind::length && input_.size() >= left_; }
    /// Saves the unread bytes of the shared buffer. Call before suspending for anything else than this fetch.
    void keep();
    const std::string& trailers() const noexcept { return decoder_.trailers(); }

    /// The body has ended: gives the connection back to the pool if it may be used again.
    void finish();
    /// Ends everything that waits on this fetch.
    void abort(rules::Errc why) noexcept
    {
        if (connection_) connection_->transport.abort(why);
    }

    /// For uploads and tunnels; null before `send`.
    UpstreamConnection* connection() noexcept { return connection_.get(); }
    /// Bytes after a 101 head.
    std::string take_rest();
    rules::Instant sent_at() const noexcept { return sent_at_; }
    void watch(std::unique_ptr<FetchWatch> watch) noexcept { watch_ = std::move(watch); }
    /// The whole answer has been read.
    bool is_whole() const noexcept { return has_final_head() && ended_; }
    /// What went wrong last; it may have been mended by a retry.
    rules::Errc last_error() const noexcept;
    /// Bytes of the request may have reached the upstream.
    bool touched() const noexcept { return touched_; }
    void upload_pending(bool pending) noexcept { upload_pending_ = pending; }
    /// The client owes a part of the request's body yet: until it is here no answer can be late.
    void request_pending(bool pending) noexcept { request_pending_ = pending; }
    bool has_final_head() const noexcept { return head_.status == 101 || head_.status >= 200; }

  private:
    BodyPiece next_piece(bool may_read);
    /// Empty: the connection takes no more just now.
    std::optional<rules::Errc> write_on();
    asio::awaitable<rules::Errc> write_rest();
    asio::awaitable<rules::Errc> reconnect();
    bool is_dead(rules::Errc written) noexcept;
    void drop_connection() noexcept;
    rules::Errc fault(rules::Errc otherwise) noexcept;
    void tell_end() noexcept
    {
        if (watch_) std::exchange(watch_, nullptr)->on_end(*this);
    }

    UpstreamPool& pool_;
    std::span<char> read_buffer_;
    const rules::HeadLimits& limits_;
    UpstreamPtr connection_;
    std::string_view request_head_, request_body_;
    std::string_view unsent_head_, unsent_body_;
    Direction write_waits_for_ = Direction::write;
    bool may_retry_ = false;
    bool upload_pending_ = false;
    bool request_pending_ = false;
    bool ended_ = false;
    bool touched_ = false;
    bool acknowledged_ = false;  // the head, by TCP
    bool counted_ = false;       // among those under way
    // A head that is being read:
    bool head_begun_ = false;
    bool head_received_ = false;  // a byte of it
    bool head_retry_ = false;     // the connection has died, a fresh one is to be made
    Direction head_waits_for_ = Direction::read;
    std::string partial_;  // what there is of it, unless `read_buffer_` has it all
    rules::ResponseHead head_;
    std::string head_bytes_;
    std::string_view input_;  // unread bytes, in the connection's inbox or the shared buffer
    bool input_shared_ = false;
    std::uint64_t left_ = 0;
    rules::ChunkedDecoder decoder_;
    rules::Instant sent_at_{};
    std::unique_ptr<FetchWatch> watch_;
    rules::Errc error_ = rules::Errc::ok;
};

}  // namespace larder::proxy
