"""Circuit breakers: limits hold for all workers together, and nobody is left to wait; Envoy is the judge of what is refused."""
import json
import re
import socket
import threading
import time

import pytest

from lab import Reply, bootstrap, cluster, http_listener, need_program, route, tcp_listener, virtual_host
from lab.http2 import Http2Origin
from lab.wire import Closed
from test_failures import Logged, log_to
from test_http2 import http2_cluster

FORWARD = virtual_host(route(to="up", route={"cluster": "up", "timeout": "60s"}))


def limited(make, address, **limits):
    return make("up", address, circuit_breakers={"thresholds": [limits]})


def is_open(connection):
    """Whether the peer has not ended it yet, whatever is still to be read."""
    established = 1
    try:
        return connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == established
    except OSError:
        return False


class Door:
    """Counts the connections that are open at once: each newcomer looks at who is still there."""

    def __init__(self):
        self.lock, self.open, self.most, self.total = threading.Lock(), [], 0, 0

    def enter(self, connection):
        with self.lock:
            self.open = [other for other in self.open if is_open(other)] + [connection]
            self.total += 1
            self.most = max(self.most, len(self.open))


def serve_http1(door):
    def handler(connection):
        door.enter(connection)
        pending = b""
        while piece := connection.recv(65536):
            pending += piece
            while b"\r\n\r\n" in pending:
                _, _, pending = pending.partition(b"\r\n\r\n")
                time.sleep(0.002)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    return handler


def serve_bytes(door):
    def echo(connection):
        door.enter(connection)
        while piece := connection.recv(65536):
            connection.sendall(piece)
    return echo


def is_served(connection):
    try:
        return connection.send(b"x").read(1) == b"x"
    except (Closed, OSError):
        return False


class Counted(Http2Origin):
    def __init__(self, host, door):
        self.door = door
        super().__init__(host, answer=lambda request: Reply(body=b"ok"))

    def accepted(self, connection):
        self.door.enter(connection)


@pytest.mark.parametrize("upstream", ["h1", "h2"])
@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("limit", [1, 10])
def test_a_limit_of_connections_holds_and_strands_nobody(lab, limit, workers, upstream):
    client, server, door = lab.host("client"), lab.host("server"), Door()
    if upstream == "h1":
        origin = lab.origin(server, serve=serve_http1(door))
    else:
        origin = Counted(server, door)
        lab.origins.append(origin)
    make = cluster if upstream == "h1" else http2_cluster
    proxy = lab.tulle_proxy(client, bootstrap([http_listener(10000, FORWARD)], [limited(make, origin.address, max_connections=limit)]),
                            concurrency=workers)
    done = client.run(need_program("h2load"), "--h1", "-n", "1000", "-c", "40", "-m", "1", "http://127.0.0.1:10000/", timeout=120)
    assert re.search(r"1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed", done.stdout), done.stdout
    assert 1 <= door.most <= limit, f"{door.most} connections at once"
    # Who comes later finds none of its own, whichever worker it is.
    for _ in range(2 * workers):
        assert client.get(10000, "/", timeout=20).status == 200
    assert 1 <= door.most <= limit, f"{door.most} connections at once, {door.total} in all"
    assert proxy.is_running


