"""What a static configuration means, beside Envoy: kinds of header match, rewrites, ORIGINAL_DST, balancers."""
import threading

import pytest

from lab import Reply, bootstrap, cluster, http_listener, route, tcp_listener, virtual_host
from lab.mesh import is_fair

ONE, TWO, LIST = [("X-A", "one")], [("X-A", "one"), ("X-A", "two")], [("X-A", "one,two")]

# Each matcher of the header x-a, with heads that it takes and heads that it does not.
MATCHERS = {
    "exact": ({"string_match": {"exact": "one"}}, [ONE], [[], [("X-A", "One")], [("X-A", "ones")]]),
    "a list": ({"string_match": {"exact": "one,two"}}, [LIST], [ONE]),
    "without case": ({"string_match": {"exact": "oNe", "ignore_case": True}}, [ONE, [("x-a", "ONE")]], [[("X-A", "on")]]),
    "prefix": ({"string_match": {"prefix": "on"}}, [ONE, TWO, LIST], [[("X-A", "no")], []]),
    "suffix": ({"string_match": {"suffix": "wo"}}, [TWO, [("X-A", "wo")]], [ONE]),
    "contains": ({"string_match": {"contains": "e,t"}}, [LIST], [ONE]),
    "regex of the whole value": ({"string_match": {"safe_regex": {"regex": "o.e"}}}, [ONE], [LIST, [("X-A", "done")]]),
    "range": ({"range_match": {"start": -5, "end": 10}}, [[("X-A", "-5")], [("X-A", "9")], [("X-A", "0")]],
              [[("X-A", "10")], [("X-A", "-6")], [("X-A", "3.5")], [("X-A", "")], [("X-A", "x")], []]),
    "present": ({"present_match": True}, [ONE, [("X-A", "")]], [[], [("X-B", "1")]]),
    "absent": ({"present_match": False}, [[], [("X-B", "1")]], [ONE, [("X-A", "")]]),
    "not": ({"string_match": {"exact": "one"}, "invert_match": True}, [LIST, [("X-A", "")]], [ONE, []]),
    "not present": ({"present_match": True, "invert_match": True}, [[]], [ONE]),
    "missing is empty": ({"string_match": {"exact": ""}, "treat_missing_header_as_empty": True}, [[], [("X-A", "")]], [ONE]),
    "missing is empty, not": ({"string_match": {"exact": "one"}, "invert_match": True, "treat_missing_header_as_empty": True}, [[], LIST], [ONE]),
    "of the method": ({"name": ":method", "string_match": {"exact": "GET"}}, [[]], []),
    "of the authority": ({"name": ":authority", "string_match": {"prefix": "te"}}, [[]], []),
    "in older words": ({"exact_match": "one"}, [ONE], [LIST]),
    "in older words, prefix": ({"prefix_match": "on"}, [ONE], [[("X-A", "no")]]),
}


def test_kinds_of_header_match(lab, start_proxy):
    yes = {"status": 200, "body": {"inline_string": "yes"}}
    routes = [route(f"/{number}/", direct_response=yes) for number in range(len(MATCHERS))]
    for made, (matcher, _, _) in zip(routes, MATCHERS.values()):
        made["match"]["headers"] = [{"name": "x-a", **matcher}]
    client = lab.host("client")
    start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(*routes, route(direct_response={"status": 404})))]))
    with client.connect(10000) as connection:
        for number, (name, (_, good, bad)) in enumerate(MATCHERS.items()):
            for status, heads in ((200, good), (404, bad)):
                for headers in heads:
                    assert connection.exchange("GET", f"/{number}/", headers=headers).status == status, (name, headers)


def test_several_fields_of_one_name_are_one_value(lab):
    """As RFC 9110 section 5.2 says, and as Envoy did before it matched each field by itself."""
    yes = route(direct_response={"status": 200})
    yes["match"]["headers"] = [{"name": "x-a", "string_match": {"exact": "one,two"}}]
    client = lab.host("client")
    lab.tulle_proxy(client, bootstrap([http_listener(10000, virtual_host(yes))]))
    for headers, status in ((TWO, 200), (LIST, 200), (ONE, 404)):
        assert client.get(10000, headers=headers).status == status, headers


