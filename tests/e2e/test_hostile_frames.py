"""
HTTP/2 frames and header blocks that are wrong one by one (rows H2): each is answered with the error of its kind, the connection ends
or goes on as the RFC says, and a canary on the same worker is served at once.
"""
import struct
import time

import hpack
import pytest

from lab import SANITIZED, Reply
from lab.hostile import Canary, Range
from lab.http2 import Http2Client
from test_hostile_http2 import (CALM, CONTINUATION, DATA, GET, GOAWAY, HEADERS, PREFACE, PRIORITY, PUSH, RST, SETTINGS, START, WINDOW, Attack,
                                block, frame)
from test_http2 import Setup, tulle

PROTOCOL, FLOW, CLOSED, FRAME_SIZE, COMPRESSION = 1, 3, 5, 6, 9
END_STREAM, END_HEADERS = 1, 4
POST = block(method="POST")


@pytest.fixture(scope="module")
def range_(shared_lab):
    return Range(shared_lab, concurrency=1, request_headers_timeout="2s")


@pytest.fixture(autouse=True)
def clean(range_):
    range_.origin.take()


def ends_of(peer, wait=10):
    """(error codes of resets by stream, of GOAWAY) until the connection's end."""
    resets, goaways = {}, []
    for kind, _, stream, payload in peer.frames(wait):
        if kind == RST:
            resets[stream] = int.from_bytes(payload, "big")
        elif kind == GOAWAY:
            goaways.append(int.from_bytes(payload[4:8], "big"))
    return resets, goaways


def window(stream, size):
    return frame(WINDOW, 0, stream, struct.pack(">I", size))


def settings(key, value):
    return frame(SETTINGS, 0, 0, struct.pack(">HI", key, value))


def next_frame(client):
    head = client.read(9)
    return head[3], head[4], int.from_bytes(head[5:9], "big"), client.read(int.from_bytes(head[:3], "big"))


# ---------------------------------------------------------------- H2-03: made to reset

MADE_TO_RESET = {
    "a window update of 0": lambda stream: window(stream, 0),
    "a window that overflows": lambda stream: window(stream, 0x7fffffff),
    "a priority of 4 bytes": lambda stream: frame(PRIORITY, 0, stream, b"\0\0\0\0"),
    "a priority on itself": lambda stream: frame(PRIORITY, 0, stream, struct.pack(">IB", stream, 16)),
    "headers after the end": lambda stream: frame(HEADERS, END_STREAM | END_HEADERS, stream, GET),
    "data after the end": lambda stream: frame(DATA, END_STREAM, stream, b"x"),
}


@pytest.mark.parametrize("wrong", MADE_TO_RESET)
def test_h2_03_streams_that_the_server_is_made_to_reset(lab, wrong):
    """A back end that takes its time holds at most as many of them as streams are allowed, and the connection ends."""
    range_ = Range(lab, concurrency=1)
    most = [0]

    def serve(connection):
        got = connection.recv(65536)
        if b"/canary" in got:
            while got:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
                got = connection.recv(65536)
            return
        most[0] = max(most[0], len(range_.origin.open))
        while connection.recv(65536):
            pass
    range_.origin.serve = serve
    with Canary(range_):
        peer = Attack(range_)
        for stream in range(1, 8000, 2):
            if not peer.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, GET) + MADE_TO_RESET[wrong](stream)):
                break
        _, goaways = ends_of(peer)
    # The GOAWAY may be lost to a reset when we had more to say.
    assert not goaways or goaways[-1] in (CALM, PROTOCOL, CLOSED, FLOW, FRAME_SIZE), goaways
    range_.proxy.wait_for(lambda: "::rq_active::0\n" in range_.lab.admin(range_.proxy, "/clusters").text, "end of what the back end was asked")
    assert most[0] <= 110, f"{most[0]} requests at once for one connection"


# ---------------------------------------------------------------- H2-08, 10, 11: header blocks

def field(*, name=b"x", value=b"y", huffman=False):
    flag = 0x80 if huffman else 0
    return b"\x40" + bytes([len(name) | flag]) + name + bytes([len(value)]) + value


BLOCKS = {
    "H2-08 a table beyond the setting": b"\x3f\xe9\x26" + GET,
    "H2-08 a table of 2^32": b"\x3f\xe1\xff\xff\xff\x0f" + GET,
    "H2-08 a new size in the middle": GET + b"\x20" + field(),
    "H2-08 an entry that was evicted": b"\x20" + GET + field() + b"\xbe",
    "H2-10 the end of strings inside one": GET + field(name=b"\xff\xff\xff\xff", huffman=True),
    "H2-10 padding of more than 7 bits": GET + field(name=b"\x1f\xff", huffman=True),
    "H2-10 padding of zeros": GET + field(name=b"\x18", huffman=True),
}


