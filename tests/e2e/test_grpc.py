"""gRPC through two proxies with mTLS between them: grpcio is the client and the server."""
import base64
import json
import os
import re
import struct
import sys
import time

import pytest

from lab import bootstrap, http_listener, route, virtual_host
from lab import grpc_peer
from test_http2 import Setup, http2_cluster
from test_mtls import tls_in, tls_out

PEER = grpc_peer.__file__
STATS = {"name": "grpc_stats", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", "stats_for_all_methods": True}}
ROUTER = {"name": "envoy.filters.http.router", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}


class Pair:
    """A client and a server on hosts of their own, a proxy beside each, HTTP/2 with mTLS between these; `behind` makes the
    cluster of the server, on its port 9000."""

    def __init__(self, lab, start_proxy, outbound=None, serves=True, filters=(ROUTER,), behind=http2_cluster):
        self.lab, self.client, self.server = lab, lab.host("client"), lab.host("server")
        pki = lab.pki()
        web, cart = "spiffe://mesh.test/ns/shop/sa/web", "spiffe://mesh.test/ns/shop/sa/cart"
        client_leaf, server_leaf = pki.leaf("web", f"URI:{web}"), pki.leaf("cart", f"URI:{cart}")
        if serves:
            lab.start(sys.executable, PEER, "serve", 9000, host=self.server).wait_for_log("serving")
        forward = virtual_host(route(to="up"))
        inbound = http_listener(15006, forward)
        inbound["filter_chains"][0]["transport_socket"] = tls_in(server_leaf, pki.ca, web)
        inbound["filter_chains"][0]["transport_socket"]["typed_config"]["common_tls_context"]["alpn_protocols"] = ["h2", "http/1.1"]
        self.inbound = start_proxy(lab, self.server, bootstrap([inbound], [behind("up", ("127.0.0.1", 9000))]))
        up = http2_cluster("up", (self.server.ipv4, 15006), transport_socket=tls_out(client_leaf, pki.ca, cart))
        up["transport_socket"]["typed_config"]["common_tls_context"]["alpn_protocols"] = ["h2"]
        self.outbound = start_proxy(lab, self.client, bootstrap(
            [http_listener(10000, outbound or forward, http_filters=list(filters))], [up]))

    def calls(self, *calls):
        done = self.client.run(sys.executable, PEER, "call", "127.0.0.1:10000", json.dumps(list(calls)), timeout=90,
                               env={"GRPC_VERBOSITY": "ERROR", "PATH": os.environ["PATH"]})
        return json.loads(done.stdout)

    def call(self, kind, method, **more):
        return self.calls({"kind": kind, "method": method, **more})[0]


def test_all_four_kinds_of_calls(lab, start_proxy):
    pair = Pair(lab, start_proxy)
    unary, client, server, bidi = pair.calls(
        {"kind": "unary", "method": "Unary", "body": "hello", "metadata": [["x-sent", "42"]]},
        {"kind": "client", "method": "ClientStream", "bodies": [["a", 10], ["b", 100_000], ["c", 3_000_000]]},
        {"kind": "server", "method": "ServerStream", "body": "200 20000"},
        {"kind": "bidi", "method": "BidiStream", "turns": 100})
    assert unary["code"] == "OK" and unary["messages"] == ["hello"]
    assert ["x-initial", "one"] in unary["initial"] and ["x-trailing", "42"] in unary["trailing"] and ["x-data-bin", "00ff"] in unary["trailing"]
    assert client["code"] == "OK" and client["messages"] == ["3100010"]
    assert server["code"] == "OK" and server["sizes"] == [20000] * 200 and server["messages"][199].startswith("00000199")
    assert bidi["code"] == "OK" and bidi["messages"] == [f"turn {number}" for number in range(100)]


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "NOT_FOUND", "UNAVAILABLE", "DATA_LOSS"])
@pytest.mark.parametrize("first", [False, True])
def test_statuses_come_in_headers_and_in_trailers(shared_pair, code, first):
    """Without a message before it a status comes in the only HEADERS, trailers-only; after one in trailers."""
    got = shared_pair.call("server", "Fail", body=json.dumps({"code": code, "text": "no \u00fcse, 100%", "message_first": first}))
    assert got["code"] == code and got["details"] == "no \u00fcse, 100%" and ["x-why", "told so"] in got["trailing"]
    assert got["messages"] == (["first"] if first else [])


