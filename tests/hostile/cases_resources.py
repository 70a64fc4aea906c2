"""Requirements 23 to 27: deadlines, bounded memory, and who is still served. Times are short limits of the configuration,
and each wait ends with a byte or with the end of a connection, so nothing here asserts how fast the machine is."""

import itertools
import json
import re
import resource
import socket
import threading

from harness import LIMIT, MEMORY_SLACK, OK, Client, Failure, Larder, Origin, Redis, await_that, check, get

RULES = """rules:
  - {name: page, match: "GET /cached/{rest*}", ttl: 60s}
"""
MIB = 1 << 20


def ends(client, statuses=()):
    """Everything until the end of the connection; the last word is one of the statuses, if there is one."""
    responses = client.read_to_end()
    client.close()
    if statuses and responses:
        check(responses[-1].status in statuses, f"one of {sorted(statuses)}", responses[-1].head)
    return responses


def deadlines(binary):
    origin = Origin()
    limits = "timeouts: {client_head: 400ms, client_idle: 400ms, client_body: 400ms}\n"
    larder = Larder(binary, origin, RULES, limits)
    host = b"Host: app.test\r\n"

    yield "23 a head that never ends", lambda: ends(Client(larder.port).send(b"GET /a HTTP/1.1\r\n" + host), {408})

    def drip():
        client = Client(larder.port)
        client.socket.settimeout(0.02)
        for byte in b"GET /a HTTP/1.1\r\n" + host + b"X: " + b"a" * 10_000:
            client.send(bytes([byte]))
            try:
                client.receive()
            except Failure:
                continue
            if client.ended:
                break
        check(client.ended, "a deadline for the whole head, not for each byte")

    yield "23 a head that comes byte by byte", drip
    yield "23 a body that stalls", lambda: ends(Client(larder.port).send(b"POST /a HTTP/1.1\r\n" + host + b"Content-Length: 10\r\n\r\n12345"), {408})
    yield "23 chunks that stall", lambda: ends(Client(larder.port).send(b"POST /a HTTP/1.1\r\n" + host + b"Transfer-Encoding: chunked\r\n\r\n5\r\n123"), {408})

    def dripped(client, piece, count):
        """Sends the piece every 20 ms, until an answer or the end comes."""
        client.socket.settimeout(0.02)
        for _ in range(count):
            client.send(piece)
            try:
                client.receive()
            except Failure:
                continue
            break
        client.socket.settimeout(LIMIT)
        return client

    def drip_body(framing, piece):
        before = larder.metric("larder_client_too_slow_total")
        client = Client(larder.port).send(b"POST /drip HTTP/1.1\r\n" + host + framing + b"\r\n\r\n")
        # Each wait is far below client_body; it is their sum that is too long.
        ends(dripped(client, piece, 10_000), {408})
        await_that("it is counted", lambda: larder.metric("larder_client_too_slow_total") == before + 1)
        check(not origin.seen("POST /drip"), "no request of it is whole")
        await_that("the app's connection is freed", lambda: larder.metric("larder_upstream_connections", 'state="busy"') == 0)

    yield "23 a body that comes byte by byte", lambda: drip_body(b"Content-Length: 1000000", b"x")
    yield "23 chunks of a byte each", lambda: drip_body(b"Transfer-Encoding: chunked", b"1\r\nx\r\n")

    def slow_enough():
        client = Client(larder.port).send(b"POST /slow HTTP/1.1\r\n" + host + b"Content-Length: 10000\r\n\r\n")
        check(dripped(client, b"x" * 200, 50).read_final().status == 200, "a slow client that moves is served")
        check(len(origin.seen("/slow")[0].body) == 10000, "the whole body")

    yield "23 a body of 10 KB/s takes longer than client_body and is whole", slow_enough
    yield "23 nothing at all", lambda: check(not ends(Client(larder.port)), "not a word")

    def idle():
        client = Client(larder.port).send(b"GET /a HTTP/1.1\r\n" + host + b"\r\n")
        check(client.read_final().status == 200, "the answer")
        check(not ends(client), "and then the end")

    yield "23 idle between two requests", idle

    def stray_line():
        client = Client(larder.port).send(b"GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n\r\n")
        check(client.read_final().status == 200, "the answer")
        check(not ends(client), "an empty line behind it is no head that is late")

    yield "23 an empty line after a request, and nothing else", stray_line

    def not_reading():
        before = larder.metric("larder_client_timeouts_total")
        origin.on("/big", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB) + b"x" * (64 * MIB))
        client = Client(larder.port)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(b"GET /big HTTP/1.1\r\n" + host + b"\r\n")
        await_that("it is asked", lambda: origin.seen("/big"))
        await_that("it is given up", lambda: larder.metric("larder_client_timeouts_total") > before)
        client.close()

    yield "23 a client that does not read", not_reading
    larder.stop()

    quick = Origin()
    larder = Larder(binary, quick, RULES.replace("rules:", f"upstream: {{url: 'http://127.0.0.1:{quick.port}', first_byte_timeout: 400ms, idle_timeout: 400ms}}\nrules:"), drop_upstream=True)

    def read_slowly(port, path):
        """64 KiB at most every 20 ms. The bytes that came, before the end or a reset."""
        client = Client(port)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(f"GET {path} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n".encode())
        pause, seen = threading.Event(), 0
        try:
            while received := client.socket.recv(65536):
                seen += len(received)
                pause.wait(0.02)
        except ConnectionResetError:
            pass
        return seen

    def slow_reader():
        quick.on("/big", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB) + b"x" * (64 * MIB))
        picky = Larder(binary, quick, RULES, "timeouts: {client_body: 400ms}\nlimits: {client_rate: 1GiB}\n")
        check(read_slowly(picky.port, "/big") < 64 * MIB, "it is cut")
        await_that("it is counted", lambda: picky.metric("larder_client_too_slow_total") == 1)
        picky.stop()

    yield "23 a client that takes an answer too slowly", slow_reader

    def slow_reader_that_moves():
        size = 8 * MIB
        quick.on("/big", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        patient = Larder(binary, quick, RULES, "timeouts: {client_body: 400ms}\n")
        check(read_slowly(patient.port, "/big") > size, "all of it, though the kernel's buffer drains more slowly than client_body")
        check(patient.metric("larder_client_timeouts_total") == 0, "and no deadline is missed")
        patient.stop()

    yield "23 a client that is slow and moves gets all of it", slow_reader_that_moves
    def silent_app():
        for path in ("/silent", "/cached/silent"):
            quick.on(path, ["silent"])
            check(get(larder.port, path).status == 504, "504")
            quick.on(path, OK)
            check(get(larder.port, path).body == b"ok", "and not stored")

    yield "23 a silent app is a 504", silent_app

    def pauses():
        patient = Larder(binary, quick, f"upstream: {{url: 'http://127.0.0.1:{quick.port}', first_byte_timeout: 300ms}}\n" + RULES, "timeouts: {client_body: 1s}\n", drop_upstream=True)
        for framing, part in ((b"Content-Length: 10", b"12345"), (b"Transfer-Encoding: chunked", b"5\r\n12345\r\n")):
            responses = ends(Client(patient.port).send(b"POST /pauses HTTP/1.1\r\nHost: app.test\r\n" + framing + b"\r\n\r\n" + part))
            check([r.status for r in responses] == [408], "the client is late, not the app", responses)
        patient.stop()

    yield "23 a client that pauses inside its body longer than first_byte_timeout", pauses

    def leaves(how):
        def play():
            silent = Origin()
            silent.on("/pass", ["silent"])
            waiting = Larder(binary, silent, RULES)
            client = Client(waiting.port).send(b"GET /pass HTTP/1.1\r\nHost: app.test\r\n\r\n")
            await_that("it is asked", lambda: silent.seen("/pass"))
            if how == "reset":
                client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
            await_that("the app's connection ends", lambda: waiting.metric("larder_upstream_requests_abandoned_total") == 1)
            await_that("nothing is under way", lambda: waiting.metric("larder_upstream_connections", 'state="busy"') == 0)
            waiting.stop()

        return f"25 a client that leaves ({how}) ends what only it waits for", play

    yield leaves("reset")
    yield leaves("close")

    def half_closed_slow():
        slow = Origin()
        slow.on("/slow", ["hold", OK])
        waiting = Larder(binary, slow, RULES)
        client = Client(waiting.port).send(b"GET /slow HTTP/1.1\r\nHost: app.test\r\n\r\n").half_close()
        check(client.read().status == 102, "it is asked whether it still reads")
        slow.released.set()
        check(client.read_final().body == b"ok", "it does, and is served")
        waiting.stop()

    yield "9 a half-closed client that waits long is served", half_closed_slow

    def hints():
        quick.on("/hints", [b"HTTP/1.1 103 Early Hints\r\n\r\n", "late"] * 40)
        check(get(larder.port, "/hints").status == 504, "interim answers buy no time")

    yield "15 an app that sends nothing but early hints", hints

    def stalls():
        quick.on("/stalls", [b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", "silent"])
        response = get(larder.port, "/stalls")
        check(response.status == 200 and not response.complete, "visibly cut", response)

    yield "23 an app that stalls inside a body", stalls
    larder.stop()


def memory(binary):
    origin = Origin()
    larder = Larder(binary, origin, RULES, "memory: 8MiB\nmax_object: 4MiB\n")
    get(larder.port, "/warm")

    def grown():
        return larder.figure("VmRSS") / 1024 / MEMORY_SLACK

    def through(name, path, size):
        def play():
            origin.on(path, lambda request: [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (size * MIB)] + [b"x" * MIB] * size)
            before = grown()
            client = Client(larder.port).send(f"GET {path} HTTP/1.1\r\nHost: app.test\r\n\r\n".encode())
            seen = 0
            while seen < size * MIB:
                received = client.socket.recv(MIB)
                check(received, "it does not end early", seen)
                seen += len(received)
            client.close()
            check(grown() - before < 64, "memory stays bounded (MiB)", before, grown())

        return name, play

    yield through("24 a download of 512 MiB", "/download", 512)
    yield through("24 a cacheable one above the cache is delivered whole", "/cached/download", 64)

    def upload():
        before = grown()
        origin.on("/upload", OK)
        size = 256 * MIB
        client = Client(larder.port).send(f"POST /upload HTTP/1.1\r\nHost: app.test\r\nContent-Length: {size}\r\n\r\n".encode())
        for _ in range(256):
            client.send(b"x" * MIB)
        check(client.read_final().status == 200, "answered")
        client.close()
        check(grown() - before < 64, "memory stays bounded (MiB)", before, grown())

    yield "24 an upload of 256 MiB", upload

    def non_readers():
        origin.on("/fat", b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (16 * MIB) + b"x" * (16 * MIB))
        before = grown()
        clients = []
        for _ in range(32):
            client = Client(larder.port)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            clients.append(client.send(b"GET /fat HTTP/1.1\r\nHost: app.test\r\n\r\n"))
        await_that("all are asked", lambda: len(origin.seen("/fat")) == 32)
        check(get(larder.port, "/a").status == 200, "others are served")
        check(grown() - before < 128, "memory stays bounded (MiB)", before, grown())
        for client in clients:
            client.close()

    yield "24 thirty-two clients that do not read 16 MiB each", non_readers

    def flood():
        before = grown()
        client = Client(larder.port)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.socket.setblocking(False)
        sent = 0
        try:
            for _ in range(200_000):
                sent += client.socket.send(b"GET /cached/a HTTP/1.1\r\nHost: app.test\r\n\r\n" * 100)
        except (BlockingIOError, ConnectionError):
            pass
        check(get(larder.port, "/a").status == 200, "others are served")
        check(grown() - before < 64, "memory stays bounded (MiB)", before, grown(), sent)
        client.close()

    yield "24 a flood of pipelined requests whose answers nobody reads", flood

    def heads():
        before = grown()
        clients = [Client(larder.port).send(b"GET /a HTTP/1.1\r\nX: " + b"a" * 15_000) for _ in range(500)]
        check(get(larder.port, "/a").status == 200, "others are served")
        check(grown() - before < 64, "memory stays bounded (MiB)", before, grown())
        for client in clients:
            client.close()

    yield "24 five hundred unfinished heads of 15 KB", heads

    def cache_flood():
        body = b"x" * 100_000
        origin.answers.setdefault(b"/", OK)
        numbers = range(500)
        for number in numbers:
            origin.on(f"/cached/{number}", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + body)
        before = grown()
        for number in numbers:
            check(len(get(larder.port, f"/cached/{number}").body) == 100_000, "each is answered")
        check(grown() - before < 32, "the store keeps to its size (MiB)", before, grown())
        check(larder.metric("larder_memory_bytes") <= 8 * MIB, "and says so")

    yield "24 a flood of keys: 50 MB through a cache of 8 MiB", cache_flood

    def fresh():
        check(larder.metric("larder_client_connections_refused_total") == 0, "nobody was refused")
        await_that("descriptors go back", lambda: larder.descriptors() < 64)

    yield "25 no descriptor is left behind", fresh
    larder.stop()


PURGES = """rules:
  - {name: page, match: "GET /cached/{rest*}", ttl: 60s}
  - {name: feed, match: "GET /feed/{id}", key: "feed:{id}:x", ttl: 60s}
  - {name: write, match: "POST /w", purge: "feed:{body.id}:*"}
  - {name: exact, match: "POST /exact", purge: "feed:{body.id}:x"}
"""


def logs(binary):
    """What writers and readers name is remembered for a time: in bounded room, and so that no purge is lost."""
    origin = Origin()
    stars, exes = "*" * 60_000, "x" * 7_000
    numbers = itertools.count()

    def ask(port, requests):
        """All on one connection, one after the other."""
        client = Client(port)
        for request in requests:
            check(client.send(request).read_final() is not None, "each is answered")
        client.close()

    def post(target, body=b""):
        return f"POST {target} HTTP/1.1\r\nHost: app.test\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def identified(target, number):
        return post(target, json.dumps({"id": f"{number}-{stars}"}).encode())

    floods = {
        "patterns of 180 KB": lambda: (identified("/w", next(numbers)) for _ in range(200)),
        "exact keys of 180 KB": lambda: (identified("/exact", next(numbers)) for _ in range(200)),
        "writes to addresses of 12 KB, which no rule names": lambda: (post(f"/{next(numbers)}{stars[:12_000]}") for _ in range(1_500)),
    }

    def purged(larder, name):
        """A long key is voided by its exact purge and by a pattern that is cut."""
        for target in ("/exact", "/w"):
            await_that("it is stored", lambda: b"; hit" in get(larder.port, f"/feed/{exes}").get(b"cache-status"))
            ask(larder.port, [post(target, json.dumps({"id": exes}).encode())])
            check(b"; hit" not in get(larder.port, f"/feed/{exes}").get(b"cache-status"), "the purge is not lost", name)

    def flooded(name, larder, redis=None):
        def play():
            purged(larder, name)
            before, in_redis = larder.figure("VmRSS"), redis and used(redis)
            ask(larder.port, floods[name]())
            grown = (larder.figure("VmRSS") - before) / 1024 / MEMORY_SLACK
            check(grown < 32, "memory stays bounded (MiB)", grown)
            if redis:
                check(used(redis) - in_redis < 16 * MIB, "in Redis, too", used(redis) - in_redis)
            purged(larder, name)

        return f"24 purges: {name}{', with Redis' if redis else ''}", play

    def used(redis):
        return int(re.search(rb"used_memory:(\d+)", redis.ask("INFO", "memory"))[1])

    larder = Larder(binary, origin, PURGES, "memory: 8MiB\n")
    for name in floods:
        yield flooded(name, larder)

    def widened():
        before = larder.metric("larder_purge_patterns_widened_total")
        ask(larder.port, [identified("/w", 1)])
        check(larder.metric("larder_purge_patterns_widened_total") > before, "it is counted")
        check("a shorter one, which purges more, takes its place" in larder.log(), "and logged")

    yield "24 a pattern that is cut is counted and logged", widened

    def uncacheable():
        private = b"HTTP/1.1 200 OK\r\nCache-Control: private\r\nContent-Length: 2\r\n\r\nok"
        origin.on("/cached/odd", private)
        before = larder.figure("VmRSS")
        ask(larder.port, (f"GET /cached/odd?{number}{exes} HTTP/1.1\r\nHost: app.test\r\n\r\n".encode() for number in range(3_000)))
        grown = (larder.figure("VmRSS") - before) / 1024 / MEMORY_SLACK
        check(grown < 16, "memory stays bounded (MiB)", grown)

    yield "24 three thousand long keys whose answers cannot be stored", uncacheable

    def refused():
        origin.on("/cached/page", lambda request: b"HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno" if request.get(b"x-odd") else OK)
        check(get(larder.port, "/cached/page", "X-Odd: 1").status == 400, "the app refuses it")
        check(b"stored" in get(larder.port, "/cached/page").get(b"cache-status"), "the next one is stored all the same")

    yield "24 a request that the app refuses does not keep its key out of the cache", refused
    larder.stop()

    redis = Redis()
    larder = Larder(binary, origin, PURGES, f"memory: 8MiB\nstore: {{url: 'unix://{redis.path}', timeout: 5s}}\n")
    for name in floods:
        yield flooded(name, larder, redis)
    larder.stop()
    redis.stop()


def fetches(binary):
    origin = Origin()
    larder = Larder(binary, origin, RULES)

    def abandoned():
        origin.on("/endless", lambda request: [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"] + [b"400\r\n" + b"x" * 1024 + b"\r\n"] * 100_000)
        client = Client(larder.port).send(b"GET /endless HTTP/1.1\r\nHost: app.test\r\n\r\n")
        client.receive()
        client.close()
        await_that("the fetch ends", lambda: origin.open_count == 0)

    yield "25 a fetch that nobody waits for, and nobody will store, ends", abandoned

    def abandoned_cached():
        origin.on("/cached/endless", lambda request: [b"HTTP/1.1 200 OK\r\nCache-Control: private\r\nTransfer-Encoding: chunked\r\n\r\n"] + [b"400\r\n" + b"x" * 1024 + b"\r\n"] * 100_000)
        client = Client(larder.port).send(b"GET /cached/endless HTTP/1.1\r\nHost: app.test\r\n\r\n")
        client.receive()
        client.close()
        await_that("the fetch ends", lambda: origin.open_count == 0)

    yield "25 one under a cacheable key that turns out private ends, too", abandoned_cached

    def hanging():
        origin.released.clear()
        origin.on("/hang", ["hold", OK])
        clients = [Client(larder.port).send(b"GET /hang HTTP/1.1\r\nHost: app.test\r\n\r\n") for _ in range(300)]
        await_that("all hang", lambda: len(origin.seen("/hang")) == 300)
        check(get(larder.port, "/a").status == 200, "others are served")
        check(get(larder.port, "/cached/a").status == 200, "from the cache, too")
        origin.released.set()
        for client in clients:
            check(client.read_final().status == 200, "and those in the end")
            client.close()

    yield "26 three hundred requests that hang", hanging

    def idle():
        clients = [Client(larder.port) for _ in range(1000)]
        check(get(larder.port, "/a").status == 200, "others are served")
        for client in clients[::50]:
            client.send(b"GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n")
            check(client.read_final().status == 200, "and the idle ones when they ask")
        for client in clients:
            client.close()

    yield "26 a thousand idle connections", idle

    def churn():
        before = larder.descriptors()
        for _ in range(500):
            Client(larder.port).send(b"GET /a HTT").close()
        for _ in range(200):
            client = Client(larder.port).send(b"GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n")
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.close()
        check(get(larder.port, "/a").status == 200, "others are served")
        await_that("descriptors go back", lambda: larder.descriptors() <= before + 16)

    yield "26 connections that come and go", churn
    larder.stop()


def limits(binary):
    origin = Origin()
    larder = Larder(binary, origin, RULES, "limits: {connections: 20}\n")

    def connections():
        clients = [Client(larder.port) for _ in range(20)]
        for client in clients:
            client.send(b"GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n")
            check(client.read_final().status == 200, "up to the limit all are served")
        more = Client(larder.port).send(b"GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n")
        response = more.read_final()
        check(response is not None and response.status == 503 and response.all(b"retry-after"), "503, and when to come again", response)
        more.close()
        check(clients[0].send(b"GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n").read_final().status == 200, "those who are there go on")
        for client in clients:
            client.close()
        await_that("there is room again", lambda: get(larder.port, "/a").status == 200)

    yield "26 more connections than the limit", connections
    larder.stop()

    larder = Larder(binary, origin, RULES, "limits: {inflight: 10}\n")

    def inflight():
        origin.released.clear()
        origin.on("/hang", ["hold", OK])
        check(get(larder.port, "/cached/a").status == 200, "stored")
        await_that("it is a hit", lambda: b"hit" in get(larder.port, "/cached/a").get(b"cache-status"))
        count = len(origin.requests)
        clients = [Client(larder.port).send(b"GET /hang HTTP/1.1\r\nHost: app.test\r\n\r\n") for _ in range(10)]
        await_that("ten hang", lambda: len(origin.requests) == count + 10)
        for path, method in (("/more", "GET"), ("/more", "POST"), ("/cached/more", "GET")):
            response = get(larder.port, path, method=method)
            check(response.status == 503 and response.all(b"retry-after"), "503, and when to come again", response)
        check(get(larder.port, "/cached/a").body == b"ok", "hits need nobody")
        check(len(origin.requests) == count + 10, "the app has ten")
        origin.released.set()
        for client in clients:
            check(client.read_final().status == 200, "those are answered")
            client.close()
        await_that("there is room again", lambda: get(larder.port, "/more").status == 200)

    yield "26 more requests under way than the limit", inflight
    larder.stop()

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (80, hard))
    try:
        larder = Larder(binary, origin, RULES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    def descriptors():
        clients = []
        for _ in range(200):
            clients.append(Client(larder.port))
        def ticks():
            with open(f"/proc/{larder.process.pid}/stat", encoding="utf-8") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            return int(fields[11]) + int(fields[12])

        before = ticks()
        response = clients[0].send(b"GET /a HTTP/1.1\r\nHost: app.test\r\n\r\n").read_final()
        check(response is not None and response.status in (200, 502, 503), "who is in is answered", response)
        check(ticks() - before < 100, "it does not spin", before, ticks())
        for client in clients:
            client.close()
        await_that("it accepts again", lambda: get(larder.port, "/a").status == 200)

    yield "26 no descriptors left", descriptors
    larder.stop()


def app_down(binary):
    origin = Origin()
    larder = Larder(binary, origin, RULES)

    def down():
        check(get(larder.port, "/cached/a").status == 200, "stored")
        await_that("it is a hit", lambda: b"hit" in get(larder.port, "/cached/a").get(b"cache-status"))
        origin.go_away()
        for raw in range(3):
            response = get(larder.port, f"/down{raw}")
            check(response.status in (502, 503), "502 at once", response)
        check(get(larder.port, "/cached/b").status in (502, 503), "for what is not stored")
        check(get(larder.port, "/cached/a").body == b"ok", "what is fresh is still served")
        origin.come_back()
        check(get(larder.port, "/cached/b").body == b"ok", "recovery at once, and the error was not stored")

    yield "27 the app goes away and comes back", down
    larder.stop()


GROUPS = [deadlines, memory, logs, fetches, limits, app_down]
