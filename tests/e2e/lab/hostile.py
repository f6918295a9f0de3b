"""Judging hostile messages: what every row of the bad-input tables asserts besides its own answer.

(a) the back end saw exactly what it should; (b) a canary on another connection is served at once, before and after;
(c) the proxy lives; (d) no sanitizer report (the lab checks that at the end); (e) memory stays flat.
"""
import json
import os
import subprocess
import sys
import time

from . import config
from .hosts import WORKERS
from .programs import SANITIZED
from .wire import Closed

CANARY_S = 1.0 if SANITIZED else 0.1


# What the canary asks for is answered by the proxy itself: the origin is a part of the test, which is busy attacking.
CANARY_ROUTE = {"match": {"path": "/quiet"}, "direct_response": {"status": 200}}


class Canary:
    """
    Asks once after the other on a connection of its own (lab/canary.py) while an attack goes on; `place` has a `client` host
    with a proxy on port 10000 that knows CANARY_ROUTE.
    19 of 20 answers come within CANARY_S, every one within a second: the attacker takes a core as well, and others may too.
    """

    def __init__(self, place):
        self.host, self.waits = place.client, []

    def __enter__(self):
        script = os.path.join(os.path.dirname(__file__), "canary.py")
        self.process = subprocess.Popen(self.host.enter_argv() + [sys.executable, script, "10000"], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "begun\n", self.process.stderr.read()
        return self

    def __exit__(self, kind, *_):
        told, wrong = self.process.communicate(timeout=30)
        if kind:
            return
        assert not self.process.returncode, wrong
        self.waits = sorted(json.loads(told))
        assert self.share(0.95) < CANARY_S and self.waits[-1] < max(CANARY_S, 1.0), str(self)

    def share(self, part):
        return self.waits[min(len(self.waits) - 1, int(len(self.waits) * part))]

    def __str__(self):
        told = ", ".join(f"p{part * 100:g} {self.share(part) * 1000:.1f} ms" for part in (0.5, 0.95, 0.99, 1))
        return f"{len(self.waits)} canaries: {told}"


class Range:
    """A proxy with a recording origin behind it, for many rows. A proxy that died is named by the row that killed it."""

    def __init__(self, lab, routes=(), concurrency=WORKERS, **listener):
        """`routes` come before the one that takes everything else."""
        self.lab = lab
        self.client, server = lab.host("client"), lab.host("server")
        self.origin = lab.origin(server)
        self.proxy = lab.tulle_proxy(self.client, config.bootstrap(
            [config.http_listener(10000, config.virtual_host(CANARY_ROUTE, *routes, config.route(to="up")), **listener)],
            [config.cluster("up", self.origin.address)]), concurrency)

    def connect(self, timeout=10):
        return self.client.connect(10000, timeout=timeout)

    def canary(self):
        """The quickest of three: whoever is stalled is so each time, and the machine may be busy otherwise."""
        waits = []
        while not waits or (min(waits) >= CANARY_S and len(waits) < 3):
            started = time.monotonic()
            assert self.client.get(10000, "/canary").status == 200
            waits.append(time.monotonic() - started)
        assert min(waits) < CANARY_S, f"canaries took {waits} s"

    def requests(self):
        """What the origin received since the last call, without canaries."""
        return [request for request in self.origin.take() if request.target != "/canary"]

    def check(self):
        assert self.proxy.is_running, f"the proxy died:\n{self.proxy.tail()}"
        self.canary()
        unexpected = self.requests()
        assert not unexpected, unexpected

    def refused(self, wire, *statuses, timeout=10):
        """Sends hostile bytes: one answer with one of the statuses, then close; the back end never sees any of it."""
        with self.connect(timeout) as client:
            try:
                client.send(wire)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it was refused before the end of it
            try:
                response = client.response()
                assert response.status in statuses, f"{wire[:200]!r} was answered {response.status}, not {statuses}"
                rest = client.read_all()
            except Closed as closed:
                raise AssertionError(f"no answer to {wire[:200]!r}, only {closed.received!r}") from None
            except TimeoutError:
                raise AssertionError(f"{wire[:200]!r}: still open after {timeout} s, with {client.buffer!r}") from None
        assert not rest, f"{wire[:200]!r} got more than one answer: {rest[:200]!r}"
        assert (response.header("connection") or "").lower() == "close", "the answer says that the connection closes"
        self.check()

    def accepted(self, wire, count=1):
        """Sends a message that looks odd and is legal; gives what the origin received."""
        with self.connect() as client:
            client.send(wire)
            for _ in range(count):
                response = client.response()
                assert response.status == 200, f"{wire[:200]!r} was answered {response.status}"
        requests = self.requests()
        assert len(requests) == count, requests
        self.check()
        return requests if count > 1 else requests[0]
