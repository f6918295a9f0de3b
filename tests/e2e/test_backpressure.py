"""A reader that stalls stops its writer, with bounded memory between them; others are not disturbed, and then all arrives."""
import hashlib
import json
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import BUILD, SANITIZED, bootstrap, cluster, http_listener, route, tcp_listener, virtual_host
from test_mtls import tls_in, tls_out

# A stalled gigabyte for a minute is the long form; the short form stalls long enough for every buffer to fill.
SOAK = int(os.environ.get("TULLE_SOAK", "0"))
SIZE = 1_000_000_000 if SOAK else 64_000_000
STALL_S = max(SOAK, 2)
# Shadow memory grows with what is touched, and the sanitizers keep what was freed: the bound proper is the release build's.
GROWTH_KIB = 256 if not SANITIZED else 4096
RING_KIB = 256 * 2 + 16 * 16  # what a worker's io_uring may hold ready for the kernel: 256 small buffers, 16 large ones
PIECE = hashlib.shake_128(b"backpressure").digest(1_000_000)


def digest_of(size):
    digest = hashlib.sha256()
    for _ in range(size // len(PIECE)):
        digest.update(PIECE)
    return digest.hexdigest()


def pour(connection, size=SIZE):
    for _ in range(size // len(PIECE)):
        connection.sendall(PIECE)


def drink(connection, size=SIZE, begun=b""):
    """The hash of `size` bytes, the first of which may have been read already."""
    digest = hashlib.sha256(begun)
    size -= len(begun)
    while size:
        piece = connection.recv(min(size, 1 << 20))
        assert piece, f"{size} bytes missing"
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest()


class Stall:
    """What a back end does while a test holds it: nothing until go() is called."""

    def __init__(self):
        self.event = threading.Event()
        self.digests = []  # of uploads that were drunk

    def go(self):
        self.event.set()

    def wait(self):
        assert self.event.wait(STALL_S + 60)


def read_head(connection):
    head = b""
    while b"\r\n\r\n" not in head:
        head += connection.recv(1)  # no byte of the body is taken with it
    return head


def serve(stall):
    def handler(connection):
        head = read_head(connection) if stall.http else connection.recv(1)
        if b"canary" in head or head == b"c":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" if stall.http else b"ok")
            return
        if head.startswith(b"POST") or head == b"u":
            stall.wait()
            stall.digests.append(drink(connection))
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok" if stall.http else b"ok")
        else:
            if stall.http:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
            pour(connection)
    return handler


def workers_of(lab, proxy):
    return json.loads(lab.admin(proxy, "/workers").body)["workers"]


def settled_memory(lab, proxy):
    """
    Memory of its own in KiB once it stands still: every buffer on the way is full. Pages of the program's file come and go, and
    are the file's. Without what io_uring's rings hold ready for the kernel: that is a worker's, however many connections it has,
    and has a bound of its own.
    """
    last = -1
    while last != (last := proxy.memory_kb()["anon"]):
        time.sleep(0.2)
    rings = [worker["kernel_buffer_bytes"] / 1024 for worker in workers_of(lab, proxy)]
    assert max(rings) <= RING_KIB, rings
    return last - sum(rings)


def forward(kind, port):
    return http_listener(port, virtual_host(route(to="up", route={"cluster": "up", "timeout": "0s"}))) if kind == "http" \
        else tcp_listener(port, "up")


def plain_path(lab, kind, origin, client, _):
    return [lab.tulle_proxy(client, bootstrap([forward(kind, 10000)], [cluster("up", origin.address)]))]


def mtls_path(lab, kind, origin, client, server):
    """Out through one proxy, over the wire in mTLS, in through another."""
    pki, names = lab.pki(), [f"spiffe://mesh.test/ns/shop/sa/{name}" for name in ("web", "cart")]
    web, cart = (pki.leaf(name.rpartition("/")[2], f"URI:{name}") for name in names)
    inbound = forward(kind, 15006)
    inbound["filter_chains"][0]["transport_socket"] = tls_in(cart, pki.ca, names[0])
    outbound = cluster("up", (server.ipv4, 15006), transport_socket=tls_out(web, pki.ca, names[1]))
    return [lab.tulle_proxy(server, bootstrap([inbound], [cluster("up", ("127.0.0.1", origin.port))])),
            lab.tulle_proxy(client, bootstrap([forward(kind, 10000)], [outbound]))]


def stall_readers(lab, kind, direction, path, count):
    """Stalls `count` readers together; what one costs is their share of what all cost."""
    client, server = lab.host("client"), lab.host("server")
    stall = Stall()
    stall.http = kind == "http"
    proxies = path(lab, kind, lab.origin(server, serve=serve(stall)), client, server)
    waits = []

    def canary():
        started = time.monotonic()
        with client.connect(10000) as connection:
            connection.send("GET /canary HTTP/1.1\r\nHost: a\r\n\r\n" if stall.http else "c")
            assert connection.read_until(b"ok").endswith(b"ok")
        waits.append(time.monotonic() - started)

    for _ in range(50):  # pools and code pages are there before memory is compared
        canary()
    # What a worker needs for its first connection (of TLS: 0.3 MB) is no cost of those that stall.
    crowd = 0
    while any(worker["accepted"] == 0 for proxy in proxies for worker in workers_of(lab, proxy)):
        crowd += 8
        with ThreadPoolExecutor(crowd) as together:
            list(together.map(lambda _: canary(), range(crowd)))
    before = [settled_memory(lab, proxy) for proxy in proxies]

    connections = [client.connect(10000, timeout=STALL_S + 120) for _ in range(count)]
    for connection in connections:
        if direction == "down":
            connection.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n" if stall.http else "d")
        else:
            connection.send(f"POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: {SIZE}\r\n\r\n" if stall.http else "u")
            threading.Thread(target=pour, args=(connection.socket,), daemon=True).start()
    end = time.monotonic() + STALL_S
    waits.clear()
    while time.monotonic() < end:  # the stall itself is what is tested, and its length
        canary()
        time.sleep(0.1)
    # One that waited for a stalled connection would wait until it moves; a busy machine makes few of them slow.
    assert sorted(waits)[len(waits) // 2] < (5 if SANITIZED else 0.5), f"others are disturbed: {waits}"
    grown = [(settled_memory(lab, proxy) - had) / count for proxy, had in zip(proxies, before)]
    stall.go()
    for connection in connections:
        if direction == "down":
            if stall.http:
                connection.read_until(b"\r\n\r\n")
            stall.digests.append(drink(connection.socket, begun=connection.take(len(connection.buffer))))
        else:
            assert connection.read_until(b"ok").endswith(b"ok")
        connection.close()
    print(f"{grown} KiB more while a connection stalled")
    assert stall.digests == [digest_of(SIZE)] * count, "the bytes that arrived are not those that were sent"
    assert max(grown) < GROWTH_KIB, f"{grown} KiB more while a connection stalled ({os.path.basename(BUILD)})"


@pytest.mark.timeout(300 + 4 * STALL_S)
@pytest.mark.parametrize("kind", ["http", "tcp"])
@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_stalled_reader(lab, kind, direction):
    stall_readers(lab, kind, direction, plain_path, 1)


@pytest.mark.release
@pytest.mark.timeout(300 + 4 * STALL_S)
@pytest.mark.parametrize("path", [plain_path, mtls_path])
@pytest.mark.parametrize("kind", ["http", "tcp"])
@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_stalled_reader_costs_little(lab, kind, direction, path):
    """The bound in the build that is shipped, on both sides of mTLS too. For bytes without HTTP it is row SLO-12."""
    stall_readers(lab, kind, direction, path, 4)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("manners", ["lingers", "resets"])
def test_a_413_during_a_large_upload_reaches_the_client(lab, manners):
    """The back end answers and closes at once, over unread bytes or not; the client, still sending, must see it each time."""
    client, server = lab.host("client"), lab.host("server")

    def refuse(connection):
        read_head(connection)
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
        if manners == "lingers":
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 20):
                pass
    origin = lab.origin(server, serve=refuse)
    lab.tulle_proxy(client, bootstrap([http_listener(10000, virtual_host(route(to="up")))], [cluster("up", origin.address)]))
    big = lab.path("big")
    with open(big, "wb") as file:
        file.truncate(1_000_000_000)
    for number in range(100):
        done = client.run("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Expect:", "-T", big,
                          "http://127.0.0.1:10000/upload", check=False, timeout=30)
        assert done.stdout == "413", f"upload {number}: {done.stdout} {done.stderr}"


@pytest.mark.timeout(300)
def test_an_upstream_that_closes_idle_connections_loses_no_request(lab):
    """Idle connections are closed after 0 to n ms, about when the next request comes; no POST is sent twice."""
    client, server = lab.host("client"), lab.host("server")
    count = 100_000 if SOAK else 5_000
    seen, lock = {}, threading.Lock()

    def serve_and_close(connection):
        idle = len(seen) % 7 / 1000 + 0.0005
        connection.settimeout(10)  # a fresh connection is not an idle one
        while True:
            head = b""
            try:
                while b"\r\n\r\n" not in head:
                    piece = connection.recv(4096)
                    if not piece:
                        return
                    head += piece
                    connection.settimeout(10)
            except TimeoutError:
                return
            with lock:
                key = head.split(b" ", 2)[1]
                seen[key] = seen.get(key, 0) + 1
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            connection.settimeout(idle)
    origin = lab.origin(server, serve=serve_and_close)
    lab.tulle_proxy(client, bootstrap([http_listener(10000, virtual_host(route(to="up")))], [cluster("up", origin.address)]))
    failures = {"GET": 0, "POST": 0}
    with client.connect(10000, timeout=30) as connection:
        for number in range(count):
            method = "POST" if number % 5 == 0 else "GET"
            connection.request(method, f"/{number}", headers=[("Content-Length", "0")] if method == "POST" else [])
            if connection.response().status != 200:
                failures[method] += 1
            if number % 3 == 0:
                time.sleep((number % 8) / 1000)  # the race of a closing idle connection is about time
    assert failures["GET"] == 0, failures
    twice = [key for key, times in seen.items() if times > 1 and int(key[1:]) % 5 == 0]
    assert not twice, f"POSTs sent twice: {twice[:5]}"
