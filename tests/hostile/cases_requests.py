"""Requirements 1 to 10: what clients send. RFC 9112, RFC 9110 §5 and §7, and what is known of request smuggling."""

import json

from harness import Client, Larder, Origin, check, get

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n"


def start(binary):
    origin = Origin()
    return origin, Larder(binary, origin, RULES, "timeouts: {client_head: 2s, client_body: 2s}\n")


RULES = """rules:
  - {name: page, match: "GET /cached/{rest*}", key: "page:{path}:{query}", ttl: 60s, query: strict}
"""

HOST = b"Host: app.test\r\n"


def head(line, *fields):
    return line + b"\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def post(*fields, body=b""):
    return head(b"POST /@ HTTP/1.1", b"Host: app.test", *fields) + body


def chunked(body):
    return post(b"Transfer-Encoding: chunked", body=body)


# Each is answered once, with one of the statuses, and the connection ends; nothing of it reaches the app as a whole
# request, and what stands behind it is no request at all.
REJECTED = [
    # (2) framing that can be read in two ways
    ("2 Content-Length and Transfer-Encoding", post(b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    ("2 Transfer-Encoding and Content-Length", post(b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n")),
    ("2 both, with Content-Length 0", post(b"Content-Length: 0", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    ("2 both, and Connection names one", post(b"Connection: Content-Length", b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    *[
        (f"2 Transfer-Encoding {value!r}", post(b"Transfer-Encoding:" + value, body=b"0\r\n\r\n"))
        for value in (
            b" identity", b" gzip", b" gzip, chunked", b" chunked, gzip", b" chunked, chunked", b" chunked, identity",
            b" xchunked", b" chunkedx", b" chunk", b" \x0bchunked", b" \"chunked\"", b" chunked;q=1", b"", b" ,chunked",
            b" chunked,", b" chunked\x00", b" chu\tnked", b" cow", b" 'chunked'", b" chunked, ", b" x, chunked",
        )
    ],
    ("2 Transfer-Encoding twice", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    ("2 Transfer-Encoding twice, one identity", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n")),
    ("2 Transfer-Encoding in HTTP/1.0", head(b"POST /@ HTTP/1.0", b"Host: app.test", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    ("2 Transfer-Encoding in HTTP/1.0, kept alive", head(b"POST /@ HTTP/1.0", b"Host: app.test", b"Connection: keep-alive", b"Transfer-Encoding: chunked") + b"0\r\n\r\n"),
    ("2 Transfer-Encoding after white space", post(b" Transfer-Encoding: chunked", body=b"0\r\n\r\n")),
    ("2 Transfer-Encoding before white space", post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n")),
    ("2 Transfer-Encoding with a tab before the colon", post(b"Transfer-Encoding\t: chunked", body=b"0\r\n\r\n")),
    ("2 Transfer-Encoding folded", post(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n")),
    ("2 Transfer-Encoding hidden in a bare CR", post(b"X: y\rTransfer-Encoding: chunked", body=b"0\r\n\r\n")),
    ("2 Transfer-Encoding hidden in a bare LF", post(b"X: y\nTransfer-Encoding: chunked", body=b"0\r\n\r\n")),
    ("2 Transfer-Encoding with NUL in the name", post(b"Transfer\x00-Encoding: chunked", body=b"0\r\n\r\n")),
    *[
        (f"2 Content-Length {value!r}", post(b"Content-Length:" + value, body=b"12345"))
        for value in (
            b" +5", b" -5", b"", b" ", b" 0x5", b" 5 5", b" 5,5", b" 5, 6", b" 5;", b" 5.0", b" 5e0", b" five", b" 5a",
            b" \"5\"", b" 99999999999999999999", b" 18446744073709551616", b" 9223372036854775808", b" 184467440737095516160",
            b" \x0b5", b" 5\x00", b" 5,", b" ,5", b" 1_0", b" \xb2", b" - 5", b" 00000000000000000000000000000005 5",
        )
    ],
    ("2 Content-Length twice, different", post(b"Content-Length: 5", b"Content-Length: 6", body=b"123456")),
    ("2 Content-Length twice, the same", post(b"Content-Length: 5", b"Content-Length: 5", body=b"12345")),
    ("2 Content-Length on a GET, twice", head(b"GET /@ HTTP/1.1", b"Host: app.test", b"Content-Length: 0", b"Content-Length: 44")),
    ("2 Content-Length before white space", post(b"Content-Length : 5", body=b"12345")),
    # (3) chunks
    *[
        (f"3 chunks {body!r}", chunked(body))
        for body in (
            b"5\n12345\r\n0\r\n\r\n", b"5\r12345\r\n0\r\n\r\n", b"5\r\n12345\n0\r\n\r\n", b"5\r\n123450\r\n\r\n",
            b"5\r\n1234\r\n0\r\n\r\n", b"5\r\n123456\r\n0\r\n\r\n", b" 5\r\n12345\r\n0\r\n\r\n", b"\t5\r\n12345\r\n0\r\n\r\n",
            b"0x5\r\n12345\r\n0\r\n\r\n", b"+5\r\n12345\r\n0\r\n\r\n", b"-5\r\n12345\r\n0\r\n\r\n", b"5h\r\n12345\r\n0\r\n\r\n",
            b"\r\n0\r\n\r\n", b"g\r\n12345\r\n0\r\n\r\n", b"5_0\r\n12345\r\n0\r\n\r\n", b"5\x00\r\n12345\r\n0\r\n\r\n",
            b"10000000000000000\r\n12345\r\n0\r\n\r\n", b"10000000000000005\r\n12345\r\n0\r\n\r\n",
            b"fffffffffffffffff\r\n12345\r\n0\r\n\r\n", b"ffffffffffffffff0\r\n1\r\n0\r\n\r\n", b"ffffffffffffffff\r\n12345\r\n0\r\n\r\n", b"8000000000000000\r\n12345\r\n0\r\n\r\n",
            b"5;a\n=b\r\n12345\r\n0\r\n\r\n", b"5;a=\rb\r\n12345\r\n0\r\n\r\n", b"5;a=\x00\r\n12345\r\n0\r\n\r\n",
            b"5\r\n12345\r\n0\r\nX: y\n\r\n", b"5\r\n12345\r\n0\r\n X: y\r\n\r\n", b"5\r\n12345\r\n0\r\nX y\r\n\r\n",
            b"5\r\n12345\r\n0\r\nX: y\x00\r\n\r\n", b"5\r\n12345\r\n0\r\n: y\r\n\r\n", b"5\r\n12345\r\n0\n\r\n",
            b"5\r\n12345\r\n0\r\n\n", b"5\r\n12345\r\n\r\n0\r\n\r\n", b"5\r\r\n12345\r\n0\r\n\r\n", b"5 \r12345\r\n0\r\n\r\n",
            b"5\r\n12345\r\n0\r\nX : y\r\n\r\n", b"5\r\n12345\r\n00000000000000000000g\r\n\r\n",
        )
    ],
    ("3 a chunk extension without end", chunked(b"5;" + b"a" * 70_000)),
    ("3 chunk extensions in every chunk", chunked(b"".join(b"1;" + b"a" * 3000 + b"\r\nx\r\n" for _ in range(200)) + b"0\r\n\r\n")),
    ("3 trailers without end", chunked(b"0\r\n" + b"X: y\r\n" * 20_000)),
    ("3 one trailer without end", chunked(b"0\r\nX: " + b"y" * 100_000)),
    # (5) bytes that are none of a head's
    *[
        (f"5 {name}", head(b"GET /@ HTTP/1.1", b"Host: app.test", field))
        for name, field in (
            ("NUL in a value", b"X: a\x00b"), ("NUL in a name", b"X\x00: a"), ("SOH in a value", b"X: a\x01b"),
            ("ESC in a value", b"X: a\x1bb"), ("DEL in a value", b"X: a\x7fb"), ("BS in a value", b"X: a\x08b"),
            ("VT in a value", b"X: a\x0bb"), ("FF in a value", b"X: a\x0cb"),
            ("a bare CR in a value", b"X: a\rb"), ("a bare CR at the end of a value", b"X: a\r"), ("a bare LF in a value", b"X: a\nb"),
            ("a bare CR in a name", b"X\rY: a"), ("a folded line", b"X: a\r\n b"), ("a folded line by a tab", b"X: a\r\n\tb"),
            ("a line of white space only", b"X: a\r\n "), ("an empty name", b": a"), ("no colon", b"X a"), ("a space before the colon", b"X : a"),
            ("a tab before the colon", b"X\t: a"), ("a space in a name", b"X Y: a"), ("a leading space", b" X: a"),
            ("a slash in a name", b"X/Y: a"), ("parentheses in a name", b"X(Y): a"), ("a comma in a name", b"X,Y: a"),
            ("a quote in a name", b"\"X\": a"), ("a byte above ASCII in a name", b"X\xe9: a"), ("UTF-8 in a name", "Ü: a".encode()),
            ("an @ in a name", b"X@Y: a"), ("a bracket in a name", b"X[0]: a"), ("an = in a name", b"X=Y: a"), ("a { in a name", b"{X}: a"),
            ("a full-width colon", "X： a".encode()),
        )
    ],
    ("5 a first field with leading space", b"GET /@ HTTP/1.1\r\n X: a\r\nHost: app.test\r\n\r\n"),
    ("5 LF only", b"GET /@ HTTP/1.1\nHost: app.test\n\n"),
    ("5 LF only at the end", b"GET /@ HTTP/1.1\r\nHost: app.test\r\n\n"),
    ("5 CR only", b"GET /@ HTTP/1.1\rHost: app.test\r\r"),
    ("5 LF after the request line", b"GET /@ HTTP/1.1\nHost: app.test\r\n\r\n"),
    # (6) Host
    ("6 no Host", head(b"GET /@ HTTP/1.1")),
    ("6 two Hosts", head(b"GET /@ HTTP/1.1", b"Host: app.test", b"Host: other.test")),
    ("6 two Hosts, the same", head(b"GET /@ HTTP/1.1", b"Host: app.test", b"Host: app.test")),
    ("6 two Hosts around another field", head(b"GET /@ HTTP/1.1", b"Host: app.test", b"X: y", b"host: evil.test")),
    *[
        (f"6 Host {value!r}", head(b"GET /@ HTTP/1.1", b"Host: " + value))
        for value in (
            b"a b", b"a/b", b"user@app.test", b"user:pw@app.test", b"app.test:port", b"app.test:65536", b"app.test:-1",
            b"app.test:80:80", b"app.test:8 0", b"\xe9.test", "ü.test".encode(), b"app.test#x",
            b"app.test?x", b"app.test\\x", b"[::1", b"::1]", b"[::1]x", b"[gg::1]", b"app..test:", b"a\tb", b"",
            b"<script>", b"app.test:99999999999", b"\"app.test\"", b"http://app.test", b"app.test:+80", b"[]", b"{app}",
        )
        if value != b"app..test:"
    ],
    ("6 an absolute target with userinfo", head(b"GET http://user@app.test/@ HTTP/1.1", b"Host: app.test")),
    ("6 an absolute target without host", head(b"GET http:///@ HTTP/1.1", b"Host: app.test")),
    ("6 an absolute target with a bad port", head(b"GET http://app.test:x/@ HTTP/1.1", b"Host: app.test")),
    ("6 an absolute target, and no Host", head(b"GET http://app.test/@ HTTP/1.1")),
    ("6 an absolute target, and a bad Host", head(b"GET http://app.test/@ HTTP/1.1", b"Host: a b")),
    # (7) start lines
    *[
        (f"7 {line!r}", head(line, b"Host: app.test"))
        for line in (
            b"GE T /@ HTTP/1.1", b"G@T /@ HTTP/1.1", b"GET\x00 /@ HTTP/1.1", b"(GET) /@ HTTP/1.1", b"G\xc9T /@ HTTP/1.1", b" GET /@ HTTP/1.1",
            b"GET  /@ HTTP/1.1", b"GET\t/@ HTTP/1.1", b"GET /@\tHTTP/1.1", b"GET /@  HTTP/1.1", b"GET /@ HTTP/1.1 ", b"GET /@ HTTP/1.1\t",
            b"GET /@ /b HTTP/1.1", b"GET /@", b"GET /@ ", b"GET", b"/@ HTTP/1.1", b"GET /@ HTTP/1.1 HTTP/1.1",
            b"GET /@ http/1.1", b"GET /@ Http/1.1", b"GET /@ HTTP/1.10", b"GET /@ HTTP/1", b"GET /@ HTTP/1.", b"GET /@ HTTP/.1", b"GET /@ HTTP/11",
            b"GET /@ HTTP/01.1", b"GET /@ HTTP/1.01", b"GET /@ HTTP/ 1.1", b"GET /@ HTTP /1.1", b"GET /@ HTTP/+1.1", b"GET /@ HTTP/1,1", b"GET /@ XTTP/1.1",
            b"GET /@ HTTP/1.1x", b"GET /@ HTTP/0.9", b"GET /@ HTTP\\1.1", b"GET /@ ICY/1.1", b"GET /@ HTTPS/1.1", b"GET /@ HTTP/1.\xb9",
            b"GET @ HTTP/1.1", b"GET a/@ HTTP/1.1", b"GET ./@ HTTP/1.1", b"GET ?x=/@ HTTP/1.1", b"GET * HTTP/1.1", b"POST * HTTP/1.1", b"GET *x HTTP/1.1",
            b"GET /@#fragment HTTP/1.1", b"GET /@\x00 HTTP/1.1", b"GET /@\x01 HTTP/1.1", b"GET /@\x7f HTTP/1.1", b"GET /@\x0b HTTP/1.1", b"GET /@\rx HTTP/1.1",
            b"GET app.test:80 HTTP/1.1", b"GET //app.test:x HTTP/1.1"[:0] + b"GET app.test HTTP/1.1", b"GET ftp://app.test/@ HTTP/1.1", b"GET http:/@ HTTP/1.1",
            b"GET http:@ HTTP/1.1", b"GET file:///@ HTTP/1.1", b"GET gopher://app.test/@ HTTP/1.1", b"GET \\@ HTTP/1.1",
            b"OPTIONS *x HTTP/1.1", b"OPTIONS ** HTTP/1.1",
        )
    ],
    ("7 a byte above ASCII in the target", head(b"GET /@\xe9 HTTP/1.1", b"Host: app.test")),
    ("7 a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200),
    ("7 an SSH greeting", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"),
]

# Other statuses than 400 that say what is wrong.
REJECTED_BY = [
    ("7 HTTP/2.0 by name", {400, 505}, head(b"GET /@ HTTP/2.0", b"Host: app.test")),
    ("7 HTTP/3.0 by name", {400, 505}, head(b"GET /@ HTTP/3.0", b"Host: app.test")),
    ("7 HTTP/1.2 by name", {200, 400, 505}, head(b"GET /@ HTTP/1.2", b"Host: app.test", b"Connection: close")),
    ("7 the preface of HTTP/2", {400, 505}, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ("7 CONNECT", {400, 405, 501}, head(b"CONNECT app.test:80 HTTP/1.1", b"Host: app.test")),
    ("7 CONNECT with a path", {400, 405, 501}, head(b"CONNECT /@ HTTP/1.1", b"Host: app.test")),
    ("7 CONNECT with an absolute target", {400, 405, 501}, head(b"CONNECT http://app.test/@ HTTP/1.1", b"Host: app.test")),
    ("10 a head above the limit", {431}, head(b"GET /@ HTTP/1.1", b"Host: app.test", *[b"X-%d: " % i + b"a" * 1000 for i in range(100)])),
    ("10 one field above the limit", {431}, head(b"GET /@ HTTP/1.1", b"Host: app.test", b"X: " + b"a" * 100_000)),
    ("10 a field name above the limit", {431}, head(b"GET /@ HTTP/1.1", b"Host: app.test", b"X" * 100_000 + b": a")),
    ("10 one field too large", {431}, head(b"GET /@ HTTP/1.1", b"Host: app.test", b"X: " + b"a" * 17_000)),
    ("10 too many fields", {431}, head(b"GET /@ HTTP/1.1", b"Host: app.test", *[b"X: a"] * 1000)),
    ("10 a target above the limit", {414}, head(b"GET /@" + b"a" * 100_000 + b" HTTP/1.1", b"Host: app.test")),
    ("10 a query above the limit", {414}, head(b"GET /@?" + b"a" * 100_000 + b" HTTP/1.1", b"Host: app.test")),
    ("10 a method without end", {400, 414, 431, 501}, b"G" * 100_000),
]


def play_rejected(origin, larder, number, name, statuses, data):
    path = b"/r%d" % number
    origin_count = len(origin.requests)
    hidden = b"/smuggled-%d" % number
    client = Client(larder.port).send(data.replace(b"/@", path) + SMUGGLED.replace(b"/smuggled", hidden))
    responses = client.read_to_end()
    client.close()
    check(len(responses) == 1, "one answer, and the end", responses)
    check(responses[0].status in statuses, f"one of {sorted(statuses)}", responses[0].head)
    if responses[0].status != 200:
        check(responses[0].get(b"connection").lower() == b"close", "it says that it closes", responses[0].head)
        check(json.loads(responses[0].body or b"{}") is not None, "the problem is JSON", responses[0].body)
        check(not origin.seen(path), "the app does not see it", [r.head for r in origin.seen(path)])
        check(len(origin.requests) == origin_count, "nor anything else", origin.requests[-1:])
    check(not origin.seen(hidden + b" "), "what stands behind it is no request", [r.head for r in origin.requests[-2:]])


def rejected(binary):
    origin, larder = start(binary)
    table = [(name, {400}, data) for name, data in REJECTED] + REJECTED_BY
    for number, (name, statuses, data) in enumerate(table):
        yield name, lambda n=number, w=name, s=statuses, d=data: play_rejected(origin, larder, n, w, s, d)
    yield "the app got nothing malformed from all this", lambda: check(not origin.faults, "faults", origin.faults)
    larder.stop()


# Each is forwarded as one request with this body, and the connection goes on.
ACCEPTED = [
    ("2 exactly chunked, in any case", post(b"Transfer-Encoding: ChUnKeD", body=b"5\r\n12345\r\n0\r\n\r\n"), b"12345"),
    ("2 chunked in optional white space", post(b"Transfer-Encoding:\t chunked \t", body=b"5\r\n12345\r\n0\r\n\r\n"), b"12345"),
    ("2 Content-Length with leading zeros", post(b"Content-Length: 0005", body=b"12345"), b"12345"),
    ("2 Content-Length in white space", post(b"Content-Length: \t5 \t", body=b"12345"), b"12345"),
    ("2 Content-Length without space", post(b"Content-Length:5", body=b"12345"), b"12345"),
    ("2 Content-Length 0", post(b"Content-Length: 0"), b""),
    ("3 extensions", chunked(b"5;a=b;c;d=\"e;f\"\r\n12345\r\n0;last\r\n\r\n"), b"12345"),
    ("3 white space before an extension", chunked(b"5 ;a\r\n12345\r\n0\t;\tb = c ; d\r\n\r\n"), b"12345"),
    ("3 many leading zeros of a size", chunked(b"00000000000000000005\r\n12345\r\n0\r\n\r\n"), b"12345"),
    ("3 leading zeros of a size", chunked(b"0000005\r\n12345\r\n000\r\n\r\n"), b"12345"),
    ("3 sizes in either case", chunked(b"A\r\n1234567890\r\na\r\n1234567890\r\n0\r\n\r\n"), b"1234567890" * 2),
    ("3 many small chunks", chunked(b"1\r\nx\r\n" * 500 + b"0\r\n\r\n"), b"x" * 500),
    ("3 binary data that looks like chunks", chunked(b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n"), b"\r\n0\r\n\r\n"),
    ("3 trailers", chunked(b"5\r\n12345\r\n0\r\nX-Trailer: a\r\nX-Other: b\r\n\r\n"), b"12345"),
    ("5 tabs and spaces around a value", head(b"GET /@ HTTP/1.1", b"Host: app.test", b"X:\t a \t"), b""),
    ("5 an empty value", head(b"GET /@ HTTP/1.1", b"Host: app.test", b"X:"), b""),
    ("5 every byte of a token as a name", head(b"GET /@ HTTP/1.1", b"Host: app.test", b"!#$%&'*+-.^_`|~09azAZ: a"), b""),
    ("5 bytes above ASCII in a value", head(b"GET /@ HTTP/1.1", b"Host: app.test", b"X: \xe9\xff"), b""),
    ("6 a port", head(b"GET /@ HTTP/1.1", b"Host: app.test:8080"), b""),
    ("6 an IPv6 address", head(b"GET /@ HTTP/1.1", b"Host: [::1]:8080"), b""),
    ("7 an unknown method", head(b"BREW /@ HTTP/1.1", b"Host: app.test"), b""),
    ("7 a lower-case method is another method", head(b"get /@ HTTP/1.1", b"Host: app.test"), b""),
    ("7 an empty line before", b"\r\n" + head(b"GET /@ HTTP/1.1", b"Host: app.test"), b""),
    ("9 a body on a GET", head(b"GET /@ HTTP/1.1", b"Host: app.test", b"Content-Length: 5") + b"12345", b"12345"),
    ("9 a chunked body on a GET", head(b"GET /@ HTTP/1.1", b"Host: app.test", b"Transfer-Encoding: chunked") + b"5\r\n12345\r\n0\r\n\r\n", b"12345"),
    ("9 a body on a DELETE", head(b"DELETE /@ HTTP/1.1", b"Host: app.test", b"Content-Length: 5") + b"12345", b"12345"),
    ("9 a body on an OPTIONS", head(b"OPTIONS /@ HTTP/1.1", b"Host: app.test", b"Content-Length: 5") + b"12345", b"12345"),
    ("9 a body on an unknown method", head(b"BREW /@ HTTP/1.1", b"Host: app.test", b"Content-Length: 5") + b"12345", b"12345"),
    ("9 a body that is a request", post(b"Content-Length: %d" % len(SMUGGLED), body=SMUGGLED), SMUGGLED),
    ("9 a body on a cached GET that is a request", head(b"GET /cached/@ HTTP/1.1", b"Host: app.test", b"Content-Length: %d" % len(SMUGGLED)) + SMUGGLED, SMUGGLED),
    ("9 Expect with its body", post(b"Expect: 100-continue", b"Content-Length: 5", body=b"12345"), b"12345"),
    ("9 Expect without a body", head(b"GET /@ HTTP/1.1", b"Host: app.test", b"Expect: 100-continue"), b""),
    ("10 a target of 8 KiB", head(b"GET /@" + b"a" * 8000 + b" HTTP/1.1", b"Host: app.test"), b""),
    ("10 a field of 8 KiB", head(b"GET /@ HTTP/1.1", b"Host: app.test", b"X: " + b"a" * 8000), b""),
    ("10 a hundred fields", head(b"GET /@ HTTP/1.1", b"Host: app.test", *[b"X-%d: a" % i for i in range(100)]), b""),
]


def play_accepted(origin, larder, number, data, body):
    path = b"/a%d" % number
    client = Client(larder.port).send(data.replace(b"/@", path) + head(b"GET /after HTTP/1.1", b"Host: app.test", b"Connection: close"))
    first, second = client.read_final(), client.read_final()
    check(first is not None and first.status == 200, "200", first)
    check(second is not None and second.status == 200, "the next request is answered too", second)
    check(client.read() is None, "and no third")
    client.close()
    seen = [request for request in origin.requests if path in request.head]
    check(len(seen) == 1, "the app sees it once", seen)
    check(seen[0].body == body, "with its body", seen[0].body[:200])
    check(not [r for r in origin.requests if r.target == b"/smuggled"], "a body is no request")


def accepted(binary):
    origin, larder = start(binary)
    for number, (name, data, body) in enumerate(ACCEPTED):
        yield name, lambda n=number, d=data, b=body: play_accepted(origin, larder, n, d, b)
    yield "the app got nothing malformed from all this", lambda: check(not origin.faults, "faults", origin.faults)
    larder.stop()


def forwarded(binary):
    """(1), (3), (4), (6), (8), (9), (19): what the app sees of a request, to the byte where it matters."""
    origin, larder = start(binary)

    def sent(data):
        count = len(origin.requests)
        client = Client(larder.port).send(data)
        response = client.read_final()
        client.close()
        check(response is not None and response.status == 200, "200", response)
        check(len(origin.requests) == count + 1, "one request")
        return origin.requests[-1]

    def rebuilt():
        seen = sent(b"GET /a HTTP/1.1\r\nhOsT:  app.test \r\nX-a:\t b\t\r\n\r\n")
        check(seen.head.startswith(b"GET /a HTTP/1.1\r\nHost: app.test\r\n"), "the head is written anew", seen.head)
        check(b"X-a: b\r\n" in seen.head, "without the client's white space", seen.head)

    yield "1 the head is written anew", rebuilt

    def absolute():
        seen = sent(b"GET http://real.test/a?b=c HTTP/1.1\r\nHost: app.test\r\n\r\n")
        check(seen.target == b"/a?b=c" and seen.all(b"host") == [b"real.test"], "authority of the target", seen.head)
        seen = sent(b"GET http://real.test:8080 HTTP/1.1\r\nHost: app.test\r\n\r\n")
        check(seen.target == b"/" and seen.all(b"host") == [b"real.test:8080"], "and / as its path", seen.head)
        seen = sent(b"OPTIONS * HTTP/1.1\r\nHost: app.test\r\n\r\n")
        check(seen.target == b"*", "OPTIONS * stays", seen.head)

    yield "6 the authority of an absolute target replaces Host", absolute

    def hop_by_hop():
        fields = (
            b"Connection: X-Own, keep-alive, close-not, Host, Content-Length, Authorization, Cache-Control, Cookie, X-Forwarded-For\r\n"
            b"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: trailers\r\nTrailer: X\r\nUpgrade: nonsense\r\n"
            b"Proxy-Authorization: Basic eA==\r\nX-Own: 1\r\nClose-Not: 1\r\nAuthorization: Basic eA==\r\nCookie: a=b\r\n"
            b"Cache-Control: no-cache\r\nContent-Length: 5\r\nX-Kept: 1\r\n"
        )
        seen = sent(b"POST /a HTTP/1.1\r\nHost: app.test\r\n" + fields + b"\r\n12345")
        for gone in (b"x-own", b"close-not", b"keep-alive", b"proxy-connection", b"upgrade", b"proxy-authorization"):
            check(not seen.all(gone), f"{gone.decode()} stays on its hop", seen.head)
        for kept in (b"host", b"content-length", b"authorization", b"cache-control", b"x-kept", b"x-forwarded-for"):
            check(len(seen.all(kept)) == 1, f"{kept.decode()} cannot be named away", seen.head)
        check(seen.body == b"12345", "the body is whole", seen.body)
        check(b"trailers" in seen.get(b"te") or not seen.all(b"te"), "TE is ours or not there", seen.head)

    yield "8 hop-by-hop fields end here, and Connection names nothing away that a standard protects", hop_by_hop

    def overrides():
        fields = (
            b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 6\r\n"
            b"X-Forwarded-Prefix: /evil\r\nX-Forwarded-Server: evil\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6;host=evil.test\r\n"
            b"X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX-Original-Host: evil.test\r\nX-Host: evil.test\r\nX-HTTP-Method-Override: DELETE\r\n"
            b"X-HTTP-Method: DELETE\r\nX-Method-Override: DELETE\r\nX-Forwarded-Scheme: https\r\nX-Forwarded-Ssl: on\r\nX-Forwarded-Path: /evil\r\n"
        )
        seen = sent(b"GET /a HTTP/1.1\r\nHost: app.test\r\n" + fields + b"\r\n")
        for word in (b"6.6.6.6", b"evil", b"/admin", b"DELETE"):
            check(word not in seen.head, f"{word.decode()} is not believed", seen.head)
        check(seen.all(b"x-forwarded-for") == [b"127.0.0.1"], "who asked", seen.head)
        check(seen.all(b"x-forwarded-proto") == [b"http"], "by what", seen.head)

    yield "19 fields by which a client could pretend another origin, target or method are dropped or overwritten", overrides

    def trailers():
        seen = sent(
            b"POST /a HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\n\r\n"
            b"5\r\n12345\r\n0\r\nX-Late: 1\r\nContent-Length: 99\r\nHost: evil.test\r\nTransfer-Encoding: x\r\nAuthorization: x\r\n\r\n"
        )
        check(not seen.all(b"x-late") and seen.all(b"host") == [b"app.test"], "trailers are no fields of the head", seen.head)
        for word in (b"Content-Length", b"Host", b"Transfer-Encoding", b"Authorization"):
            check(word.lower() not in seen.trailers.lower(), f"{word.decode()} is no trailer", seen.trailers)

    yield "3 trailers stay behind the body, and framing and routing are no trailers", trailers

    def override_trailers():
        seen = sent(
            b"POST /a HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n"
            b"X-Original-URL: /evil\r\nX-HTTP-Method-Override: DELETE\r\nX-Real-IP: 6.6.6.6\r\nX_Forwarded_For: evil\r\nX-Sum: 1\r\n\r\n"
        )
        check(b"X-Sum" in seen.trailers and b"evil" not in seen.trailers and b"DELETE" not in seen.trailers and b"6.6" not in seen.trailers, "nor overrides", seen.trailers)

    yield "19 overrides are no trailers either", override_trailers

    def aliases():
        seen = sent(
            b"GET /a HTTP/1.1\r\nHost: app.test\r\nContent_Length: 5\r\nTransfer_Encoding: chunked\r\nAccept_Language: evil\r\nProxy: http://evil\r\nHTTP_HOST: evil\r\nmy_own: 1\r\n\r\n"
        )
        names = {name for name, _ in seen.fields}
        check(not any(b"_" in name for name in names - {b"my_own"}) and b"proxy" not in names and b"my_own" in names, "no second spelling of a known field", seen.head)

    yield "19 fields that some servers take for others, with _ for -", aliases

    def lists():
        seen = sent(b"GET /a HTTP/1.1\r\nHost: app.test\r\nVia: 1.1 a\r\nVia: 1.1 b\r\n\r\n")
        check(seen.all(b"via") == [b"1.1 a, 1.1 b, 1.1 larder"], "every line of Via", seen.head)

    yield "8 a list in several lines is passed on whole", lists

    def expects_nothing():
        for method in (b"GET", b"OPTIONS", b"DELETE"):
            seen = sent(method + b" /a HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\n\r\n")
            check(not seen.all(b"expect"), "nothing is to be continued", seen.head)

    yield "9 Expect without a body is not passed on", expects_nothing

    def max_forwards():
        for method in (b"OPTIONS", b"TRACE"):
            before = len(origin.requests)
            client = Client(larder.port).send(method + b" /mf HTTP/1.1\r\nHost: app.test\r\nMax-Forwards: 0\r\n\r\n")
            check(client.read_final().status in (200, 405), "answered here")
            client.close()
            check(len(origin.requests) == before, "and not forwarded")
        for method, given, passed_on in ((b"OPTIONS", b"3", b"2"), (b"TRACE", b"1", b"0"), (b"OPTIONS", b"many", b"many"), (b"GET", b"3", b"3")):
            seen = sent(method + b" /mf HTTP/1.1\r\nHost: app.test\r\nMax-Forwards: " + given + b"\r\n\r\n")
            check(seen.all(b"max-forwards") == [passed_on], "one less where it counts", seen.head)

    yield "9 Max-Forwards", max_forwards

    def half_body(name, data):
        def play():
            count = len(origin.requests)
            client = Client(larder.port).send(data).half_close()
            responses = client.read_to_end()
            client.close()
            check(all(r.status >= 400 for r in responses), "no success for half a request", responses)
            check(len(origin.requests) == count, "the app never has it whole", origin.requests[count:])
            check(get(larder.port, "/after").status == 200, "and the next request is in step")

        return name, play

    yield half_body("4 half a body of known length", b"POST /half HTTP/1.1\r\nHost: app.test\r\nContent-Length: 10\r\n\r\n12345")
    yield half_body("4 half a chunk", b"POST /half HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\na\r\n12345")
    yield half_body("4 chunks without the last", b"POST /half HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n")
    yield half_body("4 a last chunk without its end", b"POST /half HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n")
    yield half_body("4 half a head", b"GET /half HTTP/1.1\r\nHost: app.test\r\n")

    def half_closed():
        client = Client(larder.port).send(b"GET /one HTTP/1.1\r\nHost: app.test\r\n\r\nGET /two HTTP/1.1\r\nHost: app.test\r\n\r\n").half_close()
        responses = client.read_to_end()
        client.close()
        check([r.status for r in responses] == [200, 200], "both are answered", responses)

    yield "9 a client that has said all and closed its side gets its answers", half_closed

    def pipelined():
        origin.on("/slow", lambda request: [b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", b"slow"])
        data = b"".join(
            b"GET /slow HTTP/1.1\r\nHost: app.test\r\n\r\n"
            b"POST /p%d HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\n\r\n12345"
            b"HEAD /h HTTP/1.1\r\nHost: app.test\r\n\r\n" % i
            for i in range(50)
        )
        client = Client(larder.port).send(data)
        for i in range(50):
            check(client.read_final().body == b"slow", "first")
            check(client.read_final().body == b"ok", "second")
            check(client.read_final(to_head=True).status == 200, "third")
        client.close()

    yield "9 a hundred and fifty pipelined requests are answered in their order", pipelined

    def expect_unknown():
        client = Client(larder.port).send(b"POST /a HTTP/1.1\r\nHost: app.test\r\nExpect: the-unexpected\r\nContent-Length: 0\r\n\r\n")
        response = client.read_final()
        client.close()
        check(response.status in (200, 417), "417, or as if it were not there", response)

    yield "9 an expectation that nobody knows", expect_unknown

    def expect_and_refuse():
        origin.on("/refuse", b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n")
        client = Client(larder.port).send(b"POST /refuse HTTP/1.1\r\nHost: app.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        first = client.read()
        if first.status == 100:
            client.send(b"12345")
            first = client.read()
        check(first.status == 403, "the app's word", first)
        client.send(b"GET /after HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
        rest = client.read_to_end()
        check(first.get(b"connection") == b"close" or [r.status for r in rest] == [200], "in step, or closed", rest)
        client.close()

    yield "9 Expect, and a refusal", expect_and_refuse

    for name, value in (("h2c", b"h2c"), ("websocket that the app does not take", b"websocket"), ("TLS/1.0", b"TLS/1.0")):

        def upgrade(value=value):
            origin.on("/upgrade", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            client = Client(larder.port).send(
                b"GET /upgrade HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: " + value + b"\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
            )
            response = client.read_final()
            check(response.status == 200, "no tunnel", response)
            if value == b"h2c":
                check(not origin.requests[-1].all(b"upgrade"), "h2c is not offered to the app", origin.requests[-1].head)
            client.close()

        yield f"7 Upgrade: {name}", upgrade

    def h2c_tunnel():
        origin.on("/h2c", b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        client = Client(larder.port).send(b"GET /h2c HTTP/1.1\r\nHost: app.test\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        response = client.read()
        client.close()
        check(response is None or response.status >= 500, "a 101 for h2c is no answer", response)

    yield "7 an app that switches to h2c all the same", h2c_tunnel
    yield "the app got nothing malformed from all this", lambda: check(not origin.faults, "faults", origin.faults)
    larder.stop()


GROUPS = [rejected, accepted, forwarded]
