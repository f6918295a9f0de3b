"""Origin: a back end that keeps each byte it received, reads HTTP/1.1 strictly, and answers as the test says."""
import hashlib
import json
import socket
import threading
import time
from dataclasses import dataclass, field

KEPT_BODY = 1 << 20


class Violation(Exception):
    """The proxy sent something that is no HTTP/1.1."""


@dataclass
class Request:
    method: str
    target: str
    version: str
    headers: list
    raw_head: bytes
    connection: int
    body: bytes = b""       # the first KEPT_BODY bytes
    body_size: int = 0
    body_sha256: str = ""
    trailers: list = field(default_factory=list)

    def header(self, name):
        values = self.all(name)
        return values[0] if values else None

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Reply:
    """What an answer function returns; bytes are sent as they are, None closes the connection."""
    status: int = 200
    headers: list = field(default_factory=list)
    body: bytes = b""
    chunked: bool = False
    trailers: list = field(default_factory=list)
    close: bool = False

    def wire(self, head_only=False):
        headers = list(self.headers)
        if self.chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif self.status >= 200 and self.status not in (204, 304):
            headers.append(("Content-Length", str(len(self.body))))
        if self.close:
            headers.append(("Connection", "close"))
        head = f"HTTP/1.1 {self.status} Status\r\n" + "".join(f"{k}: {v}\r\n" for k, v in headers) + "\r\n"
        body = self.body
        if self.chunked:
            body = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 4096]), body[i:i + 4096]) for i in range(0, len(body), 4096))
            body += b"0\r\n" + "".join(f"{k}: {v}\r\n" for k, v in self.trailers).encode() + b"\r\n"
        return head.encode("latin-1") + (b"" if head_only else body)


def describe(request):
    """The default answer: what was received, as JSON."""
    told = {"method": request.method, "target": request.target, "headers": request.headers, "body_size": request.body_size,
            "body_sha256": request.body_sha256, "trailers": request.trailers}
    return Reply(headers=[("Content-Type", "application/json")], body=json.dumps(told).encode())


class Origin:
    """
    answer(request) gives a Reply, bytes, or None. `serve` replaces HTTP altogether: serve(socket) owns each connection.
    received maps a connection's number to all its bytes (the first KEPT_BODY, of bodies too).
    """

    def __init__(self, host, port=0, answer=describe, serve=None, name=""):
        self.answer, self.serve, self.name, self.host = answer, serve, name or host.name, host
        self.requests, self.violations, self.received = [], [], {}
        self.open = set()
        self.changed = threading.Condition()
        with host.inside():
            self.socket = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def address(self):
        return self.host.ipv4, self.port

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.changed:
                number = len(self.received)
                self.received[number] = b""
                self.open.add(connection)
                self.changed.notify_all()
            threading.Thread(target=self.run, args=(connection, number), daemon=True).start()

    def run(self, connection, number):
        try:
            if self.serve:
                self.serve(connection)
            else:
                Conversation(self, connection, number).run()
        except (OSError, EOFError):
            pass
        finally:
            with self.changed:
                self.open.discard(connection)
                self.changed.notify_all()
            connection.close()

    def note(self, number, data):
        with self.changed:
            kept = self.received[number]
            if len(kept) < KEPT_BODY:
                self.received[number] = kept + data
            self.changed.notify_all()

    def wait_for(self, claim, what, timeout=10):
        with self.changed:
            if not self.changed.wait_for(claim, timeout):
                raise AssertionError(f"origin {self.name}: no {what} within {timeout} s; requests: {self.requests}")

    def wait_for_requests(self, count, timeout=10):
        self.wait_for(lambda: len(self.requests) >= count, f"{count} requests", timeout)
        return self.requests

    def wait_for_close(self, timeout=10):
        self.wait_for(lambda: not self.open, "end of all connections", timeout)

    def take(self):
        """The requests so far, forgetting them; fails when the proxy ever sent something malformed."""
        with self.changed:
            assert not self.violations, self.violations
            taken, self.requests = self.requests, []
            return taken

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        with self.changed:
            for connection in self.open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class Conversation:
    """One connection: strict reading, one answer a request."""

    def __init__(self, origin, connection, number):
        self.origin, self.connection, self.number, self.buffer = origin, connection, number, b""

    def run(self):
        try:
            while True:
                request = self.read_head()
                if request is None:
                    return
                if "100-continue" in (request.header("expect") or ""):
                    self.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                self.read_body(request)
                with self.origin.changed:
                    self.origin.requests.append(request)
                    self.origin.changed.notify_all()
                reply = self.origin.answer(request)
                if reply is None:
                    return
                if isinstance(reply, Reply):
                    self.connection.sendall(reply.wire(request.method == "HEAD"))
                    if reply.close:
                        return
                else:
                    self.connection.sendall(reply)
        except Violation as violation:
            with self.origin.changed:
                self.origin.violations.append(str(violation))
                self.origin.changed.notify_all()

    def fill(self):
        data = self.connection.recv(65536)
        if not data:
            raise EOFError
        self.origin.note(self.number, data)
        self.buffer += data

    def line(self):
        while b"\r\n" not in self.buffer:
            self.fill()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def read_head(self):
        while b"\r\n\r\n" not in self.buffer:
            try:
                self.fill()
            except EOFError:
                if self.buffer:
                    raise Violation(f"cut head: {self.buffer[:200]!r}") from None
                return None
        raw, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        first, *rest = raw.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
            raise Violation(f"request line {first!r}")
        headers = [self.field(line) for line in rest]
        return Request(words[0], words[1], words[2], headers, raw + b"\r\n\r\n", self.number)

    @staticmethod
    def field(line):
        name, colon, value = line.partition(":")
        if not colon or not name or any(c <= " " or c >= "\x7f" or c in '"(),/:;<=>?@[\\]{}' for c in name) \
                or any(c in "\r\n\0" for c in value):
            raise Violation(f"field line {line!r}")
        return name, value.strip(" \t")

    def read_body(self, request):
        digest, coding, lengths = hashlib.sha256(), request.all("transfer-encoding"), request.all("content-length")
        if coding and (coding != ["chunked"] or lengths):
            raise Violation(f"framing {coding} {lengths}")
        if len(lengths) > 1 or any(not value.isdigit() for value in lengths):
            raise Violation(f"framing {lengths}")
        if coding:
            while True:
                size = self.line()
                if not size or any(c not in b"0123456789abcdefABCDEF" for c in size):
                    raise Violation(f"chunk size {size!r}")
                if int(size, 16) == 0:
                    break
                self.read_bytes(request, int(size, 16), digest)
                if self.line() != b"":
                    raise Violation("chunk without its end")
            while line := self.line():
                request.trailers.append(self.field(line.decode("latin-1")))
        elif lengths:
            self.read_bytes(request, int(lengths[0]), digest)
        request.body_sha256 = digest.hexdigest()

    def read_bytes(self, request, size, digest):
        while size:
            if not self.buffer:
                self.fill()
            piece, self.buffer = self.buffer[:size], self.buffer[size:]
            digest.update(piece)
            if len(request.body) < KEPT_BODY:
                request.body += piece
            request.body_size += len(piece)
            size -= len(piece)


def stall(seconds):
    """An answer that keeps the caller waiting; for timeouts, where the time is the point."""
    def answer(request):
        time.sleep(seconds)
        return describe(request)
    return answer
