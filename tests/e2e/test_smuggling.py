"""HTTP/1 framing that is meant to make two readers disagree (rows SMG): one answer, 400 and close, and nothing reaches the back end."""
import itertools

import pytest

from lab import SANITIZED, Reply
from lab.hostile import Range
from lab.http2 import Http2Client
from lab.wire import Closed

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.fixture(scope="module")
def range_(shared_lab):
    return Range(shared_lab)


@pytest.fixture(autouse=True)
def clean(range_):
    range_.origin.take()
    yield
    range_.origin.answer, range_.origin.serve = DEFAULT_ANSWER, None


DEFAULT_ANSWER = lambda request: Reply(body=b"seen")  # noqa: E731


def post(fields, body=b""):
    return b"POST /p HTTP/1.1\r\nHost: a\r\n" + fields.encode("latin-1") + b"\r\n" + body


def get(fields=""):
    return b"GET /g HTTP/1.1\r\nHost: a\r\n" + fields.encode("latin-1") + b"\r\n"


def line(text):
    return text.encode("latin-1") + b"\r\nHost: a\r\n\r\n"


def chunked(body):
    return post("Transfer-Encoding: chunked\r\n", body)


REFUSED = [
    ("SMG-01", post("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n" + HIDDEN), 400),
    ("SMG-02", post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", b"8\r\nSMUGGLED\r\n0\r\n\r\n"), 400),
    ("SMG-03", post("Content-Length: 1\r\nContent-Length: 2\r\n", b"ab"), 400),
    ("SMG-04 lines", post("Content-Length: 2\r\nContent-Length: 2\r\n", b"ab"), 400),
    ("SMG-04 list", post("Content-Length: 1, 1\r\n", b"a"), 400),
    ("SMG-06", post("Content-Length:\r\n"), 400),
    *((f"SMG-07 {len(value)} digits {value[-3:]}", post(f"Content-Length: {value}\r\n", b"abc"), 400)
      for value in (str(2**63), str(2**64), str(2**64 + 1), "9" * 400)),
    *((f"SMG-09 {value}", post(f"Transfer-Encoding: {value}\r\n", b"0\r\n\r\n"), 501)
      for value in ("xchunked", '"chunked"', "chunk", "chunked;q=1")),
    *((f"SMG-10 {value}", post(f"Transfer-Encoding: {value}\r\n", b"0\r\n\r\n"), 400)
      for value in ("chunked, gzip", "chunked, identity", "identity, chunked")),
    *((f"SMG-11 {value}", post(f"Transfer-Encoding: {value}\r\n", b"0\r\n\r\n"), 400)
      for value in ("chunked, chunked", "chunked\r\nTransfer-Encoding: chunked", ",chunked", "chunked,")),
    ("SMG-12", post("Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), 400),
    ("SMG-14", post("Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"), 400),
    ("SMG-15", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("SMG-17 tab", post("Content-Length\t: 3\r\n", b"abc"), 400),
    ("SMG-19 plus", post("Content-Length: +3\r\n", b"abc"), 400),
    ("SMG-19 minus", post("Content-Length: -3\r\n", b"abc"), 400),
    ("SMG-19 hex", post("Content-Length: 0x3\r\n", b"abc"), 400),
    ("SMG-19 inner space", post("Content-Length: 3 3\r\n", b"abc"), 400),
    ("SMG-22 all", b"GET / HTTP/1.1\nHost: a\n\n", 400),
    ("SMG-22 one line", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400),
    ("SMG-22 last", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400),
    ("SMG-23 inner", get("X: a\rb\r\n"), 400),
    ("SMG-23 end", b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400),
    ("SMG-24 method", b"G\0ET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("SMG-24 target", b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("SMG-24 name", get("X\0: a\r\n"), 400),
    ("SMG-24 value", get("X: a\0b\r\n"), 400),
    *((f"SMG-25 {byte:02x}", get(f"X: a{chr(byte)}b\r\n"), 400)
      for byte in (*range(1, 9), 0x0b, 0x0c, *range(0x0e, 0x20), 0x7f)),
    *((f"SMG-26 name {byte:02x}", get(f"X{chr(byte)}: a\r\n"), 400) for byte in (0x80, 0xa0, 0xff)),
    ("SMG-27 first", b"GET / HTTP/1.1\r\n: x\r\nHost: a\r\n\r\n", 400),
    ("SMG-27 middle", b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\nY: z\r\n\r\n", 400),
    ("SMG-27 last", b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n", 400),
    ("SMG-28", get("Foo\r\n"), 400),
    ("SMG-30 space", get("X: a\r\n b\r\n"), 400),
    ("SMG-30 tab", get("X: a\r\n\tb\r\n"), 400),
    ("SMG-30 first line", b"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n", 400),
    *((f"SMG-31 {size!r}", chunked(size.encode() + b"\r\na\r\n0\r\n\r\n"), 400)
      for size in ("0x1", "+1", "-1", "1 ", " 1", "1_0", "", "g")),
    *((f"SMG-32 {size}", chunked(size.encode() + b"\r\na\r\n0\r\n\r\n"), 400)
      for size in ("11111111111111111", "ffffffffffffffff", "00000000000000000000000000000000001")),
    ("SMG-33 size", chunked(b"1\na\r\n0\r\n\r\n"), 400),
    ("SMG-33 data", chunked(b"1\r\na\n0\r\n\r\n"), 400),
    ("SMG-33 end", chunked(b"1\r\na\r\n0\n\r\n"), 400),
    ("SMG-34 LF", chunked(b"1;\na\r\n0\r\n\r\n"), 400),
    ("SMG-34 CR", chunked(b"1;x\ry\r\na\r\n0\r\n\r\n"), 400),
    ("SMG-35 long", chunked(b"1;" + b"x" * 65536 + b"\r\na\r\n0\r\n\r\n"), 400),
    ("SMG-35 one byte more", chunked(b"1;" + b"x" * 4097 + b"\r\na\r\n0\r\n\r\n"), 400),
    ("SMG-35 many", chunked((b"1;" + b"x" * 4000 + b"\r\na\r\n") * 200), 400),
    ("SMG-36 NUL", chunked(b"1;\0x\r\na\r\n0\r\n\r\n"), 400),
    ("SMG-36 quoted LF", chunked(b'1;a="\n"\r\na\r\n0\r\n\r\n'), 400),
    ("SMG-38", chunked(b"1\r\nab\r\n0\r\n\r\n"), 400),
    *((f"SMG-39 {name}", chunked(f"1\r\na\r\n0\r\n{name}: {value}\r\n\r\n".encode()), 400)
      for name, value in (("Content-Length", "5"), ("Transfer-Encoding", "chunked"), ("Host", "b"))),
    ("SMG-40", chunked(b"1\r\na\r\n0\r\n" + b"X: " + b"y" * 102400 + b"\r\n\r\n"), 431),
    *((f"SMG-52 {version}", line(f"GET / {version}"), (400, 505))
      for version in ("HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/1.10", "http/1.1", "HTTP/11", "HTTP/1.", "HTTPS/1.1")),
    ("SMG-52 none", b"GET /\r\n\r\n", (400, 505)),
    ("SMG-54 bracket", line("G(T / HTTP/1.1"), (400, 501)),
    ("SMG-54 long", line("M" * 8192 + " / HTTP/1.1"), (400, 414, 431, 501)),
    ("SMG-54 empty", line(" / HTTP/1.1"), (400, 501)),
    *((f"SMG-55 {ord(char):02x}", line(f"GET /a{char}b HTTP/1.1"), 400)
      for char in ' "<>\\^{}\x01\x1f\x7f\x80\xff#'),
    ("SMG-56", b"GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", 400),
    ("SMG-57 star", line("GET * HTTP/1.1"), 400),
    ("SMG-57 authority", line("GET a:80 HTTP/1.1"), 400),
    ("SMG-57 connect path", line("CONNECT /x HTTP/1.1"), 400),
    ("SMG-58 missing", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("SMG-58 twice", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("SMG-58 list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400),
    *((f"SMG-59 {host}", f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), 400) for host in ("a@b", "a/b", "a?b", "a b")),
    *((f"SMG-60 {host}", f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(), 400)
      for host in ("[::1", "[1.2.3.4]", "[::1%25eth0]", "[::1]x", "[]", "[:::1]")),
    ("SMG-63 many", b"\r\n" * 8192 + get(), 400),
    ("SMG-64 TLS", bytes.fromhex("16030100c8010000c40303") + b"\0" * 190 + b"\r\n\r\n", 400),
]


@pytest.mark.parametrize("wire, statuses", [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refused(range_, wire, statuses):
    range_.refused(wire, *(statuses if isinstance(statuses, tuple) else (statuses,)))


def test_smg_08_leading_zeros_are_forwarded_canonically(range_):
    request = range_.accepted(post("Content-Length: 0005\r\n", b"hello"))
    assert request.body == b"hello" and request.header("content-length") == "5"


@pytest.mark.parametrize("value", ["\tchunked", "CHUNKED", "Chunked", "chunked \t "])
def test_smg_16_legal_forms_of_chunked(range_, value):
    request = range_.accepted(post(f"Transfer-Encoding:{value}\r\n", b"3\r\nabc\r\n0\r\n\r\n"))
    assert request.body == b"abc" and request.header("transfer-encoding") == "chunked"


@pytest.mark.parametrize("name", ["Transfer_Encoding", "Content_Length"])
def test_smg_17_underscore_twins_never_frame(range_, name):
    """Refused or dropped; in no case framing, and in no case forwarded."""
    with range_.connect() as client:
        client.send(get(f"{name}: {'chunked' if 'Transfer' in name else '30'}\r\n"))
        status = client.response().status
    assert status in (200, 400)
    for request in range_.requests():
        assert request.header(name) is None
    range_.check()


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE"])
def test_smg_18_a_body_where_none_is_usual_is_still_a_body(range_, method):
    wire = f"{method} /outer HTTP/1.1\r\nHost: a\r\nContent-Length: {len(HIDDEN)}\r\n\r\n".encode() + HIDDEN
    request = range_.accepted(wire)
    assert request.target == "/outer" and request.body == HIDDEN


def test_smg_20_an_early_final_answer_ends_the_upstream_connection(lab):
    range_ = Range(lab)  # of its own: no connection may be pooled that another test's origin serves

    def serve(connection):
        got = b""
        while b"\r\n\r\n" not in got:
            piece = connection.recv(65536)
            if not piece:
                return
            got += piece
        if b"/canary" in got:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        connection.sendall(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
        heard = b""
        while True:
            piece = connection.recv(65536)
            if not piece:
                break
            heard += piece
        late.append(heard)
    late = []
    range_.origin.serve = serve
    with range_.connect() as client:
        client.send(post(f"Expect: 100-continue\r\nContent-Length: {len(HIDDEN)}\r\n"))
        assert client.response().status == 417
        range_.origin.wait_for_close()
        try:
            client.send(HIDDEN)
            client.read_all()
        except (BrokenPipeError, ConnectionResetError, Closed):
            pass
    range_.canary()
    assert all(b"/canary" not in heard for heard in late), "the connection was used again"


@pytest.mark.parametrize("byte", [0x80, 0xa9, 0xff])
def test_smg_26_eight_bit_values_pass_unchanged(range_, byte):
    request = range_.accepted(get(f"X-Name: a{chr(byte)}b\r\n"))
    assert request.header("x-name") == f"a{chr(byte)}b"


def test_smg_35_an_extension_of_4096_bytes_is_legal_and_dropped(range_):
    request = range_.accepted(chunked(b"1;" + b"x" * 4000 + b"\r\na\r\n0\r\n\r\n"))
    assert request.body == b"a"


@pytest.mark.parametrize("name", ["Authorization", "X-Forwarded-For", "X-Forwarded-Client-Cert"])
def test_smg_39_trailers_never_become_headers(range_, name):
    request = range_.accepted(chunked(f"1\r\na\r\n0\r\n{name}: evil\r\n\r\n".encode()))
    assert "evil" not in [value for key, value in request.headers]
    assert name.lower() not in [key.lower() for key, _ in request.trailers]


@pytest.mark.parametrize("end", ["fin", "reset"])
@pytest.mark.parametrize("kind", ["length", "chunked"])
def test_smg_41_a_cut_body_aborts_upstream(range_, kind, end):
    before = len(range_.origin.received)
    with range_.connect() as client:
        client.send(post("Content-Length: 100\r\n", b"half") if kind == "length" else chunked(b"64\r\nhalf"))
        range_.origin.wait_for(lambda: any(b"half" in data for data in list(range_.origin.received.values())[:]), "half a body")
        client.end() if end == "fin" else client.reset()
        if end == "fin":
            client.read_all()
    # Nothing that was half sent may ever be completed by another request's bytes.
    range_.canary()
    assert not range_.origin.violations
    assert all(request.target == "/canary" for request in range_.origin.take())
    assert len(range_.origin.received) >= before


UPSTREAM = [
    ("SMG-42 CL and TE", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
    ("SMG-42 two CL", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 502),
    ("SMG-42 bad status", b"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n", 502),
    ("SMG-42 no status", b"nonsense\r\n\r\n", 502),
    ("SMG-46", b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nbytes", 502),
    ("SMG-22 response", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", 502),
    ("HDR-01 response", b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 2000 + b"Content-Length: 0\r\n\r\n", 502),
]


@pytest.mark.parametrize("wire, status", [row[1:] for row in UPSTREAM], ids=[row[0] for row in UPSTREAM])
def test_smg_42_an_ambiguous_response_is_502_and_its_connection_ends(range_, wire, status):
    range_.origin.answer = lambda request: wire if request.target == "/g" else Reply(body=b"seen")
    with range_.connect() as client:
        client.send(get())
        assert client.response().status == status
    bad, = [request.connection for request in range_.origin.take() if request.target == "/g"]
    range_.canary()
    assert all(request.connection != bad for request in range_.origin.take())


def test_smg_42_a_bad_chunk_in_a_response_ends_it_without_its_end(range_):
    range_.origin.answer = lambda request: (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"
                                            if request.target == "/g" else Reply())
    with range_.connect() as client:
        client.send(get())
        got = client.read_all()
    assert not got.endswith(b"0\r\n\r\n"), "a cut response must not look whole"
    range_.origin.take()
    range_.check()


@pytest.mark.parametrize("method, status", [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_smg_43_bytes_after_a_bodyless_response_go_nowhere(range_, method, status):
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    def answer(request):
        if request.target != "/g":
            return Reply(body=b"seen")
        return f"HTTP/1.1 {status} X\r\n".encode() + (b"Content-Length: 10\r\n" if method == "HEAD" else b"") + b"\r\n" + evil
    range_.origin.answer = answer
    with range_.connect() as client:
        first = client.exchange(method, "/g")
        assert first.status == status and not first.body
        assert client.exchange("GET", "/canary").body == b"seen"
    range_.origin.take()
    range_.check()


def test_smg_44_surplus_bytes_never_answer_the_next_request(range_):
    def answer(request):
        if request.target == "/g":
            return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
        return Reply(body=b"seen")
    range_.origin.answer = answer
    for _ in range(20):
        with range_.connect() as client:
            assert client.exchange("GET", "/g").body == b"ok"
        with range_.connect() as client:
            assert client.exchange("GET", "/canary").body == b"seen"
    range_.origin.take()
    range_.check()


def test_smg_47_h2c_upgrade_is_stripped(range_):
    request = range_.accepted(get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"))
    for name in ("upgrade", "http2-settings"):
        assert request.header(name) is None
    assert "upgrade" not in (request.header("connection") or "").lower()


def test_smg_48_a_refused_websocket_leaves_http(range_):
    range_.origin.answer = lambda request: Reply(status=426) if request.target == "/g" else Reply(body=b"seen")
    with range_.connect() as client:
        client.send(get("Connection: Upgrade\r\nUpgrade: websocket\r\n"))
        assert client.response().status in (403, 426, 501)
        assert client.exchange("GET", "/canary").body == b"seen"
    range_.origin.take()
    range_.check()


@pytest.mark.parametrize("target", ["a:80", "127.0.0.1:15000", "localhost:10000"])
def test_smg_49_to_51_connect_is_refused_and_what_follows_it_is_not_a_request(range_, target):
    with range_.connect() as client:
        client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode() + HIDDEN)
        response = client.response()
        assert response.status in (403, 404, 405, 501)
        assert client.read_all() == b"", "what follows a refused CONNECT is not a request"
    range_.check()


@pytest.mark.parametrize("downstream", ["h1", "h2"])
def test_smg_50_a_connect_that_the_back_end_refuses_is_not_pooled(lab, downstream):
    """Nor is what the client sent behind it (SMG-49) ever a request: neither to the back end nor to us."""
    range_ = Range(lab, [{"match": {"connect_matcher": {}}, "route": {"cluster": "up"}}],
                   upgrade_configs=[{"upgrade_type": "CONNECT"}], http2_protocol_options={"allow_connect": True})
    range_.origin.answer = lambda request: Reply(status=403 if request.method == "CONNECT" else 200)
    for _ in range(5):
        if downstream == "h1":
            with range_.connect() as client:
                client.send(b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n" + HIDDEN)
                assert client.response().status == 403
                assert client.read_all() == b""
        else:
            with Http2Client(range_.connect().socket) as client:
                stream = client.request("CONNECT", authority="a:80", end=False)
                client.send(stream, HIDDEN)
                assert client.head(stream).status == 403
        range_.canary()
    requests = range_.origin.take()
    assert {request.method for request in requests} == {"CONNECT", "GET"}
    assert all(request.target in ("a:80", "/canary") for request in requests), requests
    last = {request.connection: request.method for request in requests}
    assert list(last.values()).count("CONNECT") == 5, "another request went where a CONNECT had been refused"


def test_smg_62_a_thousand_pipelined_requests_are_answered_in_order(range_):
    range_.origin.answer = lambda request: Reply(headers=[("X-Target", request.target)], body=request.body)
    def message(number):
        if number % 3 == 0:
            return b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number
        if number % 3 == 1:
            return b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n%07d" % (number, number)
        return b"POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n%07d\r\n0\r\n\r\n" % (number, number)
    with range_.connect(timeout=60) as client:
        client.send(b"".join(map(message, range(1000))))
        for number in range(1000):
            response = client.response()
            assert response.header("x-target") == f"/{number}"
            assert response.body == (b"" if number % 3 == 0 else b"%07d" % number)
    assert len(range_.requests()) == 1000
    range_.check()


def test_smg_63_one_leading_empty_line_is_skipped(range_):
    range_.accepted(b"\r\n" + get())


def test_smg_64_the_http2_preface_is_http2_or_refused(range_):
    with range_.connect() as client:
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
        got = client.socket.recv(65536)
    assert got.startswith(b"HTTP/1.1 400") or got[3:4] == b"\x04", got[:100]
    range_.check()


def test_memory_stays_flat_over_all_refusals(range_):
    wires = [wire for _, wire, _ in REFUSED if len(wire) < 4096]
    def send_all(rounds):
        for wire in itertools.islice(itertools.cycle(wires), rounds):
            with range_.connect() as client:
                client.send(wire)
                client.read_all()
    send_all(300)
    before = range_.proxy.memory_kb()["rss"]
    send_all(1000)
    grown = range_.proxy.memory_kb()["rss"] - before
    assert grown <= (16384 if SANITIZED else 1024), f"{grown} KiB more after 1,000 refusals"
    range_.check()
