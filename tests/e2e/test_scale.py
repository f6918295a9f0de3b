"""
Many services and many sidecars under one tulled: what the first push costs, and that a change of one endpoint reaches those, and
only those, who watch the service, within a second. The sidecars are delta streams of tests/load/xds_streams.c, each over a
connection of its own. In make test with fewer of both.
"""
import os
import queue
import random
import subprocess
import threading
import time

import pytest

from lab import BUILD, SANITIZED, need_tulle
from lab.kube import Kube, object_of
from lab.programs import missing

SOAK = bool(os.environ.get("TULLE_SOAK"))
SERVICES, STREAMS, WATCHED = (1000, 500, 20) if SOAK else (60, 30, 12)
CHANGES = 40 if SOAK else 10
LIMIT_S = 1.0


class Streams:
    """xds_streams with its lines in a queue."""

    def __init__(self, host, port):
        path = os.path.join(BUILD, "load", "xds_streams")
        if not os.path.exists(path):
            missing(f"{path} (not built)")
        self.lines = queue.Queue()
        words = [path, port, STREAMS, SERVICES, WATCHED, "shop"]
        self.process = subprocess.Popen(host.enter_argv() + [str(word) for word in words], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.split())

    def next(self, timeout):
        try:
            words = self.lines.get(timeout=timeout)
        except queue.Empty:
            return None
        assert words[0] != "lost", " ".join(words)
        return words

    def stop(self):
        self.process.stdin.close()
        self.process.wait(60)


def subscribers(service):
    """As service_of in xds_streams.c."""
    return {stream for stream in range(STREAMS)
            if any((stream * 7 + index * (SERVICES // WATCHED)) % SERVICES == service for index in range(WATCHED))}


def fill(kube):
    for number in range(SERVICES):
        app = f"s{number}"
        kube.create("services", object_of("Service", "shop", app, {"selector": {"app": app}, "ports": [{"name": "http", "port": 80}]}))
        kube.create("workloadentries", object_of("WorkloadEntry", "shop", app, {
            "address": f"10.100.{number // 250}.{number % 250 + 1}", "labels": {"app": app}, "serviceAccount": app}))


@pytest.mark.timeout(900 if SOAK else 120)
def test_an_endpoint_change_reaches_exactly_its_subscribers_within_a_second(lab, tmp_path):
    host, data = lab.host("control"), tmp_path / "data"
    data.mkdir()
    tulled = lab.start(need_tulle("tulled"), "--data", data, "--xds-port", 15010, host=host, ours=True)
    tulled.wait_for((data / "api.sock").exists, "the API")
    kube = Kube(data)
    began = time.monotonic()
    fill(kube)
    filled_s = time.monotonic() - began
    tulled.wait_for(lambda: "virtual address" not in tulled.text()[-200:], "addresses")
    settle(tulled)
    empty = tulled.memory_kb()
    cpu = tulled.cpu_s()
    streams = Streams(host, 15010)
    try:
        words = streams.next(600 if SOAK else 60)
        assert words and words[0] == "ready", words
        ready_ms, resources, size = int(words[1]), int(words[3]), int(words[5])
        push_cpu = tulled.cpu_s() - cpu
        while streams.next(1.0):
            pass  # what came while the last ones were served
        full = tulled.memory_kb()
        cpu, slowest = tulled.cpu_s(), []
        chance = random.Random(20261121)
        for number in range(CHANGES):
            slowest.append(change(kube, streams, chance.randrange(SERVICES), number))
        change_cpu = (tulled.cpu_s() - cpu) / CHANGES
    finally:
        streams.stop()
    print(f"\n{SERVICES} services, {STREAMS} streams: filled in {filled_s:.1f} s; first push {ready_ms} ms, {resources} resources, "
          f"{size / 1e6:.0f} MB, {push_cpu:.2f} s CPU; memory {empty['rss'] / 1024:.0f} MB before, {full['rss'] / 1024:.0f} MB with "
          f"the streams; a change: at most {max(slowest) * 1000:.0f} ms to the last subscriber, median "
          f"{sorted(slowest)[len(slowest) // 2] * 1000:.0f} ms, {change_cpu * 1000:.1f} ms CPU")
    kube.close()


def settle(tulled):
    """Until it does nothing any more."""
    before = -1
    while tulled.cpu_s() != before:
        before = tulled.cpu_s()
        time.sleep(0.5)


def change(kube, streams, service, number):
    """Seconds until the last subscriber has the new address; fails when anybody else gets anything."""
    wanted = subscribers(service)
    assert wanted and len(wanted) < STREAMS
    began = time.monotonic()
    kube.patch("workloadentries", "shop", f"s{service}", {"spec": {"address": f"10.101.{number // 250}.{number % 250 + 1}"}})
    missing_ones, last = set(wanted), 0
    while missing_ones or time.monotonic() < began + LIMIT_S:
        words = streams.next(max(0.05, began + LIMIT_S - time.monotonic()))
        if not words:
            assert not missing_ones or time.monotonic() < began + 30, f"{len(missing_ones)} streams never heard of s{service}"
            continue
        _, at, stream, kind, count, name = words
        assert (kind, count, name) == ("EDS", "1", f"outbound|80||s{service}.shop.svc.cluster.local"), words
        assert int(stream) in missing_ones, f"stream {stream} {'heard twice' if int(stream) in wanted else 'does not watch'} s{service}"
        missing_ones.discard(int(stream))
        last = max(last, int(at) / 1e6 - began)
    assert last < (10 * LIMIT_S if SANITIZED else LIMIT_S), f"s{service} took {last:.3f} s"
    return last
