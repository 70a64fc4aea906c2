"""The admin port: who may change something there, how strictly it reads, who is still served, and what it does not
tell."""

import os
import tempfile

import cases_requests
from harness import Client, Larder, Origin, check, fetch, get

RULES = """rules:
  - {name: page, match: "GET /p/{rest*}", key: "page:{path}", ttl: 60s}
"""
ORDER = b'{"keys": ["page:/p/a"]}'


def post(larder, *fields, host="Host: localhost\r\n", path="/purge"):
    client = Client(larder.admin_port)
    lines = "".join(field + "\r\n" for field in fields)
    client.send(
        f"POST {path} HTTP/1.1\r\n{host}Connection: close\r\nContent-Type: application/json\r\nContent-Length: {len(ORDER)}\r\n{lines}\r\n".encode() + ORDER
    )
    response = client.read_final()
    client.close()
    return response


def tokens(binary):
    origin = Origin()
    larder = Larder(binary, origin, RULES)
    yield "admin on loopback: a purge needs no token", lambda: check(post(larder).status == 200, "200")
    yield "admin: a PURGE on the traffic port is no purge", lambda: check(
        get(larder.port, "/p/a", method="PURGE").status == 200 and origin.requests[-1].start.startswith(b"PURGE "), "it goes to the app"
    )
    yield "admin: its endpoints are not on the traffic port", lambda: check(
        fetch(larder.port, "/metrics")[1] == b"ok" and fetch(larder.port, "/livez")[1] == b"ok", "the app answers"
    )
    larder.stop()

    open_to_all = Larder(binary, origin, RULES, admin="0.0.0.0:0")

    def refused():
        check(post(open_to_all).status == 403, "403 without a token set")
        check(fetch(open_to_all.admin_port, "/metrics")[0] == 200, "metrics are for all")

    def drained():
        evil = post(open_to_all, "Origin: http://evil.example", path="/drain")
        check(evil.status == 403 and fetch(open_to_all.admin_port, "/readyz")[0] == 200, "no page of another site")
        check(post(open_to_all, path="/drain").status == 200, "who is on this machine may drain")
        check(fetch(open_to_all.admin_port, "/readyz")[0] == 503, "it is not ready any more")

    yield "admin elsewhere: nothing can be changed without a token", refused
    yield "admin elsewhere: from this machine it can be drained without one, but not by a web page", drained
    open_to_all.stop()

    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "token")
        with open(path, "w", encoding="utf-8") as file:
            file.write("s3cret-t0ken\n")
        guarded = Larder(binary, origin, RULES, f"admin_token_file: {path}\n", admin="0.0.0.0:0")

        def bearer():
            for fields in ((), ("Authorization: Bearer wrong",), ("Authorization: Bearer s3cret-t0ke",), ("Authorization: Bearer s3cret-t0kenx",),
                           ("Authorization: Basic s3cret-t0ken",), ("Authorization: s3cret-t0ken",), ("Authorization: Bearer",)):
                response = post(guarded, *fields)
                check(response.status == 401 and response.get(b"www-authenticate") == b"Bearer", "401", fields, response.head)
            check(post(guarded, "Authorization: Bearer s3cret-t0ken").status == 200, "200 with it")
            check(post(guarded, "authorization: bearer s3cret-t0ken").status == 200, "the scheme in any case")

        yield "admin elsewhere: the token, and nothing like it", bearer
        yield "admin elsewhere: with a token set, draining wants it too", lambda: check(
            post(guarded, path="/drain").status == 401 and fetch(guarded.admin_port, "/readyz")[0] == 200, "401"
        )

        def untold():
            told = guarded.log().encode() + fetch(guarded.admin_port, "/metrics")[1] + fetch(guarded.admin_port, "/health/cache")[1]
            told += fetch(guarded.admin_port, "/explain?method=GET&url=/p/a")[1]
            check(b"s3cret" not in told, "the token is told nowhere")
            check("refused: no token" in guarded.log(), "a refusal is logged")

        yield "admin: secrets are in no log, metric or answer", untold

        def oversized():
            client = Client(guarded.admin_port).send(b"GET /metrics HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 100_000 + b"\r\n\r\n")
            check(client.read_final().status == 431, "431")
            client.close()
            client = Client(guarded.admin_port).send(b"POST /purge HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n")
            check(client.read_final().status in (401, 413), "413")
            client.close()
        yield "admin: limits", oversized
        guarded.stop()


def head(line, *fields):
    return line + b"\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def coded(value):
    return head(b"POST /purge HTTP/1.1", b"Host: localhost", b"Content-Type: application/json", b"Transfer-Encoding:" + value) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(ORDER), ORDER)


