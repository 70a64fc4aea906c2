#include "proxy/upstream/fetch.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "proxy/net/clock.hpp"

namespace larder::proxy {

using rules::BodyKind;
using rules::Errc;
using rules::Scan;

Fetch::~Fetch()
{
    tell_end();
    if (connection_) pool_.counters().upstream_busy.fetch_sub(1, std::memory_order_relaxed);
    if (counted_) pool_.inflight().now.fetch_sub(1, std::memory_order_relaxed);
}

std::optional<Errc> Fetch::send(std::string_view head, std::string_view body, bool may_retry)
{
    request_head_ = head;
    request_body_ = body;
    may_retry_ = may_retry;
    if (InflightLimit& limit = pool_.inflight(); limit.most != 0 && !counted_) {
        counted_ = true;
        if (limit.now.fetch_add(1, std::memory_order_relaxed) >= limit.most) return error_ = Errc::upstream_busy;
    }
    pool_.counters().add(Counter::fetches);
    connection_ = pool_.take_idle(may_retry);
    if (!connection_) return std::nullopt;
    pool_.counters().upstream_busy.fetch_add(1, std::memory_order_relaxed);
    unsent_head_ = request_head_;
    unsent_body_ = request_body_;
    const std::optional<Errc> written = write_on();
    if (!written || !is_dead(*written)) return written;
    drop_connection();
    return std::nullopt;
}

asio::awaitable<Errc> Fetch::send_rest()
{
    if (connection_) {
        const Errc written = co_await write_rest();
        if (!is_dead(written)) co_return written;
        drop_connection();
    }
    co_return co_await reconnect();
}

// The reused connection had died before our request, which may be sent again.
bool Fetch::is_dead(Errc written) noexcept
{
    if (written == Errc::ok || !may_retry_ || connection_->transport.aborted() != Errc::ok) return false;
    pool_.counters().add(Counter::upstream_retries);
    return true;
}

void Fetch::drop_connection() noexcept
{
    if (!connection_) return;
    pool_.counters().upstream_busy.fetch_sub(1, std::memory_order_relaxed);
    connection_.reset();
}

asio::awaitable<Errc> Fetch::reconnect()
{
    drop_connection();
    rules::Result<UpstreamPtr> made = co_await pool_.connect();
    if (made.has_error()) co_return error_ = made.error();
    connection_ = std::move(*made);
    pool_.counters().upstream_busy.fetch_add(1, std::memory_order_relaxed);
    unsent_head_ = request_head_;
    unsent_body_ = request_body_;
    co_return co_await write_rest();
}

Errc Fetch::fault(Errc otherwise) noexcept
{
    return error_ = connection_->transport.aborted() != Errc::ok ? connection_->transport.aborted() : otherwise;
}

Errc Fetch::last_error() const noexcept
{
    return error_ == Errc::ok && connection_ ? connection_->transport.aborted() : error_;
}

std::optional<Errc> Fetch::write_on()
{
    touched_ = true;
    while (!unsent_head_.empty() || !unsent_body_.empty()) {
        const iovec pieces[2] = {{const_cast<char*>(unsent_head_.data()), unsent_head_.size()},
                                 {const_cast<char*>(unsent_body_.data()), unsent_body_.size()}};
        const IoTry written = connection_->transport.try_write(pieces);
        if (written.blocked()) {
            write_waits_for_ = written.wait_for;
            return std::nullopt;
        }
        if (!written.ok()) return fault(Errc::upstream_closed);
        const std::size_t of_head = std::min(unsent_head_.size(), written.bytes);
        unsent_head_.remove_prefix(of_head);
        unsent_body_.remove_prefix(written.bytes - of_head);
    }
    sent_at_ = recent_instant();
    return Errc::ok;
}

asio::awaitable<Errc> Fetch::write_rest()
{
    for (;;) {
        if (const std::optional<Errc> written = write_on()) co_return *written;
        connection_->deadline.arm(pool_.wheel(), pool_.options().idle_timeout, Errc::upstream_timeout);
        const bool ready = co_await connection_->transport.wait(write_waits_for_);
        if (!ready) co_return fault(Errc::upstream_closed);
    }
}

asio::awaitable<Errc> Fetch::read_head(bool to_head)
{
    for (bool ready = true;;) {
        if (const std::optional<Errc> taken = take_head(to_head, ready)) co_return *taken;
        if (!head_retry_) {
            ready = co_await wait_head();
            continue;
        }
        // The reused connection had died before our request: once more on a fresh one.
        head_retry_ = may_retry_ = false;
        pool_.counters().add(Counter::upstream_retries);
        const Errc again = co_await reconnect();
        if (again != Errc::ok) co_return again;
        connection_->deadline.arm(pool_.wheel(), pool_.options().first_byte_timeout, Errc::upstream_timeout);
        ready = true;
    }
}

std::optional<Errc> Fetch::take_head(bool to_head, bool may_read)
{
    if (!head_begun_) {
        head_begun_ = true;
        head_retry_ = false;
        // Bytes left over from an interim head come first.
        partial_ = std::string(input_);
        input_ = partial_;
        input_shared_ = false;
        head_received_ = !partial_.empty();
        // Interim heads buy no time, but 102, which is there to say that the answer takes long.
        if (!request_pending_ && (head_.status == 0 || head_.status == 102))
            connection_->deadline.arm(pool_.wheel(), pool_.options().first_byte_timeout, Errc::upstream_timeout);
    }
    for (;;) {
        if (!input_.empty()) {
            const Scan scan = rules::scan_response(input_, limits_, to_head, head_);
            if (scan == Scan::ok) break;
            if (scan != Scan::incomplete) {
                pool_.counters().add_head_fault(scan);
                return error_ = Errc::upstream_malformed;
            }
            if (input_shared_) {
                partial_.assign(input_);
                input_ = partial_;
                input_shared_ = false;
            }
        }
        if (may_read) {
            const IoTry got = connection_->transport.try_read(read_buffer_);
            if (got.ok()) {
                head_received_ = true;
                input_shared_ = partial_.empty();
                if (!input_shared_) partial_.append(read_buffer_.data(), got.bytes);
                input_ = input_shared_ ? std::string_view(read_buffer_.data(), got.bytes) : std::string_view(partial_);
                continue;
            }
            if (got.blocked()) {
                head_waits_for_ = got.wait_for;
                return std::nullopt;
            }
        }
        const bool aborted = connection_->transport.aborted() != Errc::ok;
        head_retry_ = !head_received_ && !aborted && connection_->reused && may_retry_;
        if (head_retry_) return std::nullopt;
        return fault(Errc::upstream_closed);
    }
    head_begun_ = false;
    // The head gets memory of its own, what follows stays where it is until `keep`.
    head_bytes_.assign(head_.bytes);
    head_.rebase(head_bytes_.data());
    input_.remove_prefix(head_bytes_.size());
    if (!input_shared_) {
        connection_->inbox.assign(input_);
        input_ = connection_->inbox;
    }
    if (head_.status < 200 && head_.status != 101) return Errc::ok;
    left_ = head_.body == BodyKind::length ? head_.content_length : 0;
    ended_ = head_.body == BodyKind::none || (head_.body == BodyKind::length && left_ == 0);
    connection_->deadline.arm(pool_.wheel(), pool_.options().idle_timeout, Errc::upstream_idle);
    return Errc::ok;
}

BodyPiece Fetch::next_piece(bool may_read)
{
    if (ended_) return {BodyPiece::Kind::end, {}, Errc::ok};
    for (;;) {
        if (input_.empty()) {
            if (!may_read) return {BodyPiece::Kind::none, {}, Errc::ok};
            const IoTry got = connection_->transport.try_read(read_buffer_);
            switch (got.kind) {
            case IoTry::Kind::ok:
                input_ = {read_buffer_.data(), got.bytes};
                input_shared_ = true;
                connection_->deadline.arm(pool_.wheel(), pool_.options().idle_timeout, Errc::upstream_idle);
                break;
            case IoTry::Kind::blocked: return {BodyPiece::Kind::blocked, {}, Errc::ok};
            case IoTry::Kind::end:
                if (head_.body == BodyKind::until_close) {
                    ended_ = true;
                    return {BodyPiece::Kind::end, {}, Errc::ok};
                }
                return {BodyPiece::Kind::failed, {}, fault(Errc::upstream_closed)};
            case IoTry::Kind::failed: return {BodyPiece::Kind::failed, {}, fault(Errc::upstream_closed)};
            }
        }
        if (head_.body == BodyKind::chunked) {
            std::string_view data;
            switch (decoder_.next(input_, data)) {
            case rules::ChunkedDecoder::Step::data: return {BodyPiece::Kind::data, data, Errc::ok};
            case rules::ChunkedDecoder::Step::need_more: continue;
            case rules::ChunkedDecoder::Step::done: ended_ = true; return {BodyPiece::Kind::end, {}, Errc::ok};
            case rules::ChunkedDecoder::Step::bad:
                return {BodyPiece::Kind::failed, {}, error_ = Errc::upstream_malformed};
            }
        }
        std::string_view data = input_;
        if (head_.body == BodyKind::length) {
            data = data.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(data.size(), left_)));
            left_ -= data.size();
            ended_ = left_ == 0;
        }
        input_.remove_prefix(data.size());
        return {BodyPiece::Kind::data, data, Errc::ok};
    }
}

