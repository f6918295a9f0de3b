"""A host that gives less than is asked for (rows RES): no port, no descriptor, no disk, calls that fail. What can be served is served."""
import os
import select
import subprocess
import sys
import threading
import time

import pytest

from lab import SANITIZED, Reply, bootstrap, cluster, http_listener, need_program, need_tulle, route, virtual_host
from lab.hostile import CANARY_S
from lab.kube import Kube, Refused, object_of
from lab.wire import Closed
from test_mtls import Pair

FORWARD = virtual_host(route(to="up"))
# A tracer and LeakSanitizer exclude each other.
TRACED = {"ASAN_OPTIONS": "detect_leaks=0:exitcode=99"}


def statuses(callers, count, timeout=15):
    """Of the first `count` that are answered, the caller and its status."""
    found, end = {}, time.monotonic() + timeout
    while len(found) < count:
        ready = select.select([caller.socket for caller in callers if caller not in found], [], [], max(0, end - time.monotonic()))[0]
        assert ready, f"{len(found)} of {count} were answered within {timeout} s"
        found.update({caller: caller.response().status for caller in callers if caller.socket in ready})
    return found


def slow_and_quick(lab, **limits):
    """A proxy of one worker before a back end that answers /slow when the gate opens."""
    client, server = lab.host("client"), lab.host("server")
    gate = threading.Event()
    origin = lab.origin(server, answer=lambda request: Reply() if request.target == "/quick" or gate.wait(30) else None)
    proxy = lab.tulle_proxy(client, bootstrap([http_listener(10000, FORWARD)], [cluster("up", origin.address, **limits)]), concurrency=1)
    return client, server, gate, origin, proxy


def test_res_02_no_port_left_is_503_and_heals(lab):
    """Requests beyond the last port fail at once and are counted; those with one are served, also afterwards."""
    client, server, gate, origin, proxy = slow_and_quick(lab)
    client.run("sh", "-c", "echo 40000 40019 > /proc/sys/net/ipv4/ip_local_port_range")
    callers = [server.connect(10000, client.ipv4, timeout=30) for _ in range(60)]
    for caller in callers:
        caller.request("GET", "/slow")
    origin.wait_for(lambda: len(origin.received) == 20, "as many connections as ports")
    refused = statuses(callers, 40)
    assert set(refused.values()) == {503} and len(refused) == 40
    gate.set()
    served = statuses([caller for caller in callers if caller not in refused], 20)
    assert set(served.values()) == {200}
    for _ in range(100):
        assert server.get(10000, "/quick", address=client.ipv4).status == 200
    assert "cx_connect_fail::0\n" not in lab.admin(proxy, "/clusters").text


@pytest.fixture
def memory_group():
    """A control group of 64 MiB."""
    path = "/sys/fs/cgroup/memory/tulle-res-04"
    try:
        os.makedirs(path, exist_ok=True)
        with open(f"{path}/memory.limit_in_bytes", "w") as file:
            file.write(str(64 << 20))
    except OSError as error:
        pytest.skip(f"no control group for memory can be made here: {error}")
    yield path
    with open(f"{path}/cgroup.procs") as inside, open("/sys/fs/cgroup/memory/cgroup.procs", "w") as outside:
        for pid in inside.read().split():
            outside.write(pid)
            outside.flush()
    os.rmdir(path)


@pytest.mark.release
def test_res_04_a_cap_of_64_mib_sheds_and_is_never_met(lab, memory_group):
    """700 bodies of 1 MB that a back end does not take: the kernel never has to end us, and service goes on."""
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server, answer=lambda request: Reply())
    gate = threading.Event()
    stuck = lab.origin(server, serve=lambda connection: gate.wait(60))
    proxy = lab.tulle_proxy(client, bootstrap([http_listener(10000, virtual_host(route("/stuck", to="stuck"), route(to="up")))], [
        cluster("up", origin.address),
        cluster("stuck", stuck.address, circuit_breakers={"thresholds": [{"max_connections": 4096, "max_requests": 4096,
                                                                           "max_pending_requests": 4096}]})]),
        concurrency=1, arguments=["--max-memory", "32M"])
    with open(f"{memory_group}/cgroup.procs", "w") as file:
        file.write(str(proxy.pid))
    callers, piece = [], b"x" * 65536
    try:
        for _ in range(700):
            caller = server.connect(10000, client.ipv4, timeout=30)
            caller.socket.setblocking(False)
            callers.append(caller)
            try:
                caller.socket.send(b"POST /stuck HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + piece)
                caller.socket.send(piece)
            except OSError:
                pass  # it was told to wait, or to go
        stuck.wait_for(lambda: stuck.received, "some to pass")
        assert proxy.is_running and proxy.memory_kb()["rss"] < 60 << 10, proxy.memory_kb()
    finally:
        gate.set()
        for caller in callers:
            caller.close()
    with open(f"{memory_group}/memory.oom_control") as file:
        assert "oom_kill 0" in file.read()

    def serves():
        try:
            return client.get(10000, "/after").status == 200
        except (Closed, OSError):
            return False
    proxy.wait_for(serves, "service", 30)


def test_res_05_with_all_cores_taken_every_request_is_served(lab):
    """Twice as many busy processes as cores: answers take longer, and none is lost."""
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server)
    lab.tulle_proxy(client, bootstrap([http_listener(10000, FORWARD)], [cluster("up", origin.address)]))
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    waits = []
    try:
        with client.connect(10000, timeout=30) as connection:
            for _ in range(200):
                began = time.monotonic()
                assert connection.exchange("GET", "/").status == 200
                waits.append(time.monotonic() - began)
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()
    assert sorted(waits)[197] < 1.0, sorted(waits)[-5:]


