"""
Random meshes: services with random names, namespaces, ports and subsets, applied in random order by three ways at once.

TULLE_SEED=n runs one seed again; each test prints its own. `make soak` runs many, larger ones.
"""
import itertools
import json
import os
import random
import re
import string
import time

import pytest

from lab import Reply, need_program
from lab.mesh import Caller, Mesh, destination_rule, is_fair, service, virtual_service, workload

SOAK = float(os.environ.get("TULLE_SOAK", 0))
SEED = os.environ.get("TULLE_SEED")
SEEDS = [int(SEED)] if SEED else random.sample(range(1 << 30), 20) if SOAK else [1, 5]
REQUESTS = 400


class Random(random.Random):
    def name(self, most=12):
        """A DNS label."""
        inner = string.ascii_lowercase + string.digits + "-"
        size = self.randint(1, most)
        text = self.choice(string.ascii_lowercase) + "".join(self.choice(inner) for _ in range(size - 1))
        return text.rstrip("-")

    def names(self, count, most=12):
        found = set()
        while len(found) < count:
            found.add(self.name(most))
        return self.sample(sorted(found), count)

    def port(self):
        return self.choice([port for port in (80, 443, 3000, 8080, 9000, self.randint(1024, 60000)) if not 14990 < port < 15100])

    def weights(self, count):
        """Whole numbers that sum up to 100, none of them 0 unless there are two."""
        if count == 2:
            first = self.choice([90, 50, 75, 99, 100, 10])
            return [first, 100 - first]
        cuts = sorted(self.sample(range(1, 100), count - 1))
        return [high - low for low, high in zip([0, *cuts], [*cuts, 100])]


class Service:
    def __init__(self, rng, name, namespace, versions):
        self.name, self.namespace, self.port, self.target = name, namespace, rng.port(), rng.port()
        self.account = rng.name()
        self.key = rng.choice(["version", "track", "release.example/color", rng.name()])
        self.app = rng.choice(["app", "app.kubernetes.io/name"])
        labels = rng.names(versions)
        self.subsets = dict(zip(rng.names(versions), labels)) if versions > 1 else {}
        self.labels = labels  # one workload each
        self.weights = dict(zip(self.subsets, rng.weights(versions))) if self.subsets else {}
        self.host = rng.choice([name, f"{name}.{namespace}.svc.cluster.local"])
        self.document = service(name, namespace, self.port, target=self.target, **{self.app: name})
        self.rule = destination_rule(rng.name(), namespace, self.host, **{})
        self.set_subsets(self.subsets)
        self.route = virtual_service(rng.name(), namespace, self.host, **self.weights)
        self.entries = []

    def set_subsets(self, subsets):
        self.rule["spec"]["subsets"] = [{"name": subset, "labels": {self.key: label}} for subset, label in subsets.items()]

    def documents(self):
        return [self.document, *self.entries] + ([self.rule, self.route] if self.subsets else [])


