"""TCP carried by CONNECT: tunneling_config in front, Envoy's CONNECT termination behind, over HTTP/1.1 and HTTP/2."""
import hashlib
import threading
import time

import pytest

from lab import Reply, bootstrap, cluster, http_listener, tcp_listener, virtual_host
from lab.config import TYPE
from lab.wire import Closed

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def terminating(port, to):
    """A listener that makes TCP connections of CONNECT requests."""
    return http_listener(
        port, virtual_host({"match": {"connect_matcher": {}}, "route": {"cluster": to, "upgrade_configs": [
            {"upgrade_type": "CONNECT", "connect_config": {}}]}}),
        upgrade_configs=[{"upgrade_type": "CONNECT"}], http2_protocol_options={"allow_connect": True})


@pytest.fixture(params=["http1", "http2"])
def tunnelled(lab, start_proxy, request):
    """tunnelled(serve): client:10000 -> CONNECT -> back -> a server that owns each connection."""
    kind = {"http1": "http_protocol_options", "http2": "http2_protocol_options"}[request.param]

    def start(serve, to="origin.test:443"):
        client, middle, server = lab.host("client"), lab.host("middle"), lab.host("server")
        start.origin = lab.origin(server, serve=serve)
        lab.envoy(middle, bootstrap([terminating(10001, "up")], [cluster("up", start.origin.address)]))
        start.back = middle
        start.proxy = start_proxy(lab, client, bootstrap(
            [tcp_listener(10000, "back", tunneling_config={"hostname": to})],
            [cluster("back", (middle.ipv4, 10001), typed_extension_protocol_options={
                OPTIONS: {"@type": TYPE + OPTIONS, "explicit_http_config": {kind: {}}}})]))
        return client
    start.kind, start.front = request.param, start_proxy.kind
    return start


def read_to_end(connection):
    digest, size = hashlib.sha256(), 0
    while piece := connection.recv(65536):
        digest.update(piece)
        size += len(piece)
    return size, digest.hexdigest()


def test_bytes_pass_both_ways_in_tunnels(tunnelled):
    def echo(connection):
        while piece := connection.recv(65536):
            connection.sendall(piece)
    client = tunnelled(echo)
    connections = [client.connect(10000) for _ in range(3)]
    for size in (1, 65536, 300000):
        for number, connection in enumerate(connections):
            data = hashlib.shake_128(b"%d %d" % (number, size)).digest(size)
            threading.Thread(target=connection.socket.sendall, args=(data,)).start()
            assert connection.read(size) == data
    for connection in connections:
        connection.close()


def test_a_tunnel_may_half_close_and_the_server_may_speak_first(tunnelled):
    def greet(connection):
        connection.sendall(b"220 hello\r\n")
        size, digest = read_to_end(connection)
        connection.sendall(f"{size} {digest}".encode())
    if tunnelled.kind == "http1":
        pytest.skip("Envoy, which ends the tunnel, takes the end of an HTTP/1 CONNECT for the end of both directions")
    client = tunnelled(greet)
    data = b"y" * 3_000_000
    with client.connect(10000, timeout=30) as connection:
        assert connection.read_until(b"\r\n") == b"220 hello\r\n"
        threading.Thread(target=lambda: (connection.socket.sendall(data), connection.end())).start()
        assert connection.read_all() == f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()


def test_a_slow_reader_holds_the_writer_of_a_tunnel(tunnelled):
    if tunnelled.front == "envoy":
        pytest.skip("our own memory is what is looked at")
    size = 60_000_000

    def pour(connection):
        connection.sendall(b"d" * size)
        connection.recv(1)  # Envoy cuts what it still holds when the server goes away
    client = tunnelled(pour)
    with client.connect(10000, timeout=60) as connection:
        connection.read(1)
        before = tunnelled.proxy.memory_kb()["rss"]
        time.sleep(1)  # nothing is to happen
        assert tunnelled.proxy.memory_kb()["rss"] < before + 16_000
        assert connection.read(size - 1) == b"d" * (size - 1)


def test_an_answer_that_is_none_ends_the_connection(lab, start_proxy):
    client, server = lab.host("client"), lab.host("server")
    asked = []

    def refuse(request):
        asked.append((request.method, request.target))
        return Reply(status=403)
    origin = lab.origin(server, answer=refuse)
    start_proxy(lab, client, bootstrap([tcp_listener(10000, "back", tunneling_config={"hostname": "origin.test:443"})],
                                       [cluster("back", origin.address)]))
    with client.connect(10000) as connection:
        try:
            assert connection.read_all() == b""
        except Closed:
            pass
    assert asked == [("CONNECT", "origin.test:443")]


def test_the_authority_may_be_where_the_client_was_going(lab, start_proxy):
    client, server = lab.host("client"), lab.host("server")
    asked = []
    origin = lab.origin(server, answer=lambda request: asked.append(request.target) or Reply(status=502))
    start_proxy(lab, client, bootstrap([tcp_listener(10000, "back", tunneling_config={"hostname": "%DOWNSTREAM_LOCAL_ADDRESS%"})],
                                       [cluster("back", origin.address)]))
    with client.connect(10000) as connection:
        try:
            connection.read_all()
        except Closed:
            pass
    assert asked == ["127.0.0.1:10000"]
