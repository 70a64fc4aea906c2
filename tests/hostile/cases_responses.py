"""Requirements 11 to 15: what the app answers, and how it ends."""

import threading

from harness import OK, Client, Larder, Origin, await_that, check, get

RULES = """rules:
  - {name: page, match: "GET /cached/{rest*}", key: "page:{path}:{query}", ttl: 60s}
"""
OPTIONS = "max_object: 1MiB\nlimits: {response_head: 16KiB}\n"


def answer(line, *fields, body=b""):
    return line + b"\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def ok(*fields, body=b""):
    return answer(b"HTTP/1.1 200 OK", *fields, body=body)


# (11) Each is a 502, nothing of it is seen or stored, and the next request gets the app's next answer.
MALFORMED = [
    *[
        (f"11 status line {line!r}", answer(line, b"Content-Length: 2", body=b"ok"))
        for line in (
            b"HTTP/1.1", b"HTTP/1.1 ", b"HTTP/1.1 20 OK", b"HTTP/1.1 2000 OK", b"HTTP/1.1 abc OK", b"HTTP/1.1 -20 OK", b"HTTP/1.1 +20 OK",
            b"HTTP/1.1 099 OK", b"HTTP/1.1 000 OK", b"HTTP/1.1  200 OK", b"HTTP/1.1\t200 OK", b" HTTP/1.1 200 OK", b"http/1.1 200 OK", b"HTTP/2.0 200 OK",
            b"HTTP/2 200 OK", b"HTTP/1 200 OK", b"HTTP/1.x 200 OK", b"HTTP/11 200 OK", b"HTTP 200 OK", b"ICY 200 OK", b"200 OK", b"GET / HTTP/1.1", b"{\"a\": 1}",
            b"HTTP/1.1 200 O\x00K", b"HTTP/1.1 2\xb200 OK", b"HTTP/0.9 200 OK", b"HTTP/1.1 0x64 OK",
        )
    ],
    *[
        (f"11 Content-Length {value!r}", ok(b"Content-Length: " + value, body=b"ok"))
        for value in (b"-2", b"+2", b"0x2", b"2 2", b"2,3", b"two", b"99999999999999999999", b"18446744073709551618", b"2.0", b"")
    ],
    ("11 two lengths", ok(b"Content-Length: 2", b"Content-Length: 3", body=b"ok!")),
    *[
        (f"11 Transfer-Encoding {value!r}", ok(b"Transfer-Encoding: " + value, body=b"2\r\nok\r\n0\r\n\r\n"))
        for value in (b"gzip, chunked", b"chunked, gzip", b"xchunked", b"chunked, chunked", b"identity, chunked", b"\x0bchunked", b"", b"gzip")
    ],
    ("11 both length fields", ok(b"Content-Length: 12", b"Transfer-Encoding: chunked", body=b"2\r\nok\r\n0\r\n\r\n")),
    ("11 not HTTP at all", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    ("11 text", b"hello, world\r\n\r\n"),
    ("11 nothing", b""),
    ("11 half a status line", b"HTTP/1.1 200"),
    ("11 half a head", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"),
    ("11 a head without its end, and the body", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nok"),
    ("12 NUL in a value", ok(b"X: a\x00b", b"Content-Length: 2", body=b"ok")),
    ("12 a bare CR in a value", ok(b"X: a\rSet-Cookie: b=c", b"Content-Length: 2", body=b"ok")),
    ("12 no colon", ok(b"nonsense", b"Content-Length: 2", body=b"ok")),
    ("12 an empty name", ok(b": a", b"Content-Length: 2", body=b"ok")),
    ("12 a space in a name", ok(b"X Y: a", b"Content-Length: 2", body=b"ok")),
    ("12 a space before the colon", ok(b"X : a", b"Content-Length: 2", body=b"ok")),
    ("12 a length before a space", ok(b"Content-Length : 2", body=b"ok")),
    ("12 a folded line", ok(b"X: a\r\n b", b"Content-Length: 2", body=b"ok")),
    ("12 a control byte in a value", ok(b"X: a\x07b", b"Content-Length: 2", body=b"ok")),
    ("15 a head above the limit", ok(*[b"X-%d: " % i + b"a" * 1000 for i in range(64)], b"Content-Length: 2", body=b"ok")),
    ("15 a field above the limit", ok(b"X: " + b"a" * 100_000, b"Content-Length: 2", body=b"ok")),
    ("15 a flood of 1xx", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 5000),
    ("15 1xx and no final answer", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    ("7 a 101 that nobody asked for", answer(b"HTTP/1.1 101 Switching Protocols", b"Connection: upgrade", b"Upgrade: websocket")),
]


def play_malformed(origin, larder, number, data):
    for folder in ("", "/cached"):
        path = f"{folder}/m{number}"
        origin.on(path, [data, "close"])
        response = get(larder.port, path)
        # 200 is right for a line that could be cleaned; then nothing of the bad line may be in it.
        check(response.status in (502, 200), "502, or cleaned", response.head)
        if response.status == 200:
            check(response.complete and response.body == b"ok", "whole", response)
            for byte in (b"\x00", b"\x07", b"a\r"):
                check(byte not in response.head, "clean", response.head)
        origin.on(path, OK)
        again = get(larder.port, path)
        check(again.status == 200 and again.body == b"ok", "the next one is in step", again)


def malformed(binary):
    origin = Origin()
    larder = Larder(binary, origin, RULES, OPTIONS)
    for number, (name, data) in enumerate(MALFORMED):
        yield name, lambda n=number, d=data: play_malformed(origin, larder, n, d)
    larder.stop()


# (13) Each is visibly incomplete to its client: a connection that ends early, or a status that says so.
CUT = [
    ("13 a body that is cut", [ok(b"Content-Length: 10", body=b"12345"), "close"]),
    ("13 a body that is reset", [ok(b"Content-Length: 10", body=b"12345"), "reset"]),
    ("13 no body where one is announced", [ok(b"Content-Length: 10"), "close"]),
    ("13 half a chunk", [ok(b"Transfer-Encoding: chunked", body=b"a\r\n12345"), "close"]),
    ("13 chunks without the last", [ok(b"Transfer-Encoding: chunked", body=b"5\r\n12345\r\n"), "close"]),
    ("13 a last chunk without its end", [ok(b"Transfer-Encoding: chunked", body=b"5\r\n12345\r\n0\r\n"), "close"]),
    ("13 chunks that are reset", [ok(b"Transfer-Encoding: chunked", body=b"5\r\n12345\r\n"), "reset"]),
    ("13 a malformed chunk", [ok(b"Transfer-Encoding: chunked", body=b"5\r\n12345\r\nxyz\r\n0\r\n\r\n"), "close"]),
    ("13 a chunk with a bare LF", [ok(b"Transfer-Encoding: chunked", body=b"5\n12345\r\n0\r\n\r\n"), "close"]),
    ("13 a chunk size that overflows", [ok(b"Transfer-Encoding: chunked", body=b"ffffffffffffffff5\r\n12345\r\n0\r\n\r\n"), "close"]),
    ("13 a chunk longer than it says", [ok(b"Transfer-Encoding: chunked", body=b"4\r\n12345\r\n0\r\n\r\n"), "close"]),
    ("13 a malformed trailer", [ok(b"Transfer-Encoding: chunked", body=b"5\r\n12345\r\n0\r\nX y\r\n\r\n"), "close"]),
    ("13 trailers without end", [ok(b"Transfer-Encoding: chunked", body=b"5\r\n12345\r\n0\r\n" + b"X: y\r\n" * 20_000), "close"]),
]


def play_cut(origin, larder, number, steps):
    for folder in ("", "/cached"):
        path = f"{folder}/cut{number}"
        origin.on(path, ["hold", *steps])
        origin.released.clear()
        clients = [Client(larder.port).send(f"GET {path} HTTP/1.1\r\nHost: app.test\r\n\r\n".encode()) for _ in range(5)]
        await_that("it is asked", lambda: origin.seen(path + " "))
        origin.released.set()
        for client in clients:
            response = client.read_final()
            check(response is None or response.status >= 500 or not response.complete, "incomplete, and seen to be", response)
            check(client.ended or response.status >= 500, "the connection ends", response)
            client.close()
        origin.on(path, OK)
        again = get(larder.port, path)
        check(again.status == 200 and again.body == b"ok", "nothing of it is stored", again)


def cut(binary):
    origin = Origin()
    larder = Larder(binary, origin, RULES, OPTIONS)
    for number, (name, steps) in enumerate(CUT):
        yield name, lambda n=number, s=steps: play_cut(origin, larder, n, s)
    larder.stop()


def framed_anew(binary):
    """(12), (14), (15): what clients see of answers that are in order, or nearly."""
    origin = Origin()
    larder = Larder(binary, origin, RULES, OPTIONS)

    def old_client(name, script, body):
        def play():
            origin.on("/old", script)
            for version, extra in ((b"1.0", b""), (b"1.1", b"")):
                client = Client(larder.port).send(b"GET /old HTTP/" + version + b"\r\nHost: app.test\r\n" + extra + b"\r\n")
                response = client.read_final()
                check(response.status == 200 and response.body == body and response.complete, "the whole body", response)
                check(not response.all(b"transfer-encoding") or version == b"1.1", "no chunks for HTTP/1.0", response.head)
                check(response.start.startswith(b"HTTP/1.1 200"), "our version", response.start)
                client.close()

        return name, play

    yield old_client("12 chunks for a client of HTTP/1.0", ok(b"Transfer-Encoding: chunked", body=b"5\r\n12345\r\n0\r\nX: y\r\n\r\n"), b"12345")
    yield old_client("12 a body until the close", [ok(body=b"until the end"), "close"], b"until the end")
    yield old_client("12 an app of HTTP/1.0", [answer(b"HTTP/1.0 200 OK", body=b"old"), "close"], b"old")
    yield old_client("12 an app of HTTP/1.0 with a length", [answer(b"HTTP/1.0 200 OK", b"Content-Length: 3", body=b"old"), "close"], b"old")
    yield old_client("12 no reason phrase", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"ok")
    yield old_client("12 an empty reason phrase", b"HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok", b"ok")
    yield old_client("12 the same length twice in one app's answer is one", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok")

    def hop_by_hop():
        origin.on("/hop", ok(b"Connection: X-Own, Set-Cookie, Content-Length", b"X-Own: 1", b"Keep-Alive: timeout=5", b"Proxy-Connection: close",
                             b"Proxy-Authenticate: Basic", b"Upgrade: h2c", b"Content-Length: 2", b"X-Kept: 1", body=b"ok"))
        response = get(larder.port, "/hop")
        for gone in (b"x-own", b"keep-alive", b"proxy-connection", b"upgrade"):
            check(not response.all(gone), f"{gone.decode()} stays on its hop", response.head)
        check(response.get(b"x-kept") == b"1" and response.body == b"ok", "the rest goes on", response.head)

    yield "8 hop-by-hop fields of an answer end here", hop_by_hop

    def left_over(name, extra):
        def play():
            origin.on("/extra", ok(b"Content-Length: 2", body=b"ok" + extra))
            client = Client(larder.port)
            for _ in range(3):
                client.send(b"GET /extra HTTP/1.1\r\nHost: app.test\r\n\r\nGET /next HTTP/1.1\r\nHost: app.test\r\n\r\n")
                first, second = client.read_final(), client.read_final()
                check(first.body == b"ok" and second.body == b"ok", "each its own", first, second)
                check(b"stolen" not in first.head + second.head + first.body + second.body, "no left-over is an answer")
            client.close()

        return name, play

    stolen = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
    yield left_over("14 a second answer that nobody asked for", stolen)
    yield left_over("14 garbage behind an answer", b"stolen stolen stolen")
    yield left_over("14 an empty line behind an answer", b"\r\n")

    def bodiless(name, line, method="GET"):
        def play():
            origin.on("/none", answer(line, b"Content-Length: 6" if b"204" not in line else b"X: y", body=b"stolen"))
            client = Client(larder.port).send(f"{method} /none HTTP/1.1\r\nHost: app.test\r\n\r\n".encode())
            first = client.read_final(to_head=method == "HEAD")
            client.send(b"GET /next HTTP/1.1\r\nHost: app.test\r\n\r\n")
            second = client.read_final()
            client.close()
            check(not first.body and second.body == b"ok", "no body, and the next in step", first, second)

        return name, play

    yield bodiless("14 a 204 with a body", b"HTTP/1.1 204 No Content")
    yield bodiless("14 a 304 with a body", b"HTTP/1.1 304 Not Modified")
    yield bodiless("14 a HEAD with a body", b"HTTP/1.1 200 OK", method="HEAD")

    def unsolicited():
        """Bytes on an idle connection, before anybody has asked: they are there when the next request comes."""
        sent = threading.Event()

        def say(request):
            yield OK
            origin.released.wait()
            yield stolen
            sent.set()

        origin.on("/first", say)
        origin.released.clear()
        check(get(larder.port, "/first").body == b"ok", "the answer")
        origin.released.set()
        check(sent.wait(5), "the bytes are sent")
        for _ in range(10):
            check(get(larder.port, "/second").body == b"ok", "not what came unasked")

    yield "14 an answer that comes unasked on an idle connection", unsolicited

    def not_replayed():
        origin.on("/once", ["close"])
        count = len(origin.seen("/once"))
        warm = [get(larder.port, "/warm") for _ in range(3)]
        check(all(r.status == 200 for r in warm), "kept connections")
        response = get(larder.port, "/once", method="POST", body=b"12345")
        check(response.status == 502, "502", response)
        check(len(origin.seen("/once")) - count == 1, "the app has it once", origin.seen("/once"))

    yield "14 a POST is sent once", not_replayed

    def early_hints():
        origin.on("/early", [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nConnection: X-Own\r\nX-Own: 1\r\n\r\n", "hold", OK])
        origin.released.clear()
        client = Client(larder.port).send(b"GET /early HTTP/1.1\r\nHost: app.test\r\n\r\n")
        first = client.read()
        check(first.status == 103 and first.get(b"link") == b"</a>", "before the final answer", first)
        check(not first.all(b"x-own"), "without what is of that hop", first.head)
        origin.released.set()
        check(client.read().status == 200, "then the answer")
        client.close()
        old = Client(larder.port).send(b"GET /early HTTP/1.0\r\nHost: app.test\r\n\r\n")
        check(old.read().status == 200, "none to HTTP/1.0")
        old.close()

    yield "15 1xx come before the answer, and not to HTTP/1.0", early_hints

    def hundred():
        origin.on("/hundred", b"HTTP/1.1 100 Continue\r\n\r\n" + OK)
        client = Client(larder.port).send(b"GET /hundred HTTP/1.1\r\nHost: app.test\r\n\r\n")
        check(client.read().status == 200, "a 100 that nobody waits for is not passed on")
        client.close()

    yield "15 a 100 that nobody has asked for", hundred

    def split():
        origin.on("/split", ok(b"Location: /a", b"X: a\\r\\nSet-Cookie: b", b"Content-Length: 2", body=b"ok"))
        response = get(larder.port, "/split")
        check(not response.all(b"set-cookie"), "no field comes of a value", response.head)

    yield "12 a value that looks like two lines is one", split
    larder.stop()


GROUPS = [malformed, cut, framed_anew]
