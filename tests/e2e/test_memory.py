"""What a proxy holds: idle with TLS ready, a connection that waits, and after a burst. On the release build."""
import socket
import ssl
import time

import pytest

from lab import bootstrap, cluster, http_listener, route, virtual_host
from test_mtls import tls_in

pytestmark = pytest.mark.release

BURST = 600
FIRST = {"http/1.1": b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "h2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])}
ANSWERS = virtual_host({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "ok"}}})


class Front:
    """A proxy that answers by itself, behind mTLS, and many clients of it."""

    def __init__(self, lab, protocol):
        self.host, self.pki = lab.host("a"), lab.pki()
        name = "spiffe://mesh.test/ns/shop/sa/web"
        listener = http_listener(10000, ANSWERS)
        tls = tls_in(self.pki.leaf("cart", "URI:spiffe://mesh.test/ns/shop/sa/cart"), self.pki.ca, name)
        tls["typed_config"]["common_tls_context"]["alpn_protocols"] = [protocol]
        listener["filter_chains"][0]["transport_socket"] = tls
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.context.load_cert_chain(*self.pki.leaf("web", "URI:" + name))
        self.context.set_alpn_protocols([protocol])
        self.proxy = lab.tulle_proxy(self.host, bootstrap([listener], [cluster("up", ("127.0.0.1", 9))]),
                                     arguments=("--concurrency", "1"))
        self.proxy.wait_for(lambda: self.memory("rss") < 6 * 1024, "the start's memory given back")

    def memory(self, kind):
        return self.proxy.memory_kb()[kind]

    def idle_rss(self):
        """
        Resident memory that has stood still for two seconds. Just after the start's pages were given back it is less, by as
        much as the machine is slow: what an idle proxy uses as well has not been touched again.
        """
        last = -1
        while last != (last := self.memory("rss")):
            time.sleep(2)
        return last

    def connect(self, many, first):
        made = []
        with self.host.inside():
            for _ in range(many):
                connection = self.context.wrap_socket(socket.create_connection(("127.0.0.1", 10000), 20))
                connection.sendall(first)  # at once: to one that says nothing the head timeout comes
                made.append(connection)
        for connection in made:
            assert connection.recv(100)
        return made


def test_tls_ready_costs_less_than_8_mb(lab):
    front = Front(lab, "http/1.1")
    memory = front.proxy.memory_kb()
    assert memory["rss"] < 8 * 1024 and memory["anon"] < 2.2 * 1024, memory


# Bytes that a waiting connection may hold: HTTP/2's is the library's frame buffer, which nginx has as well.
@pytest.mark.parametrize("protocol,most", [("http/1.1", 10 * 1024), ("h2", 36 * 1024)])
def test_a_waiting_connection_is_small_and_a_burst_is_forgotten(lab, protocol, most):
    front = Front(lab, protocol)
    rss, own = front.idle_rss(), front.memory("anon")
    made = front.connect(BURST, FIRST[protocol])
    front.proxy.wait_for(lambda: (front.memory("anon") - own) * 1024 < BURST * most, f"{most} bytes a connection that waits", timeout=30)
    for connection in made:
        connection.close()
    front.proxy.wait_for(lambda: front.memory("rss") <= rss * 1.1, "memory back within 10 %", timeout=30)
