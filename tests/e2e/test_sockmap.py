"""The sockmap short cut between applications and their sidecar on one host: what TCP promises holds there too."""
import concurrent.futures
import hashlib
import json
import os
import re
import signal
import socket
import threading
import time
import urllib.request

import pytest
import websockets.sync.client

from lab import Reply, bootstrap, cluster, http_listener, need_program, need_tulle, route, tcp_listener, virtual_host
from lab.config import TYPE, to_yaml
from lab.http2 import Http2Client, Http2Origin
from lab.local_mesh import LocalMesh
from test_http2 import http2_cluster
from test_tcp_proxy import read_to_end
from test_websocket import UPGRADES, WebSocketServer

SOAK = int(os.environ.get("TULLE_SOAK", "0"))


def excuse_or_fail(refusal):
    """Rights and parts of a kernel may be missing anywhere; from Linux 6.18 on anything else is our fault."""
    kernel = tuple(int(part) for part in re.match(r"(\d+)\.(\d+)", os.uname().release).groups())
    assert kernel < (6, 18) or re.search("not permitted|type information|no cgroup2", refusal.partition("fix:")[0]), refusal
    pytest.skip(f"NO SOCKMAP HERE: {refusal}")


class Sidecar:
    """A proxy with the short cut, and what its applications on the same host need to know."""

    def __init__(self, lab, document, host="pod", io="epoll", arguments=()):
        self.lab, self.host = lab, lab.host(host)
        self.proxy = lab.tulle_proxy(self.host, document, arguments=("--sockmap", "--io", io, *arguments))
        refusal = next((line for line in self.proxy.text().splitlines() if "no sockmap short cut" in line), None)
        if refusal:
            excuse_or_fail(refusal)

    def counts(self):
        return json.loads(self.lab.admin(self.proxy, "/workers").body)["sockmap"]

    def connect(self, port=10000, **more):
        return self.host.connect(port, **more)


def local(origin):
    return "127.0.0.1", origin.port


@pytest.fixture
def tcp(lab):
    """tcp(serve): application, proxy at port 10000 and back end on one host."""
    def start(serve):
        def polite(connection):
            connection.settimeout(60)  # Python then polls, as servers do: a bare blocking recv() is what 0008 warns of
            serve(connection)
        origin = lab.origin(lab.host("pod"), serve=polite)
        sidecar = Sidecar(lab, bootstrap([tcp_listener(10000, "up")], [cluster("up", local(origin))]))
        sidecar.origin = origin
        return sidecar
    return start


def web(lab, answer=None, io="epoll", timeout="15s"):
    origin = lab.origin(lab.host("pod"), **({"answer": answer} if answer else {}))
    sidecar = Sidecar(lab, bootstrap([http_listener(10000, virtual_host(route(route={"cluster": "up", "timeout": timeout})))],
                                     [cluster("up", local(origin))]), io=io)
    sidecar.origin = origin
    return sidecar


def echo(connection):
    while piece := connection.recv(65536):
        connection.sendall(piece)


def pattern(size):
    return hashlib.shake_128(b"%d" % size).digest(size)


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_both_hops_of_a_request_take_it(lab, io):
    """Asked for together with io_uring, it is served over epoll."""
    sidecar = web(lab, io=io)
    assert "workers over epoll" in sidecar.proxy.text()
    before = sidecar.counts()
    with sidecar.connect() as client:
        for number in range(20):
            assert client.exchange("GET", f"/{number}").status == 200
    after = sidecar.counts()
    assert after["pairs"] - before["pairs"] >= 2
    assert after["messages"] - before["messages"] >= 4 * 20
    # The question for the counts is alone: the admin port takes no short cut.
    assert after["left_alone"] == before["left_alone"] + 1 and after["left_full"] == before["left_full"]


def test_curl_and_bodies_of_every_size(lab):
    need_program("curl")
    sidecar = web(lab, lambda request: Reply(body=pattern(int(request.target[1:]))))
    for size in (0, 1, 1000, 65536, 262144, 262145, 3_000_000):
        path = sidecar.lab.path(f"got-{size}")
        sidecar.host.run("curl", "-sf", "-o", path, "--data-binary", "x" * 1000, f"http://127.0.0.1:10000/{size}")
        with open(path, "rb") as file:
            assert file.read() == pattern(size)


