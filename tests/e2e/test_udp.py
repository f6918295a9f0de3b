"""Datagrams through the proxy, in sessions: static, by EDS and captured."""
import hashlib
import os
import re
import signal
import socket
import struct
import threading
import time

import pytest

from lab import bootstrap, cluster, need_program
from lab.config import ads_bootstrap, eds_cluster, endpoints, udp_listener
from lab.hosts import ip

FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
SIZES = (0, 1, 100, 1200, 1400, 9000, 30000, 65507)


class Echo(threading.Thread):
    """A UDP server that sends everything back, its name first when it has one."""

    def __init__(self, host, name=b"", answer=None, port=0, address=None):
        super().__init__(daemon=True)
        self.socket = host.udp(port, address or host.ipv4)
        self.socket.settimeout(0.2)
        self.address = (address or host.ipv4, self.socket.getsockname()[1])
        self.name_sent, self.answer, self.heard, self.peers, self.is_over = name, answer, 0, set(), False
        self.start()

    def run(self):
        while not self.is_over:
            try:
                data, peer = self.socket.recvfrom(65535)
            except TimeoutError:
                continue
            self.heard += 1
            self.peers.add(peer)
            self.socket.sendto(self.answer(data) if self.answer else self.name_sent + data, peer)

    def close(self):
        self.is_over = True
        self.join()
        self.socket.close()


@pytest.fixture
def echo():
    made = []

    def start(*arguments, **more):
        made.append(Echo(*arguments, **more))
        return made[-1]
    yield start
    for one in made:
        one.close()


def ask(sock, data, tries=5):
    """The answer to one datagram; it is sent again when it got lost."""
    for left in reversed(range(tries)):
        sock.send(data)
        try:
            return sock.recv(65535)
        except TimeoutError:
            if not left:
                raise


def stats_of(lab, proxy):
    pairs = (line.split(": ") for line in lab.admin(proxy, "/stats").text.splitlines() if ": " in line)
    return {name: int(value) for name, value in pairs if value.strip().isdigit()}


def udp_stats(lab, proxy):
    return {name: value for name, value in stats_of(lab, proxy).items() if re.match(r"udp\.|cluster\.up\.udp\.", name)}


def test_datagrams_of_every_size_pass_both_ways(lab, start_proxy, echo):
    client, server = lab.host("client"), lab.host("server")
    origin = echo(server)
    proxy = start_proxy(lab, client, bootstrap([udp_listener(10000, "up")], [cluster("up", origin.address)]))
    for _ in range(3):
        with client.udp(to=("127.0.0.1", 10000)) as sock:
            for size in SIZES:
                data = hashlib.shake_128(b"%d" % size).digest(size)
                assert ask(sock, data) == data
    # A datagram may be here before it is counted there.
    proxy.wait_for(lambda: udp_stats(lab, proxy)["udp.udp_10000.downstream_sess_tx_datagrams"] == 3 * len(SIZES), "the last to be counted")
    counted = udp_stats(lab, proxy)
    assert counted["udp.udp_10000.downstream_sess_total"] == counted["udp.udp_10000.downstream_sess_active"] == 3
    assert counted["udp.udp_10000.downstream_sess_rx_datagrams"] == counted["udp.udp_10000.downstream_sess_tx_datagrams"] == 3 * len(SIZES)
    assert counted["udp.udp_10000.downstream_sess_rx_bytes"] == counted["udp.udp_10000.downstream_sess_tx_bytes"] == 3 * sum(SIZES)
    assert counted["cluster.up.udp.sess_tx_datagrams"] == counted["cluster.up.udp.sess_rx_datagrams"] == 3 * len(SIZES)
    assert counted["udp.udp_10000.downstream_sess_no_route"] == counted["udp.udp_10000.idle_timeout"] == 0


def test_dig_asks_a_name_server_through_the_proxy(lab, start_proxy, echo):
    need_program("dig")
    client, server = lab.host("client"), lab.host("server")

    def answer(question):
        end = question.index(b"\0", 12) + 5
        record = b"\xc0\x0c" + struct.pack("!HHIH4s", 1, 1, 60, 4, socket.inet_aton("10.1.2.3"))
        return question[:2] + struct.pack("!HHHHH", 0x8580, 1, 1, 0, 0) + question[12:end] + record
    origin = echo(server, answer=answer)
    start_proxy(lab, client, bootstrap([udp_listener(10000, "up")], [cluster("up", origin.address)]))
    for _ in range(3):
        assert client.run("dig", "+short", "+noedns", "-p", "10000", "@127.0.0.1", "example.test").stdout.strip() == "10.1.2.3"
    assert len(origin.peers) == 3


