#include "proxy/exchange/forward.hpp"

#include <array>

#include "proxy/exchange/exchange_span.hpp"
#include "proxy/exchange/forward_bodies.hpp"
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

bool may_send_again(const rules::RequestHead& head) noexcept
{
    using rules::Method;
    return rules::is_safe(head.method) || head.method == Method::put || head.method == Method::delete_;
}

}  // namespace

Forwarding::Forwarding(Services& services, Client& client, ExchangePtr exchange)
    : services_(services),
      client_(client),
      exchange_(std::move(exchange)),
      fetch_(std::make_unique<Fetch>(services.upstream, services.read_buffer, services.response_limits))
{
    if (exchange_->head.body != BodyKind::none)
        body_ = std::make_unique<RequestBody>(services, client, exchange_->head);
}

Forwarding::Forwarding(Services& services, Client& client, ExchangePtr exchange, std::unique_ptr<Fetch> fetch)
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

}  // namespace larder::proxy
