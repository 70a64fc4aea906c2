#!/usr/bin/env python3
"""curl against Larder and a small real backend: what curl's options say and do must come out as it does without Larder.

usage: check_curl.py LARDER_BINARY

Each check is one use of curl that people make. It looks at bytes, status, Age, Cache-Status, curl's own exit code, and at
how often the backend was asked. Starts everything itself, on free ports. Exit 0 when all holds.
"""

import gzip
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zlib

sys.dont_write_bytecode = True
from backend import Backend, FileRoute, answer, chunked, head, http_date
from checks import Checks
from larder import Larder

LIMIT_S = 30
CONFIG = """
memory: 64MiB
rules:
  - {name: nothing, match: "GET /rule/off", cache: "off"}
cache: respect-origin
"""
FRESH = ("Cache-Control", "max-age=600")
TEXT = "".join(f"line {i} of what is downloaded\n" for i in range(2000)).encode()


class Result:
    """What curl has seen: its exit code, each head, the trailers, and the body of the last response."""

    def __init__(self, code, heads, body, details, said):
        self.code, self.body, self.details, self.said = code, body, details, said
        self.trailers = [one for one in heads if not one.startswith("HTTP/")]
        heads = self.heads = [one for one in heads if one.startswith("HTTP/")]
        last = heads[-1].split("\r\n") if heads else [""]
        self.status = int(last[0].split()[1]) if heads else 0
        self.fields = [line.partition(":")[::2] for line in last[1:]]

    def field(self, name):
        return ", ".join(value.strip() for key, value in self.fields if key.lower() == name.lower())

    @property
    def cache(self):
        return self.field("Cache-Status")

    @property
    def is_hit(self):
        return self.cache.startswith("larder; hit; ttl=")


class Curl:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.count = 0
        self.environment = {"PATH": os.environ.get("PATH", ""), "HOME": folder, "LC_ALL": "C"}

    def path(self, name):
        return str(self.folder / name)

    def __call__(self, *arguments, output=None, stdin=b""):
        """Runs curl; the body goes to `output`, or to a file of its own."""
        self.count += 1
        heads, body = self.path(f"heads{self.count}"), output or self.path(f"body{self.count}")
        command = ["curl", "--disable", "--silent", "--show-error", "--max-time", str(LIMIT_S), "--noproxy", "" if "-x" in arguments else "*",
                   "--dump-header", heads, "--output", body, "--write-out", "%{json}\n", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, env=self.environment, timeout=2 * LIMIT_S, check=False)
        text = pathlib.Path(heads).read_bytes().decode("latin-1") if os.path.exists(heads) else ""
        details = [json.loads(line) for line in done.stdout.decode().splitlines() if line.startswith("{")]
        content = pathlib.Path(body).read_bytes() if os.path.exists(body) else b""
        found = [one for one in text.split("\r\n\r\n") if one]
        return Result(done.returncode, found, content, details, done.stderr.decode("latin-1"))


class Stage:
    def __init__(self, binary, folder, checks):
        self.backend = Backend()
        self.larder = Larder(binary, self.backend.url, CONFIG)
        self.curl = Curl(folder)
        self.checks = checks
        self.last = 0

    def stop(self):
        code = self.larder.stop()
        self.backend.stop()
        self.checks.begin("Larder ends well when it is told to")
        self.checks.hold("exit code", code, 0)

    def path(self):
        """A path that no check has used."""
        self.last += 1
        return f"/page/{self.last}"

    def get(self, path, *arguments, **options):
        return self.curl(*arguments, self.larder.url + path, **options)

    def direct(self, path, *arguments, **options):
        return self.curl(*arguments, self.backend.url + path, **options)

    def stored(self, path):
        """Reads the path until it is a hit: the body's end and its being stored are not one moment."""
        for _ in range(1000):
            result = self.get(path)
            if result.is_hit:
                return result
        self.checks.true(f"{path} is stored", False, result.cache)
        return result

    def is_asked(self, path, count, method=None):
        self.checks.hold("requests to the backend", len(self.backend.asked(path, method)), count)


