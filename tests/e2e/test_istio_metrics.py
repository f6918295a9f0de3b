"""Istio's standard metrics: every label, of each reporter, for HTTP, gRPC and TCP."""
import json
import os
import sys
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lab import Reply
from lab.mesh import Mesh, resolve, service, workload

GRPC_PEER = os.path.join(os.path.dirname(__file__), "lab", "grpc_peer.py")
SOURCE = {"source_workload": "web-1", "source_workload_namespace": "shop", "source_app": "web", "source_version": "v1",
          "source_canonical_service": "web", "source_canonical_revision": "v1", "source_cluster": "Kubernetes"}
DESTINATION = {"destination_workload": "cart-1", "destination_workload_namespace": "shop", "destination_app": "cart", "destination_version": "v2",
               "destination_canonical_service": "cart", "destination_canonical_revision": "v2", "destination_cluster": "Kubernetes"}
PRINCIPALS = {"source_principal": "spiffe://cluster.local/ns/shop/sa/web-account", "destination_principal": "spiffe://cluster.local/ns/shop/sa/cart-account"}
# A server's sidecar knows of its caller what the certificate says: namespace and account.
STRANGER = {**{label: "unknown" for label in SOURCE}, "source_workload": "web-account", "source_workload_namespace": "shop"}
WHO = {"source": {"reporter": "source", **SOURCE, **DESTINATION, **PRINCIPALS},
       "destination": {"reporter": "destination", **STRANGER, **DESTINATION, **PRINCIPALS}}
SECURITY = {"source": "unknown", "destination": "mutual_tls"}


def of_service(name):
    return {"destination_service": f"{name}.shop.svc.cluster.local", "destination_service_name": name, "destination_service_namespace": "shop"}


class Shop:
    """web calls cart, which serves HTTP, gRPC and lines of TCP; each a service of its own."""

    def __init__(self, lab):
        self.lab, self.mesh = lab, Mesh(lab)
        self.web, self.cart = lab.host("web"), lab.host("cart")
        self.origin = lab.origin(self.cart, 9000, answer=lambda request: Reply(status=int(request.target[1:]), body=b"hello"))
        peer = lab.start(sys.executable, GRPC_PEER, "serve", 9001, host=self.cart)
        peer.wait_for_log("serving")
        self.lines = lab.origin(self.cart, 9002)
        self.mesh.apply(
            service("cart", "shop", 8080, target=9000, app="cart"), service("calls", "shop", 9090, "grpc", target=9001, app="cart"),
            service("lines", "shop", 7000, "tcp", target=9002, app="cart"),
            workload(self.cart, "cart-1", "shop", "cart-account", app="cart", version="v2"))
        self.sidecars = {
            "source": self.mesh.sidecar(self.web, "web-1", "shop", "web-account", app="web", version="v1"),
            "destination": self.mesh.sidecar(self.cart, "cart-1", "shop", "cart-account", app="cart", version="v2")}
        self.mesh.wait_ready()
        self.mesh.wait_synced()

    def address(self, name):
        """Of a service, once the sidecar tells it; a name that it does not know is somebody else's to answer."""
        end = time.monotonic() + 20
        while True:
            try:
                if found := resolve(self.web, f"{name}.shop", timeout=0.2):
                    return found
            except TimeoutError:
                pass
            assert time.monotonic() < end, f"{name} has no address"

    def samples(self, reporter, name):
        """[(labels, value)] of one metric in the sidecar that reports so; the parser calls every counter _total."""
        text = self.lab.admin(self.sidecars[reporter], "/stats/prometheus").text
        return [(sample.labels, sample.value) for family in text_string_to_metric_families(text)
                for sample in family.samples if sample.name == name]

    def wait_for(self, reporter, name, labels, claim=lambda value: value > 0, timeout=10):
        """The one series with exactly these labels, once its value is as claimed."""
        end = time.monotonic() + timeout
        while True:
            samples = self.samples(reporter, name)
            values = [value for found, value in samples if {key: value for key, value in found.items() if key != "le"} == labels]
            if len(values) == 1 and claim(values[0]):
                return values[0]
            assert time.monotonic() < end, (name, labels, samples)
            time.sleep(0.02)


@pytest.fixture(scope="module")
def shop(shared_lab):
    return Shop(shared_lab)


