"""HTTP/2 peers on the h2 library: a client that a test drives event by event, and an origin that answers what the test says."""
import hashlib
import socket
import threading
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings

from .origin import KEPT_BODY, Reply, Request, describe

SKIPPED = ("connection", "transfer-encoding", "keep-alive")


@dataclass
class Answer:
    """What came on one stream."""
    status: int = 0
    headers: list = field(default_factory=list)
    body: bytes = b""
    trailers: list = None
    interim: list = field(default_factory=list)
    ended: bool = False
    reset: int = None  # error code

    def header(self, name):
        values = [value for key, value in self.headers if key == name]
        return values[0] if values else None

    def trailer(self, name):
        return dict(self.trailers or []).get(name)


class Http2Client:
    """A connection with prior knowledge, or over a TLS socket that has agreed on h2. Windows are returned as bytes come;
    without credit only the connection's is."""

    def __init__(self, sock, timeout=20, credit=True, settings=None):
        self.socket, self.credit = sock, credit
        sock.settimeout(timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="utf-8", validate_outbound_headers=False, normalize_outbound_headers=False,
            validate_inbound_headers=True))
        self.h2.initiate_connection()
        if settings:
            self.h2.update_settings(settings)
        self.answers, self.goaway, self.pings, self.closed = {}, [], 0, False
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def raw(self, data):
        self.flush()
        self.socket.sendall(data)

    def request(self, method="GET", path="/", headers=(), body=None, end=True, authority="test", scheme="http", pseudo=()):
        """Begins a stream; the body, if any, is sent as the peer's windows allow."""
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method)]
        if method != "CONNECT" or pseudo:
            fields += [(":scheme", scheme), (":path", path)]
        fields += [(":authority", authority), *pseudo, *headers]
        self.answers[stream] = Answer()
        self.h2.send_headers(stream, fields, end_stream=end and body is None)
        self.flush()
        if body is not None:
            self.send(stream, body, end)
        return stream

    def send(self, stream, data, end=False):
        while data:
            room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(data))
            if room <= 0:
                self.fill()
                continue
            self.h2.send_data(stream, data[:room])
            data = data[room:]
            self.flush()
        if end:
            self.h2.end_stream(stream)
        self.flush()

    def trailers(self, stream, fields):
        self.h2.send_headers(stream, fields, end_stream=True)
        self.flush()

    def reset(self, stream, code=h2.errors.ErrorCodes.CANCEL):
        self.h2.reset_stream(stream, code)
        self.flush()

    def fill(self):
        """Receives once more. EOFError at the end of the connection."""
        data = self.socket.recv(65536)
        if not data:
            self.closed = True
            raise EOFError
        for event in self.h2.receive_data(data):
            self.take(event)
        self.flush()

    def take(self, event):
        answer = self.answers.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.InformationalResponseReceived):
            answer.interim.append(int(dict(event.headers)[":status"]))
        elif isinstance(event, h2.events.ResponseReceived):
            answer.status = int(dict(event.headers)[":status"])
            answer.headers = [pair for pair in event.headers if pair[0] != ":status"]
        elif isinstance(event, h2.events.DataReceived):
            if answer:
                answer.body += event.data
            if event.flow_controlled_length:
                if self.credit:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                else:
                    self.h2.increment_flow_control_window(event.flow_controlled_length)
        elif isinstance(event, h2.events.TrailersReceived):
            answer.trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            answer.ended = True
        elif isinstance(event, h2.events.StreamReset):
            if answer:
                answer.reset = int(event.error_code)
        elif isinstance(event, h2.events.ConnectionTerminated):
            self.goaway.append(int(event.error_code))
            if not event.error_code:  # what is under way goes on
                self.h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        elif isinstance(event, h2.events.PingAckReceived):
            self.pings += 1

    def until(self, claim):
        while not claim():
            self.fill()

    def answer(self, stream):
        """The whole answer; or as much as came before a reset."""
        answer = self.answers[stream]
        self.until(lambda: answer.ended or answer.reset is not None)
        return answer

    def head(self, stream):
        answer = self.answers[stream]
        self.until(lambda: answer.status or answer.reset is not None)
        return answer

    def body(self, stream, size):
        """Waits for so many bytes of the answer's body."""
        answer = self.answers[stream]
        self.until(lambda: len(answer.body) >= size or answer.ended or answer.reset is not None)
        return answer.body

    def exchange(self, *arguments, **more):
        return self.answer(self.request(*arguments, **more))

    def ping(self):
        before = self.pings
        self.h2.ping(b"tulle-ok")
        self.flush()
        self.until(lambda: self.pings > before)

    def until_closed(self):
        """All that comes until the peer closes."""
        try:
            while True:
                self.fill()
        except (EOFError, ConnectionResetError):
            return self