def sized(*fields):
    return head(b"POST /purge HTTP/1.1", b"Host: localhost", b"Content-Type: application/json", *fields) + ORDER


LENGTH = b"Content-Length: %d" % len(ORDER)

# Besides all that the traffic port rejects: the same at an endpoint that changes state.
REJECTED = [
    *[
        (f"Transfer-Encoding {value!r}", {400}, coded(value))
        for value in (
            b" gzip", b" identity", b" xchunked", b"", b" identity, chunked", b" gzip, chunked", b" chunked;q=1", b" chunked identity",
            b" chunked,", b" chunked\x80", b"\r\n chunked", b" identity\r\nTransfer-Encoding: chunked", b" chunked\r\nTransfer-Encoding: chunked",
        )
    ],
    ("Transfer-Encoding in HTTP/1.0", {400}, coded(b" chunked").replace(b"HTTP/1.1", b"HTTP/1.0")),
    ("Content-Length as a list", {400}, sized(LENGTH + b", %d" % len(ORDER))),
    ("Content-Length twice", {400}, sized(LENGTH, LENGTH)),
    ("both length fields", {400}, sized(LENGTH, b"Transfer-Encoding: chunked")),
    ("no Host", {400}, sized(LENGTH).replace(b"Host: localhost\r\n", b"")),
    ("two Hosts", {400}, sized(LENGTH, b"Host: localhost")),
    ("a folded field", {400}, sized(LENGTH, b"X: y\r\n z")),
    ("200 fields", {431}, sized(LENGTH, *[b"X: y"] * 200)),
    ("a relative target", {400}, sized(LENGTH).replace(b"/purge", b"purge")),
    ("a fragment", {400}, sized(LENGTH).replace(b"/purge", b"/purge#x")),
    ("userinfo", {400}, sized(LENGTH).replace(b"/purge", b"http://a@localhost/purge")),
]


def play_rejected(larder, statuses, data):
    client = Client(larder.admin_port).send(data.replace(b"/@", b"/healthz") + head(b"GET /nothing HTTP/1.1", b"Host: localhost"))
    responses = client.read_to_end()
    client.close()
    check(len(responses) == 1, "one answer, and the end", responses)
    check(responses[0].status in statuses, f"one of {sorted(statuses)}", responses[0].head)
    check(responses[0].get(b"connection").lower() == b"close", "it says that it closes", responses[0].head)


def rejected(binary):
    larder = Larder(binary, Origin(), RULES)
    table = [(name, {400}, data) for name, data in cases_requests.REJECTED] + cases_requests.REJECTED_BY + REJECTED
    for name, statuses, data in table:
        yield "admin rejects " + name, lambda s=statuses, d=data: play_rejected(larder, s, d)
    yield "admin: what is rejected purges nothing, and is counted", lambda: check(
        larder.metric("larder_purges_total", 'source="admin"') == 0 and larder.metric("larder_admin_refused_total", "malformed") > 200, "counters"
    )

    def accepted():
        client = Client(larder.admin_port)
        client.send(coded(b" ChUnKeD \t") + sized(LENGTH) + head(b"GET http://localhost/healthz?x HTTP/1.1", b"Host: elsewhere"))
        client.send(b"\r\n" + head(b"HEAD /metrics HTTP/1.1", b"Host: [::1]:1", *[b"X: y"] * 100))
        check([client.read_final().status for _ in range(3)] == [200] * 3, "three")
        check(client.read_final(to_head=True).status == 200, "and a HEAD")
        client.send(head(b"GET /healthz HTTP/1.0", b"Connection: keep-alive") + head(b"GET /healthz HTTP/1.0"))
        check([response.status for response in client.read_to_end()] == [200, 200], "HTTP/1.0, kept alive once")
        client.close()

    yield "admin: one connection, and what is valid goes on", accepted

    def errors_close():
        for line in (b"GET /nothing HTTP/1.1", b"DELETE /healthz HTTP/1.1", b"POST /metrics HTTP/1.1", b"OPTIONS * HTTP/1.1"):
            client = Client(larder.admin_port).send(head(line, b"Host: localhost") * 2)
            responses = client.read_to_end()
            client.close()
            check(len(responses) == 1 and responses[0].get(b"connection") == b"close", "one answer, and the end", line, responses)

    yield "admin: an answer that is an error ends the connection", errors_close
    larder.stop()