def check_miss_and_hit(stage, checks):
    path = stage.path()
    stage.backend.on(path, FileRoute(TEXT, [FRESH, ("Age", "100")]))
    first = stage.get(path)
    checks.hold("status", (first.status, first.code), (200, 0))
    checks.hold("Cache-Status of the miss", first.cache, "larder; fwd=uri-miss; stored")
    checks.hold("Age of the miss", first.field("Age"), "100")
    second = stage.stored(path)
    checks.true("Age of the hit counts on from the origin's", 100 <= int(second.field("Age")) < 160, second.field("Age"))
    ttl = int(second.cache.removeprefix("larder; hit; ttl="))
    checks.hold("age and ttl make the lifetime", ttl + int(second.field("Age")) in (599, 600), True)
    direct = stage.direct(path)
    for result in (first, second):
        checks.hold("body", result.body, TEXT)
        for name in ("ETag", "Last-Modified", "Content-Type", "Content-Length", "Cache-Control", "Accept-Ranges"):
            checks.hold(name, result.field(name), direct.field(name))
    stage.is_asked(path, 2)  # once by Larder


def check_compressed(stage, checks):
    path = stage.path()

    def route(request):
        accepted = request.field("Accept-Encoding")
        fields = [FRESH, ("Vary", "Accept-Encoding"), ("Content-Type", "text/plain")]
        if "gzip" in accepted:
            return answer(200, [*fields, ("Content-Encoding", "gzip")], gzip.compress(TEXT, mtime=0))
        if "deflate" in accepted:
            return answer(200, [*fields, ("Content-Encoding", "deflate")], zlib.compress(TEXT))
        return answer(200, fields, TEXT)

    stage.backend.on(path, route)
    asked = 0
    for arguments, coding in ((["--compressed"], "gzip"), (["-H", "Accept-Encoding: deflate", "--compressed"], "deflate"), ([], "")):
        asked += 1
        first = stage.get(path, *arguments)
        for _ in range(1000):
            second = stage.get(path, *arguments)
            if second.is_hit:
                break
        checks.true("the variant is stored", second.is_hit, second.cache)
        for result in (first, second):
            checks.hold("body as curl decodes it", result.body, TEXT)
            checks.hold("Content-Encoding", result.field("Content-Encoding"), coding)
        stage.is_asked(path, asked)
    raw = stage.get(path, "-H", "Accept-Encoding: gzip")
    checks.hold("coded bytes as they are", gzip.decompress(raw.body), TEXT)


def check_ranges(stage, checks):
    path = stage.path()
    stage.backend.on(path, FileRoute(TEXT, [FRESH]))
    stage.stored(path)
    size = len(TEXT)
    stage.is_asked(path, 1)
    for given, expected in (("0-99", TEXT[:100]), ("100-", TEXT[100:]), ("-50", TEXT[-50:]), ("0-0", TEXT[:1]),
                            (f"5-{size + 100}", TEXT[5:])):
        result = stage.get(path, "-r", given)
        checks.hold(f"-r {given}: status and exit code", (result.status, result.code), (206, 0))
        checks.hold(f"-r {given}: body", result.body, expected)
        checks.true(f"-r {given}: from the cache", result.is_hit and result.field("Age") != "", result.cache)
        direct = stage.direct(path, "-r", given)
        checks.hold(f"-r {given}: body without Larder", direct.body, expected)
        checks.hold(f"-r {given}: Content-Range", result.field("Content-Range"), direct.field("Content-Range"))
    beyond = stage.get(path, "-r", f"{size}-")
    checks.hold("a range beyond the end", (beyond.status, beyond.field("Content-Range")), (416, f"bytes */{size}"))
    stage.is_asked(path, 1 + 5)  # the five without Larder

    several = stage.get(path, "-r", "0-9,5000-5009,-10")
    checks.hold("several ranges: status", several.status, 206)
    boundary = re.fullmatch(r"multipart/byteranges; ?boundary=(\S+)", several.field("Content-Type"))
    checks.true("several ranges: Content-Type", boundary, several.field("Content-Type"))
    parts = several.body.split(b"\r\n--" + boundary[1].encode()) if boundary else []
    bodies = [part.split(b"\r\n\r\n", 1)[1] for part in parts[1:-1]]
    checks.hold("several ranges: the parts", bodies, [TEXT[:10], TEXT[5000:5010], TEXT[-10:]])
    checks.hold("several ranges: the end", parts[-1:], [b"--\r\n"])


