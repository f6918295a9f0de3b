"""
Paths and hosts that mean to pass a policy by (rows PTH): a path is brought to one form once; that form is judged, routed and sent on.
"""
import threading
import time

import pytest

from lab import SANITIZED, Reply, bootstrap, cluster, http_listener, route, virtual_host
from lab.config import ROUTER, TYPE, ads_bootstrap
from lab.http2 import Http2Client

FORWARD = virtual_host(route(to="up"))
RULES = {"normalize_path": True, "merge_slashes": True, "path_with_escaped_slashes_action": "REJECT_REQUEST"}
DENY, ALLOW = 10000, 10001


def rbac(action, *permissions, **more):
    return [{"name": "rbac", "typed_config": {"@type": TYPE + "envoy.extensions.filters.http.rbac.v3.RBAC", "rules": {
                "action": action, "policies": {"p": {"permissions": list(permissions), "principals": [{"any": True}]}}}, **more}},
            {"name": "router", "typed_config": {"@type": ROUTER}}]


def path(**match):
    return {"url_path": {"path": match}}


ADMIN = rbac("DENY", path(prefix="/admin"))
PUBLIC = rbac("ALLOW", path(exact="/public"), path(prefix="/public/"))


class Gate:
    """DENY /admin on one port, ALLOW /public on another, before one back end."""

    def __init__(self, lab):
        self.client, server = lab.host("client"), lab.host("server")
        self.origin = lab.origin(server, answer=lambda request: Reply(body=b"seen"))
        self.proxy = lab.tulle_proxy(self.client, bootstrap(
            [http_listener(DENY, FORWARD, http_filters=ADMIN, **RULES), http_listener(ALLOW, FORWARD, http_filters=PUBLIC, **RULES)],
            [cluster("up", self.origin.address)]))

    def ask(self, protocol, port, target, method="GET", headers=()):
        """(status, or "reset" of HTTP/2; what the back end was asked)."""
        if protocol == "h1":
            with self.client.connect(port) as client:
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
                client.send(f"{method} {target} HTTP/1.1\r\nHost: test\r\n{lines}\r\n")
                status = client.response().status
        else:
            with Http2Client(self.client.connect(port).socket) as client:
                answer = client.exchange(method, target, headers=[(name.lower(), value) for name, value in headers])
                status = "reset" if answer.reset is not None else answer.status
        return status, [request.target for request in self.origin.take()]


@pytest.fixture(scope="module")
def gate(shared_lab):
    return Gate(shared_lab)


protocols = pytest.mark.parametrize("protocol", ["h1", "h2"])
REFUSED = (400, "reset")

