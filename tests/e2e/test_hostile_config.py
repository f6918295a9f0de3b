"""Configuration that is hostile, huge or in haste (rows CFG), for a proxy under a discovery server and for tulled with its API."""
import os
import signal
import threading
import time

import pytest

from lab import SANITIZED, Reply, bootstrap, cluster, http_listener, need_tulle, route, virtual_host
from lab.config import ads_bootstrap, eds_cluster, endpoints, rds_listener, route_table
from lab.hostile import CANARY_S
from lab.kube import Kube, Refused, object_of

SOAK = bool(os.environ.get("TULLE_SOAK"))


class Control:
    """A tulled with its API, and nothing else."""

    def __init__(self, lab, tmp_path, *arguments):
        self.data = tmp_path / "data"
        self.data.mkdir()
        self.process = lab.start(need_tulle("tulled"), "--data", self.data, *arguments, host=lab.host("control"), ours=True)
        self.kube = Kube(self.data)
        self.process.wait_for(self.kube.answers, "the API")


@pytest.fixture
def control(lab, tmp_path):
    return Control(lab, tmp_path)


def virtual_service(match=None, **more):
    http = {"route": [{"destination": {"host": "cart"}}], **more}
    if match:
        http["match"] = match
    return object_of("VirtualService", "shop", "x", {"hosts": ["cart"], "http": [http]})


def entry(address):
    return object_of("ServiceEntry", "shop", "x", {"hosts": ["x.test"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}],
                                                    "resolution": "STATIC", "endpoints": [{"address": address}]})


GREEDY = {
    "a regex of 1 MiB": ("virtualservices", virtual_service([{"uri": {"regex": "a" * (1 << 20)}}])),
    "a regex of many states": ("virtualservices", virtual_service([{"uri": {"regex": "((a{1000}){1000}){1000}"}}])),
    "100,000 header matchers": ("virtualservices", virtual_service(
        [{"headers": {f"x-{number}": {"exact": "a"} for number in range(100000)}}])),
    "100,000 matches": ("virtualservices", virtual_service([{"uri": {"exact": f"/{number}"}} for number in range(100000)])),
    "a file in a header": ("virtualservices", virtual_service(headers={"request": {"set": {"x-key": "%FILE_CONTENT(/etc/shadow)%"}}})),
    "a variable in a header": ("virtualservices", virtual_service(headers={"request": {"set": {"x-key": "%ENVIRONMENT(HOME)%"}}})),
    "a line end in a header": ("virtualservices", virtual_service(headers={"request": {"set": {"x-key": "a\r\nx-b: c"}}})),
    "a socket of the host": ("serviceentries", entry("unix:///var/run/docker.sock")),
}


@pytest.mark.parametrize("plural, item", GREEDY.values(), ids=GREEDY.keys())
def test_cfg_11_what_a_tenant_may_not_have_is_refused_at_admission(control, plural, item):
    control.kube.create("services", object_of("Service", "shop", "cart", {"ports": [{"name": "http", "port": 80}]}))
    before = control.process.memory_kb()["rss"]
    began = time.monotonic()
    with pytest.raises(Refused) as refused:
        control.kube.create(plural, item)
    assert refused.value.code in (400, 413, 422), refused.value
    assert time.monotonic() - began < (20 if SANITIZED else 2)
    assert not control.kube.list(plural)["items"]
    grown = control.process.memory_kb()["rss"] - before
    assert SANITIZED or grown < 64 * 1024, f"{grown} KiB"


def named(text):
    return lambda request: Reply(body=text)