def test_several_matches_must_all_hold(lab, start_proxy):
    both = route("/", direct_response={"status": 200})
    both["match"]["headers"] = [{"name": "x-a", "string_match": {"exact": "1"}}, {"name": "x-b", "present_match": True}]
    client = lab.host("client")
    start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(both))]))
    for headers, status in (([("x-a", "1"), ("x-b", "2")], 200), ([("x-a", "1")], 404), ([("x-b", "2")], 404), ([], 404)):
        assert client.get(10000, headers=headers).status == status, headers


def test_rewrites_by_regex_and_by_header(lab, start_proxy):
    def forward(prefix, **more):
        return route(prefix, route={"cluster": "up", **more})
    client = lab.host("client")
    origin = lab.origin(lab.host("server"), answer=lambda request: Reply(headers=[
        ("X-Target", request.target), ("X-Host", request.header("host")), ("X-Forwarded", request.header("x-forwarded-host") or "-")]))
    start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(
        forward("/service/", regex_rewrite={"pattern": {"regex": "^/service/([^/]+)(/.*)$"}, "substitution": "\\2/instance/\\1"}),
        forward("/all/", regex_rewrite={"pattern": {"regex": "one"}, "substitution": "two"}),
        forward("/by-header/", host_rewrite_header="x-host-wanted"),
        forward("/of-path/", host_rewrite_path_regex={"pattern": {"regex": "^/of-path/([^/]+)/(.*)$"}, "substitution": "\\1.example:81"},
                regex_rewrite={"pattern": {"regex": "^/of-path/"}, "substitution": "/p/"}),
        forward("/told/", host_rewrite_literal="inner.example", append_x_forwarded_host=True)))],
        [cluster("up", origin.address)]))

    def get(target, *headers):
        answer = client.get(10000, target, host="outer.example", headers=headers)
        return answer.header("x-target"), answer.header("x-host"), answer.header("x-forwarded")
    assert get("/service/foo/v1/api?q=1") == ("/v1/api/instance/foo?q=1", "outer.example", "-")
    assert get("/service/") == ("/service/", "outer.example", "-")
    assert get("/all/one/xone/one?one") == ("/all/two/xtwo/two?one", "outer.example", "-")
    assert get("/by-header/", ("X-Host-Wanted", "chosen.example")) == ("/by-header/", "chosen.example", "-")
    assert get("/by-header/") == ("/by-header/", "outer.example", "-")
    assert get("/of-path/shop/x?y") == ("/p/shop/x?y", "shop.example:81", "-")
    assert get("/told/") == ("/told/", "inner.example", "outer.example")


def test_nowhere_to_go(lab, start_proxy):
    """An empty cluster, as Istio's BlackHoleCluster is one: no byte, or 503."""
    client = lab.host("client")
    start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(route(to="BlackHoleCluster"))), tcp_listener(10001, "BlackHoleCluster")],
                                       [cluster("BlackHoleCluster")]))
    assert client.get(10000).status == 503
    with client.connect(10001) as connection:
        assert connection.is_closed()


def test_original_dst_by_a_header(lab, start_proxy):
    """Of a connection that nobody redirected the destination is its own: what asks for another one names it."""
    client, origin = lab.host("client"), lab.origin(lab.host("server"), answer=lambda request: Reply(body=b"there"))
    start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(route(to="original")))], [{
        "name": "original", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "1s"}]))
    assert client.get(10000).status == 503
    assert not origin.requests


def spread(lab, start_proxy, policy):
    """How many of 600 requests, one after the other, each of two endpoints got."""
    client, server = lab.host("client"), lab.host("server")
    first, second = lab.origin(server, name="first"), lab.origin(server, name="second")
    start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(route(to="both")))],
                                       [cluster("both", first.address, second.address, lb_policy=policy)]))
    with client.connect(10000) as connection:
        for _ in range(600):
            assert connection.exchange("GET", "/").status == 200
    return len(first.take()), len(second.take())


