// RFC 9112 §4 and §6 for responses: the status line, and how a body ends.
#include <doctest/doctest.h>

#include <string>

#include "rules/http/head.hpp"

namespace {

using namespace larder::rules;
using namespace std::string_literals;

struct Scanned {
    std::string bytes;
    ResponseHead head;
    Scan scan;

    explicit Scanned(std::string text, bool to_head = false) : bytes(std::move(text))
    {
        scan = scan_response(bytes, {}, to_head, head);
    }
};

}  // namespace

TEST_CASE("a response head is split into its parts")
{
    const Scanned scanned("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nETag: \"a\"\r\n\r\nno");
    REQUIRE(scanned.scan == Scan::ok);
    CHECK(scanned.head.bytes.size() == scanned.bytes.size() - 2);
    CHECK(scanned.head.status == 404);
    CHECK(scanned.head.phrase == "Not Found");
    CHECK(scanned.head.minor_version == 1);
    CHECK(scanned.head.body == BodyKind::length);
    CHECK(scanned.head.content_length == 2);
    CHECK(scanned.head.fields.value(FieldId::etag) == "\"a\"");
}

TEST_CASE("a status line has one form")
{
    struct Row {
        std::string why;
        std::string line;
        Scan want;
        int status;
        std::string phrase;
    };
    const Row rows[] = {
        {"plain", "HTTP/1.1 200 OK\r\n", Scan::ok, 200, "OK"},
        {"older", "HTTP/1.0 200 OK\r\n", Scan::ok, 200, "OK"},
        {"no phrase", "HTTP/1.1 200 \r\n", Scan::ok, 200, ""},
        {"no phrase and no space, as many send", "HTTP/1.1 200\r\n", Scan::ok, 200, ""},
        {"a phrase in another tongue", "HTTP/1.1 200 \xc3\xa4 \t\r\n", Scan::ok, 200, "\xc3\xa4 \t"},
        {"the lowest status", "HTTP/1.1 100 \r\n", Scan::ok, 100, ""},
        {"the highest status", "HTTP/1.1 599 \r\n", Scan::ok, 599, ""},
        {"below", "HTTP/1.1 099 \r\n", Scan::bad_status, 0, ""},
        {"above", "HTTP/1.1 600 \r\n", Scan::bad_status, 0, ""},
        {"two digits", "HTTP/1.1 20 OK\r\n", Scan::bad_status, 0, ""},
        {"four digits", "HTTP/1.1 2000 OK\r\n", Scan::bad_status, 0, ""},
        {"letters", "HTTP/1.1 2xx OK\r\n", Scan::bad_status, 0, ""},
        {"two spaces", "HTTP/1.1  200 OK\r\n", Scan::bad_status, 0, ""},
        {"a tab", "HTTP/1.1\t200 OK\r\n", Scan::bad_status, 0, ""},
        {"lower case", "http/1.1 200 OK\r\n", Scan::bad_status, 0, ""},
        {"a later version", "HTTP/1.2 200 OK\r\n", Scan::bad_status, 0, ""},
        {"HTTP/2", "HTTP/2 200\r\n", Scan::bad_status, 0, ""},
        {"something else", "SSH-2.0-OpenSSH\r\n", Scan::bad_status, 0, ""},
        {"an empty line before it", "\r\nHTTP/1.1 200 OK\r\n", Scan::bad_status, 0, ""},
        {"a control byte in the phrase", "HTTP/1.1 200 O\x01K\r\n", Scan::bad_status, 0, ""},
        {"NUL in the phrase", "HTTP/1.1 200 O\0K\r\n"s, Scan::bad_status, 0, ""},
        {"bare LF", "HTTP/1.1 200 OK\n", Scan::bad_line_end, 0, ""},
        {"bare LF, no phrase", "HTTP/1.1 200\n", Scan::bad_line_end, 0, ""},
        {"bare CR", "HTTP/1.1 200 O\rK\r\n", Scan::bad_line_end, 0, ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CAPTURE(row.line);
        const Scanned scanned(row.line + "\r\n");
        CHECK(word(scanned.scan) == word(row.want));
        if (scanned.scan != Scan::ok) continue;
        CHECK(scanned.head.status == row.status);
        CHECK(scanned.head.phrase == row.phrase);
    }
}

TEST_CASE("RFC 9112 6.3: how a response's body ends")
{
    struct Row {
        std::string why;
        std::string line, fields;
        bool to_head;
        Scan want;
        BodyKind body;
        std::uint64_t length;
        bool keep_alive;
    };
    const auto ok = "HTTP/1.1 200 OK"s, old = "HTTP/1.0 200 OK"s;
    const Row rows[] = {
        {"a length", ok, "Content-Length: 5\r\n", false, Scan::ok, BodyKind::length, 5, true},
        {"0 is a length", ok, "Content-Length: 0\r\n", false, Scan::ok, BodyKind::length, 0, true},
        {"chunked", ok, "Transfer-Encoding: Chunked\r\n", false, Scan::ok, BodyKind::chunked, 0, true},
        {"nothing said", ok, "", false, Scan::ok, BodyKind::until_close, 0, false},
        {"the end of the connection ends it", ok, "Connection: keep-alive\r\n", false, Scan::ok, BodyKind::until_close,
         0, false},
        {"close", ok, "Content-Length: 5\r\nConnection: close\r\n", false, Scan::ok, BodyKind::length, 5, false},
        {"1.0 closes", old, "Content-Length: 5\r\n", false, Scan::ok, BodyKind::length, 5, false},
        {"1.0 with keep-alive", old, "Content-Length: 5\r\nConnection: keep-alive\r\n", false, Scan::ok,
         BodyKind::length, 5, true},
        {"to HEAD the length is kept, but no body comes", ok, "Content-Length: 5\r\n", true, Scan::ok, BodyKind::none,
         5, true},
        {"to HEAD, chunked", ok, "Transfer-Encoding: chunked\r\n", true, Scan::ok, BodyKind::none, 0, true},
        {"304 has no body", "HTTP/1.1 304 Not Modified", "Content-Length: 5\r\n", false, Scan::ok, BodyKind::none, 5,
         true},
        {"204 has no body", "HTTP/1.1 204 No Content", "", false, Scan::ok, BodyKind::none, 0, true},
        {"100 has no body", "HTTP/1.1 100 Continue", "", false, Scan::ok, BodyKind::none, 0, true},
        {"101 has no body", "HTTP/1.1 101 Switching Protocols", "Upgrade: a\r\nConnection: upgrade\r\n", false,
         Scan::ok, BodyKind::none, 0, true},
        {"one length twice", ok, "Content-Length: 5\r\nContent-Length: 5\r\n", false, Scan::ok, BodyKind::length, 5,
         true},
        {"one length in a list", ok, "Content-Length: 5, 5 ,5\r\n", false, Scan::ok, BodyKind::length, 5, true},
        {"two lengths", ok, "Content-Length: 5\r\nContent-Length: 6\r\n", false, Scan::bad_length, {}, 0, false},
        {"two lengths in a list", ok, "Content-Length: 5, 6\r\n", false, Scan::bad_length, {}, 0, false},
        {"an empty element", ok, "Content-Length: 5,\r\n", false, Scan::bad_length, {}, 0, false},
        {"an empty length", ok, "Content-Length:\r\n", false, Scan::bad_length, {}, 0, false},
        {"a sign", ok, "Content-Length: -1\r\n", false, Scan::bad_length, {}, 0, false},
        {"two lengths, even to HEAD", ok, "Content-Length: 5, 6\r\n", true, Scan::bad_length, {}, 0, false},
        {"both",
         ok,
         "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
         false,
         Scan::bad_transfer_encoding,
         {},
         0,
         false},
        {"gzip, chunked", ok, "Transfer-Encoding: gzip, chunked\r\n", false, Scan::bad_transfer_encoding, {}, 0, false},
        {"identity", ok, "Transfer-Encoding: identity\r\n", false, Scan::bad_transfer_encoding, {}, 0, false},
        {"chunked in 1.0", old, "Transfer-Encoding: chunked\r\n", false, Scan::bad_transfer_encoding, {}, 0, false},
        {"obs-fold", ok, "A: b\r\n c\r\n", false, Scan::bad_field, {}, 0, false},
        {"space before the colon", ok, "A : b\r\n", false, Scan::bad_field, {}, 0, false},
        {"bare LF", ok, "A: b\n", false, Scan::bad_line_end, {}, 0, false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const Scanned scanned(row.line + "\r\n" + row.fields + "\r\n", row.to_head);
        CHECK(word(scanned.scan) == word(row.want));
        if (scanned.scan != Scan::ok) continue;
        CHECK(scanned.head.body == row.body);
        CHECK(scanned.head.content_length == row.length);
        CHECK(scanned.head.keep_alive == row.keep_alive);
    }
}

TEST_CASE("a response head moves with its bytes")
{
    Scanned scanned("HTTP/1.1 200 OK\r\nA: b\r\n\r\n");
    REQUIRE(scanned.scan == Scan::ok);
    const std::string copy(scanned.head.bytes);
    scanned.head.rebase(copy.data());
    std::fill(scanned.bytes.begin(), scanned.bytes.end(), '!');
    CHECK(scanned.head.phrase == "OK");
    CHECK(scanned.head.fields.all[0].name == "A");
    CHECK(scanned.head.fields.all[0].value == "b");
}
