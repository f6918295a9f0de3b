"""Ads: a discovery server that a test drives, in Python over grpcio, so that it shares no code with ours.

It speaks the incremental variant. set() and remove() change what it serves and push to whoever subscribed;
send() sends one response exactly as the test writes it. Every request is kept.
"""
import functools
import os
import queue
import subprocess
import tempfile
import threading
from concurrent import futures
from dataclasses import dataclass, field

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

from .programs import TOP

PREFIX = "type.googleapis.com/envoy."
TYPES = {
    "cluster": PREFIX + "config.cluster.v3.Cluster",
    "endpoints": PREFIX + "config.endpoint.v3.ClusterLoadAssignment",
    "listener": PREFIX + "config.listener.v3.Listener",
    "routes": PREFIX + "config.route.v3.RouteConfiguration",
    "secret": PREFIX + "extensions.transport_sockets.tls.v3.Secret",
}
KINDS = {url: kind for kind, url in TYPES.items()}
NAME_FIELD = {"endpoints": "cluster_name"}


@functools.lru_cache(None)
def pool():
    """The messages of proto/, by name, apart from any that a Python package registers."""
    files = subprocess.run(["git", "-C", TOP, "ls-files", "proto/*.proto"], capture_output=True, text=True, check=True).stdout.split()
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", f"--descriptor_set_out={out.name}", "--include_imports", "-I", os.path.join(TOP, "proto"),
                        "-I", "/usr/include", *[path[len("proto/"):] for path in files]], check=True, cwd=TOP)
        described = descriptor_pb2.FileDescriptorSet.FromString(out.read())
    made = descriptor_pool.DescriptorPool()
    for file in described.file:
        made.Add(file)
    return made


def message(name):
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(name))


def packed(kind, document):
    """A resource of that kind, from its JSON form, as bytes."""
    made = message(TYPES[kind].split("/")[1])()
    json_format.ParseDict(document, made, descriptor_pool=pool())
    return made.SerializeToString(deterministic=True)


@dataclass
class Request:
    stream: int
    kind: str
    subscribe: list
    unsubscribe: list
    initial: dict
    nonce: str
    error: str  # of a NACK, else ""
    node: str = ""

    @property
    def is_ack(self):
        return bool(self.nonce) and not self.error


@dataclass
class Stream:
    number: int
    out: queue.Queue = field(default_factory=queue.Queue)
    wanted: dict = field(default_factory=dict)  # kind -> set of names; "*" is all
    known: dict = field(default_factory=dict)   # (kind, name) -> version sent or claimed
    nonces: int = 0
    unanswered: set = field(default_factory=set)  # nonces