# (calls, what they give, which of them): an answer that Linux may give at any time.
FAILING = {
    "interrupted": ("epoll_wait,epoll_pwait,epoll_pwait2,accept4,connect,recvfrom,recvmsg,sendmsg,read,readv,write,writev", "EINTR", "5+3"),
    "no descriptor": ("accept4", "EMFILE", "2+3"),
    "no file in the system": ("accept4", "ENFILE", "2+3"),
    "gone before it was accepted": ("accept4", "ECONNABORTED", "1+2"),
    "no memory to accept": ("accept4", "ENOBUFS", "2+3"),
    "no socket": ("socket", "EMFILE", "9+3"),
    "no address": ("connect", "EADDRNOTAVAIL", "2+3"),
    "no memory to send": ("sendmsg,writev", "ENOBUFS", "9+7"),
    "no memory to receive": ("recvfrom,recvmsg,readv", "ENOMEM", "9+7"),
    "no watch": ("epoll_ctl", "ENOSPC", "12+9"),
}


@pytest.mark.parametrize("calls, error, when", FAILING.values(), ids=FAILING.keys())
def test_res_06_system_calls_that_fail(lab, calls, error, when):
    """A request may fail for it; the proxy does not, and serves again as soon as the calls succeed."""
    strace = need_program("strace")
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server)
    proxy = lab.tulle_proxy(client, bootstrap([http_listener(10000, FORWARD)], [cluster("up", origin.address)]), env=TRACED)
    assert client.get(10000).status == 200
    tracer = subprocess.Popen([strace, "-f", "-qqq", "-o", "/dev/null", "-e", f"inject={calls}:error={error}:when={when}", "-p", str(proxy.pid)],
                              stderr=subprocess.PIPE)
    try:
        proxy.wait_for(lambda: "TracerPid:\t0\n" not in open(f"/proc/{proxy.pid}/status").read(), "the tracer")
        served = 0
        for _ in range(60):
            try:
                served += client.get(10000, timeout=3).status == 200
            except Exception:
                pass
            assert proxy.is_running, proxy.tail()
        assert served >= (60 if error == "EINTR" else 10), served
    finally:
        tracer.terminate()
        tracer.wait(20)
    for _ in range(50):
        assert client.get(10000).status == 200


def control(lab, data, *arguments):
    tulled = lab.start(need_tulle("tulled"), "--data", data, *arguments, host=lab.host("control"), ours=True)
    kube = Kube(data)
    tulled.wait_for(kube.answers, "the API")
    return tulled, kube


def service(name):
    return object_of("Service", "shop", name, {"ports": [{"name": "http", "port": 80}]})


def test_res_07_a_full_disk_refuses_writes_and_goes_on_reading(lab, tmp_path):
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "none", data], check=True)
    tulled, kube = control(lab, data)
    kube.create("services", service("first"))
    rest = data / "rest"
    with open(rest, "wb", buffering=0) as file:
        try:
            while file.write(b"x" * 4096):
                pass
        except OSError:
            pass
    refused = []
    for number in range(200):
        try:
            kube.create("services", service(f"more-{number}"))
        except Refused as answer:
            refused.append(answer.code)
            if len(refused) > 3:
                break
    assert refused and set(refused) <= {500, 503, 507}, refused
    before = {item["metadata"]["name"] for item in kube.list("services")["items"]}
    assert "first" in before
    rest.unlink()
    kube.create("services", service("last"))
    tulled.kill()
    (data / "api.sock").unlink()
    tulled, kube = control(lab, data)
    assert {item["metadata"]["name"] for item in kube.list("services")["items"]} == before | {"last"}