@pytest.mark.parametrize("reporter", ["source", "destination"])
def test_http(shop, reporter):
    address = shop.address("cart")
    for status in 200, 200, 404:
        assert shop.web.get(8080, f"/{status}", address, host="cart.shop:8080", method="POST", body=b"abc").status == status
    labels = {**WHO[reporter], **of_service("cart"), "request_protocol": "http", "response_flags": "-", "grpc_response_status": "",
              "connection_security_policy": SECURITY[reporter]}
    for status, least in ((200, 2), (404, 1)):
        exact = {**labels, "response_code": str(status)}
        count = shop.wait_for(reporter, "istio_requests_total", exact, lambda value: value >= least)
        for metric in "istio_request_duration_milliseconds", "istio_request_bytes", "istio_response_bytes":
            assert shop.wait_for(reporter, metric + "_count", exact) == count
        assert shop.wait_for(reporter, "istio_request_bytes_sum", exact) == 3 * count
        assert shop.wait_for(reporter, "istio_response_bytes_sum", exact) == 5 * count


@pytest.mark.parametrize("reporter", ["source", "destination"])
def test_grpc(shop, reporter):
    calls = [{"kind": "unary", "method": "Unary", "body": "a"}, {"kind": "server", "method": "ServerStream", "body": "5 10"},
             {"kind": "server", "method": "Fail", "body": json.dumps({"code": "NOT_FOUND", "text": "no"})}]
    done = shop.web.run(sys.executable, GRPC_PEER, "call", f"{shop.address('calls')}:9090", json.dumps(calls))
    assert [answer["code"] for answer in json.loads(done.stdout)] == ["OK", "OK", "NOT_FOUND"]
    labels = {**WHO[reporter], **of_service("calls"), "request_protocol": "grpc", "response_code": "200", "response_flags": "-",
              "connection_security_policy": SECURITY[reporter]}
    good = shop.wait_for(reporter, "istio_requests_total", {**labels, "grpc_response_status": "0"}, lambda value: value >= 2)
    bad = shop.wait_for(reporter, "istio_requests_total", {**labels, "grpc_response_status": "5"})
    assert good == 2 * bad
    who = {**WHO[reporter], **of_service("calls")}
    assert shop.wait_for(reporter, "istio_request_messages_total", who) == 3 * bad
    assert shop.wait_for(reporter, "istio_response_messages_total", who) == 6 * bad


@pytest.mark.parametrize("reporter", ["source", "destination"])
def test_tcp(shop, reporter):
    """Also while the connection is open: it may stay so for days."""
    labels = {**WHO[reporter], **of_service("lines"), "request_protocol": "tcp", "response_flags": "-",
              "connection_security_policy": SECURITY[reporter]}

    def value(name):
        return sum(value for found, value in shop.samples(reporter, name) if found == labels)
    before = {name: value(f"istio_tcp_{name}_total") for name in ("connections_opened", "connections_closed", "sent_bytes", "received_bytes")}
    with shop.web.connect(7000, shop.address("lines")) as client:
        answer = client.exchange("GET", "/")
        assert answer.status == 200
        assert shop.wait_for(reporter, "istio_tcp_connections_opened_total", labels) == before["connections_opened"] + 1
        shop.wait_for(reporter, "istio_tcp_sent_bytes_total", labels, lambda now: now > before["sent_bytes"] + 20)
        shop.wait_for(reporter, "istio_tcp_received_bytes_total", labels, lambda now: now > before["received_bytes"] + 20)
        assert value("istio_tcp_connections_closed_total") == before["connections_closed"]
    shop.wait_for(reporter, "istio_tcp_connections_closed_total", labels, lambda now: now == before["connections_closed"] + 1)
    assert value("istio_tcp_connections_opened_total") == before["connections_opened"] + 1


def test_what_nobody_answered(shop):
    """Code 503 by the caller's sidecar, with the flag that says why and no destination but the service."""
    shop.mesh.apply(service("empty", "shop", 8081, app="nobody"))
    address = shop.address("empty")
    end = time.monotonic() + 20
    while shop.web.get(8081, "/", address, host="empty.shop:8081").status != 503:
        assert time.monotonic() < end
    unknown = {label: "unknown" for label in (*DESTINATION, "destination_principal", "source_principal")}
    shop.wait_for("source", "istio_requests_total", {
        "reporter": "source", **SOURCE, **unknown, **of_service("empty"), "request_protocol": "http", "response_code": "503",
        "response_flags": "UH", "grpc_response_status": "", "connection_security_policy": "unknown"})


def test_what_the_mesh_does_not_know(shop):
    outside = shop.lab.host("outside")
    origin = shop.lab.origin(outside)
    assert shop.web.get(origin.port, "/", outside.ipv4).status == 200
    unknown = {label: "unknown" for label in (*DESTINATION, "destination_principal", "source_principal", "destination_service_namespace")}
    shop.wait_for("source", "istio_tcp_connections_opened_total", {
        "reporter": "source", **SOURCE, **unknown, "destination_service": "PassthroughCluster", "destination_service_name": "PassthroughCluster",
        "request_protocol": "tcp", "response_flags": "-", "connection_security_policy": "unknown"})