def test_a_client_keeps_its_endpoint_and_clients_are_spread(lab, start_proxy, echo):
    client, server = lab.host("client"), lab.host("server")
    origins = [echo(server, b"%d " % i) for i in range(3)]
    start_proxy(lab, client, bootstrap([udp_listener(10000, "up")], [cluster("up", *(one.address for one in origins))]))
    served = set()
    for _ in range(12):
        with client.udp(to=("127.0.0.1", 10000)) as sock:
            by = {ask(sock, b"x") for _ in range(5)}
        assert len(by) == 1
        served |= by
    assert len(served) == 3


def test_the_answer_comes_from_the_address_that_was_asked(lab, start_proxy, echo):
    client, server = lab.host("client"), lab.host("server")
    origin = echo(server)
    bound = {10000: "0.0.0.0", 10001: "::", 10002: "127.0.0.1"}
    start_proxy(lab, client, bootstrap([udp_listener(port, "up", address=at) for port, at in bound.items()], [cluster("up", origin.address)]))
    for port, asked in ((10000, "127.0.0.1"), (10000, "127.0.0.9"), (10000, client.ipv4), (10001, "::1"), (10001, client.ipv6), (10002, "127.0.0.1")):
        with client.udp(address="::" if ":" in asked else "0.0.0.0") as sock:
            sock.sendto(b"who", (asked, port))
            data, peer = sock.recvfrom(100)
        assert (data, peer[:2]) == (b"who", (asked, port))


def test_idle_sessions_end_with_a_line_in_the_log(lab, start_proxy, echo):
    client, server = lab.host("client"), lab.host("server")
    origin, log = echo(server), lab.path("udp.log")
    fields = "%DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %UPSTREAM_HOST% %ACCESS_LOG_TYPE%"
    proxy = start_proxy(lab, client, bootstrap([udp_listener(10000, "up", idle_timeout="0.5s", access_log=[{
        "name": "file", "typed_config": {"@type": FILE, "path": log, "log_format": {"text_format_source": {"inline_string": fields + "\n"}}}}])],
        [cluster("up", origin.address)]))
    with client.udp(to=("127.0.0.1", 10000)) as sock:
        ours = "%s:%d" % sock.getsockname()
        for _ in range(4):  # what passes puts the end off
            assert ask(sock, b"tick") == b"tick"
            time.sleep(0.2)
    name = "udp.udp_10000."
    proxy.wait_for(lambda: udp_stats(lab, proxy)[name + "downstream_sess_active"] == 0, "the session's end")
    counted = udp_stats(lab, proxy)
    assert counted[name + "downstream_sess_total"] == 1 and counted[name + "idle_timeout"] == 1
    line = proxy.wait_for(lambda: os.path.exists(log) and open(log).read(), "the line")
    assert line == f"{ours} 127.0.0.1:10000 {origin.address[0]}:{origin.address[1]} UdpSessionEnd\n"


def test_one_byte_more_than_the_limit_is_dropped(lab, start_proxy, echo):
    client, server = lab.host("client"), lab.host("server")
    origin = echo(server)
    proxy = start_proxy(lab, client, bootstrap([udp_listener(10000, "up", largest=1000)], [cluster("up", origin.address)]))
    with client.udp(to=("127.0.0.1", 10000)) as sock:
        sock.send(b"x" * 1001)
        assert ask(sock, b"y" * 1000) == b"y" * 1000
    assert origin.heard == 1
    dropped = [value for name, value in stats_of(lab, proxy).items() if name.endswith("downstream_rx_datagram_dropped")]
    assert sum(dropped) == 1


