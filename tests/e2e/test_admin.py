"""The admin interface on 15000, in the shapes that istioctl, Prometheus and people know from Envoy."""
import json
import os
import re
import threading

import pytest

from lab import Reply, bootstrap, cluster, http_listener, route, tcp_listener, virtual_host


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


COUNTERS = ("cx_active", "cx_connect_fail", "cx_total", "rq_active", "rq_error", "rq_success", "rq_timeout", "rq_total")


def counters(lab, proxy, name, address):
    """What /clusters says of one endpoint, as text; its JSON must say the same."""
    prefix = "%s::%s:%d::" % (name, *address)
    rows = dict(line[len(prefix):].split("::", 1) for line in lab.admin(proxy, "/clusters").text.splitlines() if line.startswith(prefix))
    statuses = json.loads(lab.admin(proxy, "/clusters?format=json").body)["cluster_statuses"]
    status, = [status for status in statuses if status["name"] == name]
    host, = [host for host in status["host_statuses"] if host["address"]["socket_address"]["port_value"] == address[1]]
    stats = {stat["name"]: int(stat.get("value", 0)) for stat in host["stats"]}
    gauges = {stat["name"] for stat in host["stats"] if stat.get("type") == "GAUGE"}
    assert {"cx_active", "rq_active"} <= gauges  # Envoy has rq_pending_active beside them
    assert {key: int(rows[key]) for key in COUNTERS} == {key: stats[key] for key in COUNTERS}
    assert status["circuit_breakers"]["thresholds"][0]["max_connections"] == 1024
    assert status["circuit_breakers"]["thresholds"][1]["priority"] == "HIGH"
    return rows


def test_endpoints_are_counted_one_by_one(lab, start_proxy):
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server, answer=lambda request: Reply(status=int(request.target[1:])))
    dead, place = (server.ipv4, 9), {"region": "r1", "zone": "z1", "sub_zone": "s1"}
    up = cluster("up", origin.address)
    up["load_assignment"]["endpoints"][0]["locality"] = place
    up["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["load_balancing_weight"] = 3
    proxy = start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(route("/dead", "down"), route(to="up")))],
                                               [up, cluster("down", dead)]))
    with client.connect(10000) as connection:
        for status in (200, 200, 404, 500, 503):
            assert connection.exchange("GET", f"/{status}").status == status
        assert connection.exchange("GET", "/dead").status == 503
    rows = counters(lab, proxy, "up", origin.address)
    assert {key: int(rows[key]) for key in COUNTERS} == {
        "cx_active": 1, "cx_connect_fail": 0, "cx_total": 1, "rq_active": 0, "rq_error": 2, "rq_success": 3, "rq_timeout": 0, "rq_total": 5}
    assert (rows["region"], rows["zone"], rows["sub_zone"], rows["weight"], rows["priority"]) == ("r1", "z1", "s1", "3", "0")
    rows = counters(lab, proxy, "down", dead)
    assert int(rows["cx_connect_fail"]) == int(rows["cx_total"]) == 1 and int(rows["rq_total"]) == 0 and int(rows["cx_active"]) == 0


def test_a_timeout_is_counted_on_its_endpoint(lab, start_proxy):
    held, client, server = threading.Event(), lab.host("client"), lab.host("server")
    origin = lab.origin(server, answer=lambda request: held.wait(20) and None)
    proxy = start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(route(route={"cluster": "up", "timeout": "0.1s"})))],
                                               [cluster("up", origin.address)]))
    try:
        assert client.get(10000).status == 504
        rows = counters(lab, proxy, "up", origin.address)
        assert (rows["rq_timeout"], rows["rq_total"], rows["rq_active"]) == ("1", "1", "0")
    finally:
        held.set()


def test_answers_are_counted_by_code_and_class(lab, start_proxy):
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server, answer=lambda request: Reply(status=int(request.target[1:])))
    proxy = start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(route(to="up")), name="main")],
                                               [cluster("up", origin.address)]))
    for status in (200, 201, 404, 404, 503):
        assert client.get(10000, f"/{status}").status == status
    text = lab.admin(proxy, "/stats?usedonly").text
    for line in ("cluster.up.upstream_rq_200: 1", "cluster.up.upstream_rq_201: 1", "cluster.up.upstream_rq_2xx: 2",
                 "cluster.up.upstream_rq_404: 2", "cluster.up.upstream_rq_4xx: 2", "cluster.up.upstream_rq_503: 1",
                 "cluster.up.upstream_rq_5xx: 1", "http.main.downstream_rq_2xx: 2",
                 "http.main.downstream_rq_4xx: 2", "http.main.downstream_rq_5xx: 1", "http.main.downstream_rq_total: 5"):
        assert re.search(f"^{re.escape(line)}$", text, re.M), line
    text = lab.admin(proxy, "/stats/prometheus").text
    for name, labels, value in (("cluster_upstream_rq", {"envoy_response_code": "404", "envoy_cluster_name": "up"}, 2),
                                ("cluster_upstream_rq_xx", {"envoy_response_code_class": "2", "envoy_cluster_name": "up"}, 2),
                                ("http_downstream_rq_xx", {"envoy_response_code_class": "4", "envoy_http_conn_manager_prefix": "main"}, 2)):
        found = [line for line in text.splitlines() if line.startswith(f"envoy_{name}{{") and all(f'{k}="{v}"' in line for k, v in labels.items())]
        assert len(found) == 1 and found[0].endswith(f" {value}"), (name, labels, found)