# The id; the target; what DENY /admin and what ALLOW /public make of it: a status, or the target that is sent on.
ROWS = [
    ("PTH-01", "//admin", 403, 403),
    ("PTH-01 dots", "/x//..//admin", 403, 403),
    ("PTH-02", "/x/../admin", 403, 403),
    ("PTH-02 one", "/./admin", 403, 403),
    ("PTH-02 end", "/..", "/", 403),
    ("PTH-02 above", "/../../admin", 403, 403),
    ("PTH-03", "/x/%2e%2e/admin", 403, 403),
    ("PTH-03 mixed", "/%2E./admin", 403, 403),
    ("PTH-04", "/x%2fadmin", 400, 400),
    ("PTH-04 upper", "/admin%2Fx", 400, 400),
    ("PTH-05", "/x\\..\\admin", REFUSED, REFUSED),
    ("PTH-05 escaped", "/x%5c..%5cadmin", 400, 400),
    ("PTH-06 NUL", "/admin%00", 400, 400),
    ("PTH-06 LF", "/admin%0a", 400, 400),
    ("PTH-06 CRLF", "/admin%0d%0aX:", 400, 400),
    ("PTH-07", "/%252fadmin", "/%252fadmin", 403),
    ("PTH-07 in parts", "/%25%32%66admin", "/%252fadmin", 403),
    ("PTH-09", "/admin;a=b", 403, 403),
    ("PTH-09 of a segment", "/x;a=b/../admin", 403, 403),
    ("PTH-09 of dots", "/x/..;/admin", 403, 403),
    ("PTH-09 of nothing", "/;/admin", 403, 403),
    ("PTH-09 public", "/public;a=b", "/public;a=b", (403, "/public;a=b")),
    ("PTH-10", "/ADMIN", "/ADMIN", 403),
    ("PTH-10 escaped", "/%61dmin", 403, 403),
    ("PTH-11 slash", "/admin/", 403, 403),
    ("PTH-11 dot", "/admin/.", 403, 403),
    ("PTH-11 blank", "/admin%20", 403, 403),
    ("PTH-12", "/publicx", "/publicx", 403),
    ("PTH-12 dots", "/public/../admin", 403, 403),
    ("PTH-12 inside", "/public/a", "/public/a", "/public/a"),
    ("PTH-13", "/%zz", 400, 400),
    ("PTH-13 short", "/%2", 400, 400),
    ("PTH-13 alone", "/%", 400, 400),
    ("PTH-14", "/public#/../admin", REFUSED, REFUSED),
    ("PTH-15", "/public?/../../admin", "/public?/../../admin", "/public?/../../admin"),
]


