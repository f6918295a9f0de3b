"""
Connections that were turned to us (rows NET), and storms of new ones: where a connection wanted to go is what is judged, nothing
loops, and one request a time on another connection of the same worker is served at once meanwhile.
"""
import ssl
import subprocess
import threading
import time

import pytest

from lab import SANITIZED, Reply, bootstrap, cluster, http_listener, need_program, route, tcp_listener, virtual_host
from lab.config import TYPE
from lab.hostile import CANARY_ROUTE, Canary
from lab.wire import Closed
from test_mtls import tls_in

FORWARD = virtual_host(route(to="up"))
PASSTHROUGH = {"name": "passthrough", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "2s"}
CAPTURE = 15006
RBAC = TYPE + "envoy.extensions.filters.network.rbac.v3.RBAC"


def captured(*rules, **listener):
    """A listener that everything is turned to, with a policy on where it wanted to go."""
    made = tcp_listener(CAPTURE, "passthrough", listener={
        "use_original_dst": True, "listener_filters": [{"name": "original_dst", "typed_config": {
            "@type": TYPE + "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"}}], **listener})
    if rules:
        made["filter_chains"][0]["filters"].insert(0, {"name": "rbac", "typed_config": {"@type": RBAC, "stat_prefix": "x", "rules": {
            "action": "DENY", "policies": {"p": {"permissions": list(rules), "principals": [{"any": True}]}}}}})
    return made


def turn(host):
    """All TCP from elsewhere goes to the capture port."""
    nft = need_program("nft")
    chain = f"type nat hook prerouting priority dstnat; meta l4proto tcp redirect to :{CAPTURE};"
    host.run(nft, "-f", "-", input=f"table inet capture {{ chain in {{ {chain} }}; }}\n")