def stat(lab, proxy, name):
    """One value as /stats has it."""
    values = re.findall(f"^{re.escape(name)}: (\\d+)$", lab.admin(proxy, "/stats").text, re.M)
    assert len(values) == 1, (name, values)
    return int(values[0])


def test_retries_are_counted(lab, start_proxy):
    client, server = lab.host("client"), lab.host("server")
    statuses = iter((503, 200, 200, 503, 503, 503))
    origin = lab.origin(server, answer=lambda request: Reply(status=next(statuses)))
    retry = {"retry_on": "5xx", "num_retries": 2, "retry_back_off": {"base_interval": "0.001s"}}
    proxy = start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(route(route={"cluster": "up", "retry_policy": retry})))],
                                               [cluster("up", origin.address)]))
    assert [client.get(10000).status for _ in range(3)] == [200, 200, 503]
    assert {name: stat(lab, proxy, f"cluster.up.upstream_rq_{name}") for name in ("retry", "retry_success", "retry_limit_exceeded", "total")} == {
        "retry": 3, "retry_success": 1, "retry_limit_exceeded": 1, "total": 6}


def test_what_circuit_breakers_refuse_is_counted(lab, start_proxy):
    held, client, server = threading.Event(), lab.host("client"), lab.host("server")
    origin = lab.origin(server, answer=lambda request: held.wait(20) and Reply())
    breakers = {"circuit_breakers": {"thresholds": [{"max_requests": 1}]}}
    proxy = start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(route(to="up")))], [cluster("up", origin.address, **breakers)]))
    try:
        with client.connect(10000) as first:
            first.request("GET", "/")
            proxy.wait_for(lambda: origin.requests, "the first request")
            assert [client.get(10000).status for _ in range(2)] == [503, 503]
            held.set()
            assert first.response().status == 200
    finally:
        held.set()
    assert {name: stat(lab, proxy, f"cluster.up.upstream_{name}") for name in ("rq_active_overflow", "rq_pending_overflow", "cx_overflow")} == {
        "rq_active_overflow": 2, "rq_pending_overflow": 0, "cx_overflow": 0}


def test_members_are_counted(lab, start_proxy):
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server)
    sick = cluster("up", origin.address, (server.ipv4, 9))
    sick["load_assignment"]["endpoints"][0]["lb_endpoints"][1]["health_status"] = "UNHEALTHY"
    proxy = start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(route(to="up")))], [sick]))
    assert client.get(10000).status == 200
    assert {name: stat(lab, proxy, f"cluster.up.membership_{name}") for name in ("total", "healthy", "degraded")} == {
        "total": 2, "healthy": 1, "degraded": 0}


def test_tcp_is_counted_by_its_prefix(lab, start_proxy):
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server)
    proxy = start_proxy(lab, client, bootstrap([tcp_listener(10000, "up", name="first"), tcp_listener(10001, "nowhere", name="second")],
                                               [cluster("up", origin.address)]))
    for _ in range(2):
        assert client.get(10000).status == 200
    with client.connect(10001) as other:
        assert other.is_closed()
    proxy.wait_for(lambda: stat(lab, proxy, "tcp.first.downstream_cx_tx_bytes_total") > 100, "bytes to the client")
    assert stat(lab, proxy, "tcp.first.downstream_cx_total") == 2 and stat(lab, proxy, "tcp.first.downstream_cx_no_route") == 0
    proxy.wait_for(lambda: stat(lab, proxy, "tcp.first.downstream_cx_rx_bytes_total") > 50, "bytes of both clients")
    assert stat(lab, proxy, "tcp.second.downstream_cx_no_route") == 1
    text = lab.admin(proxy, "/stats/prometheus").text
    assert re.search(r'^envoy_tcp_downstream_cx_total\{[^}]*envoy_tcp_prefix="first"[^}]*\} 2$', text, re.M)


