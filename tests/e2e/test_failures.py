"""Why a request failed: status, response flags and response_code_details of each cause, in the access log; Envoy is the judge."""
import json
import os
import re
import socket
import struct
import threading

import h2.errors
import pytest

from lab import Reply, bootstrap, cluster, http_listener, route, virtual_host
from lab.http2 import Http2Origin
from test_http2 import http2_cluster

FILE = "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog"
FIELDS = {"code": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "details": "%RESPONSE_CODE_DETAILS%",
          "reason": "%UPSTREAM_TRANSPORT_FAILURE_REASON%", "cluster": "%UPSTREAM_CLUSTER%", "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%"}


def log_to(path, **source):
    return [{"name": "file", "typed_config": {"@type": FILE, "path": path, "log_format": source or {"json_format": FIELDS}}}]


class Logged:
    """A proxy with one HTTP listener whose access log is read line by line."""

    def __init__(self, lab, start_proxy, *hosts, answer=None, clusters=None, source=None, **manager):
        self.lab, self.client, self.server = lab, lab.host("client"), lab.host("server")
        self.origin = lab.origin(self.server, **({"answer": answer} if answer else {}))
        self.path = lab.path(f"access-{len(lab.programs)}.log")
        self.proxy = start_proxy(lab, self.client, bootstrap(
            [http_listener(10000, *(hosts or (virtual_host(route(to="up")),)), access_log=log_to(self.path, **(source or {})), **manager)],
            clusters(self) if clusters else [cluster("up", self.origin.address)]))

    def lines(self, count=1):
        """Envoy gathers lines for up to ten seconds unless it is asked to write."""
        def read():
            with open(self.path) as file:
                return file.read().splitlines()
        self.proxy.wait_for(lambda: os.path.exists(self.path) and len(read()) >= count, f"{count} lines of log", timeout=20)
        return read()

    def told(self):
        line, = self.lines()
        return json.loads(line)


def one_try(**more):
    return virtual_host(route(route={"cluster": "up", **more}))


def dead(logged):
    return [cluster("up", (logged.server.ipv4, 9))]