def test_bytes_pass_both_ways_in_order(tcp):
    sidecar = tcp(echo)
    with sidecar.connect() as connection:
        for size in (1, 100, 65536, 300_000, 1, 100, 5_000_000, 1):
            data = pattern(size)
            sender = threading.Thread(target=connection.socket.sendall, args=(data,))
            sender.start()
            assert hashlib.sha256(connection.read(size)).digest() == hashlib.sha256(data).digest()
            sender.join()


@pytest.mark.parametrize("size", [1, 100_000, 5_000_000])
def test_a_client_that_half_closes_still_hears_the_answer(tcp, size):
    def answer_at_end(connection):
        got, digest = read_to_end(connection)
        connection.sendall(f"{got} {digest}".encode())
    sidecar = tcp(answer_at_end)
    data = pattern(size)
    for _ in range(20 if size < 1000 else 2):
        with sidecar.connect() as connection:
            connection.send(data).end()
            assert connection.read_all() == f"{size} {hashlib.sha256(data).hexdigest()}".encode()


def test_a_server_that_half_closes_still_hears_the_client(tcp):
    heard = []

    def speak_then_listen(connection):
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        heard.append(read_to_end(connection))
    sidecar = tcp(speak_then_listen)
    with sidecar.connect() as connection:
        assert connection.read_all() == b"bye"
        connection.send(b"z" * 100_000).end()
        sidecar.origin.wait_for_close()
    assert heard == [(100_000, hashlib.sha256(b"z" * 100_000).hexdigest())]


def test_a_reset_travels(tcp):
    heard, was_heard = [], threading.Event()

    def expect_reset(connection):
        connection.sendall(b"hello")
        heard.append(connection.recv(100))
        was_heard.set()
        try:
            heard.append(connection.recv(100))
        except ConnectionResetError:
            heard.append("reset")
    sidecar = tcp(expect_reset)
    connection = sidecar.connect()
    assert connection.read(5) == b"hello"
    connection.send(b"hello")
    assert was_heard.wait(10)
    connection.reset()
    sidecar.origin.wait_for_close()
    assert heard == [b"hello", "reset"]


def kernel_memory_kb():
    """What TCP's queues and the kernel's own objects hold, of all programs on this system."""
    with open("/proc/net/sockstat") as lines:
        pages = next(int(line.split()[-1]) for line in lines if line.startswith("TCP:"))
    return pages * 4


