#!/usr/bin/env python3
"""Carts, kept in the ledger service over plain TCP: SET and GET lines, as many small databases speak."""

import json
import os
import socket
import threading

from service import serve

HOST, PORT = os.environ.get("LEDGER", "ledger:7000").split(":")
local = threading.local()


def ask(line):
    """One line out, one line back, on a connection that this thread keeps."""
    for fresh in (False, True):
        if fresh or not hasattr(local, "lines"):
            connection = socket.create_connection((HOST, int(PORT)), timeout=10)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            local.lines = connection.makefile("rwb")
        try:
            local.lines.write(line.encode() + b"\n")
            local.lines.flush()
            answer = local.lines.readline()
            if answer:
                return answer.decode().strip()
        except OSError:
            pass
        del local.lines
    raise ConnectionError("the ledger closed the connection")


def read(path, body):
    who = path.rsplit("/", 1)[-1]
    kept = ask(f"GET cart/{who}")
    lines = json.loads(kept[3:]) if kept.startswith("OK {") or kept.startswith("OK [") else [{"name": "Thread", "count": 2}]
    return {"who": who, "lines": lines}


def write(path, body):
    who = path.rsplit("/", 1)[-1]
    lines = json.loads(body or b"[]")
    ask(f"SET cart/{who} {json.dumps(lines)}")
    return {"who": who, "lines": lines}


serve({("GET", "/cart"): read, ("POST", "/cart"): write})