asio::awaitable<bool> Fetch::wait_body()
{
    keep();
    if (!connection_->deadline.armed()) resume_deadline();
    if (!acknowledged_ && pool_.options().endpoint.unix_path.empty()) {
        // An upstream that writes head and body apart, with Nagle's algorithm on, holds the body back until the head is
        // acknowledged, which the kernel would put off for 40 ms.
        acknowledged_ = true;
        const int on = 1;
        ::setsockopt(connection_->transport.fd(), IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);
    }
    return connection_->transport.wait(Direction::read);
}

void Fetch::keep()
{
    if (input_.empty() || !input_shared_) return;
    connection_->inbox.assign(input_);
    input_ = connection_->inbox;
    input_shared_ = false;
}

void Fetch::finish()
{
    tell_end();
    if (!connection_) return;
    pool_.counters().upstream_busy.fetch_sub(1, std::memory_order_relaxed);
    // Bytes beyond the end belong to nobody: a connection that has sent some is not used again (RFC 9112 §9.3).
    const bool reusable = ended_ && head_.keep_alive && head_.body != BodyKind::until_close && input_.empty() &&
                          !upload_pending_ && connection_->transport.aborted() == Errc::ok;
    if (reusable) {
        connection_->inbox.clear();
        connection_->inbox.shrink_to_fit();
        pool_.put_back(std::move(connection_));
    }
    connection_.reset();
}

std::string Fetch::take_rest()
{
    std::string rest(input_);
    input_ = {};
    return rest;
}

}  // namespace larder::proxy