@protocols
@pytest.mark.parametrize("target, denied, allowed", [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_path_is_judged_in_one_form(gate, protocol, target, denied, allowed):
    for port, expected in ((DENY, denied), (ALLOW, allowed)):
        status, asked = gate.ask(protocol, port, target)
        expected = expected if isinstance(expected, tuple) else (expected,)
        assert status in expected or (status == 200 and asked[0] in expected), (port, status, asked)
        assert len(asked) == (status == 200)


def test_pth_17_an_absolute_path_in_http_2_is_refused(gate):
    status, asked = gate.ask("h2", DENY, "http://test/admin")
    assert status in REFUSED and not asked


@protocols
def test_pth_21_a_path_of_nothing_but_dots_costs_little(gate, protocol):
    before = gate.proxy.cpu_s()
    for target in ("/" + "../" * 20000 + "admin", "/" + "%2e%2e/" * 8000 + "admin", "/" * 60000 + "admin"):
        try:
            status, asked = gate.ask(protocol, DENY, target)
            assert status in (403, 414, 431, "reset") and not asked, status
        except (EOFError, OSError):
            pass
    assert gate.proxy.cpu_s() - before < (1 if SANITIZED else 0.1)


@protocols
def test_pth_23_the_method_is_that_of_the_request_line(lab, protocol):
    """X-HTTP-Method-Override is the back end's business; a policy on methods does not see it."""
    client, server = lab.host("client"), lab.host("server")
    origin = lab.origin(server)
    rules = rbac("DENY", {"header": {"name": ":method", "string_match": {"exact": "DELETE"}}})
    lab.tulle_proxy(client, bootstrap([http_listener(DENY, FORWARD, http_filters=rules)], [cluster("up", origin.address)]))
    gate = Gate.__new__(Gate)
    gate.client, gate.origin = client, origin
    assert gate.ask(protocol, DENY, "/x", "DELETE", [("X-HTTP-Method-Override", "GET")])[0] == 403
    assert gate.ask(protocol, DENY, "/x", "GET", [("X-HTTP-Method-Override", "DELETE")])[0] == 200


HOSTS = [
    ("PTH-18", "EXAMPLE.com", b"exact"), ("PTH-18 dot", "example.com.", b"exact"), ("PTH-18 port", "example.com:443", b"exact"),
    ("PTH-19", "x.a.com", b"suffix"), ("PTH-19 of two labels", "x.y.a.com", b"suffix"), ("PTH-19 none", "a.com", b"other"),
    ("PTH-19 no boundary", "xa.com", b"other"), ("PTH-19 only a dot", ".a.com", None), ("PTH-20", "xn--example-.com", b"other"),
]


@pytest.mark.parametrize("host, name", [row[1:] for row in HOSTS], ids=[row[0] for row in HOSTS])
def test_a_host_is_compared_in_one_form(lab, host, name):
    """As in Envoy a wildcard stands for any number of labels, and for one at least."""
    client = lab.host("client")

    def answers(text, *domains):
        return virtual_host({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": text}}}, name=text, domains=domains)
    lab.tulle_proxy(client, bootstrap([http_listener(10000, answers("exact", "example.com"), answers("suffix", "*.a.com"), answers("other", "*"),
                                                     strip_any_host_port=True, strip_trailing_host_dot=True)]))
    response = client.get(10000, host=host)
    assert response.body == name if name else response.status in (200, 400) and response.body != b"suffix"


# ---------------------------------------------------------------- PTH-27, 28: policies that change

class Governed:
    """A proxy whose listener, policy and all, comes from a discovery server."""

    def __init__(self, lab):
        self.client, server = lab.host("client"), lab.host("server")
        self.origin = lab.origin(server, answer=lambda request: Reply(body=b"seen"))
        self.ads = lab.ads(lab.host("control"))
        self.ads.set("cluster", cluster("up", self.origin.address))
        self.ads.set("listener", self.listener(ADMIN))
        self.proxy = lab.tulle_proxy(self.client, ads_bootstrap(self.ads.address), wait=False)
        self.proxy.wait_for_port(10000)
        self.ads.wait_until_settled()

    def listener(self, filters):
        return http_listener(10000, FORWARD, name="in", http_filters=filters, **RULES)

    def statuses(self):
        return self.client.get(10000, "/admin").status, self.client.get(10000, "/").status


NOTHING = {
    "no permission": rbac("DENY"),
    "an empty permission": rbac("DENY", {}),
    "an empty set": rbac("DENY", {"or_rules": {}}),
    "an empty path": rbac("DENY", {"url_path": {}}),
    "an empty header": rbac("DENY", {"header": {}}),
}


@pytest.mark.parametrize("filters", NOTHING.values(), ids=NOTHING.keys())
def test_pth_27_a_policy_with_a_hole_is_refused_and_the_old_one_stays(lab, filters):
    governed = Governed(lab)
    governed.ads.set("listener", governed.listener(filters))
    request = governed.ads.wait_for(lambda request: request.kind == "listener" and request.error, "a refusal")
    assert "rbac" in request.error or "permission" in request.error or "polic" in request.error, request.error
    assert governed.statuses() == (403, 200)


def test_pth_28_a_policy_that_changes_without_pause_never_lets_through(lab):
    """Each request is judged by one whole policy, the old one or the new."""
    governed = Governed(lab)
    policies = [ADMIN, rbac("DENY", path(exact="/x"), path(safe_regex={"regex": "/admin.*"})), rbac("DENY", path(prefix="/adm"))]
    stop, wrong, judged = threading.Event(), [], [0]

    def ask():
        while not stop.is_set():
            with governed.client.connect(10000) as connection:
                for _ in range(50):
                    response = connection.exchange("GET", "/admin")
                    judged[0] += 1
                    if response.status != 403:
                        wrong.append(response.status)
                    if (response.header("connection") or "").lower() == "close" or stop.is_set():
                        break
    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    end, changes = time.monotonic() + 3, 0
    while time.monotonic() < end:
        changes += 1
        governed.ads.set("listener", governed.listener(policies[changes % 3]))
        if changes % 10 == 0:
            governed.ads.wait_until_settled()
    stop.set()
    for thread in threads:
        thread.join()
    print(f"{changes} policies, {judged[0]} requests")
    assert not wrong and judged[0] > 100 and changes > 20, (wrong[:5], judged, changes)
    assert not [request for request in governed.origin.take() if request.target == "/admin"]
