"""The admin port: who may change something there, and what it does not tell."""

import os
import tempfile

from harness import Client, Larder, Origin, check, fetch, get

RULES = """rules:
  - {name: page, match: "GET /p/{rest*}", key: "page:{path}", ttl: 60s}
"""
ORDER = b'{"keys": ["page:/p/a"]}'


def post(larder, *fields):
    client = Client(larder.admin_port)
    lines = "".join(field + "\r\n" for field in fields)
    client.send(
        f"POST /purge HTTP/1.1\r\nHost: admin\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(ORDER)}\r\n{lines}\r\n".encode() + ORDER
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
        fetch(larder.port, "/metrics")[1] == b"ok" and fetch(larder.port, "/healthz")[1] == b"ok", "the app answers"
    )
    larder.stop()

    open_to_all = Larder(binary, origin, RULES, admin="0.0.0.0:0")

    def refused():
        check(post(open_to_all).status == 403, "403 without a token set")
        check(fetch(open_to_all.admin_port, "/metrics")[0] == 200, "metrics are for all")

    yield "admin elsewhere: nothing can be changed without a token", refused
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

        def untold():
            told = guarded.log().encode() + fetch(guarded.admin_port, "/metrics")[1] + fetch(guarded.admin_port, "/healthz")[1]
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
            client = Client(guarded.admin_port).send(b"GET /metrics HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
            response = client.read_final()
            check(response is None or response.status in (200, 400), "answered or closed", response)
            client.close()

        yield "admin: limits", oversized
        guarded.stop()


GROUPS = [tokens]