class Mesh:
    """A discovery server, two back ends, and a proxy that keeps its last good configuration on disk."""

    def __init__(self, lab):
        self.lab, self.client, self.server = lab, lab.host("client"), lab.host("server")
        self.v1, self.v2 = (lab.origin(self.server, name=name.decode(), answer=named(name)) for name in (b"v1", b"v2"))
        self.ads = lab.ads(lab.host("control"))
        self.ads.set("cluster", eds_cluster("v1"))
        self.ads.set("endpoints", endpoints("v1", self.v1.address))
        self.ads.set("listener", rds_listener(10000, "table"))
        self.ads.set("routes", route_table("table", virtual_host(route(to="v1"))))
        self.state = lab.path("state")
        os.mkdir(self.state, 0o700)
        self.proxy = self.start()

    def start(self):
        proxy = self.lab.tulle_proxy(self.client, ads_bootstrap(self.ads.address), arguments=("--state-directory", self.state), wait=False)
        proxy.wait_for_port(10000)
        proxy.wait_for(lambda: self.get().status == 200, "a 200")
        return proxy

    def get(self):
        return self.client.get(10000)

    def wait_until_kept(self, name):
        """Until what is on disk knows that cluster."""
        kept = os.path.join(self.state, "snapshot")
        self.proxy.wait_for(lambda: os.path.exists(kept) and name.encode() in open(kept, "rb").read(), f"{name} on disk")


# What a discovery server has said of a move from v1 to v2 when it dies.
STEPS = {
    "nothing": lambda mesh: None,
    "the cluster": lambda mesh: mesh.ads.set("cluster", eds_cluster("v2")),
    "the cluster and its endpoints": lambda mesh: (mesh.ads.set("cluster", eds_cluster("v2")),
                                                   mesh.ads.set("endpoints", endpoints("v2", mesh.v2.address))),
    "a listener without its routes": lambda mesh: mesh.ads.set("listener", rds_listener(10000, "other")),
    "all but the removal": lambda mesh: (STEPS["the cluster and its endpoints"](mesh), mesh.ads.wait_until_settled(), mesh.ads.set(
        "routes", route_table("table", virtual_host(route(to="v2"))))),
    "a changed cluster without endpoints": lambda mesh: (mesh.ads.served["endpoints"].clear(),
                                                         mesh.ads.set("cluster", eds_cluster("v1", connect_timeout="3s"))),
}


@pytest.mark.parametrize("step", STEPS)
def test_cfg_10_a_server_that_dies_in_the_middle_leaves_no_black_hole(lab, step):
    """Under load, and again when the proxy itself is killed and starts from its disk."""
    mesh = Mesh(lab)
    stop, failures, served = threading.Event(), [], set()

    def hammer():
        while not stop.is_set():
            response = mesh.get()
            (served.add(response.text) if response.status == 200 else failures.append(response))
    thread = threading.Thread(target=hammer)
    thread.start()
    STEPS[step](mesh)
    after = "v2" if step == "all but the removal" else "v1"
    mesh.proxy.wait_for(lambda: mesh.get().text == after, f"answers by {after}")
    mesh.ads.stop()
    for _ in range(20):
        assert mesh.get().text == after
    stop.set()
    thread.join()
    assert not failures and served <= {"v1", after}, (failures[:3], served)
    mesh.wait_until_kept(after)
    mesh.proxy.kill()
    mesh.start()
    assert mesh.get().text == after


SERVICES, ENDPOINTS = (10000, 10) if not SANITIZED else (1000, 10)