def check_range_of_nothing_stored(stage, checks):
    path = stage.path()
    stage.backend.on(path, FileRoute(TEXT, [FRESH]))
    result = stage.get(path, "-r", "100-199")
    checks.hold("status and body", (result.status, result.body), (206, TEXT[100:200]))
    checks.hold("Content-Range", result.field("Content-Range"), f"bytes 100-199/{len(TEXT)}")
    whole = stage.get(path)
    checks.hold("a part is never served as the whole", (whole.status, whole.body), (200, TEXT))


def check_resume(stage, checks):
    for is_stored in (True, False):
        path = stage.path()
        stage.backend.on(path, FileRoute(TEXT, [FRESH]))
        if is_stored:
            stage.stored(path)
        target = stage.curl.path(f"resumed-{is_stored}")
        pathlib.Path(target).write_bytes(TEXT[:12345])
        result = stage.get(path, "-C", "-", output=target)
        checks.hold(f"status and exit code, stored: {is_stored}", (result.status, result.code), (206, 0))
        checks.hold("the file is whole", result.body, TEXT)
        checks.hold("from the cache", result.is_hit, is_stored)
        stage.is_asked(path, 1)
        again = stage.get(path, "-C", "-", output=target)
        without = stage.direct(path, "-C", "-", output=target)
        checks.hold("what is complete stays so", (again.code, again.status, again.body), (without.code, without.status, TEXT))


def check_time_condition(stage, checks):
    path = stage.path()
    route = stage.backend.on(path, FileRoute(TEXT, [FRESH]))
    stage.stored(path)
    before, after = http_date(1_600_000_000), http_date(1_800_000_000)
    for given, status in ((route.last_modified, 304), (after, 304), (before, 200)):
        result = stage.get(path, "-z", given)
        checks.hold(f"-z {given}", (result.status, result.body), (status, TEXT if status == 200 else b""))
        checks.true("from the cache", result.is_hit, result.cache)
    downloaded = stage.curl.path("downloaded")
    stage.get(path, "-R", output=downloaded)
    checks.hold("-R sets the origin's time", int(os.stat(downloaded).st_mtime), 1_700_000_000)
    result = stage.get(path, "-z", downloaded)
    checks.hold("-z FILE that is as new", (result.status, result.is_hit), (304, True))
    stage.is_asked(path, 1)
    # If-Unmodified-Since is for the origin to judge
    for given, status in ((before, 412), (after, 200)):
        result = stage.get(path, "-z", f"-{given}")
        checks.hold(f"-z -{given}", result.status, status)
    stage.is_asked(path, 3)


def check_etag_files(stage, checks):
    path = stage.path()
    stage.backend.on(path, FileRoute(TEXT, [FRESH]))
    stage.stored(path)
    etag = stage.curl.path("etag")
    first = stage.get(path, "--etag-save", etag, "--etag-compare", etag)
    checks.hold("without an etag yet", (first.status, first.body), (200, TEXT))
    checks.hold("the file holds the origin's etag", pathlib.Path(etag).read_text().strip(), '"v1"')
    second = stage.get(path, "--etag-compare", etag)
    checks.hold("nothing has changed", (second.status, second.body, second.is_hit), (304, b"", True))
    checks.hold("the etag on a 304", second.field("ETag"), '"v1"')
    stage.is_asked(path, 1)
    stage.backend.on(path, FileRoute(TEXT[:100], [FRESH], etag='"v2"'))
    stage.get(path, "-X", "PUT", "--data", "new")  # its 404 or 200 does not matter here
    third = stage.get(path, "--etag-compare", etag, "--etag-save", etag)
    checks.hold("after a write through Larder it has", (third.status, third.body), (200, TEXT[:100]))
    checks.hold("the file holds the new one", pathlib.Path(etag).read_text().strip(), '"v2"')


