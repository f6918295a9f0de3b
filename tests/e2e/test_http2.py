"""HTTP/2 downstream and upstream, in all four translations with HTTP/1; trailers, resets, GOAWAY, PING, windows."""
import hashlib
import json
import re
import threading
import time

import pytest

from lab import Reply, bootstrap, cluster, http_listener, need_program, route, virtual_host
from lab.http2 import Http2Client, Http2Origin
from lab.origin import describe

OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
FORWARD = virtual_host(route(to="up", route={"cluster": "up", "timeout": "30s"}))
LARGE = hashlib.shake_128(b"http2").digest(3_000_001)


def http2_cluster(name, *addresses, options=None, **more):
    return cluster(name, *addresses, typed_extension_protocol_options={
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": OPTIONS, "explicit_http_config": {"http2_protocol_options": options or {}}}}, **more)


class Setup:
    """A client host with the proxy on it, and a back end of either protocol on another host."""

    def __init__(self, lab, start_proxy, upstream="h2", answer=describe, host=FORWARD, options=None, origin=None, **listener):
        self.lab, self.client, self.server = lab, lab.host("client"), lab.host("server")
        if upstream == "h2":
            self.origin = Http2Origin(self.server, answer=answer, **(origin or {}))
            lab.origins.append(self.origin)
        else:
            self.origin = lab.origin(self.server, answer=answer)
        make = http2_cluster if upstream == "h2" else cluster
        self.proxy = start_proxy(lab, self.client, bootstrap(
            [http_listener(10000, host, **listener)],
            [make("up", self.origin.address, **({"options": options} if options and upstream == "h2" else {}))]))

    def h1(self, **more):
        return self.client.connect(10000, **more)

    def h2(self, **more):
        return Http2Client(self.client.connect(10000).socket, **more)


class Exchange:
    """One request by either protocol, and what both ends saw of it."""

    def __init__(self, setup, downstream, method="GET", path="/", headers=(), body=b"", trailers=None):
        if downstream == "h2":
            with setup.h2() as client:
                if trailers:
                    stream = client.request(method, path, headers, body, end=False)
                    client.trailers(stream, trailers)
                else:
                    stream = client.request(method, path, headers, body or None)
                answer = client.answer(stream)
                assert answer.reset is None, answer
                self.trailers, self.interim = dict(answer.trailers or []), answer.interim
        else:
            with setup.h1() as client:
                if trailers:
                    lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
                    client.send(f"{method} {path} HTTP/1.1\r\nHost: test\r\n{lines}Transfer-Encoding: chunked\r\nTE: trailers\r\n\r\n")
                    client.send(b"%x\r\n%s\r\n" % (len(body), body), b"0\r\n",
                                "".join(f"{name}: {value}\r\n" for name, value in trailers), "\r\n")
                    answer = client.response()
                else:
                    answer = client.exchange(method, path, headers=headers, body=body)
                self.trailers, self.interim = {name.lower(): value for name, value in answer.trailers}, answer.interim
        self.status, self.body, self.header = answer.status, answer.body, answer.header


translations = pytest.mark.parametrize("downstream,upstream", [(a, b) for a in ("h1", "h2") for b in ("h1", "h2")])


@translations
def test_requests_and_bodies_pass_through_every_translation(lab, start_proxy, downstream, upstream):
    setup = Setup(lab, start_proxy, upstream, answer=lambda request: Reply(
        status=int(request.header("x-want") or 200), body=request.body and LARGE,
        headers=[("X-Seen", request.body_sha256), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")]))
    got = Exchange(setup, downstream, "POST", "/a?b=c", [("x-one", "1"), ("cookie", "k=v; l=w")], LARGE)
    assert got.status == 200 and got.body == LARGE and got.header("x-seen") == hashlib.sha256(LARGE).hexdigest()
    request, = setup.origin.take()
    assert request.method == "POST" and request.target == "/a?b=c" and request.header("host") == "test"
    assert request.header("x-one") == "1" and "; ".join(request.all("cookie")) == "k=v; l=w"
    for method, status in (("GET", 204), ("GET", 304), ("HEAD", 200), ("DELETE", 200), ("GET", 404)):
        got = Exchange(setup, downstream, method, headers=[("x-want", str(status))])
        assert (got.status, got.body) == (status, b""), (method, status)
    assert [request.method for request in setup.origin.take()] == ["GET", "GET", "HEAD", "DELETE", "GET"]


@translations
def test_trailers_pass_both_ways(lab, downstream, upstream):
    setup = Setup(lab, tulle, upstream, answer=lambda request: Reply(
        body=b"hello", chunked=True, headers=[("Trailer", "x-sum")],
        trailers=[("x-sum", dict(request.trailers).get("x-check", "none")), ("grpc-status", "0")]))
    got = Exchange(setup, downstream, "POST", body=b"abc", trailers=[("x-check", "42")])
    assert got.status == 200 and got.body == b"hello"
    assert got.trailers == {"x-sum": "42", "grpc-status": "0"}


def until_gone(connection):
    try:
        while connection.recv(65536):
            pass
    except ConnectionResetError:
        pass


def tulle(lab, host, document, **more):
    return lab.tulle_proxy(host, document, **more)


@translations
def test_informational_heads_pass(lab, downstream, upstream):
    if upstream == "h2":
        def on_head(conversation, stream, request):
            conversation.head(stream, 103, [("link", "</a.css>")])
        setup = Setup(lab, tulle, upstream, origin={"on_head": on_head})
    else:
        setup = Setup(lab, tulle, upstream, answer=lambda request: b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + describe(request).wire())
    got = Exchange(setup, downstream)
    assert got.status == 200 and got.interim == [103]


@translations
def test_expectations_are_answered(lab, downstream, upstream):
    setup = Setup(lab, tulle, upstream)
    got = Exchange(setup, downstream, "POST", headers=[("expect", "100-continue")], body=b"x" * 100)
    assert got.status == 200 and got.interim in ([], [100])
    assert json.loads(got.body)["body_size"] == 100


@pytest.mark.parametrize("upstream", ["h1", "h2"])
def test_100_streams_at_once_come_back_right(lab, start_proxy, upstream):
    setup = Setup(lab, start_proxy, upstream, answer=lambda request: Reply(body=request.target.encode() * 1000))
    with setup.h2() as client:
        streams = [client.request(path=f"/{number:03}") for number in range(100)]
        for number, stream in enumerate(streams):
            assert client.answer(stream).body == b"/%03d" % number * 1000
    assert len(setup.origin.take()) == 100
    if upstream == "h2":  # one connection a worker and endpoint
        assert len(setup.origin.connections) <= 2


def test_streams_beyond_the_upstreams_limit_take_another_connection(lab):
    """MAX_CONCURRENT_STREAMS of 10: 30 requests at once wait for nobody's end and none is refused; the limit of a new
    connection is known with its first SETTINGS only."""
    import h2.settings
    go = threading.Event()
    held = []

    def on_head(conversation, stream, request):
        held.append((conversation, stream))
        if len(held) == 30:
            go.set()
        return True
    setup = Setup(lab, lambda *a, **k: tulle(*a, concurrency=1, **k),
                  origin={"on_head": on_head, "settings": {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 10}})
    with setup.h2() as client:
        first = client.request()
        setup.origin.wait_for(lambda: setup.origin.requests, "request")
        streams = [first] + [client.request(path=f"/{number}") for number in range(29)]
        assert go.wait(10), f"only {len(held)} requests arrived"
        for conversation, stream in held:
            with conversation.lock:
                conversation.reply(stream, Reply(body=b"done"))
                conversation.flush()
        for stream in streams:
            assert client.answer(stream).body == b"done"
    assert 2 <= len(setup.origin.connections) <= 3


@translations
def test_a_clients_cancel_reaches_the_upstream(lab, downstream, upstream):
    begun, over = threading.Event(), threading.Event()
    if upstream == "h2":
        def on_head(conversation, stream, request):
            conversation.head(stream, 200)
            begun.set()
            return True
        setup = Setup(lab, tulle, upstream, origin={"on_head": on_head})
    else:
        setup = Setup(lab, tulle, upstream)

        def serve(connection):
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345")
            begun.set()
            until_gone(connection)
            over.set()
        setup.origin.serve = serve
    if downstream == "h2":
        with setup.h2() as client:
            stream = client.request()
            assert client.head(stream).status == 200 and begun.wait(5)
            client.reset(stream)
            if upstream == "h2":
                setup.origin.wait_for(lambda: setup.origin.resets, "reset of the stream")
            else:
                assert over.wait(5)
            client.ping()
    else:
        client = setup.h1()
        client.request("GET", "/")
        client.read_until(b"\r\n\r\n")
        assert begun.wait(5)
        client.reset()
        if upstream == "h2":
            setup.origin.wait_for(lambda: setup.origin.resets, "reset of the stream")
        else:
            assert over.wait(5)


def test_a_stalled_stream_does_not_block_its_siblings_and_holds_little(lab):
    setup = Setup(lab, tulle, "h2", answer=lambda request: Reply(body=b"s" * 30_000_000 if request.target == "/stall" else b"quick"))
    with setup.h2(credit=False) as client:
        stalled = client.request(path="/stall")
        assert client.head(stalled).status == 200
        for _ in range(20):
            assert client.exchange(path="/quick").body == b"quick"
        time.sleep(0.3)
        conversation = setup.origin.connections[0]
        waiting = sum(len(entry[0]) for conversation in setup.origin.connections for entry in conversation.waiting.values())
        assert waiting > 29_000_000, f"the proxy took {30_000_000 - waiting} bytes for a client that reads none"
        assert conversation


def test_a_request_body_stops_where_the_upstream_stops(lab):
    """The upstream gives no window: the proxy takes about two windows of the body from the client and no more."""
    import h2.settings
    setup = Setup(lab, tulle, "h2", origin={"settings": {h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 0}})
    with setup.h2() as client:
        stream = client.request("POST", body=None, end=False)
        sent = 0
        client.socket.settimeout(1)
        try:
            while sent < 5_000_000:
                client.send(stream, b"x" * 16384)
                sent += 16384
        except TimeoutError:
            pass
        assert sent <= 300_000
        client.socket.settimeout(20)
        conversation = setup.origin.connections[0]
        with conversation.lock:
            conversation.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})
            conversation.flush()
        client.send(stream, b"y" * 100_000, end=True)
        assert client.answer(stream).status == 200


def test_goaway_of_the_upstream_loses_nothing(lab):
    """H2-43: The server takes a stream, says GOAWAY for all above it, and finishes that one: the others go once more elsewhere."""
    state = {"count": 0}

    def on_head(conversation, stream, request):
        if conversation is setup.origin.connections[0] and request.target != "/warm":
            state["count"] += 1
            if state["count"] == 1:
                conversation.goaway(stream)
        return False

    def answer(request):
        return Reply(body=request.target.encode())
    setup = Setup(lab, lambda *a, **k: tulle(*a, concurrency=1, **k), "h2", answer=answer, origin={"on_head": on_head})
    with setup.h2() as client:
        assert client.exchange(path="/warm").status == 200
        streams = [client.request(path=f"/{number}") for number in range(10)]
        for number, stream in enumerate(streams):
            answer = client.answer(stream)
            assert (answer.status, answer.body) == (200, b"/%d" % number)
    assert len(setup.origin.connections) >= 2


def test_a_drain_says_goaway_and_serves_what_is_under_way(lab):
    """SIGTERM: GOAWAY at once, the stream under way ends well, then the connection closes."""
    import signal
    go = threading.Event()

    def on_head(conversation, stream, request):
        def later():
            go.wait(20)
            with conversation.lock:
                conversation.reply(stream, Reply(body=b"late"))
                conversation.flush()
        threading.Thread(target=later, daemon=True).start()
        return True
    setup = Setup(lab, tulle, "h2", origin={"on_head": on_head})
    with setup.h2() as client:
        stream = client.request()
        setup.origin.wait_for(lambda: setup.origin.requests, "request")
        setup.proxy.send_signal(signal.SIGTERM)
        client.until(lambda: client.goaway)
        assert client.goaway == [0]
        go.set()
        answer = client.answer(stream)
        assert answer.status == 200 and answer.body == b"late"
        client.until_closed()
    assert setup.proxy.wait_for_exit() == 0


def test_pings_keep_watch_over_a_silent_upstream(lab):
    """connection_keepalive: an upstream that answers no PING loses the connection, and the request fails in time."""
    hung = threading.Event()

    def serve(connection):
        connection.sendall(b"\0\0\0\4\0\0\0\0\0")  # SETTINGS, then silence
        until_gone(connection)
        hung.set()
    setup = Setup(lab, tulle, "h1")
    setup.origin.serve = serve
    document = bootstrap([http_listener(10001, FORWARD)], [http2_cluster("up", setup.origin.address, options={
        "connection_keepalive": {"interval": "0.3s", "timeout": "0.3s"}})], admin_port=15001)
    proxy = lab.start(setup.proxy.argv[0], "-c", lab.write("ping.yaml", json.dumps(document)), "--concurrency", 1, host=setup.client, ours=True)
    proxy.wait_for_port(10001)
    began = time.monotonic()
    assert setup.client.get(10001).status == 503
    assert time.monotonic() - began < 5 and hung.wait(5)


def test_a_ping_is_answered(lab):
    setup = Setup(lab, tulle)
    with setup.h2() as client:
        client.ping()
        assert client.exchange().status == 200
        client.ping()


# ---------------------------------------------------------------- real clients and servers

def test_curl_with_prior_knowledge(lab, start_proxy):
    setup = Setup(lab, start_proxy, "h1")
    done = setup.client.run("curl", "-sS", "--http2-prior-knowledge", "-d", "a=b", "-w", "%{http_version}", "http://127.0.0.1:10000/x")
    assert done.stdout.endswith("2") and '"body_size": 3' in done.stdout


def test_curl_by_alpn(lab):
    client, server, pki = lab.host("client"), lab.host("server"), lab.pki()
    origin = lab.origin(server)
    certificate, key = pki.leaf("edge", "DNS:edge.test")
    listener = http_listener(10000, FORWARD)
    listener["filter_chains"][0]["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": {
            "alpn_protocols": ["h2", "http/1.1"],
            "tls_certificates": [{"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}]}}}
    lab.tulle_proxy(client, bootstrap([listener], [cluster("up", origin.address)]))
    for option, version in (("--http2", "2"), ("--http1.1", "1.1")):
        done = client.run("curl", "-sS", "--cacert", pki.ca, "--resolve", "edge.test:10000:127.0.0.1", option, "-w", "%{http_version}",
                          "-o", "/dev/null", "https://edge.test:10000/")
        assert done.stdout == version


def test_nghttp_to_nghttpd(lab):
    nghttpd, nghttp = need_program("nghttpd"), need_program("nghttp")
    client, server = lab.host("client"), lab.host("server")
    lab.write("big", LARGE)
    peer = lab.start(nghttpd, "--no-tls", "-d", lab.folder, "9000", host=server)
    peer.wait_for_port(9000)
    lab.tulle_proxy(client, bootstrap([http_listener(10000, FORWARD)], [http2_cluster("up", (server.ipv4, 9000))]))
    done = client.run(nghttp, "-n", "-m", "20", "-s", "--no-dep", "http://127.0.0.1:10000/big")
    assert done.stdout.count(" 200 ") == 20
    done = client.run("curl", "-sS", "--http2-prior-knowledge", "http://127.0.0.1:10000/big", "-o", lab.path("got"))
    with open(lab.path("got"), "rb") as file:
        assert file.read() == LARGE


def test_nginx_over_tls_by_alpn(lab):
    """auto_config: what nginx agrees on by ALPN is spoken; h2 here."""
    client, server, pki = lab.host("client"), lab.host("server"), lab.pki()
    certificate, key = pki.leaf("up", "DNS:up.test")
    lab.nginx(server, f"server {{ listen 9443 ssl http2; ssl_certificate {certificate}; ssl_certificate_key {key};"
                      f" location / {{ add_header x-protocol $server_protocol; return 200 \"hello\"; }} }}").wait_for_port(9443)
    up = cluster("up", (server.ipv4, 9443), typed_extension_protocol_options={
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"@type": OPTIONS, "auto_config": {}}},
        transport_socket={"name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni": "up.test",
            "common_tls_context": {"validation_context": {"trusted_ca": {"filename": pki.ca}}}}})
    lab.tulle_proxy(client, bootstrap([http_listener(10000, FORWARD)], [up]))
    response = client.get(10000)
    assert response.status == 200 and response.header("x-protocol") == "HTTP/2.0"


@pytest.mark.parametrize("upstream", ["h1", "h2"])
def test_h2load_loses_nothing(lab, upstream):
    client, server = lab.host("client"), lab.host("server")
    if upstream == "h2":
        lab.write("small", b"x" * 1000)
        lab.start(need_program("nghttpd"), "--no-tls", "-d", lab.folder, "9000", host=server).wait_for_port(9000)
        up = http2_cluster("up", (server.ipv4, 9000))
    else:
        lab.nginx(server, "server { listen 9000; location / { return 200 \"hello\"; } }").wait_for_port(9000)
        up = cluster("up", (server.ipv4, 9000))
    lab.tulle_proxy(client, bootstrap([http_listener(10000, FORWARD)], [up]))
    done = client.run(need_program("h2load"), "-n", "5000", "-c", "10", "-m", "50", "http://127.0.0.1:10000/small", timeout=120)
    assert re.search(r"5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed", done.stdout), done.stdout
