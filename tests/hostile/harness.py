"""What the hostile cases are played with: an origin that keeps every byte it is sent, the built larder between it and
raw client sockets, and a reader of responses that takes nothing on trust. No case sleeps: each waits for bytes, for the
end of a connection, or for its deadline."""

import atexit
import os
import re
import select
import shutil
import socket
import subprocess
import tempfile
import threading
import time

PATIENCE = int(os.environ.get("LARDER_TEST_PATIENCE", "1"))
LIMIT = 5.0 * PATIENCE  # seconds that one step may take
MEMORY_SLACK = 1 if PATIENCE == 1 else 4  # a sanitizer's shadow and quarantine are no growth of ours


SANITIZER = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=16"}


class Failure(AssertionError):
    pass


def check(condition, what, *details):
    if not condition:
        raise Failure(what + "".join("\n      " + repr(detail) for detail in details))


def await_that(what, condition, limit=LIMIT):
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise Failure("waited in vain: " + what)
        threading.Event().wait(0.002)


# --- messages ---


class Message:
    """One message as it was read: start line, field lines in order, body, and whether its end was seen."""

    def __init__(self, head, body=b"", complete=True, trailers=b""):
        lines = head.rstrip(b"\r\n").split(b"\r\n")
        self.head, self.body, self.complete, self.trailers = head, body, complete, trailers
        self.start = lines[0]
        self.fields = [(n.lower(), v.strip()) for n, _, v in (line.partition(b":") for line in lines[1:])]

    def all(self, name):
        return [value for field, value in self.fields if field == name.lower()]

    def get(self, name):
        values = self.all(name)
        return values[0] if values else b""

    @property
    def status(self):
        return int(self.start.split(b" ")[1])

    @property
    def target(self):
        return self.start.split(b" ")[1]

    def __repr__(self):
        return f"<{self.start!r} {len(self.body)} bytes{'' if self.complete else ', cut'}>"


def take_chunked(data):
    """Strictly: (body, trailers, rest), or None when it is not all there yet. Raises Failure on any other form."""
    body = b""
    while True:
        line, end, rest = data.partition(b"\r\n")
        if not end:
            return None
        size = line.split(b";")[0]
        check(re.fullmatch(rb"[0-9A-Fa-f]+", size), "a chunk size that is none reaches a peer", line)
        count = int(size, 16)
        if count == 0:
            if rest.startswith(b"\r\n"):
                return body, b"", rest[2:]
            trailers, end, rest = rest.partition(b"\r\n\r\n")
            return (body, trailers + b"\r\n", rest) if end else None
        if len(rest) < count + 2:
            return None
        check(rest[count : count + 2] == b"\r\n", "a chunk without its CR LF reaches a peer", rest[:60])
        body, data = body + rest[:count], rest[count + 2 :]


