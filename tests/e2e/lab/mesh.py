"""Mesh: tulled on a host of its own, and workloads on theirs: each a sidecar whose host's traffic is captured.

    mesh = Mesh(lab)
    mesh.apply(service("cart", "shop", 8080), workload(host, "cart-1", "shop", app="cart"))
    mesh.sidecar(host, "cart-1", "shop", app="cart")
    Caller(host, "cart", 8080).run(100).by_body

The hosts are like virtual machines: own addresses, a default route, nftables rules made by `tulle capture on`, names by DNS.
"""
import collections
import http.client
import json
import os
import random
import socket
import struct
import subprocess
import threading
import time

from . import config
from .programs import need_tulle
from .wire import Closed

XDS_PORT, XDS_TLS_PORT, API_PORT, DNS_PORT, OUTBOUND, INBOUND = 15010, 15012, 6443, 15053, 15001, 15006
MARK = 1337
HTTP2 = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def service(name, namespace, port, protocol="http", target=None, **selector):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": selector or {"app": name},
                     "ports": [{"name": protocol, "port": port, "targetPort": target or port, "protocol": "TCP"}]}}


def workload(host, name, namespace, account="default", mtls=True, ports=None, **labels):
    address = host if isinstance(host, str) else host.ipv4
    if mtls:
        labels["security.istio.io/tlsMode"] = "istio"
    return {"apiVersion": "networking.istio.io/v1", "kind": "WorkloadEntry", "metadata": {"name": name, "namespace": namespace, "labels": labels},
            "spec": {"address": address, "labels": labels, "serviceAccount": account, **({"ports": ports} if ports else {})}}


def destination_rule(name, namespace, host, **subsets):
    """Subsets are name={label: value}."""
    return {"apiVersion": "networking.istio.io/v1beta1", "kind": "DestinationRule", "metadata": {"name": name, "namespace": namespace},
            "spec": {"host": host, "subsets": [{"name": subset, "labels": labels} for subset, labels in subsets.items()]}}


def virtual_service(name, namespace, host, **weights):
    """Weights are subset=weight."""
    return {"apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService", "metadata": {"name": name, "namespace": namespace},
            "spec": {"hosts": [host], "http": [{"route": [
                {"destination": {"host": host, "subset": subset}, "weight": weight} for subset, weight in weights.items()]}]}}


PLURALS = {"Namespace": "namespaces", "Service": "services", "VirtualService": "virtualservices", "DestinationRule": "destinationrules",
           "WorkloadEntry": "workloadentries", "ServiceEntry": "serviceentries"}


