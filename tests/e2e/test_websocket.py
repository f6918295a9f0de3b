"""WebSocket and CONNECT: over HTTP/1's upgrade and HTTP/2's extended CONNECT (RFC 8441), in all combinations."""
import os
import socket
import struct
import threading
import time

import pytest
import websockets.sync.client
import websockets.sync.server

from h2.settings import SettingCodes
from lab import bootstrap, cluster, http_listener, route, virtual_host
from lab.http2 import Http2Client, Http2Origin
from test_http2 import FORWARD, Setup, http2_cluster, tulle

UPGRADES = [{"upgrade_type": "websocket"}]
CONNECTS = {"allow_connect": True}


def frame(payload, masked):
    """One text frame (RFC 6455 5.2)."""
    size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + struct.pack(">H", len(payload))
    if not masked:
        return b"\x81" + size + payload
    mask = os.urandom(4)
    return b"\x81" + bytes([size[0] | 0x80]) + size[1:] + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def unmask(data):
    size, at = data[1] & 0x7f, 2
    if size == 126:
        size, at = struct.unpack(">H", data[2:4])[0], 4
    mask, payload = data[at:at + 4], data[at + 4:at + 4 + size]
    assert data[1] & 0x80 and len(payload) == size
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


class WebSocketServer:
    """websockets over HTTP/1 on a host: echoes."""

    def __init__(self, lab, host):
        self.heads = []
        with host.inside():
            self.socket = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
        self.address = host.ipv4, self.socket.getsockname()[1]
        self.server = websockets.sync.server.serve(self.echo, sock=self.socket, max_size=None)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        lab.origins.append(self)

    def echo(self, connection):
        self.heads.append(connection.request)
        for message in connection:
            connection.send(message)

    def close(self):
        self.server.shutdown()


def http2_origin(setup_lab, host):
    """An HTTP/2 server of WebSockets that knows nothing of keys: echoes the first frame's payload."""
    def on_head(conversation, stream, request):
        assert request.method == "CONNECT" and request.pseudo[":protocol"] == "websocket", request.pseudo
        conversation.head(stream, 200)
        return True

    def on_data(conversation, stream, data):
        if data:
            is_close = data[0] == 0x88
            conversation.h2.send_data(stream, bytes([data[0]]) + frame(unmask(data), False)[1:], end_stream=is_close)
    origin = Http2Origin(host, on_head=on_head, on_data=on_data, settings={SettingCodes.ENABLE_CONNECT_PROTOCOL: 1})
    setup_lab.origins.append(origin)
    return origin


def proxy_for(lab, up, concurrency=2, **listener):
    listener.setdefault("upgrade_configs", UPGRADES)
    listener.setdefault("http2_protocol_options", CONNECTS)
    return lab.tulle_proxy(lab.host("client"), bootstrap([http_listener(10000, FORWARD, **listener)], [up]), concurrency=concurrency)


def connect(host, **more):
    return websockets.sync.client.connect("ws://test/chat", sock=host.connect(10000).socket, max_size=None, proxy=None, **more)


def check_by_http1(host):
    with connect(host) as client:
        for message in ("hello", "", "x" * 100):
            client.send(message)
            assert client.recv(timeout=10) == message


def check_by_http2(host):
    with Http2Client(host.connect(10000).socket) as client:
        client.until(lambda: client.h2.remote_settings.enable_connect_protocol == 1)
        stream = client.request("CONNECT", "/chat", pseudo=[(":protocol", "websocket")], end=False,
                                headers=[("sec-websocket-version", "13"), ("origin", "http://test")])
        answer = client.head(stream)
        assert answer.status == 200 and not answer.header("sec-websocket-accept") and not answer.header("upgrade")
        client.send(stream, frame(b"hello", True))
        assert client.body(stream, 7) == frame(b"hello", False)
        # Other streams go on beside it.
        client.ping()
        client.send(stream, frame(b"again", True))
        assert client.body(stream, 14) == frame(b"hello", False) + frame(b"again", False)


@pytest.mark.parametrize("upstream", ["h1", "h2"])
@pytest.mark.parametrize("downstream", ["h1", "h2"])
def test_every_combination(lab, downstream, upstream):
    server = lab.host("server")
    if upstream == "h1":
        origin = WebSocketServer(lab, server)
        up = cluster("up", origin.address)
    else:
        up = http2_cluster("up", http2_origin(lab, server).address, options=CONNECTS)
    proxy_for(lab, up)
    (check_by_http1 if downstream == "h1" else check_by_http2)(lab.host("client"))


@pytest.mark.parametrize("between", ["h1", "h2"])
def test_through_two_proxies(lab, between):
    """websockets on both ends; the key and its proof pass over HTTP/2."""
    server = lab.host("server")
    origin = WebSocketServer(lab, server)
    lab.tulle_proxy(server, bootstrap([http_listener(15006, FORWARD, upgrade_configs=UPGRADES)], [cluster("up", origin.address)]))
    make = cluster if between == "h1" else http2_cluster
    proxy_for(lab, make("up", (server.ipv4, 15006)))
    with connect(lab.host("client")) as client:
        big = os.urandom(3_000_000)
        client.send(big)
        assert client.recv(timeout=30) == big
        client.send("bye")
        assert client.recv(timeout=10) == "bye"
        client.close(1000, "done")
    assert client.close_code == 1000


