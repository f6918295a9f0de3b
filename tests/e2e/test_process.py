"""The proxy as a process: signals, drain, and that it never proxies to itself."""
import json
import re
import signal
import threading
import time

import pytest

from lab import Reply, bootstrap, cluster, http_listener, route, tcp_listener, virtual_host
from lab.wire import Closed

FORWARD = virtual_host(route(to="up", route={"cluster": "up", "timeout": "0s"}))


def start(lab, answer=None, arguments=(), **manager):
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server, **({"answer": answer} if answer else {}))
    proxy = lab.tulle_proxy(client, bootstrap([http_listener(10000, FORWARD, **manager)], [cluster("up", origin.address)]), arguments=arguments)
    return client, origin, proxy


def test_sigterm_lets_a_request_finish(lab):
    gate = threading.Event()
    client, origin, proxy = start(lab, lambda request: Reply(body=b"finished") if gate.wait(20) else None)
    with client.connect(10000, timeout=20) as connection:
        connection.request("GET", "/slow")
        origin.wait_for(lambda: any(origin.received.values()), "the request")
        proxy.send_signal(signal.SIGTERM)
        proxy.wait_for(lambda: not can_connect(client), "end of accepting")
        gate.set()
        response = connection.response()
        assert response.body == b"finished"
        assert connection.is_closed()
    assert proxy.wait_for_exit() == 0


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_a_proxy_that_stood_still_hears_before_it_calls_it_silence(lab, io, fresh):
    """Draining, it waits so long for a last request; one that came while it had no processor did come."""
    client, _, proxy = start(lab, arguments=("--io", io), drain_timeout="2s")
    with client.connect(10000, timeout=20) as connection:
        if not fresh:
            assert connection.exchange("GET", "/").status == 200
        proxy.wait_for(lambda: re.search(r"^http.*downstream_cx_active: 1$", lab.admin(proxy, "/stats").text, re.M), "the connection")
        proxy.send_signal(signal.SIGTERM)
        proxy.wait_for(lambda: not can_connect(client), "end of accepting")
        proxy.send_signal(signal.SIGSTOP)
        connection.request("GET", "/last")
        time.sleep(2.5)
        proxy.send_signal(signal.SIGCONT)
        assert connection.response().status == 200
    assert proxy.wait_for_exit() == 0


def can_connect(client):
    try:
        client.connect(10000, timeout=1).close()
        return True
    except OSError:
        return False


@pytest.mark.parametrize("io", ["epoll", "io_uring"])
def test_either_way_of_moving_bytes_can_be_chosen(lab, io):
    client, _, proxy = start(lab, arguments=("--io", io))
    told = json.loads(lab.admin(proxy, "/server_info").body)["command_line_options"]["io"]
    if told != io:  # where the kernel forbids it, epoll serves all the same
        assert told == "epoll" and "the kernel allows no io_uring" in open(proxy.log).read()
    for _ in range(20):
        assert client.get(10000, "/").status == 200


def test_an_idle_proxy_ends_at_once_on_sigterm(lab):
    _, _, proxy = start(lab)
    started = time.monotonic()
    proxy.send_signal(signal.SIGTERM)
    assert proxy.wait_for_exit() == 0
    assert time.monotonic() - started < 5


def test_res_11_a_second_sigterm_does_not_wait(lab):
    gate = threading.Event()
    client, origin, proxy = start(lab, lambda request: Reply() if gate.wait(60) else None)
    with client.connect(10000) as connection:
        connection.request("GET", "/never")
        origin.wait_for(lambda: any(origin.received.values()), "the request")
        proxy.send_signal(signal.SIGTERM)
        proxy.wait_for(lambda: not can_connect(client), "end of accepting")
        proxy.send_signal(signal.SIGTERM)
        proxy.wait_for_exit(10)
        gate.set()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE, signal.SIGCHLD, signal.SIGWINCH])
def test_res_11_other_signals_do_not_disturb(lab, number):
    client, _, proxy = start(lab)
    for _ in range(20):
        proxy.send_signal(number)
    assert client.get(10000).status == 200
    assert proxy.is_running


def test_readiness_falls_while_draining(lab):
    gate = threading.Event()
    client, origin, proxy = start(lab, lambda request: Reply() if gate.wait(20) else None)
    with client.connect(10000, timeout=20) as connection:
        connection.request("GET", "/slow")
        origin.wait_for(lambda: any(origin.received.values()), "the request")
        proxy.send_signal(signal.SIGTERM)
        proxy.wait_for(lambda: not can_connect(client), "end of accepting")
        response = lab.admin(proxy, "/ready")
        assert response.status == 503 and response.text.strip() == "DRAINING"
        gate.set()
        connection.response()
    assert proxy.wait_for_exit() == 0


@pytest.mark.parametrize("address", ["127.0.0.1", "host", "127.0.0.7"])
@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_net_02_a_route_to_the_own_listener_does_not_loop(lab, kind, address):
    client = lab.host("client")
    target = (client.ipv4 if address == "host" else address, 10000)
    listener = http_listener(10000, FORWARD) if kind == "http" else tcp_listener(10000, "up")
    proxy = lab.tulle_proxy(client, bootstrap([listener], [cluster("up", target)]))
    files = proxy.open_files()
    with client.connect(10000) as connection:
        if kind == "http":
            assert connection.exchange("GET", "/").status in (503, 508)
        else:
            try:
                assert connection.read_all() == b""
            except Closed:
                pass
    proxy.wait_for(lambda: proxy.open_files() <= files + 2, "descriptors back")
    assert proxy.cpu_s() < 2, "it looped"


def test_net_02_two_proxies_that_point_at_each_other_end_with_508(lab):
    a, b = lab.host("a"), lab.host("b")
    proxies = [lab.tulle_proxy(here, bootstrap([http_listener(10000, FORWARD)], [cluster("up", (there.ipv4, 10000))]))
               for here, there in ((a, b), (b, a))]
    assert a.get(10000, timeout=20).status in (503, 508)
    for proxy in proxies:
        assert proxy.open_files() < 200 and proxy.is_running


@pytest.mark.release
def test_the_idle_proxy_is_small_and_quick(lab):
    host = lab.host("a")
    started = time.monotonic()
    proxy = lab.tulle_proxy(host, bootstrap([http_listener(10000, FORWARD)], [cluster("up", ("127.0.0.1", 9))]))
    took = time.monotonic() - started
    memory = proxy.memory_kb()
    assert memory["rss"] < 8 * 1024 and memory["anon"] < 2 * 1024, memory
    assert took < 0.5, f"{took:.3f} s to ready, of which the test's own polling is a part"
