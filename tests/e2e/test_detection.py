"""What a connection speaks: TLS, HTTP/1, HTTP/2 or neither; servers that speak first; PROXY headers; passthrough by SNI."""
import json
import re
import socket
import ssl
import struct
import time

import pytest

from lab import bootstrap, cluster, http_listener, need_program, route, tcp_listener, virtual_host
from lab.http2 import Http2Client
from test_http2 import FORWARD, tulle

FILTERS = "type.googleapis.com/envoy.extensions.filters.listener."
TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
INSPECTORS = [{"name": name, "typed_config": {"@type": f"{FILTERS}{name}.v3.{kind}"}}
              for name, kind in (("tls_inspector", "TlsInspector"), ("http_inspector", "HttpInspector"))]


def filters(listener):
    return listener["filter_chains"][0]["filters"]


def detecting(port, http="up", plain="bytes", tls=(), **more):
    """HTTP goes to one cluster, TLS by server name to others, all else to a third."""
    chains = [{"filter_chain_match": {"application_protocols": ["http/1.0", "http/1.1", "h2c"]},
               "filters": filters(http_listener(port, virtual_host(route(to=http))))}]
    for names, to in tls:
        chains.append({"filter_chain_match": {"transport_protocol": "tls", "server_names": names}, "filters": filters(tcp_listener(port, to))})
    chains.append({"filter_chain_match": {}, "filters": filters(tcp_listener(port, plain))})
    return {"name": f"detect_{port}", "address": {"socket_address": {"address": "::", "port_value": port, "ipv4_compat": True}},
            "filter_chains": chains, "listener_filters": INSPECTORS, **more}


class Mixed:
    """A proxy that detects, with an HTTP origin and one of bytes behind it."""

    def __init__(self, lab, serve, start_proxy=tulle, **more):
        self.lab, self.client, server = lab, lab.host("client"), lab.host("server")
        self.http, self.bytes = lab.origin(server), lab.origin(server, serve=serve)
        self.proxy = start_proxy(lab, self.client, bootstrap(
            [detecting(10000, **more)], [cluster("up", self.http.address), cluster("bytes", self.bytes.address)]))

    def stats(self):
        return self.lab.admin(self.proxy, "/stats").text


def echo(connection):
    while data := connection.recv(65536):
        connection.sendall(data)


def greet(connection):
    connection.sendall(b"220 mail.test ESMTP\r\n")
    while data := connection.recv(65536):
        connection.sendall(b"250 " + data)


def test_each_protocol_finds_its_chain(lab, start_proxy):
    mixed = Mixed(lab, echo, start_proxy)
    assert mixed.client.get(10000, "/one").status == 200
    with Http2Client(mixed.client.connect(10000).socket) as client:
        assert client.exchange(path="/two").status == 200
    with mixed.client.connect(10000) as client:
        client.send("\x00\x01 no protocol at all\n")
        assert client.read(22) == b"\x00\x01 no protocol at all\n"[:22]
    with mixed.client.connect(10000, "::1") as client:
        assert client.exchange("GET", "/six").status == 200
    assert [request.target for request in mixed.http.take()] == ["/one", "/two", "/six"]