def take_message(data, ended, to_head=False, request=False):
    """(message, rest) or (None, data) when it is not all there yet."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None, data
    message = Message(head + end)
    lengths, codings = message.all(b"content-length"), message.all(b"transfer-encoding")
    check(not (lengths and codings), "both length fields reach a peer", message.head)
    check(len(lengths) <= 1 and len(codings) <= 1, "a repeated length field reaches a peer", message.head)
    if not request and (to_head or message.status < 200 or message.status in (204, 304)):
        return message, rest
    if codings:
        check(codings[0] == b"chunked", "another coding than chunked reaches a peer", message.head)
        taken = take_chunked(rest)
        if taken is None:
            message.body, message.complete = rest, False
            return (message, b"") if ended else (None, data)
        message.body, message.trailers, rest = taken
        return message, rest
    if lengths:
        size = int(lengths[0])
        if len(rest) < size:
            message.body, message.complete = rest, False
            return (message, b"") if ended else (None, data)
        message.body = rest[:size]
        return message, rest[size:]
    if request:
        return message, rest
    if not ended:
        return None, data
    message.body = rest
    return message, b""


# --- the origin ---

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Origin:
    """Answers each request with what `on` has for its path, else with 200. An answer is bytes, a list of bytes and
    words ("close", "reset", "hold", "silent"), or a function of the request that gives one of these."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self.listener.getsockname()[1]
        self.answers, self.requests, self.connections, self.faults = {}, [], [], []
        self.lock, self.released, self.open_count, self.peers = threading.Lock(), threading.Event(), 0, set()
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def go_away(self):
        """As a process that dies: no listener, and every connection ends."""
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        with self.lock:
            for peer in self.peers:
                try:
                    peer.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass  # it has gone already

    def come_back(self):
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=1024)
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def on(self, path, answer):
        self.answers[path if isinstance(path, bytes) else path.encode()] = answer

    def seen(self, text):
        """Requests whose head or body contains the text."""
        text = text if isinstance(text, bytes) else text.encode()
        return [request for request in list(self.requests) if text in request.head or text in request.body]

    def raw(self):
        return b"\n".join(bytes(raw) for raw in self.connections)

    def _accept(self, listener):
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        raw, data = bytearray(), b""
        with self.lock:
            self.connections.append(raw)
            self.peers.add(peer)
            self.open_count += 1
        try:
            while True:
                message, data = take_message(data, False, request=True)
                while message is None:
                    if b"\r\n\r\n" in data and b"xpect: 100-continue" in data.split(b"\r\n\r\n")[0]:
                        peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    received = peer.recv(1 << 20)
                    if not received:
                        return
                    raw += received[:4096]
                    data += received
                    message, data = take_message(data, False, request=True)
                    if message is None and len(data) > 1 << 20:
                        message, data = self._take_large(peer, data)
                message.connection = len(self.connections)
                self.requests.append(message)
                answer = self.answers.get(message.target.split(b"?")[0], OK)
                if callable(answer):
                    answer = answer(message)
                if not self._say(peer, answer):
                    return
        except Failure as fault:
            self.faults.append(str(fault))
        except OSError:
            pass
        finally:
            with self.lock:
                self.open_count -= 1
                self.peers.discard(peer)
            peer.close()

    @staticmethod
    def _take_large(peer, data):
        """A body of known length, counted and not kept."""
        head, _, rest = data.partition(b"\r\n\r\n")
        message = Message(head + b"\r\n\r\n")
        left = int(message.get(b"content-length")) - len(rest)
        while left > 0:
            received = peer.recv(min(left, 1 << 20))
            if not received:
                raise OSError("cut")
            left -= len(received)
        return message, b""

    def _say(self, peer, answer):
        for step in [answer] if isinstance(answer, bytes) else answer:
            if step == "close":
                peer.shutdown(socket.SHUT_WR)
                return False
            if step == "reset":
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                return False
            if step == "silent":
                peer.recv(1)
                return False
            if step == "late":
                if select.select([peer], [], [], 0.1)[0]:
                    return False  # larder has closed it
                continue
            if step == "hold":
                self.released.wait(LIMIT)
                continue
            peer.sendall(step)
        return True


# --- redis ---