CAUSES = {
    "NR": dict(hosts=[virtual_host(route("/elsewhere", "up"))], code=404, details="route_not_found"),
    "NC": dict(hosts=[virtual_host({"match": {"prefix": "/"}, "route": {"cluster_header": "x-cluster"}})], code=503, details="cluster_not_found"),
    "UH": dict(clusters=lambda logged: [cluster("up")], code=503, details="no_healthy_upstream"),
    "UF": dict(clusters=dead, code=503, details="upstream_reset_before_response_started{"),
    "UT": dict(hosts=[one_try(timeout="0.2s")], held=True, code=504, details="response_timeout"),
    "UC": dict(answer=lambda request: None, method="POST", code=503, details="upstream_reset_before_response_started{connection_termination}"),
    "UPE": dict(answer=lambda request: b"nonsense\r\n\r\n", code=502, details="upstream_"),
    "-": dict(code=200, details="via_upstream"),
    "- 404": dict(answer=lambda request: Reply(status=404), code=404, details="via_upstream"),
    "- direct": dict(hosts=[virtual_host(route(direct_response={"status": 418, "body": {"inline_string": "tea"}}))], code=418, details="direct_response"),
    "- redirect": dict(hosts=[virtual_host(route(redirect={"path_redirect": "/x"}))], code=301, details="direct_response"),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_each_cause_has_its_flag_and_details(lab, start_proxy, cause):
    row, held = CAUSES[cause], threading.Event()
    answer = (lambda request: held.wait(20) and None) if row.get("held") else row.get("answer")
    logged = Logged(lab, start_proxy, *row.get("hosts", ()), answer=answer, clusters=row.get("clusters"))
    try:
        assert logged.client.get(10000, method=row.get("method", "GET"), headers=[("x-cluster", "nowhere")]).status == row["code"]
        told = logged.told()
    finally:
        held.set()
    assert told["code"] == row["code"] and (told["flags"] or "-") == cause.split()[0], told
    assert told["details"].startswith(row["details"]), told
    assert (told["reason"] is not None) == (cause == "UF") or cause == "UPE", told


def test_a_reset_says_that_it_was_one(lab, start_proxy):
    """A connection that the upstream closes and one that fails under the request are told apart."""
    def reset(connection):
        connection.recv(65536)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    server = lab.origin(lab.host("server"), serve=reset)
    logged = Logged(lab, start_proxy, clusters=lambda logged: [cluster("up", server.address)])
    response = logged.client.get(10000, method="POST")
    assert response.status == 503 and "reset" in response.text, response.text
    if start_proxy.kind == "tulle":
        assert "Connection reset by peer" in response.text, response.text
    assert logged.told()["flags"] == "UC"


def test_an_open_circuit_breaker_is_uo(lab, start_proxy):
    held = threading.Event()
    def clusters(logged):
        return [cluster("up", logged.origin.address, circuit_breakers={"thresholds": [{"max_requests": 1, "max_pending_requests": 1, "max_connections": 1}]})]
    logged = Logged(lab, start_proxy, answer=lambda request: Reply() if held.wait(20) else None, clusters=clusters)
    with logged.client.connect(10000, timeout=20) as first:
        first.request("GET", "/")
        logged.origin.wait_for(lambda: any(logged.origin.received.values()), "the first request")
        statuses = [logged.client.get(10000).status for _ in range(2)] if start_proxy.kind == "tulle" else [503]
        assert set(statuses) == {503}
        held.set()
        if start_proxy.kind == "envoy":
            return  # it queues one request; what it logs for the others is the row above
        assert first.response().status == 200
    told = [json.loads(line) for line in logged.lines(3)]
    assert [(row["flags"], row["details"]) for row in told if row["code"] == 503] == [("UO", "upstream_reset_before_response_started{overflow}")] * 2


def test_a_client_that_leaves_is_dc(lab, start_proxy):
    held = threading.Event()
    logged = Logged(lab, start_proxy, answer=lambda request: held.wait(20) and None)
    with logged.client.connect(10000) as client:
        client.request("GET", "/")
        logged.origin.wait_for(lambda: any(logged.origin.received.values()), "the request")
        client.reset()
        told = logged.told()
        held.set()
    assert told["flags"] == "DC" and told["code"] == 0 and "downstream_remote_disconnect" in told["details"], told


def test_retries_that_ran_out_are_urx(lab, start_proxy):
    retry = {"retry_on": "connect-failure", "num_retries": 1}
    logged = Logged(lab, start_proxy, one_try(retry_policy=retry), clusters=dead)
    assert logged.client.get(10000).status == 503
    told = logged.told()
    assert set(told["flags"].split(",")) == {"UF", "URX"} and told["attempts"] == 2, told


def test_a_stream_that_lasts_too_long_is_cut(lab, start_proxy):
    """max_stream_duration of the route."""
    held = threading.Event()
    logged = Logged(lab, start_proxy, one_try(timeout="0s", max_stream_duration={"max_stream_duration": "0.2s"}),
                    answer=lambda request: held.wait(20) and None)
    try:
        assert logged.client.get(10000).status in (408, 504)
        told = logged.told()
    finally:
        held.set()
    assert (told["flags"] or "-") == "-" and told["details"] == "max_duration_timeout" and told["code"] == 504, told


def test_a_stream_on_which_nothing_moves_is_cut(lab, start_proxy):
    held = threading.Event()
    logged = Logged(lab, start_proxy, one_try(timeout="0s"), answer=lambda request: held.wait(20) and None, stream_idle_timeout="0.3s")
    try:
        with logged.client.connect(10000) as client:
            client.request("GET", "/")
            assert client.response().status in (408, 504)
        told = logged.told()
    finally:
        held.set()
    assert told["flags"] == "SI" and "stream_idle_timeout" in told["details"], told


@pytest.mark.parametrize("code, details", [
    (h2.errors.ErrorCodes.INTERNAL_ERROR, "remote_reset"), (h2.errors.ErrorCodes.REFUSED_STREAM, "remote_refused_stream_reset")])
def test_a_stream_that_the_upstream_resets(lab, start_proxy, code, details):
    """Its connection lives: the flag is UR, and not UC."""
    def on_head(conversation, stream, request):
        conversation.h2.reset_stream(stream, code)
        return True
    origin = Http2Origin(lab.host("server"), on_head=on_head)
    lab.origins.append(origin)
    logged = Logged(lab, start_proxy, clusters=lambda logged: [http2_cluster("up", origin.address)])
    assert logged.client.get(10000, method="POST", body=b"x").status == 503
    told = logged.told()
    assert told["flags"] == "UR" and re.match(rf"upstream_reset_before_response_started{{{details}\b", told["details"]), told


@pytest.mark.parametrize("moves, status", [(1, 200), (3, 200), (4, 503)])
def test_a_stream_that_is_left_to_another_connection(lab, moves, status):
    """GOAWAY before it: provably not acted on, so it is asked again, also when that connection goes away, but not for ever."""
    def on_head(conversation, stream, request):
        if len(origin.connections) > moves:
            return False
        conversation.h2.close_connection(last_stream_id=0)
        return True
    origin = Http2Origin(lab.host("server"), on_head=on_head)
    lab.origins.append(origin)
    client = lab.host("client")
    lab.tulle_proxy(client, bootstrap([http_listener(10000, virtual_host(route(to="up")))], [http2_cluster("up", origin.address)]))
    assert client.get(10000, method="POST", body=b"x").status == status
    assert len(origin.connections) == min(moves + 1, 4)


# ---------------------------------------------------------------- formats

ISTIO_TEXT = ('[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% '
              '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% '
              '%DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" '
              '"%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% '
              '%DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n')


def test_istios_text_format(lab, start_proxy):
    logged = Logged(lab, start_proxy, virtual_host(route(to="up", name="main-route")), answer=lambda request: Reply(body=b"hello"),
                    source={"text_format_source": {"inline_string": ISTIO_TEXT}})
    assert logged.client.get(10000, "/a?b=c", method="POST", body=b"xyz", host="shop.example",
                             headers=[("User-Agent", 'a "quoted" one')]).status == 200
    line, = logged.lines()
    address = "%s:%d" % logged.origin.address
    pattern = (r'\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "POST /a\?b=c HTTP/1\.1" 200 - via_upstream - "-" 3 5 \d+ \S+ "-" "a .*quoted.* one" '
               r'"[0-9a-f-]{36}" "shop\.example" "' + address.replace(".", r"\.") + r'" up 10\.78\.0\.\d+:\d+ 127\.0\.0\.1:10000 127\.0\.0\.1:\d+ - main-route')
    assert re.fullmatch(pattern, line), line


OPERATORS = {
    "%START_TIME(%Y-%m-%d)%": r"\d{4}-\d\d-\d\d", "%START_TIME(%s.%3f)%": r"\d+\.\d{3}", "%REQ(X-NONE?:PATH):4%": "/abc", "%RESP(X-ONE)%": "two",
    "%TRAILER(X-NONE)%": "-", "%PROTOCOL%": "HTTP/1.1", "%UPSTREAM_PROTOCOL%": "HTTP/1.1", "%UPSTREAM_REQUEST_ATTEMPT_COUNT%": "1",
    "%REQUEST_DURATION%": r"\d+", "%RESPONSE_DURATION%": r"\d+", "%RESPONSE_TX_DURATION%": r"\d+", "%BYTES_RECEIVED%": "3", "%BYTES_SENT%": "5",
    "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%": r"127\.0\.0\.1", "%DOWNSTREAM_LOCAL_PORT%": "10000", "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%": r"127\.0\.0\.1:\d+",
    "%UPSTREAM_HOST%": r"10\.78\.0\.\d+:\d+", "%UPSTREAM_CLUSTER%": "up", "%ROUTE_NAME%": "named", "%VIRTUAL_CLUSTER_NAME%": "-", "%CONNECTION_ID%": r"\d+",
    "%GRPC_STATUS%": "-", "%DYNAMIC_METADATA(a:b)%": "-", "%FILTER_STATE(a)%": "-", "%DOWNSTREAM_PEER_URI_SAN%": "-", "%DOWNSTREAM_TLS_VERSION%": "-",
    "%HOSTNAME%": r"\S+", "%REQUESTED_SERVER_NAME%": "-", "%RESPONSE_CODE_DETAILS%": "via_upstream", "%CONNECTION_TERMINATION_DETAILS%": "-",
    "%REQ(USER-AGENT)%": "-", "a%%b": "a%b", "%REQUEST_HEADERS_BYTES%": r"\d+", "%RESPONSE_HEADERS_BYTES%": r"\d+", "%RESPONSE_TRAILERS_BYTES%": "0",
}


def test_operators(lab, start_proxy):
    known = {key: value for key, value in OPERATORS.items() if key != "%VIRTUAL_CLUSTER_NAME%"}
    logged = Logged(lab, start_proxy, virtual_host(route(to="up", name="named")), answer=lambda request: Reply(body=b"hello", headers=[("X-One", "two")]),
                    source={"text_format_source": {"inline_string": "\t".join(known) + "\n"}})
    assert logged.client.get(10000, "/abcdef", method="POST", body=b"xyz").status == 200
    line, = logged.lines()
    for (operator, expected), got in zip(known.items(), line.split("\t"), strict=True):
        assert re.fullmatch(expected, got), (operator, got)


def test_app_16_what_clients_write_stays_in_its_line_and_string(lab, start_proxy):
    logged = Logged(lab, start_proxy, source={"json_format": {"agent": "%REQ(USER-AGENT)%", "path": "%REQ(:PATH)%"}})
    agent = 'a"b\\c\t{"fake":1}\x80\xff'
    assert logged.client.get(10000, "/%0a%22", headers=[("User-Agent", agent)]).status == 200
    line, = logged.lines()
    told = json.loads(line)
    assert told["path"] == "/%0a%22" and told["agent"].startswith('a"b\\c\t{"fake":1}')


def test_lines_that_nobody_takes_are_dropped_and_counted_and_no_request_waits(lab):
    """The log is a pipe whose reader stands still: its ring fills."""
    client, origin = lab.host("client"), lab.origin(lab.host("server"))
    path = lab.path("pipe")
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        proxy = lab.tulle_proxy(client, bootstrap(
            [http_listener(10000, virtual_host(route(to="up")), access_log=log_to(path, text_format_source={"inline_string": "x" * 4000 + "\n"}))],
            [cluster("up", origin.address)]))

        def dropped():
            return int(re.search(r"^access_log\.dropped: (\d+)$", lab.admin(proxy, "/stats").text, re.M).group(1))
        assert dropped() == 0
        with client.connect(10000) as connection:
            for _ in range(200):  # of which the pipe and the ring hold some 80
                assert connection.exchange("GET", "/").status == 200
        assert 80 < dropped() < 190
        assert "tulle_access_log_dropped_total" in lab.admin(proxy, "/stats/prometheus").text
    finally:
        os.close(reader)  # a writer is told so, and ends
