// RFC 9112 §2-§6 for requests: what is a head, what is not, and how its body ends.
#include <doctest/doctest.h>

#include <string>

#include "rules/base/text.hpp"
#include "rules/http/head.hpp"

namespace {

using namespace larder::rules;
using namespace std::string_literals;

struct Scanned {
    std::string bytes;
    RequestHead head;
    Scan scan;

    explicit Scanned(std::string text, const HeadLimits& limits = {}) : bytes(std::move(text))
    {
        scan = scan_request(bytes, limits, head);
    }
};

std::string with_fields(const std::string& fields) { return "GET / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n"; }

}  // namespace

TEST_CASE("a request head is split into its parts, and what follows it is left alone")
{
    const Scanned scanned(
        "POST /a/b?c=d&e HTTP/1.1\r\nHost: example.com:8080\r\nX-One:  two words\t \r\n"
        "Content-Length: 5\r\nEmpty:\r\n\r\nhello");
    const RequestHead& head = scanned.head;
    REQUIRE(scanned.scan == Scan::ok);
    CHECK(head.bytes.size() == scanned.bytes.size() - 5);
    CHECK(head.method == Method::post);
    CHECK(head.method_text == "POST");
    CHECK(head.target == "/a/b?c=d&e");
    CHECK(head.authority == "example.com:8080");
    CHECK(head.path == "/a/b");
    CHECK(head.query == "c=d&e");
    CHECK(head.has_query);
    CHECK(head.minor_version == 1);
    CHECK(head.body == BodyKind::length);
    CHECK(head.content_length == 5);
    CHECK(head.keep_alive);
    REQUIRE(head.fields.all.size() == 4);
    CHECK(head.fields.all[1].name == "X-One");
    CHECK(head.fields.all[1].value == "two words");
    CHECK(head.fields.find("x-one") == &head.fields.all[1]);
    CHECK(head.fields.find("x-two") == nullptr);
    CHECK(head.fields.all[3].value.empty());
    CHECK(head.fields.value(FieldId::content_length) == "5");
    CHECK(head.fields.count(FieldId::host) == 1);
}

TEST_CASE("a method is known by its exact letters; any other token is passed on as `other`")
{
    struct Row {
        std::string why;
        std::string method;
        Method want;
    };
    const Row rows[] = {
        {"safe, cacheable", "GET", Method::get},
        {"GET without body", "HEAD", Method::head},
        {"unsafe", "POST", Method::post},
        {"unsafe", "PUT", Method::put},
        {"unsafe", "PATCH", Method::patch},
        {"unsafe", "DELETE", Method::delete_},
        {"safe", "OPTIONS", Method::options},
        {"safe", "TRACE", Method::trace},
        {"methods are case-sensitive", "get", Method::other},
        {"an extension method", "PURGE", Method::other},
        {"every token is a method", "x-!#$%&'*+.^_`|~9", Method::other},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CAPTURE(row.method);
        const Scanned scanned(row.method + " / HTTP/1.1\r\nHost: a\r\n\r\n");
        REQUIRE(scanned.scan == Scan::ok);
        CHECK(scanned.head.method == row.want);
        CHECK(scanned.head.method_text == row.method);
    }
}

