"""Peers that know nothing of us run the canary under tulled: unmodified Envoy as the sidecar, and Python gRPC by xds:///."""
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time

import pytest

from lab import Reply
from lab.mesh import XDS_PORT, Mesh, destination_rule, is_fair, service, virtual_service, workload

CLIENT = """
import collections, json, sys
import grpc
channel = grpc.insecure_channel(sys.argv[1])
call = channel.unary_unary('/shop.Product/Version', request_serializer=lambda m: m, response_deserializer=lambda m: m)
for line in sys.stdin:
    count, seen, failed = int(line), collections.Counter(), collections.Counter()
    for _ in range(count):
        try:
            seen[call(b'', timeout=20, wait_for_ready=True).decode()] += 1
        except grpc.RpcError as error:
            failed[f'{error.code().name}: {error.details()}'] += 1
    print(json.dumps({'seen': seen, 'failed': failed}), flush=True)
"""

SERVER = """
import sys
from concurrent import futures
import grpc
version, port = sys.argv[1:]
handler = grpc.unary_unary_rpc_method_handler(lambda request, context: version.encode())
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler('shop.Product', {'Version': handler}),))
assert server.add_insecure_port('0.0.0.0:' + port) == int(port)
server.start()
print('serving', flush=True)
server.wait_for_termination()
"""

RULE = destination_rule("product", "shop", "product", v1={"version": "v1"}, v2={"version": "v2"})


def route(v1, v2):
    return virtual_service("product", "shop", "product", v1=v1, v2=v2)


def check_shift(mesh, sample, control_plane_dies=False):
    """Shifts the canary; `sample(count)` gives ({version: count}, failures). Split within what chance allows, none failed."""
    for step, (v1, v2) in enumerate(((90, 10), (50, 50), (0, 100), (90, 10))):
        mesh.apply(route(v1, v2))
        if control_plane_dies and step == 1:
            mesh.kill()
            mesh.start()
        end = time.monotonic() + 20
        while True:
            seen, failed = sample(200)
            assert not failed, failed
            if is_fair(seen.get("v2", 0), 200, v2 / 100):
                break
            assert time.monotonic() < end, f"{v1}/{v2}: {seen}"
        if v1 == 0:
            continue
        seen, failed = sample(400)
        assert not failed, failed
        assert is_fair(seen.get("v2", 0), 400, v2 / 100, z=4), f"{v1}/{v2}: {seen}"


# ---------------------------------------------------------------- Envoy

class EnvoyMesh:
    """Envoy beside client and product-v1, Tulle beside product-v2; plaintext xDS, since Envoy has no identity here."""

    def __init__(self, lab):
        self.lab, self.mesh = lab, Mesh(lab)
        self.client = lab.host("client")
        for name in "v1", "v2":
            lab.origin(lab.host(name), 9000, answer=lambda request, name=name: Reply(body=name.encode()))
        self.mesh.apply(service("product", "shop", 8080, target=9000), RULE, route(90, 10),
                        *(workload(lab.host(name), f"product-{name}", "shop", mtls=False, app="product", version=name) for name in ("v1", "v2")),
                        workload(self.client, "client", "shop", mtls=False, app="client"))

    def start_envoy(self, host, name, rules, **labels):
        """tulled's plaintext port is on loopback only, so it is forwarded; rules bring the host's traffic to Envoy."""
        forward(self.lab, host, self.mesh.host, XDS_PORT)
        host.run("ip", "route", "replace", "default", "dev", "eth0")
        host.run("nft", "-f", "-", input="table ip envoy {\n" + rules + "\n}\n")
        envoy = self.lab.envoy(host, self.mesh.bootstrap(self.mesh.node(host, name, "shop", **labels), "127.0.0.1", XDS_PORT))
        envoy.wait_for_port(15001)
        envoy.wait_for_port(15006)
        return envoy


OUTBOUND = "chain out { type nat hook output priority -100; ip daddr 240.240.0.0/16 tcp dport 8080 redirect to :15001; }"
INBOUND = "chain in { type nat hook prerouting priority -100; iif != lo tcp dport 9000 redirect to :15006; }"


