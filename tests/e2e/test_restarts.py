"""tulled is killed again and again: no request fails, and nobody is told what did not change."""
import json
import os
import queue
import threading
import time

import grpc
import pytest
from google.protobuf import json_format

from lab import Reply
from lab.ads import TYPES, message, pool
from lab.mesh import XDS_PORT, Caller, Mesh, destination_rule, service, virtual_service, workload

SOAK = float(os.environ.get("TULLE_SOAK", 0))
RESTARTS = 100 if SOAK else 8
DELAY = 30 if SOAK else 3
WATCHED = "cluster", "endpoints", "listener", "routes"


class DeltaClient:
    """A delta client with a memory: what it has it claims on the next stream; everything that it is told is kept."""

    def __init__(self, mesh, host):
        self.mesh, self.node = mesh, mesh.node(host, "watcher", "shop", app="watcher")
        self.known = {kind: {} for kind in WATCHED}  # name -> version
        self.news, self.removed = [], []             # (kind, name) told on this stream
        self.names = {"endpoints": set(), "routes": set()}
        self.answered = set()
        self.channel = None

    def connect(self):
        self.news, self.removed, self.answered = [], [], set()
        self.out = queue.Queue()
        with self.mesh.host.inside():
            self.channel = grpc.insecure_channel(f"127.0.0.1:{XDS_PORT}", options=[("grpc.use_local_subchannel_pool", 1)])
            grpc.channel_ready_future(self.channel).result(10)
        request = message("envoy.service.discovery.v3.DeltaDiscoveryRequest")
        response = message("envoy.service.discovery.v3.DeltaDiscoveryResponse")
        call = self.channel.stream_stream("/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources",
                                          lambda made: made.SerializeToString(), response.FromString)
        self.request = request
        for number, kind in enumerate(WATCHED):
            self.subscribe(kind, first=number == 0)
        threading.Thread(target=self.read, args=(call(iter(self.out.get, None)),), daemon=True).start()

    def subscribe(self, kind, first=False):
        made = self.request(type_url=TYPES[kind], initial_resource_versions=self.known[kind],
                            resource_names_subscribe=sorted(self.names.get(kind, ())))
        if first:
            json_format.ParseDict(self.node, made.node, descriptor_pool=pool())
        if kind in self.names and not self.names[kind]:
            return
        self.out.put(made)

    def read(self, answers):
        kinds = {url: kind for kind, url in TYPES.items()}
        try:
            for answer in answers:
                kind = kinds[answer.type_url]
                for resource in answer.resources:
                    self.known[kind][resource.name] = resource.version
                    self.news.append((kind, resource.name))
                for name in answer.removed_resources:
                    self.known[kind].pop(name, None)
                    self.removed.append((kind, name))
                self.out.put(self.request(type_url=answer.type_url, response_nonce=answer.nonce))
                self.answered.add(kind)
                self.follow(kind)
        except grpc.RpcError:
            pass

    def follow(self, kind):
        """Clusters of ours are EDS, and the route table of the port is asked for by name."""
        wanted = {"endpoints": {name for name in self.known["cluster"] if name.startswith("outbound|")}, "routes": {"8080"}}
        for other, names in wanted.items():
            fresh = names - self.names[other]
            if fresh:
                self.names[other] |= fresh
                self.out.put(self.request(type_url=TYPES[other], resource_names_subscribe=sorted(fresh)))

    def close(self):
        self.out.put(None)
        self.channel.close()

    def wait_for(self, claim, what, timeout=20):
        end = time.monotonic() + timeout
        while not claim():
            assert time.monotonic() < end, f"{what}: told {self.news}, removed {self.removed}, known {self.known}"
            time.sleep(0.01)


RULE = destination_rule("product", "shop", "product", v1={"version": "v1"}, v2={"version": "v2"})


def route(v1, v2):
    return virtual_service("product", "shop", "product", v1=v1, v2=v2)


