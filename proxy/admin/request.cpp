#include "proxy/admin/request.hpp"

#include <boost/asio/write.hpp>

#include "rules/base/errors.hpp"
#include "rules/http/chunked.hpp"

namespace larder::proxy {

namespace {

using rules::Scan;
using Step = rules::ChunkedDecoder::Step;

RequestRead complete() { return {true, 0, {}}; }
RequestRead gone() { return {false, 0, {}}; }
RequestRead refused(int status, std::string_view why) { return {false, status, why}; }
RequestRead too_large() { return refused(413, "the request body is above the limit"); }

/// Appends what comes next. False: nothing comes any more, or not in time.
asio::awaitable<bool> receive(AdminStream& stream, std::string& inbox)
{
    constexpr std::size_t most_bytes = 16 * 1024;
    const std::size_t had = inbox.size();
    inbox.resize(had + most_bytes);
    auto [error, count] = co_await stream.async_read_some(asio::buffer(inbox.data() + had, most_bytes), no_throw);
    inbox.resize(had + count);
    co_return !error && count > 0;
}

asio::awaitable<RequestRead> read_known_length(AdminStream& stream, std::string& inbox, std::uint64_t length,
                                               std::string& body)
{
    while (inbox.size() < length) {
        const bool received = co_await receive(stream, inbox);
        if (!received) co_return gone();
    }
    body = inbox.substr(0, length);
    inbox.erase(0, length);
    co_return complete();
}

asio::awaitable<RequestRead> read_chunked(AdminStream& stream, std::string& inbox, std::uint64_t most_bytes,
                                          std::string& body)
{
    rules::ChunkedDecoder decoder;
    std::string_view input = inbox, data;
    for (;;) {
        switch (decoder.next(input, data)) {
        case Step::data:
            if (data.size() > most_bytes - body.size()) co_return too_large();
            body += data;
            continue;
        case Step::done: inbox.erase(0, inbox.size() - input.size()); co_return complete();
        case Step::bad: co_return refused(400, rules::text(rules::Errc::client_malformed));
        case Step::need_more: break;
        }
        inbox.clear();
        const bool received = co_await receive(stream, inbox);
        if (!received) co_return gone();
        input = inbox;
    }
}

}  // namespace

asio::awaitable<RequestRead> read_request(AdminStream& stream, std::string& inbox, const rules::HeadLimits& limits,
                                          std::uint64_t body_bytes, AdminRequest& request)
{
    rules::RequestHead& head = request.head;
    for (;;) {
        const Scan scan = rules::scan_request(inbox, limits, head);
        if (scan == Scan::ok) break;
        if (scan != Scan::incomplete) co_return refused(rules::status_for(scan), rules::text(scan));
        const bool received = co_await receive(stream, inbox);
        if (!received) co_return gone();
    }
    request.head_bytes = std::string(head.bytes);
    head.rebase(request.head_bytes.data());
    inbox.erase(0, request.head_bytes.size());

    if (head.body == rules::BodyKind::none) co_return complete();
    if (head.content_length > body_bytes) co_return too_large();
    if (head.expects_continue && inbox.empty()) {
        static constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        auto [error, sent] = co_await asio::async_write(stream, asio::buffer(go_on), no_throw);
        if (error) co_return gone();
    }
    if (head.body == rules::BodyKind::chunked) co_return co_await read_chunked(stream, inbox, body_bytes, request.body);
    co_return co_await read_known_length(stream, inbox, head.content_length, request.body);
}

}  // namespace larder::proxy