class Http2Origin:
    """
    A back end that speaks HTTP/2 with prior knowledge. answer(request) gives a Reply when the request is whole;
    on_head(conversation, stream, request), where given, sees it before its body and may answer by itself (True).
    """

    def __init__(self, host, answer=describe, on_head=None, settings=None, on_data=None):
        self.host, self.answer, self.on_head, self.settings, self.on_data = host, answer, on_head, settings or {}, on_data
        self.requests, self.connections, self.resets, self.faults = [], [], [], []
        self.changed = threading.Condition()
        with host.inside():
            self.socket = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024)
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
            self.accepted(connection)
            conversation = Http2Conversation(self, connection)
            self.connections.append(conversation)
            threading.Thread(target=conversation.run, daemon=True).start()

    def accepted(self, connection):
        """A new connection; for those who count them."""

    def wait_for(self, claim, what, timeout=15):
        with self.changed:
            if not self.changed.wait_for(claim, timeout):
                raise AssertionError(f"HTTP/2 origin: no {what} within {timeout} s; requests: {self.requests}, faults: {self.faults}")

    def take(self):
        with self.changed:
            assert not self.faults, self.faults
            taken, self.requests = self.requests, []
            return taken

    def close(self):
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        for connection in self.connections:
            try:
                connection.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Http2Conversation:
    def __init__(self, origin, sock):
        self.origin, self.socket, self.open, self.last = origin, sock, {}, 1 << 31
        self.lock = threading.RLock()
        self.waiting = {}  # stream: [bytes left, trailers or None]
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))

    def run(self):
        try:
            self.h2.initiate_connection()
            if self.origin.settings:
                self.h2.update_settings(self.origin.settings)
            self.flush()
            while data := self.socket.recv(65536):
                with self.lock:
                    for event in self.h2.receive_data(data):
                        self.take(event)
                    self.pump()
                    self.flush()
        except h2.exceptions.ProtocolError as fault:
            self.origin.faults.append(repr(fault))
        except OSError:
            pass
        finally:
            with self.origin.changed:
                self.origin.changed.notify_all()
            self.socket.close()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.socket.sendall(data)

    def take(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.begin(event)
        elif isinstance(event, h2.events.DataReceived):
            request = self.open.get(event.stream_id)
            if request:
                request.digest.update(event.data)
                if len(request.body) < KEPT_BODY:
                    request.body += event.data
                request.body_size += len(event.data)
            if self.origin.on_data:
                self.origin.on_data(self, event.stream_id, event.data)
            if event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            self.open[event.stream_id].trailers = list(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self.finish(event.stream_id)
        elif isinstance(event, h2.events.StreamReset):
            self.waiting.pop(event.stream_id, None)
            with self.origin.changed:
                self.origin.resets.append((event.stream_id, int(event.error_code)))
                self.origin.changed.notify_all()

    def begin(self, event):
        fields = dict(pair for pair in event.headers if pair[0].startswith(":"))
        headers = [pair for pair in event.headers if not pair[0].startswith(":")]
        headers.append(("host", fields.get(":authority", "")))
        request = Request(fields[":method"], fields.get(":path", ""), "HTTP/2", headers, b"", self.origin.connections.index(self))
        request.pseudo, request.digest, request.answered = fields, hashlib.sha256(), False
        self.open[event.stream_id] = request
        if self.origin.on_head and self.origin.on_head(self, event.stream_id, request):
            request.answered = True

    def finish(self, stream):
        request = self.open.pop(stream, None)
        if not request:
            return
        request.body_sha256 = request.digest.hexdigest()
        with self.origin.changed:
            self.origin.requests.append(request)
            self.origin.changed.notify_all()
        if request.answered or stream > self.last:
            return
        reply = self.origin.answer(request)
        if isinstance(reply, Reply):
            self.reply(stream, reply, request.method == "HEAD")

    def head(self, stream, status, headers=(), end=False):
        self.h2.send_headers(stream, [(":status", str(status)), *((k.lower(), v) for k, v in headers)], end_stream=end)

    def goaway(self, last):
        """Takes no stream above `last`, and goes on with the others."""
        self.h2.close_connection(last_stream_id=last)
        self.h2.state_machine.state = h2.connection.ConnectionState.SERVER_OPEN
        self.last = last

    def reply(self, stream, reply, head_only=False):
        headers = [pair for pair in reply.headers if pair[0].lower() not in SKIPPED]
        if not reply.chunked and reply.status not in (204, 304):
            headers.append(("content-length", str(len(reply.body))))
        body = b"" if head_only else reply.body
        self.head(stream, reply.status, headers, end=not body and not reply.trailers)
        if body or reply.trailers:
            self.waiting[stream] = [body, reply.trailers]
            self.pump()

    def pump(self):
        """Sends what waits, as far as the windows go."""
        for stream in list(self.waiting):
            body, trailers = self.waiting[stream]
            while body:
                room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(body))
                if room <= 0:
                    break
                self.h2.send_data(stream, body[:room], end_stream=room == len(body) and not trailers)
                body = body[room:]
            self.waiting[stream][0] = body
            if not body:
                if trailers:
                    self.h2.send_headers(stream, [(k.lower(), v) for k, v in trailers], end_stream=True)
                del self.waiting[stream]
