#!/usr/bin/env python3
"""A small key-value store over TCP: `GET key` and `SET key value`, a line each. Listens on PORT (7000)."""

import os
import socketserver

kept = {}


class Lines(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self):
        while line := self.rfile.readline(65536):
            word, _, rest = line.decode(errors="replace").strip().partition(" ")
            key, _, value = rest.partition(" ")
            if word == "SET":
                kept[key] = value
                answer = "OK"
            elif word == "GET":
                answer = "OK " + kept[key] if key in kept else "NONE"
            else:
                answer = "ERROR say GET key or SET key value"
            self.wfile.write(answer.encode() + b"\n")


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 512


Server(("0.0.0.0", int(os.environ.get("PORT", "7000"))), Lines).serve_forever()