def test_refused_requests_are_counted_and_logged(lab):
    client, log = lab.host("client"), lab.path("access.log")
    proxy = lab.tulle_proxy(client, bootstrap([http_listener(10000, virtual_host(route(to="up")), name="main", access_log=[{
        "name": "file", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": log,
                                         "log_format": {"text_format_source": {"inline_string":
                                                        "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %REQ(:PATH)%\n"}}}}])],
        [cluster("up")]))
    with client.connect(10000) as connection:
        connection.send("GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n")
        assert connection.response().status == 400
    text = lab.admin(proxy, "/stats").text
    for line in ("http.main.downstream_cx_protocol_error: 1", "http.main.downstream_rq_4xx: 1"):
        assert re.search(f"^{re.escape(line)}$", text, re.M), line
    proxy.wait_for(lambda: os.path.exists(log) and open(log).read().endswith("\n"), "a log line")
    assert re.fullmatch(r"400 DPE \S+ -\n", open(log).read())


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


CLUSTER = "type.googleapis.com/envoy.admin.v3.ClustersConfigDump.StaticCluster"


def test_config_dump_of_one_list(served):
    told = ask_json(served, "/config_dump?resource=static_clusters")["configs"]
    assert [entry["@type"] for entry in told] == [CLUSTER] and told[0]["cluster"]["name"] == "up" and "last_updated" in told[0]
    assert ask_json(served, "/config_dump?resource=static_listeners")["configs"][0]["listener"]["name"] == "main"
    assert ask_json(served, "/config_dump?resource=static_route_configs")["configs"][0]["route_config"]["name"] == "routes_10000"
    assert ask_json(served, "/config_dump?resource=static_endpoint_configs&include_eds")["configs"][0]["endpoint_config"]["cluster_name"] == "up"
    assert ask_json(served, "/config_dump?resource=dynamic_active_clusters") == {}
    for name, status in (("nothing", 404), ("static_endpoint_configs", 404), ("bootstrap", 400)):
        assert ask(served, f"/config_dump?resource={name}").status == status, name


def test_config_dump_of_some_fields(served):
    fields = ask_json(served, "/config_dump?resource=static_clusters&mask=cluster.name")["configs"]
    assert fields == [{"@type": CLUSTER, "cluster": {"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": "up"}}]
    entry, = ask_json(served, "/config_dump?resource=static_clusters&mask=cluster.connect_timeout,last_updated")["configs"]
    assert set(entry) == {"@type", "cluster", "last_updated"} and set(entry["cluster"]) == {"@type", "connect_timeout"}
    dump, = ask_json(served, "/config_dump?mask=static_clusters")["configs"]
    assert dump["@type"].endswith("ClustersConfigDump") and len(dump["static_clusters"]) == 1
    dump, = ask_json(served, "/config_dump?mask=bootstrap.node.id")["configs"]
    assert dump["bootstrap"] == {"node": {"id": "test"}}
    for query in ("mask=nope", "mask=static_clusters.cluster.name", "mask=static_clusters,bootstrap", "resource=static_clusters&mask=nope",
                  "resource=static_clusters&mask=cluster.nope", "resource=static_clusters&mask=*"):
        assert ask(served, f"/config_dump?{query}").status == 400, query


def test_config_dump_by_name(served):
    names = [entry["cluster"]["name"] for entry in ask_json(served, "/config_dump?resource=static_clusters&name_regex=u.")["configs"]]
    assert names == ["up"]
    assert ask_json(served, "/config_dump?resource=static_clusters&name_regex=u") == {}
    configs = ask_json(served, "/config_dump?name_regex=main")["configs"]
    assert [entry["listener"]["name"] for config in configs for entry in config.get("static_listeners", ())] == ["main"]
    assert not [entry for config in configs for entry in config.get("static_clusters", ())]
    assert ask(served, "/config_dump?name_regex=(").status == 400


def test_certs(served):
    assert ask_json(served, "/certs").get("certificates", []) == []


def test_workers(lab):
    client = lab.host("client")
    proxy = lab.tulle_proxy(client, bootstrap([http_listener(10000, virtual_host(route(direct_response={"status": 200})))]))
    proxy.lab = lab
    with client.connect(10000) as connection:
        connection.exchange("GET", "/")
        told = ask_json(proxy, "/workers")
    published = told["configuration"]["published"]
    assert published >= 1 and told["configuration"]["adopted_by_all"] == published
    assert [worker["worker"] for worker in told["workers"]] == list(range(len(told["workers"])))
    assert {worker["configuration"] for worker in told["workers"]} == {published}
    assert sum(worker["connections"] for worker in told["workers"]) == 1
    assert all(worker["turns"] > 0 and "events" in worker["slow_turns"] for worker in told["workers"])


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
