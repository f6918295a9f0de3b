"""Kube: the Kubernetes-style API of a tulled over its Unix socket, for tests that need more calls than kubectl is good for."""
import http.client
import json
import socket

GROUPS = {"services": "/api/v1", "namespaces": "/api/v1"}


class Connection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Refused(Exception):
    def __init__(self, code, body):
        super().__init__(f"{code}: {body}")
        self.code = code


def object_of(kind, namespace, name, spec, labels=None):
    version = "v1" if kind in ("Service", "Namespace") else "networking.istio.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace, "labels": labels or {}},
            "spec": spec}


class Kube:
    """One connection; not for several threads."""

    def __init__(self, data, timeout=20):
        self.path, self.timeout, self.connection = data / "api.sock", timeout, None

    def url(self, plural, namespace=None, name=None):
        root = GROUPS.get(plural, "/apis/networking.istio.io/v1")
        return root + (f"/namespaces/{namespace}" if namespace else "") + f"/{plural}" + (f"/{name}" if name else "")

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None

    def call(self, method, url, body=None, content="application/json"):
        """The answer as JSON. An OSError or HTTPException: it is not known whether it was done."""
        try:
            self.connection = self.connection or Connection(self.path, self.timeout)
            self.connection.request(method, url, json.dumps(body) if body is not None else None, {"Content-Type": content})
            answer = self.connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            self.close()
            raise
        if answer.status >= 300:
            raise Refused(answer.status, text.decode()[:500])
        return json.loads(text)

    def answers(self):
        """Whether the API is there yet: its socket is, a moment before it listens."""
        try:
            return bool(self.list("services"))
        except OSError:
            return False

    def list(self, plural):
        return self.call("GET", self.url(plural))

    def create(self, plural, item):
        return self.call("POST", self.url(plural, item["metadata"]["namespace"]), item)

    def patch(self, plural, namespace, name, change):
        return self.call("PATCH", self.url(plural, namespace, name), change, "application/merge-patch+json")

    def delete(self, plural, namespace, name):
        return self.call("DELETE", self.url(plural, namespace, name))

    def watch(self, plural, revision):
        """Yields events, on a connection of its own, until the server ends it or is gone (OSError, HTTPException)."""
        connection = Connection(self.path, self.timeout)
        try:
            connection.request("GET", f"{self.url(plural)}?watch=1&resourceVersion={revision}")
            answer = connection.getresponse()
            if answer.status != 200:
                raise Refused(answer.status, answer.read().decode()[:500])
            while line := answer.readline():
                if not line.endswith(b"\n"):
                    raise http.client.IncompleteRead(line)
                yield json.loads(line)
        finally:
            connection.close()