def check_validation(stage, checks):
    path = stage.path()
    # too old on arrival: each request is validated, and the backend answers 304
    route = stage.backend.on(path, FileRoute(TEXT, [("Cache-Control", "max-age=60"), ("Age", "100")]))
    first = stage.get(path)
    checks.hold("the first answer", first.body, TEXT)
    for _ in range(1000):
        result = stage.get(path)
        if "fwd-status=304" in result.cache:
            break
    checks.hold("Cache-Status of what is validated", result.cache.split("; detail")[0], "larder; fwd=stale; fwd-status=304; stored")
    checks.hold("the stored body", (result.status, result.body), (200, TEXT))
    last = stage.backend.asked(path)[-1]
    checks.hold("the conditions sent", (last.field("If-None-Match"), last.field("If-Modified-Since")), ('"v1"', route.last_modified))
    mine = stage.get(path, "-H", 'If-None-Match: "v1"')
    checks.hold("the client's own condition holds for it", (mine.status, mine.body), (304, b""))


def check_head(stage, checks):
    path = stage.path()
    stage.backend.on(path, FileRoute(TEXT, [FRESH]))
    first = stage.get(path, "-I")
    checks.hold("-I of nothing stored", (first.status, first.code, first.field("Content-Length")), (200, 0, str(len(TEXT))))
    stage.is_asked(path, 1, "HEAD")
    stage.stored(path)
    second = stage.get(path, "-I")
    checks.hold("-I of what is stored", (second.status, second.code, second.field("Content-Length")), (200, 0, str(len(TEXT))))
    checks.true("from the cache", second.is_hit, second.cache)
    stage.is_asked(path, 2)


def check_http_1_0(stage, checks):
    path = stage.path()
    stage.backend.on(path, lambda request: chunked([FRESH], [TEXT[:1000], TEXT[1000:]]))
    first = stage.get(path, "-0")
    checks.hold("a chunked answer to HTTP/1.0", (first.status, first.code, first.body), (200, 0, TEXT))
    checks.hold("its framing", first.field("Transfer-Encoding"), "")
    for _ in range(1000):
        second = stage.get(path, "-0")
        if second.is_hit:
            break
    checks.hold("the same from the cache", (second.is_hit, second.code, second.body), (True, 0, TEXT))
    checks.hold("its length is known", second.field("Content-Length"), str(len(TEXT)))
    checks.hold("Larder asks in HTTP/1.1", [one.version for one in stage.backend.asked(path)], ["HTTP/1.1"])
    kept = stage.get(path, "-0", "-H", "Connection: keep-alive", stage.larder.url + path)
    checks.hold("keep-alive in HTTP/1.0", [one["num_connects"] for one in kept.details], [1, 0])


def check_raw_chunks(stage, checks):
    path = stage.path()
    stage.backend.on(path, lambda request: chunked([("Cache-Control", "no-store")], [TEXT[:500], TEXT[500:1500]]))
    result = stage.get(path, "--raw")
    checks.hold("Transfer-Encoding", result.field("Transfer-Encoding"), "chunked")
    rest, body = result.body, b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[:int(size, 16)]
        rest = rest[int(size, 16) + 2:]
    checks.hold("the chunks make the body", body, TEXT[:1500])
    checks.hold("the last chunk is there", result.body.endswith(b"0\r\n\r\n"), True)


def check_trailers(stage, checks):
    path = stage.path()
    trailers = [("X-Checksum", "abc"), ("Server-Timing", "db;dur=5")]
    stage.backend.on(path, lambda request: chunked([("Cache-Control", "no-store"), ("Trailer", "X-Checksum")], [b"body"], trailers))
    result = stage.get(path)
    direct = stage.direct(path)
    checks.hold("body", (result.body, result.code), (b"body", 0))
    checks.hold("trailers as without Larder", result.trailers, direct.trailers)
    checks.true("there are some", any("X-Checksum: abc" in one for one in result.trailers), result.trailers)