def folder(document):
    """The API path of the collection that an object belongs to."""
    version, space = document["apiVersion"], document["metadata"].get("namespace")
    return f"/{'apis' if '/' in version else 'api'}/{version}" + (f"/namespaces/{space}" if space else "") + f"/{PLURALS[document['kind']]}"


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Mesh:
    """`words` go to tulled; access logs of sidecars are on their stdout, so in their program logs."""

    def __init__(self, lab, *words, host="control"):
        self.lab, self.host, self.words = lab, lab.host(host), words
        self.data = os.path.join(lab.run_folder, "data")
        os.makedirs(self.data, mode=0o700, exist_ok=True)
        self.control, self.sidecars = None, {}
        self.start()

    # ------------------------------------------------------------ the control plane

    def start(self, *more):
        """Starts tulled, again after kill() or stop(); returns when its API answers."""
        for name in "api.sock", "kubeconfig":
            if os.path.exists(os.path.join(self.data, name)):
                os.unlink(os.path.join(self.data, name))
        self.control = self.lab.start(
            need_tulle("tulled"), "--data", self.data, "--xds-address", self.host.ipv4, "--xds-port", XDS_PORT, "--xds-tls-port",
            XDS_TLS_PORT, "--api-port", API_PORT, "--access-log", "/dev/stdout", *self.words, *more, host=self.host, ours=True)
        self.control.wait_for(self.is_up, "answer of the API")
        self.control.wait_for_port(XDS_TLS_PORT)
        return self.control

    def is_up(self):
        try:
            return self.call("GET", "/version")[0] == 200 and os.path.exists(os.path.join(self.data, "kubeconfig"))
        except OSError:
            return False

    def kill(self):
        self.control.kill()

    # ------------------------------------------------------------ its API

    def call(self, method, path, body=None):
        """(status, decoded answer)."""
        connection = UnixConnection(os.path.join(self.data, "api.sock"))
        try:
            connection.request(method, path, body=None if body is None else json.dumps(body), headers={"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def apply(self, *documents):
        """Creates, or replaces what is there."""
        for document in documents:
            path = f"{folder(document)}/{document['metadata']['name']}"
            status, there = self.call("GET", path)
            if status == 404:
                status, said = self.call("POST", folder(document), document)
            else:
                metadata = {**document["metadata"], "resourceVersion": there["metadata"]["resourceVersion"]}
                status, said = self.call("PUT", path, {**document, "metadata": metadata})
            assert status in (200, 201), (document, said)

    def delete(self, *documents):
        for document in documents:
            status, said = self.call("DELETE", f"{folder(document)}/{document['metadata']['name']}")
            assert status == 200, said

    def get(self, document):
        return self.call("GET", f"{folder(document)}/{document['metadata']['name']}")[1]

    def tulle(self, *words, check=True, input=None):
        """`tulle WORDS` on the control plane's host."""
        return self.host.run(need_tulle("tulle"), *words, "--server", f"unix:{self.data}/api.sock", check=check, input=input,
                             env={"HOME": self.lab.folder})

    def kubectl(self, *words, check=True, input=None):
        return self.host.run("kubectl", *words, check=check, input=input,
                             env={"KUBECONFIG": os.path.join(self.data, "kubeconfig"), "HOME": self.lab.folder})

    # ------------------------------------------------------------ workloads

    def node(self, host, name, namespace, account="default", **labels):
        address = host if isinstance(host, str) else host.ipv4
        return {"id": f"sidecar~{address}~{name}.{namespace}~{namespace}.svc.cluster.local", "cluster": f"{name}.{namespace}",
                "metadata": {"NAME": name, "NAMESPACE": namespace, "WORKLOAD_NAME": name, "SERVICE_ACCOUNT": account, "INSTANCE_IPS": address,
                             "CLUSTER_ID": "Kubernetes", "LABELS": labels}}

    def bootstrap(self, node, address, port, transport=None):
        xds = {**config.cluster("xds-grpc", (address, port)),
               "typed_extension_protocol_options": {HTTP2: {"@type": config.TYPE + HTTP2, "explicit_http_config": {"http2_protocol_options": {}}}}}
        if transport:
            xds["transport_socket"] = transport
        ads = {"ads": {}, "resource_api_version": "V3"}
        return {"node": node, "admin": {"address": config.socket_address("127.0.0.1", 15000)},
                "dynamic_resources": {
                    "ads_config": {"api_type": "DELTA_GRPC", "transport_api_version": "V3",
                                   "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"}}]},
                    "lds_config": ads, "cds_config": ads},
                "static_resources": {"clusters": [xds]}}

    def token(self, namespace, account):
        status, answer = self.call("POST", f"/apis/tulle.dev/v1/namespaces/{namespace}/tokens", {"serviceAccount": account})
        assert status in (200, 201), answer
        return answer["token"]

    def sidecar(self, host, name, namespace, account="default", capture=True, concurrency=1, **labels):
        """A sidecar with an identity of its own; from then on the host's traffic goes through it."""
        token = self.lab.write(f"token-{name}.{namespace}", self.token(namespace, account))
        # JSON, because labels like "y" and "no" are no texts in YAML 1.1 unless they are quoted.
        document = json.dumps(self.bootstrap(self.node(host, name, namespace, account, **labels), self.host.ipv4, XDS_TLS_PORT))
        proxy = self.lab.tulle_proxy(
            host, document, concurrency, wait=False, arguments=(
                "--ca-address", f"{self.host.ipv4}:{XDS_TLS_PORT}", "--ca-root", f"{self.data}/ca/roots.pem", "--token-file", token,
                "--dns-address", f"127.0.0.1:{DNS_PORT}", "--upstream-mark", MARK, "--state-directory", self.state(name, namespace)))
        self.sidecars[name, namespace] = proxy
        if capture:
            self.capture(host)
        return proxy

    def state(self, name, namespace):
        path = self.lab.path(f"state-{name}.{namespace}")
        os.makedirs(path, exist_ok=True)
        return path

    def capture(self, host):
        subprocess.run(["ip", "-n", host.namespace, "route", "replace", "default", "dev", "eth0"], check=True)
        host.run(need_tulle("tulle"), "capture", "on", "--dns")

    def wait_ready(self, timeout=60):
        for proxy in self.sidecars.values():
            self.lab.wait_ready(proxy, timeout)

    def wait_synced(self, timeout=30):
        """Until every connected proxy has acknowledged everything that was sent."""
        end = time.monotonic() + timeout
        while True:
            rows = self.call("GET", "/apis/tulle.dev/v1/proxies")[1]["items"]
            if len(rows) >= len(self.sidecars) and all(
                    row[kind] in ("SYNCED", "IGNORED") for row in rows for kind in ("cds", "lds", "eds", "rds")):
                return rows
            assert time.monotonic() < end, f"not in step after {timeout} s: {rows}"
            time.sleep(0.02)


