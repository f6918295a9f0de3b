"""Configuration by ADS, incremental: warm first, acknowledge, refuse with a reason, keep the last good, resume."""
import os
import socket
import threading

import pytest

from lab import SANITIZED, Reply, cluster, route, tcp_listener, virtual_host
from lab.ads import packed
from lab.config import ads_bootstrap, eds_cluster, endpoints, rds_listener, route_table

SOAK = bool(os.environ.get("TULLE_SOAK"))


class Mesh:
    """A discovery server, a proxy under it, two back ends, and a whole small configuration."""

    def __init__(self, lab, start_proxy, begin=True):
        self.lab, self.client, self.server = lab, lab.host("client"), lab.host("server")
        self.v1, self.v2 = (lab.origin(self.server, name=name, answer=lambda request, name=name: Reply(body=name.encode()))
                            for name in ("v1", "v2"))
        self.ads = lab.ads(lab.host("control"))
        if begin:
            self.ads.set("cluster", eds_cluster("up"))
            self.ads.set("endpoints", endpoints("up", self.v1.address))
            self.ads.set("listener", rds_listener(10000, "table"))
            self.route_to("up")
        self.proxy = start_proxy(lab, self.client, ads_bootstrap(self.ads.address), wait=begin)
        if begin:
            self.wait_for_listener()

    def route_to(self, name, **more):
        self.ads.set("routes", route_table("table", virtual_host(route(to=name, **more))))

    def wait_for_listener(self, port=10000):
        self.proxy.wait_for_port(port)
        self.wait_for_status(200)

    def get(self, **more):
        return self.client.get(10000, **more)

    def wait_for_status(self, status):
        self.proxy.wait_for(lambda: self.get().status == status, f"a {status}")

    def wait_for_body(self, body):
        self.proxy.wait_for(lambda: self.get().text == body, f"answers by {body}")


@pytest.fixture
def mesh(lab, start_proxy):
    return Mesh(lab, start_proxy)


def test_a_configuration_arrives_is_acknowledged_and_serves(mesh):
    assert mesh.get().text == "v1"
    mesh.ads.wait_until_settled()
    assert not [request for request in mesh.ads.requests if request.error]
    first = mesh.ads.requests[0]
    assert first.node == "test"
    subscribed = {(request.kind, name) for request in mesh.ads.requests for name in request.subscribe}
    assert {("endpoints", "up"), ("routes", "table")} <= subscribed


def test_nothing_is_ready_without_a_first_configuration(lab):
    """Istio's agent waits for the first clusters and listeners however long it takes; so does /ready."""
    client, control = lab.host("client"), lab.host("control")
    document = ads_bootstrap((control.ipv4, 18000))
    for source in "cds_config", "lds_config":
        document["dynamic_resources"][source]["initial_fetch_timeout"] = "0.2s"
    proxy = lab.tulle_proxy(client, document, wait=False)
    proxy.wait_for_log("did not come in time; not ready without the control plane's first clusters")
    ready = lab.admin(proxy, "/ready")
    assert ready.status == 503 and ready.text == "INITIALIZING\nwaits for the control plane's first clusters\n"
    ads = lab.ads(control)
    ads.set("cluster", eds_cluster("up"))
    ads.set("listener", rds_listener(10000, "table"))
    proxy.wait_for(lambda: "first" not in lab.admin(proxy, "/ready").text, "clusters and listeners")
    lab.wait_ready(proxy)  # endpoints and routes never come: that wait has ended


def test_a_new_route_table_acts(mesh):
    mesh.ads.set("cluster", eds_cluster("next"))
    mesh.ads.set("endpoints", endpoints("next", mesh.v2.address))
    mesh.route_to("next")
    mesh.wait_for_body("v2")


def test_endpoints_move(mesh):
    mesh.ads.set("endpoints", endpoints("up", mesh.v2.address))
    mesh.wait_for_body("v2")
    for _ in range(50):
        assert mesh.get().text == "v2"


def test_no_endpoint_is_503_and_heals(mesh):
    mesh.ads.set("endpoints", endpoints("up"))
    mesh.wait_for_status(503)
    mesh.ads.set("endpoints", endpoints("up", mesh.v1.address))
    mesh.wait_for_status(200)


def test_a_removed_cluster_is_503_and_heals(mesh):
    mesh.ads.remove("cluster", "up")
    mesh.wait_for_status(503)
    mesh.ads.set("cluster", eds_cluster("up"))
    mesh.wait_for_status(200)


def test_a_removed_listener_stops_accepting(mesh):
    mesh.ads.remove("listener", "http_10000")

    def refused():
        try:
            mesh.client.connect(10000, timeout=1).close()
            return False
        except OSError:
            return True
    mesh.proxy.wait_for(refused, "refused connections")
    mesh.ads.set("listener", rds_listener(10000, "table"))
    mesh.wait_for_listener()