def check_trailers_of_what_is_stored(stage, checks):
    path = stage.path()
    stage.backend.on(path, lambda request: chunked([FRESH, ("Trailer", "X-Checksum")], [TEXT], [("X-Checksum", "abc")]))
    first = stage.get(path)
    checks.hold("the first answer", (first.code, first.body), (0, TEXT))
    second = stage.stored(path)
    checks.hold("from the cache", (second.code, second.body, second.trailers), (0, TEXT, []))
    for result in (first, second):
        # announced, but left out (RFC 9110 §6.5.1): nobody may wait for it
        checks.hold("no trailer is made up", set(result.trailers) <= {"X-Checksum: abc"}, True)
    stage.is_asked(path, 1)


def check_cut(stage, checks):
    whole = answer(200, [FRESH, ("Connection", "close")], TEXT)
    in_chunks = chunked([FRESH, ("Connection", "close")], [TEXT[:1000], TEXT[1000:]])
    big = answer(200, [("Cache-Control", "no-store"), ("Connection", "close")], os.urandom(3_000_000))
    for cut in (whole[:-100], in_chunks[:-100], in_chunks[:-len(b"0\r\n\r\n")], big[:-100]):
        path = stage.path()
        stage.backend.hang_ups.add(path)
        stage.backend.on(path, lambda request, cut=cut: cut)
        direct, through = stage.direct(path), stage.get(path)
        checks.true("curl without Larder sees that it was cut", direct.code in (18, 56), direct.code)
        # nothing was sent yet when the end came: then there is a better word for it
        is_told = through.code in (18, 56) or through.status == 502
        checks.true("curl behind Larder sees it too", is_told, (through.code, through.status, through.body))
        again = stage.get(path)
        checks.hold("nothing of it is stored", again.is_hit, False)


def check_until_close(stage, checks):
    path = stage.path()
    stage.backend.hang_ups.add(path)
    stage.backend.on(path, lambda request: head(200, [FRESH]) + TEXT)
    for arguments in ([], ["-0"]):
        result = stage.get(path, *arguments)
        checks.hold("body", (result.code, result.status, result.body), (0, 200, TEXT))
        checks.hold("it is not stored", result.is_hit, False)


def check_if_range(stage, checks):
    path = stage.path()
    route = stage.backend.on(path, FileRoute(TEXT, [FRESH]))
    stage.stored(path)
    for condition, status in (('"v1"', 206), ('"v0"', 200), ('W/"v1"', 200), (route.last_modified, 206), (http_date(1), 200)):
        for result in (stage.get(path, "-r", "10-19", "-H", f"If-Range: {condition}"),
                       stage.direct(path, "-r", "10-19", "-H", f"If-Range: {condition}")):
            checks.hold(f"If-Range: {condition}", (result.status, result.body), (status, TEXT[10:20] if status == 206 else TEXT))
    stage.is_asked(path, 1 + 5)  # the five without Larder
    # a download that is resumed after the file has changed begins anew instead of being glued together
    target = stage.curl.path("changed")
    pathlib.Path(target).write_bytes(b"other" * 100)
    result = stage.get(path, "-C", "-", "-H", 'If-Range: "v0"', output=target)
    checks.hold("curl refuses to continue", (result.status, result.code), (200, 33))


def check_big_and_empty(stage, checks):
    big, empty = stage.path(), stage.path()
    content = os.urandom(5_000_000)
    stage.backend.on(big, FileRoute(content, [FRESH]))
    stage.backend.on(empty, FileRoute(b"", [FRESH]))
    for _ in range(2):
        result = stage.get(big)
        checks.hold("above max_object: whole and not stored", (result.code, result.body == content, result.is_hit), (0, True, False))
    part = stage.get(big, "-r", "1000000-1000999")
    checks.hold("a part of it is the origin's", (part.status, part.body == content[1_000_000:1_001_000]), (206, True))
    nothing = stage.stored(empty)
    checks.hold("an empty body", (nothing.status, nothing.body, nothing.field("Content-Length")), (200, b"", "0"))
    # the backend says 416; RFC 9110 §14.2 allows both
    ranged = stage.get(empty, "-r", "0-")
    checks.hold("has no ranges", (ranged.status, ranged.body), (200, b""))


