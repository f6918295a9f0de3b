"""HTTP/1 in all its forms: 1.0, pipelining, expectations, informational heads, bodiless answers, names and their order."""
import http.client
import json
import threading
import time

import pytest

from lab import Reply, bootstrap, cluster, http_listener, route, virtual_host
from lab.origin import describe
from test_http2 import Setup, tulle

KEEP_CASE = {"header_key_format": {"stateful_formatter": {"name": "preserve_case", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"}}}}
OPTIONS = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
HTTP_10 = {"http_protocol_options": {"accept_http_10": True, "default_host_for_http_10": "old.test"}}


def names(head):
    return [line.split(":")[0] for line in head.decode("latin-1").split("\r\n")[1:] if line]


@pytest.mark.parametrize("keeps,told", [("", "close"), ("Connection: keep-alive\r\n", "keep-alive")])
def test_http_10(lab, start_proxy, keeps, told):
    """An HTTP/1.0 client: its host is given, its answer is not chunked, and the connection ends unless it asked."""
    setup = Setup(lab, start_proxy, "h1", answer=lambda request: Reply(body=b"body " + request.header("host").encode()), **HTTP_10)
    with setup.h1() as client:
        client.send(f"GET /old HTTP/1.0\r\n{keeps}\r\n")
        response = client.response()
        assert response.status == 200 and response.body == b"body old.test"
        assert (response.header("connection") or "close").lower() == told
        if keeps:
            client.send("GET /again HTTP/1.0\r\nHost: new.test\r\n\r\n")
            assert client.response().body == b"body new.test"
        assert client.is_closed()
    assert all(request.version == "HTTP/1.1" for request in setup.origin.take())


def test_http_10_takes_no_chunks(lab):
    """A chunked answer of the upstream reaches an HTTP/1.0 client delimited by the connection's end."""
    setup = Setup(lab, tulle, "h1", answer=lambda request: Reply(body=b"x" * 100_000, chunked=True), **HTTP_10)
    with setup.h1() as client:
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n")
        response = client.response()
        assert not response.all("transfer-encoding") and response.body == b"x" * 100_000


def test_http_10_without_a_host_is_refused_unless_one_is_given(lab):
    setup = Setup(lab, tulle, "h1", http_protocol_options={"accept_http_10": True})
    with setup.h1() as client:
        client.send("GET / HTTP/1.0\r\n\r\n")
        assert client.response().status == 400
    assert not setup.origin.take()


def test_http_10_with_a_host_needs_no_configuration(lab):
    """Envoy refuses all of HTTP/1.0 by 426 unless it is accepted; a request that says where it goes is served here."""
    setup = Setup(lab, tulle, "h1")
    with setup.h1() as client:
        client.send("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
        assert client.response().status == 200
        assert client.is_closed()


def test_an_http_10_server_is_understood(lab, start_proxy):
    def serve(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nto the end")
    setup = Setup(lab, start_proxy, "h1")
    setup.origin.serve = serve
    for _ in range(3):
        assert setup.client.get(10000).body == b"to the end"


def test_pipelined_requests_are_answered_in_order(lab, start_proxy):
    def answer(request):
        time.sleep(0.02 if request.target.endswith("0") else 0)
        return Reply(body=request.target.encode())
    setup = Setup(lab, start_proxy, "h1", answer=answer)
    with setup.h1() as client:
        client.send("".join(f"{'POST' if number % 3 == 0 else 'GET'} /{number} HTTP/1.1\r\nHost: a\r\n"
                            f"{'Content-Length: 3' if number % 3 == 0 else 'x-a: b'}\r\n\r\n{'abc' if number % 3 == 0 else ''}"
                            for number in range(60)))
        for number in range(60):
            assert client.response().body == b"/%d" % number


def test_an_expectation_is_met_before_the_body_is_sent(lab, start_proxy):
    setup = Setup(lab, start_proxy, "h1")
    with setup.h1() as client:
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send("hello")
        assert json.loads(client.response().body)["body_size"] == 5


def test_an_expectation_passes_where_that_is_configured(lab):
    """proxy_100_continue: the server decides; its refusal comes without the body having been sent."""
    def serve(connection):
        head = connection.recv(65536).lower()
        assert b"expect: 100-continue" in head
        if b"/yes" in head:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert connection.recv(65536) == b"hello"
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        else:
            connection.sendall(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    setup = Setup(lab, tulle, "h1", proxy_100_continue=True)
    setup.origin.serve = serve
    with setup.h1() as client:
        client.send("PUT /yes HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert client.read_until(b"\r\n\r\n").startswith(b"HTTP/1.1 100 ")
        client.send("hello")
        assert client.response().status == 200
    with setup.h1() as client:
        client.send("PUT /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert client.response().status == 417


@pytest.mark.parametrize("method,status,length", [("HEAD", 200, 1000), ("HEAD", 404, 7), ("GET", 204, None), ("GET", 304, None), ("HEAD", 304, 12)])
def test_answers_without_a_body_keep_the_connection(lab, start_proxy, method, status, length):
    head = f"HTTP/1.1 {status} Status\r\n" + (f"Content-Length: {length}\r\n" if length else "") + "ETag: \"x\"\r\n\r\n"
    setup = Setup(lab, start_proxy, "h1", answer=lambda request: describe(request) if request.target == "/next" else head.encode())
    with setup.h1() as client:
        for _ in range(3):
            response = client.exchange(method, "/")
            assert response.status == status and response.body == b""
            assert response.header("content-length") == (str(length) if length else None)
        assert client.exchange("GET", "/next").status == 200


def test_names_keep_their_order_and_case(lab):
    """From HTTP/1 to HTTP/1 fields leave as they came, in both directions; ours come after them."""
    sent = ["Zebra", "x-lower", "ALPHA", "X-Mixed-Case", "Accept", "zEBRA", "ETag", "X_y"]
    setup = Setup(lab, tulle, "h1", answer=lambda request: Reply(headers=[(name, "v") for name in sent[:-1]], body=b"ok"),
                  http_protocol_options=KEEP_CASE)
    with setup.h1() as client:
        client.send("GET / HTTP/1.1\r\nHost: a\r\n" + "".join(f"{name}: v\r\n" for name in sent) + "\r\n")
        response = client.response()
    assert [name for name, _ in response.headers if name in sent] == sent[:-1]
    request, = setup.origin.take()
    assert [name for name in names(request.raw_head) if name in sent] == sent


def test_a_python_client_and_its_persistent_connection(lab, start_proxy):
    setup = Setup(lab, start_proxy, "h1", answer=lambda request: Reply(body=request.body * 2))
    connection = http.client.HTTPConnection("test")
    connection.sock = setup.client.connect(10000).socket
    for number in range(20):
        connection.request("POST", f"/{number}", body=iter([b"a" * 1000, b"b" * number]), encode_chunked=True,
                           headers={"Transfer-Encoding": "chunked"})
        assert connection.getresponse().read() == (b"a" * 1000 + b"b" * number) * 2
    assert len({request.connection for request in setup.origin.take()}) == 1


def test_timeouts_of_a_request(lab):
    """request_headers_timeout and request_timeout: 408 and a close; the stream's idle timeout: 408 while nothing moves."""
    setup = Setup(lab, tulle, "h1", request_headers_timeout="0.4s", request_timeout="1s", stream_idle_timeout="5s")
    with setup.h1() as client:
        client.send("GET / HTTP/1.1\r\nHost:")
        assert client.response().status == 408 and client.is_closed()
    with setup.h1() as client:
        began = time.monotonic()
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
        stop = threading.Event()

        def drip():
            while not stop.wait(0.1):
                try:
                    client.send("x")
                except OSError:
                    return
        threading.Thread(target=drip, daemon=True).start()
        assert client.response().status == 408
        stop.set()
        assert 0.9 < time.monotonic() - began < 4


def test_a_routes_idle_timeout(lab):
    setup = Setup(lab, tulle, "h1", host=virtual_host(route(to="up", route={"cluster": "up", "idle_timeout": "0.3s", "timeout": "0s"})),
                  stream_idle_timeout="60s")
    setup.origin.answer = lambda request: time.sleep(3)
    began = time.monotonic()
    assert setup.client.get(10000).status in (408, 504)
    assert time.monotonic() - began < 2.5


def test_max_stream_duration(lab, start_proxy):
    setup = Setup(lab, start_proxy, "h1", common_http_protocol_options={"max_stream_duration": "0.4s"},
                  host=virtual_host(route(to="up", route={"cluster": "up", "timeout": "0s"})))
    setup.origin.answer = lambda request: time.sleep(3)
    began = time.monotonic()
    assert setup.client.get(10000).status in (408, 504)
    assert time.monotonic() - began < 2.5


def test_connections_end_after_their_time(lab, start_proxy):
    """max_connection_duration: an idle connection closes then."""
    setup = Setup(lab, start_proxy, "h1", common_http_protocol_options={"max_connection_duration": "0.5s"}, drain_timeout="0.2s")
    with setup.h1() as client:
        began = time.monotonic()
        assert client.exchange("GET", "/").status == 200
        assert client.is_closed(within=8) and time.monotonic() - began > 0.4
