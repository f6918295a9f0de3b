"""Hosts: network namespaces on one bridge, each with its own IPv4 and IPv6 address.

The bridge lives in the outer namespace that script/e2e made, and has no address: the wire is the hosts' own.
"""
import contextlib
import ctypes
import itertools
import os
import re
import socket
import subprocess
import tempfile

from . import config
from .ads import Ads
from .origin import Origin
from .peers import Envoy, Nginx, Pki
from .programs import Program, need_program, need_tulle
from .wire import Capture, Client

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000
WORKERS = int(os.environ.get("TULLE_WORKERS", "2"))


def ip(*lines, inside=None):
    """Runs `ip` commands as one batch, in a namespace by name or in ours."""
    done = subprocess.run(["ip", *(("-n", inside) if inside else ()), "-batch", "-"], input="\n".join(lines) + "\n", text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"ip: {done.stderr}\n" + "\n".join(lines))


class Host:
    def __init__(self, lab, name, number):
        self.lab, self.name, self.number = lab, name, number
        self.ipv4, self.ipv6 = f"10.78.0.{number}", f"fd78::{number:x}"
        self.namespace, self.link = f"lab{lab.number}-{name}", f"lab{lab.number}-{number}"
        self.path = f"/run/netns/{self.namespace}"
        ip(f"netns add {self.namespace}",
           f"link add {self.link} master {lab.bridge} type veth peer name eth0 netns {self.namespace}",
           f"link set {self.link} up")
        ip("link set lo up", "link set eth0 up", f"addr add {self.ipv4}/24 dev eth0",
           f"addr add {self.ipv6}/64 dev eth0 nodad", inside=self.namespace)

    def enter_argv(self):
        return ["nsenter", f"--net={self.path}", "--"]

    @contextlib.contextmanager
    def inside(self):
        """The calling thread stands in this host: sockets made here belong to it for ever."""
        with open("/proc/thread-self/ns/net") as home, open(self.path) as there:
            enter(there.fileno())
            try:
                yield
            finally:
                enter(home.fileno())

    def connect(self, port, address="127.0.0.1", timeout=10, **options):
        """A raw client socket from this host."""
        with self.inside():
            return Client(socket.create_connection((address, port), timeout), timeout, **options)

    def udp(self, port=0, address=None, to=None, timeout=5):
        """A UDP socket of this host, bound, or connected to (address, port)."""
        family = socket.AF_INET6 if ":" in (address or (to or ("",))[0]) else socket.AF_INET
        with self.inside():
            made = socket.socket(family, socket.SOCK_DGRAM)
        made.settimeout(timeout)
        if address is not None or port:
            made.bind((address or "", port))
        if to:
            made.connect(to)
        return made

    def get(self, port, target="/", address="127.0.0.1", method="GET", headers=(), body=b"", host="test", timeout=10):
        """One HTTP/1.1 exchange on a connection of its own."""
        with self.connect(port, address, timeout) as client:
            return client.exchange(method, target, headers=headers, body=body, host=host)

    def run(self, *argv, timeout=60, env=None, check=True, input=None):
        """Runs a program to its end and gives what it did."""
        done = subprocess.run(self.enter_argv() + [str(word) for word in argv], capture_output=True, text=True, timeout=timeout,
                              env={**os.environ, **(env or {})}, input=input)
        if check and done.returncode != 0:
            raise AssertionError(f"{argv[0]} ended with {done.returncode}: {done.stdout}\n{done.stderr}")
        return done

    def cut(self):
        """Partitions this host from the others, until mend()."""
        ip(f"link set {self.link} down")

    def mend(self):
        ip(f"link set {self.link} up")