@pytest.mark.parametrize("wire", BLOCKS.values(), ids=BLOCKS.keys())
def test_header_blocks_that_cannot_be_read_end_the_connection(range_, wire):
    peer = Attack(range_)
    peer.send(frame(HEADERS, END_STREAM | END_HEADERS, 1, wire))
    assert peer.goaway() == COMPRESSION
    range_.check()


@pytest.mark.parametrize("wire", [GET + field(name=b"", value=b""), GET + field(name=b""), GET + b"\0\0\0" * 5000], ids=["empty", "no name", "5,000"])
def test_h2_11_fields_without_a_name_reach_nobody(range_, wire):
    before = range_.proxy.memory_kb()["anon"]
    for _ in range(20):
        peer = Attack(range_)
        for at in range(0, len(wire), 16000):
            last = at + 16000 >= len(wire)
            peer.send(frame(CONTINUATION if at else HEADERS, (0 if at else END_STREAM) | (END_HEADERS if last else 0), 1, wire[at:at + 16000]))
        peer.client.socket.settimeout(5)
        kinds = set()
        while not kinds & {RST, GOAWAY, HEADERS}:
            kinds.add(next_frame(peer.client)[0])
        peer.client.close()
    range_.check()
    assert SANITIZED or range_.proxy.memory_kb()["anon"] - before < 512


def test_h2_08_a_hundred_thousand_table_sizes_cost_little(range_):
    with Canary(range_):
        peer = Attack(range_)
        before = range_.proxy.cpu_s()
        for stream in range(1, 15, 2):
            peer.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, b"\x20" * 16000 + GET))
        answers = 0
        while answers < 7 and (kind := next_frame(peer.client)[0]) != GOAWAY:
            answers += kind == HEADERS
        peer.client.close()
        assert range_.proxy.cpu_s() - before < 1
    range_.requests()


# ---------------------------------------------------------------- H2-18, 19, 21: windows

def first_end(peer):
    """(RST or GOAWAY, its error code): the first that comes."""
    peer.client.socket.settimeout(10)
    while True:
        kind, _, _, payload = next_frame(peer.client)
        if kind in (RST, GOAWAY):
            return kind, int.from_bytes(payload[:4] if kind == RST else payload[4:8], "big")


@pytest.mark.parametrize("wire, end", [
    (frame(HEADERS, END_HEADERS, 1, POST) + window(1, 0x7fffffff), (RST, FLOW)),
    (window(0, 0x7fffffff), (GOAWAY, FLOW)),
    (frame(HEADERS, END_HEADERS, 1, POST) + window(1, 0x7fffffff - 65535) + settings(4, 65536), (RST, FLOW)),
], ids=["of a stream", "of the connection", "by a setting"])
def test_h2_18_windows_that_overflow(range_, wire, end):
    peer = Attack(range_)
    peer.send(wire)
    assert first_end(peer) == end
    peer.client.close()
    range_.check()


def test_h2_19_a_window_below_zero_is_paid_back_first(lab):
    range_ = Range(lab)
    body = bytes(range(256)) * 1000
    range_.origin.answer = lambda request: Reply(body=body if request.target == "/x" else b"")
    client = range_.connect()
    client.send(START + frame(HEADERS, END_STREAM | END_HEADERS, 1, GET))
    got = b""

    def until(size):
        nonlocal got
        while len(got) < size:
            kind, _, stream, payload = next_frame(client)
            if kind == DATA:
                got += payload
    until(65535)
    client.send(settings(4, 0), window(0, 1 << 20), window(1, 65535))
    client.send(frame(6, 0, 0, b"12345678"))  # what is answered behind it came after any DATA
    while (kind := next_frame(client))[0] != 6:
        assert kind[0] != DATA, "the window was empty"
    client.send(settings(4, 65535), window(1, len(body)))
    until(len(body))
    assert got == body
    client.close()
    range_.requests()


