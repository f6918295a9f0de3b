"""Configurations that change under what is open: accepting sockets stay, what was begun ends well, nothing is left behind."""
import os
import threading
import time

import pytest

from lab import SANITIZED, Reply, route, tcp_listener, virtual_host
from lab.ads import packed
from lab.config import ads_bootstrap, eds_cluster, endpoints, http_listener

SOAK = bool(os.environ.get("TULLE_SOAK"))


class Swapped:
    """A discovery server, two back ends, an HTTP listener (10000) and a TCP one (10001), both to EDS clusters."""

    def __init__(self, lab):
        self.client, server = lab.host("client"), lab.host("server")
        self.backs = [lab.origin(server, name=name, answer=lambda request, name=name: Reply(body=name.encode()))
                      for name in ("v1", "v2")]
        self.ads = lab.ads(lab.host("control"))
        self.ads.set("cluster", eds_cluster("up"), eds_cluster("bytes"))
        self.ads.set("endpoints", endpoints("up", self.backs[0].address), endpoints("bytes", self.backs[0].address))
        self.ads.set("listener", self.listener(0), tcp_listener(10001, "bytes"))
        self.proxy = lab.tulle_proxy(self.client, ads_bootstrap(self.ads.address), wait=False)
        for port in (10000, 10001):
            self.proxy.wait_for_port(port)
            self.proxy.wait_for(lambda: self.get(port).status == 200, "a 200")

    def get(self, port):
        return self.client.get(port)

    def listener(self, number, name="in"):
        """The same address each time; another chain, route table and timeouts."""
        version = {"response_headers_to_add": [{"header": {"key": "x-version", "value": str(number)}}]}
        made = http_listener(10000, virtual_host(route(to="up", **version)), name=name, stream_idle_timeout=f"{60 + number % 7}s")
        if number % 3 == 1:
            other = dict(made["filter_chains"][0], name="local", filter_chain_match={
                "source_prefix_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]})
            made["filter_chains"].insert(0, other)
        return made


def hammer(swapped, stop, failures, served):
    """New connections without pause: none may be refused, cut or answered otherwise than 200."""
    while not stop.is_set():
        try:
            response = swapped.get(10000)
            served.append(int(response.header("x-version")))
            if response.status != 200:
                failures.append(response)
        except Exception as error:
            failures.append(repr(error))


def under_load(swapped, changes, change):
    stop, failures, served = threading.Event(), [], []
    threads = [threading.Thread(target=hammer, args=(swapped, stop, failures, served)) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(1, changes + 1):
            change(number)
            swapped.ads.wait_until_settled(60)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures, failures[:3]
    return served


@pytest.mark.timeout(1200 if SOAK else 180)
def test_a_changed_listener_keeps_its_accepting_socket(lab):
    swapped = Swapped(lab)
    changes = 3000 if SOAK else 60

    def change(number):
        if number % 10 == 5:  # another listener takes the address over, in one response
            old, new = ("in", "in2") if number % 20 == 5 else ("in2", "in")
            document = swapped.listener(number, name=new)
            swapped.ads.send("listener", [(new, str(number), packed("listener", document))], removed=[old])
            change.name = new
        else:
            name = getattr(change, "name", "in")
            swapped.ads.send("listener", [(name, str(number), packed("listener", swapped.listener(number, name)))])
    served = under_load(swapped, changes, change)
    assert len(set(served)) > min(changes / 4, 100), "the changes did act meanwhile"
    assert served[-1] >= changes - 1
    before = swapped.proxy.memory_kb()["rss"], swapped.proxy.open_files()
    under_load(swapped, changes, lambda number: change(number + changes))
    after = swapped.proxy.memory_kb()["rss"], swapped.proxy.open_files()
    assert after[1] <= before[1] + 8, f"descriptors: {before[1]}, then {after[1]}"
    assert SANITIZED or after[0] - before[0] < 1024, f"{before[0]} KiB, then {after[0]} KiB"


@pytest.mark.timeout(180)
def test_endpoints_leave_under_open_connections_and_then_the_proxy_ends(lab):
    """What is open outlives its endpoint, cluster and listener; the sanitizer watches the end."""
    swapped = Swapped(lab)
    ads, old, new = swapped.ads, swapped.backs[0].address, swapped.backs[1].address
    tunnels = [swapped.client.connect(10001, timeout=30) for _ in range(4)]
    keeping = [swapped.client.connect(10000, timeout=30) for _ in range(4)]
    slow = [swapped.client.connect(10000, timeout=30) for _ in range(4)]
    for connection in tunnels + keeping:
        assert connection.exchange("GET", "/").text == "v1"
    for connection in slow:
        connection.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
        connection.read_until(b"100 Continue\r\n\r\n")  # so it has been routed
        connection.send("12345")
    swapped.backs[0].wait_for(lambda: len(swapped.backs[0].open) >= len(tunnels + slow), "the slow bodies")
    for number in range(40):
        ads.set("endpoints", endpoints("up", new if number % 2 == 0 else old), endpoints("bytes", new))
        ads.wait_until_settled(30)
    ads.set("endpoints", endpoints("up", new))
    ads.wait_until_settled(30)
    swapped.proxy.wait_for(lambda: swapped.get(10000).text == "v2", "the other back end")
    for connection in slow[:2]:
        connection.send("67890")
        assert connection.response().text == "v1", "a body across the swaps"
    for connection in tunnels[:2]:
        assert connection.exchange("GET", "/").text == "v1", "a tunnel across the swaps"
        connection.close()  # is logged and counted with an endpoint that is long gone
    ads.remove("cluster", "bytes")
    ads.wait_until_settled(30)
    assert tunnels[2].exchange("GET", "/").text == "v1", "a tunnel whose cluster is gone"
    tunnels[2].close()
    swapped.proxy.stop()
    for connection in tunnels + keeping + slow:
        connection.close()


@pytest.mark.timeout(120)
def test_who_waits_for_an_endpoint_that_leaves_is_served_by_another(lab):
    """The first endpoint answers no connection; requests that wait for it go to the one that takes its place."""
    swapped = Swapped(lab)
    nobody = swapped.client.ipv4.rpartition(".")[0] + ".250"  # it takes seconds until the kernel gives up on it
    swapped.ads.set("cluster", eds_cluster("up", connect_timeout="30s"))
    swapped.ads.wait_until_settled(30)
    for _ in range(5):
        swapped.ads.set("endpoints", endpoints("up", (nobody, 9)))
        swapped.ads.wait_until_settled(30)
        answers, threads = [], []

        def ask():
            answers.append(swapped.client.get(10000, timeout=20).status)
        for _ in range(4):
            threads.append(threading.Thread(target=ask))
            threads[-1].start()
        time.sleep(0.3)  # they wait for a connection that never comes
        swapped.ads.set("endpoints", endpoints("up", swapped.backs[1].address))
        for thread in threads:
            thread.join()
        assert answers == [200] * 4, answers