@pytest.mark.timeout(300)
def test_cfg_09_ten_thousand_services_and_a_hundred_changes_a_second(lab):
    """What is known of 100,000 endpoints has a bound, and changes without pause disturb nobody."""
    mesh = Mesh(lab)
    before = mesh.proxy.memory_kb()["rss"]
    names = [f"outbound|80||s{number}.shop.svc.cluster.local" for number in range(SERVICES)]

    def addresses(number, shift=0):
        return [(f"10.{number // 250}.{number % 250}.{index + 1}", 8000 + shift) for index in range(ENDPOINTS)]
    began = time.monotonic()
    for at in range(0, SERVICES, 500):
        some = range(at, min(at + 500, SERVICES))
        mesh.ads.set("endpoints", *(endpoints(names[number], *addresses(number)) for number in some))
        mesh.ads.set("cluster", *(eds_cluster(names[number]) for number in some))
    mesh.ads.wait_until_settled(240)
    took = time.monotonic() - began
    grown = mesh.proxy.memory_kb()["rss"] - before
    print(f"{SERVICES} services of {ENDPOINTS} endpoints: {grown} KiB more, {took:.1f} s")
    assert SANITIZED or grown < SERVICES * 8, f"{grown} KiB"

    stop, waits = threading.Event(), []

    def ask():
        with mesh.client.connect(10000) as connection:
            while not stop.is_set():
                began = time.monotonic()
                assert connection.exchange("GET", "/").status == 200
                waits.append(time.monotonic() - began)
                time.sleep(0.005)
    thread = threading.Thread(target=ask)
    thread.start()
    for change in range(300):
        began = time.monotonic()
        mesh.ads.set("endpoints", endpoints(names[change % 50], *addresses(change % 50, 1 + change)))
        time.sleep(max(0, 0.01 - (time.monotonic() - began)))
    mesh.ads.wait_until_settled(60)
    stop.set()
    thread.join()
    waits.sort()
    print(f"{len(waits)} requests meanwhile: p50 {waits[len(waits) // 2] * 1000:.1f} ms, p99 {waits[len(waits) * 99 // 100] * 1000:.1f} ms")
    assert len(waits) > 50 and waits[len(waits) * 99 // 100] < CANARY_S


def test_cfg_21_a_file_that_flips_without_pause_ends_as_it_was_left(lab, tmp_path):
    """1,000 changes a second of a file that tulled imports, and as many SIGHUPs: the last one holds, and nothing is lost."""
    folder = tmp_path / "mesh"
    folder.mkdir()
    other = "apiVersion: v1\nkind: Service\nmetadata: {name: stays, namespace: shop}\nspec: {ports: [{name: http, port: 80}]}\n"
    text = "apiVersion: v1\nkind: Service\nmetadata: {name: flips, namespace: shop}\nspec: {ports: [{name: http, port: %d}]}\n"
    (folder / "other.yaml").write_text(other)
    (folder / "flips.yaml").write_text(text % 1)
    control = Control(lab, tmp_path, "--config-dir", folder)
    control.process.wait_for(lambda: len(control.kube.list("services")["items"]) == 2, "both services")
    end, number = time.monotonic() + (60 if SOAK else 2), 1
    while time.monotonic() < end:
        number += 1
        (folder / "new").write_text(text % (number % 1000 + 1))
        os.rename(folder / "new", folder / "flips.yaml")
        control.process.send_signal(signal.SIGHUP)
        time.sleep(0.0005)
    (folder / "flips.yaml").write_text(text % 4321)

    def ports():
        return {item["metadata"]["name"]: item["spec"]["ports"][0]["port"] for item in control.kube.list("services")["items"]}
    control.process.wait_for(lambda: ports() == {"stays": 80, "flips": 4321}, "what was written last")
    assert number > 100


def test_cfg_21_a_proxy_that_gets_a_thousand_hups_loses_nothing(lab):
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server)
    proxy = lab.tulle_proxy(client, bootstrap([http_listener(10000, virtual_host(route(to="up")))], [cluster("up", origin.address)]))
    with client.connect(10000) as connection:
        for _ in range(1000):
            proxy.send_signal(signal.SIGHUP)
            assert connection.exchange("GET", "/").status == 200
    assert proxy.is_running


def test_cfg_22_a_stale_write_is_a_conflict_and_the_first_one_stays(control):
    item = control.kube.create("services", object_of("Service", "shop", "cart", {"ports": [{"name": "http", "port": 80}]}))
    url = control.kube.url("services", "shop", "cart")
    for port in (81, 82):
        item["spec"]["ports"][0]["port"] = port
        if port == 81:
            control.kube.call("PUT", url, item)
        else:
            with pytest.raises(Refused) as refused:
                control.kube.call("PUT", url, item)
            assert refused.value.code == 409
    assert control.kube.call("GET", url)["spec"]["ports"][0]["port"] == 81