TEST_CASE("a start line has one form, and everything else is named by what is wrong with it")
{
    struct Row {
        std::string why;
        std::string line;
        Scan want;
    };
    const Row rows[] = {
        {"plain", "GET / HTTP/1.1\r\n", Scan::ok},
        {"an older version", "GET / HTTP/1.0\r\n", Scan::ok},
        {"a later minor version is answered as 1.1", "GET / HTTP/1.9\r\n", Scan::ok},
        {"one empty line before it is forgiven", "\r\nGET / HTTP/1.1\r\n", Scan::ok},
        {"two are not", "\r\n\r\nGET / HTTP/1.1\r\n", Scan::bad_start_line},
        {"an empty line is CR LF too", "\nGET / HTTP/1.1\r\n", Scan::bad_line_end},
        {"a bare CR in front", "\rGET / HTTP/1.1\r\n", Scan::bad_line_end},
        {"space in front", " GET / HTTP/1.1\r\n", Scan::bad_method},
        {"no method", "/ HTTP/1.1\r\n", Scan::bad_method},
        {"method with a slash", "G/T / HTTP/1.1\r\n", Scan::bad_method},
        {"method with a colon: a field line", "Host: a\r\n", Scan::bad_method},
        {"method with a byte above ASCII", "G\xc9T / HTTP/1.1\r\n", Scan::bad_method},
        {"method followed by a tab", "GET\t/ HTTP/1.1\r\n", Scan::bad_method},
        {"no tunnels here", "CONNECT a:443 HTTP/1.1\r\n", Scan::bad_method},
        {"a TLS hello on a plain port", "\x16\x03\x01\x02"s, Scan::bad_method},
        {"only a method", "GET\r\n", Scan::bad_start_line},
        {"only a method, bare LF", "GET\n", Scan::bad_line_end},
        {"HTTP/0.9", "GET /\r\n", Scan::bad_start_line},
        {"HTTP/0.9, bare LF", "GET /\n", Scan::bad_line_end},
        {"two spaces before the target", "GET  / HTTP/1.1\r\n", Scan::bad_start_line},
        {"two spaces after the target", "GET /  HTTP/1.1\r\n", Scan::bad_version},
        {"tab after the target", "GET /\tHTTP/1.1\r\n", Scan::bad_target},
        {"space in the target", "GET /a b HTTP/1.1\r\n", Scan::bad_version},
        {"space after the version", "GET / HTTP/1.1 \r\n", Scan::bad_version},
        {"version in lower case", "GET / http/1.1\r\n", Scan::bad_version},
        {"HTTP/2 preface", "OPTIONS * HTTP/2.0\r\n", Scan::bad_version},
        {"two-digit minor version", "GET / HTTP/1.10\r\n", Scan::bad_version},
        {"no minor version", "GET / HTTP/1.\r\n", Scan::bad_version},
        {"no minor version at all", "GET / HTTP/1\r\n", Scan::bad_version},
        {"another protocol", "GET / ICY/1.1\r\n", Scan::bad_version},
        {"no version", "GET / \r\n", Scan::bad_version},
        {"bare LF", "GET / HTTP/1.1\n", Scan::bad_line_end},
        {"bare CR", "GET / HTTP/1.1\rHost: a\r\n", Scan::bad_line_end},
        {"two CR", "GET / HTTP/1.1\r\r\n", Scan::bad_line_end},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CAPTURE(row.line);
        CHECK(word(Scanned(row.line + "Host: a\r\n\r\n").scan) == word(row.want));
    }
}