@pytest.mark.parametrize("cut", [1, 3, 9, 17, 23])
def test_what_comes_in_pieces_is_detected_all_the_same(lab, cut):
    mixed = Mixed(lab, echo)
    for whole, answer in ((b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 200"), (b"PRI * HTTP/1.x is no preface\r\n\r\n", b"PRI * HTTP/1.x")):
        with mixed.client.connect(10000) as client:
            for at in range(0, len(whole), cut):
                client.send(whole[at:at + cut])
                time.sleep(0.002)
            assert client.read(len(answer)) == answer
    # Cut in the first bytes, and slower than the silence after which the upstream is asked.
    with mixed.client.connect(10000) as client:
        time.sleep(0.2)
        client.send("G")
        time.sleep(0.2)
        client.send("ET /late HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.response().status == 200
    assert mixed.http.take()[-1].target == "/late"


def test_a_server_that_speaks_first_does_not_hang(lab):
    """SMTP and MySQL: the client waits for a greeting. It comes at once, and the next time with no wait at all."""
    mixed = Mixed(lab, greet)
    for number in range(4):
        began = time.monotonic()
        with mixed.client.connect(10000) as client:
            assert client.read_until(b"\r\n") == b"220 mail.test ESMTP\r\n"
            assert time.monotonic() - began < 2
            client.send("EHLO me\r\n")
            assert client.read_until(b"\r\n") == b"250 EHLO me\r\n"
    assert not mixed.http.take()
    text = mixed.stats()
    assert re.search(r"listener\.server_first: 4", text), text
    assert "listener.detection_ms" in text


def test_a_slow_client_is_not_taken_for_a_silent_one(lab):
    """The upstream was asked and said nothing: HTTP that comes late is HTTP, also where another server spoke first before."""
    mixed = Mixed(lab, lambda connection: greet(connection) if mixed.speaks else echo(connection))
    mixed.speaks = True
    with mixed.client.connect(10000) as client:
        client.read_until(b"\r\n")
    mixed.speaks = False
    for wait in (0, 0.01, 0.06, 0.3):
        with mixed.client.connect(10000) as client:
            time.sleep(wait)
            assert client.exchange("GET", f"/after/{wait}").status == 200
            assert client.exchange("GET", f"/again/{wait}").status == 200
        with mixed.client.connect(10000) as client:
            time.sleep(wait)
            client.send("\x00bytes").end()
            assert client.read_all() == b"\x00bytes"
    assert len(mixed.http.take()) == 8


def test_a_silent_client_of_a_server_that_is_away_may_still_speak_http(lab):
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server)
    tulle(lab, client, bootstrap([detecting(10000)], [cluster("up", origin.address), cluster("bytes", (server.ipv4, 9))]))
    with client.connect(10000) as connection:
        time.sleep(0.4)
        assert connection.exchange("GET", "/").status == 200


def test_a_client_that_only_ends_its_side_is_relayed(lab):
    def serve(connection):
        assert connection.recv(1) == b""
        connection.sendall(b"bye")
    mixed = Mixed(lab, serve)
    with mixed.client.connect(10000) as client:
        time.sleep(0.2)
        assert client.end().read_all() == b"bye"


def test_detection_ends_in_time(lab, start_proxy):
    """Bytes that might still become something: after listener_filters_timeout they are refused, or go on as they are."""
    mixed = Mixed(lab, echo, start_proxy, listener_filters_timeout="0.4s")
    for first in ("GET", ""):
        with mixed.client.connect(10000) as client:
            client.send(first)
            assert client.is_closed()
    other = bootstrap([detecting(10001, listener_filters_timeout="0.4s", continue_on_listener_filters_timeout=True)],
                      [cluster("up", mixed.http.address), cluster("bytes", mixed.bytes.address)], admin_port=15001)
    lab.start(mixed.proxy.argv[0], "-c", lab.write("other.json", json.dumps(other)), *(("--disable-hot-restart",) if start_proxy.kind == "envoy" else ()),
              host=mixed.client).wait_for_port(10001)
    with mixed.client.connect(10001) as client:
        client.send("GET")
        assert client.read(3) == b"GET"
    with mixed.client.connect(10001) as client:
        assert not client.is_closed(within=0.8)
        assert client.send("\x00late").read(5) == b"\x00late"


def test_a_server_that_spoke_first_is_no_longer_detected(lab):
    """The end of listener_filters_timeout is for connections on which nobody has spoken."""
    mixed = Mixed(lab, greet, listener_filters_timeout="0.4s")
    with mixed.client.connect(10000) as client:
        assert client.read_until(b"\r\n") == b"220 mail.test ESMTP\r\n"
        assert not client.is_closed(within=0.8)
        assert client.send("EHLO me\r\n").read_until(b"\r\n") == b"250 EHLO me\r\n"


# ---------------------------------------------------------------- TLS

def tls_server(pki, name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pki.leaf(name.split(".")[0], f"DNS:{name}"))

    def serve(connection):
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.sendall(f"this is {name}".encode())
            wrapped.unwrap()
    return serve


def tls_get(host, port, name, ca, send=b"", alpn=()):
    context = ssl.create_default_context(cafile=ca)
    if alpn:
        context.set_alpn_protocols(alpn)
    with context.wrap_socket(host.connect(port).socket, server_hostname=name) as client:
        if send:
            client.sendall(send)
        got = b""
        while data := client.recv(65536):
            got += data
        return got, client.selected_alpn_protocol()


def test_tls_passes_through_by_server_name(lab, start_proxy):
    client, server, pki = lab.host("client"), lab.host("server"), lab.pki()
    one, two = (lab.origin(server, serve=tls_server(pki, name)) for name in ("one.test", "deep.two.test"))
    origin = lab.origin(server, serve=echo)
    start_proxy(lab, client, bootstrap(
        [detecting(10000, tls=[(["one.test"], "one"), (["*.two.test"], "two")])],
        [cluster("one", one.address), cluster("two", two.address), cluster("up", origin.address), cluster("bytes", origin.address)]))
    assert tls_get(client, 10000, "one.test", pki.ca)[0] == b"this is one.test"
    assert tls_get(client, 10000, "deep.two.test", pki.ca)[0] == b"this is deep.two.test"


def test_certificates_are_chosen_by_server_name(lab, start_proxy):
    """Terminated: each name has its chain and certificate; a name that nobody serves gets no handshake."""
    client, server, pki = lab.host("client"), lab.host("server"), lab.pki()
    origin = lab.origin(server)
    chains = []
    for name in ("one.test", "two.test"):
        certificate, key = pki.leaf(name.split(".")[0], f"DNS:{name}")
        chains.append({"filter_chain_match": {"server_names": [name]},
                       "filters": filters(http_listener(10000, virtual_host(route(to="up"), name=name.split(".")[0]),
                                                        server_name=name)),
                       "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {
                           "@type": TLS + "DownstreamTlsContext", "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [
                               {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}]}}}})
    start_proxy(lab, client, bootstrap([{"name": "edge", "address": {"socket_address": {"address": "0.0.0.0", "port_value": 10000}},
                                         "filter_chains": chains, "listener_filters": INSPECTORS[:1]}], [cluster("up", origin.address)]))
    for name in ("one.test", "two.test"):
        done = client.run("curl", "-sSi", "--cacert", pki.ca, "--resolve", f"{name}:10000:127.0.0.1", f"https://{name}:10000/")
        assert "200" in done.stdout.split("\n")[0] and f"server: {name}" in done.stdout.lower()
    done = client.run("curl", "-sS", "-k", "--resolve", "no.test:10000:127.0.0.1", "https://no.test:10000/", check=False)
    assert done.returncode != 0