def resolve(host, name, port=DNS_PORT, server="127.0.0.1", timeout=5):
    """The first IPv4 address of a name as that host's DNS tells it, or None."""
    number = random.randrange(65536)
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0" + struct.pack("!HH", 1, 1)
    with host.inside():
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with asking:
        asking.settimeout(timeout)
        asking.sendto(struct.pack("!HHHHHH", number, 0x0100, 1, 0, 0, 0) + question, (server, port))
        answer = asking.recv(4096)
    got, _, _, count, _, _ = struct.unpack("!HHHHHH", answer[:12])
    assert got == number
    return socket.inet_ntoa(answer[-4:]) if count else None


class Caller:
    """Requests from a host to a service by its name, on a few kept connections, counted."""

    def __init__(self, host, name, port, address=None, connections=2, timeout=10):
        self.host, self.name, self.port, self.timeout = host, name, port, timeout
        self.address = address or self.wait_for_address()
        self.connections = connections
        self.reset()
        self.stopping, self.threads, self.lock = False, [], threading.Lock()

    def wait_for_address(self, timeout=20):
        end = time.monotonic() + timeout
        while not (found := resolve(self.host, self.name)):
            assert time.monotonic() < end, f"{self.name} has no address on {self.host.name}"
            time.sleep(0.02)
        return found

    def reset(self):
        self.requests, self.failures, self.by_body, self.by_status = 0, [], collections.Counter(), collections.Counter()
        self.last = None

    def once(self, path="/"):
        return self.host.get(self.port, path, self.address, host=f"{self.name}:{self.port}", timeout=self.timeout)

    def note(self, response, failure=None):
        with self.lock:
            self.requests += 1
            if failure or response.status != 200:
                self.failures.append(failure or f"{response.status} {response.body[:200]!r}")
            if response:
                self.last = response
                self.by_status[response.status] += 1
                self.by_body[response.text] += response.status == 200

    def series(self, count, pause=0):
        client = None
        while not self.stopping and count > 0:
            count -= 1
            fresh = client is None
            try:
                client = client or self.host.connect(self.port, self.address, self.timeout)
                response = client.exchange("GET", "/", host=f"{self.name}:{self.port}")
                self.note(response)
                if response.header("connection") == "close":
                    client.close()
                    client = None
            except Closed as closed:
                client.close()
                client = None
                # A kept connection may be closed while it is idle, as any client must expect.
                if fresh or closed.received:
                    self.note(None, repr(closed))
                else:
                    count += 1
            except OSError as failure:
                client = None
                self.note(None, repr(failure))
            if pause:
                time.sleep(pause)
        if client:
            client.close()

    def run(self, count):
        """So many requests over all connections; gives itself."""
        self.start(count=-(-count // self.connections), pause=0)
        for thread in self.threads:
            thread.join()
        return self

    def start(self, count=1 << 60, pause=0.01):
        """Steady requests until stop()."""
        self.stopping = False
        self.threads = [threading.Thread(target=self.series, args=(count, pause), daemon=True) for _ in range(self.connections)]
        for thread in self.threads:
            thread.start()
        return self

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join()
        return self


def is_fair(seen, total, share, z=3.2905):
    """Is a count within what chance allows at 99.9 %?"""
    if share in (0, 1):
        return seen == total * share
    return abs(seen - total * share) <= z * (total * share * (1 - share)) ** 0.5 + 0.5