def test_h2_21_data_beyond_the_window(lab):
    """The back end takes nothing, so no window is given back: what is sent beyond it ends the stream or the connection."""
    range_ = Range(lab)
    range_.origin.serve = lambda connection: time.sleep(5) if b"/canary" not in connection.recv(100) else connection.sendall(
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    before = range_.proxy.memory_kb()["anon"]
    peer = Attack(range_)
    peer.send(frame(HEADERS, END_HEADERS, 1, POST))
    peer.send(frame(DATA, 0, 1, b"x" * 16384) * 512)
    assert first_end(peer)[1] == FLOW
    assert SANITIZED or range_.proxy.memory_kb()["anon"] - before < 1024
    range_.check()


# ---------------------------------------------------------------- H2-23, 30, 32, 33, 41: frames and connections

@pytest.mark.parametrize("size", [16385, (1 << 24) - 1])
@pytest.mark.parametrize("kind", [DATA, HEADERS, SETTINGS, 0xff])
def test_h2_23_a_frame_too_long_is_refused_by_its_head(range_, kind, size):
    peer = Attack(range_)
    peer.send(struct.pack(">I", size)[1:] + bytes([kind, 0]) + struct.pack(">I", 0 if kind == SETTINGS else 1))
    assert peer.goaway() in (FRAME_SIZE, PROTOCOL, CALM)
    range_.check()


def test_h2_30_what_comes_after_goaway_is_nobodys(range_):
    peer = Attack(range_)
    peer.send(frame(PUSH, END_HEADERS, 1, b"\0\0\0\2" + GET))
    began = time.monotonic()
    for stream in range(1, 400, 2):
        if not peer.send(frame(HEADERS, END_STREAM | END_HEADERS, stream, GET) + b"\xff" * 100):
            break
    assert peer.goaway() in (PROTOCOL, None)
    assert time.monotonic() - began < 4
    range_.check()


@pytest.mark.parametrize("first", [PREFACE[:18] + b"XX\r\n\r\n", PREFACE[:10], PREFACE, PREFACE[:-1] + b"x", PREFACE + b"GET / HTTP/1.1\r\n\r\n"],
                         ids=["wrong", "partial", "alone", "wrong at its end", "HTTP/1 behind it"])
def test_h2_32_prefaces(range_, first):
    """Refused at once, or ended at the time for a head: 2 s here, 10 s unless configured."""
    with range_.connect() as client:
        began = time.monotonic()
        client.send(first)
        client.read_all()
        assert time.monotonic() - began < 8
    range_.check()


def test_h2_33_connections_that_break_between_headers_and_continuation(range_):
    count = 1000 if SANITIZED else 10000
    before = None
    for number in range(count):
        if number == count // 2:
            before = range_.proxy.memory_kb()["anon"]
        client = range_.connect()
        client.send(START + frame(HEADERS, END_STREAM, 1, GET))
        client.reset()
    range_.check()
    grown = range_.proxy.memory_kb()["anon"] - before
    assert SANITIZED or grown < 1024, f"{grown} KiB more"


def trailers(*fields):
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode(fields)


@pytest.mark.parametrize("flags, wire", [(END_HEADERS, trailers(("x", "y"))), (END_STREAM, trailers(*((f"x-{n}", "y" * 1000) for n in range(70)))),
                                         (END_STREAM | END_HEADERS, trailers((":path", "/"))),
                                         (END_STREAM | END_HEADERS, trailers(("connection", "close")))],
                         ids=["no end", "70 KiB", "pseudo", "of the connection"])
def test_h2_41_trailers_that_are_none(range_, flags, wire):
    peer = Attack(range_)
    peer.send(frame(HEADERS, END_HEADERS, 1, POST) + frame(DATA, 0, 1, b"x"))
    for at in range(0, len(wire), 16000):
        last = at + 16000 >= len(wire)
        peer.send(frame(CONTINUATION if at else HEADERS, (0 if at else flags & END_STREAM) | (END_HEADERS if last else 0), 1, wire[at:at + 16000]))
    peer.client.socket.settimeout(10)
    kinds = set()
    while not kinds & {RST, GOAWAY}:
        kind, _, stream, payload = next_frame(peer.client)
        kinds.add(kind)
        assert kind != HEADERS or b"200" not in payload
    peer.client.close()
    range_.canary()
    assert all(request.target == "/canary" for request in range_.origin.take()), "a cut request looked whole"


# ---------------------------------------------------------------- H2-45, 46

def test_h2_45_a_body_that_looks_like_frames_stays_a_body(lab):
    setup = Setup(lab, tulle, "h2")
    evil = START + frame(HEADERS, END_STREAM | END_HEADERS, 1, GET) + frame(RST, 0, 1, b"\0\0\0\x08") + frame(GOAWAY, 0, 0, b"\0" * 8)
    with setup.h1() as client:
        for _ in range(3):
            assert client.exchange("POST", "/body", body=evil * 50).status == 200
    requests = setup.origin.take()
    assert [(request.target, request.body) for request in requests] == [("/body", evil * 50)] * 3
    assert len(setup.origin.connections) == 1 and not setup.origin.resets


def test_h2_46_a_hundred_thousand_requests_in_one_write(range_):
    """They come from one connection, and the others get their turns all the same."""
    wire = b"".join(frame(HEADERS, END_STREAM | END_HEADERS, stream, GET) for stream in range(1, 200001, 2))
    with Canary(range_):
        peer = Attack(range_)
        peer.send(wire)
        peer.frames(20)
    range_.canary()
    range_.origin.take()
