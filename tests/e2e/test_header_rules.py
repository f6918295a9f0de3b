"""Header limits and rules (rows HDR): at the limit served, one more refused; identity and hop-by-hop fields."""
import pytest

from lab import Reply
from lab.hostile import Range

FIELDS_MAX = 100           # fields of one head
HEAD_MAX = 60 * 1024       # bytes of one head, Envoy's default


@pytest.fixture(scope="module")
def range_(shared_lab):
    return Range(shared_lab)


@pytest.fixture(autouse=True)
def clean(range_):
    range_.origin.take()


def head(*fields, target="/g"):
    return f"GET {target} HTTP/1.1\r\nHost: a\r\n".encode() + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def test_hdr_01_as_many_fields_as_allowed(range_):
    request = range_.accepted(head(*(b"X-%d: y" % number for number in range(FIELDS_MAX - 1))))
    assert request.header("x-98") == "y"


@pytest.mark.parametrize("count", [FIELDS_MAX, 10000])
def test_hdr_01_one_field_more(range_, count):
    range_.refused(head(*(b"X-%d: y" % number for number in range(count))), 431)


@pytest.mark.parametrize("size", [HEAD_MAX + 1024, 1 << 20])
def test_hdr_02_total_size(range_, size):
    range_.refused(head(*(b"X-%02d: " % number + b"y" * (size // 50) for number in range(50))), 431)


def test_hdr_02_is_refused_at_the_limit_not_at_the_end(range_):
    with range_.connect() as client:
        client.send("GET / HTTP/1.1\r\nHost: a\r\n")
        sent = 0
        for _ in range(1024):
            try:
                client.send(b"X: " + b"y" * 1019 + b"\r\n")
            except OSError:
                break
            sent += 1024
            client.socket.settimeout(0.02)
            try:
                client.fill()
                break
            except TimeoutError:
                pass
            except Exception:  # closed: it was refused
                break
            finally:
                client.socket.settimeout(client.timeout)
    assert sent <= 2 * HEAD_MAX
    range_.check()


@pytest.mark.parametrize("wire, statuses", [
    (head(b"N" * 8193 + b": v"), (400, 431)),
    (head(b"X: " + b"v" * 65536), (431,)),
    (head(target="/" + "u" * 65536), (414, 431)),
], ids=["name", "value", "target"])
def test_hdr_03_one_huge(range_, wire, statuses):
    range_.refused(wire, *statuses)


@pytest.mark.parametrize("names", ["x-forwarded-client-cert", "authorization, host", "Content-Length", "X-Forwarded-For, x-request-id"])
def test_hdr_04_connection_never_removes_protected_names(range_, names):
    wire = (f"POST /g HTTP/1.1\r\nHost: a\r\nConnection: {names}\r\nAuthorization: secret\r\nContent-Length: 2\r\n\r\nok").encode()
    request = range_.accepted(wire)
    assert request.header("host") == "a" and request.header("authorization") == "secret" and request.body == b"ok"


def test_hdr_06_internal_headers_of_strangers_are_stripped(range_):
    request = range_.accepted(head(b"X-Tulle-Anything: 1", b"X-Envoy-Upstream-Rq-Timeout-Ms: 1", b"x-envoy-retry-on: 5xx"))
    for name in ("x-tulle-anything",):
        assert request.header(name) is None


def test_hdr_09_names_are_compared_without_case(range_):
    range_.refused(b"GET / HTTP/1.1\r\nhOsT: a\r\nHOST: b\r\n\r\n", 400)


def test_hdr_11_hop_by_hop_fields_stop_here(range_):
    request = range_.accepted(head(b"Connection: keep-alive, X-Hop", b"Keep-Alive: timeout=5", b"Proxy-Connection: keep-alive",
                                   b"TE: gzip", b"X-Hop: 1", b"X-Kept: 1"))
    for name in ("keep-alive", "proxy-connection", "te", "x-hop"):
        assert request.header(name) is None, name
    assert request.header("x-kept") == "1"


def test_hdr_11_hop_by_hop_fields_of_responses_stop_here(range_):
    range_.origin.answer = lambda request: Reply(headers=[("Connection", "X-Hop"), ("X-Hop", "1"), ("Keep-Alive", "timeout=9"), ("X-Kept", "1")])
    with range_.connect() as client:
        response = client.exchange("GET", "/canary")
    assert response.header("x-hop") is None and response.header("keep-alive") is None and response.header("x-kept") == "1"
