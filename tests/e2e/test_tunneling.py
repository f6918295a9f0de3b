"""TCP carried by CONNECT: tunneling_config in front, connect_config behind, each of them Tulle's and Envoy's, over HTTP/1.1 and HTTP/2."""
import hashlib
import json
import os
import threading
import time

import pytest

from lab import Reply, bootstrap, cluster, http_listener, tcp_listener, virtual_host
from lab.config import TYPE
from lab.wire import Closed

FORMAT = "%REQ(:METHOD)% %RESPONSE_CODE% %RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER%\n"
OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def terminating(port, to, log=None, **more):
    """A listener that makes TCP connections of CONNECT requests; `more` is the route's."""
    logs = [{"name": "f", "typed_config": {
        "@type": TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": log, "log_format": {
            "text_format_source": {"inline_string": FORMAT}}}}] if log else []
    return http_listener(
        port, virtual_host({"match": {"connect_matcher": {}}, "route": {"cluster": to, "upgrade_configs": [
            {"upgrade_type": "CONNECT", "connect_config": {}}], **more}}),
        upgrade_configs=[{"upgrade_type": "CONNECT"}], http2_protocol_options={"allow_connect": True}, access_log=logs)


@pytest.fixture(params=["http1-envoy", "http2-envoy", "http1-tulle", "http2-tulle"])
def tunnelled(lab, start_proxy, request):
    """tunnelled(serve): client:10000 -> CONNECT -> back -> a server that owns each connection."""
    protocol, back = request.param.split("-")
    kind = {"http1": "http_protocol_options", "http2": "http2_protocol_options"}[protocol]

    def start(serve, to="origin.test:443"):
        client, middle, server = lab.host("client"), lab.host("middle"), lab.host("server")
        start.origin = lab.origin(server, serve=serve)
        behind = lab.envoy if back == "envoy" else lab.tulle_proxy
        behind(middle, bootstrap([terminating(10001, "up")], [cluster("up", start.origin.address)]))
        start.back = middle
        start.proxy = start_proxy(lab, client, bootstrap(
            [tcp_listener(10000, "back", tunneling_config={"hostname": to})],
            [cluster("back", (middle.ipv4, 10001), typed_extension_protocol_options={
                OPTIONS: {"@type": TYPE + OPTIONS, "explicit_http_config": {kind: {}}}})]))
        return client
    start.kind, start.front, start.behind = protocol, start_proxy.kind, back
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
    if tunnelled.kind == "http1" and "envoy" in (tunnelled.front, tunnelled.behind):
        pytest.skip("Envoy takes the end of an HTTP/1 CONNECT for the end of both directions")
    client = tunnelled(greet)
    data = b"y" * 3_000_000
    with client.connect(10000, timeout=30) as connection:
        assert connection.read_until(b"\r\n") == b"220 hello\r\n"
        threading.Thread(target=lambda: (connection.socket.sendall(data), connection.end())).start()
        assert connection.read_all() == f"{len(data)} {hashlib.sha256(data).hexdigest()}".encode()


def test_a_slow_reader_holds_the_writer_of_a_tunnel(tunnelled):
    if tunnelled.front == "envoy" or tunnelled.behind == "tulle":
        pytest.skip("our own memory is what is looked at, at one of the two ends")
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


# --- connect_config alone ----------------------------------------------------------------------------------------------


def test_curl_through_the_proxy(lab, start_proxy):
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server)
    start_proxy(lab, client, bootstrap([terminating(10001, "up")], [cluster("up", origin.address)]))
    done = client.run("curl", "-sS", "--proxytunnel", "--proxy", "http://127.0.0.1:10001", "-d", "a=b", "-w", " %{http_connect} %{http_code}",
                      "http://origin.test/one", "--next", "-sS", "--proxytunnel", "--proxy", "http://127.0.0.1:10001", "http://origin.test/two")
    told = json.loads(done.stdout.partition(" 200 200")[0])
    assert told["method"] == "POST" and told["target"] == "/one"
    assert [request.target for request in origin.take()] == ["/one", "/two"]


def test_a_tunnel_is_one_line_in_the_log_and_ends_as_its_server_does(lab, start_proxy):
    client, server = lab.host("client"), lab.host("server")

    def serve(connection):
        connection.recv(5)
        connection.sendall(b"and back")
    origin, log = lab.origin(server, serve=serve), lab.path("access.log")
    proxy = start_proxy(lab, client, bootstrap([terminating(10001, "up", log=log)], [cluster("up", origin.address)]))
    with client.connect(10001) as connection:
        connection.send(b"CONNECT origin.test:1 HTTP/1.1\r\nHost: origin.test:1\r\n\r\n")
        assert connection.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")
        connection.send(b"hello")
        assert connection.read_all() == b"and back"
        connection.end()
    proxy.wait_for(lambda: os.path.exists(log) and "CONNECT" in open(log).read(), "a line in the log", 20)
    assert open(log).read() == "CONNECT 200 - 5 8 up\n"


def test_only_the_idle_timeout_ends_a_tunnel(lab, start_proxy):
    client, server = lab.host("client"), lab.host("server")

    def echo(connection):
        while piece := connection.recv(65536):
            connection.sendall(piece)
    origin = lab.origin(server, serve=echo)
    start_proxy(lab, client, bootstrap([terminating(10001, "up", timeout="0.3s", idle_timeout="1s")],
                                       [cluster("up", origin.address)]))
    with client.connect(10001) as connection:
        connection.send(b"CONNECT origin.test:1 HTTP/1.1\r\nHost: origin.test:1\r\n\r\n")
        connection.read_until(b"\r\n\r\n")
        for _ in range(4):
            connection.send(b"on")
            assert connection.read(2) == b"on"
            time.sleep(0.5)  # longer than the route's timeout in all, shorter than the idle one
        assert connection.is_closed(within=10)


@pytest.mark.parametrize("route, status", [({"cluster": "down"}, 503), ({"cluster": "none"}, 503)])
def test_a_tunnel_that_leads_nowhere_is_refused(lab, start_proxy, route, status):
    client, server = lab.host("client"), lab.host("server")
    start_proxy(lab, client, bootstrap([terminating(10001, "down", **route)],
                                       [cluster("down", (server.ipv4, 1)), cluster("none")]))
    with client.connect(10001) as connection:
        assert connection.exchange("CONNECT", "origin.test:1", host="origin.test:1").status == status
