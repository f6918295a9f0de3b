"""The lab: hosts out of network namespaces, real programs on them, and ways to look at the wire.

    def test_something(lab):
        web, client = lab.host("web"), lab.host("client")
        origin = lab.origin(web, port=9000)
        proxy = lab.tulle_proxy(client, bootstrap(...))
        answer = client.get(f"http://127.0.0.1:10000/")

hosts.py     Lab and Host: namespaces, addresses, links, sockets inside a host
programs.py  Program: start, wait for events, stop; every sanitizer report fails the test
origin.py    Origin: a back end that keeps each byte it received and answers what the test says
wire.py      Client (a raw socket that reads HTTP) and Capture (tcpdump between hosts)
ads.py       Ads: a discovery server that a test drives
config.py    builders for Envoy bootstrap documents
peers.py     nginx, Envoy and certificates
mesh.py      tulled and sidecars on hosts of their own
local_mesh.py  a mesh on one machine, as `tulle demo` and `tulle run` make it
"""
from .config import cluster, bootstrap, http_listener, route, tcp_listener, virtual_host
from .hosts import Host, Lab
from .origin import Origin, Reply
from .peers import Pki
from .programs import BUILD, SANITIZED, Program, need_program, need_tulle
from .wire import Capture, Client

__all__ = ["BUILD", "SANITIZED", "Capture", "Client", "Host", "Lab", "Origin", "Pki", "Program", "Reply", "bootstrap",
           "cluster", "http_listener", "need_program", "need_tulle", "route", "tcp_listener", "virtual_host"]
