"""
A list at R and a watch from R give every change exactly once, in order, however often tulled is killed in between: what a
client that only lists and watches knows in the end is what there is, and every write that was answered is among the events.
"""
import http.client
import os
import random
import threading
import time

import pytest

from lab import need_tulle
from lab.kube import Kube, Refused, object_of

SOAK = bool(os.environ.get("TULLE_SOAK"))
KILLS = 100 if SOAK else 6
NAMES = 25
GONE = (OSError, http.client.HTTPException)


class Mesh:
    def __init__(self, lab, folder):
        self.lab, self.host, self.data = lab, lab.host("control"), folder / "data"
        self.data.mkdir()
        self.start()

    def start(self):
        self.program = self.lab.start(need_tulle("tulled"), "--data", self.data, "--xds-port", "0", host=self.host, ours=True)
        self.program.wait_for(self.answers, "the API")

    def answers(self):
        try:
            kube = Kube(self.data)
            kube.list("workloadentries")
            kube.close()
            return True
        except (*GONE, Refused):
            return False

    def kill(self):
        self.program.kill()
        self.start()


class Writer(threading.Thread):
    """Random changes. `answered`: (name, revision, ADDED | MODIFIED | DELETED, value) of those that were answered."""

    def __init__(self, mesh, seed):
        super().__init__(daemon=True)
        self.mesh, self.random, self.ending = mesh, random.Random(seed), threading.Event()
        self.answered, self.attempts, self.failure = [], {}, None

    def run(self):
        try:
            kube = Kube(self.mesh.data)
            number = 0
            while not self.ending.is_set():
                number += 1
                self.change(kube, f"w{self.random.randrange(NAMES)}", number)
        except Exception as failure:  # told by the test
            self.failure = failure

    def change(self, kube, name, number):
        spec = {"address": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"}
        self.attempts[spec["address"]] = name
        try:
            way = self.random.randrange(3)
            if way == 0:
                answer = kube.create("workloadentries", object_of("WorkloadEntry", "shop", name, spec))
                self.answered.append((name, answer["metadata"]["resourceVersion"], "ADDED", spec["address"]))
            elif way == 1:
                answer = kube.patch("workloadentries", "shop", name, {"spec": spec})
                self.answered.append((name, answer["metadata"]["resourceVersion"], "MODIFIED", spec["address"]))
            else:
                kube.delete("workloadentries", "shop", name)
                self.answered.append((name, None, "DELETED", None))
        except Refused as refused:
            assert refused.code in (404, 409), refused
        except GONE:
            time.sleep(0.01)


class Watcher(threading.Thread):
    """Lists once; from then on knows what the events say, and begins again where it was."""

    def __init__(self, mesh):
        super().__init__(daemon=True)
        self.mesh, self.events, self.state, self.failure, self.ending = mesh, [], {}, None, threading.Event()
        kube = Kube(mesh.data)
        listed = kube.list("workloadentries")
        self.first = self.revision = listed["metadata"]["resourceVersion"]
        self.state = {item["metadata"]["name"]: item for item in listed["items"]}

    def run(self):
        while not self.ending.is_set():
            try:
                for event in Kube(self.mesh.data, timeout=5).watch("workloadentries", self.revision):
                    self.take(event)
            except GONE:
                time.sleep(0.01)
            except Exception as failure:  # told by the test
                self.failure = failure
                return

    def take(self, event):
        item, kind = event["object"], event["type"]
        revision = item["metadata"]["resourceVersion"]
        assert kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK"), event
        assert int(revision) > int(self.revision) or kind == "BOOKMARK", f"{kind} at {revision} after {self.revision}"
        self.revision = revision
        if kind == "BOOKMARK":
            return
        name = item["metadata"]["name"]
        assert (name in self.state) == (kind != "ADDED"), f"{kind} of {name} at {revision}"
        self.events.append((name, revision, kind, item["spec"]["address"] if kind != "DELETED" else None))
        if kind == "DELETED":
            del self.state[name]
        else:
            self.state[name] = item


@pytest.mark.timeout(1200 if SOAK else 120)
def test_list_and_watch_give_every_change_once_across_kills(lab, tmp_path):
    seed = 20261121
    mesh = Mesh(lab, tmp_path)
    kube = Kube(mesh.data)
    for number in range(NAMES // 2):
        kube.create("workloadentries", object_of("WorkloadEntry", "shop", f"w{number}", {"address": f"192.0.2.{number + 1}"}))
    watchers, writers = [Watcher(mesh) for _ in range(2)], [Writer(mesh, seed + index) for index in range(1)]
    for thread in watchers + writers:
        thread.start()
    for _ in range(KILLS):
        before = len(writers[0].answered)
        deadline = time.monotonic() + 20
        while len(writers[0].answered) < before + 20 and time.monotonic() < deadline:
            time.sleep(0.005)
        mesh.kill()
    before = len(writers[0].answered)
    mesh.program.wait_for(lambda: len(writers[0].answered) > before + 20, "writes after the last kill")
    for writer in writers:
        writer.ending.set()
        writer.join(30)
        assert not writer.failure, writer.failure
    kube.close()
    listed = kube.list("workloadentries")
    truth = {item["metadata"]["name"]: item for item in listed["items"]}
    for watcher in watchers:
        mesh.program.wait_for(lambda: watcher.failure or watcher.state == truth, "a watcher that knows what there is")
        assert not watcher.failure, watcher.failure
        watcher.ending.set()
    seen = [event for event in watchers[0].events]
    assert seen == watchers[1].events, "two watchers see the same, in the same order"
    assert len({revision for _, revision, _, _ in seen}) == len(seen)
    # Every answered write is an event, in the order of the answers; what was not answered may be one or not.
    at = 0
    for name, revision, kind, value in writers[0].answered:
        while at < len(seen) and not (seen[at][0] == name and seen[at][2] == kind and seen[at][3] == value and
                                      revision in (None, seen[at][1])):
            at += 1
        assert at < len(seen), f"{kind} of {name} at {revision} was answered and never seen"
        at += 1
    for name, _, kind, value in seen:
        assert kind == "DELETED" or writers[0].attempts[value] == name, "nothing is seen that nobody wrote"