def check_other_methods(stage, checks):
    path = stage.path()
    stage.backend.on(path, FileRoute(TEXT, [FRESH]))
    stage.backend.on("*", lambda request: answer(204, [("Allow", "GET, HEAD")]))
    stage.stored(path)
    everything = stage.curl("-X", "OPTIONS", "--request-target", "*", stage.larder.url)
    checks.hold("OPTIONS *", (everything.code, everything.status, everything.field("Allow")), (0, 204, "GET, HEAD"))
    one = stage.get(path, "-X", "OPTIONS")
    checks.hold("OPTIONS is forwarded", (one.code, one.is_hit), (0, False))
    checks.true("and voids nothing", stage.get(path).is_hit)
    posted = stage.get(path, "--json", '{"a": 1}')
    checks.hold("--json is forwarded", (posted.code, stage.backend.asked(path)[-1].body), (0, b'{"a": 1}'))
    checks.hold("and voids what was stored", stage.get(path).is_hit, False)


def check_upload(stage, checks):
    path = stage.path()
    stage.backend.on(path, lambda request: answer(201, [], b"%d" % len(request.body)))
    content = os.urandom(3_000_000)
    source = pathlib.Path(stage.curl.path("upload"))
    source.write_bytes(content)
    for arguments in (["-T", str(source)], ["-T", "-"], ["--data-binary", f"@{source}"],
                      ["-T", str(source), "-H", "Expect: 100-continue"], ["-0", "-T", str(source)]):
        result = stage.get(path, *arguments, stdin=content)
        checks.hold(f"{arguments}: status, exit code, bytes", (result.status, result.code, result.body), (201, 0, b"3000000"))
        checks.hold(f"{arguments}: what arrived", stage.backend.asked(path)[-1].body == content, True)
    result = stage.get(path, "-T", str(source), "-H", "Expect: 100-continue")
    checks.true("curl sees 100 before it sends", result.heads[0].startswith("HTTP/1.1 100"), result.heads[0])
    form = stage.get(path, "-F", f"file=@{source}", "-F", "name=x")
    checks.hold("a form with a file", (form.status, int(form.body) > 3_000_000), (201, True))

    refused = stage.path()
    stage.backend.refused.add(refused)
    stage.backend.on(refused, lambda request: answer(413, [("Connection", "close")], b"too large"))
    result = stage.get(refused, "-T", str(source), "-H", "Expect: 100-continue", "--expect100-timeout", str(LIMIT_S))
    checks.hold("a refusal comes before the body", (result.status, result.body), (413, b"too large"))
    checks.hold("and the body is not sent", result.details[0]["size_upload"], 0)


def check_early_hints(stage, checks):
    path = stage.path()
    hints = head(103, [("Link", "</style.css>; rel=preload")])
    stage.backend.on(path, lambda request: hints + answer(200, [FRESH], TEXT))
    first = stage.get(path)
    checks.hold("two heads", [one.split("\r\n")[0].split()[1] for one in first.heads], ["103", "200"])
    checks.true("the hint is passed on", "Link: </style.css>; rel=preload" in first.heads[0], first.heads[0])
    checks.hold("body", (first.code, first.body), (0, TEXT))
    second = stage.stored(path)
    checks.hold("a hit has one head", (len(second.heads), second.body), (1, TEXT))
    stage.is_asked(path, 1)


