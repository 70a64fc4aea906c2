#!/usr/bin/env python3
"""Headless Chromium's own cache, directly at a backend and behind Larder: it must come to the same decisions.

usage: check_chromium.py LARDER_BINARY

A page fetches generated cases with the browser's cache modes, three times over: straight from the backend ("direct"),
through Larder as a plain RFC 9111 cache ("by origin"), and through a Larder rule with a ttl ("by rule"). Each step of
each case is decided by the browser: from its cache, validated (304), fetched, or refused. Decisions and bytes must be
those of "direct"; what differs must be explained in EXPLAINED, and each explanation must occur. Then what time does, parts
for a media element, and navigation. Starts everything itself. Exit 0 when all holds.
"""

import email.utils
import hashlib
import json
import re
import struct
import sys
import threading
import time
import urllib.request

sys.dont_write_bytecode = True
from backend import Backend, FileRoute, answer, head, parse_ranges
from checks import Checks
from chromium import PATIENCE_S, Chromium, Page
from larder import Larder

CONFIG = """
cache: respect-origin
memory: 256MiB
max_object: 32MiB
rules:
  - {name: ruled, match: "GET /rule/{rest*}", ttl: 600s}
"""
LONG_AGO = 1_700_000_000

# What the backend says of how long, and the status it says it with.
RESPONSES = {
    "max-age": ["Cache-Control: max-age=600"],
    "max-age, 100 s old": ["Cache-Control: max-age=600", "Age: 100"],
    "max-age, too old": ["Cache-Control: max-age=600", "Age: 700"],
    "max-age, old Date": ["Cache-Control: max-age=600", "Date: -700"],
    "max-age=0": ["Cache-Control: max-age=0"],
    "max-age=0, must-revalidate": ["Cache-Control: max-age=0, must-revalidate"],
    "max-age, must-revalidate": ["Cache-Control: max-age=600, must-revalidate"],
    "immutable": ["Cache-Control: max-age=600, immutable"],
    "public": ["Cache-Control: public, max-age=600"],
    "private": ["Cache-Control: private, max-age=600"],
    "no-cache": ["Cache-Control: no-cache"],
    "no-store": ["Cache-Control: no-store"],
    "s-maxage": ["Cache-Control: s-maxage=600"],
    "s-maxage, max-age=0": ["Cache-Control: s-maxage=600, max-age=0"],
    "s-maxage=0, max-age": ["Cache-Control: s-maxage=0, max-age=600"],
    "CDN-Cache-Control": ["CDN-Cache-Control: max-age=600", "Cache-Control: max-age=0"],
    "Larder-Cache-Control": ["Larder-Cache-Control: no-store", "Cache-Control: max-age=600"],
    "Expires ahead": ["Expires: 600"],
    "Expires past": ["Expires: -600"],
    "Expires: 0": ["Expires=0"],
    "Expires loses": ["Expires: -600", "Cache-Control: max-age=600"],
    "quoted": ['Cache-Control: max-age="600"'],
    "upper case": ["Cache-Control: MAX-AGE=600"],
    "two lines": ["Cache-Control: public", "Cache-Control: max-age=600"],
    "stale-while-revalidate": ["Cache-Control: max-age=600, stale-while-revalidate=600", "Age: 700"],
    "nothing": [],
    "Pragma": ["Pragma: no-cache"],
    "Vary: *": ["Cache-Control: max-age=600", "Vary: *"],
    "Set-Cookie": ["Cache-Control: max-age=600", "Set-Cookie: a=b; Max-Age=0"],
}
VALIDATORS = ("", "etag", "weak etag", "date", "etag and date")
STATUSES = (203, 404, 410, 500, 299)
CHANGE, POST = "CHANGE", "POST"  # what happens between two fetches: behind everybody's back, or by a write
SEQUENCES = {
    "again": ("default", "default"),
    "validated": ("default", "no-cache", "default"),
    "reloaded": ("default", "reload", "default"),
    "any copy": ("default", "force-cache"),
    "offline": ("only-if-cached", "default", "only-if-cached"),
    "not kept": ("no-store", "default"),
    "changed": ("default", CHANGE, "default", "no-cache", "default", CHANGE, "reload"),
    "written": ("default", POST, "default"),
}
VARIES = (("X-A", "1"), ("X-A", "2"), ("X-A", "1"), ("X-A", "1"), ("", ""))
PARTS = ("bytes=0-99", "bytes=50-149", "bytes=0-99", "", "bytes=-20", "bytes=990-2000")

