// The head scanner held against a second opinion (Boost.Beast), cut at every byte and changed at every byte.
#include <doctest/doctest.h>

#include <boost/asio/impl/src.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/src.hpp>
#include <memory>
#include <string>

#include "rules/http/head.hpp"

namespace {

using namespace larder::rules;
namespace http = boost::beast::http;

const std::string requests[] = {
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /api/events?page=2&size=50 HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: "
    "*/*\r\n\r\n",
    "HEAD /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://b.example/c?d HTTP/1.1\r\nHost: b.example\r\nCookie: a=b; c=d\r\nCookie: e=f\r\n\r\n",
    "PATCH /api/events/7 HTTP/1.1\r\nHost: [::1]:80\r\nContent-Type: application/json\r\nContent-Length: 12\r\n"
    "If-Match: \"v1\"\r\n\r\n",
    "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nTE: trailers\r\n\r\n",
    "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
    "REPORT /~x/%7Ey HTTP/1.1\r\nhOsT: a\r\nX-Empty:\r\nX-Wide:   a \t b   \r\nX-Latin: \xe4\xf6\r\n\r\n",
};

const std::string responses[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=60\r\nETag: \"v1\"\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nVary: Accept-Encoding\r\nVary: Origin\r\n\r\n",
    "HTTP/1.0 404 Not Found\r\nServer: x\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n",
    "HTTP/1.1 204 \r\n\r\n",
};

/// Scans a copy that ends where its memory ends, so that a sanitizer sees any step beyond it.
template <class Head>
Scan scan_exactly(std::string_view bytes, Head& head, std::unique_ptr<char[]>& memory)
{
    memory = std::make_unique<char[]>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), memory.get());
    const std::string_view exact(memory.get(), bytes.size());
    if constexpr (std::is_same_v<Head, RequestHead>)
        return scan_request(exact, {}, head);
    else
        return scan_response(exact, {}, false, head);
}

template <class Head, class Heads>
void cut_and_change(const Heads& heads)
{
    Head head;
    std::unique_ptr<char[]> memory;
    for (const std::string& bytes : heads) {
        CAPTURE(bytes);
        for (std::size_t size = 0; size < bytes.size(); ++size) {
            const Scan scan = scan_exactly(std::string_view(bytes).substr(0, size), head, memory);
            CHECK(word(scan) == "incomplete");
        }
        for (std::size_t place = 0; place < bytes.size(); ++place) {
            for (int byte = 0; byte < 256; ++byte) {
                std::string changed = bytes;
                changed[place] = static_cast<char>(byte);
                const Scan scan = scan_exactly(changed, head, memory);
                if (scan != Scan::ok) continue;
                // A head that is still valid says of itself only what is in its bytes.
                REQUIRE(head.bytes.data() == memory.get());
                REQUIRE(head.bytes.size() <= changed.size());
                for (const Field& field : head.fields.all) {
                    REQUIRE(field.name.data() >= head.bytes.data());
                    REQUIRE(field.value.data() + field.value.size() <= head.bytes.data() + head.bytes.size());
                    REQUIRE(field.value.find_first_of(std::string_view("\0\r\n", 3)) == std::string_view::npos);
                }
            }
        }
    }
}

template <class BeastParser>
void check_fields(const Fields& fields, const BeastParser& parser)
{
    auto expected = parser.get().begin();
    for (const Field& field : fields.all) {
        REQUIRE(expected != parser.get().end());
        CHECK(field.name == std::string_view(expected->name_string()));
        CHECK(field.value == std::string_view(expected->value()));
        ++expected;
    }
    CHECK(expected == parser.get().end());
}

template <bool is_request>
void parse_with_beast(http::parser<is_request, http::string_body>& parser, std::string_view bytes)
{
    boost::system::error_code ec;
    parser.put(boost::asio::buffer(bytes.data(), bytes.size()), ec);
    CAPTURE(ec.message());
    REQUIRE((!ec || ec == http::error::need_more));
    REQUIRE(parser.is_header_done());
}

}  // namespace

TEST_CASE("a valid request head that is cut is incomplete, and one that is changed never leads out of its bytes")
{
    cut_and_change<RequestHead>(requests);
}

TEST_CASE("a valid response head that is cut is incomplete, and one that is changed never leads out of its bytes")
{
    cut_and_change<ResponseHead>(responses);
}

TEST_CASE("a request head is read as Boost.Beast reads it")
{
    for (const std::string& bytes : requests) {
        CAPTURE(bytes);
        RequestHead head;
        REQUIRE(scan_request(bytes, {}, head) == Scan::ok);
        http::request_parser<http::string_body> parser;
        parse_with_beast(parser, bytes);
        CHECK(head.method_text == std::string_view(parser.get().method_string()));
        CHECK(head.target == std::string_view(parser.get().target()));
        CHECK(10 + head.minor_version == static_cast<int>(parser.get().version()));
        CHECK(head.keep_alive == parser.get().keep_alive());
        CHECK(head.upgrade == parser.upgrade());
        CHECK((head.body == BodyKind::chunked) == parser.chunked());
        CHECK(head.content_length == parser.content_length().value_or(0));
        check_fields(head.fields, parser);
    }
}

TEST_CASE("a response head is read as Boost.Beast reads it")
{
    for (const std::string& bytes : responses) {
        CAPTURE(bytes);
        ResponseHead head;
        REQUIRE(scan_response(bytes, {}, false, head) == Scan::ok);
        http::response_parser<http::string_body> parser;
        parse_with_beast(parser, bytes);
        CHECK(head.status == static_cast<int>(parser.get().result_int()));
        if (!head.phrase.empty()) CHECK(head.phrase == std::string_view(parser.get().reason()));
        CHECK((head.body == BodyKind::chunked) == parser.chunked());
        CHECK(head.content_length == parser.content_length().value_or(0));
        check_fields(head.fields, parser);
    }
}