@pytest.mark.parametrize("policy", ["RANDOM", "LEAST_REQUEST"])
def test_equals_get_equal_shares(lab, start_proxy, policy):
    first, second = spread(lab, start_proxy, policy)
    assert first + second == 600 and is_fair(first, 600, 0.5, z=4), (first, second)


def test_round_robin_takes_turns(lab, start_proxy):
    first, second = spread(lab, start_proxy, "ROUND_ROBIN")
    assert first + second == 600 and abs(first - second) <= 8, (first, second)


def test_least_request_spares_the_busy(lab, start_proxy):
    """While one endpoint holds a request, only a double pick of it (one of four) chooses it."""
    client, server, waiting, goes = lab.host("client"), lab.host("server"), threading.Semaphore(0), threading.Event()

    def answer(request):
        if request.target == "/held":
            waiting.release()
            goes.wait(30)
        return Reply()
    origins = [lab.origin(server, name=name, answer=answer) for name in ("first", "second")]
    start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(route(to="both")))],
                                       [cluster("both", *(origin.address for origin in origins), lb_policy="LEAST_REQUEST")]), concurrency=1)
    try:
        with client.connect(10000) as holder, client.connect(10000) as connection:
            holder.request("GET", "/held")
            assert waiting.acquire(timeout=10)
            for _ in range(300):
                assert connection.exchange("GET", "/").status == 200
            goes.set()
            assert holder.response().status == 200
    finally:
        goes.set()
    seen = [[request.target for request in origin.take()] for origin in origins]
    held = seen[0] if "/held" in seen[0] else seen[1]
    assert len(seen[0]) + len(seen[1]) == 301 and is_fair(len(held) - 1, 300, 0.25, z=4), (len(seen[0]), len(seen[1]), len(held))


def test_a_host_may_demand_tls(lab, start_proxy):
    client = lab.host("client")
    start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(route("/", direct_response={"status": 200}), require_tls="ALL"))]))
    answer = client.get(10000, "/a?b", host="shop.example")
    assert answer.status == 301 and answer.header("location") == "https://shop.example/a?b"


def test_a_client_may_be_told_of_tries(lab, start_proxy):
    client, statuses = lab.host("client"), iter([503, 503, 200])
    origin = lab.origin(lab.host("server"), answer=lambda request: Reply(status=next(statuses)))
    start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(
        route("/", None, route={"cluster": "up", "retry_policy": {"retry_on": "5xx", "num_retries": 3}}),
        include_attempt_count_in_response=True))], [cluster("up", origin.address)]))
    answer = client.get(10000)
    assert answer.status == 200 and answer.header("x-envoy-attempt-count") == "3"


def test_a_grpc_status_in_the_head_may_be_tried_again(lab, start_proxy):
    client, statuses = lab.host("client"), iter(["14", "5", "14", "0"])
    origin = lab.origin(lab.host("server"), answer=lambda request: Reply(
        headers=[("content-type", "application/grpc"), ("grpc-status", next(statuses))]))
    start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(
        route("/", None, route={"cluster": "up", "retry_policy": {"retry_on": "unavailable", "num_retries": 1}})))],
        [cluster("up", origin.address)]))
    kind = [("content-type", "application/grpc"), ("te", "trailers")]
    assert [client.get(10000, method="POST", headers=kind).header("grpc-status") for _ in range(2)] == ["5", "0"]


def test_the_address_that_requests_come_from(lab, start_proxy):
    client, peers = lab.host("client"), []

    def serve(connection):
        peers.append(connection.getpeername()[0])
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
    origin = lab.origin(client, serve=serve)
    start_proxy(lab, client, bootstrap([http_listener(10000, virtual_host(route(to="up")))], [cluster(
        "up", ("127.0.0.1", origin.port), upstream_bind_config={"source_address": {"address": "127.0.0.6", "port_value": 0}})]))
    assert client.get(10000).status == 200
    assert peers == ["::ffff:127.0.0.6"]