@pytest.fixture(scope="module")
def shared_pair(shared_lab):
    return Pair(shared_lab, lambda lab, host, document: lab.tulle_proxy(host, document), filters=(STATS, ROUTER))


def test_a_deadline_ends_the_call(shared_pair):
    began = time.monotonic()
    assert shared_pair.call("unary", "Sleep", body="5", timeout=0.5)["code"] == "DEADLINE_EXCEEDED"
    assert time.monotonic() - began < 4


def test_statistics_of_calls(shared_pair):
    before = counters(shared_pair, "up")
    shared_pair.calls({"kind": "unary", "method": "Unary", "body": "x"}, {"kind": "bidi", "method": "BidiStream", "turns": 7},
                      {"kind": "server", "method": "Fail", "body": json.dumps({"code": "NOT_FOUND", "text": "x"})})

    def told():
        after = counters(shared_pair, "up")
        return {key: value - before.get(key, 0) for key, value in after.items() if value != before.get(key, 0)}
    shared_pair.outbound.wait_for(lambda: told().get("test.Echo.Fail.total"), "the calls' statistics")
    got = told()
    assert got["test.Echo.Unary.success"] == got["test.Echo.Unary.total"] == 1
    assert got["test.Echo.Unary.request_message_count"] == got["test.Echo.Unary.response_message_count"] == 1
    assert got["test.Echo.BidiStream.request_message_count"] == got["test.Echo.BidiStream.response_message_count"] == 7
    assert got["test.Echo.Fail.failure"] == got["test.Echo.Fail.5"] == 1 and "test.Echo.Fail.success" not in got


def counters(pair, cluster):
    lines = pair.lab.admin(pair.outbound, f"/stats?filter=cluster.{cluster}.grpc").text.splitlines()
    start = f"cluster.{cluster}.grpc."
    return {key[len(start):]: int(value) for key, _, value in (line.partition(": ") for line in lines)
            if key.startswith(start) and value.isdigit()}


@pytest.mark.parametrize("made,code", [
    ({"match": {"path": "/nothing"}, "route": {"cluster": "up"}}, "UNIMPLEMENTED"),  # no route: 404
    ({"route": {"cluster_header": "x-nowhere"}}, "UNAVAILABLE"),  # 503
    ({"direct_response": {"status": 403, "body": {"inline_string": "not you"}}}, "PERMISSION_DENIED"),
    ({"direct_response": {"status": 401}}, "UNAUTHENTICATED"),
    ({"direct_response": {"status": 429}}, "UNAVAILABLE"),
    ({"direct_response": {"status": 400}}, "INTERNAL"),
    ({"direct_response": {"status": 418}}, "UNKNOWN"),
    ({"route": {"cluster": "up", "timeout": "0.3s"}}, "UNAVAILABLE"),
])
def test_local_replies_are_statuses(lab, start_proxy, made, code):
    pair = Pair(lab, start_proxy, outbound=virtual_host({"match": {"prefix": "/"}, **made}), serves="timeout" in str(made))
    got = pair.call("unary", "Sleep", body="3")
    assert got["code"] == code
    if "inline_string" in str(made):
        assert got["details"] == "not you"


@pytest.mark.parametrize("limits,asked,lasts", [
    ({"max_stream_duration": {"grpc_timeout_header_max": "0.5s"}}, 10, 0.5),  # the route's maximum is less than what is asked
    ({"max_stream_duration": {"grpc_timeout_header_max": "0s"}, "timeout": "0s"}, 0.5, 0.5),  # what is asked
    ({"max_grpc_timeout": "0.5s"}, 10, 0.5),
])
def test_grpc_timeouts_have_a_maximum(lab, start_proxy, limits, asked, lasts):
    pair = Pair(lab, start_proxy, outbound=virtual_host(route(to="up", route={"cluster": "up", **limits})))
    began = time.monotonic()
    got = pair.call("unary", "Sleep", body="6", timeout=asked)
    assert got["code"] in ("UNAVAILABLE", "DEADLINE_EXCEEDED")
    assert lasts <= time.monotonic() - began < 5


