"""The admin interface on 15000, in the shapes that istioctl, Prometheus and people know from Envoy."""
import json
import re

import pytest

from lab import bootstrap, cluster, http_listener, route, virtual_host


@pytest.fixture
def served(lab, start_proxy):
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server)
    proxy = start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(route(to="up")), name="main")],
                                               [cluster("up", origin.address)]))
    for _ in range(5):
        assert client.get(10000).status == 200
    proxy.lab, proxy.client, proxy.origin = lab, client, origin
    return proxy


def ask(proxy, target, method="GET"):
    return proxy.lab.admin(proxy, target, method)


def ask_json(proxy, target):
    response = ask(proxy, target)
    assert response.status == 200 and "json" in (response.header("content-type") or "")
    return json.loads(response.body)


def test_ready(served):
    response = ask(served, "/ready")
    assert response.status == 200 and response.text.strip() == "LIVE"


def test_server_info(served):
    told = ask_json(served, "/server_info")
    assert told["state"] == "LIVE" and told["version"] and re.fullmatch(r"\d+s", told["uptime_current_epoch"])
    assert told["node"]["id"] == "test" and told["command_line_options"]["concurrency"] >= 1


def test_listeners(served):
    assert "main::0.0.0.0:10000" in ask(served, "/listeners").text
    told = ask_json(served, "/listeners?format=json")
    assert told["listener_statuses"][0]["name"] == "main"
    assert told["listener_statuses"][0]["local_address"]["socket_address"]["port_value"] == 10000


def test_clusters(served):
    text = ask(served, "/clusters").text
    address = "%s:%d" % served.origin.address
    assert f"up::{address}::health_flags::healthy" in text and f"up::{address}::rq_total::5" in text
    told = ask_json(served, "/clusters?format=json")
    up, = [status for status in told["cluster_statuses"] if status["name"] == "up"]
    host, = up["host_statuses"]
    assert host["address"]["socket_address"]["port_value"] == served.origin.port
    assert {"rq_total", "cx_active"} <= {stat["name"] for stat in host["stats"]}


def test_stats(served):
    text = ask(served, "/stats").text
    assert re.search(r"^cluster\.up\.upstream_rq_total: 5$", text, re.M)
    assert re.search(r"^cluster\.up\.upstream_rq_200: 5$", text, re.M)
    assert re.search(r"^http\.main\.downstream_rq_total: [5-9]", text, re.M)
    only = ask(served, "/stats?filter=^cluster\\.up\\.upstream_rq_total$").text.strip().splitlines()
    assert only == ["cluster.up.upstream_rq_total: 5"]
    stats = ask_json(served, "/stats?format=json&filter=cluster.up.upstream_rq_total")["stats"]
    assert {"name": "cluster.up.upstream_rq_total", "value": 5} in stats


def test_prometheus(served):
    response = ask(served, "/stats/prometheus")
    assert (response.header("content-type") or "").startswith("text/plain")
    text = response.text
    assert re.search(r'^envoy_cluster_upstream_rq_total\{[^}]*envoy_cluster_name="up"[^}]*\} 5$', text, re.M)
    seen = set()
    for line in text.splitlines():
        if line.startswith("# TYPE"):
            name = line.split()[2]
            assert name not in seen, f"{name} has two TYPE lines"
            seen.add(name)
        elif line and not line.startswith("#"):
            assert re.fullmatch(r"[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^}]*\})? [-+0-9.eEInfNa]+", line), line


def test_config_dump(served):
    told = ask_json(served, "/config_dump")
    kinds = [config["@type"].rsplit(".", 1)[1] for config in told["configs"]]
    for kind in ("BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump"):
        assert kind in kinds
    clusters, = [config for config in told["configs"] if config["@type"].endswith("ClustersConfigDump")]
    assert "up" in [entry["cluster"]["name"] for entry in clusters["static_clusters"]]
    listeners, = [config for config in told["configs"] if config["@type"].endswith("ListenersConfigDump")]
    assert "main" in [entry["listener"]["name"] for entry in listeners["static_listeners"]]


def test_certs(served):
    assert ask_json(served, "/certs").get("certificates", []) == []


def test_help_lists_the_rest(served):
    text = ask(served, "/help").text
    for name in ("/ready", "/stats", "/config_dump", "/clusters", "/listeners", "/certs", "/server_info", "/logging", "/drain_listeners", "/quitquitquit"):
        assert name in text


def test_logging_changes_only_by_post(served):
    assert ask(served, "/logging?level=debug").status in (400, 405)
    assert ask(served, "/logging?level=debug", "POST").status == 200
    assert ask(served, "/logging?level=shouting", "POST").status in (400, 404)
    assert ask(served, "/logging?level=warning", "POST").status == 200


def test_unknown_page_is_404(served):
    assert ask(served, "/nonsense").status == 404


def test_drain_listeners_closes_them_and_keeps_admin(served):
    assert ask(served, "/drain_listeners").status in (400, 405)
    assert ask(served, "/drain_listeners", "POST").status == 200
    served.wait_for(lambda: not listens(served), "end of the listener")
    assert ask(served, "/server_info").status == 200


def listens(proxy):
    try:
        proxy.client.connect(10000, timeout=1).close()
        return True
    except OSError:
        return False


def test_quitquitquit_ends_the_process(served):
    assert ask(served, "/quitquitquit").status in (400, 405)
    assert ask(served, "/quitquitquit", "POST").status == 200
    assert served.wait_for_exit() == 0


@pytest.mark.parametrize("host", ["evil.example", "10.0.0.1:15000"])
def test_app_20_a_page_elsewhere_cannot_drive_it(lab, host):
    """DNS rebinding: only names of loopback are answered."""
    client = lab.host("client")
    lab.tulle_proxy(client, bootstrap([http_listener(10000, virtual_host(route(to="up")))], [cluster("up")]))
    assert client.get(15000, "/quitquitquit", method="POST", host=host).status in (400, 403, 421)
    assert client.get(15000, "/ready", host="localhost:15000").status == 200