def test_a_reader_that_stalls_stops_the_writer(tcp):
    resume, heard = threading.Event(), []

    def stall(connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        resume.wait(120)
        heard.append(read_to_end(connection))
    sidecar = tcp(stall)
    for name in "tcp_rmem", "tcp_wmem":  # what TCP may hold besides: systems differ, up to 32 MiB a socket
        sidecar.host.run("sysctl", "-qw", f"net.ipv4.{name}=4096 131072 4194304")
    proxy_before, kernel_before = sidecar.proxy.memory_kb()["anon"], kernel_memory_kb()
    connection = sidecar.connect()
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
    connection.socket.setblocking(False)
    piece, sent, digest = pattern(8192), 0, hashlib.sha256()
    started, stopped = time.monotonic(), 0
    while time.monotonic() - started < (35 if SOAK else 4):
        try:
            size = connection.socket.send(piece)
            digest.update(piece[:size])
            sent += size
        except BlockingIOError:
            stopped += 1
            time.sleep(0.01)
    assert stopped > 100, f"the writer was stopped {stopped} times only"
    assert sent < 16 << 20
    assert sidecar.proxy.memory_kb()["anon"] - proxy_before < 4096
    # The count is the whole system's: what others hold comes and goes, what this stall holds stays.
    sidecar.proxy.wait_for(lambda: kernel_memory_kb() - kernel_before < 24 << 10, "the kernel holding little", timeout=30)
    resume.set()
    resumed = time.monotonic()
    connection.socket.setblocking(True)
    connection.send(b"end").end()
    digest.update(b"end")
    sidecar.origin.wait_for_close(60)
    # Segments that were dropped for want of room would come again by a timer that has doubled all the while.
    assert time.monotonic() - resumed < 1.5
    assert heard == [(sent + 3, digest.hexdigest())]
    connection.close()


def test_a_client_that_stalls_stops_the_server(lab):
    sidecar = web(lab, lambda request: Reply(body=pattern(8_000_000)), timeout="0s")
    before = sidecar.proxy.memory_kb()["anon"]
    with sidecar.connect(timeout=60) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.request("GET", "/")
        time.sleep(30 if SOAK else 2)
        assert sidecar.proxy.memory_kb()["anon"] - before < 4096
        answer = client.response()
    assert hashlib.sha256(answer.body).digest() == hashlib.sha256(pattern(8_000_000)).digest()


def test_many_connections(lab):
    sidecar = web(lab, lambda request: Reply(body=request.target.encode() * 50))

    def talk(number):
        with sidecar.connect(timeout=60) as client:
            for turn in range(5):
                answer = client.exchange("GET", f"/{number}/{turn}")
                assert answer.body == f"/{number}/{turn}".encode() * 50
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        list(pool.map(talk, range(400)))
    assert sidecar.counts()["pairs"] > 200


def test_an_answer_outlives_the_proxy(lab):
    """What the proxy has sent arrives, though the proxy, and with it the programs' owner, is gone before it is read."""
    body = pattern(50_000)
    sidecar = web(lab, lambda request: Reply(body=body, close=True))
    with sidecar.connect(timeout=20) as client:
        client.request("GET", "/", headers=[("Connection", "close")])
        client.socket.recv(1, socket.MSG_PEEK)
        sidecar.origin.wait_for_close()
        time.sleep(0.3)  # the whole answer waits for its reader now
        assert sidecar.counts()["messages"] > 0
        sidecar.proxy.stop()
        answer = client.response()
        assert answer.body == body
        assert client.is_closed()


def test_the_next_proxy_serves_as_the_last_one(lab):
    sidecar = web(lab)
    document = bootstrap([http_listener(10000, virtual_host(route(to="up")))], [cluster("up", local(sidecar.origin))])
    for _ in range(3):
        with sidecar.connect() as client:
            assert client.exchange("GET", "/").status == 200
        sidecar.proxy.send_signal(signal.SIGTERM)
        sidecar.proxy.wait_for_exit()
        sidecar = Sidecar(lab, document)
        with sidecar.connect() as client:
            assert client.exchange("GET", "/").status == 200
        assert sidecar.counts()["messages"] >= 4
        sidecar.origin = None


def test_two_proxies_in_one_network(lab):
    """As while one takes over from another: an application's socket belongs to the first, all requests are served."""
    sidecar = web(lab)
    document = bootstrap([http_listener(10001, virtual_host(route(to="up")))], [cluster("up", local(sidecar.origin))], admin_port=15001)
    second = lab.tulle_proxy(sidecar.host, document, arguments=("--sockmap",), wait=False)
    second.wait_for_port(10001)
    for number in range(20):
        for port in (10000, 10001):
            with sidecar.connect(port) as client:
                assert client.exchange("POST", f"/{number}", body=b"x" * 5000).status == 200
                assert client.exchange("GET", f"/{number}").status == 200
    assert sidecar.counts()["messages"] >= 40


def test_equal_addresses_in_two_networks_never_meet(lab):
    """Two pods, every address and port the same, the clients' too: each hears its own back end."""
    pods = []
    for name in ("left", "right"):
        origin = lab.origin(lab.host(name), port=9000, answer=lambda request, name=name: Reply(body=name.encode() * 100))
        document = bootstrap([http_listener(10000, virtual_host(route(to="up")))], [cluster("up", local(origin))])
        pods.append((name, Sidecar(lab, document, host=name)))
    for turn in range(30):
        clients = []
        for name, sidecar in pods:
            with sidecar.host.inside():
                made = socket.create_connection(("127.0.0.1", 10000), 10, source_address=("127.0.0.1", 20000 + turn))
            clients.append((name, made))
        for name, client in clients:
            client.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
        for name, client in clients:
            got = b""
            while piece := client.recv(65536):
                got += piece
            assert got.endswith(name.encode() * 100), got
            client.close()
    for _, sidecar in pods:
        assert sidecar.counts()["messages"] > 30


def captured(port):
    return tcp_listener(port, "original", listener={"use_original_dst": True, "listener_filters": [
        {"name": "original_dst", "typed_config": {"@type": TYPE + "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"}}]})


def test_captured_connections_take_it(lab):
    """Behind nftables' redirect both ends see other addresses; the handshake's sequence numbers pair them all the same."""
    need_program("nft")
    pod, elsewhere = lab.host("pod"), lab.host("elsewhere")
    origin = lab.origin(elsewhere, answer=lambda request: Reply(body=b"from elsewhere"))
    pod.run("nft", "-f", "-", input=f"""table inet t {{ chain o {{ type nat hook output priority -100;
        meta mark 1337 return
        ip daddr {elsewhere.ipv4} tcp dport {origin.port} redirect to :15001
    }}
    }}\n""")
    original = {"name": "original", "type": "ORIGINAL_DST", "connect_timeout": "2s", "lb_policy": "CLUSTER_PROVIDED"}
    sidecar = Sidecar(lab, bootstrap([captured(15001)], [original]), arguments=("--upstream-mark", "1337"))
    for _ in range(5):
        assert pod.get(origin.port, address=elsewhere.ipv4).body == b"from elsewhere"
    counts = sidecar.counts()
    assert counts["pairs"] == 5 and counts["messages"] >= 10, counts


def test_websockets_take_it(lab):
    server = WebSocketServer(lab, lab.host("pod"))
    sidecar = Sidecar(lab, bootstrap([http_listener(10000, virtual_host(route(to="up")), upgrade_configs=UPGRADES)],
                                     [cluster("up", ("127.0.0.1", server.address[1]))]))
    with sidecar.host.inside():
        sock = socket.create_connection(("127.0.0.1", 10000), 20)
    with websockets.sync.client.connect("ws://test/", sock=sock, max_size=None) as client:
        for size in (1, 10, 1000, 100_000, 1_000_000, 1):
            client.send(pattern(size))
            assert client.recv() == pattern(size)
    assert sidecar.counts()["messages"] > 10


def test_http2_takes_it(lab):
    pod = lab.host("pod")
    origin = Http2Origin(pod)
    lab.origins.append(origin)
    sidecar = Sidecar(lab, bootstrap([http_listener(10000, virtual_host(route(to="up")))],
                                     [http2_cluster("up", ("127.0.0.1", origin.address[1]))]))
    with pod.inside():
        sock = socket.create_connection(("127.0.0.1", 10000), 20)
    with Http2Client(sock) as client:
        for number in range(50):
            answer = client.exchange(path=f"/{number}", method="POST", body=pattern(1 + number * 997))
            assert answer.status == 200
    assert sidecar.counts()["messages"] > 50


def test_a_kernel_that_refuses_is_named_and_served_without(lab):
    need_program("setpriv")
    pod = lab.host("pod")
    origin = lab.origin(pod)
    path = lab.write("bootstrap.yaml", to_yaml(bootstrap(
        [http_listener(10000, virtual_host(route(to="up")))], [cluster("up", local(origin))])))
    proxy = lab.start("setpriv", "--bounding-set=-bpf,-perfmon,-sys_admin,-net_admin", need_tulle("tulle-proxy"),
                      "-c", path, "--sockmap", host=pod)
    proxy.wait_for_log("no sockmap short cut, everything goes by TCP: .*TUL1239.*refuses.*Operation not permitted")
    proxy.wait_for_port(10000)
    assert pod.get(10000).status == 200


def test_tulle_run_loads_it_once_for_all_sidecars(tmp_path):
    """As root. The sidecars live in user namespaces of their own and hold descriptors only; both pods have equal addresses."""
    mesh = LocalMesh(tmp_path)
    mesh.need_namespaces()
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "who").write_text(name)
    (tmp_path / "tulle.yaml").write_text("""
mesh: { name: shortcut, sockmap: true }
services:
  left: { run: "exec python3 -m http.server -d left 8080", port: 8080, publish: 18080 }
  right: { run: "exec python3 -m http.server -d right 8080", port: 8080, publish: 18081 }
""")
    try:
        said = mesh.start("run", until="RESTARTS")
        if "TUL1239" in said:
            excuse_or_fail(said)
        for turn in range(10):
            for name, port in (("left", 18080), ("right", 18081)):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/who", timeout=10) as answer:
                    assert answer.read().decode() == name
        folder = tmp_path / ".tulle" / "shortcut" / "sidecars"
        log = (folder / "left" / "sidecar.log").read_text()
        assert "take the sockmap short cut" in log, log
        admin = re.search(r'address: (127[0-9.]+), port_value: 15000', (folder / "left" / "bootstrap.yaml").read_text()).group(1)
        with urllib.request.urlopen(f"http://{admin}:15000/workers", timeout=10) as answer:
            counts = json.load(answer)["sockmap"]
        assert counts["pairs"] >= 20 and counts["messages"] >= 40, counts
    finally:
        mesh.stop()