def test_a_listener_waits_for_its_routes(lab, start_proxy):
    mesh = Mesh(lab, start_proxy, begin=False)
    mesh.ads.set("cluster", eds_cluster("up"))
    mesh.ads.set("endpoints", endpoints("up", mesh.v1.address))
    mesh.ads.set("listener", rds_listener(10000, "table"))
    mesh.ads.wait_for(lambda request: "table" in request.subscribe, "subscription to the routes")
    with pytest.raises(OSError):
        mesh.client.connect(10000, timeout=1)
    mesh.route_to("up")
    mesh.wait_for_listener()


def test_a_changed_cluster_warms_before_it_serves(mesh):
    """Its endpoints come late: until then the old one serves every request."""
    held = mesh.ads.served["endpoints"].pop("up")
    mesh.ads.set("cluster", eds_cluster("up", connect_timeout="3s"))
    for _ in range(50):
        assert mesh.get().status == 200
    mesh.ads.served["endpoints"]["up"] = held
    mesh.ads.set("endpoints", endpoints("up", mesh.v2.address))
    mesh.wait_for_body("v2")


REFUSED = {
    "CFG-04 negative timeout": ("routes", route_table("table", virtual_host(route(route={"cluster": "up", "timeout": "-1s"})))),
    "bad regex": ("routes", route_table("table", virtual_host({"match": {"safe_regex": {"regex": "a("}}, "route": {"cluster": "up"}}))),
    "bad domain": ("routes", route_table("table", virtual_host(route(to="up"), domains=["*", "*"]))),
    "bad address": ("endpoints", endpoints("up", ("300.300.1.1", 1))),
    "CFG-04 port": ("endpoints", endpoints("up", ("10.0.0.1", 70000))),
}


