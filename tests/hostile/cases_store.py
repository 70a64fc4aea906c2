"""Requirement 22 on a real Redis: what clients send never becomes syntax there, and what somebody else writes there is
noticed. Nothing is kept in the process (`memory: 0`), so that each request reads what stands in Redis."""

import itertools
import re

from harness import Larder, Origin, Redis, await_that, check, get

RULES = """rules:
  - {name: page, match: "GET /p/{rest*}", ttl: 60s}
  - {name: item, match: "GET /items/{id}", key: "item:{id}:{query.q|}", ttl: 60s}
  - {name: wide-write, match: "DELETE /items", purge: "item:*"}
  - {name: item-write, match: "PUT|DELETE /items/{id}", purge: "item:{id}:*"}
"""
EVERY_BYTE = bytes(range(256)) * 3 + b"\r\n$-1\r\n*3\r\n+OK\r\n"


def is_hit(response):
    return b"; hit" in response.get(b"cache-status")


def store(binary):
    origin, redis = Origin(), Redis()
    numbers = itertools.count(1)

    def numbered(request):
        body = b"%s #%d" % (request.target, next(numbers))
        return b"HTTP/1.1 200 OK\r\nX-Octets: \x80\xff\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    class Numbered(dict):
        def get(self, path, default=None):
            return super().get(path, numbered)

    origin.answers = Numbered()
    # a sanitizer's process may miss 50 ms on a busy machine, and would take the store for away
    larder = Larder(binary, origin, RULES, f"memory: 0\nstore: {{url: 'unix://{redis.path}', timeout: 5s}}\n")

    def fill(path):
        await_that("it is stored", lambda: is_hit(get(larder.port, path)))
        return get(larder.port, path)

    def name_of(path):
        """The one key in Redis whose value is the answer to the path."""
        body = fill(path).body
        names = [n for n in redis.ask("KEYS", "larder:*:e:*") if (redis.ask("GET", n) or b"").endswith(body)]
        check(len(names) == 1, "one entry", names)
        return names[0], redis.ask("GET", names[0])

    def split(value):
        line, _, payload = value.partition(b"\n")
        return line, payload

    def flip(value, at):
        return value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]

    changes = {
        "one bit of the body": lambda v: flip(v, len(v) - 1),
        "one bit of a field": lambda v: flip(v, v.index(b"X-Octets")),
        "another octet in a field": lambda v: v.replace(b"\x80\xff", b"\x80\xfe"),
        "a longer life": lambda v: v.replace(b" ttl=0000000060000", b" ttl=0000000090000"),
        "another status": lambda v: v.replace(b" status=200", b" status=301"),
        "another key inside": lambda v: v.replace(b" key=item", b" key=itam"),
        "another rule": lambda v: v.replace(b" rule=item", b" rule=page"),
        "another flag": lambda v: v.replace(b" flags=---", b" flags=m--"),
        "a header more": lambda v: v.replace(b"X-Octets", b"Set-Cookie: a=b\r\nX-Octets"),
        "a checksum of zeroes": lambda v: re.sub(rb" xxh3=[0-9a-f]{16}", b" xxh3=" + b"0" * 16, v, count=1),
        "no checksum": lambda v: re.sub(rb" xxh3=[0-9a-f]{16}", b"", v, count=1),
        "a position far ahead": lambda v: b"9" * 16 + v[16:],
        "no position": lambda v: v[16:],
        "a position of letters": lambda v: b"x" * 16 + v[16:],
        "another version": lambda v: v.replace(b" larder/2 ", b" larder/3 "),
        "the version before": lambda v: v.replace(b" larder/2 ", b" larder/1 "),
        "half of it": lambda v: v[: len(v) // 2],
        "all but its last byte": lambda v: v[:-1],
        "a byte more": lambda v: v + b"x",
        "twice itself": lambda v: v + v,
        "the first line alone": lambda v: split(v)[0] + b"\n",
        "nothing": lambda _: b"",
        "NULs": lambda v: b"\0" * len(v),
        "JSON": lambda _: b'{"status":200,"body":"evil"}',
        "an answer of HTTP": lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "64 MiB of digits": lambda _: b"1" * (64 << 20),
    }
    for number, (name, change) in enumerate(changes.items()):

        def play(path=f"/items/changed-{number}", change=change):
            key, value = name_of(path)
            changed = change(value)
            check(changed != value, "it is changed", value)
            before = larder.metric("larder_store_malformed_total")
            redis.ask("SET", key, changed)
            response = get(larder.port, path)
            check(response.status == 200 and not is_hit(response) and response.body.startswith(path.encode() + b" #"), "the app is asked", response)
            check(larder.metric("larder_store_malformed_total") > before, "it is counted")
            fill(path)  # and what is changed keeps nothing out
            get(larder.port, "/items", method="DELETE")
            check(not is_hit(get(larder.port, path)), "nor does it outlive a purge")

        yield f"22 an entry in Redis becomes {name}", play

    def of_another():
        for here, there in (("/items/own?q=1", "/items/other?q=1"), ("/p/own", "/p/other")):
            key, _ = name_of(here)
            _, other = name_of(there)
            redis.ask("SET", key, other)
            response = get(larder.port, here)
            check(response.body.startswith(here.encode() + b" #"), "its own answer", response.body)

    yield "22 an entry in Redis becomes that of another key", of_another

    def other_types():
        for number, command in enumerate((("LPUSH", "x"), ("SADD", "x"), ("HSET", "f", "x"), ("ZADD", "1", "x"), ("XADD", "*", "f", "x"), ("SETBIT", "7", "1"), ("PFADD", "x"))):
            path = f"/items/type-{number}"
            key, _ = name_of(path)
            redis.ask("DEL", key)
            redis.ask(command[0], key, *command[1:])
            check(get(larder.port, path).body.startswith(path.encode()), "the app is asked", command)
            fill(path)

    yield "22 an entry in Redis becomes a value of another type", other_types

    def said():
        check("a stored response is not as it was written" in larder.log(), "a line in the log", larder.log()[-2000:])

    yield "22 a changed entry is logged", said

    def binary_safe():
        for size in (0, 1, len(EVERY_BYTE), 100_000):
            body = (EVERY_BYTE * (size // len(EVERY_BYTE) + 1))[:size]
            path = f"/items/binary-{size}"
            origin.on(path, b"HTTP/1.1 200 OK\r\nX-Octets: \x80\xff\r\nContent-Length: %d\r\n\r\n" % size + body)
            stored = fill(path)
            check(stored.body == body and stored.get(b"x-octets") == b"\x80\xff", "byte for byte", size, stored.head)

    yield "22 bodies and fields are binary-safe in Redis", binary_safe

    hostile_names = {
        "CR LF and a command": "1%0d%0aFLUSHALL%0d%0a", "a reply": "$-1%0d%0a", "NUL": "a%00b", "a star": "*", "an encoded star": "%2a", "a class": "[a-z]",
        "a question mark": "%3f", "a backslash": "%5c", "a hash tag": "{evil}", "another shard's": "{0}:q", "the log's name": "}:s", "spaces": "a%20b%20c", "non-ASCII": "%c3%a9%ff",
        "a percent sign": "%25", "quotes": "%22'%22", "Lua": "');redis.call('FLUSHALL')--", "8,000 bytes": "x" * 8000, "a line end": "a%0ab",
    }  # fmt: skip
    for name, text in hostile_names.items():

        def play(text=text):
            path, other = f"/items/{text}", "/items/bystander"
            fill(other)
            size = len(redis.ask("KEYS", "*"))
            response = get(larder.port, path)
            check(response.status in (200, 400), "answered or refused", response)
            again = get(larder.port, path)
            if is_hit(again):
                check(again.body == response.body, "its own", again)
            response = get(larder.port, path, method="PUT", body=b"x")
            check(response.status in (200, 400), "answered or refused", response)
            check(not is_hit(get(larder.port, path)), "the write has purged it")
            check(is_hit(get(larder.port, other)), "and nothing else")
            names = redis.ask("KEYS", "*")
            check(len(names) >= size and all(n.startswith(b"larder:{0}:") for n in names), "no key of another kind", names)

        yield f"22 a client's {name} is no syntax of Redis", play

    def control_keys():
        """What the names in Redis are made of cannot be reached by a key."""
        controls = {n: redis.ask("TYPE", n) for n in redis.ask("KEYS", "larder:*") if b":e:" not in n and b":l:" not in n}
        for text in ("q", "s", "p", "conf", "}:q", "{0}:q", "{0}:conf", "larder:{0}:conf"):
            get(larder.port, f"/items/{text}")
            get(larder.port, f"/items/{text}", method="DELETE")
        for control, kind in controls.items():
            check(redis.ask("TYPE", control) == kind, "as before", control)
        check(redis.ask("GET", "larder:{0}:conf") == b"shards=1", "the layout", redis.ask("GET", "larder:{0}:conf"))

    yield "22 no request writes to Larder's own keys", control_keys
    larder.stop()
    redis.stop()


def secrets(binary):
    def repeated():
        redis, secret = Redis("--rename-command", "AUTH", ""), "Sup3rS3cret"
        password = redis.path + ".password"
        with open(password, "w", encoding="utf-8") as file:
            file.write(secret + "\n")
        larder = Larder(binary, Origin(), RULES, f"store: {{url: 'unix://{redis.path}', password_file: {password}}}\n")
        await_that("Redis' error is logged", lambda: "unknown command" in larder.log())
        check(secret not in larder.log(), "without what it repeats", larder.log())
        larder.stop()
        redis.stop()

    yield "admin a password that Redis repeats in an error is not logged", repeated


GROUPS = [store, secrets]