FETCH = """async (path, mode, fields, method) => {
    try {
        const response = await fetch(path, {cache: mode, method, headers: fields, mode: 'same-origin'});
        return [response.status, await response.text()];
    } catch (error) {
        return [0, ''];
    }
}"""


class Case:
    """One resource of the backend, which each lane asks for under a path of its own."""

    def __init__(self, name, status, fields, validator, steps):
        self.name, self.status, self.fields, self.validator, self.steps = name, status, fields, validator, steps


def make_cases():
    cases = []
    for response, fields in RESPONSES.items():
        for validator in VALIDATORS:
            for sequence, modes in SEQUENCES.items():
                steps = [(mode, {}) for mode in modes]
                cases.append(Case(f"{response} / {validator or 'no validator'} / {sequence}", 200, fields, validator, steps))
    for status in STATUSES:
        for response in ("max-age", "no-cache", "nothing"):
            for sequence in ("again", "validated", "changed"):
                steps = [(mode, {}) for mode in SEQUENCES[sequence]]
                cases.append(Case(f"{status} {response} / {sequence}", status, RESPONSES[response], "etag", steps))
    for validator in VALIDATORS:
        steps = [("default", {name: value} if name else {}) for name, value in VARIES]
        cases.append(Case(f"Vary: X-A / {validator}", 200, ["Cache-Control: max-age=600", "Vary: X-A"], validator, steps))
        steps = [("default", {"Range": value} if value else {}) for value in PARTS]
        cases.append(Case(f"parts / {validator}", 200, ["Cache-Control: max-age=600"], validator, steps))
    return cases


class CaseRoute:
    """The backend's side of a case: content of a version, with validators that name it."""

    def __init__(self, case):
        self.case, self.version = case, 1

    def fields(self, variant):
        fields = []
        now = time.time()
        for line in self.case.fields:
            name, separator, value = line.partition(": ") if ": " in line else line.partition("=")
            if name in ("Date", "Expires") and separator == ": ":
                value = email.utils.formatdate(now + int(value), usegmt=True)
            fields.append((name, value))
        if not any(name == "Date" for name, _ in fields):
            fields.append(("Date", email.utils.formatdate(now, usegmt=True)))
        if "etag" in self.case.validator:
            weak = "W/" if "weak" in self.case.validator else ""
            fields.append(("ETag", f'{weak}"v{self.version}{variant}"'))
        if "date" in self.case.validator:
            fields.append(("Last-Modified", email.utils.formatdate(LONG_AGO + self.version, usegmt=True)))
        return fields

    def __call__(self, request):
        if request.method == "POST":
            self.version += 1
            return answer(204, [])
        variant = request.field("X-A") if "Vary: X-A" in self.case.fields else ""
        fields = self.fields(variant)
        named = dict(fields)
        tags, since = request.field("If-None-Match"), request.field("If-Modified-Since")
        if tags:
            fresh = "ETag" in named and named["ETag"].removeprefix("W/") in tags
        else:
            fresh = bool(since) and since == named.get("Last-Modified")
        if fresh and self.case.status == 200:
            return head(304, fields)
        fields.append(("Content-Type", "text/plain"))
        content = (f"{self.case.name}, version {self.version}{variant} " * 40).encode()[:1000]
        ranges = parse_ranges(request.field("Range"), len(content)) if request.field("Range") else None
        if ranges:
            first, last = ranges[0]
            fields.append(("Content-Range", f"bytes {first}-{last}/{len(content)}"))
            return answer(206, fields, content[first:last + 1])
        return answer(self.case.status, fields, content)