def test_the_circuit_breaker_limits_sessions(lab, start_proxy, echo):
    client, server = lab.host("client"), lab.host("server")
    origin = echo(server)
    proxy = start_proxy(lab, client, bootstrap([udp_listener(10000, "up", idle_timeout="1s")], [
        cluster("up", origin.address, circuit_breakers={"thresholds": [{"max_connections": 2}]})]))
    socks = [client.udp(to=("127.0.0.1", 10000), timeout=0.3) for _ in range(4)]
    assert [ask(sock, b"x") for sock in socks[:2]] == [b"x", b"x"]
    for sock in socks[2:]:
        with pytest.raises(TimeoutError):
            ask(sock, b"x", tries=1)
    proxy.wait_for(lambda: udp_stats(lab, proxy)["udp.udp_10000.downstream_sess_active"] == 0, "the end of both")
    assert ask(socks[3], b"x") == b"x"
    for sock in socks:
        sock.close()


def test_nobody_at_the_endpoint_and_then_somebody(lab, start_proxy, echo):
    client, server = lab.host("client"), lab.host("server")
    proxy = start_proxy(lab, client, bootstrap([udp_listener(10000, "up")], [cluster("up", (server.ipv4, 9000))]))
    with client.udp(to=("127.0.0.1", 10000), timeout=0.3) as sock:
        with pytest.raises(TimeoutError):
            ask(sock, b"x", tries=2)
        assert udp_stats(lab, proxy)["cluster.up.udp.sess_rx_errors"] >= 1
        echo(server, port=9000)
        assert ask(sock, b"x") == b"x"


def test_endpoints_come_by_eds_and_clients_follow(lab, start_proxy, echo):
    client, server = lab.host("client"), lab.host("server")
    first, second = echo(server, b"1 "), echo(server, b"2 ")
    ads = lab.ads(lab.host("control"))
    ads.set("cluster", eds_cluster("up"))
    ads.set("endpoints", endpoints("up", first.address))
    ads.set("listener", udp_listener(10000, "up"))
    proxy = start_proxy(lab, client, ads_bootstrap(ads.address))
    proxy.wait_for(lambda: "udp_10000" in lab.admin(proxy, "/listeners").text, "the listener")
    with client.udp(to=("127.0.0.1", 10000), timeout=0.5) as sock:
        assert ask(sock, b"x", tries=20) == b"1 x"
        ads.set("endpoints", endpoints("up", second.address))
        proxy.wait_for(lambda: ask(sock, b"x") == b"2 x", "answers by the second")


def test_a_listener_that_goes_frees_its_port_and_one_that_comes_back_serves(lab, echo):
    client, server = lab.host("client"), lab.host("server")
    origin = echo(server)
    ads = lab.ads(lab.host("control"))
    ads.set("cluster", cluster("up", origin.address))
    ads.set("listener", udp_listener(10000, "up", address="127.0.0.1"))
    proxy = lab.tulle_proxy(client, ads_bootstrap(ads.address))
    with client.udp(to=("127.0.0.1", 10000), timeout=0.5) as sock:
        def serves():
            try:
                return ask(sock, b"x", tries=1) == b"x"
            except (TimeoutError, ConnectionRefusedError):
                return False

        def refuses():
            try:
                sock.send(b"x")
                sock.recv(100)
            except ConnectionRefusedError:
                return True
            except TimeoutError:
                pass
            return False
        for _ in range(3):
            proxy.wait_for(serves, "an answer")
            ads.remove("listener", "udp_10000")
            proxy.wait_for(refuses, "a port unreachable")
            ads.set("listener", udp_listener(10000, "up", address="127.0.0.1"))
        proxy.wait_for(serves, "an answer")


def test_sessions_go_on_while_the_proxy_drains(lab, echo):
    client, server = lab.host("client"), lab.host("server")
    origin = echo(server)
    proxy = lab.tulle_proxy(client, bootstrap([udp_listener(10000, "up")], [cluster("up", origin.address)]),
                            arguments=("--drain-time-s", "30"))
    with client.udp(to=("127.0.0.1", 10000), timeout=0.5) as sock, client.udp(to=("127.0.0.1", 10000), timeout=0.5) as late:
        assert ask(sock, b"x") == b"x"
        proxy.send_signal(signal.SIGTERM)
        proxy.wait_for_log("draining")
        for i in range(20):
            assert ask(sock, b"%d" % i) == b"%d" % i
        with pytest.raises((TimeoutError, ConnectionRefusedError)):
            ask(late, b"x", tries=1)
        assert proxy.is_running
    assert proxy.wait_for_exit() == 0  # idle sessions end after 1 s