def test_res_08_a_slow_disk_holds_writes_and_nothing_else(lab, tmp_path):
    """Every fsync takes 3 s: the loop that serves proxies is not held, and a write is answered when it is durable."""
    strace = need_program("strace")
    data = tmp_path / "data"
    data.mkdir()
    host = lab.host("control")
    tulled = lab.start(need_tulle("tulled"), "--data", data, host=host, ours=True, env=TRACED)
    writer = Kube(data)
    tulled.wait_for(writer.answers, "the API")
    writer.create("services", service("first"))
    tracer = subprocess.Popen([strace, "-f", "-qqq", "-o", "/dev/null", "-e", "inject=fsync,fdatasync:delay_exit=3000000", "-p", str(tulled.pid)])
    try:
        tulled.wait_for(lambda: "TracerPid:\t0\n" not in open(f"/proc/{tulled.pid}/status").read(), "the tracer")
        took = []

        def write():
            began = time.monotonic()
            writer.create("services", service("slow"))
            took.append(time.monotonic() - began)
        thread = threading.Thread(target=write)
        thread.start()
        waits = []
        while thread.is_alive():
            began = time.monotonic()
            assert host.get(15014, "/debug/syncz", host="localhost").status == 200
            waits.append(time.monotonic() - began)
            time.sleep(0.02)
        thread.join()
    finally:
        tracer.terminate()
        tracer.wait(20)
    assert took and took[0] > 2, "the write was answered before it was durable"
    assert len(waits) > 20 and sorted(waits)[len(waits) // 2] < CANARY_S, (len(waits), max(waits))


def test_res_10_no_random_bytes_yet_is_asked_again(lab):
    """getrandom that is interrupted: handshakes come to their end all the same."""
    strace = need_program("strace")
    pair = Pair(lab, lambda lab, host, document: lab.tulle_proxy(host, document, env=TRACED))
    tracer = subprocess.Popen([strace, "-f", "-qqq", "-o", "/dev/null", "-e", "inject=getrandom:error=EINTR:when=1+2", "-p", str(pair.inbound.pid)])
    try:
        pair.inbound.wait_for(lambda: "TracerPid:\t0\n" not in open(f"/proc/{pair.inbound.pid}/status").read(), "the tracer")
        for _ in range(20):
            assert pair.client.get(10000).status == 200
    finally:
        tracer.terminate()
        tracer.wait(20)


def test_res_12_ten_times_the_load_is_shed_and_over_at_once(lab):
    """Beyond the cluster's limits requests are refused without waiting; the limit is held, and service goes on."""
    client, _, gate, origin, proxy = slow_and_quick(lab, circuit_breakers={
        "thresholds": [{"max_connections": 20, "max_pending_requests": 20, "max_requests": 20}]})
    before = proxy.memory_kb()["rss"]
    callers = [client.connect(10000, timeout=30) for _ in range(200)]
    for caller in callers:
        caller.request("GET", "/slow")
    refused = statuses(callers, 180)
    assert set(refused.values()) == {503} and len(refused) == 180
    assert len(origin.received) <= 20
    assert SANITIZED or proxy.memory_kb()["rss"] - before < 200 * 16
    gate.set()
    assert set(statuses([caller for caller in callers if caller not in refused], 20).values()) == {200}
    assert client.get(10000, "/quick").status == 200


@pytest.mark.parametrize("limit", [{"retry_budget": {"budget_percent": {"value": 20}, "min_retry_concurrency": 1}}, {"max_retries": 6}],
                         ids=["a share", "a number"])
def test_res_13_retries_stay_within_their_budget(lab, limit):
    """Every second answer is an error, and each may be tried again three times: the back end gets at most a fifth more."""
    client, server = lab.host("client"), lab.host("server")
    count, lock = [0], threading.Lock()

    def answer(request):
        with lock:
            count[0] += 1
            number = count[0]
        time.sleep(0.02)
        return Reply(status=503 if number % 2 else 200)
    origin = lab.origin(server, answer=answer)
    host = virtual_host(route(to="up", route={"cluster": "up", "retry_policy": {
        "retry_on": "5xx", "num_retries": 3, "retry_back_off": {"base_interval": "0.001s"}}}))
    proxy = lab.tulle_proxy(client, bootstrap([http_listener(10000, host)], [cluster("up", origin.address, circuit_breakers={
        "thresholds": [limit]})]))
    asked = [0]
    end = time.monotonic() + 3

    def ask():
        with client.connect(10000) as connection:
            while time.monotonic() < end:
                connection.exchange("GET", "/")
                with lock:
                    asked[0] += 1
    threads = [threading.Thread(target=ask) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{asked[0]} requests, {count[0]} at the back end")
    assert asked[0] > 100 and count[0] <= asked[0] * 1.4, (asked, count)
    assert proxy.is_running