TEST_CASE("a target is origin-form, absolute-form, or * with OPTIONS")
{
    struct Row {
        std::string why;
        std::string method, target;
        Scan want;
        std::string authority, path, query;
        bool has_query;
    };
    const Row rows[] = {
        {"origin-form", "GET", "/a", Scan::ok, "a", "/a", "", false},
        {"an empty query is a query", "GET", "/a?", Scan::ok, "a", "/a", "", true},
        {"the first ? ends the path", "GET", "/a?b?c", Scan::ok, "a", "/a", "b?c", true},
        {"bytes nobody should send, but many do", "GET", "/\"<>\\^`{|}", Scan::ok, "a", "/\"<>\\^`{|}", "", false},
        {"escapes are not judged here", "GET", "/%zz%", Scan::ok, "a", "/%zz%", "", false},
        {"// is origin-form", "GET", "//b/c", Scan::ok, "a", "//b/c", "", false},
        {"absolute-form replaces Host", "GET", "http://b:80/c?d", Scan::ok, "b:80", "/c", "d", true},
        {"the scheme has no case", "GET", "HtTpS://b/", Scan::ok, "b", "/", "", false},
        {"no path is /", "GET", "http://b", Scan::ok, "b", "/", "", false},
        {"no path, but a query", "GET", "http://b?c", Scan::ok, "b", "/", "c", true},
        {"IPv6", "GET", "http://[::1]:8080/", Scan::ok, "[::1]:8080", "/", "", false},
        {"the whole server", "OPTIONS", "*", Scan::ok, "a", "*", "", false},
        {"the whole server, absolute", "OPTIONS", "http://b", Scan::ok, "b", "*", "", false},
        {"* is for OPTIONS only", "GET", "*", Scan::bad_target, "", "", "", false},
        {"** is nothing", "OPTIONS", "**", Scan::bad_target, "", "", "", false},
        {"authority-form is for CONNECT", "GET", "b:80", Scan::bad_target, "", "", "", false},
        {"relative path", "GET", "a/b", Scan::bad_target, "", "", "", false},
        {"only a query", "GET", "?a", Scan::bad_target, "", "", "", false},
        {"other schemes", "GET", "ftp://b/", Scan::bad_target, "", "", "", false},
        {"no authority", "GET", "http:///c", Scan::bad_target, "", "", "", false},
        {"user information", "GET", "http://u:p@b/", Scan::bad_target, "", "", "", false},
        {"invalid port", "GET", "http://b:x/", Scan::bad_target, "", "", "", false},
        {"a fragment is never sent", "GET", "/a#b", Scan::bad_target, "", "", "", false},
        {"DEL", "GET", "/\x7f", Scan::bad_target, "", "", "", false},
        {"NUL", "GET", "/\0"s, Scan::bad_target, "", "", "", false},
        {"control byte", "GET", "/\x01", Scan::bad_target, "", "", "", false},
        {"above ASCII", "GET", "/\xc3\xa4", Scan::bad_target, "", "", "", false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CAPTURE(row.target);
        const Scanned scanned(row.method + " " + row.target + " HTTP/1.1\r\nHost: a\r\n\r\n");
        CHECK(word(scanned.scan) == word(row.want));
        if (scanned.scan != Scan::ok) continue;
        CHECK(scanned.head.target == row.target);
        CHECK(scanned.head.authority == row.authority);
        CHECK(scanned.head.path == row.path);
        CHECK(scanned.head.query == row.query);
        CHECK(scanned.head.has_query == row.has_query);
    }
}

TEST_CASE("a field line is a token, a colon and a value without control bytes, ended by CR LF")
{
    struct Row {
        std::string why;
        std::string line;
        Scan want;
    };
    const Row rows[] = {
        {"plain", "A: b\r\n", Scan::ok},
        {"no space", "A:b\r\n", Scan::ok},
        {"empty value", "A:\r\n", Scan::ok},
        {"value of spaces", "A: \t \r\n", Scan::ok},
        {"tab inside", "A: b\tc\r\n", Scan::ok},
        {"bytes above ASCII", "A: \xff\x80\r\n", Scan::ok},
        {"odd but valid name", "!#$%&'*+-.^_`|~: b\r\n", Scan::ok},
        {"colon in the value", "A: b:c\r\n", Scan::ok},
        {"space before the colon", "A : b\r\n", Scan::bad_field},
        {"tab before the colon", "A\t: b\r\n", Scan::bad_field},
        {"no name", ": b\r\n", Scan::bad_field},
        {"no colon", "A\r\n", Scan::bad_field},
        {"no colon, bare LF", "A\n", Scan::bad_line_end},
        {"space in the name", "A B: c\r\n", Scan::bad_field},
        {"name above ASCII", "\xc4: b\r\n", Scan::bad_field},
        {"slash in the name", "A/B: c\r\n", Scan::bad_field},
        {"NUL in the name", "A\0: c\r\n"s, Scan::bad_field},
        {"obs-fold", "A: b\r\n c\r\n", Scan::bad_field},
        {"obs-fold with a tab", "A: b\r\n\tc\r\n", Scan::bad_field},
        {"an indented line", " A: b\r\n", Scan::bad_field},
        {"NUL in the value", "A: b\0c\r\n"s, Scan::bad_field},
        {"ESC in the value", "A: 0123456789\x1b\r\n", Scan::bad_field},
        {"DEL in the value", "A: 0123456789\x7f\r\n", Scan::bad_field},
        {"bare LF", "A: b\n", Scan::bad_line_end},
        {"bare LF behind eight bytes", "A: 12345678\nB: c\r\n", Scan::bad_line_end},
        {"bare CR", "A: b\rc\r\n", Scan::bad_line_end},
        {"two CR", "A: b\r\r\n", Scan::bad_line_end},
        {"CR before LF CR", "\r\r\n", Scan::bad_line_end},
        {"an empty line of LF", "\n", Scan::bad_line_end},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CAPTURE(row.line);
        CHECK(word(Scanned(with_fields(row.line)).scan) == word(row.want));
    }
}

TEST_CASE("every control byte in a value is refused at every place, and every other byte is kept")
{
    for (int byte = 0; byte < 256; ++byte) {
        for (std::size_t place = 0; place < 20; ++place) {
            std::string value(20, 'x');
            value[place] = static_cast<char>(byte);
            const Scanned scanned(with_fields("A: " + value + "\r\n"));
            const bool control = (byte < 0x20 && byte != '\t') || byte == 0x7f;
            CAPTURE(byte);
            CAPTURE(place);
            CHECK((scanned.scan == Scan::ok) == !control);
            if (control || scanned.scan != Scan::ok) continue;
            CHECK(scanned.head.fields.all[1].value == trim(value));
            CHECK(Scanned(with_fields("A:" + value + "\r\n")).head.fields.all[1].value == trim(value));
        }
    }
}

TEST_CASE("RFC 9112 6.3: a body's length is said once and in one way, or the request is refused")
{
    struct Row {
        std::string why;
        std::string fields;
        Scan want;
        BodyKind body;
        std::uint64_t length;
    };
    const Row rows[] = {
        {"nothing said, no body", "", Scan::ok, BodyKind::none, 0},
        {"a length", "Content-Length: 12\r\n", Scan::ok, BodyKind::length, 12},
        {"0 is no body", "Content-Length: 0\r\n", Scan::ok, BodyKind::none, 0},
        {"leading zeros are digits", "Content-Length: 007\r\n", Scan::ok, BodyKind::length, 7},
        {"the largest", "Content-Length: 9223372036854775807\r\n", Scan::ok, BodyKind::length, INT64_MAX},
        {"one more", "Content-Length: 9223372036854775808\r\n", Scan::bad_length, {}, 0},
        {"above 64 bits", "Content-Length: 18446744073709551616\r\n", Scan::bad_length, {}, 0},
        {"empty", "Content-Length:\r\n", Scan::bad_length, {}, 0},
        {"plus sign", "Content-Length: +5\r\n", Scan::bad_length, {}, 0},
        {"minus sign", "Content-Length: -5\r\n", Scan::bad_length, {}, 0},
        {"hex", "Content-Length: 0x5\r\n", Scan::bad_length, {}, 0},
        {"fraction", "Content-Length: 5.0\r\n", Scan::bad_length, {}, 0},
        {"space inside", "Content-Length: 1 2\r\n", Scan::bad_length, {}, 0},
        {"list", "Content-Length: 5, 5\r\n", Scan::bad_length, {}, 0},
        {"trailing comma", "Content-Length: 5,\r\n", Scan::bad_length, {}, 0},
        {"twice the same", "Content-Length: 5\r\nContent-Length: 5\r\n", Scan::bad_length, {}, 0},
        {"twice, different", "Content-Length: 5\r\ncontent-length: 6\r\n", Scan::bad_length, {}, 0},
        {"twice, zero", "Content-Length: 0\r\nContent-Length: 0\r\n", Scan::bad_length, {}, 0},
        {"chunked", "Transfer-Encoding: chunked\r\n", Scan::ok, BodyKind::chunked, 0},
        {"in any case", "transfer-encoding: CHUNKED\r\n", Scan::ok, BodyKind::chunked, 0},
        {"another coding first", "Transfer-Encoding: gzip, chunked\r\n", Scan::bad_transfer_encoding, {}, 0},
        {"another coding", "Transfer-Encoding: gzip\r\n", Scan::bad_transfer_encoding, {}, 0},
        {"identity", "Transfer-Encoding: identity\r\n", Scan::bad_transfer_encoding, {}, 0},
        {"empty", "Transfer-Encoding:\r\n", Scan::bad_transfer_encoding, {}, 0},
        {"a parameter", "Transfer-Encoding: chunked;q=1\r\n", Scan::bad_transfer_encoding, {}, 0},
        {"quoted", "Transfer-Encoding: \"chunked\"\r\n", Scan::bad_transfer_encoding, {}, 0},
        {"a list that ends empty", "Transfer-Encoding: chunked,\r\n", Scan::bad_transfer_encoding, {}, 0},
        {"nearly", "Transfer-Encoding: xchunked\r\n", Scan::bad_transfer_encoding, {}, 0},
        {"a vertical tab before it",
         "Transfer-Encoding: \x0b"
         "chunked\r\n",
         Scan::bad_field,
         {},
         0},
        {"twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Scan::bad_transfer_encoding, {}, 0},
        {"identity, then chunked",
         "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n",
         Scan::bad_transfer_encoding,
         {},
         0},
        {"both", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Scan::bad_transfer_encoding, {}, 0},
        {"both, the other way",
         "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
         Scan::bad_transfer_encoding,
         {},
         0},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CAPTURE(row.fields);
        const Scanned scanned(with_fields(row.fields));
        CHECK(word(scanned.scan) == word(row.want));
        if (scanned.scan != Scan::ok) continue;
        CHECK(scanned.head.body == row.body);
        CHECK(scanned.head.content_length == row.length);
    }
    CHECK(Scanned("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").scan == Scan::bad_transfer_encoding);
}

TEST_CASE("Host stands once and is valid; HTTP/1.0 may leave it out")
{
    struct Row {
        std::string why;
        std::string version, fields;
        Scan want;
        std::string authority;
    };
    const Row rows[] = {
        {"once", "1.1", "Host: a.b\r\n", Scan::ok, "a.b"},
        {"missing", "1.1", "", Scan::bad_host, ""},
        {"missing in 1.0", "1.0", "", Scan::ok, ""},
        {"empty", "1.1", "Host:\r\n", Scan::bad_host, ""},
        {"empty in 1.0", "1.0", "Host:\r\n", Scan::ok, ""},
        {"twice", "1.1", "Host: a\r\nHost: a\r\n", Scan::bad_host, ""},
        {"twice in 1.0", "1.0", "Host: a\r\nHost: b\r\n", Scan::bad_host, ""},
        {"invalid", "1.1", "Host: a b\r\n", Scan::bad_host, ""},
        {"invalid in 1.0", "1.0", "Host: a/b\r\n", Scan::bad_host, ""},
        {"user information", "1.1", "Host: u@a\r\n", Scan::bad_host, ""},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const Scanned scanned("GET / HTTP/" + row.version + "\r\n" + row.fields + "\r\n");
        CHECK(word(scanned.scan) == word(row.want));
        CHECK(scanned.head.authority == row.authority);
    }
    CHECK(Scanned("GET http://a/ HTTP/1.1\r\n\r\n").scan == Scan::bad_host);
    CHECK(Scanned("GET http://a/ HTTP/1.1\r\nHost: b c\r\n\r\n").scan == Scan::bad_host);
}

TEST_CASE("RFC 3986 3.2.2: a host is a name, an IPv4 or a bracketed IPv6 address, with a port or without")
{
    struct Row {
        std::string why;
        std::string host;
        bool want;
    };
    const Row rows[] = {
        {"name", "example.com", true},
        {"with port", "example.com:8080", true},
        {"an empty port is legal", "a:", true},
        {"largest port", "a:65535", true},
        {"IPv4", "127.0.0.1", true},
        {"IPv6", "[::1]", true},
        {"IPv6 with port", "[2001:db8::1]:80", true},
        {"IPv4 in IPv6", "[::ffff:1.2.3.4]", true},
        {"underscore, as in compose files", "my_app", true},
        {"percent-encoded", "a%2Db", true},
        {"sub-delims", "a!$&'()*+,;=b", true},
        {"empty", "", false},
        {"only a port", ":80", false},
        {"port above 65535", "a:65536", false},
        {"port of six digits", "a:000080", false},
        {"port with a letter", "a:8o", false},
        {"two ports", "a:1:2", false},
        {"IPv6 without brackets", "::1", false},
        {"open bracket", "[::1", false},
        {"bytes after the bracket", "[::1]a", false},
        {"zone", "[fe80::1%25eth0]", false},
        {"not IPv6", "[a]", false},
        {"empty brackets", "[]", false},
        {"user information", "u@a", false},
        {"slash", "a/b", false},
        {"space", "a b", false},
        {"question mark", "a?b", false},
        {"cut escape", "a%2", false},
        {"bad escape", "a%zz", false},
        {"above ASCII", "\xc3\xa4", false},
        {"quote", "a\"b", false},
        {"backslash", "a\\b", false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CAPTURE(row.host);
        CHECK(is_valid_host(row.host) == row.want);
    }
}

TEST_CASE("Connection, Upgrade and Expect say what the client wants, over several lines and in any case")
{
    struct Row {
        std::string why;
        std::string version, fields;
        bool keep_alive, upgrade, expects_continue;
    };
    const Row rows[] = {
        {"1.1 stays open", "1.1", "", true, false, false},
        {"close", "1.1", "Connection: close\r\n", false, false, false},
        {"close in a list", "1.1", "Connection: te, Close\r\n", false, false, false},
        {"close on a later line", "1.1", "Connection: te\r\nConnection: CLOSE\r\n", false, false, false},
        {"close beats keep-alive", "1.1", "Connection: keep-alive, close\r\n", false, false, false},
        {"not a token of the list", "1.1", "Connection: closed, xclose\r\n", true, false, false},
        {"1.0 closes", "1.0", "", false, false, false},
        {"1.0 with keep-alive", "1.0", "Connection: Keep-Alive\r\n", true, false, false},
        {"1.0 with both", "1.0", "Connection: keep-alive\r\nConnection: close\r\n", false, false, false},
        {"WebSocket", "1.1", "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n", true, true, false},
        {"named, but not there", "1.1", "Connection: upgrade\r\n", true, false, false},
        {"there, but not named", "1.1", "Upgrade: h2c\r\n", true, false, false},
        {"there, but empty", "1.1", "Connection: upgrade\r\nUpgrade:\r\n", true, false, false},
        {"on several lines", "1.1", "Upgrade: a\r\nConnection: te\r\nConnection: upgrade\r\n", true, true, false},
        {"another HTTP is no tunnel", "1.1", "Connection: upgrade\r\nUpgrade: h2c, HTTP/2.0, TLS/1.2\r\n", true, false,
         false},
        {"one of them is", "1.1", "Connection: upgrade\r\nUpgrade: h2c, websocket\r\n", true, true, false},
        {"1.0 has no Upgrade", "1.0", "Connection: upgrade\r\nUpgrade: a\r\n", false, false, false},
        {"Expect", "1.1", "Expect: 100-Continue\r\n", true, false, true},
        {"1.0 has no Expect", "1.0", "Expect: 100-continue\r\n", false, false, false},
        {"other expectations are none of ours", "1.1", "Expect: 200-maybe\r\n", true, false, false},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        const Scanned scanned("PUT / HTTP/" + row.version + "\r\nHost: a\r\n" + row.fields + "\r\n");
        REQUIRE(scanned.scan == Scan::ok);
        CHECK(scanned.head.keep_alive == row.keep_alive);
        CHECK(scanned.head.upgrade == row.upgrade);
        CHECK(scanned.head.expects_continue == row.expects_continue);
    }
}

TEST_CASE("limits are felt at the first byte above them, also in a head that has not ended")
{
    const HeadLimits limits{.head_bytes = 100, .target_bytes = 20, .fields_count = 3, .field_bytes = 30};
    struct Row {
        std::string why;
        std::string bytes;
        Scan want;
    };
    const auto x = [](std::size_t count) { return std::string(count, 'x'); };
    const std::string start = "GET / HTTP/1.1\r\nHost: a\r\n";  // 25 bytes
    const Row rows[] = {
        {"target at the limit", "GET /" + x(19) + " HTTP/1.1\r\nHost: a\r\n\r\n", Scan::ok},
        {"target above it", "GET /" + x(20) + " HTTP/1.1\r\nHost: a\r\n\r\n", Scan::target_too_long},
        {"target above it, not ended", "GET /" + x(20), Scan::target_too_long},
        {"target at the limit, not ended", "GET /" + x(19), Scan::incomplete},
        {"field at the limit", start + "A: " + x(27) + "\r\n\r\n", Scan::ok},
        {"field above it", start + "A: " + x(28) + "\r\n\r\n", Scan::head_too_large},
        {"field above it, not ended", start + "A: " + x(28), Scan::head_too_large},
        {"field name above it, not ended", start + x(31), Scan::head_too_large},
        {"field name above it, and no field at all", start + x(31) + "\n", Scan::head_too_large},
        {"field at the limit, not ended", start + "A: " + x(27), Scan::incomplete},
        {"fields at the limit", start + "A: b\r\nA: b\r\n\r\n", Scan::ok},
        {"one more", start + "A: b\r\nA: b\r\nA: b\r\n\r\n", Scan::head_too_large},
        {"head at the limit",
         start + "A: " + x(27) + "\r\nB: " + x(27) +
             "\r\n"
             "C:" +
             x(5),
         Scan::incomplete},
        {"head full and not ended", start + "A: " + x(27) + "\r\nB: " + x(27) + "\r\nC:" + x(9), Scan::head_too_large},
        {"what follows the head does not count", start + "\r\n" + x(1000), Scan::ok},
        {"a method without end", x(100), Scan::head_too_large},
    };
    for (const Row& row : rows) {
        CAPTURE(row.why);
        CHECK(word(Scanned(row.bytes, limits).scan) == word(row.want));
    }
    const std::string exact = start + "A: " + x(27) + "\r\nB: " + x(27) + "\r\n";
    HeadLimits tight;
    tight.head_bytes = exact.size() + 2;
    CHECK(Scanned(exact + "\r\n", tight).scan == Scan::ok);
    tight.head_bytes -= 1;
    CHECK(Scanned(exact + "\r\n", tight).scan == Scan::head_too_large);
    CHECK(Scanned("GET /" + x(200), HeadLimits{.head_bytes = 100}).scan == Scan::target_too_long);
}

TEST_CASE("a field name is known in any case, and no near miss is taken for it")
{
    constexpr std::pair<std::string_view, FieldId> known[] = {
#define X(name, text) {text, FieldId::name},
        LARDER_FIELDS(X)
#undef X
    };
    for (const auto& [text, id] : known) {
        CAPTURE(text);
        std::string name(text);
        CHECK(field_id(name) == id);
        for (char& c : name)
            if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 32);
        CHECK(field_id(name) == id);
        for (std::size_t i = 0; i < name.size(); ++i) {
            std::string near = name;
            near[i] = near[i] == '_' ? '.' : '_';
            CHECK(field_id(near) == FieldId::other);
        }
        CHECK(field_id(name + "x") == FieldId::other);
        CHECK(field_id(std::string_view(name).substr(1)) == FieldId::other);
    }
    CHECK(field_id("") == FieldId::other);
}

TEST_CASE("rebase moves every view to the copy, and leaves a path that is not among the bytes")
{
    Scanned scanned("GET http://b?q HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n");
    REQUIRE(scanned.scan == Scan::ok);
    const std::string copy(scanned.head.bytes);
    scanned.head.rebase(copy.data());
    std::fill(scanned.bytes.begin(), scanned.bytes.end(), '!');
    CHECK(scanned.head.bytes.data() == copy.data());
    CHECK(scanned.head.method_text == "GET");
    CHECK(scanned.head.target == "http://b?q");
    CHECK(scanned.head.authority == "b");
    CHECK(scanned.head.path == "/");
    CHECK(scanned.head.query == "q");
    CHECK(scanned.head.fields.all[1].name == "X");
    CHECK(scanned.head.fields.value(FieldId::host) == "a");
}

TEST_CASE("a head that is used again keeps nothing of the request before")
{
    RequestHead head;
    const std::string first = "PUT /a?b HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 3\r\n\r\n";
    const std::string second = "GET http://c HTTP/1.1\r\nHost: d\r\n\r\n";
    REQUIRE(scan_request(first, {}, head) == Scan::ok);
    REQUIRE(scan_request(second, {}, head) == Scan::ok);
    CHECK(head.method == Method::get);
    CHECK(head.query.empty());
    CHECK_FALSE(head.has_query);
    CHECK(head.content_length == 0);
    CHECK(head.body == BodyKind::none);
    CHECK(head.fields.all.size() == 1);
}

TEST_CASE("every fault has a status, a word and a text")
{
    CHECK(status_for(Scan::ok) == 200);
    CHECK(status_for(Scan::bad_host) == 400);
    CHECK(status_for(Scan::target_too_long) == 414);
    CHECK(status_for(Scan::head_too_large) == 431);
    CHECK(status_for(Scan::bad_status) == 502);
    CHECK(word(Scan::bad_line_end) == "bad-line-end");
    CHECK(text(Scan::bad_line_end) == "a line does not end with CR LF");
}