@pytest.mark.parametrize("workers", [1, 2, 8])
@pytest.mark.parametrize("limit", [1, 10])
def test_a_limit_of_connections_holds_for_tunnels_and_strands_nobody(lab, limit, workers):
    """Nobody gives up a tunnel, so who finds the limit reached is refused at once; what one leaves is the next one's."""
    client, server, door, served = lab.host("client"), lab.host("server"), Door(), []
    origin = lab.origin(server, serve=serve_bytes(door))
    proxy = lab.tulle_proxy(client, bootstrap([tcp_listener(10000, "up")], [limited(cluster, origin.address, max_connections=limit)]),
                            concurrency=workers)

    def come_and_go():
        for _ in range(10):
            with client.connect(10000, timeout=20) as connection:
                served.append(is_served(connection))
    threads = [threading.Thread(target=come_and_go) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(served) == 200 and sum(served) >= limit, f"{sum(served)} of {len(served)} were served"
    assert 1 <= door.most <= limit, f"{door.most} connections at once"
    for _ in range(2 * workers):
        def has_room():
            with client.connect(10000, timeout=20) as connection:
                return is_served(connection)
        proxy.wait_for(has_room, "room for one more")
    assert 1 <= door.most <= limit, f"{door.most} connections at once, {door.total} in all"


def test_a_tunnel_beyond_the_limit_of_connections_is_refused(lab, start_proxy):
    client, server, path = lab.host("client"), lab.host("server"), lab.path("access.log")
    origin = lab.origin(server, serve=serve_bytes(Door()))
    proxy = start_proxy(lab, client, bootstrap([tcp_listener(10000, "up", access_log=log_to(path))],
                                               [limited(cluster, origin.address, max_connections=1)]))
    with client.connect(10000) as first:
        assert is_served(first)
        with client.connect(10000) as second:
            assert not is_served(second)
        assert "cluster.up.upstream_cx_overflow: 1" in lab.admin(proxy, "/stats").text
        assert is_served(first)

    def told():
        if start_proxy.kind == "envoy":
            lab.admin(proxy, "/reopen_logs", method="POST")  # it writes what it has gathered
        with open(path) as file:
            return [json.loads(line)["flags"] or "-" for line in file]
    proxy.wait_for(lambda: len(told()) == 2, "two lines of log")
    assert sorted(told()) == ["-", "UO"]  # each of its worker


def test_pending_requests_beyond_the_limit_are_refused(lab, start_proxy):
    arrived, held, answers = threading.Event(), threading.Event(), []

    def answer(request):
        arrived.set()
        held.wait(30)
        return Reply(body=b"ok")
    logged = Logged(lab, start_proxy, answer=answer, clusters=lambda logged: [
        limited(cluster, logged.origin.address, max_connections=1, max_pending_requests=2)])

    def ask():
        answers.append(logged.client.get(10000, "/", timeout=40).status)
    threads = [threading.Thread(target=ask) for _ in range(8)]
    threads[0].start()
    assert arrived.wait(20)  # it has the connection
    for thread in threads[1:]:
        thread.start()
    logged.proxy.wait_for(lambda: len(answers) == 5, "five refusals")
    assert answers == [503] * 5
    held.set()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] * 3 + [503] * 5
    told = [json.loads(line) for line in logged.lines(8)]
    refused = ("UO", "upstream_reset_before_response_started{overflow}")
    assert sum((line["flags"], line["details"]) == refused for line in told) == 5, told


@pytest.mark.parametrize("limits,retried", [
    ({"max_retries": 1}, 1),
    ({"retry_budget": {"budget_percent": {"value": 10}, "min_retry_concurrency": 2}}, 2),
])
def test_retries_beyond_the_limit_are_not_made(lab, start_proxy, limits, retried):
    """Four requests fail at once; the retries are held, so that those of the others find the place taken."""
    first, gate = threading.Barrier(4), threading.Event()

    def answer(request):
        if request.header("x-envoy-attempt-count") == "1":
            first.wait(20)
            return Reply(status=503)
        gate.wait(20)
        return Reply(body=b"ok")
    host = virtual_host(route(route={"cluster": "up", "timeout": "30s", "retry_policy": {
        "retry_on": "5xx", "num_retries": 1, "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.001s"}}}))
    host["include_request_attempt_count"] = True
    logged = Logged(lab, start_proxy, host, answer=answer, clusters=lambda logged: [limited(cluster, logged.origin.address, **limits)])
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(logged.client.get(10000, "/", timeout=40).status)) for _ in range(4)]
    for thread in threads:
        thread.start()
    logged.proxy.wait_for(lambda: len(answers) == 4 - retried, "the failures that are not tried again")
    gate.set()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200] * retried + [503] * (4 - retried)
    told = [json.loads(line) for line in logged.lines(4)]
    assert sum(line["flags"] == "UO" and line["code"] == 503 for line in told) == 4 - retried, told
