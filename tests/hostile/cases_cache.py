"""Requirements 16 to 22: the key, what may be shared, and what a client or the app could do to the next client."""

import concurrent.futures
import itertools

from harness import OK, Client, Larder, Origin, await_that, check, get

RULES = """rules:
  - {name: page, match: "GET /p/{rest*}", ttl: 60s}
  - {name: item, match: "GET /items/{id}", key: "item:{id}:{query.q|}", ttl: 60s}
  - {name: tenant, match: "GET /tenant/{id}", key: "tenant:{header.X-Tenant|none}:{id}", ttl: 60s}
  - {name: item-write, match: "PUT|DELETE /items/{id}", purge: "item:{id}:*"}
"""


def start(binary, options=""):
    origin = Origin()
    numbers = itertools.count(1)

    def numbered(request):
        body = b"n%d" % next(numbers)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    class Numbered(dict):
        def get(self, path, default=None):
            return super().get(path, numbered)

    origin.answers = Numbered()
    return origin, Larder(binary, origin, RULES, options)


def is_hit(response):
    return b"; hit" in response.get(b"cache-status")


def raw(larder, data):
    client = Client(larder.port).send(data)
    response = client.read_final()
    client.close()
    return response


def keys(binary):
    origin, larder = start(binary)

    # Pairs that must never share an entry.
    pairs = [
        ("16 another path", "/p/a", "/p/b"), ("16 another query", "/p/a?x=1", "/p/a?x=2"), 
        ("16 a colon in the path and in the query", "/p/a:b", "/p/a?b"),
        ("16 an encoded ? in the path", "/p/a%3Fx=1", "/p/a?x=1"), ("16 an encoded / in the path", "/p/a%2Fb", "/p/a/b"),
        ("16 an encoded % in the path", "/p/a%2541", "/p/a%41"), ("16 another case of the path", "/p/A", "/p/a"),
        ("16 a slash at the end", "/p/a/", "/p/a"), ("16 an encoded separator in a value", "/items/1%3Aq", "/items/1?q=q"),
        ("16 a value with the key's separator", "/items/1:x", "/items/1?q=x"), ("16 a * in a value", "/items/*", "/items/1"),
        ("16 an encoded * in a value", "/items/%2A", "/items/2"), ("16 long paths that differ at the end", "/p/" + "a" * 7000 + "1", "/p/" + "a" * 7000 + "2"),
        ("16 long queries that differ at the end", "/p/l?" + "a" * 7000 + "1", "/p/l?" + "a" * 7000 + "2"),
        ("16 a + and a space", "/items/3?q=a+b", "/items/3?q=a%2Bb"), ("16 an encoded & in a value", "/items/4?q=a%26b", "/items/4?q=a&b"),
        ("20 a path with ;params", "/p/a;x=1", "/p/a;x=2"), ("20 a file extension behind ;", "/p/account;.css", "/p/account"),
        ("20 two slashes", "/p//a", "/p/a"), ("16 NUL in a path", "/p/a%00b", "/p/a"),
        *[(f"16 an encoded {c}", f"/p/s{n}%{ord(c):02X}", f"/p/s{n}{c}") for n, c in enumerate("!$&'()*+,:=@\"<>[]^`{|}")],
        *[(f"16 an encoded {c} in a key of values", f"/items/v{n}%{ord(c):02X}", f"/items/v{n}{c}") for n, c in enumerate("!&+,:=@")], ("16 CR LF in a path", "/p/a%0d%0ab", "/p/a"),
    ]
    for name, one, two in pairs:

        def play(one=one, two=two):
            first, second = get(larder.port, one), get(larder.port, two)
            again, over = get(larder.port, one), get(larder.port, two)
            if 200 in (first.status, second.status):
                bodies = {first.body, again.body} & {second.body, over.body}
                check(not bodies, "nothing of one is given for the other", first.body, second.body)

        yield name, play

    def hosts():
        bodies = set()
        for host in (b"app.test", b"other.test", b"app.test:8080", b"app.test.", b"xapp.test"):
            bodies.add(raw(larder, b"GET /p/host HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").body)
        check(len(bodies) == 5, "each host has its own", bodies)
        check(raw(larder, b"GET http://other.test/p/host HTTP/1.1\r\nHost: app.test\r\n\r\n").body in bodies, "the target's authority counts")
        one = raw(larder, b"GET http://evil.test/p/absolute HTTP/1.1\r\nHost: app.test\r\n\r\n").body
        check(raw(larder, b"GET /p/absolute HTTP/1.1\r\nHost: app.test\r\n\r\n").body != one, "not Host's")

    yield "16 the authority is part of the key", hosts

    def same_forward():
        """Each spelling is asked for by a site of its own, so that each is forwarded; those that one site shares must
        have been forwarded alike."""
        spellings = ["/p/x/y?", "/p/x/y?b=2&a=1", "/p/x/y?a=1&b=2", "/p/x/y?a=%31&b=2", "/p/x/y?&a=1&&b=2", "/items/5?q=a+b", "/items/5?q=a%20b", "/items/5?q=%61%20b",
                     "/p/x/y", "/p/x/./y", "/p/x/z/../y", "/p/x/%79", "/p/x%2fy", "/p/x//y", "/p/x/y;a", "/p/x/y%00", "/p/x\\y", "/P/x/y", "/p/x/%7ey", "/p/x/~y"]
        shared, forwarded = {}, {}
        for number, spelling in enumerate(spellings):
            body = get(larder.port, spelling).body
            shared.setdefault(body, []).append(spelling)
            fresh = spelling.replace("/items/5", f"/items/5{number}").replace("/x", f"/x{number}")
            get(larder.port, fresh)
            target = origin.requests[-1].target.decode()
            forwarded[spelling] = target.replace(f"/items/5{number}", "/items/5").replace(f"/x{number}", "/x")
        check(any(len(those) > 1 for those in shared.values()), "some share", shared)
        for those in shared.values():
            check(len({forwarded[one] for one in those}) == 1, "one form for all who share it", {one: forwarded[one] for one in those})

    def hosts_alike():
        for host in (b"Case.Test", b"case.test:80", b"CASE.TEST"):
            raw(larder, b"GET /p/case HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
        check({r.get(b"host") for r in origin.requests if r.target == b"/p/case"} == {b"case.test"}, "one form of the host")

    yield "16 what shares an entry is asked for by one host", hosts_alike
    yield "16 what shares an entry is forwarded alike", same_forward

    for name, target in (("dot segments", "/p/../admin"), ("encoded dot segments", "/p/%2e%2e/admin"), ("half encoded", "/p/.%2e/admin"),
                         ("encoded slashes", "/p/..%2fadmin"), ("a backslash", "/p/..\\admin"), ("an encoded backslash", "/p/..%5cadmin"),
                         ("twice encoded", "/p/%252e%252e/admin"), ("dots and parameters", "/p/..;/admin"), ("NUL before a suffix", "/p/admin%00.css"),
                         ("a line end before a suffix", "/p/admin%0a.css"), ("a ? before a suffix", "/p/admin%3f.css"), ("a # before a suffix", "/p/admin%23.css")):

        def traverse(target=target):
            first, second = get(larder.port, target), get(larder.port, target)
            for response in (first, second):
                check(response.status in (200, 400), "answered or refused", response.start)
            sent = {request.target.lower() for request in origin.requests if b"admin" in request.target}
            if is_hit(second):
                check(target.encode().lower() in sent, "what is stored was asked for as it is keyed", sent)
                check(get(larder.port, "/p/admin").body != second.body, "and is nothing else's")

        yield f"20 {name}", traverse

    def unkeyed():
        poison = [b"X-Forwarded-Host: evil.test", b"X-Forwarded-Proto: evil", b"X-Forwarded-For: 6.6.6.6", b"X-Original-URL: /evil", b"X-Rewrite-URL: /evil",
                  b"Forwarded: host=evil.test", b"X-Host: evil.test", b"X-HTTP-Method-Override: POST", b"X-Forwarded-Prefix: /evil", b"X_Forwarded_Host: evil.test"]
        origin.on("/p/echo", lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(request.head) + request.head)
        for number, field in enumerate(poison):
            path = b"/p/echo?%d" % number
            raw(larder, b"GET " + path + b" HTTP/1.1\r\nHost: app.test\r\n" + field + b"\r\n\r\n")
            clean = raw(larder, b"GET " + path + b" HTTP/1.1\r\nHost: app.test\r\n\r\n")
            check(b"evil" not in clean.body and b"6.6.6.6" not in clean.body, "the next client sees nothing of it", field, clean.body)

    yield "19 fields that the key does not name shape no stored answer", unkeyed

    def fat_get():
        origin.on("/p/fat", lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(request.body) + 1) + b"=" + request.body)
        get(larder.port, "/p/fat", body=b"evil")
        raw(larder, b"GET /p/fat HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nevil\r\n0\r\n\r\n")
        check(get(larder.port, "/p/fat").body == b"=", "the answer to a body is that request's alone")

    yield "19 a body on a GET", fat_get

    def methods(method, *fields):
        def play():
            path = "/p/method-" + method
            origin.on(path, lambda request: b"HTTP/1.1 200 OK\r\nX: y\r\nContent-Length: 7\r\n\r\n" + (b"" if request.start.startswith(b"HEAD") else b"poison!" if request.start.split()[0] != b"GET" else b"genuine"))
            get(larder.port, path, *fields, method=method)
            for _ in range(2):
                response = get(larder.port, path)
                check(response.body == b"genuine", "GET has GET's answer", response.start, response.body)

        return f"21 {method} before GET", play

    for method in ("HEAD", "OPTIONS", "POST", "BREW", "get", "PROPFIND", "TRACE", "DELETE"):
        yield methods(method)

    def partial():
        origin.on("/p/part", lambda r: b"HTTP/1.1 206 Part\r\nContent-Range: bytes 0-1/10\r\nContent-Length: 2\r\n\r\n01" if r.all(b"range") else b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789")
        get(larder.port, "/p/part", "Range: bytes=0-1")
        whole = get(larder.port, "/p/part")
        check(whole.status == 200 and whole.body == b"0123456789", "a part is not the page", whole)
        origin.on("/p/part2", lambda r: b"HTTP/1.1 416 No\r\nContent-Range: bytes */10\r\nContent-Length: 0\r\n\r\n" if r.all(b"range") else OK)
        get(larder.port, "/p/part2", "Range: bytes=99-")
        check(get(larder.port, "/p/part2").body == b"ok", "nor is 416")

    yield "21 a Range before GET", partial

    def conditional():
        origin.on("/p/cond", lambda r: b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n" if r.all(b"if-none-match") else b"HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 2\r\n\r\nok")
        get(larder.port, "/p/cond", 'If-None-Match: "x"')
        check(get(larder.port, "/p/cond").body == b"ok", "a 304 is not the page")
        origin.on("/p/cond2", lambda r: b"HTTP/1.1 412 No\r\nContent-Length: 0\r\n\r\n" if r.all(b"if-match") else OK)
        get(larder.port, "/p/cond2", 'If-Match: "y"')
        check(get(larder.port, "/p/cond2").body == b"ok", "nor is a 412")

    yield "21 a condition before GET", conditional

    def oversized(name, *fields):
        """Cache poisoning by an error of the app that an unkeyed field has brought about."""

        def play():
            path = "/p/error-" + name.replace(" ", "-")
            origin.on(path, lambda r: b"HTTP/1.1 400 Bad\r\nContent-Length: 5\r\n\r\nerror" if r.all(b"x-bad") else OK)
            get(larder.port, path, *fields)
            check(get(larder.port, path).body == b"ok", "an error is not the page")

        return f"18 {name}", play

    yield oversized("an error that a field has brought about", "X-Bad: 1")
    for status in (301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 413, 429, 500, 501, 502, 503, 504):

        def error(status=status):
            path = f"/p/status{status}"
            origin.on(path, b"HTTP/1.1 %d X\r\nLocation: /evil\r\nContent-Length: 5\r\n\r\nerror" % status)
            first = get(larder.port, path)
            origin.on(path, OK)
            if status in (301, 308, 404):  # these the rule's ttl is for: rules/README.md
                return
            check(first.status == status and get(larder.port, path).body == b"ok", "it is not stored", first)

        yield f"18 a {status} is not the page", error
    larder.stop()


def sharing(binary):
    origin, larder = start(binary)

    def private(name, answer_fields, *request_fields):
        """Ten at once, and then one more: whoever asks gets an answer of his own."""

        def play():
            path = "/p/" + name.replace(" ", "-").replace("*", "star")
            numbers = itertools.count(1)

            def own(_):
                body = b"own%d" % next(numbers)
                fields = b"".join(field + b"\r\n" for field in answer_fields)
                return ["hold", b"HTTP/1.1 200 OK\r\n" + fields + b"Content-Length: %d\r\n\r\n" % len(body) + body]

            origin.on(path, own)
            origin.released.clear()
            with concurrent.futures.ThreadPoolExecutor(12) as pool:
                waiting = [pool.submit(get, larder.port, path, *request_fields) for _ in range(10)]
                await_that("it is asked", lambda: origin.seen(path + " "))
                origin.released.set()
                bodies = [one.result().body for one in waiting]
            bodies.append(get(larder.port, path, *request_fields).body)
            check(len(set(bodies)) == 11, "eleven answers for eleven clients", bodies)

        return f"17 {name}, also when requests are coalesced", play

    yield private("private", [b"Cache-Control: private"])
    yield private("no-store", [b"Cache-Control: no-store"])
    yield private("no-cache", [b"Cache-Control: no-cache"])
    yield private("private in capitals", [b"CACHE-CONTROL: PRIVATE"])
    yield private("private among others", [b"Cache-Control: max-age=60", b"Cache-Control: foo, private"])
    yield private("private with fields", [b'Cache-Control: private="x-a"'])
    yield private("max-age 0", [b"Cache-Control: max-age=0"])
    yield private("Vary star", [b"Vary: *"])
    yield private("Vary star among others", [b"Vary: Accept, *"])
    yield private("Set-Cookie", [b"Set-Cookie: sid=1"])
    yield private("Authorization", [], "Authorization: Basic eA==")
    yield private("Cookie", [], "Cookie: sid=1")
    yield private("no-store of the request", [], "Cache-Control: no-store")
    yield private("a 500", [b"Cache-Control: no-store, s-maxage=60"])

    def vary():
        def by_language(request):
            body = b"for " + request.get(b"accept-language")
            return ["hold", b"HTTP/1.1 200 OK\r\nVary: Accept-Language\r\nContent-Length: %d\r\n\r\n" % len(body) + body]

        origin.on("/p/vary", by_language)
        origin.released.clear()
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            waiting = [(l, pool.submit(get, larder.port, "/p/vary", "Accept-Language: " + l)) for l in ("de", "en", "fr") * 3]
            await_that("it is asked", lambda: origin.seen("/p/vary"))
            origin.released.set()
            for language, one in waiting:
                check(one.result().body == b"for " + language.encode(), "his own language", language)

    yield "17 Vary, also when requests are coalesced", vary

    def strangers():
        """A trusted-looking identity in a field that the key does not name."""
        for field in ("Authorization: Bearer a", "Cookie: sid=a"):
            path = "/p/me-" + field[:4]
            first, second = get(larder.port, path, field), get(larder.port, path)
            check(first.body != second.body and not is_hit(second), "nobody gets the answer to somebody", field)
            check(not is_hit(get(larder.port, path, field)), "nor does he get what is stored for all")

    yield "17 an answer to somebody is nobody else's", strangers
    larder.stop()


def purges(binary):
    origin, larder = start(binary)

    def fill(path):
        await_that("it is stored", lambda: is_hit(get(larder.port, path)))

    def exact():
        for path in ("/items/1", "/items/1?q=a", "/items/10", "/items/2", "/p/items/1"):
            fill(path)
        get(larder.port, "/items/1", method="PUT", body=b"x")
        check(not is_hit(get(larder.port, "/items/1")) and not is_hit(get(larder.port, "/items/1?q=a")), "what is meant")
        for path in ("/items/10", "/items/2", "/p/items/1"):
            check(is_hit(get(larder.port, path)), "and nothing else", path)

    yield "22 a purge touches what is meant", exact

    for name, path in (("a *", "/items/*"), ("an encoded *", "/items/%2A"), ("a ?", "/items/%3F"), ("a class", "/items/[0-9]"), ("a backslash", "/items/%5C*"),
                       ("a separator", "/items/%3A"), ("CR LF and a command", "/items/1%0d%0aFLUSHALL%0d%0a"), ("NUL", "/items/%00"), ("braces", "/items/{x}")):

        def play(path=path):
            fill("/items/20")
            fill("/items/21")
            response = get(larder.port, path, method="DELETE")
            check(response.status in (200, 400), "answered or refused", response)
            check(is_hit(get(larder.port, "/items/20")) and is_hit(get(larder.port, "/items/21")), "nothing else is purged")

        yield f"22 {name} in a value is no pattern", play

    def method():
        fill("/items/30")
        response = get(larder.port, "/items/30", method="PURGE")
        check(response.status in (200, 405), "PURGE is a method like any other unknown one here", response)
        fill("/items/31")
        get(larder.port, "/", "X-Purge: *", "X-Cache-Purge: *", "Surrogate-Key: item")
        check(is_hit(get(larder.port, "/items/31")), "no field of a client purges")

    yield "22 PURGE on the traffic port purges nothing else", method

    def spellings():
        for written in ("/items/s@x", "/items/s%40x"):
            fill("/items/s@x")
            fill("/items/s%40x")
            get(larder.port, written, method="PUT", body=b"x")
            check(not is_hit(get(larder.port, "/items/s@x")) and not is_hit(get(larder.port, "/items/s%40x")), "both are purged", written)

    yield "22 a write purges every spelling of its path", spellings
    larder.stop()


def refreshes(binary):
    """What is stored is renewed only by an answer that is for all."""
    origin = Origin()
    numbers = itertools.count(1)
    rules = """rules:
  - {name: tenant, match: "GET /t/{id}", key: "t:{id}:{header.X-Tenant|none}", ttl: 1s, stale_while_revalidate: 60s}
  - {name: short, match: "GET /s/{id}", ttl: 1s, ignore_query: [tracking]}
"""

    def echo(request):
        body = b"n%d tenant=%s target=%s" % (next(numbers), request.get(b"x-tenant"), request.target)
        return b'HTTP/1.1 200 OK\r\nETag: "1"\r\nLink: <%s>\r\nContent-Length: %d\r\n\r\n' % (request.target, len(body)) + body

    class Echo(dict):
        def get(self, path, default=None):
            return super().get(path, echo)

    origin.answers = Echo()
    larder = Larder(binary, origin, rules)

    def stale(path, *fields):
        first = get(larder.port, path, *fields)
        await_that("it is stale", lambda: b"ttl=-" in (last := get(larder.port, path, "Connection: X-Tenant, close", *fields)).get(b"cache-status") or not is_hit(last))
        return first

    def connection_option():
        before = len(origin.requests)
        stale("/t/1", "X-Tenant: v")
        await_that("it is refreshed by another", lambda: b"tenant=v" in get(larder.port, "/t/1", "X-Tenant: v").body and len(origin.requests) > before + 1)
        check(all(r.get(b"x-tenant") == b"v" for r in origin.requests[before:]), "no request for the tenant's entry was without the tenant", [r.head for r in origin.requests[before:]])

    yield "17 a refresh is not made of a request whose fields Connection takes away", connection_option

    def head_renewal():
        get(larder.port, "/s/1")
        await_that("it has expired", lambda: not is_hit(get(larder.port, "/s/1", "Connection: X-Nothing, close", method="HEAD")))
        for fields in ((), ("Cache-Control: no-store",)):
            target = "/s/1" if fields else "/s/1?utm_source=evil"
            get(larder.port, target, *fields, method="HEAD")
            response = get(larder.port, "/s/1")
            check(b"evil" not in response.get(b"link"), "no field of another form's answer", response.head)

    yield "21 a HEAD in another form renews nothing", head_renewal
    larder.stop()


def only_cached(binary):
    origin = Origin()
    larder = Larder(binary, origin, RULES, "client_cache_control: respect\n")
    hidden = b"GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n"

    for name, framing, body in (("of known length", b"Content-Length: %d" % len(hidden), hidden),
                                ("in chunks", b"Transfer-Encoding: chunked", b"%x\r\n%s\r\n0\r\n\r\n" % (len(hidden), hidden))):  # fmt: skip

        def play(framing=framing, body=body):
            client = Client(larder.port).send(b"GET /p/a HTTP/1.1\r\nHost: app.test\r\nCache-Control: only-if-cached\r\n" + framing + b"\r\n\r\n" + body)
            client.send(b"GET /p/next HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
            responses = client.read_to_end()
            check(responses[0].status == 504 and len(responses) <= 2, "504, and at most the next answer", responses)
            check(not origin.seen("/smuggled"), "the body is no request")

        yield f"9 only-if-cached with a body {name}", play
    larder.stop()


GROUPS = [keys, sharing, purges, refreshes, only_cached]
