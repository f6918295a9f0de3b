"""Judging hostile messages: what every row of the bad-input tables asserts besides its own answer.

(a) the back end saw exactly what it should; (b) a canary on another connection is served at once, before and after;
(c) the proxy lives; (d) no sanitizer report (the lab checks that at the end); (e) memory stays flat.
"""
import time

from . import config
from .hosts import WORKERS
from .programs import SANITIZED
from .wire import Closed

CANARY_S = 1.0 if SANITIZED else 0.1


class Range:
    """A proxy with a recording origin behind it, for many rows. A proxy that died is named by the row that killed it."""

    def __init__(self, lab, routes=(), concurrency=WORKERS, **listener):
        """`routes` come before the one that takes everything else."""
        self.lab = lab
        self.client, server = lab.host("client"), lab.host("server")
        self.origin = lab.origin(server)
        self.proxy = lab.tulle_proxy(self.client, config.bootstrap(
            [config.http_listener(10000, config.virtual_host(*routes, config.route(to="up")), **listener)],
            [config.cluster("up", self.origin.address)]), concurrency)

    def connect(self, timeout=10):
        return self.client.connect(10000, timeout=timeout)

    def canary(self):
        started = time.monotonic()
        response = self.client.get(10000, "/canary")
        took = time.monotonic() - started
        assert response.status == 200
        assert took < CANARY_S, f"canary took {took:.3f} s"

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
