"""Rows of hostile input beside framing: identity headers (HDR), detection (SLO), discovery and names (CFG)."""
import json
import re
import time

import pytest

from lab import Reply, bootstrap, cluster, http_listener, route, tcp_listener, virtual_host
from lab.ads import packed
from lab.config import ROUTER, TYPE, ads_bootstrap, eds_cluster, endpoints, rds_listener, route_table

FORWARD = virtual_host(route(to="up"))
FILE = TYPE + "envoy.extensions.access_loggers.file.v3.FileAccessLog"


class Setup:
    def __init__(self, lab, *hosts, answer=None, **manager):
        self.client, self.server = lab.host("client"), lab.host("server")
        self.origin = lab.origin(self.server, **({"answer": answer} if answer else {}))
        self.proxy = lab.tulle_proxy(self.client, bootstrap([http_listener(10000, *(hosts or (FORWARD,)), **manager)],
                                                            [cluster("up", self.origin.address)]))

    def get(self, headers=()):
        return self.client.get(10000, headers=headers)


def test_hdr_07_a_long_forged_xff_changes_nothing(lab):
    log = lab.path("access.log")
    setup = Setup(lab, use_remote_address=True, access_log=[{"name": "file", "typed_config": {
        "@type": FILE, "path": log, "log_format": {"text_format_source": {"inline_string": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%\n"}}}}])
    forged = ", ".join(["1.2.3.4", "not-an-address", "::ffff:300.1.1.1"] * 334)
    assert setup.get([("X-Forwarded-For", forged)]).status == 200
    request, = setup.origin.take()
    assert request.header("x-forwarded-for").split(",")[-1].strip() == "127.0.0.1"
    setup.proxy.wait_for(lambda: open(log).read().endswith("\n"), "a log line")
    assert open(log).read() == "127.0.0.1\n"


def rbac(action, value):
    header = {"header": value if isinstance(value, dict) else {"name": "x-role", "string_match": {"exact": value}}}
    return {"http_filters": [
        {"name": "rbac", "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.rbac.v3.RBAC", "rules": {
            "action": action.split()[0], "policies": {"p": {"permissions": [{"not_rule": header} if action.endswith("not") else header],
                                                 "principals": [{"any": True}]}}}}},
        {"name": "router", "typed_config": {"@type": ROUTER}}]}


INVERTED = {"name": "x-role", "string_match": {"exact": "admin"}, "invert_match": True}


@pytest.mark.parametrize("headers", [[("X-Role", "user"), ("X-Role", "admin")], [("X-Role", "admin"), ("X-Role", "user")],
                                     [("X-Role", "user, admin")]])
@pytest.mark.parametrize("action, value", [("DENY", "admin"), ("ALLOW", "user"), ("ALLOW not", "admin"), ("DENY not", "user"), ("ALLOW", INVERTED)])
def test_hdr_08_every_value_of_a_header_is_judged(lab, action, value, headers):
    """DENY if any matches, ALLOW only if all do."""
    setup = Setup(lab, **rbac(action, value))
    assert setup.get(headers).status == 403
    assert setup.get([("X-Role", "user")]).status == 200
    assert all(len(request.all("x-role")) == 1 for request in setup.origin.take())


@pytest.mark.parametrize("hops, status", [("15", 200), ("16", 508), ("99999999999999999999", 508), ("x", 508)])
def test_hdr_12_a_request_that_passed_too_many_proxies_ends(lab, hops, status):
    setup = Setup(lab)
    assert setup.get([("X-Tulle-Hops", hops)]).status == status


def detecting(port, timeout="0.5s"):
    listener = tcp_listener(port, "up")
    listener["listener_filters"] = [
        {"name": name, "typed_config": {"@type": TYPE + f"envoy.extensions.filters.listener.{name}.v3.{kind}"}}
        for name, kind in (("tls_inspector", "TlsInspector"), ("http_inspector", "HttpInspector"))]
    listener["listener_filters_timeout"] = timeout
    listener["continue_on_listener_filters_timeout"] = True
    return listener


@pytest.mark.parametrize("first", [b"G", b"GET", b"\x16", b"\x16\x03\x01\x02", b"PRI * H", b"\x00\x01\x02\x03\x04\x05\x06", b"HELO"])
def test_slo_11_a_few_bytes_and_silence_fall_to_tcp(lab, first):
    """No byte is lost by looking."""
    client, server = lab.host("client"), lab.host("server")
    heard = []

    def serve(connection):
        heard.append(connection.recv(100))
        connection.sendall(b"welcome")
    origin = lab.origin(server, serve=serve)
    lab.tulle_proxy(client, bootstrap([detecting(10000)], [cluster("up", origin.address)]))
    with client.connect(10000) as connection:
        connection.send(first)
        assert connection.read(7) == b"welcome"
    assert heard == [first]


def test_slo_05_a_hello_that_never_ends_is_cut(lab):
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server)
    listener = detecting(10000, "1s")
    listener["continue_on_listener_filters_timeout"] = False
    proxy = lab.tulle_proxy(client, bootstrap([listener], [cluster("up", origin.address)]))
    connections = [client.connect(10000) for _ in range(20)]
    for connection in connections[:10]:
        connection.send(bytes.fromhex("16030100c8010000c40303"))
    started = time.monotonic()
    for connection in connections:
        assert connection.is_closed(within=10)
        connection.close()
    assert time.monotonic() - started < 8 and proxy.is_running


def small_mesh(lab):
    client, server, ads = lab.host("client"), lab.host("server"), lab.ads(lab.host("control"))
    origin = lab.origin(server, answer=lambda request: Reply(body=b"good"))
    ads.set("cluster", eds_cluster("up"))
    ads.set("endpoints", endpoints("up", origin.address))
    ads.set("listener", rds_listener(10000, "table"))
    ads.set("routes", route_table("table", FORWARD))
    proxy = lab.tulle_proxy(client, ads_bootstrap(ads.address))
    proxy.wait_for_port(10000)
    ads.wait_until_settled()
    return client, ads, proxy


def test_cfg_05_a_bad_resource_sent_for_ever_costs_little(lab):
    client, ads, proxy = small_mesh(lab)
    bad = packed("routes", route_table("table", virtual_host(route(to="up"), domains=["*", "*"])))
    before = proxy.memory_kb()["rss"]
    for _ in range(300):
        assert ads.wait_for_nack(ads.send("routes", [("table", "bad", bad)]))
    assert client.get(10000).text == "good"
    assert proxy.memory_kb()["rss"] - before < 16384


def test_cfg_06_versions_that_repeat_or_go_back_are_the_servers_business(lab):
    client, ads, proxy = small_mesh(lab)
    good = packed("routes", route_table("table", FORWARD))
    for version in ("2", "2", "", "1", "x" * 1000):
        ads.send("routes", [("table", version, good)])
    ads.send("routes", [("table", "3", good), ("table", "4", good)])
    assert client.get(10000).text == "good" and proxy.is_running


ODD = ['a"b', "a\nb", "a`b", "a${PATH}b", "a%REQ(X)%b", "a\\b", "a{}b", "a\tb", "ä"]


@pytest.mark.parametrize("name", ODD)
def test_cfg_13_names_never_become_syntax(lab, name):
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server)
    proxy = lab.tulle_proxy(client, bootstrap([http_listener(10000, virtual_host(route(to=name), name=name))], [cluster(name, origin.address)]))
    assert client.get(10000).status == 200
    dump = json.loads(lab.admin(proxy, "/config_dump?include_eds").body)
    assert name in [entry["cluster"]["name"] for config in dump["configs"] for entry in config.get("static_clusters", [])]
    statuses = json.loads(lab.admin(proxy, "/clusters?format=json").body)["cluster_statuses"]
    assert [status["name"] for status in statuses] == [name]
    json.loads(lab.admin(proxy, "/stats?format=json").body)
    for line in lab.admin(proxy, "/stats/prometheus").text.splitlines():
        assert line.startswith("#") or re.fullmatch(r'[a-zA-Z_:][a-zA-Z0-9_:]*(\{([a-zA-Z_0-9]+="([^"\\]|\\.)*",?)*\})? [-+0-9.eEInfNa]+', line), line
