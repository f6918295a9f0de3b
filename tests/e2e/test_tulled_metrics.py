"""What tulled tells about itself: metrics under Istio's names, readiness, and an end without a broken stream."""
import http.client
import json
import os
import signal
import threading
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lab import Reply
from lab.mesh import Caller, Mesh, UnixConnection, service, virtual_service, workload

PORT = 15014


@pytest.fixture
def mesh(lab):
    return Mesh(lab)


def page(mesh, path, asker=None, address="127.0.0.1", host="localhost", **more):
    return (asker or mesh.host).get(PORT, path, address, host=host, **more)


def samples(mesh):
    """{(name, labels as sorted pairs): value}, by Prometheus' own parser, which calls every counter _total."""
    response = page(mesh, "/metrics")
    assert response.status == 200 and response.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    return {(sample.name.removesuffix("_total"), tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(response.text) for sample in family.samples}


def value(mesh, name, **labels):
    return samples(mesh).get((name, tuple(sorted(labels.items()))), 0)


def eventually(claim, what, timeout=10):
    end = time.monotonic() + timeout
    while not claim():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_metrics_have_istios_names(lab, mesh):
    server = lab.host("server")
    lab.origin(server, 9000, answer=lambda request: Reply(body=b"cart"))
    mesh.sidecar(server, "cart-1", "shop", app="cart")
    mesh.apply(service("cart", "shop", 8080, target=9000), workload(server, "cart-1", "shop", app="cart"))
    mesh.wait_ready()
    mesh.wait_synced()
    eventually(lambda: value(mesh, "pilot_proxy_convergence_time_count") > 0, "a proxy has settled")
    seen = samples(mesh)
    assert seen["pilot_xds", ()] == 1
    for kind in "cds", "lds":
        assert seen["pilot_xds_pushes", (("type", kind),)] >= 1
        assert seen["pilot_xds_push_time_count", (("type", kind),)] >= 1
        assert seen["pilot_xds_config_size_bytes_count", (("type", kind),)] >= 1
    assert seen["pilot_total_xds_rejects", ()] == 0
    assert seen["pilot_services", ()] == 1 and seen["pilot_virt_services", ()] == 0
    assert seen["citadel_server_csr_count", ()] == seen["citadel_server_success_cert_issuance_count", ()] == 1
    assert seen["citadel_server_root_cert_expiry_timestamp", ()] > seen["citadel_server_cert_chain_expiry_timestamp", ()] > time.time()
    assert seen["tulle_store_degraded", ()] == 0 and seen["process_resident_memory_bytes", ()] > 1 << 20
    version = page(mesh, "/version").text
    assert seen["pilot_info", (("version", version),)] == seen["istio_build", (("component", "pilot"), ("tag", version))] == 1
    assert sum(count for (name, labels), count in seen.items() if name == "pilot_push_triggers") >= 2


def test_verdicts_and_changes_are_counted(mesh):
    labels = {"group": "networking.istio.io", "version": "v1", "resource": "virtualservices"}
    rule = virtual_service("cart", "shop", "cart", v1=100)
    mesh.apply(rule)
    bad = json.loads(json.dumps(rule).replace('"weight"', '"wait"'))
    assert mesh.call("POST", "/apis/networking.istio.io/v1/namespaces/shop/virtualservices", {**bad, "metadata": {
        "name": "bad", "namespace": "shop"}, "apiVersion": "networking.istio.io/v1"})[0] == 422
    assert value(mesh, "galley_validation_passed", **labels) == 1
    assert value(mesh, "galley_validation_failed", reason="invalid_resource", **labels) == 1
    eventually(lambda: value(mesh, "pilot_k8s_cfg_events", type="VirtualService", event="add") == 1, "the change is counted")
    assert value(mesh, "pilot_virt_services") == 1


def test_pages(lab, mesh):
    assert page(mesh, "/ready").status == 200
    assert page(mesh, "/").status == 200 and "/metrics" in page(mesh, "/").text
    assert page(mesh, "/nothing").status == 404
    assert page(mesh, "/metrics", method="POST").status == 405
    assert json.loads(page(mesh, "/debug/syncz").body) == []
    assert page(mesh, "/metrics", host="evil.example").status == 421


def test_debug_pages_are_for_this_host_only(lab):
    mesh = Mesh(lab, "--monitoring-address", "0.0.0.0")
    other = lab.host("other")
    assert page(mesh, "/metrics", other, mesh.host.ipv4).status == 200
    assert page(mesh, "/debug/syncz", other, mesh.host.ipv4).status == 403
    assert page(mesh, "/debug/syncz").status == 200


def test_an_end_by_sigterm_breaks_nothing(lab, mesh):
    """A sidecar and a watcher are told, and requests go on."""
    client, server = lab.host("client"), lab.host("server")
    lab.origin(server, 9000, answer=lambda request: Reply(body=b"cart"))
    mesh.apply(service("cart", "shop", 8080, target=9000), workload(server, "cart-1", "shop", app="cart"))
    mesh.sidecar(server, "cart-1", "shop", app="cart")
    proxy = mesh.sidecar(client, "web-1", "shop", app="web")
    mesh.wait_ready()
    mesh.wait_synced()
    said = []

    def watch():
        connection = UnixConnection(os.path.join(mesh.data, "api.sock"))
        connection.request("GET", "/api/v1/namespaces/shop/services?watch=true&timeoutSeconds=60")
        answer = connection.getresponse()
        said.append("begun")
        try:
            answer.read()
            said.append("ended")
        except http.client.HTTPException as broken:
            said.append(repr(broken))
    caller = Caller(client, "cart.shop", 8080).start()
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    eventually(lambda: said, "the watch has begun")
    mesh.control.send_signal(signal.SIGTERM)
    assert mesh.control.wait_for_exit(5) == 0
    watcher.join(5)
    assert said[-1] == "ended", "the watch has its end, and no broken connection"
    proxy.wait_for_log("the control plane ends; connect again")
    mesh.start()
    eventually(lambda: len(mesh.call("GET", "/apis/tulle.dev/v1/proxies")[1]["items"]) == 2, "both come back", 30)
    caller.stop()
    assert not caller.failures and caller.requests > 20, caller.failures[:3]