def enter(descriptor):
    if LIBC.setns(descriptor, CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


class Lab:
    """Makes hosts and programs, and undoes all of it; a program of ours that ended badly fails the test."""

    counter = itertools.count(1)

    def __init__(self, folder):
        self.folder = str(folder)
        self.number = next(Lab.counter)
        self.bridge = f"lab{self.number}"
        self.hosts, self.programs, self.origins, self.captures = {}, [], [], []
        self.run_folder = tempfile.mkdtemp(prefix="lab-", dir="/run")  # short enough for Unix sockets
        ip(f"link add {self.bridge} type bridge", f"link set {self.bridge} up", "link set lo up")

    def host(self, name):
        """The host of that name, made when it is first asked for."""
        if name not in self.hosts:
            assert re.fullmatch(r"[a-z][a-z0-9-]{0,12}", name), name
            self.hosts[name] = Host(self, name, len(self.hosts) + 1)
        return self.hosts[name]

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        """A file of this test; gives its path."""
        path = self.path(name)
        with open(path, "wb" if isinstance(text, bytes) else "w") as file:
            file.write(text)
        return path

    def start(self, *argv, host, ours=False, env=None, name=None, **more):
        """Starts any program on a host; its output is in a log of the test's folder."""
        name = name or os.path.basename(str(argv[0]))
        log = self.path(f"{len(self.programs)}-{name}.log")
        program = Program(argv, host, log, env=env, ours=ours, **more)
        self.programs.append(program)
        return program

    def tulle_proxy(self, host, document, concurrency=WORKERS, arguments=(), wait=True, env=None):
        """tulle-proxy on a host from a bootstrap document (a dict, or text as it is), ready to serve."""
        binary = need_tulle("tulle-proxy")
        text = document if isinstance(document, str) else config.to_yaml(document)
        path = self.write(f"{len(self.programs)}-bootstrap.yaml", text)
        proxy = self.start(binary, "-c", path, "--concurrency", concurrency, *arguments, host=host, ours=True, env=env)
        proxy.admin_port = 15000
        if wait:
            self.wait_ready(proxy)
        return proxy

    def envoy(self, host, document, concurrency=1, wait=True):
        """Envoy with the same bootstrap document: what we claim to be compatible with."""
        envoy = Envoy(self, host, document, concurrency)
        if wait:
            self.wait_ready(envoy.program)
        return envoy.program

    def wait_ready(self, proxy, timeout=30):
        proxy.wait_for_port(proxy.admin_port, timeout)
        proxy.wait_for(lambda: self.admin(proxy, "/ready").status == 200, "200 from /ready", timeout)

    def admin(self, proxy, target, method="GET"):
        """A request to a proxy's admin interface."""
        return proxy.host.get(proxy.admin_port, target, method=method, host=f"127.0.0.1:{proxy.admin_port}")

    def origin(self, host, port=0, **options):
        origin = Origin(host, port, **options)
        self.origins.append(origin)
        return origin

    def nginx(self, host, http):
        """nginx on a host; `http` is the inside of its http block."""
        return Nginx(self, host, http).program

    def ads(self, host, port=18000):
        ads = Ads(host, port)
        self.origins.append(ads)
        return ads

    def capture(self, host, expression="tcp"):
        """What passes between a host and the bridge from now on."""
        need_program("tcpdump")
        capture = Capture(self, host, expression)
        self.captures.append(capture)
        return capture

    def pki(self):
        return Pki(self.path("pki"))

    def close(self):
        """Stops everything, newest first; raises what went wrong after all of it is gone."""
        faults = []
        for program in reversed(self.programs):
            try:
                program.stop()
            except AssertionError as fault:
                faults.append(str(fault))
        for origin in self.origins:
            origin.close()
        # The links go first: a namespace lives as long as any socket in it.
        ip(*(f"link del {host.link}" for host in self.hosts.values()),
           *(f"netns del {host.namespace}" for host in self.hosts.values()), f"link del {self.bridge}")
        if faults:
            raise AssertionError("\n\n".join(faults))

    def logs(self):
        """(name, end of the log) of every program, for the report of a failed test."""
        return [(f"{program.name} {program.pid}: {program.log}", program.tail()) for program in self.programs]
