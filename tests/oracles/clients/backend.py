"""A small real backend for real clients: HTTP/1.1 over a socket, one thread a connection, every request remembered.

A route is a path and a function that takes a Request and gives the bytes of the whole response. `file_route` answers as
a static file server does, with validators, conditions and ranges; the rest is written out by who tests it.
"""

import email.utils
import socket
import socketserver
import threading


class Request:
    def __init__(self, method, target, version, fields, body):
        self.method, self.target, self.version, self.fields, self.body = method, target, version, fields, body
        self.path = target.split("?")[0]

    def field(self, name):
        """All lines of that name as one value; empty: there is none."""
        return ", ".join(value for key, value in self.fields if key.lower() == name.lower())


REASONS = {200: "OK", 201: "Created", 204: "No Content", 206: "Partial Content", 304: "Not Modified", 404: "Not Found",
           412: "Precondition Failed", 413: "Content Too Large", 416: "Range Not Satisfiable", 503: "Service Unavailable"}


def http_date(seconds_since_1970):
    return email.utils.formatdate(seconds_since_1970, usegmt=True)


def head(status, fields):
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Said')}", *(f"{name}: {value}" for name, value in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def answer(status, fields, body=b""):
    """A response with Content-Length."""
    return head(status, [*fields, ("Content-Length", len(body))]) + body


def chunked(fields, parts, trailers=()):
    """A 200 in chunks, maybe with trailers."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    end = b"0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in trailers).encode("latin-1") + b"\r\n"
    return head(200, [*fields, ("Transfer-Encoding", "chunked")]) + body + end


def parse_ranges(text, size):
    """The ranges of a Range field as (first, last); empty: not satisfiable; None: to be ignored."""
    if not text.startswith("bytes="):
        return None
    ranges = []
    for part in text[len("bytes="):].split(","):
        first, dash, last = part.strip().partition("-")
        if not dash:
            return None
        if first:
            begin, end = int(first), min(int(last) if last else size - 1, size - 1)
        else:
            begin, end = max(size - int(last), 0), size - 1
        if begin <= end:
            ranges.append((begin, end))
    return ranges


def if_range_holds(request, etag, last_modified):
    condition = request.field("If-Range")
    return not condition or condition == etag or condition == last_modified


class FileRoute:
    """A resource as a static file server answers for it."""

    def __init__(self, content, fields=(), etag='"v1"', modified=1_700_000_000):
        self.content, self.fields, self.etag, self.last_modified = content, list(fields), etag, http_date(modified)

    def fails(self, request):
        """The status that a precondition asks for, in the order of RFC 9110 §13.2.2; 0: go on."""
        modified = email.utils.parsedate_to_datetime(self.last_modified)
        since = {}
        for name in ("If-Unmodified-Since", "If-Modified-Since"):
            text = request.field(name)
            since[name] = email.utils.parsedate_to_datetime(text) if text else None
        tags = [tag.strip() for tag in request.field("If-None-Match").split(",") if tag.strip()]
        if since["If-Unmodified-Since"] and modified > since["If-Unmodified-Since"]:
            return 412
        if tags:
            weak = [tag.removeprefix("W/") for tag in tags]
            return 304 if "*" in tags or self.etag.removeprefix("W/") in weak else 0
        if since["If-Modified-Since"] and modified <= since["If-Modified-Since"]:
            return 304
        return 0

    def __call__(self, request):
        fields = [("Date", email.utils.formatdate(usegmt=True)), ("ETag", self.etag), ("Last-Modified", self.last_modified),
                  ("Accept-Ranges", "bytes"), *self.fields]
        status = self.fails(request)
        if status:
            return head(304, fields) if status == 304 else answer(status, fields)
        fields.append(("Content-Type", "text/plain"))
        content, status = self.content, 200
        ranges = parse_ranges(request.field("Range"), len(content)) if request.method == "GET" else None
        if ranges is not None and if_range_holds(request, self.etag, self.last_modified):
            if not ranges:
                return answer(416, [("Content-Range", f"bytes */{len(content)}")])
            if len(ranges) == 1:
                first, last = ranges[0]
                fields.append(("Content-Range", f"bytes {first}-{last}/{len(content)}"))
                content, status = content[first:last + 1], 206
            # several ranges may be answered with the whole (RFC 9110 §14.2)
        if request.method == "HEAD":
            return head(status, [*fields, ("Content-Length", len(content))])
        return answer(status, fields, content)


class Backend:
    def __init__(self):
        self.routes = {}
        self.refused = set()  # paths that answer before they have read the body
        self.hang_ups = set()  # paths after whose response the connection is closed
        self.requests = []
        self.lock = threading.Lock()
        backend = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    while backend.serve_one(self.rfile, self.wfile):
                        pass
                except (ConnectionError, ValueError):
                    pass

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def on(self, path, route):
        """What a path answers from now on. Gives the route back."""
        self.routes[path] = route
        return route

    def asked(self, path, method=None):
        """The requests for that path so far, in the order of their arrival."""
        with self.lock:
            return [one for one in self.requests if one.path == path and method in (None, one.method)]

    def serve_one(self, rfile, wfile):
        """One request and its response. False: the connection ends here."""
        line = rfile.readline(65536).decode("latin-1")
        if not line.strip():
            return False
        method, target, version = line.split()
        fields = []
        while (line := rfile.readline(65536).decode("latin-1").rstrip("\r\n")):
            name, _, value = line.partition(":")
            fields.append((name, value.strip()))
        request = Request(method, target, version, fields, b"")
        refused = request.path in self.refused
        if not refused:
            if request.field("Expect").lower() == "100-continue":
                wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.body = self.read_body(request, rfile)
        with self.lock:
            self.requests.append(request)
            route = self.routes.get(request.path)
        wfile.write(route(request) if route else answer(404, [("Cache-Control", "no-store")], b"no such path\n"))
        return not refused and request.path not in self.hang_ups and request.field("Connection").lower() != "close"

    @staticmethod
    def read_body(request, rfile):
        if request.field("Transfer-Encoding").lower() == "chunked":
            body = b""
            while (size := int(rfile.readline(1024).split(b";")[0], 16)):
                body += rfile.read(size)
                rfile.readline(1024)
            while rfile.readline(65536).strip():
                pass
            return body
        return rfile.read(int(request.field("Content-Length") or 0))
