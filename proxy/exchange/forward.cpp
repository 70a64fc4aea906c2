#include "proxy/exchange/forward.hpp"

#include <array>
#include <boost/asio/post.hpp>
#include <charconv>

#include "proxy/exchange/exchange_span.hpp"
#include "proxy/exchange/refuse.hpp"
#include "proxy/net/clock.hpp"
#include "proxy/trace/fetch_span.hpp"
#include "rules/base/text.hpp"
#include "rules/http/fields.hpp"

namespace larder::proxy {

using rules::BodyKind;
using rules::Errc;
using rules::FieldId;
using rules::Outcome;

/// The request's body on its way up, while the response may come down already. Shared by the two coroutines, one
/// thread.
struct Forwarding::Upload {
    explicit Upload(asio::io_context& context) : finished(context) {}
    bool done = false;  // the whole body has been sent
    bool stop = false;  // nobody wants the rest
    WakeUp finished;    // the coroutine has ended
};

namespace {

/// What the client asks to switch to, of what may be tunnelled; empty: nothing.
std::string_view wanted_protocol(const rules::RequestHead& request)
{
    if (!request.upgrade) return {};
    for (const rules::Field& field : request.fields.all) {
        if (field.id != FieldId::upgrade) continue;
        if (const std::string_view protocol = rules::upgrade_protocol(field.value); !protocol.empty()) return protocol;
    }
    return {};
}

/// Does the 101 name what was asked for? To anything else nobody has agreed (RFC 9110 §7.8).
bool switches_as_asked(const rules::RequestHead& request, const rules::ResponseHead& response)
{
    const std::string_view wanted = wanted_protocol(request);
    return !wanted.empty() && rules::equals_ignoring_case(response.fields.value(FieldId::upgrade), wanted);
}

/// A transfer gives way to the worker's other connections after so much without waiting.
constexpr std::size_t turn_bytes = 1024 * 1024;

/// A chunk's size line.
std::string_view size_line(std::array<char, 20>& buffer, std::size_t size)
{
    char* end = std::to_chars(buffer.data(), buffer.data() + 16, size, 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    return {buffer.data(), static_cast<std::size_t>(end - buffer.data())};
}

iovec piece_of(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

/// Trailer lines that may travel on: none that would change framing, routing, caching or identity (RFC 9110 §6.5.1).
std::string end_of_chunks(const std::string& trailers)
{
    std::string end = "0\r\n";
    std::string_view rest = trailers;
    while (!rest.empty()) {
        const std::size_t line_end = rest.find("\r\n");
        if (line_end == std::string_view::npos) break;
        const std::string_view line = rest.substr(0, line_end + 2);
        rest.remove_prefix(line_end + 2);
        const std::string_view name = line.substr(0, line.find(':'));
        if (rules::is_override(name)) continue;  // some servers merge trailers into the head
        switch (rules::field_id(name)) {
        case FieldId::other:
        case FieldId::etag:
        case FieldId::date:
        case FieldId::x_request_id: end += line; break;
        default: break;
        }
    }
    end += "\r\n";
    return end;
}

bool may_send_again(const rules::RequestHead& head) noexcept
{
    using rules::Method;
    return rules::is_safe(head.method) || head.method == Method::put || head.method == Method::delete_;
}

}  // namespace

Forwarding::Forwarding(Services& services, Client& client, std::shared_ptr<Exchange> exchange)
    : services_(services),
      client_(client),
      exchange_(std::move(exchange)),
      fetch_(std::make_unique<Fetch>(services.upstream, services.read_buffer, services.response_limits))
{
    if (exchange_->head.body != BodyKind::none)
        body_ = std::make_unique<RequestBody>(services, client, exchange_->head);
}

Forwarding::Forwarding(Services& services, Client& client, std::shared_ptr<Exchange> exchange,
                       std::unique_ptr<Fetch> fetch)
    : services_(services), client_(client), exchange_(std::move(exchange)), fetch_(std::move(fetch)), sent_(true)
{
}

Forwarding::~Forwarding() = default;

asio::awaitable<Forwarding::Buffered> Forwarding::buffer_body(std::size_t limit)
{
    Buffered result;
    if (!body_) {
        body_whole_ = result.whole = true;
        co_return result;
    }
    while (buffered_.size() <= limit) {
        const RequestBody::Piece piece = body_->next();
        if (piece.kind == RequestBody::Kind::data) {
            buffered_.append(piece.data);
        } else if (piece.kind == RequestBody::Kind::end) {
            body_whole_ = result.whole = true;
            body_->keep();
            co_return result;
        } else if (piece.kind == RequestBody::Kind::failed) {
            result.error = piece.error;
            co_return result;
        } else {
            if (exchange_->head.expects_continue && !continued_) {
                continued_ = true;
                client_.put("HTTP/1.1 100 Continue\r\n\r\n");
                if (client_.blocked()) co_await client_.flush();
            }
            const bool ready = co_await body_->wait();
            if (ready) continue;
            result.error = body_->fault();
            co_return result;
        }
    }
    body_->keep();
    co_return result;
}

Errc Forwarding::compose()
{
    // What has come of the body already goes out with the head: most bodies are in the same packet.
    if (body_ && !body_whole_ && buffered_.empty()) {
        constexpr std::size_t with_head_bytes = 64 * 1024;
        while (buffered_.size() < with_head_bytes) {
            const RequestBody::Piece piece = body_->next();
            if (piece.kind == RequestBody::Kind::data) {
                buffered_.append(piece.data);
                continue;
            }
            if (piece.kind == RequestBody::Kind::failed) return piece.error;
            body_whole_ = piece.kind == RequestBody::Kind::end;
            break;
        }
        body_->keep();
    }
    const rules::RequestHead& head = exchange_->head;
    const bool chunked = head.body == BodyKind::chunked && !body_whole_;
    UpstreamHeadOptions options;
    if (chunked)
        options.framing = {BodyKind::chunked, 0};
    else if (head.body == BodyKind::chunked)
        options.framing = {BodyKind::length, buffered_.size()};
    else
        options.framing = {head.body, head.content_length};
    // With a trailer section the coding must stay chunked.
    if (head.body == BodyKind::chunked && body_whole_ && !body_->trailers().empty())
        options.framing = {BodyKind::chunked, 0};
    options.target =
        head.target.empty() || head.target.front() == '/' || head.target == "*" ? head.target : std::string_view{};
    std::string origin_form;
    if (options.target.empty()) {  // absolute-form: the origin is given origin-form (RFC 9112 §3.2.1)
        origin_form = head.path;
        if (head.has_query) (origin_form += '?') += head.query;
        options.target = origin_form;
    }
    options.expects_continue = head.expects_continue && body_ && !continued_ && !body_whole_;  // RFC 9110 §10.1.1
    options.upgrade_to = wanted_protocol(head);
    if (services_.tracer) {
        const std::string_view method = known_method(head.method, head.method_text);
        options.span = begin_fetch_span(services_, *exchange_, *fetch_, method, options.target);
    }
    append_upstream_head(request_head_, *exchange_, options);

    if (options.framing.kind == BodyKind::chunked) {
        if (!buffered_.empty()) {
            std::array<char, 20> line;
            request_body_ = size_line(line, buffered_.size());
            request_body_ += buffered_;
            request_body_ += "\r\n";
        }
        if (body_whole_) request_body_ += end_of_chunks(body_->trailers());
    } else {
        request_body_ = std::move(buffered_);
    }

    return Errc::ok;
}

Errc Forwarding::begin()
{
    begun_ = true;
    if (const Errc error = compose(); error != Errc::ok) return error;
    const bool may_retry = is_whole() && may_send_again(exchange_->head) && !exchange_->head.upgrade;
    written_ = fetch_->send(request_head_, request_body_, may_retry);
    sent_ = fetch_->touched();
    return Errc::ok;
}

/// A write goes on whatever its client does: the app may have begun it.
void Forwarding::watch_client()
{
    if (rules::is_safe(exchange_->head.method)) watch_.emplace(services_, client_, *exchange_, *fetch_);
}

bool Forwarding::send_at_once()
{
    if (body_ || begin() != Errc::ok || written_ != Errc::ok) return false;
    watch_client();
    head_read_ = fetch_->take_head(exchange_->is_head());
    return !head_read_;
}

bool Forwarding::take_answer(bool ready)
{
    head_read_ = fetch_->take_head(exchange_->is_head(), ready);
    if (head_read_ != Errc::ok || !fetch_->has_final_head() || fetch_->head().status == 101) return false;
    exchange_->upstream_time = instant_now() - fetch_->sent_at();
    services_.counters.add_fetch(exchange_->count.rule, exchange_->upstream_time);
    is_answered_ = true;
    return true;
}

asio::awaitable<Errc> Forwarding::request()
{
    if (!begun_) {
        const Errc error = begin();
        if (error != Errc::ok) co_return error;
    }
    if (!written_) {
        written_ = co_await fetch_->send_rest();
        sent_ = fetch_->touched();
    }
    if (*written_ != Errc::ok) {
        if (*written_ == Errc::upstream_closed && fetch_->connection()) {
            // It may have answered before it stopped reading: what it said is worth more than our complaint.
            const Errc early = co_await read_final_head();
            if (early == Errc::ok) {
                fetch_->keep();
                fetch_->upload_pending(true);
                if (!is_whole()) exchange_->keep_alive = false;
                co_return Errc::ok;
            }
        }
        co_await end_upload();
        co_return *written_;
    }
    if (!watch_) watch_client();
    if (!is_whole()) {
        fetch_->request_pending(true);
        upload_ = std::make_shared<Upload>(services_.context);
        services_.tasks.spawn("upload", run_upload(upload_));
    }
    const Errc error = co_await read_final_head();
    exchange_->upstream_time = instant_now() - fetch_->sent_at();
    if (error == Errc::ok) services_.counters.add_fetch(exchange_->count.rule, exchange_->upstream_time);
    if (error != Errc::ok) co_await end_upload();
    co_return error;
}

asio::awaitable<Errc> Forwarding::read_final_head()
{
    constexpr int interim_limit = 32;  // a flood of 1xx ends here
    for (int count = 0; count < interim_limit; ++count) {
        if (!head_read_) head_read_ = co_await fetch_->read_head(exchange_->is_head());
        const Errc error = *std::exchange(head_read_, std::nullopt);
        if (error != Errc::ok) co_return error;
        const rules::ResponseHead& head = fetch_->head();
        if (head.status >= 200) co_return Errc::ok;
        if (head.status == 101)
            co_return switches_as_asked(exchange_->head, head) ? Errc::ok : Errc::upstream_malformed;
        if (exchange_->head.minor_version == 0) continue;  // RFC 9110 §15.2: none to an HTTP/1.0 client
        if (head.status == 100 && (continued_ || !exchange_->head.expects_continue)) continue;
        std::string interim;
        append_interim_head(interim, head);
        client_.put(interim);
        if (!client_.blocked()) continue;
        fetch_->keep();
        co_await client_.flush();
    }
    co_return Errc::upstream_malformed;
}

asio::awaitable<void> Forwarding::run_upload(std::shared_ptr<Upload> upload)
{
    UpstreamConnection& up = *fetch_->connection();
    const auto progress = [&] {
        up.deadline.arm(services_.wheel, services_.config->upstream.first_byte_timeout, Errc::upstream_timeout);
    };
    const bool chunked = exchange_->head.body == BodyKind::chunked;
    bool upstream_takes = true;
    std::size_t moved = 0;
    std::string rest;
    while (!upload->stop && upstream_takes) {
        const RequestBody::Piece piece = body_->next();
        if (piece.kind == RequestBody::Kind::blocked) {
            if (!fetch_->has_final_head()) up.deadline.disarm();  // the client is waited for, not the upstream
            const bool ready = co_await body_->wait();
            if (ready || upload->stop) continue;
            fetch_->abort(body_->fault());
            break;
        }
        if (piece.kind == RequestBody::Kind::failed) {
            // Half a body must never look like a whole one: the upstream connection ends here.
            fetch_->abort(piece.error);
            break;
        }
        moved += piece.data.size();
        std::array<char, 20> line;
        std::string last;
        std::array<iovec, 3> pieces{};
        std::size_t count = 0;
        if (piece.kind == RequestBody::Kind::end) {
            if (chunked) {
                last = end_of_chunks(body_->trailers());
                pieces[count++] = piece_of(last);
            }
        } else if (chunked) {
            pieces = {piece_of(size_line(line, piece.data.size())), piece_of(piece.data), piece_of("\r\n")};
            count = 3;
        } else {
            pieces[count++] = piece_of(piece.data);
        }
        std::size_t taken = 0, total = 0;
        for (std::size_t i = 0; i < count; ++i) total += pieces[i].iov_len;
        if (total != 0) {
            const IoTry written = up.transport.try_write(std::span<const iovec>(pieces.data(), count));
            if (written.ok())
                taken = written.bytes;
            else if (!written.blocked())
                upstream_takes = false;
            progress();
        }
        if (upstream_takes && taken < total) {
            rest.clear();
            for (std::size_t i = 0; i < count; ++i) {
                std::string_view bytes(static_cast<const char*>(pieces[i].iov_base), pieces[i].iov_len);
                const std::size_t skip = std::min(taken, bytes.size());
                taken -= skip;
                rest.append(bytes.substr(skip));
            }
            body_->keep();
            std::string_view left = rest;
            while (!left.empty() && !upload->stop) {
                const IoTry written = up.transport.try_write(std::array<iovec, 1>{piece_of(left)});
                if (written.ok()) {
                    left.remove_prefix(written.bytes);
                    progress();
                    continue;
                }
                if (written.blocked()) {
                    if (!up.deadline.armed()) progress();
                    const bool ready = co_await up.transport.wait(written.wait_for);
                    if (ready) continue;
                }
                upstream_takes = false;
                break;
            }
        }
        if (piece.kind == RequestBody::Kind::end && upstream_takes) {
            upload->done = true;
            break;
        }
        if (moved > turn_bytes) {
            moved = 0;
            body_->keep();
            co_await asio::post(services_.context, asio::use_awaitable);
        }
    }
    body_->keep();
    fetch_->request_pending(false);
    if (!fetch_->has_final_head()) progress();  // from here on the upstream is waited for
    upload->finished.wake();
}

asio::awaitable<void> Forwarding::end_upload()
{
    if (!upload_) {
        abandon();
        co_return;
    }
    if (!upload_->finished.woken()) {
        upload_->stop = true;
        client_.transport.cancel_waits();
        if (fetch_ && fetch_->connection()) fetch_->connection()->transport.cancel_waits();
        co_await upload_->finished.wait();
    }
    if (upload_->done) {
        body_->give_back();
    } else {
        exchange_->keep_alive = false;  // the rest of the body is still to come, and nobody wants it
    }
    if (fetch_) fetch_->upload_pending(!upload_->done);
    upload_.reset();
    body_.reset();
}

void Forwarding::abandon()
{
    if (!body_) return;
    // A small body is there already: reading it keeps the connection, and the requests behind it, alive.
    constexpr std::size_t worth_reading_bytes = 64 * 1024;
    for (std::size_t taken = 0; !body_whole_ && taken < worth_reading_bytes;) {
        const RequestBody::Piece piece = body_->next();
        body_whole_ = piece.kind == RequestBody::Kind::end;
        if (piece.kind != RequestBody::Kind::data) break;
        taken += piece.data.size();
    }
    if (!body_whole_) exchange_->keep_alive = false;
    body_->give_back();
    body_.reset();
}

Framing Forwarding::append_head(std::string& text)
{
    // A body that is still going up while the final answer is here: its end cannot be told, the connection ends with
    // it.
    if (upload_ && !upload_->done) exchange_->keep_alive = false;
    if (services_.draining) exchange_->keep_alive = false;

    const rules::ResponseHead& head = fetch_->head();
    Framing framing;
    if (head.body == BodyKind::none) {
        if (exchange_->is_head() && head.fields.has(FieldId::content_length))
            framing = {BodyKind::length, head.content_length};
    } else {
        framing = framing_for(*exchange_, head.body == BodyKind::length, head.content_length);
        if (framing.kind == BodyKind::until_close) exchange_->keep_alive = false;
    }
    exchange_->count.status = head.status;
    exchange_->answered = true;
    text.clear();
    constexpr std::size_t ours_bytes = 256;
    rules::Appender out(text, head.bytes.size() + ours_bytes);
    append_status_line(out, head.status, head.phrase);
    append_end_to_end_fields(out, head, false, false, exchange_->now);
    append_cache_status(out, *exchange_);
    if (!head.fields.has(FieldId::x_request_id)) out.add_field("X-Request-ID", exchange_->request_id);
    if (!exchange_->cache_purge.empty()) out.add_field("X-Cache-Purge", exchange_->cache_purge);
    append_framing(out, framing, *exchange_);
    return framing;
}

bool Forwarding::respond_at_once()
{
    const rules::ResponseHead& head = fetch_->head();
    const bool is_here = head.body == BodyKind::none ? head.status != 101 : fetch_->has_whole_body();
    if (!is_here || upload_) return false;
    std::string& out = services_.out;
    append_head(out);
    std::array<iovec, 2> pieces{piece_of(out)};
    if (head.body != BodyKind::none) {
        const BodyPiece body = fetch_->next_received();
        pieces[1] = piece_of(body.data);
        exchange_->body_bytes += body.data.size();
    }
    client_.put(pieces);
    out.clear();
    abandon();
    fetch_->finish();
    return true;
}

asio::awaitable<void> Forwarding::respond()
{
    const rules::ResponseHead& head = fetch_->head();
    if (head.status == 101) {
        // What the client sends from here on is no longer a request's body.
        co_await end_upload();
        co_await tunnel();
        co_return;
    }

    const Framing framing = append_head(services_.out);
    if (head.body == BodyKind::none) {
        client_.put(services_.out);
        if (client_.blocked()) co_await client_.flush();
    } else {
        co_await relay_body(framing);
    }
    co_await end_upload();
    fetch_->finish();
}

asio::awaitable<void> Forwarding::respond_rest(Framing framing)
{
    services_.out.clear();
    co_await relay_body(framing);
    fetch_->finish();
}

asio::awaitable<void> Forwarding::relay_body(Framing framing)
{
    std::string& out = services_.out;  // holds the head: it goes out with the first piece
    const bool chunked = framing.kind == BodyKind::chunked;
    constexpr std::size_t pieces_limit = 16;
    std::size_t moved = 0;
    for (;;) {
        std::array<iovec, pieces_limit + 2> pieces{};
        std::size_t count = 1, size = 0;
        BodyPiece piece = fetch_->next_body();
        // All that has been received goes out at once; views stay valid as long as nothing new is read.
        while (piece.kind == BodyPiece::Kind::data) {
            pieces[count++] = piece_of(piece.data);
            size += piece.data.size();
            if (count > pieces_limit) break;
            piece = fetch_->next_received();
        }
        if (size != 0 && chunked) {
            std::array<char, 20> line;
            out += size_line(line, size);
        }
        pieces[0] = piece_of(out);
        std::string tail;
        if (size != 0 && chunked) tail = "\r\n";
        if (piece.kind == BodyPiece::Kind::end && chunked) tail += end_of_chunks(fetch_->trailers());
        if (!tail.empty()) pieces[count++] = piece_of(tail);
        exchange_->body_bytes += size;
        bool there = client_.put(std::span<const iovec>(pieces.data(), count));
        out.clear();
        moved += size;
        if (client_.blocked()) {
            fetch_->keep();
            fetch_->pause_deadline();  // now the client is waited for, not the upstream
            there = co_await client_.flush();
            fetch_->resume_deadline();
            out.clear();  // shared by the thread: another exchange may have used it meanwhile
            moved = 0;
        } else if (moved > turn_bytes && piece.kind != BodyPiece::Kind::end) {
            // Both sides are as fast as we are: the other connections of this worker want their turn, too.
            fetch_->keep();
            co_await asio::post(services_.context, asio::use_awaitable);
            out.clear();
            moved = 0;
        }
        if (!there) {
            exchange_->count.outcome = Outcome::client_gone;
            exchange_->keep_alive = false;
            fetch_->abort(Errc::client_gone);
            co_return;
        }
        if (piece.kind == BodyPiece::Kind::end) co_return;
        if (piece.kind == BodyPiece::Kind::failed) {
            // What came so far is out already: the only way to say that it is not all is to cut the connection.
            co_await refuse(services_, client_, *exchange_, piece.error);
            co_return;
        }
        if (piece.kind == BodyPiece::Kind::blocked) {
            moved = 0;
            const bool ready = co_await fetch_->wait_body();
            out.clear();
            if (!ready) continue;  // the next piece says why
        }
    }
}

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