def documents(lab):
    return [service("product", "shop", 8080, target=9000), RULE, route(50, 50),
            *(workload(lab.host(name), f"product-{name}", "shop", app="product", version=name) for name in ("v1", "v2"))]


def start_workloads(lab, mesh):
    """A caller whose requests go on for ever."""
    for name in "v1", "v2":
        lab.origin(lab.host(name), 9000, answer=lambda request, name=name: Reply(body=name.encode()))
        mesh.sidecar(lab.host(name), f"product-{name}", "shop", app="product", version=name)
    mesh.sidecar(lab.host("client"), "client", "shop", app="client")
    mesh.wait_ready()
    return Caller(lab.host("client"), "product.shop", 8080).start()


@pytest.fixture
def watch(lab):
    watchers = []

    def watch(mesh):
        watcher = DeltaClient(mesh, lab.host("client"))
        watchers.append(watcher)
        watcher.connect()
        watcher.wait_for(lambda: len(watcher.known["endpoints"]) >= 3 and watcher.known["routes"] and watcher.known["listener"], "everything")
        return watcher
    yield watch
    for watcher in watchers:
        watcher.close()


@pytest.mark.timeout(600)
def test_restarts_disturb_nobody(lab, watch):
    mesh = Mesh(lab)
    mesh.apply(*documents(lab))
    caller, watcher = start_workloads(lab, mesh), watch(mesh)
    before = {kind: dict(watcher.known[kind]) for kind in WATCHED}
    for number in range(RESTARTS):
        mesh.kill()
        watcher.close()
        mesh.start()
        changes = number % 4 == 3
        if changes:
            mesh.apply(route(50 + number % 40, 50 - number % 40))
        watcher.connect()
        if changes:
            watcher.wait_for(lambda: ("routes", "8080") in watcher.news, "the one route that changed")
            assert set(watcher.news) == {("routes", "8080")}, watcher.news
        else:
            # Whatever there is to tell comes before these, or with them.
            watcher.wait_for(lambda: {"cluster", "listener"} <= watcher.answered, "an answer to the wildcards")
            assert watcher.news == [], watcher.news
        assert watcher.removed == []
    mesh.control.wait_for(lambda: caller.requests > 10 * RESTARTS and len(caller.by_body) == 2, "enough requests")
    caller.stop()
    assert not caller.failures, caller.failures[:5]
    assert set(caller.by_body) == {"v1", "v2"}
    assert all(before[kind] == watcher.known[kind] for kind in ("cluster", "endpoints", "listener"))
    assert set(before["routes"]) == set(watcher.known["routes"])


@pytest.mark.timeout(200)
def test_a_source_that_comes_late_takes_nothing_away(lab, watch):
    """The directory is empty when tulled starts, as a volume is that is mounted late; then its files come back."""
    folder = os.path.join(lab.run_folder, "config")
    os.makedirs(folder)
    texts = {f"{number}.yaml": json.dumps(document) for number, document in enumerate(documents(lab))}

    def fill():
        for name, text in texts.items():
            with open(os.path.join(folder, "half"), "w") as file:
                file.write(text)
            os.rename(os.path.join(folder, "half"), os.path.join(folder, name))

    fill()
    mesh = Mesh(lab, "--config-dir", folder)
    caller, watcher = start_workloads(lab, mesh), watch(mesh)
    mesh.kill()
    watcher.close()
    for name in texts:
        os.unlink(os.path.join(folder, name))
    mesh.start()
    watcher.connect()
    time.sleep(DELAY)  # the time is the point
    fill()
    watcher.wait_for(lambda: {"cluster", "listener"} <= watcher.answered, "an answer to the wildcards")
    time.sleep(1)
    assert watcher.news == [] and watcher.removed == []
    caller.stop()
    assert not caller.failures and set(caller.by_body) == {"v1", "v2"}, caller.failures[:5]
    assert "5 of 5 objects" in mesh.control.text(), "and it says so"
