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
        self.process.wait_for((self.data / "api.sock").exists, "the API")
        self.kube = Kube(self.data)


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
    assert SANITIZED or grown < 16 * 1024, f"{grown} KiB"
