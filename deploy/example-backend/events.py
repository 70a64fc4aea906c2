#!/usr/bin/env python3
"""A small events API with a slow database: the app server that Larder stands beside in deploy/quickstart and in tests.

    GET    /api/events?page=N     one page of the list, 10 events a page
    POST   /api/events            make an event: 201 and Location
    GET    /api/events/{id}       one event
    PUT    /api/events/{id}       replace it (all of title, place, day)
    PATCH  /api/events/{id}       change the fields given
    DELETE /api/events/{id}       204
    GET    /stats                 how often requests and the database were asked; takes no time and counts nothing

Each access to the database waits --delay milliseconds, to stand for a busy one. Python's standard library only.
"""

import argparse
import json
import os
import re
import signal
import socket
import sqlite3
import stat
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PAGE_SIZE = 10
BODY_LIMIT_BYTES = 1024 * 1024
FIELDS = ("title", "place", "day")


class ApiError(Exception):
    """An answer that is not the one hoped for; `detail` is for people."""

    def __init__(self, status, detail, fields=None):
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.fields = fields or {}


class Database:
    """The events in SQLite. Each call waits `delay` seconds first, outside any lock, as a busy database would."""

    def __init__(self, path, delay):
        self.path = path
        self.delay = delay
        self.lock = threading.Lock()
        self.queries_count = 0
        self.connection = sqlite3.connect(path, check_same_thread=False)
        self.connection.row_factory = sqlite3.Row
        self.connection.execute(
            "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL, place TEXT NOT NULL,"
            " day TEXT NOT NULL, version INTEGER NOT NULL DEFAULT 1)"
        )
        seed = [(f"Concert {n}", ("Berlin", "Lyon", "Porto")[n % 3], f"2030-01-{n:02d}") for n in range(1, 26)]
        self.connection.executemany("INSERT INTO events (title, place, day) VALUES (?, ?, ?)", seed)
        self.connection.commit()

    def query(self, statement, values=()):
        """Runs one statement; returns its rows as dicts, and the id and number of rows that it changed."""
        with self.lock:
            self.queries_count += 1
        if self.delay > 0:
            time.sleep(self.delay)
        with self.lock:
            cursor = self.connection.execute(statement, values)
            rows = [dict(row) for row in cursor.fetchall()]
            self.connection.commit()
            return rows, cursor.lastrowid, cursor.rowcount

    def list(self, page):
        return self.query("SELECT * FROM events ORDER BY id LIMIT ? OFFSET ?", (PAGE_SIZE, (page - 1) * PAGE_SIZE))[0]

    def find(self, event_id):
        rows = self.query("SELECT * FROM events WHERE id = ?", (event_id,))[0]
        return rows[0] if rows else None

    def create(self, event):
        rows = self.query("INSERT INTO events (title, place, day) VALUES (:title, :place, :day) RETURNING *", event)[0]
        return rows[0]

    def update(self, event_id, changes):
        columns = "".join(f", {name} = :{name}" for name in changes)
        statement = f"UPDATE events SET version = version + 1{columns} WHERE id = :id RETURNING *"
        rows = self.query(statement, {**changes, "id": event_id})[0]
        return rows[0] if rows else None

    def delete(self, event_id):
        return self.query("DELETE FROM events WHERE id = ?", (event_id,))[2] == 1

    def close(self):
        with self.lock:
            self.connection.close()


def event_from(body, need_all):
    """The fields of an event in a JSON body; with `need_all` none may be missing."""
    try:
        event = json.loads(body)
    except (UnicodeDecodeError, ValueError) as error:
        raise ApiError(400, f"the body is not JSON: {error}") from None
    if not isinstance(event, dict):
        raise ApiError(400, "the body is not a JSON object")
    unknown = sorted(set(event) - set(FIELDS))
    if unknown:
        raise ApiError(400, f"unknown field: {', '.join(unknown)}; known: {', '.join(FIELDS)}")
    wrong = [name for name, value in event.items() if not isinstance(value, str) or not value]
    if wrong:
        raise ApiError(400, f"not a text: {', '.join(wrong)}")
    missing = [name for name in FIELDS if name not in event]
    if missing and (need_all or not event):
        raise ApiError(400, f"missing: {', '.join(missing)}")
    return event