def test_tls_is_originated_with_a_server_name(lab, start_proxy):
    client, server, pki = lab.host("client"), lab.host("server"), lab.pki()
    seen = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pki.leaf("up", "DNS:up.test"))
    context.sni_callback = lambda connection, name, _: seen.append(name)

    def serve(connection):
        with context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(65536)
            wrapped.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            wrapped.recv(1)
    origin = lab.origin(server, serve=serve)
    start_proxy(lab, client, bootstrap([http_listener(10000, FORWARD)], [cluster("up", origin.address, transport_socket={
        "name": "envoy.transport_sockets.tls", "typed_config": {"@type": TLS + "UpstreamTlsContext", "sni": "up.test", "common_tls_context": {
            "validation_context": {"trusted_ca": {"filename": pki.ca}}}}})]))
    assert client.get(10000).body == b"ok" and seen == ["up.test"]


# ---------------------------------------------------------------- PROXY protocol

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(source, destination, ports, family=0x11, command=0x21, more=b""):
    body = source + destination + struct.pack(">HH", *ports) + more
    return SIGNATURE + bytes([command, family]) + struct.pack(">H", len(body)) + body


V4 = socket.inet_aton("203.0.113.7"), socket.inet_aton("192.0.2.1"), (4711, 443)
V6 = socket.inet_pton(socket.AF_INET6, "2001:db8::7"), socket.inet_pton(socket.AF_INET6, "2001:db8::1"), (4711, 443)