@pytest.mark.parametrize("kind, document", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_built_is_refused_and_the_last_good_serves(mesh, kind, document):
    mesh.ads.wait_until_settled()
    nonce = mesh.ads.send(kind, [(document.get("name") or document["cluster_name"], "bad", packed(kind, document))])
    reason = mesh.ads.wait_for_nack(nonce)
    assert len(reason) > 10, reason
    for _ in range(20):
        assert mesh.get().text == "v1"


def nested(depth):
    """A length-delimited field 2 in itself, over and over."""
    data = b""
    for _ in range(depth):
        size, length = len(data), b""
        while size > 127:
            length += bytes([size & 127 | 128])
            size >>= 7
        data = b"\x12" + length + bytes([size]) + data
    return data


MALFORMED = {
    "CFG-01 cut varint": b"\x0a\xff",
    "CFG-01 long varint": b"\x08" + b"\xff" * 10 + b"\x01",
    "CFG-01 length beyond the end": b"\x0a\x7fx",
    "CFG-01 field 0": b"\x00\x01",
    "CFG-01 wire type 7": b"\x0f",
    "CFG-01 end of no group": b"\x0c",
    "CFG-02 depth": nested(10000),
    "CFG-02 many": b"\x12\x02\x0a\x00" * 2_000_000,
    "not UTF-8": b"\x0a\x02\xff\xfe",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_bytes_are_refused_and_the_last_good_serves(lab, data):
    mesh = Mesh(lab, type(lab).tulle_proxy)
    mesh.ads.wait_until_settled()
    nonce = mesh.ads.send("routes", [("table", "bad", data)])
    assert mesh.ads.wait_for_nack(nonce, timeout=30)
    for _ in range(20):
        assert mesh.get().text == "v1"
    mesh.route_to("up")
    mesh.ads.wait_until_settled()


def test_cfg_03_an_unknown_type_disturbs_nothing(mesh):
    mesh.ads.send("routes", [("x", "1", b"")], type_url="type.googleapis.com/envoy.future.v9.Thing")
    for _ in range(20):
        assert mesh.get().text == "v1"
    mesh.ads.set("endpoints", endpoints("up", mesh.v2.address))
    mesh.wait_for_body("v2")


def test_cfg_08_odd_deltas_disturb_nothing(mesh):
    mesh.ads.send("cluster", removed=["never-heard-of"])
    mesh.ads.send("endpoints", removed=["never-heard-of"])
    good = packed("cluster", eds_cluster("extra"))
    mesh.ads.send("cluster", [("extra", "1", good), ("other", "2", packed("cluster", eds_cluster("other")))])
    mesh.ads.send("cluster", removed=["extra", "extra", "other"])
    for _ in range(20):
        assert mesh.get().text == "v1"


def test_it_serves_on_without_its_server_and_resumes_without_hearing_all_again(mesh):
    mesh.ads.wait_until_settled()
    heard = len(mesh.ads.requests)
    mesh.ads.stop()
    for _ in range(20):
        assert mesh.get().text == "v1"
    mesh.ads.start()
    again = mesh.ads.wait_for(lambda request: request.stream > 1 and request.kind == "cluster", "a new stream", timeout=30)
    assert again.initial == {"up": mesh.ads.served["cluster"]["up"][0]}
    mesh.ads.set("endpoints", endpoints("up", mesh.v2.address))
    mesh.wait_for_body("v2")
    assert heard < len(mesh.ads.requests)


def test_what_changed_while_the_server_was_away_arrives(mesh):
    mesh.ads.wait_until_settled()
    mesh.ads.stop()
    mesh.ads.set("endpoints", endpoints("up", mesh.v2.address))
    mesh.ads.start()
    mesh.wait_for_body("v2")


def test_a_server_that_accepts_and_never_answers_does_not_hold_the_start(lab, start_proxy):
    """OPS-06: admin answers, and what the static part says serves."""
    client, control = lab.host("client"), lab.host("control")
    silent = lab.origin(control, serve=lambda connection: threading.Event().wait(60))
    server = lab.host("server")
    origin = lab.origin(server)
    proxy = lab.tulle_proxy(client, ads_bootstrap((control.ipv4, silent.port), [cluster("static", origin.address)],
                                                  [tcp_listener(10001, "static")]), wait=False) \
        if start_proxy.kind == "tulle" else pytest.skip("Envoy starts its listeners after the first answer")
    proxy.wait_for_port(15000)
    proxy.wait_for_port(10001)
    assert client.get(10001).status == 200
    assert lab.admin(proxy, "/ready").status in (200, 503)


def swap_under_load(mesh, changes, change):
    """Makes changes while four clients ask without pause; gives failures."""
    stop, failures, served = threading.Event(), [], [0]

    def work():
        try:
            with mesh.client.connect(10000, timeout=20) as connection:
                while not stop.is_set():
                    response = connection.exchange("GET", "/")
                    served[0] += 1
                    if response.status != 200:
                        failures.append(response)
                    if (response.header("connection") or "").lower() == "close":
                        connection.socket.close()
                        with mesh.client.inside():
                            connection.socket = socket.create_connection(("127.0.0.1", 10000), 20)
        except Exception as error:
            failures.append(repr(error))
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for number in range(changes):
            change(number)
            if number % 16 == 0:
                mesh.ads.wait_until_settled(60)
        mesh.ads.wait_until_settled(60)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert served[0] > changes / 10
    return failures


@pytest.mark.timeout(1200 if SOAK else 120)
def test_swaps_under_load_fail_no_request(lab):
    """Weights, endpoints, clusters, routes and listeners change under load, with a tunnel and a slow body held across."""
    mesh = Mesh(lab, type(lab).tulle_proxy)
    ads, changes = mesh.ads, 10000 if SOAK else 300
    ads.set("cluster", eds_cluster("v2"), cluster("tunnel", mesh.v1.address))
    ads.set("endpoints", endpoints("v2", mesh.v2.address))
    ads.set("listener", tcp_listener(10001, "tunnel"))
    mesh.proxy.wait_for_port(10001)

    def change(number):
        version = {"response_headers_to_add": [{"header": {"key": "x-version", "value": str(number)}}]}
        step = number % 5
        if step == 0:
            weight = number % 101
            mesh.ads.set("routes", route_table("table", virtual_host(route(route={"weighted_clusters": {"clusters": [
                {"name": "up", "weight": weight}, {"name": "v2", "weight": 101 - weight}]}}, **version))))
        elif step == 1:
            ads.set("endpoints", endpoints("up", *([mesh.v1.address, mesh.v2.address][:1 + number // 5 % 2])))
        elif step == 2:
            ads.set("cluster", eds_cluster("v2", connect_timeout=f"{1 + number % 7}s"))
        elif step == 3:
            ads.set("listener", rds_listener(10000, "table", stream_idle_timeout=f"{60 + number % 9}s"))
        else:
            mesh.ads.set("routes", route_table("table", virtual_host(route(to="up", **version))))

    with mesh.client.connect(10001) as tunnel, mesh.client.connect(10000, timeout=60) as slow:
        tunnel.exchange("GET", "/")
        slow.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345")
        failures = swap_under_load(mesh, 50, change)
        before = mesh.proxy.memory_kb()["rss"]
        failures += swap_under_load(mesh, changes, lambda number: change(number + 50))
        grown = mesh.proxy.memory_kb()["rss"] - before
        slow.send("67890")
        assert slow.response().status == 200, "a slow body across the swaps"
        assert tunnel.exchange("GET", "/").status == 200, "a tunnel across the swaps"
    assert not failures, failures[:3]
    assert SANITIZED or grown < 2048, f"{grown} KiB more after {changes} swaps"


def test_a_response_names_the_version_it_was_routed_by(mesh):
    for number in range(30):
        mesh.route_to("up", response_headers_to_add=[{"header": {"key": "x-version", "value": str(number)}}])
        mesh.ads.wait_until_settled()
        mesh.proxy.wait_for(lambda: mesh.get().header("x-version") == str(number), f"version {number}", timeout=2)
        for _ in range(3):
            assert mesh.get().header("x-version") == str(number), "an older version after a newer one"
