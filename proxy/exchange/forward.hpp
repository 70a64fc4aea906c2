// One exchange with the upstream that is streamed through, both ways, with back-pressure: the request's body goes up
// while the response may come down already. Used by pass, by writes, and by a fill whose answer turned out unstorable.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "proxy/exchange/client.hpp"
#include "proxy/exchange/client_watch.hpp"
#include "proxy/exchange/exchange.hpp"
#include "proxy/exchange/heads.hpp"
#include "proxy/upstream/fetch.hpp"

namespace larder::proxy {

class Forwarding {
  public:
    Forwarding(Services& services, Client& client, ExchangePtr exchange);
    /// Takes over a fetch whose response head has been read.
    Forwarding(Services& services, Client& client, ExchangePtr exchange, std::unique_ptr<Fetch> fetch);
    ~Forwarding();

    /// Reads up to `limit` bytes of the request's body before anything is sent, for writes whose body names what to
    /// purge. `whole` says whether that was all of it. Errors: client_*, body_too_large.
    struct Buffered {
        rules::Errc error = rules::Errc::ok;
        bool whole = false;
    };
    asio::awaitable<Buffered> buffer_body(std::size_t limit);
    const std::string& buffered() const noexcept { return buffered_; }

    /// Sends the request and reads the response's head; interim heads go to the client as they come. The rest of a
    /// large request body goes up meanwhile. Errors: upstream_*, client_*.
    asio::awaitable<rules::Errc> request();
    /// The same for the usual case, in which nothing need be a coroutine: sends the request if that needs no waiting.
    /// Then `co_await wait_for_answer()`, and `take_answer()` says whether the head of the final answer has come. When
    /// either says false, `co_await request()` does what is left.
    bool send_at_once();
    asio::awaitable<bool> wait_for_answer() { return fetch_->wait_head(); }
    bool take_answer(bool ready);
    /// The same for whoever is no coroutine: `waiting` is told later, never from within; then `answer_at_once`.
    bool begin_at_once(Completion<bool>& waiting)
    {
        if (!send_at_once()) return false;
        fetch_->when_head_comes(waiting);
        return true;
    }
    /// Hands the answer to the client if all of it is here. Then `flush` the client. False: `run_exchange` goes on.
    bool answer_at_once(bool ready) { return take_answer(ready) && respond_at_once(); }
    /// `take_answer` has said so.
    bool is_answered() const noexcept { return is_answered_; }
    const rules::ResponseHead& response() const noexcept { return fetch_->head(); }
    /// Nothing of the request has reached the upstream: it cannot have acted on it.
    bool never_sent() const noexcept { return !sent_; }

    /// Gives up before `request`: decides what becomes of the unread body, and so of the connection. Call before
    /// refusing.
    void abandon();

    /// The caller awaits something else before it responds.
    void keep() { fetch_->keep(); }

    /// Hands the response to the client when all of it has been received: no coroutine is needed for that. Then `flush`
    /// the client. False: nothing was done, `co_await respond()`.
    bool respond_at_once();
    /// Hands the response to the client, or tunnels after a 101. A response that is cut is cut for the client too.
    asio::awaitable<void> respond();
    /// The rest of a response whose head and beginning the client has already.
    asio::awaitable<void> respond_rest(Framing framing);

  private:
    struct Upload;
    /// The request's head and what is here of its body. Errors: client_*.
    rules::Errc compose();
    /// Composes it and sends what needs no waiting; `written_` says how far that came. Errors: client_*.
    rules::Errc begin();
    bool is_whole() const noexcept { return !body_ || body_whole_; }
    void watch_client();
    asio::awaitable<void> run_upload(std::shared_ptr<Upload> upload);
    asio::awaitable<void> end_upload();
    asio::awaitable<rules::Errc> read_final_head();
    /// The head of the answer in place of what `text` holds; how its body is framed.
    Framing append_head(std::string& text);
    asio::awaitable<void> relay_body(Framing framing);
    asio::awaitable<void> tunnel();

    Services& services_;
    Client& client_;
    ExchangePtr exchange_;
    std::unique_ptr<Fetch> fetch_;
    std::unique_ptr<RequestBody> body_;
    std::shared_ptr<Upload> upload_;
    std::optional<ClientWatch> watch_;  // of a read, once it is sent
    std::string buffered_;              // decoded body read ahead
    bool body_whole_ = false;           // `buffered_` is all of it
    bool continued_ = false;            // we have sent 100 Continue ourselves
    bool sent_ = false;
    bool begun_ = false;
    std::optional<rules::Errc> written_;    // what sending said; empty: it has to wait
    std::optional<rules::Errc> head_read_;  // what `take_answer` found, for `request`
    bool is_answered_ = false;
    std::string request_head_;
    std::string request_body_;  // framed, what is sent with the head
};

}  // namespace larder::proxy
