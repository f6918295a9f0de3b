"""What the Python services of the shop share: an HTTP/1.1 server with keep-alive, and calls to other services.

Nothing here knows of a mesh: names like http://cart:9000 are used as they are.
"""

import http.client
import http.server
import json
import os
import socket
import threading
import urllib.parse


class Failed(Exception):
    """A call to another service did not answer 200."""

    def __init__(self, url, status, text):
        super().__init__(f"{url}: {status} {text[:200]}")
        self.status = status


class Client:
    """One kept-alive connection a thread and host."""

    def __init__(self, timeout=10):
        self.timeout = timeout
        self.local = threading.local()

    def get(self, url, headers=None):
        return self.call("GET", url, headers=headers)

    def call(self, method, url, body=None, headers=None):
        parts = urllib.parse.urlsplit(url)
        pool = self.local.__dict__.setdefault("pool", {})
        connection = pool.get(parts.netloc)
        fresh = connection is None
        if fresh:
            connection = pool[parts.netloc] = self.connect(parts.netloc)
        target = parts.path + ("?" + parts.query if parts.query else "")
        try:
            connection.request(method, target, body=body, headers=headers or {})
            answer = connection.getresponse()
            text = answer.read()
        except (http.client.HTTPException, OSError):
            connection.close()
            pool.pop(parts.netloc, None)
            # A kept-alive connection may have been closed by the other end while it was idle.
            if fresh or method != "GET":
                raise
            return self.call(method, url, body, headers)
        if answer.will_close:
            pool.pop(parts.netloc, None)
        if answer.status != 200:
            raise Failed(url, answer.status, text.decode(errors="replace"))
        return text

    def connect(self, netloc):
        connection = http.client.HTTPConnection(netloc, timeout=self.timeout)
        connection.connect()
        connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1
    routes = {}

    def do_GET(self):
        self.answer("GET")

    def do_POST(self):
        self.answer("POST")

    def answer(self, method):
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(size) if size else b""
        path = urllib.parse.urlsplit(self.path).path
        name = "/" + path.strip("/").split("/")[0]
        function = self.routes.get((method, name))
        try:
            if function is None:
                self.send(404, {"error": f"no {method} {path} here"})
            else:
                self.send(200, function(path, body))
        except Failed as failure:
            self.send(502, {"error": str(failure), "status": failure.status})
        except Exception as failure:  # a service answers, whatever happens to it
            self.send(500, {"error": f"{type(failure).__name__}: {failure}"})

    def send(self, status, value):
        text = value if isinstance(value, bytes) else json.dumps(value).encode()
        kind = "text/html; charset=utf-8" if text[:1] == b"<" else "application/json"
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *words):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


def serve(routes, port=None):
    """Serves (method, first path segment) -> function(path, body) for ever."""
    routes.setdefault(("GET", "/healthz"), lambda path, body: {"ok": True})
    handler = type("Routes", (Handler,), {"routes": routes})
    Server(("0.0.0.0", int(port or os.environ.get("PORT", "8080"))), handler).serve_forever()
