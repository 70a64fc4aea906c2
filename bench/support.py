"""What the Python benchmarks share: processes on free ports, a Redis client of a few lines, an app server, numbers."""

import asyncio
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LARDER = ROOT / "build/release/larder"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_until(what, done, patience=10.0):
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if done():
            return
        time.sleep(0.01)
    sys.exit(f"{what}: not within {patience} s")


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
        return True
    except OSError:
        return False


class Processes:
    """Starts processes and stops them again at the end of the `with`."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="larder-bench-")
        self.running = []
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self.running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, *command):
        log = open(os.path.join(self.folder, f"log-{len(self.running)}.txt"), "w")
        process = subprocess.Popen([str(c) for c in command], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self.running.append(process)
        return process

    def redis(self, *options):
        port = free_port()
        process = self.start("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                             "--dir", self.folder, *options)
        wait_until("redis-server", lambda: accepts(port))
        return port, process

    def larder(self, config):
        if not LARDER.exists():
            sys.exit(f"{LARDER} is missing: cmake --preset release && cmake --build --preset release --target larder")
        port = free_port()
        path = os.path.join(self.folder, f"larder-{port}.yaml")
        with open(path, "w") as f:
            f.write(f"listen: 127.0.0.1:{port}\n" + config)
        process = self.start(LARDER, "--config", path)
        wait_until("larder", lambda: accepts(port))
        return port, process


class Redis:
    """One connection; commands and replies in RESP2."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    @staticmethod
    def encode(*args):
        out = [b"*%d\r\n" % len(args)]
        for arg in args:
            data = arg if isinstance(arg, bytes) else str(arg).encode()
            out.append(b"$%d\r\n%s\r\n" % (len(data), data))
        return b"".join(out)

    def __call__(self, *args):
        self.socket.sendall(self.encode(*args))
        return self.reply()

    def pipeline(self, commands):
        self.socket.sendall(b"".join(self.encode(*c) for c in commands))
        return [self.reply() for _ in commands]

    def reply(self):
        line = self.file.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            return RuntimeError(rest.decode())
        if kind == b":":
            return int(rest)
        size = int(rest)
        if size < 0:
            return None
        if kind == b"$":
            return self.file.read(size + 2)[:-2]
        return [self.reply() for _ in range(size)]


def longest_command(redis, *names):
    """Microseconds that one command took inside Redis at most, by its own clock; of those names, or of any."""
    log = redis("SLOWLOG", "GET", "100000")
    return max((entry[2] for entry in log if not names or entry[3][0].upper() in names), default=0)


class Backend(threading.Thread):
    """Answers every request with a JSON body of `size` bytes after `delay` seconds."""

    def __init__(self, size=512, delay=0.0):
        super().__init__(daemon=True)
        self.port, self.delay, self.requests = free_port(), delay, 0
        self.answer = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % size
                       + b"x" * size)
        self.ready = threading.Event()
        self.start()
        self.ready.wait()

    async def serve(self, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                for line in head.split(b"\r\n"):
                    if line.lower().startswith(b"content-length:"):
                        await reader.readexactly(int(line.split(b":")[1]))
                self.requests += 1
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(self.answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    def run(self):
        async def main():
            server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
            self.ready.set()
            async with server:
                await server.serve_forever()

        asyncio.run(main())


class Http:
    """One kept-alive connection."""

    def __init__(self, port, timeout=30):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.file = self.socket.makefile("rb")

    def __call__(self, method, target, body=b""):
        """Status, header fields in lower case, body."""
        length = b"Content-Length: %d\r\n" % len(body) if body or method != "GET" else b""
        self.socket.sendall(f"{method} {target} HTTP/1.1\r\nHost: bench\r\n".encode() + length + b"\r\n" + body)
        line = self.file.readline()
        if not line:
            raise ConnectionError("closed before the answer")
        status, fields = int(line.split()[1]), {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            fields[name.lower()] = value.strip()
        if "content-length" not in fields:
            raise ConnectionError(f"no length: {fields}")
        return status, fields, self.file.read(int(fields["content-length"]))


def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def machine():
    with open("/proc/cpuinfo") as f:
        model = next((line.split(":")[1].strip() for line in f if line.startswith("model name")), "unknown processor")
    return f"{os.cpu_count()} cores, {model}"