def check_keep_alive(stage, checks):
    stored, missing, changed, big = (stage.path() for _ in range(4))
    stage.backend.on(stored, FileRoute(TEXT, [FRESH]))
    stage.backend.on(changed, lambda request: chunked([("Cache-Control", "no-store")], [b"a", b"b"]))
    stage.backend.on(big, FileRoute(TEXT * 20, [FRESH]))
    stage.stored(stored)
    urls = [stage.larder.url + path for path in (missing, changed, big, stored)]
    more = [word for url in urls for word in ("-o", os.devnull, url)]
    conditional = ["--next", "--silent", "--noproxy", "*", "--write-out", "%{json}\n", "-o", os.devnull, "-H", 'If-None-Match: "v1"']
    result = stage.curl(stage.larder.url + stored, *more, *conditional, stage.larder.url + stored)
    checks.hold("statuses", [one["http_code"] for one in result.details], [200, 404, 200, 200, 200, 304])
    checks.hold("one connection for all", [one["num_connects"] for one in result.details], [1, 0, 0, 0, 0, 0])
    checks.hold("exit code", result.code, 0)


def check_absolute_form(stage, checks):
    path = stage.path()
    stage.backend.on(path, FileRoute(TEXT, [FRESH]))
    first = stage.curl("-x", stage.larder.url, f"http://shop.test{path}")
    checks.hold("as a proxy", (first.status, first.body), (200, TEXT))
    asked = stage.backend.asked(path)[0]
    checks.hold("the backend sees origin form and Host", (asked.target, asked.field("Host")), (path, "shop.test"))
    checks.hold("no field of the proxy's connection", asked.field("Proxy-Connection"), "")
    for _ in range(1000):
        second = stage.get(path, "-H", "Host: shop.test")
        if second.is_hit:
            break
    checks.hold("the same resource in origin form", (second.is_hit, second.body), (True, TEXT))
    stage.is_asked(path, 1)
    other = stage.get(path)
    checks.hold("another host is another resource", other.is_hit, False)


def check_path_as_is(stage, checks):
    target = "/page/../secret"
    stage.backend.on(target, FileRoute(b"as it is", [FRESH]))
    stage.backend.on("/secret", FileRoute(b"resolved", [FRESH]))
    for _ in range(2):
        result = stage.get(target, "--path-as-is")
        checks.hold("--path-as-is", result.body, b"as it is")
        checks.hold("is never stored", result.cache, "larder; fwd=request; detail=ambiguous-path")
    stage.is_asked(target, 2)
    checks.hold("without it curl resolves the path", stage.get(target).body, b"resolved")
    stage.is_asked("/secret", 1)


def check_authorization(stage, checks):
    for directives, may_store in (("max-age=600", False), ("public, max-age=600", True)):
        path = stage.path()
        stage.backend.on(path, FileRoute(TEXT, [("Cache-Control", directives)]))
        for _ in range(3):
            result = stage.get(path, "-u", "user:password")
            checks.hold("body", result.body, TEXT)
        other = stage.get(path)
        if may_store:
            stage.stored(path)
            continue
        checks.hold("what was asked for with a login is not another's", (other.is_hit, other.body), (False, TEXT))
        checks.hold("the backend saw each login", [one.field("Authorization") != "" for one in stage.backend.asked(path)],
                    [True, True, True, False])


def check_request_directives(stage, checks):
    path = stage.path()
    stage.backend.on(path, FileRoute(TEXT, [FRESH]))
    nothing = stage.get(path, "-H", "Cache-Control: only-if-cached")
    checks.hold("only-if-cached of nothing stored", nothing.status, 504)
    stage.is_asked(path, 0)
    stage.stored(path)
    checks.true("only-if-cached of what is stored", stage.get(path, "-H", "Cache-Control: only-if-cached").is_hit)
    stage.is_asked(path, 1)
    again = stage.get(path, "-H", "Cache-Control: no-cache")
    checks.hold("no-cache asks", (again.status, again.body, "fwd=request" in again.cache), (200, TEXT, True))
    stage.is_asked(path, 2)


def check_redirect(stage, checks):
    path, target = stage.path(), stage.path()
    stage.backend.on(path, lambda request: answer(301, [FRESH, ("Location", target)]))
    stage.backend.on(target, FileRoute(TEXT, [FRESH]))
    for _ in range(1000):
        result = stage.get(path, "-L")
        if all("Cache-Status: larder; hit" in one for one in result.heads):
            break
    checks.hold("-L", (result.status, result.details[0]["num_redirects"], result.body), (200, 1, TEXT))
    stage.is_asked(path, 1)
    stage.is_asked(target, 1)


