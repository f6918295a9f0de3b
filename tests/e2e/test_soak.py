"""
Mixed requests over HTTP/1 and HTTP/2 through two proxies with mTLS between, while their configuration changes without end: none
lost, no wrong byte, flat memory. The client and the server are tests/load/mixed, which share no line with the proxies.

TULLE_REQUESTS says how many: without it a few thousand, in make soak 10^7 on the release build.
"""
import contextlib
import json
import os
import socket
import statistics
import subprocess
import threading
import time

import pytest

from lab import BUILD, SANITIZED
from lab.programs import missing
from test_swaps_mtls import Mesh

FEW, MANY = (20_000, 200_000) if SANITIZED else (100_000, 10_000_000)
REQUESTS = int(os.environ.get("TULLE_REQUESTS", MANY if os.environ.get("TULLE_SOAK") else FEW))
PATIENCE_S = 120 + REQUESTS // 500
HTTP1, HTTP2, STREAMS = 24, 6, 10
PORTS = 10000, 10002, 10003  # routes in the listener, routes by name, a tunnel with a handshake each
SLICES = 10                  # of the run, each with its median of memory
FLAT_FROM = 1_000_000        # requests; in less, a tenth is no warm-up


def load(name):
    path = os.path.join(BUILD, "load", name)
    if not os.path.exists(path):
        missing(f"{path} (not built)")
    return path


class Talker:
    """A program that says what it counts, a JSON object a line; `heard` is called with each."""

    def __init__(self, host, heard, log, *words):
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(host.enter_argv() + [str(word) for word in words], stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, stderr=errors, text=True)
        self.heard, self.log, self.last = heard, log, None
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.last = json.loads(line)
            self.heard(self.last)

    def ends(self, within):
        """What it said last."""
        self.process.stdin.close()
        assert self.process.wait(within) == 0, self.errors()
        self.thread.join()
        return self.last

    def errors(self):
        with open(self.log) as file:
            return file.read()[:4000]


class MixedMesh(Mesh):
    """HTTP/1 and HTTP/2 on each hop, so all four translations between them."""

    http2 = ("cart2", "v2")
    probe = "/m/200000000/0/0/0"

    def start_back_ends(self):
        ports = [21001, 21002]
        self.back_ends = Talker(self.server, lambda _: None, self.lab.path("mixed_server.log"), load("mixed_server"), *ports)
        return ports


class Memory:
    """Of both proxies, once a line of the client's counts."""

    def __init__(self, mesh):
        self.proxies = {"out": mesh.out.program, "in": mesh.inner.program}
        self.samples = []  # (requests begun, {name: KiB})

    def sample(self, counts):
        self.samples.append((counts["begun"], {name: proxy.memory_kb()["rss"] for name, proxy in self.proxies.items()}))

    def medians(self, name):
        """Of each slice of the run that has samples."""
        slices = [[] for _ in range(SLICES)]
        for begun, sizes in self.samples:
            slices[min(begun * SLICES // REQUESTS, SLICES - 1)].append(sizes[name])
        return [statistics.median(some) for some in slices if some]


@pytest.mark.timeout(PATIENCE_S + 300)
def test_mixed_requests_under_endless_swaps(lab):
    mesh = MixedMesh(lab)
    memory, changes = Memory(mesh), 0
    began = time.monotonic()
    client = Talker(mesh.client, memory.sample, lab.path("mixed_client.log"), load("mixed_client"), REQUESTS,
                    int(os.environ.get("TULLE_SEED", 1)), HTTP1, HTTP2, STREAMS, *PORTS)
    while client.process.poll() is None:
        mesh.change()
        changes += 1
        assert time.monotonic() - began < PATIENCE_S, f"still at {client.last}: {client.errors()}"
        if changes % 1000 == 0:
            print(f"{changes} changes, {client.last}, KiB {memory.samples[-1][1]}, {client.errors()}", flush=True)
    asked = client.ends(20)
    served = mesh.back_ends.ends(20)
    print(f"{changes} changes\nasked {asked}\nserved {served}")
    for name in memory.proxies:
        print(f"{name}: KiB in each part of the run: {memory.medians(name)}")
    assert asked["right"] + asked["abandoned"] == REQUESTS, f"{asked}: {client.errors()}"
    assert not (asked["wrong"] or asked["refused"] or asked["lost"] or asked["unreachable"]), f"{asked}: {client.errors()}"
    # What a connection's end met was asked again, and is rare.
    assert asked["again"] <= 10 + REQUESTS / 1000, asked
    assert served["wrong"] == 0 and served["cut"] <= asked["abandoned"] + asked["again"], f"{served}: {mesh.back_ends.errors()}"
    assert served["doubled"] <= asked["again"], served
    for name in memory.proxies:
        medians = memory.medians(name)[1:]
        assert REQUESTS < FLAT_FROM or max(medians) <= 1.1 * min(medians), f"{name}: KiB {medians}"


class Meddler:
    """Relays bytes to a port of its host; what comes back in large pieces is changed by `meddle`, None ends the connection."""

    def __init__(self, host, port, meddle):
        self.host, self.port, self.meddle = host, port, meddle

    def __call__(self, connection):
        with self.host.inside():
            upstream = socket.create_connection(("127.0.0.1", self.port), 30)
        threading.Thread(target=self.pump, args=(connection, upstream, bytes), daemon=True).start()
        self.pump(upstream, connection, self.meddle)

    def pump(self, source, target, meddle):
        try:
            while (piece := source.recv(1 << 16)) and (made := meddle(piece) if len(piece) > 3000 else piece):
                target.sendall(made)
        except OSError:
            pass
        for end in source, target:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("meddle,seen", [(lambda piece: piece[:2000] + bytes([piece[2000] ^ 1]) + piece[2001:], "wrong"),
                                         (lambda piece: None, "lost")], ids=["changed", "cut"])
def test_the_client_sees_what_is_changed_or_cut(lab, meddle, seen):
    host = lab.host("a")
    server = Talker(host, lambda _: None, lab.path("server.log"), load("mixed_server"), 21001)
    between, told = lab.origin(host, serve=Meddler(host, 21001, meddle)), threading.Event()
    client = Talker(host, lambda counts: counts[seen] > 0 and counts["right"] > 0 and told.set(), lab.path("client.log"),
                    load("mixed_client"), 1000, 1, 4, 0, 0, between.port)
    assert told.wait(60), f"{client.last}: {client.errors()}"
    client.process.kill()
    client.process.wait()
    server.ends(20)