def ends(host, port, address):
    """True when a request there gets no byte of an answer: the connection is refused, reset or closed."""
    try:
        with host.connect(port, address) as connection:
            connection.send("GET /config_dump HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            return connection.read_all() == b""
    except OSError as error:
        return not isinstance(error, TimeoutError)


def test_net_01_a_connection_to_the_capture_port_itself_ends(lab):
    server, client = lab.host("server"), lab.host("client")
    proxy = lab.tulle_proxy(server, bootstrap([captured()], [PASSTHROUGH]))
    files = proxy.open_files()
    for address in ("127.0.0.1", "127.0.0.9", server.ipv4):
        for _ in range(20):
            assert ends(server, CAPTURE, address)
    for _ in range(20):
        assert ends(client, CAPTURE, server.ipv4)
    proxy.wait_for(lambda: proxy.open_files() <= files + 2, "descriptors back")
    assert proxy.cpu_s() < (10 if SANITIZED else 2), "it looped"


def test_net_03_where_a_connection_wanted_to_go_is_what_is_judged(lab):
    server, client = lab.host("server"), lab.host("client")
    allowed, secret = lab.origin(server), lab.origin(server)
    proxy = lab.tulle_proxy(server, bootstrap([captured({"destination_port": secret.port})], [PASSTHROUGH]))
    turn(server)
    with client.connect(allowed.port, server.ipv4) as connection:
        assert connection.exchange("GET", "/", host=f"x:{secret.port}").status == 200
    assert ends(client, secret.port, server.ipv4)
    # Neither the admin interface, which listens on loopback only, nor the capture port is reached by way of us.
    for port in (proxy.admin_port, CAPTURE):
        assert ends(client, port, server.ipv4)
    assert not secret.requests and len(allowed.take()) == 1


def test_net_07_mapped_and_scoped_destinations(lab):
    """IPv4 that arrives as ::ffff:a.b.c.d, and link-local IPv6: judged as what they are, and no crash."""
    server, client = lab.host("server"), lab.host("client")
    origin, secret = lab.origin(server), lab.origin(server)
    listener = captured({"and_rules": {"rules": [{"destination_ip": {"address_prefix": server.ipv4, "prefix_len": 32}}, {"destination_port": secret.port}]}})
    listener["address"]["socket_address"].update(address="::", ipv4_compat=True)
    proxy = lab.tulle_proxy(server, bootstrap([listener], [PASSTHROUGH]))
    turn(server)
    for address in (server.ipv4, server.ipv6):
        with client.connect(origin.port, address) as connection:
            assert connection.exchange("GET", "/").status == 200
    assert ends(client, secret.port, server.ipv4)
    local = server.run("ip", "-6", "-o", "addr", "show", "dev", "eth0", "scope", "link").stdout.split()
    if "inet6" in local:
        address = local[local.index("inet6") + 1].split("/")[0]
        try:
            with client.connect(origin.port, f"{address}%eth0", timeout=3) as connection:
                connection.exchange("GET", "/")
        except (OSError, Closed):
            pass
    assert proxy.is_running and client.get(origin.port, address=server.ipv4).status == 200


# ---------------------------------------------------------------- storms

def hello():
    """What a client says first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    sent = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="a").do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()


class Stormy:
    """One worker with a plain listener for the canary and an mTLS one for the storm."""

    def __init__(self, lab):
        self.lab, self.client, server = lab, lab.host("client"), lab.host("server")
        self.origin = lab.origin(server, answer=lambda request: Reply())
        self.pki = lab.pki()
        self.leaf = self.pki.leaf("server", "URI:spiffe://mesh.test/ns/a/sa/a")
        secured = http_listener(10443, FORWARD)
        secured["filter_chains"][0]["transport_socket"] = tls_in(self.leaf, self.pki.ca, "spiffe://mesh.test/ns/a/sa/b")
        self.proxy = lab.tulle_proxy(self.client, bootstrap([http_listener(10000, virtual_host(CANARY_ROUTE)), secured],
                                                            [cluster("up", self.origin.address)]), concurrency=1)


def test_a_storm_of_handshakes_stalls_nobody(lab):
    """Hundreds of clients say hello at once, again and again, and do not go on: each costs us a key exchange and a signature."""
    stormy = Stormy(lab)
    first, rounds, size = hello(), 4 if SANITIZED else 10, 150 if SANITIZED else 400
    with Canary(stormy) as canary:
        for _ in range(rounds):
            connections = [stormy.client.connect(10443, timeout=30) for _ in range(size)]
            for connection in connections:
                connection.send(first)
            for connection in connections:
                assert connection.read(1) == b"\x16", "each gets the server's answer"
            for connection in connections:
                connection.reset()
    print(f"{rounds * size} handshakes; {canary}")


def test_a_storm_of_whole_handshakes_stalls_nobody(lab):
    """openssl's own clients, each handshake with both certificates."""
    stormy = Stormy(lab)
    certificate, key = stormy.pki.leaf("client", "URI:spiffe://mesh.test/ns/a/sa/b")
    with Canary(stormy) as canary:
        clients = [subprocess.Popen(stormy.client.enter_argv() + ["openssl", "s_time", "-connect", "127.0.0.1:10443", "-new", "-time", "3",
                                                                  "-cert", certificate, "-key", key, "-CAfile", stormy.pki.ca],
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(3)]
        told = [client.communicate(timeout=60)[0] for client in clients]
    counts = [int(text.split(" connections in ")[0].split()[-1]) for text in told]
    print(f"{sum(counts)} whole handshakes in 3 s; {canary}")
    assert min(counts) > 20, told


def test_slo_10_connections_that_come_and_reset_without_pause_stall_nobody(lab):
    stormy = Stormy(lab)
    stop, made = threading.Event(), [0]

    def churn():
        while not stop.is_set():
            stormy.client.connect(10000).reset()
            made[0] += 1
    threads = [threading.Thread(target=churn) for _ in range(4)]
    with Canary(stormy) as canary:
        for thread in threads:
            thread.start()
        time.sleep(3)
        stop.set()
        for thread in threads:
            thread.join()
    print(f"{made[0] / 3:.0f} connections a second; {canary}")
    stormy.proxy.wait_for(lambda: stormy.proxy.open_files() < 100, "descriptors back")
