// RFC 9112 §7.1: the chunked coding, whole and cut at every byte.
#include "rules/http/chunked.hpp"

#include <doctest/doctest.h>

#include <string>

namespace {

using namespace larder::rules;
using namespace std::string_literals;
using Step = ChunkedDecoder::Step;

struct Decoded {
    Step end = Step::need_more;
    std::string body, trailers, left;
};

/// Feeds the text in pieces of `piece_bytes` and gathers what comes out.
Decoded decode(std::string_view text, std::size_t piece_bytes, ChunkedDecoder decoder = {})
{
    Decoded decoded;
    for (std::size_t at = 0; at < text.size() && decoded.end == Step::need_more; at += piece_bytes) {
        const std::string piece(text.substr(at, piece_bytes));
        std::string_view input = piece, data;
        while ((decoded.end = decoder.next(input, data)) == Step::data) decoded.body += data;
        if (decoded.end == Step::done) decoded.left = std::string(input) + std::string(text.substr(at + piece.size()));
        if (decoded.end == Step::need_more) CHECK(input.empty());
    }
    decoded.trailers = decoder.trailers();
    return decoded;
}

}  // namespace

TEST_CASE("a chunked body comes out the same, however the bytes arrive")
{
    struct Row {
        std::string why;
        std::string text, body, trailers, left;
    };
    const Row rows[] = {
        {"empty", "0\r\n\r\n", "", "", ""},
        {"one chunk", "5\r\nhello\r\n0\r\n\r\n", "hello", "", ""},
        {"several", "5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n", "hello world", "", ""},
        {"hex in both cases, leading zeros", "00A\r\n0123456789\r\nb\r\n0123456789x\r\n000\r\n\r\n",
         "01234567890123456789x", "", ""},
        {"data that looks like framing", "7\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", "0\r\n\r\n\r\n", "", ""},
        {"extensions are dropped", "5;a;b=c ; d = \"e;\\\"f\"\r\nhello\r\n0;last\r\n\r\n", "hello", "", ""},
        {"white space before and behind each sign", "5 ;a\r\nhello\r\n3\t;\ta\t=\tb ;c\r\nyou\r\n0 ;x\r\n\r\n",
         "helloyou", "", ""},
        {"any number of leading zeros", std::string(40, '0') + "5\r\nhello\r\n" + std::string(40, '0') + "\r\n\r\n",
         "hello", "", ""},
        {"trailers are kept apart", "0\r\nX-Sum: 1\r\nY:\r\n\r\n", "", "X-Sum: 1\r\nY:\r\n", ""},
        {"a trailer cannot frame or route a message",
         "0\r\nContent-Length: 5\r\nHost: b\r\nX: y\r\n"
         "transfer-encoding: chunked\r\n\r\n",
         "", "X: y\r\n", ""},
        {"what follows belongs to the next message", "0\r\n\r\nGET / HTTP/1.1\r\n", "", "", "GET / HTTP/1.1\r\n"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        for (std::size_t piece_bytes = 1; piece_bytes <= row.text.size(); ++piece_bytes) {
            CAPTURE(piece_bytes);
            const Decoded decoded = decode(row.text, piece_bytes);
            CHECK(decoded.end == Step::done);
            CHECK(decoded.body == row.body);
            CHECK(decoded.trailers == row.trailers);
            CHECK(decoded.left == row.left);
        }
    }
}

TEST_CASE("a chunked body that is malformed is refused, however the bytes arrive")
{
    struct Row {
        std::string why;
        std::string text;
    };
    const Row rows[] = {
        {"no size", "\r\n"},
        {"no digits", "x\r\n"},
        {"a sign", "+5\r\nhello\r\n"},
        {"a minus sign", "-5\r\nhello\r\n"},
        {"0x", "0x5\r\nhello\r\n"},
        {"space before", " 5\r\nhello\r\n"},
        {"space behind", "5 \r\nhello\r\n"},
        {"seventeen digits", "10000000000000005\r\nhello\r\n"},
        {"a bare LF after the size", "5\nhello\r\n"},
        {"a bare CR in the size line", "5\rx\nhello\r\n"},
        {"a bare CR in an extension", "5;a\r=b\r\nhello\r\n"},
        {"NUL", "5\0\r\nhello\r\n"s},
        {"an extension without name", "5;\r\nhello\r\n"},
        {"an extension without value", "5;a=\r\nhello\r\n"},
        {"an open quote", "5;a=\"b\r\nhello\r\n"},
        {"a control byte in quotes", "5;a=\"\x01\"\r\nhello\r\n"},
        {"bytes behind a quoted value", "5;a=\"b\"c\r\nhello\r\n"},
        {"space at the end of extensions", "5;a \r\nhello\r\n"},
        {"no semicolon", "5a=b\r\nhello\r\n"},
        {"data longer than said", "5\r\nhello!\r\n"},
        {"data ended by LF", "5\r\nhello\n"},
        {"data ended by CR alone", "5\r\nhello\rx"},
        {"a trailer without colon", "0\r\nX\r\n\r\n"},
        {"a trailer with space before the colon", "0\r\nX : y\r\n\r\n"},
        {"a folded trailer", "0\r\nX: y\r\n z\r\n\r\n"},
        {"a trailer with a control byte", "0\r\nX: \x01\r\n\r\n"},
        {"a trailer with a bare CR", "0\r\nX: y\rz\r\n\r\n"},
        {"a trailer ended by LF", "0\r\nX: y\n\r\n"},
        {"the end ended by LF", "0\r\n\n"},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        for (std::size_t piece_bytes = 1; piece_bytes <= row.text.size(); ++piece_bytes) {
            CAPTURE(piece_bytes);
            CHECK(decode(row.text, piece_bytes).end == Step::bad);
        }
    }
}

TEST_CASE("a chunk of the largest size is announced without overflow")
{
    ChunkedDecoder decoder;
    std::string_view input = "7fffffffffffffff\r\nabc", data;
    CHECK(decoder.next(input, data) == Step::data);
    CHECK(data == "abc");
    CHECK(decoder.next(input, data) == Step::need_more);
    for (const char* larger : {"8000000000000000\r\n", "ffffffffffffffff\r\n", "00ffffffffffffffff\r\n"})
        CHECK(decode(larger, 64).end == Step::bad);
}

TEST_CASE("data is handed out as views into the input, without a copy")
{
    ChunkedDecoder decoder;
    const std::string text = "5\r\nhello\r\n";
    std::string_view input = text, data;
    REQUIRE(decoder.next(input, data) == Step::data);
    CHECK(data.data() == text.data() + 3);
}

TEST_CASE("lines, extensions and trailers have limits, also before their line has ended")
{
    ChunkedDecoder::Limits limits;
    limits.line_bytes = 8;
    limits.extensions_bytes = 12;
    limits.trailer_bytes = 20;
    limits.trailer_count = 2;
    struct Row {
        std::string why;
        std::string text;
        Step want;
    };
    const Row rows[] = {
        {"line at the limit", "0;aaaaaa\r\n\r\n", Step::done},
        {"line above it", "0;aaaaaaa\r\n\r\n", Step::bad},
        {"line above it, not ended", "0;aaaaaaaaa", Step::bad},
        {"extensions of all chunks count together", "1;aaaaa\r\nx\r\n0;aaaaaa\r\n\r\n", Step::bad},
        {"trailers at the limit", "0\r\nA: 45678\r\nB: 45678\r\n\r\n", Step::done},
        {"trailers above it", "0\r\nA: 45678\r\nB: 456789\r\n\r\n", Step::bad},
        {"three trailers", "0\r\nA:\r\nB:\r\nC:\r\n\r\n", Step::bad},
        {"a trailer that never ends", "0\r\nA: " + std::string(100, 'x'), Step::bad},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        for (std::size_t piece_bytes : {1u, 7u, 1000u})
            CHECK(decode(row.text, piece_bytes, ChunkedDecoder(limits)).end == row.want);
    }
}

TEST_CASE("a decoder that has ended, well or badly, stays where it is and takes nothing more")
{
    ChunkedDecoder good, bad;
    std::string_view input = "0\r\n\r\nrest", data;
    CHECK(good.next(input, data) == Step::done);
    CHECK(good.next(input, data) == Step::done);
    CHECK(input == "rest");
    input = "x\r\n";
    CHECK(bad.next(input, data) == Step::bad);
    input = "0\r\n\r\n";
    CHECK(bad.next(input, data) == Step::bad);
}