def check_http2_offer(stage, checks):
    path = stage.path()
    stage.backend.on(path, FileRoute(TEXT, [FRESH]))
    result = stage.get(path, "--http2")
    checks.hold("--http2 in the clear stays HTTP/1.1", (result.status, result.code, result.body), (200, 0, TEXT))
    asked = stage.backend.asked(path)[0]
    checks.hold("the offer is not passed on", asked.field("HTTP2-Settings"), "")


def check_parallel(stage, checks):
    path = stage.path()
    stage.backend.on(path, FileRoute(TEXT, [FRESH]))
    stage.stored(path)
    url = stage.larder.url + path
    more = [(stage.curl.path(f"parallel{i}"), url) for i in range(30)]
    result = stage.curl("-Z", "--parallel-max", "20", url, *[word for file, again in more for word in ("-o", file, again)])
    checks.hold("all are answered", ([one["http_code"] for one in result.details], result.code), ([200] * 31, 0))
    checks.hold("each is whole", [file for file, _ in more if pathlib.Path(file).read_bytes() != TEXT], [])
    stage.is_asked(path, 1)


# the sentence that each check proves, and the check
CHECKS = (
    ("a miss is passed on unchanged, then answered from the cache with its Age", check_miss_and_hit),
    ("--compressed gets the same text whatever the coding, each coding fetched once", check_compressed),
    ("-r gets the parts of what is stored that the origin would give", check_ranges),
    ("-r of what is not stored gets the origin's part, and leaves no part behind as the whole", check_range_of_nothing_stored),
    ("-C - completes a file to the same bytes", check_resume),
    ("-z is answered from the cache by Last-Modified", check_time_condition),
    ("--etag-save and --etag-compare are answered from the cache until a write", check_etag_files),
    ("what has expired is validated with the stored validators", check_validation),
    ("-I gets the head of what GET has stored", check_head),
    ("-0 gets the whole body in a framing that HTTP/1.0 knows", check_http_1_0),
    ("--raw sees well-formed chunks", check_raw_chunks),
    ("trailers are passed on", check_trailers),
    ("trailers of what is stored are left out, and nobody waits for them", check_trailers_of_what_is_stored),
    ("what the backend cuts short is seen as cut, and not stored", check_cut),
    ("a body that ends with the connection arrives whole", check_until_close),
    ("If-Range decides as at the origin", check_if_range),
    ("bodies above max_object and empty ones", check_big_and_empty),
    ("other methods are forwarded, and unsafe ones void the resource", check_other_methods),
    ("uploads arrive whole, and 100-continue spares a refused one", check_upload),
    ("early hints are passed on, and not stored", check_early_hints),
    ("several URLs share one connection", check_keep_alive),
    ("-x sends absolute form, which names the same resource", check_absolute_form),
    ("--path-as-is is forwarded as it is and never stored", check_path_as_is),
    ("-u is not another's unless the origin says public", check_authorization),
    ("Cache-Control of the request is honoured by default for what the origin's headers store", check_request_directives),
    ("-L follows a stored redirect", check_redirect),
    ("--http2 falls back to HTTP/1.1", check_http2_offer),
    ("-Z gets every answer whole", check_parallel),
)


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    checks = Checks()
    with tempfile.TemporaryDirectory(prefix="larder-curl-") as folder:
        stage = Stage(sys.argv[1], folder, checks)
        try:
            for sentence, check in CHECKS:
                checks.begin(sentence)
                check(stage, checks)
        finally:
            stage.stop()
    version = subprocess.run(["curl", "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    print(f"{' '.join(version.split()[:2])}: {len(CHECKS)} checks, {checks.held} expectations held, {checks.broken} did not")
    return 1 if checks.broken or not checks.held else 0


if __name__ == "__main__":
    sys.exit(main())