class Redis:
    """A redis-server of its own, empty, on a unix socket."""

    def __init__(self, *options):
        server = shutil.which("redis-server")
        if not server:
            raise SystemExit("redis-server is needed: deploy/install-packages test")
        self.directory = tempfile.TemporaryDirectory(prefix="larder-hostile-redis-")
        self.path = os.path.join(self.directory.name, "redis.sock")
        self.command = [server, "--port", "0", "--unixsocket", self.path, "--save", "", "--appendonly", "no", "--dir", self.directory.name, *options]
        atexit.register(lambda: self.process.kill())  # also when a case ends the run
        self.start()

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.socket = socket.socket(socket.AF_UNIX)
        await_that("redis listens", lambda: self.socket.connect_ex(self.path) == 0)
        self.file = self.socket.makefile("rb")

    def ask(self, *words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self._reply()

    def _reply(self):
        line = self.file.readline().rstrip(b"\r\n")
        kind, rest = line[:1], line[1:]
        if kind == b"-":
            raise Failure(f"redis says {rest!r}")
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        return int(rest) if kind == b":" else rest

    def stop(self):
        self.file.close()
        self.socket.close()
        self.process.terminate()
        self.process.wait()
        self.directory.cleanup()


# --- larder ---


class Larder:
    def __init__(self, binary, origin, rules="rules: []\n", options="", environment=None, drop_upstream=False, admin="127.0.0.1:0"):
        self.directory = tempfile.TemporaryDirectory(prefix="larder-hostile-")
        path = os.path.join(self.directory.name, "larder.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"listen: 127.0.0.1:0\nadmin: {admin}\nworkers: 2\n")
            if not drop_upstream:
                file.write(f"upstream: http://127.0.0.1:{origin.port}\n")
            file.write(options + rules)
        self.log_path = os.path.join(self.directory.name, "log")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [binary, "--config", path], stdout=log, stderr=log, env={**os.environ, **SANITIZER, **(environment or {})}
            )
        await_that("larder is ready", lambda: "ready" in self.log() or self.process.poll() is not None)
        ports = re.search(r"ready listen=127\.0\.0\.1:(\d+) admin=[0-9.]+:(\d+)", self.log())
        if not ports:
            raise Failure("larder does not start:\n" + self.log())
        self.port, self.admin_port = int(ports[1]), int(ports[2])

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def metric(self, name, labels=""):
        _, text = fetch(self.admin_port, "/metrics")
        lines = [l for l in text.decode().splitlines() if re.match(re.escape(name) + r"[ {]", l) and labels in l]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)

    def figure(self, name):
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as file:
            return int(re.search(name + r":\s+(\d+)", file.read())[1])

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def stop(self):
        """Ends it; raises when it ends badly, as it does when a sanitizer has found something."""
        self.process.terminate()
        code = self.process.wait(LIMIT * 4)
        log = self.log()
        self.directory.cleanup()
        if code != 0:
            raise Failure(f"larder ended with {code}:\n{log[-4000:]}")


# --- the client ---


class Client:
    def __init__(self, port, limit=LIMIT):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=limit)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.data, self.ended = b"", False

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it has said why already
        return self

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def close(self):
        self.socket.close()

    def receive(self):
        try:
            received = self.socket.recv(1 << 20)
        except ConnectionResetError:
            received = b""
        except TimeoutError:
            raise Failure(f"nothing arrives; so far: {self.data[:300]!r}") from None
        self.data += received
        self.ended = self.ended or not received

    def read(self, to_head=False):
        """The next response, 1xx too; None at the end of the connection."""
        while True:
            message, rest = take_message(self.data, self.ended, to_head)
            if message is not None:
                self.data = rest
                return message
            if self.ended:
                check(not self.data, "the connection ends inside a head", self.data[:200])
                return None
            self.receive()

    def read_final(self, to_head=False):
        while True:
            response = self.read(to_head)
            if response is None or response.status >= 200:
                return response

    def read_to_end(self):
        """All responses until the connection ends."""
        responses = []
        while (response := self.read()) is not None:
            responses.append(response)
        return responses


def fetch(port, target, *fields, method="GET", body=b""):
    """One request on a connection of its own: (status, body)."""
    client = Client(port)
    lines = "".join(field + "\r\n" for field in fields)
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    client.send(f"{method} {target} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n{length}{lines}\r\n".encode() + body)
    response = client.read_final(to_head=method == "HEAD")
    client.close()
    check(response is not None, f"no answer to {method} {target}")
    return response.status, response.body


def get(port, target, *fields, method="GET", body=b""):
    """The same, the whole response."""
    client = Client(port)
    lines = "".join(field + "\r\n" for field in fields)
    length = f"Content-Length: {len(body)}\r\n" if body else ""
    client.send(f"{method} {target} HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n{length}{lines}\r\n".encode() + body)
    response = client.read_final(to_head=method == "HEAD")
    client.close()
    check(response is not None, f"no answer to {method} {target}")
    return response