class Handler(BaseHTTPRequestHandler):
    """One client connection, kept alive. The route table is `answer`."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = False  # http.server would set it on unix sockets too, which fails; see setup()
    wbufsize = -1  # head and body leave in one write
    timeout = 75

    def version_string(self):
        return "example-backend"

    def setup(self):
        if self.request.family != socket.AF_UNIX:
            self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().setup()

    def answer(self, path, query, body):
        """Returns (status, JSON value or None, header fields). Raises ApiError."""
        database = self.server.database
        if path == "/stats":
            self.allow("GET")
            return 200, {"requests": self.server.requests_count, "database_queries": database.queries_count}, {}
        if path == "/api/events":
            self.allow("GET", "POST")
            if self.method == "POST":
                event = database.create(event_from(body, need_all=True))
                return 201, event, {"Location": f"/api/events/{event['id']}"}
            page = self.page_of(query)
            return 200, {"page": page, "events": database.list(page)}, {}
        found = re.fullmatch(r"/api/events/([0-9]{1,18})", path)
        if not found:
            raise ApiError(404, f"nothing at {path}")
        event_id = int(found[1])
        self.allow("GET", "PUT", "PATCH", "DELETE")
        if self.method == "GET":
            event = database.find(event_id)
        elif self.method == "DELETE":
            if database.delete(event_id):
                return 204, None, {}
            event = None
        else:
            event = database.update(event_id, event_from(body, need_all=self.method == "PUT"))
        if event is None:
            raise ApiError(404, f"no event {event_id}")
        return 200, event, {}

    def allow(self, *methods):
        if self.method not in methods:
            listed = ", ".join(methods + ("HEAD",)) if "GET" in methods else ", ".join(methods)
            raise ApiError(405, f"{self.command} is not for this resource", {"Allow": listed})

    @staticmethod
    def page_of(query):
        value = parse_qs(query, keep_blank_values=True).get("page", ["1"])[-1]
        if not re.fullmatch(r"[1-9][0-9]{0,8}", value):
            raise ApiError(400, "page must be a number from 1")
        return int(value)

    def read_body(self):
        """The request's body, by Content-Length or chunks; the connection closes when its end cannot be known."""
        coding = self.headers.get("Transfer-Encoding", "").strip().lower()
        if coding:
            if coding != "chunked" or "Content-Length" in self.headers:
                self.close_connection = True
                raise ApiError(400, "the body's framing cannot be read")
            return self.read_chunks()
        length = self.headers.get("Content-Length", "0")
        if not re.fullmatch(r"[0-9]{1,18}", length):
            self.close_connection = True
            raise ApiError(400, "Content-Length is not a number")
        if int(length) > BODY_LIMIT_BYTES:
            self.close_connection = True
            raise ApiError(413, f"a body has at most {BODY_LIMIT_BYTES} bytes")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            raise ApiError(400, "the body was cut short")
        return body

    def read_chunks(self):
        body = b""
        while True:
            size = self.rfile.readline(1024).split(b";")[0].strip()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,8}", size):
                self.close_connection = True
                raise ApiError(400, "bad chunk")
            if int(size, 16) == 0:
                while self.rfile.readline(8192) not in (b"\r\n", b"\n", b""):
                    pass
                return body
            if len(body) + int(size, 16) > BODY_LIMIT_BYTES:
                self.close_connection = True
                raise ApiError(413, f"a body has at most {BODY_LIMIT_BYTES} bytes")
            body += self.rfile.read(int(size, 16))
            self.rfile.readline(8)

    def handle_request(self):
        url = urlsplit(self.path)
        self.method = "GET" if self.command == "HEAD" else self.command
        if url.path != "/stats":
            with self.server.count_lock:
                self.server.requests_count += 1
        try:
            status, value, fields = self.answer(url.path, url.query, self.read_body())
        except ApiError as error:
            status, value, fields = error.status, {"error": error.detail}, error.fields
        content = b"" if value is None else (json.dumps(value) + "\n").encode()
        self.send_response(status)
        for name, text in fields.items():
            self.send_header(name, text)
        if value is not None:
            self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = handle_request

    def log_message(self, format, *arguments):
        if self.server.verbose:
            sys.stderr.write(f"{self.log_date_time_string()} {format % arguments}\n")

    def address_string(self):
        return self.client_address[0] if self.client_address else "unix"


class Server(ThreadingHTTPServer):
    """A thread for each connection; on TCP, or on a unix socket when the address is a path."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, address, database, verbose):
        self.address_family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.database = database
        self.verbose = verbose
        self.requests_count = 0
        self.count_lock = threading.Lock()
        super().__init__(address, Handler)

    def server_bind(self):
        # not HTTPServer.server_bind: it looks the host's name up, which may take seconds, and fails on a path
        if self.address_family == socket.AF_INET:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = "events", 0

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=3000, help="0: any free port; it is printed (default %(default)s)")
    parser.add_argument("--unix", metavar="PATH", help="listen on a unix socket instead")
    parser.add_argument("--delay", type=float, default=float(os.environ.get("DB_DELAY", "150")), metavar="MS",
                        help="milliseconds that each database access waits (default %(default)g; environment: DB_DELAY)")
    parser.add_argument("--verbose", action="store_true", help="one line on stderr for each request")
    options = parser.parse_args()

    # A signal handler that raises could do so anywhere; this thread waits for the signal, another serves.
    signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)

    if options.unix and os.path.exists(options.unix) and stat.S_ISSOCK(os.stat(options.unix).st_mode):
        os.unlink(options.unix)  # left by one that was killed
    with tempfile.TemporaryDirectory(prefix="example-backend-") as folder:
        database = Database(os.path.join(folder, "events.sqlite"), options.delay / 1000)
        try:
            server = Server(options.unix or (options.host, options.port), database, options.verbose)
        except OSError as error:
            print(f"example-backend: cannot listen: {error}", file=sys.stderr)
            return 1
        where = f"unix:{options.unix}" if options.unix else "http://%s:%d" % server.socket.getsockname()
        print(f"example-backend: listening on {where}, each database access takes {options.delay:g} ms", flush=True)
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        serving.start()
        signal.sigwait(signals)
        server.shutdown()
        server.socket.close()  # not server_close(): it would wait for clients that keep their connection
        database.close()
    if options.unix and os.path.exists(options.unix):
        os.unlink(options.unix)
    return 0


if __name__ == "__main__":
    sys.exit(main())