class Lane:
    """One way from the browser to the backend."""

    def __init__(self, name, page, prefix):
        self.name, self.page, self.prefix = name, page, prefix
        self.asked = 0
        self.step = 0
        self.decisions = {}

    def decide(self, path, mode, fields, method="GET"):
        """One fetch in the page: what the browser did for it, the status and the text that the page got."""
        self.step += 1
        status, text = self.page.run(FETCH, path, mode, {**fields, "X-Step": str(self.step)}, method)
        step = str(self.step)
        word = self.word_for(lambda given: given["request"]["headers"].get("X-Step") == step)
        self.decisions[word] = self.decisions.get(word, 0) + 1
        return word, status, text

    def word_for(self, is_it):
        """What the network domain says of the first request that is it; later ones are made behind the answer."""
        request, served, codes, ended = None, {}, {}, set()
        while True:
            method, given = self.page.next_event()
            known = given.get("requestId")
            if method == "Network.requestWillBeSent" and request is None and is_it(given):
                request = known
            elif method == "Network.responseReceived":
                served[known] = not given["hasExtraInfo"]
            elif method == "Network.responseReceivedExtraInfo":
                codes[known] = given["statusCode"]
            elif method in ("Network.loadingFinished", "Network.loadingFailed"):
                ended.add(known)
            if request is None or request not in ended:
                continue
            if request not in served:
                return "refused"
            if served[request]:
                return "cache"
            if request in codes:
                return "validated" if codes[request] == 304 else "fetched"

    def navigate(self, command, **parameters):
        """The same for a document: what the browser did for it, and its text."""
        self.page.browser.call(command, self.page.session, **parameters)
        word = self.word_for(lambda given: given["type"] == "Document")
        self.page.wait_for("Page.loadEventFired")
        return word, self.page.run("() => document.body.innerText.trim()")


def version_of(text):
    found = re.search(r"version (\d+)", text)
    return int(found[1]) if found else 0


def play(case, number, lane, backend):
    """The case on one lane: what was decided at each step."""
    path = f"{lane.prefix}/{number}"
    route = backend.on(path, CaseRoute(case))
    found = []
    for mode, fields in case.steps:
        if mode == CHANGE:
            route.version += 1
        elif mode == POST:
            lane.page.run(FETCH, path, "default", {}, "POST")
        else:
            found.append((mode, *lane.decide(path, mode, fields)))
    lane.asked += len(backend.asked(path, "GET"))
    return found


def has(case, *lines):
    return any(line in case.fields for line in lines)


def says_how_long(case):
    """To a shared cache, and more than nothing."""
    return any(re.search(r"max-?age=\"?[1-9]|^Expires: [1-9]", line.lower().replace("expires", "Expires")) for line in case.fields)


def lives_in_larder_only(case):
    return has(case, "Cache-Control: s-maxage=600", "Cache-Control: s-maxage=600, max-age=0", "CDN-Cache-Control: max-age=600")


# Why a lane may differ from "direct": in which lane and case, and the reason. `is_behind`: it has given the page an older
# version than "direct" did, in this step or one before it.
EXPLAINED = {
    "a lifetime for shared caches": (
        "RFC 9111 §5.2.2.10, RFC 9213",
        "s-maxage and CDN-Cache-Control let Larder keep what the browser asks about: a change behind its back is seen when it ends",
        lambda lane, case, is_behind: is_behind and lives_in_larder_only(case)),
    "max-age in quotes": (
        "RFC 9111 §5.2",
        'Chromium does not read max-age="600" and asks; Larder does, as the RFC recommends, and answers',
        lambda lane, case, is_behind: is_behind and has(case, 'Cache-Control: max-age="600"')),
    "immutable": (
        "RFC 8246 §2",
        "cache mode no-cache sends max-age=0, for which a proxy does not validate what is fresh and immutable",
        lambda lane, case, is_behind: is_behind and lane.name == "by origin" and has(case, "Cache-Control: max-age=600, immutable")),
    "stale-while-revalidate twice": (
        "RFC 5861 §3",
        "what the browser fetches behind its stale answer is Larder's stale answer: a change is seen one request later",
        lambda lane, case, is_behind: has(case, "Cache-Control: max-age=600, stale-while-revalidate=600")),
    "a rule's lifetime": (
        "RFC 9111 §4.2.2",
        "the rule's ttl stands where the origin says nothing",
        lambda lane, case, is_behind: is_behind and lane.name == "by rule" and not says_how_long(case)),
    "client_cache_control: ignore": (
        "RFC 9111 §5.2.1",
        "a rule does not ask the app because a browser reloads",
        lambda lane, case, is_behind: is_behind and lane.name == "by rule" and says_how_long(case)),
}


def explanation(lane, case, is_behind):
    if (CHANGE, {}) not in case.steps:
        return None
    names = [name for name, (_, _, holds) in EXPLAINED.items() if holds(lane, case, is_behind)]
    return names[0] if names else None


