// The bodies of a forwarded exchange, both ways, with bounded buffers: what one side does not take the other is not
// read for.
#include "proxy/exchange/forward_bodies.hpp"

#include <boost/asio/post.hpp>
#include <charconv>

#include "proxy/exchange/refuse.hpp"
#include "rules/base/text.hpp"
#include "rules/http/fields.hpp"

namespace larder::proxy {

using rules::BodyKind;
using rules::Errc;
using rules::FieldId;
using rules::Outcome;

std::string_view size_line(std::array<char, 20>& buffer, std::size_t size)
{
    char* end = std::to_chars(buffer.data(), buffer.data() + 16, size, 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    return {buffer.data(), static_cast<std::size_t>(end - buffer.data())};
}

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

}  // namespace larder::proxy
