// What follows a 101: bytes both ways, until one side ends.
#include <boost/asio/post.hpp>
#include <functional>

#include "proxy/exchange/forward_bodies.hpp"
#include "rules/http/fields.hpp"

namespace larder::proxy {

using rules::Errc;
using rules::FieldId;

namespace {

/// One direction of a tunnel: bytes as they come, until either side ends or nothing has moved for the idle time.
asio::awaitable<void> run_pump(Services& services, Transport& from, Transport& to, std::string first,
                               std::uint64_t& moved, const std::function<void()>& progress)
{
    bool ok = co_await to.write_all(first);
    moved += first.size();
    std::string rest;
    std::size_t turn = 0;
    while (ok) {
        if (turn > turn_bytes) {
            turn = 0;
            co_await asio::post(services.context, asio::use_awaitable);
        }
        const IoTry got = from.try_read(services.read_buffer);
        if (got.blocked()) {
            ok = co_await from.wait(got.wait_for);
            continue;
        }
        if (!got.ok()) break;
        moved += got.bytes;
        turn += got.bytes;
        progress();
        const std::string_view bytes(services.read_buffer.data(), got.bytes);
        const IoTry written = to.try_write(std::array<iovec, 1>{piece_of(bytes)});
        if (written.ok() && written.bytes == bytes.size()) continue;
        if (!written.ok() && !written.blocked()) break;
        rest.assign(bytes.substr(written.ok() ? written.bytes : 0));
        ok = co_await to.write_all(rest);
        progress();
    }
    to.shutdown_send();
}

asio::awaitable<void> run_pump_and_wake(Services& services, Transport& from, Transport& to, std::string first,
                                        std::uint64_t& moved, const std::function<void()>& progress, WakeUp& finished)
{
    co_await run_pump(services, from, to, std::move(first), moved, progress);
    finished.wake();
}

}  // namespace

asio::awaitable<void> Forwarding::tunnel()
{
    const rules::ResponseHead& head = fetch_->head();
    exchange_->count.status = head.status;
    exchange_->answered = true;
    exchange_->keep_alive = false;
    std::string out;
    append_status_line(out, head.status, head.phrase);
    append_end_to_end_fields(out, head, false, false, exchange_->now);
    ((out += "Upgrade: ") += head.fields.value(FieldId::upgrade)) += "\r\nConnection: upgrade\r\n";
    append_cache_status(out, *exchange_);
    out += "\r\n";
    fetch_->keep();
    out += fetch_->take_rest();

    UpstreamConnection& up = *fetch_->connection();
    // Either side may be silent for long; both silent for the client's idle time ends the tunnel.
    const auto progress = [&] {
        up.deadline.arm(services_.wheel, services_.config->timeouts.client_idle, Errc::upstream_idle);
        client_.deadline.arm(services_.wheel, services_.config->timeouts.client_idle, Errc::client_timeout);
    };
    progress();
    WakeUp finished(services_.context);
    std::uint64_t sent = 0;
    std::string early = std::move(client_.inbox);
    client_.inbox.clear();
    const std::function<void()> on_progress = progress;
    // Borrowing is fine: we wait for it below, whatever happens.
    services_.tasks.spawn("tunnel", run_pump_and_wake(services_, client_.transport, up.transport, std::move(early),
                                                      sent, on_progress, finished));
    co_await run_pump(services_, up.transport, client_.transport, std::move(out), exchange_->body_bytes, on_progress);
    // The upstream is done; what the client still says has nobody to hear it.
    client_.transport.cancel_waits();
    up.transport.abort(Errc::upstream_closed);
    co_await finished.wait();
    services_.counters.add(Counter::bytes_in, sent);
    services_.counters.add(Counter::bytes_out, exchange_->body_bytes);
}

}  // namespace larder::proxy