def test_subprotocols_and_refusals_of_the_server_pass(lab):
    server = lab.host("server")
    origin = lab.origin(server, answer=lambda request: b"HTTP/1.1 401 No\r\nContent-Length: 2\r\nX-Why: cookie\r\n\r\nno")
    proxy_for(lab, cluster("up", origin.address))
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        connect(lab.host("client"))
    assert refused.value.response.status_code == 401 and refused.value.response.headers["x-why"] == "cookie"


def test_what_is_not_configured_is_refused(lab, start_proxy):
    """No upgrade_configs: 403 and nothing upstream; the connection can be used again where its protocol allows."""
    setup = Setup(lab, start_proxy, "h1")
    response = setup.client.get(10000, "/", headers=[
        ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="), ("Sec-WebSocket-Version", "13")])
    assert response.status == 403
    assert not setup.origin.take()


def test_extended_connect_that_is_not_offered_is_a_stream_error(lab):
    setup = Setup(lab, tulle, "h1")
    with setup.h2() as client:
        stream = client.request("CONNECT", "/", pseudo=[(":protocol", "websocket")], end=False)
        assert client.answer(stream).reset is not None
        assert client.exchange().status == 200
    assert len(setup.origin.take()) == 1


def test_an_upgrade_to_something_else(lab):
    """Any protocol that is configured: bytes both ways, and each end by itself."""
    def serve(connection):
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        assert b"upgrade: tulle-test\r\n" in head.lower() and b"connection: upgrade" in head.lower()
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: tulle-test\r\n\r\nfirst")
        got = b""
        while data := connection.recv(65536):
            got += data
        connection.sendall(b"got " + got)
    setup = Setup(lab, tulle, "h1", upgrade_configs=[{"upgrade_type": "tulle-test"}])
    setup.origin.serve = serve
    with setup.h1() as client:
        client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: tulle-test\r\n\r\nearly")
        assert client.response().status == 101
        assert client.read(5) == b"first"
        client.send(" late").end()
        assert client.read_all() == b"got early late"


@pytest.mark.parametrize("downstream,upstream", [(a, b) for a in ("h1", "h2") for b in ("h1", "h2")])
def test_connect_where_it_is_configured(lab, downstream, upstream):
    host = virtual_host({"match": {"connect_matcher": {}}, "route": {"cluster": "up"}})
    listener = {"upgrade_configs": [{"upgrade_type": "CONNECT"}], "http2_protocol_options": CONNECTS}
    if upstream == "h2":
        def on_head(conversation, stream, request):
            assert request.method == "CONNECT" and request.pseudo[":authority"] == "db.test:5432" and ":path" not in request.pseudo
            conversation.head(stream, 200)
            return True

        def on_data(conversation, stream, data):
            if data:
                conversation.h2.send_data(stream, b"<" + data + b">")
        setup = Setup(lab, tulle, "h2", host=host, origin={"on_head": on_head, "on_data": on_data}, **listener)
    else:
        def serve(connection):
            head = b""
            while b"\r\n\r\n" not in head:
                head += connection.recv(65536)
            assert head.startswith(b"CONNECT db.test:5432 HTTP/1.1\r\n")
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            while data := connection.recv(65536):
                connection.sendall(b"<" + data + b">")
        setup = Setup(lab, tulle, "h1", host=host, **listener)
        setup.origin.serve = serve
    if downstream == "h1":
        with setup.h1() as client:
            client.send("CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n\r\n")
            assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 ")
            client.send("abc")
            assert client.read(5) == b"<abc>"
    else:
        with setup.h2() as client:
            stream = client.request("CONNECT", authority="db.test:5432", end=False)
            assert client.head(stream).status == 200
            client.send(stream, b"abc")
            assert client.body(stream, 5) == b"<abc>"


def test_connect_is_refused_where_it_is_not_configured(lab):
    setup = Setup(lab, tulle, "h1")
    with setup.h1() as client:
        client.send("CONNECT db.test:5432 HTTP/1.1\r\nHost: db.test:5432\r\n\r\n")
        assert client.response().status in (403, 405)
        client.read_all()
    with setup.h2() as client:
        answer = client.exchange("CONNECT", authority="db.test:5432")
        assert answer.status in (403, 405) or answer.reset is not None
        assert client.exchange().status == 200
    assert len(setup.origin.take()) == 1


def test_after_the_upgrade_only_idleness_ends_it(lab):
    """The route's timeout is long over; nothing moved for stream_idle_timeout ends it."""
    server = lab.host("server")
    origin = WebSocketServer(lab, server)
    host = virtual_host(route(to="up", route={"cluster": "up", "timeout": "0.2s", "max_stream_duration": {"max_stream_duration": "0.2s"}}))
    lab.tulle_proxy(lab.host("client"), bootstrap([http_listener(10000, host, upgrade_configs=UPGRADES, stream_idle_timeout="1s")],
                                                  [cluster("up", origin.address)]))
    with connect(lab.host("client"), ping_interval=None) as client:
        for _ in range(6):
            client.send("x")
            assert client.recv(timeout=5) == "x"
            time.sleep(0.3)
        began = time.monotonic()
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            client.recv(timeout=10)
        assert 0.3 < time.monotonic() - began < 5