def other_sites(binary):
    """DNS rebinding and requests across sites: what a browser on the operator's machine can be made to send."""
    larder = Larder(binary, Origin(), RULES)
    at = f"127.0.0.1:{larder.admin_port}"
    for name, fields in (
        ("a name that was rebound", ("Host: evil.test",)),
        ("a name that was rebound, and its own origin", (f"Host: evil.test:{larder.admin_port}", f"Origin: http://evil.test:{larder.admin_port}", "Sec-Fetch-Site: same-origin")),
        ("a name below localhost", ("Host: evil.localhost",)),
        ("a name that begins like an address", ("Host: 127.0.0.1.evil.test",)),
        ("another origin", (f"Host: {at}", "Origin: http://evil.test")),
        ("another port of this machine", (f"Host: {at}", "Origin: http://127.0.0.1:1")),
        ("a sandboxed page", (f"Host: {at}", "Origin: null")),
        ("an empty origin", (f"Host: {at}", "Origin:")),
        ("its own origin, then another", (f"Host: {at}", f"Origin: http://{at}", "Origin: http://evil.test")),
        ("an origin that begins like its own", (f"Host: {at}", f"Origin: http://{at}.evil.test")),
        ("a page of another site", (f"Host: {at}", "Sec-Fetch-Site: cross-site")),
        ("a page of the same site", (f"Host: {at}", "Sec-Fetch-Site: same-site")),
    ):

        def refused(fields=fields):
            response = post(larder, *fields[1:], host=fields[0] + "\r\n")
            check(response.status == 403 and b"admin_token_file" in response.body, "403 that says what to do", response.head, response.body)

        yield f"admin on loopback refuses a purge by {name}", refused

    def taken():
        for host in (at, "127.0.0.1", f"localhost:{larder.admin_port}", "LOCALHOST", "[::1]:9090"):
            check(post(larder, host=f"Host: {host}\r\n").status == 200, "200", host)
        check(post(larder, f"Origin: http://{at}", "Sec-Fetch-Site: same-origin", host=f"Host: {at}\r\n").status == 200, "its own page")
        check(post(larder, "Sec-Fetch-Site: none", host=f"Host: {at}\r\n").status == 200, "what a user does")

    yield "admin on loopback: who asks an address or localhost may purge", taken
    yield "admin: refusals of other sites are counted and logged", lambda: check(
        larder.metric("larder_admin_refused_total", "site") == 12 and "a web page of another site" in larder.log(), "12", larder.log()
    )
    larder.stop()


def crowded(binary):
    larder = Larder(binary, Origin(), RULES)
    for name, sent in (
        ("that send nothing", b""),
        ("with half a head", b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: "),
        ("with half a body", sized(b"Content-Length: 1000")),
        ("that were answered and stay", head(b"GET /healthz HTTP/1.1", b"Host: a")),
        ("that were refused and stay", b"GET\r\n\r\n"),
    ):

        def probes(sent=sent):
            crowd = [Client(larder.admin_port).send(sent) for _ in range(200)]
            for path in ("/healthz", "/readyz", "/metrics"):
                check(fetch(larder.admin_port, path)[0] == 200, "a probe is answered at once", path)
            check(post(larder).status == 200, "and a purge")
            for client in crowd:
                client.close()

        yield f"admin: 200 connections {name} shut nobody out", probes
    yield "admin: dropped connections are counted and logged", lambda: check(
        larder.metric("larder_admin_connections_dropped_total") >= 500 and "all places of the admin port are taken" in larder.log(), "500"
    )
    larder.stop()


GROUPS = [tokens, rejected, other_sites, crowded]