class Ads:
    def __init__(self, host, port=18000):
        self.host, self.port = host, port
        self.served = {kind: {} for kind in TYPES}  # kind -> name -> (version, bytes)
        self.requests, self.streams, self.open = [], 0, []
        self.changed = threading.Condition()
        self.versions = 0
        self.server = None
        self.start()

    @property
    def address(self):
        return self.host.ipv4, self.port

    def start(self):
        """Serves, again after stop()."""
        method = grpc.stream_stream_rpc_method_handler(
            self.run, message("envoy.service.discovery.v3.DeltaDiscoveryRequest").FromString,
            lambda response: response.SerializeToString())
        self.server = grpc.server(futures.ThreadPoolExecutor(32), options=[("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(
            "envoy.service.discovery.v3.AggregatedDiscoveryService", {"DeltaAggregatedResources": method}),))
        with self.host.inside():
            self.server.add_insecure_port(f"0.0.0.0:{self.port}")
            self.server.start()

    def stop(self):
        """Goes away at once, as in a crash."""
        with self.changed:
            for stream in self.open:
                stream.out.put(None)
        self.server.stop(0).wait()

    close = stop

    # ------------------------------------------------------------ what is served

    def set(self, kind, *documents, instead_of=()):
        """Serves these resources (JSON form) from now on, no longer those named, and pushes both in one response."""
        with self.changed:
            for name in instead_of:
                del self.served[kind][name]
            for document in documents:
                self.versions += 1
                name = document[NAME_FIELD.get(kind, "name")]
                self.served[kind][name] = (str(self.versions), packed(kind, document))
            self.push(kind)

    def remove(self, kind, *names):
        with self.changed:
            for name in names:
                del self.served[kind][name]
            self.push(kind)

    def push(self, kind):
        for stream in self.open:
            self.answer(stream, kind)

    def send(self, kind, resources=(), removed=(), type_url=None):
        """One response to every stream, exactly so: resources are (name, version, bytes). Gives the nonce."""
        with self.changed:
            for stream in self.open:
                nonce = self.respond(stream, type_url or TYPES[kind], resources, removed)
            return nonce

    # ------------------------------------------------------------ what was heard

    def wait_for(self, claim, what, timeout=15):
        """Waits until claim(request) holds for a request; gives the first such."""
        def found():
            return next((request for request in self.requests if claim(request)), None)
        with self.changed:
            if not self.changed.wait_for(found, timeout):
                raise AssertionError(f"no {what} within {timeout} s; heard: " + "\n".join(map(str, self.requests[-20:])))
            return found()

    def wait_for_ack(self, nonce, timeout=15):
        """Waits for the answer to a response; fails with its reason when it is a NACK."""
        request = self.wait_for(lambda request: request.nonce == nonce, f"answer to {nonce}", timeout)
        assert not request.error, request.error

    def wait_for_nack(self, nonce, timeout=15):
        """The reason that a response was refused for."""
        request = self.wait_for(lambda request: request.nonce == nonce, f"answer to {nonce}", timeout)
        assert request.error, f"{nonce} was acknowledged"
        return request.error

    def wait_until_settled(self, timeout=15):
        """Waits until every response has been answered."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.open and not any(stream.unanswered for stream in self.open), timeout):
                raise AssertionError("unanswered responses; heard:\n" + "\n".join(map(str, self.requests[-20:])))

    # ------------------------------------------------------------ the protocol

    def run(self, requests, context):
        with self.changed:
            self.streams += 1
            stream = Stream(self.streams)
            self.open.append(stream)
        threading.Thread(target=self.read, args=(stream, requests), daemon=True).start()
        try:
            while (response := stream.out.get()) is not None:
                yield response
            context.abort(grpc.StatusCode.UNAVAILABLE, "the test stopped this server")
        finally:
            with self.changed:
                self.open.remove(stream)
                self.changed.notify_all()

    def read(self, stream, requests):
        try:
            for request in requests:
                with self.changed:
                    self.take(stream, request)
                    self.changed.notify_all()
        except grpc.RpcError:
            pass
        finally:
            stream.out.put(None)

    def take(self, stream, request):
        kind = KINDS.get(request.type_url, request.type_url)
        heard = Request(stream.number, kind, list(request.resource_names_subscribe), list(request.resource_names_unsubscribe),
                        dict(request.initial_resource_versions), request.response_nonce, request.error_detail.message,
                        request.node.id)
        if request.HasField("error_detail") and not heard.error:
            heard.error = f"code {request.error_detail.code}, without a message"
        self.requests.append(heard)
        stream.unanswered.discard(heard.nonce)
        if kind not in TYPES:
            return
        first = kind not in stream.wanted
        wanted = stream.wanted.setdefault(kind, set())
        if first and not heard.subscribe and kind in ("cluster", "listener"):
            wanted.add("*")
        wanted.update(heard.subscribe)
        wanted.difference_update(heard.unsubscribe)
        for name, version in heard.initial.items():
            stream.known[kind, name] = version
        for name in heard.unsubscribe:
            stream.known.pop((kind, name), None)
        if first or heard.subscribe:
            self.answer(stream, kind, even_empty=first and "*" in wanted)

    def answer(self, stream, kind, even_empty=False):
        """Tells a stream what it wants and does not know. A first wildcard is answered even with nothing."""
        if kind not in stream.wanted:
            return
        wanted, served = stream.wanted[kind], self.served[kind]
        news = [(name, version, data) for name, (version, data) in served.items()
                if ("*" in wanted or name in wanted) and stream.known.get((kind, name)) != version]
        gone = [name for known, name in stream.known if known == kind and name not in served]
        if news or gone or even_empty:
            self.respond(stream, TYPES[kind], news, gone)

    def respond(self, stream, type_url, resources, removed):
        response = message("envoy.service.discovery.v3.DeltaDiscoveryResponse")()
        stream.nonces += 1
        response.type_url, response.nonce = type_url, f"{stream.number}-{stream.nonces}"
        response.system_version_info = str(self.versions)
        kind = KINDS.get(type_url)
        for name, version, data in resources:
            entry = response.resources.add()
            entry.name, entry.version = name, version
            entry.resource.type_url, entry.resource.value = type_url, data
            stream.known[kind, name] = version
        response.removed_resources.extend(removed)
        for name in removed:
            stream.known.pop((kind, name), None)
        stream.unanswered.add(response.nonce)
        stream.out.put(response)
        return response.nonce