def test_an_empty_stream_ends_with_a_data_frame(lab):
    """gRPC over HTTP/2, "Requests": grpc-go waits for it for ever, so a head and an end that met on the way part again."""
    ends = []
    setup = Setup(lab, lambda lab, host, document: lab.tulle_proxy(host, document),
                  origin={"on_data": lambda conversation, stream, data: ends.append(data)})
    with setup.h2() as client:
        for kind in ("text/plain", "application/grpc"):
            assert client.exchange("POST", "/a.Service/Method", headers=[("content-type", kind), ("te", "trailers")]).status == 200
            assert ends == ([b""] if kind == "application/grpc" else [])


def test_a_stream_outlives_the_routes_timeout(lab, start_proxy):
    """A route's timeout begins with the request's end: a stream whose client goes on talking has none."""
    pair = Pair(lab, start_proxy, outbound=virtual_host(route(to="up", route={"cluster": "up", "timeout": "0.05s"})))
    got = pair.call("bidi", "BidiStream", turns=300)
    assert got["code"] == "OK" and len(got["messages"]) == 300


# ---------------------------------------------------------------- gRPC-Web

WEB = {"name": "envoy.filters.http.grpc_web", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"}}


def message(payload, flag=0):
    return struct.pack(">BI", flag, len(payload)) + payload


def messages(body):
    """[(flag, payload)] of a body."""
    out = []
    while body:
        flag, size = struct.unpack(">BI", body[:5])
        assert len(body) >= 5 + size
        out.append((flag, body[5:5 + size]))
        body = body[5 + size:]
    return out


def decode(text):
    """Base64 that is padded wherever the sender flushed."""
    return b"".join(base64.b64decode(text[at:at + 4]) for at in range(0, len(text), 4))


@pytest.fixture(scope="module", params=["tulle", "envoy"])
def web_pair(shared_lab, request):
    return Pair(Part(shared_lab, request.param), lambda lab, host, document: getattr(lab, {"tulle": "tulle_proxy"}.get(
        request.param, request.param))(host, document), filters=(WEB, ROUTER))


class Part:
    """The same lab with hosts of its own, for the second proxy of a module."""

    def __init__(self, lab, prefix):
        self.lab, self.prefix = lab, prefix

    def __getattr__(self, name):
        return getattr(self.lab, name)

    def host(self, name):
        return self.lab.host(f"{self.prefix}{name}")

    def pki(self):
        return type(self.lab.pki())(self.lab.path(f"{self.prefix}-pki"))


@pytest.mark.parametrize("text", [False, True])
def test_grpc_web(web_pair, text):
    """A browser's call by HTTP/1: binary and base64, one message and many, statuses in the body's last message."""
    def ask(method, payload):
        kind = "application/grpc-web-text+proto" if text else "application/grpc-web+proto"
        body = message(payload)
        response = web_pair.client.get(10000, f"/test.Echo/{method}", method="POST", body=base64.b64encode(body) if text else body,
                                       headers=[("Content-Type", kind), ("Accept", kind), ("X-Grpc-Web", "1"), ("x-sent", "browser")])
        assert response.status == 200 and response.header("content-type") == kind
        return response, messages(decode(response.body) if text else response.body)
    response, (first, last) = ask("Unary", b"hello")
    assert first == (0, b"hello") and last[0] == 0x80
    assert b"grpc-status: 0\r\n" in last[1].replace(b":0", b": 0") and b"x-trailing" in last[1] and b"browser" in last[1]
    assert response.header("x-initial") == "one"
    many = ask("ServerStream", b"50 1000")[1]
    assert [len(payload) for _, payload in many[:-1]] == [1000] * 50 and many[-1][0] == 0x80
    response, said = ask("Fail", json.dumps({"code": "NOT_FOUND", "text": "nothing here"}).encode())
    status = response.header("grpc-status") or re.search(rb"grpc-status: ?(\d+)", said[-1][1]).group(1).decode()
    assert status == "5"


def test_grpc_web_that_is_no_base64_is_refused(web_pair):
    response = web_pair.client.get(10000, "/test.Echo/Unary", method="POST", body=b"%%%%", headers=[
        ("Content-Type", "application/grpc-web-text")])
    assert response.status == 400 or response.header("grpc-status") not in (None, "0")
