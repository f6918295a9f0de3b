"""The lab itself: what other tests take for granted."""
import os
import socket
import subprocess

import pytest

from lab import Client, Lab, Reply, bootstrap, cluster, http_listener, need_program, route, virtual_host


def test_hosts_reach_each_other_by_both_families(lab):
    a, b = lab.host("a"), lab.host("b")
    origin = lab.origin(b)
    for address in (b.ipv4, b.ipv6):
        assert a.get(origin.port, "/x", address).status == 200
    assert [request.target for request in origin.take()] == ["/x", "/x"]


def test_hosts_do_not_share_loopback(lab):
    origin = lab.origin(lab.host("a"))
    with pytest.raises(ConnectionRefusedError):
        lab.host("b").get(origin.port)


def test_a_cut_host_is_unreachable_until_mended(lab):
    a, b = lab.host("a"), lab.host("b")
    origin = lab.origin(b)
    b.cut()
    with pytest.raises((TimeoutError, OSError)):
        a.connect(origin.port, b.ipv4, timeout=0.3)
    b.mend()
    assert a.get(origin.port, address=b.ipv4).status == 200


def test_capture_sees_what_passes_between_hosts(lab):
    a, b = lab.host("a"), lab.host("b")
    origin = lab.origin(b, answer=lambda request: Reply(body=b"an answer in the clear"))
    capture = lab.capture(b)
    a.get(origin.port, "/a-question-in-the-clear", b.ipv4)
    assert b"/a-question-in-the-clear" in capture.stop().bytes()
    assert b"an answer in the clear" in capture.bytes()


def test_origin_refuses_what_is_not_http(lab):
    a = lab.host("a")
    origin = lab.origin(a)
    with a.connect(origin.port) as client:
        client.send("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert client.is_closed()
    assert origin.violations and not origin.requests


def test_origin_reads_chunks_and_trailers(lab):
    a = lab.host("a")
    origin = lab.origin(a)
    with a.connect(origin.port) as client:
        client.send("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nfoo\r\n3\r\nbar\r\n0\r\nX-End: yes\r\n\r\n")
        assert client.response().status == 200
    request, = origin.take()
    assert request.body == b"foobar" and request.trailers == [("X-End", "yes")]


def test_real_curl_and_nginx(lab):
    a, b = lab.host("a"), lab.host("b")
    nginx = lab.nginx(b, "server { listen 80; location / { return 200 hello; } }")
    nginx.wait_for_port(80)
    need_program("curl")
    assert a.run("curl", "-sS", f"http://{b.ipv4}/").stdout == "hello"


def test_envoy_reads_what_our_builders_write(lab):
    a, b = lab.host("a"), lab.host("b")
    origin = lab.origin(b)
    lab.envoy(a, bootstrap([http_listener(10000, virtual_host(route(to="up")))], [cluster("up", origin.address)]))
    assert a.get(10000, "/through-envoy").status == 200
    assert origin.take()[0].target == "/through-envoy"


def test_everything_lives_in_namespaces_that_end_with_pytest():
    assert os.getpid() == 1, "pytest is the first process of its own PID namespace"


def test_a_closed_lab_leaves_nothing(tmp_path):
    lab = Lab(tmp_path)
    program = lab.start("sleep", "60", host=lab.host("a"))
    lab.origin(lab.host("a"))
    lab.close()
    assert not program.is_running
    interfaces = subprocess.run(["ip", "-o", "link"], capture_output=True, text=True, check=True).stdout
    assert f"lab{lab.number}" not in interfaces, interfaces
    assert not [name for name in os.listdir("/run/netns") if name.startswith(f"lab{lab.number}-")]


def test_client_tells_close_from_silence(lab):
    listener = socket.create_server(("127.0.0.1", 0))
    with Client(socket.create_connection(listener.getsockname())) as client:
        there, _ = listener.accept()
        assert not client.is_closed(within=0.1)
        there.close()
        assert client.is_closed(within=1)
