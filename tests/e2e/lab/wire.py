"""The wire: a client that sends exactly the bytes it is told, and captures of what passed between hosts."""
import os
import select
import signal
import socket
import struct
import time
from dataclasses import dataclass, field


@dataclass
class Response:
    status: int
    reason: str
    version: str
    headers: list  # [(name as received, value)]
    body: bytes
    trailers: list = field(default_factory=list)
    interim: list = field(default_factory=list)  # status codes of the 1xx before it
    raw_head: bytes = b""

    def header(self, name):
        """The first value of a field, or None."""
        values = self.all(name)
        return values[0] if values else None

    def all(self, name):
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def text(self):
        return self.body.decode()


class Closed(Exception):
    """The peer closed, or reset, before the message was whole; `received` is what had come."""

    def __init__(self, received, reset=False):
        super().__init__(f"{'reset' if reset else 'closed'} after {received[-200:]!r}")
        self.received, self.reset = received, reset


class Client:
    """A socket with a buffer that reads HTTP/1.1 responses and raw bytes."""

    def __init__(self, sock, timeout=10):
        self.socket, self.buffer, self.timeout = sock, b"", timeout
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends the connection with RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def send(self, *pieces):
        for piece in pieces:
            self.socket.sendall(piece.encode("latin-1") if isinstance(piece, str) else piece)
        return self

    def end(self):
        """Half-closes: no more from us."""
        self.socket.shutdown(socket.SHUT_WR)
        return self

    def fill(self):
        """Receives once more; raises Closed at the end."""
        try:
            got = self.socket.recv(65536)
        except ConnectionResetError:
            raise Closed(self.buffer, reset=True) from None
        if not got:
            raise Closed(self.buffer)
        self.buffer += got

    def take(self, size):
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def read(self, size):
        while len(self.buffer) < size:
            self.fill()
        return self.take(size)

    def read_until(self, mark):
        while mark not in self.buffer:
            self.fill()
        return self.take(self.buffer.index(mark) + len(mark))

    def read_all(self):
        """Everything until the peer closes (a reset ends it too)."""
        try:
            while True:
                self.fill()
        except Closed:
            return self.take(len(self.buffer))

    def is_closed(self, within=5):
        """True when the peer closes within that time and sends nothing more."""
        end = time.monotonic() + within
        while not self.buffer:
            ready = select.select([self.socket], [], [], max(0, end - time.monotonic()))[0]
            if not ready:
                return False
            try:
                self.fill()
            except Closed:
                return True
        return False

    def request(self, method, target, headers=(), body=b"", host="test"):
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"] + [f"{name}: {value}" for name, value in headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return self.send("\r\n".join(lines) + "\r\n\r\n", body)

    def exchange(self, method, target, headers=(), body=b"", host="test"):
        self.request(method, target, headers, body, host)
        return self.response(head_only=method == "HEAD")

    def response(self, head_only=False):
        """Reads one response, strictly framed; 1xx before it are noted (101 is final)."""
        interim = []
        while True:
            raw = self.read_until(b"\r\n\r\n")
            lines = raw[:-4].split(b"\r\n")
            version, status, *reason = lines[0].decode("latin-1").split(" ", 2)
            status = int(status)
            headers = [split_field(line) for line in lines[1:]]
            if not 100 <= status < 200 or status == 101:
                break
            interim.append(status)
        response = Response(status, reason[0] if reason else "", version, headers, b"", interim=interim, raw_head=raw)
        if head_only or status in (101, 204, 304):
            return response
        coding, length = response.all("transfer-encoding"), response.all("content-length")
        if coding:
            assert coding == ["chunked"] and not length, (coding, length)
            response.body, response.trailers = self.read_chunked()
        elif length:
            assert len(length) == 1, length
            response.body = self.read(int(length[0]))
        else:
            response.body = self.read_all()
        return response

    def read_chunked(self):
        body = []
        while True:
            size = int(self.read_until(b"\r\n").split(b";")[0], 16)
            if size == 0:
                break
            body.append(self.read(size))
            assert self.read(2) == b"\r\n"
        trailers = []
        while True:
            line = self.read_until(b"\r\n")[:-2]
            if not line:
                return b"".join(body), trailers
            trailers.append(split_field(line))


def split_field(line):
    name, _, value = line.decode("latin-1").partition(":")
    return name, value.strip(" \t")


class Capture:
    """tcpdump on a host's link. Read it after stop()."""

    def __init__(self, lab, host, expression):
        self.path = lab.path(f"{host.name}-{len(lab.captures)}.pcap")
        self.program = lab.start("tcpdump", "-i", host.link, "-U", "--immediate-mode", "-s", "0", "-w", self.path,
                                 "-Z", "root", *expression.split(), host=None)
        self.program.wait_for_log("listening on")

    def stop(self):
        """Ends the capture after what was sent so far has been written."""
        size = -1
        while size != os.path.getsize(self.path):  # quiet for 100 ms: the kernel's ring is drained
            size = os.path.getsize(self.path)
            time.sleep(0.1)
        self.program.stop(signal.SIGINT)
        return self

    def payloads(self):
        """The TCP payload of each captured packet, in order: [(source port, destination port, bytes)]."""
        with open(self.path, "rb") as file:
            data = file.read()
        order = "<" if data[:4] in (b"\xd4\xc3\xb2\xa1", b"\x4d\x3c\xb2\xa1") else ">"
        at, out = 24, []
        while at + 16 <= len(data):
            captured = struct.unpack_from(order + "IIII", data, at)[2]
            payload = tcp_payload(data[at + 16:at + 16 + captured])
            if payload:
                out.append(payload)
            at += 16 + captured
        return out

    def bytes(self):
        return b"".join(payload for _, _, payload in self.payloads())


def tcp_payload(frame):
    kind = struct.unpack_from(">H", frame, 12)[0]
    if kind == 0x0800:
        start = 14 + (frame[14] & 15) * 4
        end = 14 + struct.unpack_from(">H", frame, 16)[0]
        protocol = frame[23]
    elif kind == 0x86DD:
        start, protocol = 54, frame[20]
        end = 54 + struct.unpack_from(">H", frame, 18)[0]
    else:
        return None
    if protocol != 6 or len(frame) < start + 20:
        return None
    source, destination = struct.unpack_from(">HH", frame, start)
    data = frame[start + (frame[start + 12] >> 4) * 4:end]
    return (source, destination, data) if data else None