def test_a_flood_of_many_clients_loses_nothing_that_is_waited_for(lab, start_proxy, echo):
    client, server = lab.host("client"), lab.host("server")
    origins = [echo(server) for _ in range(2)]
    start_proxy(lab, client, bootstrap([udp_listener(10000, "up")], [cluster("up", *(one.address for one in origins))]))
    socks = [client.udp(to=("127.0.0.1", 10000), timeout=10) for _ in range(20)]
    for turn in range(30):
        for number, sock in enumerate(socks):
            for i in range(4):
                sock.send(b"%d %d %d " % (turn, number, i) + b"z" * 1000)
        for number, sock in enumerate(socks):
            got = {sock.recv(2000).split(b" z")[0] for _ in range(4)}
            assert got == {b"%d %d %d" % (turn, number, i) for i in range(4)}
    for sock in socks:
        sock.close()


# --- captured -----------------------------------------------------------------------------------------------------------------

# Programs' datagrams (but the proxy's own, by its mark) are turned back to this host and given to the proxy's socket.
CAPTURE = """
table inet tulle_udp {
  chain outbound {
    type route hook output priority mangle; policy accept;
    meta mark 1337 return
    udp dport 53 return
    fib daddr type local return
    meta l4proto udp meta mark set 1338
  }
  chain turned_back {
    type filter hook prerouting priority mangle; policy accept;
    iif lo meta mark 1338 meta l4proto udp tproxy ip to 127.0.0.1:15001
  }
}
"""


@pytest.fixture
def captured(lab, echo):
    """A client whose UDP goes to a proxy beside it, and two servers."""
    need_program("nft")
    client, server = lab.host("client"), lab.host("server")
    client.run("nft", "-f", "-", input=CAPTURE)
    ip("rule add fwmark 1338 lookup 133", "route add local default dev lo table 133", inside=client.namespace)

    def start(listeners=(), clusters=()):
        passthrough = {"name": "passthrough", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "2s"}
        capture = udp_listener(15001, "passthrough", name="virtual_outbound", address="127.0.0.1",
                               listener={"transparent": True, "use_original_dst": True})
        return lab.tulle_proxy(client, bootstrap([capture, *listeners], [passthrough, *clusters]),
                               arguments=("--upstream-mark", "1337"))
    start.client, start.server = client, server
    return start


def test_captured_datagrams_pass_to_where_they_were_going(lab, captured, echo):
    origins = [echo(captured.server, b"%d " % i) for i in range(2)]
    proxy = captured()
    with captured.client.udp(address="0.0.0.0", timeout=5) as sock:
        for name, origin in ((b"0 ", origins[0]), (b"1 ", origins[1]), (b"0 ", origins[0])):
            sock.sendto(b"hello", origin.address)
            assert sock.recvfrom(100) == (name + b"hello", origin.address)
    assert udp_stats(lab, proxy)["udp.virtual_outbound.downstream_sess_total"] == 2
    assert all(peer[0] == captured.client.ipv4 for origin in origins for peer in origin.peers)


def test_captured_datagrams_for_a_service_go_to_its_endpoints(lab, captured, echo):
    origin = echo(captured.server, b"service ")
    vip = ("10.96.0.7", 5353)
    proxy = captured([udp_listener(vip[1], "up", name="service", address=vip[0], listener={"bind_to_port": False})],
                     [cluster("up", origin.address)])
    ip("route add 10.96.0.0/16 dev eth0", inside=captured.client.namespace)
    with captured.client.udp(to=vip) as sock:  # connected: an answer from anywhere else would not be heard
        assert ask(sock, b"a") == b"service a"
        assert ask(sock, b"b" * 60000) == b"service " + b"b" * 60000
    counted = udp_stats(lab, proxy)
    assert counted["udp.service.downstream_sess_total"] == 1
    assert counted.get("udp.virtual_outbound.downstream_sess_total", 0) == 0


def test_what_is_sent_to_the_capture_port_itself_goes_nowhere(lab, captured):
    proxy = captured()
    with captured.client.udp(to=("127.0.0.1", 15001), timeout=0.3) as sock:
        with pytest.raises(TimeoutError):
            ask(sock, b"x", tries=2)
    assert stats_of(lab, proxy)["udp.ended.proxy_loop"] == 2