class RandomMesh:
    """`ways` says by which of the three each object came, so that it is changed and removed by the same."""

    def __init__(self, lab, seed):
        self.lab, self.rng = lab, Random(seed)
        self.files = os.path.join(lab.run_folder, "config")
        os.makedirs(self.files)
        self.mesh = Mesh(lab, "--config-dir", self.files)
        rng = self.rng
        namespaces = rng.names(rng.randint(1, 3))
        count = rng.randint(3, 12 if SOAK else 5)
        self.services = [Service(rng, name, rng.choice(namespaces), rng.choice([1, 2, 2, 3]) if i else 2)
                         for i, name in enumerate(rng.names(count))]
        self.client = lab.host("client")
        self.client_space = rng.choice(namespaces)
        client = workload(self.client, "the-client", self.client_space, "client")
        self.place()
        self.ways, self.numbers = {}, itertools.count()
        documents = [client] + [document for each in self.services for document in each.documents()]
        rng.shuffle(documents)
        self.bring(documents)
        self.start_sidecars()
        self.callers = {each: Caller(self.client, self.name_of(each), each.port, connections=3) for each in self.services}

    def name_of(self, each):
        names = [f"{each.name}.{each.namespace}", f"{each.name}.{each.namespace}.svc.cluster.local"]
        return self.rng.choice(names + ([each.name] if each.namespace == self.client_space else []))

    def place(self):
        """A host for each workload."""
        number = itertools.count(1)
        self.workloads = []
        for each in self.services:
            for label in each.labels:
                host = self.lab.host(f"w{next(number)}")
                labels = {each.app: each.name, each.key: label}
                self.lab.origin(host, each.target, answer=self.answer(label))
                each.entries.append(workload(host, f"{each.name}-{label}", each.namespace, each.account, **labels))
                self.workloads.append((host, f"{each.name}-{label}", each.namespace, each.account, labels))

    @staticmethod
    def answer(label):
        def answer(request):
            return Reply(headers=[("X-Peer", request.header("x-forwarded-client-cert") or "")], body=label.encode())
        return answer

    def start_sidecars(self):
        order = [*self.workloads, (self.client, "the-client", self.client_space, "client", {})]
        self.rng.shuffle(order)
        for host, name, namespace, account, labels in order:
            self.mesh.sidecar(host, name, namespace, account, **labels)
        self.mesh.wait_ready()

    # ------------------------------------------------------------ three ways in

    def bring(self, documents):
        """In this order, each by a way of its own; runs of one way go together."""
        for way, run in itertools.groupby([(self.rng.choice(("kubectl", "tulle", "directory")), document) for document in documents],
                                          key=lambda pair: pair[0]):
            self.put(way, [document for _, document in run])

    def put(self, way, documents):
        for document in documents:
            self.ways[key_of(document)] = way
        if way == "directory":
            for document in documents:
                path = os.path.join(self.files, file_of(document))
                self.lab.write("half", json.dumps(document))
                with open(path + ".tmp", "w") as file:
                    file.write(json.dumps(document))
                os.rename(path + ".tmp", path)
            return
        folder = self.lab.path(f"batch-{next(self.numbers)}")
        os.makedirs(folder)
        for document in documents:
            with open(os.path.join(folder, file_of(document)), "w") as file:
                file.write(json.dumps(document))
        (self.mesh.kubectl if way == "kubectl" else self.mesh.tulle)("apply", "-f", folder)

    def change(self, document):
        self.put(self.ways[key_of(document)], [document])

    def remove(self, document):
        way = self.ways[key_of(document)]
        if way == "directory":
            os.unlink(os.path.join(self.files, file_of(document)))
        else:
            metadata = document["metadata"]
            (self.mesh.kubectl if way == "kubectl" else self.mesh.tulle)(
                "delete", document["kind"].lower(), metadata["name"], "-n", metadata["namespace"])

    # ------------------------------------------------------------ what must hold

    def wait_until(self, each, claim, what, timeout=20):
        """Calls until an answer is as it should be: the change has come to the client's sidecar."""
        end = time.monotonic() + timeout
        while True:
            caller = Caller(self.client, self.callers[each].name, each.port, connections=2)
            caller.run(120)
            if claim(caller):
                return
            assert time.monotonic() < end, f"{what}: {caller.by_status} {caller.by_body} {caller.failures[:3]}"

    def check_split(self, each):
        caller = self.callers[each]
        for more in (1, 3):  # what chance makes unlikely once it does not make twice
            caller.reset()
            caller.run(REQUESTS * more)
            assert not caller.failures, (each.name, caller.failures[:5])
            answered = sum(caller.by_body.values())
            shares = {each.subsets[subset]: weight / 100 for subset, weight in each.weights.items()}
            if all(is_fair(caller.by_body[label], answered, share) for label, share in shares.items()):
                break
        else:
            raise AssertionError(f"{each.name}: {dict(caller.by_body)} of {answered}, wanted {shares}")
        assert set(caller.by_body) <= set(each.labels)
        self.check_identity(caller)

    def check_identity(self, caller):
        told = caller.last.header("x-peer")
        assert f"URI=spiffe://cluster.local/ns/{self.client_space}/sa/client" in told, told

    @property
    def client_sidecar(self):
        return self.mesh.sidecars["the-client", self.client_space]


def key_of(document):
    return document["kind"], document["metadata"].get("namespace"), document["metadata"]["name"]


def file_of(document):
    return "_".join(filter(None, key_of(document))).lower() + ".yaml"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_random_mesh(lab, seed):
    print(f"TULLE_SEED={seed}")
    need_program("kubectl")
    mesh = RandomMesh(lab, seed)
    rng = mesh.rng
    for each in mesh.services:
        mesh.check_split(each)

    split = [each for each in mesh.services if each.subsets]
    each = rng.choice(split)
    mesh.remove(each.route)
    mesh.wait_until(each, lambda caller: not caller.failures and all(caller.by_body[label] > 120 / len(each.labels) / 3 for label in each.labels),
                    "the default without a VirtualService")
    mesh.put(mesh.ways[key_of(each.route)], [each.route])
    mesh.wait_until(each, lambda caller: not caller.failures and is_split(each, caller), "the split again")

    each = rng.choice(split)
    gone = rng.choice([subset for subset, weight in each.weights.items() if weight > 0])
    each.set_subsets({subset: label for subset, label in each.subsets.items() if subset != gone})
    mesh.change(each.rule)
    mesh.wait_until(each, lambda caller: set(caller.by_status) <= {200, 503} and caller.by_status[503] > 0, "503 for a missing subset")
    mesh.client_sidecar.wait_for_log('" 503 ')
    said = re.findall(r'" 503 (\S+) (\S+) - "([^"]*)"', mesh.client_sidecar.text())
    assert all(flags == "NC" and details.startswith("cluster_not_found") for flags, details, _ in said), said[:3]

    each.set_subsets(each.subsets)
    mesh.change(each.rule)
    mesh.wait_until(each, lambda caller: not caller.failures and is_split(each, caller), "healing")
    for each in mesh.services:
        mesh.check_split(each)
    for (name, namespace), proxy in mesh.mesh.sidecars.items():
        metrics = lab.admin(proxy, "/stats/prometheus").text
        assert 'connection_security_policy="none"' not in metrics, f"{name}.{namespace} served plaintext"


def is_split(each, caller):
    total = sum(caller.by_body.values())
    return all(is_fair(caller.by_body[each.subsets[subset]], total, weight / 100) for subset, weight in each.weights.items())