def check_cases(lanes, backend, checks):
    """All cases in all lanes; returns how often each explanation was needed."""
    needed = dict.fromkeys(EXPLAINED, 0)
    cases = make_cases()
    steps = 0
    for number, case in enumerate(cases):
        checks.begin(f"Chromium decides the same: {case.name}")
        wanted = play(case, number, lanes[0], backend)
        for lane in lanes[1:]:
            found = play(case, number, lane, backend)
            is_behind = False
            for mine, direct in zip(found, wanted):
                steps += 1
                if mine == direct:
                    checks.held += 1
                    continue
                is_behind = is_behind or version_of(mine[3]) < version_of(direct[3])
                name = explanation(lane, case, is_behind)
                if name:
                    needed[name] += 1
                else:
                    brief = [(mode, word, status, text[:80] + text[80:][-40:]) for mode, word, status, text in (mine, direct)]
                    checks.hold(f"{lane.name}: mode, decision, status, text", *brief)
    print(f"{len(cases)} cases, {steps} steps compared with the browser alone")
    return needed


FETCH_UNTIL = """async (path, for_ms) => {
    const seen = [], end = Date.now() + for_ms;
    while (Date.now() < end) {
        const made = await (await fetch(path)).json();
        seen.push([made.count, Date.now() - made.at_ms]);
        await new Promise((resolve) => setTimeout(resolve, 25));
    }
    return seen;
}"""


def check_time(lanes, larder, backend, checks):
    """Each lane fetches a response that lives for some seconds over and over, by cache mode default."""
    lifetime_s, played_s = 4, 14
    # Date and Age are whole seconds: what is kept by them may be given up so much early, or late
    early_ms, late_ms = (lifetime_s - 1) * 1000 - 200, (lifetime_s + 1) * 1000 + 500
    for lane in lanes[:2]:
        path = f"{lane.prefix}/time"
        made = []

        def route(request, made=made):
            made.append(request)
            body = json.dumps({"count": len(made), "at_ms": time.time() * 1000}).encode()
            return answer(200, [("Cache-Control", f"max-age={lifetime_s}"), ("Date", email.utils.formatdate(usegmt=True)),
                                ("ETag", f'"{len(made)}"'), ("Content-Type", "application/json")], body)

        backend.on(path, route)
        checks.begin(f"Chromium asks again when age and lifetime say so: {lane.name}")
        if lane.name == "by origin":
            # somebody else has fetched it before: the browser begins with a response that is older than its arrival
            checks.true("Larder gives an Age", wait_until(lambda: int(get(larder.url + path).headers.get("Age") or 0) >= 1))
        lane.page.bring_to_front()
        seen = lane.page.run(FETCH_UNTIL, path, played_s * 1000)
        last_of = {count: age_ms for count, age_ms in seen}
        given_up = [last_of[count] for count in sorted(last_of)[:-1]]
        oldest = max(age_ms for _, age_ms in seen)
        checks.true("several lifetimes went by", len(given_up) >= 2, last_of)
        checks.true(f"nothing older than {late_ms} ms is served", oldest <= late_ms, oldest)
        checks.true(f"nothing is given up before {early_ms} ms", min(given_up, default=0) >= early_ms, given_up)
        print(f"{lane.name}: max-age={lifetime_s}, {len(seen)} fetches in {played_s} s, {len(made)} at the backend; oldest answer "
              f"{oldest / 1000:.1f} s, given up at {', '.join(f'{age_ms / 1000:.1f}' for age_ms in given_up)} s")


def get(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=PATIENCE_S) as response:
        response.read()
        return response


def wait_until(holds):
    """Asks every 20 ms until it holds. False: it does not in time."""
    deadline, tick = time.monotonic() + PATIENCE_S, threading.Event()
    while not holds():
        if time.monotonic() > deadline:
            return False
        tick.wait(0.02)
    return True


def silence(seconds):
    """A WAV file of 8 kHz and 8 bits, with each byte telling its place."""
    samples = bytes(i * 31 % 251 for i in range(8000)) * seconds
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, 8000, 8000, 1, 8)
    data = struct.pack("<4sI", b"data", len(samples)) + samples
    return struct.pack("<4sI4s", b"RIFF", 4 + len(form) + len(data), b"WAVE") + form + data


PLAY_AUDIO = """async (path) => {
    const once = (name) => new Promise((resolve, reject) => {
        audio.addEventListener(name, resolve, {once: true});
        audio.addEventListener('error', () => reject(new Error(audio.error.message)), {once: true});
    });
    const audio = document.createElement('audio');
    audio.muted = true;
    audio.preload = 'auto';
    audio.src = path;
    document.body.append(audio);
    await once('loadedmetadata');
    const places = [];
    for (const part of [0.9, 0.1, 0.5]) {
        audio.currentTime = Math.floor(audio.duration * part);
        await once('seeked');
        places.push(audio.currentTime);
    }
    const duration = audio.duration;
    audio.removeAttribute('src');
    audio.load();
    audio.remove();
    const bytes = await (await fetch(path)).arrayBuffer();
    const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
    return [duration, places, Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')];
}"""


