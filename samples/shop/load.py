#!/usr/bin/env python3
"""A visitor of the shop: steady requests to web, counted by status and by the version that answered.

GET /window       what was seen since the last /window?reset, as JSON
GET /window/reset the same, and a new window begins
"""

import collections
import json
import os
import threading
import time

from service import Client, Failed, serve

TARGET = os.environ.get("TARGET", "http://web:8080/api/page")
RATE = float(os.environ.get("RATE", "60"))
VISITORS = int(os.environ.get("VISITORS", "4"))
lock = threading.Lock()


class Window:
    def __init__(self):
        self.began = time.time()
        self.requests = 0
        self.failures = 0
        self.reasons = collections.Counter()
        self.versions = collections.Counter()
        self.latencies = []

    def seen(self):
        ordered = sorted(self.latencies)

        def quantile(share):
            return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000, 3) if ordered else None

        return {
            "seconds": round(time.time() - self.began, 3),
            "requests": self.requests,
            "failures": self.failures,
            "reasons": dict(self.reasons.most_common(5)),
            "versions": dict(self.versions),
            "latency_ms": {"p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99)},
        }


window = Window()


def visit(number):
    client = Client(timeout=15)
    due = time.monotonic() + number / RATE
    while True:
        pause = due - time.monotonic()
        if pause > 0:
            time.sleep(pause)
        due = max(due + VISITORS / RATE, time.monotonic() - 1)
        began = time.monotonic()
        mine = window  # the window that this request began in
        reason = version = None
        try:
            version = json.loads(client.get(f"{TARGET}/{1 + number % 9}"))["version"]
        except (Failed, OSError, ValueError, KeyError) as failure:
            reason = f"{type(failure).__name__}: {failure}"[:200]
        except Exception as failure:  # http.client has many; each is a failed request
            reason = f"{type(failure).__name__}: {failure}"[:200]
        with lock:
            mine.requests += 1
            if reason:
                mine.failures += 1
                mine.reasons[reason] += 1
            else:
                mine.versions[version] += 1
                mine.latencies.append(time.monotonic() - began)


def show(path, body):
    global window
    if path.endswith("/reset"):
        with lock:
            old, window = window, Window()
        time.sleep(0.3)  # requests that began in the old window end
        with lock:
            return old.seen()
    with lock:
        return window.seen()


for number in range(VISITORS):
    threading.Thread(target=visit, args=(number,), daemon=True).start()
serve({("GET", "/window"): show})
