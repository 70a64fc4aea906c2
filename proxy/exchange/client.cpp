#include "proxy/exchange/client.hpp"

namespace larder::proxy {

using rules::Errc;

namespace {

// Ends the wait for a client that does not take its answer. The kernel gives the word that there is room only when a
// third of its buffer is free, which may be megabytes: who is slow is told from who takes nothing by what the peer has
// acknowledged.
class TakeDeadline final : public Deadline {
  public:
    TakeDeadline(Services& services, Transport& transport)
        : services_(services),
          transport_(transport),
          allowance_(services.config->timeouts.client_body, services.config->limits.client_rate),
          queued_(transport.unacknowledged())
    {
    }

    void written(std::uint64_t bytes) noexcept { queued_ += bytes; }
    /// False: it has been waited for long enough; the transport is aborted.
    bool begin_wait() noexcept
    {
        note_taken();
        const rules::Milliseconds left = allowance_.begin_wait();
        if (left.count() == 0) return give_up();
        arm(services_.wheel, left);
        return true;
    }
    void end_wait() noexcept
    {
        disarm();
        allowance_.end_wait();
    }

  private:
    bool note_taken() noexcept
    {
        const std::uint64_t left = std::min(transport_.unacknowledged(), queued_);
        const std::uint64_t taken = queued_ - left;
        queued_ = left;
        allowance_.moved(taken);
        return taken != 0;
    }
    bool give_up() noexcept
    {
        services_.counters.add(Counter::client_timeouts);
        if (allowance_.by_rate()) services_.counters.add(Counter::clients_too_slow);
        transport_.abort(Errc::client_timeout);
        return false;
    }
    void on_expiry() noexcept override
    {
        allowance_.end_wait();
        if (note_taken() || allowance_.by_rate())
            begin_wait();
        else
            give_up();
    }

    Services& services_;
    Transport& transport_;
    ClientAllowance allowance_;
    std::uint64_t queued_;  // written, and not acknowledged when it was last looked
};

}  // namespace

std::size_t Client::write_now(std::span<const iovec> pieces)
{
    if (gone_) return 0;
    std::size_t total = 0;
    for (const iovec& piece : pieces) total += piece.iov_len;
    sent_bytes += total;
    std::size_t taken = 0;
    if (!blocked()) {
        const IoTry written = transport.try_write(pieces);
        if (written.ok()) {
            taken = written.bytes;
        } else if (!written.blocked()) {
            gone_ = true;
            return 0;
        }
    }
    services_.counters.add(Counter::bytes_out, total);
    return total - taken;
}

void Client::keep(std::span<const iovec> pieces, std::size_t rest, std::shared_ptr<const void> hold)
{
    std::size_t total = 0;
    for (const iovec& piece : pieces) total += piece.iov_len;
    std::size_t taken = total - rest;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        std::string_view left(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
        const std::size_t skip = std::min(taken, left.size());
        left.remove_prefix(skip);
        taken -= skip;
        if (hold && i + 1 == pieces.size() && held_.empty()) {
            held_ = left;
            hold_ = std::move(hold);
        } else {
            pending_.append(left);
        }
    }
}

asio::awaitable<bool> Client::flush()
{
    std::size_t done = 0;
    TakeDeadline taking(services_, transport);
    while (done < pending_.size() || !held_.empty()) {
        const std::string_view rest = std::string_view(pending_).substr(done);
        const iovec pieces[2] = {{const_cast<char*>(rest.data()), rest.size()},
                                 {const_cast<char*>(held_.data()), held_.size()}};
        const IoTry written = transport.try_write(pieces);
        if (written.ok()) {
            const std::size_t of_pending = std::min(rest.size(), written.bytes);
            done += of_pending;
            held_.remove_prefix(written.bytes - of_pending);
            taking.written(written.bytes);
            continue;
        }
        if (written.blocked()) {
            bool ready = false;
            if (taking.begin_wait()) {
                ready = co_await transport.wait(written.wait_for);
                taking.end_wait();
            }
            // A wait may be ended on behalf of the other direction: only an abort ends this one.
            if (ready || (transport.aborted() == Errc::ok && transport.is_open())) continue;
        }
        gone_ = true;
        break;
    }
    pending_.clear();
    if (pending_.capacity() > 64 * 1024) pending_.shrink_to_fit();
    held_ = {};
    hold_.reset();
    co_return !gone_;
}

RequestBody::RequestBody(Services& services, Client& client, const rules::RequestHead& head)
    : services_(services),
      client_(client),
      stall_(client.transport),
      allowance_(services.config->timeouts.client_body, services.config->limits.client_rate),
      kind_(head.body),
      left_(head.content_length),
      ended_(head.body == rules::BodyKind::none),
      owned_(std::move(client.inbox)),
      input_(owned_)
{
    client_.inbox.clear();
}

RequestBody::Piece RequestBody::next()
{
    if (ended_) return {Kind::end, {}, Errc::ok};
    const std::uint64_t limit = services_.config->limits.request_body;
    for (;;) {
        if (input_.empty()) {
            const IoTry got = client_.transport.try_read(services_.read_buffer);
            if (got.blocked()) return {Kind::blocked, {}, Errc::ok};
            if (!got.ok()) return {Kind::failed, {}, fault()};
            services_.counters.add(Counter::bytes_in, got.bytes);
            allowance_.moved(got.bytes);
            input_ = {services_.read_buffer.data(), got.bytes};
            input_shared_ = true;
        }
        std::string_view data;
        if (kind_ == rules::BodyKind::chunked) {
            switch (decoder_.next(input_, data)) {
            case rules::ChunkedDecoder::Step::data: break;
            case rules::ChunkedDecoder::Step::need_more: continue;
            case rules::ChunkedDecoder::Step::done: ended_ = true; return {Kind::end, {}, Errc::ok};
            case rules::ChunkedDecoder::Step::bad: return {Kind::failed, {}, Errc::client_malformed};
            }
        } else {
            data = input_.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(input_.size(), left_)));
            input_.remove_prefix(data.size());
            left_ -= data.size();
            ended_ = left_ == 0;
        }
        seen_ += data.size();
        if (limit != 0 && seen_ > limit) return {Kind::failed, {}, Errc::body_too_large};
        return {Kind::data, data, Errc::ok};
    }
}

asio::awaitable<bool> RequestBody::wait()
{
    if (stall_.expired) co_return false;
    bool ready = false;
    const rules::Milliseconds left = allowance_.begin_wait();
    if (left.count() == 0) {
        stall_.expired = true;
    } else {
        stall_.arm(services_.wheel, left);
        ready = co_await client_.transport.wait(Direction::read);
        stall_.disarm();
    }
    allowance_.end_wait();
    if (stall_.expired && allowance_.by_rate()) services_.counters.add(Counter::clients_too_slow);
    co_return ready && !stall_.expired;
}

Errc RequestBody::fault() const noexcept
{
    if (stall_.expired) return Errc::client_timeout;
    return client_.transport.aborted() != Errc::ok ? client_.transport.aborted() : Errc::client_gone;
}

void RequestBody::keep()
{
    if (!input_shared_ || input_.empty()) return;
    owned_.assign(input_);
    input_ = owned_;
    input_shared_ = false;
}

void RequestBody::give_back()
{
    client_.inbox.assign(input_);
    input_ = {};
    owned_.clear();
}

}  // namespace larder::proxy