def check_media(lanes, backend, checks):
    """An audio element fetches parts; then the browser puts parts and rest together."""
    seconds = 1500
    content = silence(seconds)
    for lane in lanes:
        path = f"{lane.prefix}/media.wav"
        route = FileRoute(content, [("Cache-Control", "max-age=600")])
        backend.on(path, lambda request, route=route: route(request).replace(b"text/plain", b"audio/wav", 1))
        checks.begin(f"an audio element seeks, and the parts make the file: {lane.name}")
        lane.page.bring_to_front()
        duration, places, digest = lane.page.run(PLAY_AUDIO, path)
        checks.hold("duration and places", (duration, places), (seconds, [1350, 150, 750]))
        checks.hold("the bytes", digest, hashlib.sha256(content).hexdigest())
        asked = [request.field("Range") for request in backend.asked(path)]
        checks.true("it asked for parts", any(asked), asked)
        print(f"{lane.name}: {len(content)} bytes of audio, the backend was asked for {asked}")


def check_navigation(lanes, backend, checks):
    """Going to a document, coming back to it, reloading it."""
    other = answer(200, [("Content-Type", "text/html"), ("Cache-Control", "no-store")], b"other")
    found = {}
    for lane in lanes:
        origin = lane.page.run("() => location.origin")
        path = f"{lane.prefix}/document"
        fields = [("Cache-Control", "max-age=600"), ("ETag", '"v1"'), ("Content-Type", "text/html")]
        backend.on(path, lambda request, fields=fields: head(304, fields) if request.field("If-None-Match") == '"v1"'
                   else answer(200, fields, b"<!doctype html>document"))
        backend.on("/other", lambda request: other)
        steps = [("Page.navigate", {"url": origin + path}), ("Page.navigate", {"url": origin + "/other"}),
                 ("Page.navigate", {"url": origin + path}), ("Page.reload", {}), ("Page.reload", {"ignoreCache": True})]
        found[lane.name] = [lane.navigate(command, **parameters) for command, parameters in steps]
    checks.begin("documents: fetched, kept when one comes back, validated by a reload, fetched by a hard one")
    for name, words in found.items():
        checks.hold(name, [word for word, _ in words], ["fetched", "fetched", "cache", "validated", "fetched"])
        checks.hold(f"{name}: the text", [text for _, text in words], ["document", "other", "document", "document", "document"])


def report(lanes, needed):
    print(f"{'':10} {'cache':>7} {'304':>7} {'fetched':>7} {'refused':>7}   backend asked")
    for lane in lanes:
        counts = [lane.decisions.get(word, 0) for word in ("cache", "validated", "fetched", "refused")]
        print(f"{lane.name:10} " + " ".join(f"{count:7}" for count in counts) + f"   {lane.asked}")
    for name, count in needed.items():
        print(f"{count:5} steps differ: {name} ({EXPLAINED[name][0]}): {EXPLAINED[name][1]}")


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    checks = Checks()
    backend = Backend()
    page = answer(200, [("Content-Type", "text/html"), ("Cache-Control", "no-store")], b"<!doctype html><title>page</title>")
    backend.on("/page", lambda request: page)
    larder = Larder(sys.argv[1], backend.url, CONFIG)
    browser = Chromium()
    print(f"{browser.version}, headless")
    try:
        direct, through = Page(browser, backend.url + "/page"), Page(browser, larder.url + "/page")
        lanes = [Lane("direct", direct, "/direct"), Lane("by origin", through, "/origin"), Lane("by rule", through, "/rule")]
        needed = check_cases(lanes, backend, checks)
        report(lanes, needed)
        checks.begin("Larder spares the backend requests")
        for lane in lanes[1:]:
            checks.true(lane.name, lane.asked < lanes[0].asked, (lane.asked, lanes[0].asked))
        checks.begin("each explanation is needed")
        checks.hold("those that explain nothing", [name for name, count in needed.items() if count == 0], [])
        check_time(lanes, larder, backend, checks)
        check_media(lanes, backend, checks)
        check_navigation(lanes, backend, checks)
    finally:
        browser.stop()
        larder.stop()
        backend.stop()
    print(f"{checks.held} expectations held, {checks.broken} did not")
    return 1 if checks.broken or not checks.held else 0


if __name__ == "__main__":
    sys.exit(main())