def with_header(lab, start_proxy, detects=False, **options):
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server)
    listener = detecting(10000, plain="up") if detects else http_listener(10000, FORWARD)
    manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
    manager["use_remote_address"] = True
    listener["listener_filters"] = [{"name": "proxy", "typed_config": {
        "@type": FILTERS + "proxy_protocol.v3.ProxyProtocol", **options}}] + (INSPECTORS if detects else [])
    start_proxy(lab, client, bootstrap([listener], [cluster("up", origin.address)]))
    return client, origin


@pytest.mark.parametrize("detects", [False, True])
@pytest.mark.parametrize("name,header,seen", [
    ("v1", b"PROXY TCP4 203.0.113.7 192.0.2.1 4711 443\r\n", "203.0.113.7"),
    ("v1 IPv6", b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n", "2001:db8::7"),
    ("v1 unknown", b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    ("v2", v2(*V4), "203.0.113.7"),
    ("v2 IPv6", v2(*V6, family=0x21), "2001:db8::7"),
    ("v2 local", SIGNATURE + b"\x20\0\0\0", "127.0.0.1"),
    ("v2 with TLVs", v2(*V4, more=b"\x04\0\x03abc"), "203.0.113.7"),
])
def test_proxy_headers_tell_the_client(lab, start_proxy, detects, name, header, seen):
    client, origin = with_header(lab, start_proxy, detects)
    with client.connect(10000) as connection:
        for at in range(0, len(header), 5):
            connection.send(header[at:at + 5])
            time.sleep(0.001)
        assert connection.exchange("GET", "/").status == 200
        assert connection.exchange("GET", "/").status == 200
    told = {request.header("x-forwarded-for") for request in origin.take()}
    # For a client on loopback Envoy tells the host's address.
    assert told == {seen} or (seen == "127.0.0.1" and told == {client.ipv4})


@pytest.mark.parametrize("name,header", [
    ("none", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("v1 family", b"PROXY TCP9 203.0.113.7 192.0.2.1 4711 443\r\n"),
    ("v1 words", b"PROXY TCP4 203.0.113.7 192.0.2.1 4711\r\n"),
    ("v1 address", b"PROXY TCP4 203.0.113.777 192.0.2.1 4711 443\r\n"),
    ("v1 port", b"PROXY TCP4 203.0.113.7 192.0.2.1 70000 443\r\n"),
    ("v1 endless", b"PROXY UNKNOWN " + b"x" * 107),
    ("v2 version", v2(*V4, command=0x31)),
    ("v2 command", v2(*V4, command=0x22)),
    ("v2 short", SIGNATURE + b"\x21\x11\0\x04abcd"),
])
def test_malformed_proxy_headers_are_refused(lab, name, header):
    client, origin = with_header(lab, tulle)
    with client.connect(10000) as connection:
        connection.send(header + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.read_all() == b""
    assert not origin.take()


def test_a_proxy_header_may_be_optional_and_versions_disallowed(lab):
    client, origin = with_header(lab, tulle, allow_requests_without_proxy_protocol=True, disallowed_versions=["V1"])
    assert client.get(10000).status == 200
    with client.connect(10000) as connection:
        connection.send(v2(*V4))
        assert connection.exchange("GET", "/").status == 200
    with client.connect(10000) as connection:
        connection.send(b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.read_all() == b""
    assert len(origin.take()) == 2


def test_haproxy_sends_the_header(lab):
    haproxy = need_program("haproxy")
    client, origin = with_header(lab, tulle)
    path = lab.write("haproxy.cfg", "defaults\n mode tcp\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"
                     "frontend a\n bind :9000\n default_backend b\nbackend b\n server s 127.0.0.1:10000 send-proxy-v2\n")
    lab.start(haproxy, "-f", path, "-db", host=client).wait_for_port(9000)
    assert lab.host("far").get(9000, address=client.ipv4).status == 200
    assert origin.take()[0].header("x-forwarded-for") == lab.host("far").ipv4


@pytest.mark.parametrize("version", ["V1", "V2"])
@pytest.mark.parametrize("tls", [False, True])
def test_proxy_headers_are_sent(lab, start_proxy, version, tls):
    """Bytes: the header names the client, and comes before TLS. nginx reads it."""
    client, server, pki = lab.host("client"), lab.host("server"), lab.pki()
    certificate, key = pki.leaf("up", "DNS:up.test")
    ssl_words = f"ssl_certificate {certificate}; ssl_certificate_key {key};" if tls else ""
    lab.nginx(server, f"server {{ listen 9000 {'ssl' if tls else ''} proxy_protocol; {ssl_words}"
                      " location / { return 200 \"$proxy_protocol_addr $proxy_protocol_server_port\"; } }").wait_for_port(9000)
    inner = {"name": "envoy.transport_sockets.tls", "typed_config": {"@type": TLS + "UpstreamTlsContext", "sni": "up.test", "common_tls_context": {
        "validation_context": {"trusted_ca": {"filename": pki.ca}}}}} if tls else {"name": "raw", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"}}
    up = cluster("up", (server.ipv4, 9000), transport_socket={"name": "proxy", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        "config": {"version": version}, "transport_socket": inner}})
    start_proxy(lab, client, bootstrap([tcp_listener(10000, "up")], [up]))
    far = lab.host("far")
    assert far.get(10000, address=client.ipv4).text == f"{far.ipv4} 10000"


# ---------------------------------------------------------------- addresses

def test_ipv6_and_unix_sockets(lab, start_proxy):
    """Listens on IPv6 with IPv4 in it, and on a Unix socket; forwards to IPv6 and to a Unix socket."""
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server)
    inner = f"{lab.run_folder}/inner.sock"
    documents = bootstrap(
        [http_listener(10000, FORWARD, listener={"address": {"socket_address": {"address": "::", "port_value": 10000, "ipv4_compat": True}}}),
         {**http_listener(1, virtual_host(route(to="six")), name="unix"), "address": {"pipe": {"path": inner}}}],
        [{"name": "up", "type": "STATIC", "load_assignment": {"cluster_name": "up", "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"pipe": {"path": inner}}}}]}]}}, cluster("six", (server.ipv6, origin.port))])
    start_proxy(lab, client, documents)
    for address in ("127.0.0.1", "::1", client.ipv4, client.ipv6):
        assert client.get(10000, f"/{address}", address=address).status == 200
    assert len(origin.take()) == 4


# ---------------------------------------------------------------- RBAC of bytes

@pytest.mark.parametrize("allows", [True, False])
def test_rbac_of_connections(lab, start_proxy, allows):
    client, server = lab.host("client"), lab.host("server")
    heard = []

    def serve(connection):
        while data := connection.recv(65536):
            heard.append(data)
            connection.sendall(data)
    origin = lab.origin(server, serve=serve)
    listener = tcp_listener(10000, "up")
    prefix = {"address_prefix": "127.0.0.0" if allows else "10.99.0.0", "prefix_len": 8 if allows else 16}
    listener["filter_chains"][0]["filters"].insert(0, {"name": "rbac", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC", "stat_prefix": "r", "rules": {
            "action": "ALLOW", "policies": {"p": {"permissions": [{"any": True}], "principals": [{"direct_remote_ip": prefix}]}}}}})
    start_proxy(lab, client, bootstrap([listener], [cluster("up", origin.address)]))
    with client.connect(10000) as connection:
        connection.send("hello")
        assert (connection.read(5) if allows else connection.read_all()) == (b"hello" if allows else b"")
    assert bool(heard) == allows
