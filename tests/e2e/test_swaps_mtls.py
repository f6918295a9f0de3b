"""Thousands of configurations that differ, secrets among them, on both sides of mTLS under load: nothing fails, nothing
grows, and what serves a request or a handshake is never older than what every worker had reached when it began."""
import json
import os
import random
import socket
import ssl
import threading
import time

import pytest

from lab import SANITIZED, Client, Pki, Reply, route, tcp_listener, virtual_host
from lab.ads import packed
from lab.config import TYPE, ads_bootstrap, eds_cluster, endpoints, http_listener, rds_listener, route_table
from lab.hosts import ip
from test_mtls import TLS, sds, secret

SOAK = bool(os.environ.get("TULLE_SOAK"))
CHANGES = int(os.environ.get("TULLE_SWAPS", 10_000 if SOAK else 200))
LEAVES = 8
HTTP2 = {"typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
    "@type": TYPE + "envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}}
WEB, CART = "spiffe://mesh.test/ns/shop/sa/web", "spiffe://mesh.test/ns/shop/sa/cart"


class Log:
    """What a proxy was told, in order: {who: version}. A claim about something that began at mark() is judged by allows()."""

    def __init__(self):
        self.now, self.entries, self.adopted = {}, [], 0

    def tell(self, gone=(), **said):
        """Noted before it is sent: an answer may come before the ACK."""
        self.now = {who: version for who, version in {**self.now, **said}.items() if who not in gone}
        self.entries.append(self.now)

    def mark(self):
        """The newest that every worker is known to have reached."""
        return self.adopted

    def allows(self, mark, who, version):
        return any(entry.get(who) == version for entry in self.entries[mark:])

    def allows_orphan(self, mark, who, version):
        """On a connection whose listener or chain has gone, the last version that it had."""
        last = next((entry[who] for entry in reversed(self.entries[:mark + 1]) if who in entry), None)
        return who not in self.entries[-1] and version == last or self.allows(max(mark - 50, 0), who, version)


class Proxy:
    """A proxy, the discovery server that drives it, and what it was told."""

    def __init__(self, lab, host, ads):
        self.lab, self.ads, self.log, self.versions = lab, ads, Log(), 0
        self.program = lab.tulle_proxy(host, ads_bootstrap(ads.address), wait=False)

    def version(self):
        self.versions += 1
        return self.versions

    def workers(self):
        return json.loads(self.lab.admin(self.program, "/workers").body)

    def settle(self):
        """Until it has acknowledged everything and every worker serves by it."""
        newest = len(self.log.entries) - 1
        self.ads.wait_until_settled(120)
        self.program.wait_for(lambda: (told := self.workers()["configuration"])["adopted_by_all"] == told["published"], "adoption", 60)
        self.log.adopted = newest


def named(who, version):
    """A route's mark on its responses."""
    return {"response_headers_to_add": [{"header": {"key": f"x-{who.split('-')[0]}", "value": f"{who} {version}"}}]}


def weighted(random, *names):
    weight = random.randrange(101)
    return {"timeout": "0s", "weighted_clusters": {"clusters": [{"name": names[0], "weight": weight}, {"name": names[1], "weight": 100 - weight}]}}


def tls_socket(side, certificate, alpn=(), **more):
    return {"name": "envoy.transport_sockets.tls", "typed_config": {"@type": TLS + side, "common_tls_context": {
        "tls_certificate_sds_secret_configs": [sds(certificate)], "validation_context_sds_secret_config": sds("trust"),
        **({"alpn_protocols": list(alpn)} if alpn else {})}, **more}}


class Mesh:
    """client: proxy out  ==mTLS==>  server: proxy in, two back ends. Everything comes by ADS, the secrets too."""

    http2 = ()  # clusters that are asked in HTTP/2
    probe = "/"  # what each back end answers

    def __init__(self, lab):
        self.lab, self.random = lab, random.Random(20260101)
        self.client, self.server, control = lab.host("client"), lab.host("server"), lab.host("control")
        self.second = {}
        for host in self.client, self.server:  # a second address each
            self.second[host] = host.ipv4.rpartition(".")[0] + f".{200 + host.number}"
            ip(f"addr add {self.second[host]}/24 dev eth0", inside=host.namespace)
        self.pki = lab.pki()
        self.leaves = {name: [self.pki.leaf(f"{name}-{i}", f"URI:{uri}") for i in range(LEAVES)] for name, uri in (("web", WEB), ("cart", CART))}
        self.roots = [open(self.pki.ca).read() + "".join(open(Pki(lab.path(f"other{i}")).ca).read() for i in range(n)) for n in range(3)]
        self.ports = self.start_back_ends()
        self.stray = []  # client certificates that were not current
        self.out = Proxy(lab, self.client, lab.ads(control, 18000))
        self.inner = Proxy(lab, self.server, lab.ads(control, 18001))
        self.begin()

    def start_back_ends(self):
        """Gives the ports of two."""
        return [self.lab.origin(self.server, name=name, answer=self.answer).port for name in ("v1", "v2")]

    @staticmethod
    def answer(request):
        return Reply(headers=[("x-peer", request.header("x-forwarded-client-cert") or ""), ("x-body", str(request.body_size))])

    # ------------------------------------------------------------ what is told; each kind of change differs each time

    def begin(self):
        out, inner = self.out, self.inner
        for proxy, name in (out, "web"), (inner, "cart"):
            proxy.leaf = proxy.roots = -1
            self.change_leaf(proxy, name)
            self.change_roots(proxy)
        out.listener, inner.listener, inner.spare = "out", "in", False
        self.change_clusters(out), self.change_clusters(inner)
        self.change_endpoints(out), self.change_endpoints(inner)
        self.change_routes()
        self.change_out(), self.change_in(), self.change_bytes()
        out.ads.set("listener", rds_listener(10002, "steady"), tcp_listener(10003, "cart", name="straight"))
        for proxy, ports in (out, (10000, 10001, 10002, 10003)), (inner, (15006, 15007)):
            for port in ports:
                proxy.program.wait_for_port(port)
        for port in 10000, 10001, 10002, 10003:
            out.program.wait_for(lambda: self.client.get(port, self.probe).status == 200, "a 200")
        out.settle(), inner.settle()

    def change_leaf(self, proxy, name):
        proxy.leaf = (proxy.leaf + 1) % LEAVES
        proxy.log.tell(leaf=f"{name}-{proxy.leaf}")
        proxy.ads.set("secret", secret(name, self.leaves[name][proxy.leaf]))

    def change_roots(self, proxy):
        proxy.roots = (proxy.roots + 1) % len(self.roots)
        proxy.ads.set("secret", {"name": "trust", "validation_context": {"trusted_ca": {"inline_string": self.roots[proxy.roots]}}})

    def change_clusters(self, proxy):
        made = []
        for name in ("cart", "cart2", "bytes") if proxy is self.out else ("v1", "v2"):
            is_http2 = name in self.http2
            more = HTTP2 if is_http2 else {}
            if proxy is self.out:
                more = {"transport_socket": tls_socket("UpstreamTlsContext", "web", ["h2"] if is_http2 else ()), **more}
            made.append(eds_cluster(name, connect_timeout=f"{20 + self.random.randrange(40)}s", **more))
        proxy.ads.set("cluster", *made)

    def change_endpoints(self, proxy):
        if proxy is self.out:
            addresses = [self.server.ipv4, self.second[self.server]]
            self.random.shuffle(addresses)
            some = addresses[:self.random.choice((1, 2))]
            proxy.ads.set("endpoints", *(endpoints(name, *((address, port) for address in some))
                                         for name, port in (("cart", 15006), ("cart2", 15006), ("bytes", 15007))))
        else:
            one, two = self.random.sample(self.ports, 2)
            proxy.ads.set("endpoints", endpoints("v1", ("127.0.0.1", one)), endpoints("v2", ("127.0.0.1", two), ("127.0.0.1", one)))

    def routed(self, who, version, *names):
        return virtual_host(route(route=weighted(self.random, *names), **named(who, version)))

    def change_routes(self):
        version = self.out.version()
        self.out.log.tell(**{"out-steady": version})
        self.out.ads.set("routes", route_table("steady", self.routed("out-steady", version, "cart", "cart2")))

    def change_out(self, takes_over=False):
        out, old = self.out, self.out.listener
        if takes_over:
            out.listener = "out2" if old == "out" else "out"
        version = out.version()
        who = f"out-{out.listener}"
        out.log.tell(**{who: version}, gone=[f"out-{old}"] if takes_over else [])
        out.ads.set("listener", http_listener(10000, self.routed(who, version, "cart", "cart2"), name=out.listener,
                                              stream_idle_timeout=f"{600 + version}s"), instead_of=[old] if takes_over else [])

    def change_in(self, takes_over=False):
        """Its second chain comes and goes; so does detection."""
        inner, old = self.inner, self.inner.listener
        if takes_over:
            inner.listener = "in2" if old == "in" else "in"
        version, chains, said = inner.version(), [], {}
        for chain, match in ("main", None), ("second", {"source_prefix_ranges": [{"address_prefix": self.second[self.client], "prefix_len": 32}]}):
            if match and self.random.random() < 0.5:
                continue
            who = f"in-{inner.listener}-{chain}"
            said[who] = version
            made = http_listener(15006, self.routed(who, version, "v1", "v2"), forward_client_cert_details="SANITIZE_SET",
                                 set_current_client_cert_details={"subject": True}, stream_idle_timeout=f"{600 + version}s")["filter_chains"][0]
            chains.append({**made, "name": chain, **({"filter_chain_match": match} if match else {}),
                           "transport_socket": tls_socket("DownstreamTlsContext", "cart", ["h2", "http/1.1"] if self.http2 else (),
                                                          require_client_certificate=True)})
        inner.log.tell(**said, gone=[f"in-{name}-{chain}" for name in ("in", "in2") for chain in ("main", "second") if f"in-{name}-{chain}" not in said])
        inspector = {"name": "tls", "typed_config": {"@type": TYPE + "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"}}
        document = {**http_listener(15006, name=inner.listener), "filter_chains": chains, "listener_filters": [inspector] * (version % 2)}
        inner.ads.set("listener", document, instead_of=[old] if takes_over else [])

    def change_bytes(self):
        """The two listeners of tunnels that stay open."""
        timeout = f"{3600 + self.inner.version()}s"
        document = tcp_listener(15007, "v1", name="bytes", idle_timeout=timeout)
        document["filter_chains"][0]["transport_socket"] = tls_socket("DownstreamTlsContext", "cart", require_client_certificate=True)
        self.inner.ads.set("listener", document)
        self.out.ads.set("listener", tcp_listener(10001, "bytes", name="bytes", idle_timeout=timeout))

    def change_spare(self):
        """A listener that nobody uses comes and goes."""
        self.inner.spare = not self.inner.spare
        if self.inner.spare:
            self.inner.ads.set("listener", tcp_listener(15008, "v1", name="spare", idle_timeout=f"{self.inner.version()}s"))
        else:
            self.inner.ads.remove("listener", "spare")

    def change(self):
        out, inner = self.out, self.inner
        kinds = [lambda: self.change_leaf(out, "web"), lambda: self.change_leaf(inner, "cart"), lambda: self.change_roots(out),
                 lambda: self.change_roots(inner), lambda: self.change_clusters(out), lambda: self.change_clusters(inner),
                 lambda: self.change_endpoints(out), lambda: self.change_endpoints(inner), self.change_routes, self.change_out,
                 self.change_in, self.change_bytes, self.change_spare, lambda: self.change_out(True), lambda: self.change_in(True)]
        self.random.choice(kinds)()
        out.settle(), inner.settle()


# ---------------------------------------------------------------- the load

class Load:
    """Clients that ask without pause; each judges what it is answered."""

    def __init__(self, mesh):
        self.mesh, self.failures, self.served, self.stop = mesh, [], {}, threading.Event()
        works = (self.new_connections, self.kept_connections, self.kept_on_routes_by_name, self.handshakes, self.straight)
        self.threads = [threading.Thread(target=self.run, args=(work,), daemon=True) for work in works]
        for thread in self.threads:
            thread.start()

    def run(self, work):
        self.served[work.__name__] = 0
        while not self.stop.is_set() and len(self.failures) < 10:
            try:
                work()
            except Exception as error:
                self.failures.append(f"{work.__name__}: {error!r}")

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()

    def judge(self, work, response, proxy, header, mark, may_be_orphan=False):
        self.served[work] += 1
        if response.status != 200:
            self.failures.append(f"{work}: {response}")
            return
        who, _, version = response.header(header).partition(" ")
        log = proxy.log
        if log.allows(mark, who, int(version)) or may_be_orphan and log.allows_orphan(mark, who, int(version)):
            return
        self.failures.append(f"{work}: {who} {version}, but every worker had {log.entries[mark]} and {log.now} is the newest")

    def new_connections(self):
        out, inner = self.mesh.out, self.mesh.inner
        marks = out.log.mark(), inner.log.mark()
        response = self.mesh.client.get(10000, timeout=30)
        self.judge("new_connections", response, out, "x-out", marks[0])
        self.judge("new_connections", response, inner, "x-in", marks[1], may_be_orphan=True)  # the connection between is a kept one

    def keep_asking(self, work, port, may_be_orphan):
        out, closes = self.mesh.out, False
        with self.mesh.client.connect(port, timeout=30) as connection:
            while not closes and not self.stop.is_set():
                mark = out.log.mark()
                response = connection.exchange("GET", "/")
                closes = (response.header("connection") or "").lower() == "close"
                self.judge(work, response, out, "x-out", mark, may_be_orphan and closes)

    def kept_connections(self):
        self.keep_asking("kept_connections", 10000, True)

    def kept_on_routes_by_name(self):
        self.keep_asking("kept_on_routes_by_name", 10002, False)

    def handshakes(self):
        """To the inner proxy, from the second address."""
        mesh = self.mesh
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(mesh.pki.ca)
        context.load_cert_chain(*mesh.leaves["web"][0])
        mark = mesh.inner.log.mark()
        with mesh.client.inside():
            raw = socket.create_connection((mesh.server.ipv4, 15006), 30, source_address=(mesh.second[mesh.client], 0))
        with Client(context.wrap_socket(raw), 30) as connection:
            shown = dict(pair[0] for pair in connection.socket.getpeercert()["subject"])["commonName"]
            if not mesh.inner.log.allows(mark, "leaf", shown):
                self.failures.append(f"handshakes: {shown} was shown, but every worker had {mesh.inner.log.entries[mark]['leaf']}")
            self.judge("handshakes", connection.exchange("GET", "/"), mesh.inner, "x-in", mark)

    def straight(self):
        """A tunnel each through the outer proxy, so a handshake each between the proxies."""
        mesh = self.mesh
        marks = mesh.out.log.mark(), mesh.inner.log.mark()
        response = mesh.client.get(10003, timeout=30)
        self.judge("straight", response, mesh.inner, "x-in", marks[1])
        shown = (response.header("x-peer") or "").partition("CN=")[2].strip('"')
        if not mesh.out.log.allows(marks[0], "leaf", shown):
            self.failures.append(f"straight: '{shown}' was shown, but every worker had {mesh.out.log.entries[marks[0]]['leaf']}")


class Held:
    """What stays open across many changes: tunnels, and slow bodies through both proxies."""

    SIZE = 40

    def __init__(self, mesh):
        self.sent, self.marks = 0, (mesh.out.log.mark(), mesh.inner.log.mark())
        self.mesh, self.tunnels = mesh, [mesh.client.connect(10001, timeout=60) for _ in range(3)]
        self.slow = [mesh.client.connect(port, timeout=60) for port in (10000, 10002)]
        for tunnel in self.tunnels:
            assert tunnel.exchange("GET", "/").status == 200
        for slow in self.slow:
            slow.send(f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {self.SIZE}\r\nExpect: 100-continue\r\n\r\n")
            slow.read_until(b"100 Continue\r\n\r\n")  # so it was routed
        self.newest = len(mesh.out.log.entries), len(mesh.inner.log.entries)

    def drip(self):
        if self.sent < self.SIZE - 1:
            self.sent += 1
            for slow in self.slow:
                slow.send("x")

    def end(self):
        for slow in self.slow:
            slow.send("x" * (self.SIZE - self.sent))
            response = slow.response()
            assert response.status == 200 and response.header("x-body") == str(self.SIZE), response
            who, _, version = response.header("x-out").partition(" ")
            assert any(entry.get(who) == int(version) for entry in self.mesh.out.log.entries[self.marks[0]:self.newest[0]]), (who, version)
            slow.close()
        for tunnel in self.tunnels:
            assert tunnel.exchange("GET", "/").status == 200, "a tunnel across the swaps"
            tunnel.close()


@pytest.mark.timeout(3000 if SOAK else 240)
def test_swaps_over_mtls(lab):
    mesh = Mesh(lab)
    proxies = {"out": mesh.out, "in": mesh.inner}
    step = max(CHANGES // 20, 25)
    load, curve = Load(mesh), []
    started = time.monotonic()
    try:
        for number in range(CHANGES):
            if number % step == 0:
                held = Held(mesh)
            if number % (step // 20) == 0:
                held.drip()
            mesh.change()
            if number % step == step - 1:
                held.end()
                curve.append({name: proxy.program.memory_kb()["rss"] for name, proxy in proxies.items()})
                print(f"{number + 1} changes, {time.monotonic() - started:.0f} s, served {load.served}, KiB {curve[-1]}", flush=True)
            assert not load.failures, load.failures[:3]
    finally:
        load.end()
    assert not load.failures, load.failures[:3]
    assert all(count > CHANGES / 20 for count in load.served.values()), load.served
    for name, proxy in proxies.items():
        proxy.program.wait_for(lambda: proxy.workers()["configuration"]["snapshots"] == 1, "the end of old snapshots")
        told = proxy.workers()["configuration"]
        print(name, told)
        assert told["resources"] < 100, told
        warm = curve[len(curve) // 4][name]
        assert SANITIZED or curve[-1][name] - warm < 1024, f"{name}: KiB after each {step} changes: {[point[name] for point in curve]}"