def forward(lab, host, to, port):
    """127.0.0.1:port on one host leads to 127.0.0.1:port on another, as kubectl port-forward does."""
    with host.inside():
        listener = socket.create_server(("127.0.0.1", port))

    def pump(a, b):
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for end in a, b:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept():
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            try:
                with to.inside():
                    far = socket.create_connection(("127.0.0.1", port), 5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for pair in (near, far), (far, near):
                threading.Thread(target=pump, args=pair, daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    lab.origins.append(listener)
    return listener


@pytest.mark.timeout(180)
def test_envoy_runs_the_canary(lab):
    made = EnvoyMesh(lab)
    envoy = made.start_envoy(made.client, "client", OUTBOUND, app="client")
    beside = made.start_envoy(lab.host("v1"), "product-v1", INBOUND, app="product", version="v1")

    def sample(count):
        seen, failed = {}, []
        with made.client.connect(8080, "240.240.0.77") as client:
            for _ in range(count):
                answer = client.exchange("GET", "/", host="product.shop:8080")
                if answer.status != 200:
                    failed.append((answer.status, answer.text))
                else:
                    seen[answer.text] = seen.get(answer.text, 0) + 1
        return seen, failed

    check_shift(made.mesh, sample, control_plane_dies=True)
    for program in envoy, beside:
        dump = lab.admin(program, "/config_dump?include_eds").text
        assert "outbound|8080|v1|product.shop.svc.cluster.local" in dump and "virtualInbound" in dump
        assert '"error_state"' not in dump, [line for line in dump.splitlines() if "details" in line]
    served = re.search(r"^cluster.inbound\|9000\|\|.*upstream_rq_total: (\d+)$", lab.admin(beside, "/stats").text, re.M)
    assert served and int(served.group(1)) > 100, "requests came in through Envoy too"
    rows = made.mesh.call("GET", "/apis/tulle.dev/v1/proxies")[1]["items"]
    assert len(rows) == 2
    for row in rows:  # also those types of which nothing had to be sent since the restart
        assert (row["cds"], row["lds"], row["eds"], row["rds"]) == ("SYNCED",) * 4, row
        assert row["program"] == "envoy" and row["version"].count(".") == 2 and not row["rejections"], row


# ---------------------------------------------------------------- gRPC

class GrpcClient:
    def __init__(self, lab, host, target, port=XDS_PORT, namespace="shop"):
        bootstrap = {"xds_servers": [{"server_uri": f"127.0.0.1:{port}", "channel_creds": [{"type": "insecure"}], "server_features": ["xds_v3"]}],
                     "node": {"id": f"sidecar~{host.ipv4}~grpc.{namespace}~{namespace}.svc.cluster.local",
                              "metadata": {"NAMESPACE": namespace, "GENERATOR": "grpc"}}}
        path = lab.write("grpc-bootstrap.json", json.dumps(bootstrap))
        self.errors = open(lab.path("grpc-client.log"), "w")
        self.process = subprocess.Popen(
            host.enter_argv() + [sys.executable, "-c", CLIENT, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
            text=True, env={**os.environ, "GRPC_XDS_BOOTSTRAP": path, "GRPC_VERBOSITY": "ERROR"})

    def sample(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()
        said = json.loads(self.process.stdout.readline())
        return said["seen"], said["failed"]

    def close(self):
        self.process.stdin.close()
        self.process.wait(10)
        self.errors.close()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("name", ["product.shop.svc.cluster.local", "product.shop", "product"])
def test_grpc_runs_the_canary(lab, name):
    mesh, client = Mesh(lab), lab.host("client")
    mesh.apply(service("product", "shop", 8080, protocol="grpc", target=9000), RULE, route(90, 10),
               *(workload(lab.host(version), f"product-{version}", "shop", mtls=False, app="product", version=version) for version in ("v1", "v2")))
    for version in "v1", "v2":
        lab.start(sys.executable, "-c", SERVER, version, 9000, host=lab.host(version)).wait_for_log("serving")
    forward(lab, client, mesh.host, XDS_PORT)
    grpc = GrpcClient(lab, client, f"xds:///{name}:8080")
    try:
        if name == "product":
            check_shift(mesh, grpc.sample, control_plane_dies=True)
        else:
            seen, failed = grpc.sample(200)
            assert not failed and is_fair(seen.get("v2", 0), 200, 0.1, z=4), (seen, failed)
    finally:
        grpc.close()
