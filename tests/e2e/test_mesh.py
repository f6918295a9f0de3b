"""A mesh over several hosts: names, mutual TLS on the wire, canaries, refusals with a reason."""
import pytest

from lab import SANITIZED, Reply, need_tulle
from lab.mesh import Caller, Mesh, destination_rule, service, virtual_service, workload
from lab.wire import Closed

SECRET = "a-sentence-in-the-clear"


class Canary:
    """client calls product in its versions v1 and v2; every host has a sidecar."""

    def __init__(self, lab):
        self.lab, self.mesh = lab, Mesh(lab)
        self.client, self.v1, self.v2 = lab.host("client"), lab.host("v1"), lab.host("v2")
        self.rule = destination_rule("product", "shop", "product", v1={"version": "v1"}, v2={"version": "v2"})
        self.origins = {name: lab.origin(lab.host(name), 9000, answer=self.answer(name)) for name in ("v1", "v2")}
        self.mesh.apply(service("product", "shop", 8080, target=9000), self.rule, self.route(90, 10),
                        *(workload(lab.host(name), f"product-{name}", "shop", "product", app="product", version=name) for name in ("v1", "v2")),
                        workload(self.client, "client", "shop", "client", app="client"))
        self.mesh.sidecar(self.client, "client", "shop", "client", app="client")
        for name in "v1", "v2":
            self.mesh.sidecar(lab.host(name), f"product-{name}", "shop", "product", app="product", version=name)
        self.mesh.wait_ready()
        self.caller = Caller(self.client, "product.shop", 8080)

    @staticmethod
    def answer(name):
        def answer(request):
            return Reply(headers=[("X-Secret", SECRET), ("X-Peer", request.header("x-forwarded-client-cert") or "")], body=name.encode())
        return answer

    @staticmethod
    def route(v1, v2):
        return virtual_service("product", "shop", "product", v1=v1, v2=v2)

    def runs(self, *names):
        """Does the client's sidecar run what names these?"""
        dump = self.lab.admin(self.mesh.sidecars["client", "shop"], "/config_dump").text
        return all(name in dump for name in names)


@pytest.fixture(scope="module")
def canary(shared_lab):
    return Canary(shared_lab)


def test_nothing_on_the_wire_is_in_the_clear(canary):
    captures = [canary.lab.capture(canary.lab.host(name)) for name in ("client", "v1", "v2")]
    caller = canary.caller
    answers = []
    with canary.client.connect(8080, caller.address) as client:
        for _ in range(40):
            answers.append(client.exchange("GET", f"/{SECRET}", host="product.shop:8080",
                                           headers=[("X-Secret", SECRET), ("X-Forwarded-Client-Cert", "URI=spiffe://forged")]))
    assert [answer.status for answer in answers] == [200] * 40
    assert all("URI=spiffe://cluster.local/ns/shop/sa/client" in answer.header("x-peer") for answer in answers)
    assert not any("forged" in answer.header("x-peer") for answer in answers)
    everything = [capture.stop().bytes() for capture in captures]
    assert len(everything[0]) > 8000 and len(everything[1]) > 2000, "the captures saw the requests"
    for seen in everything:
        for clear in SECRET, "HTTP/1.1", "GET /", "x-peer", "product.shop:8080":
            assert clear.encode() not in seen, clear


def test_who_comes_without_a_certificate_is_turned_away(canary):
    stranger = canary.lab.host("stranger")
    with stranger.connect(9000, canary.v1.ipv4) as client:
        try:
            client.request("GET", "/", host="product.shop")
        except ConnectionError:
            pass  # turned away while it was still speaking
        else:
            assert client.is_closed()
    assert not [request for request in canary.origins["v1"].requests if request.header("host") == "product.shop"]


def test_capture_leaves_older_connections_alone(lab):
    near, far = lab.host("near"), lab.host("far")
    origin = lab.origin(far)
    with near.connect(origin.port, far.ipv4) as client:
        assert client.exchange("GET", "/before").status == 200
        far.run(need_tulle("tulle"), "capture", "on")
        near.run(need_tulle("tulle"), "capture", "on")
        assert client.exchange("GET", "/after").status == 200
    with pytest.raises(ConnectionRefusedError):  # new ones go to the sidecar, and there is none
        near.connect(origin.port, far.ipv4)
    for host in near, far:
        host.run(need_tulle("tulle"), "capture", "off")
    assert near.get(origin.port, address=far.ipv4).status == 200


def refusal(host, port, address):
    """How a connection to there ends, and how soon: an answer, "closed" or "refused"; never silence."""
    try:
        with host.connect(port, address, timeout=5) as client:
            client.request("GET", "/", host="product.shop:8080")
            return client.response().status
    except ConnectionRefusedError:
        return "refused"
    except (Closed, ConnectionError):
        return "closed"


def test_nothing_loops(canary):
    """
    The ports of capture themselves, and ports that nobody serves and that are passed through, by every address of the host: loopback,
    the source of passed-through connections (127.0.0.6), its own address, a virtual one; from the host and from elsewhere.
    """
    stranger = canary.lab.host("stranger")
    before = {name: (proxy.open_files(), proxy.cpu_s()) for name, proxy in canary.mesh.sidecars.items()}
    for port in 15001, 15006, 7999:
        for address in "127.0.0.1", "127.0.0.6", "127.0.0.7", "::1", canary.v1.ipv4, canary.v1.ipv6, canary.caller.address:
            assert refusal(canary.v1, port, address) in ("closed", "refused", 502, 503, 508), (port, address)
        for address in canary.v1.ipv4, canary.v1.ipv6:
            assert refusal(stranger, port, address) in ("closed", "refused"), (port, address)
    for name, proxy in canary.mesh.sidecars.items():
        proxy.wait_for(lambda: proxy.open_files() <= before[name][0] + 2, "end of all that was begun")
        assert SANITIZED or proxy.cpu_s() - before[name][1] < 2, f"{name} looped"


def test_a_service_calls_itself(canary):
    """By its virtual address, which may lead to itself, and by its own address."""
    caller = Caller(canary.v1, "product.shop", 8080)
    canary.mesh.apply(canary.route(50, 50))
    caller.run(200)
    assert not caller.failures, caller.failures[:5]
    assert caller.by_body["v1"] > 20
    assert refusal(canary.v1, 9000, canary.v1.ipv4) == 200


def test_an_unknown_destination_is_passed_through(canary):
    elsewhere = canary.lab.host("elsewhere")
    origin = canary.lab.origin(elsewhere, 7777)
    assert canary.client.get(7777, "/x", elsewhere.ipv4, host="elsewhere").status == 200
    assert origin.take()[0].target == "/x"
    with canary.client.connect(7778, elsewhere.ipv4) as client:  # nobody listens: the client is told, if late
        assert client.is_closed()
