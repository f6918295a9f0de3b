"""mTLS between two proxies: nothing readable on the wire, strangers refused, the peer's identity known."""
import pytest

from lab import Reply, bootstrap, cluster, http_listener, need_program, route, tcp_listener, virtual_host

TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3."
FORWARD = virtual_host(route(to="up"))


def common(leaf, ca, *expected, **more):
    certificate, key = leaf
    validation = {"trusted_ca": {"filename": ca}}
    if expected:
        validation["match_typed_subject_alt_names"] = [
            {"san_type": "URI", "matcher": {"exact": name}} for name in expected]
    return {"tls_certificates": [{"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}],
            "validation_context": validation, **more}


def tls_in(leaf, ca, *expected):
    return {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": TLS + "DownstreamTlsContext", "require_client_certificate": True, "common_tls_context": common(leaf, ca, *expected)}}


def tls_out(leaf, ca, *expected):
    return {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": TLS + "UpstreamTlsContext", "common_tls_context": common(leaf, ca, *expected)}}


class Pair:
    """client: proxy out (plain in, mTLS out)  ==wire==>  server: proxy in (mTLS in, plain out) and the origin."""

    def __init__(self, lab, start_proxy, kind="http", client_san=None, server_san=None, answer=None):
        self.client, self.server = lab.host("client"), lab.host("server")
        self.pki = lab.pki()
        self.web, self.cart = "spiffe://mesh.test/ns/shop/sa/web", "spiffe://mesh.test/ns/shop/sa/cart"
        self.client_leaf = self.pki.leaf("web", f"URI:{client_san or self.web}")
        self.server_leaf = self.pki.leaf("cart", f"URI:{server_san or self.cart}")
        self.origin = lab.origin(self.server, **({"answer": answer} if answer else {}))
        inbound = http_listener(15006, FORWARD) if kind == "http" else tcp_listener(15006, "up")
        inbound["filter_chains"][0]["transport_socket"] = tls_in(self.server_leaf, self.pki.ca, self.web)
        self.inbound = start_proxy(lab, self.server, bootstrap([inbound], [cluster("up", ("127.0.0.1", self.origin.port))]))
        outbound = http_listener(10000, FORWARD) if kind == "http" else tcp_listener(10000, "up")
        self.outbound = start_proxy(lab, self.client, bootstrap([outbound], [cluster(
            "up", (self.server.ipv4, 15006), transport_socket=tls_out(self.client_leaf, self.pki.ca, self.cart))]))


def test_nothing_is_readable_between_the_hosts(lab, start_proxy):
    pair = Pair(lab, start_proxy, answer=lambda request: Reply(body=b"the-secret-answer"))
    capture = lab.capture(pair.server)
    response = pair.client.get(10000, "/the-secret-path", method="POST", headers=[("X-Secret", "the-secret-header")],
                               body=b"the-secret-body")
    assert response.body == b"the-secret-answer"
    wire = capture.stop().bytes()
    assert len(wire) > 500
    for secret in (b"the-secret", b"HTTP/1.1", b"X-Secret", b"x-secret"):
        assert secret not in wire
    assert pair.origin.take()[0].header("x-secret") == "the-secret-header"


def test_tcp_through_mtls(lab, start_proxy):
    pair = Pair(lab, start_proxy, kind="tcp")
    assert pair.client.get(10000, "/over-bytes").status == 200
    body = b"0123456789" * 300000
    response = pair.client.get(10000, "/large", method="POST", body=body, timeout=60)
    assert response.status == 200
    assert pair.origin.take()[1].body_size == len(body)


def test_a_client_with_another_name_is_refused(lab, start_proxy):
    pair = Pair(lab, start_proxy, client_san="spiffe://mesh.test/ns/shop/sa/stranger")
    assert pair.client.get(10000).status == 503
    assert not pair.origin.take()


def test_a_server_with_another_name_is_refused(lab, start_proxy):
    pair = Pair(lab, start_proxy, server_san="spiffe://mesh.test/ns/shop/sa/stranger")
    assert pair.client.get(10000).status == 503
    assert not pair.origin.take()


def test_no_certificate_no_service(lab, start_proxy):
    pair = Pair(lab, start_proxy)
    need_program("openssl")
    done = pair.client.run("openssl", "s_client", "-connect", f"{pair.server.ipv4}:15006", "-tls1_3", "-ign_eof",
                           input="GET /x HTTP/1.1\r\nHost: a\r\n\r\n", check=False, timeout=20)
    assert "HTTP/1.1 200" not in done.stdout
    assert not pair.origin.take()


def test_a_foreign_authority_is_refused(lab, start_proxy):
    pair = Pair(lab, start_proxy)
    other = type(pair.pki)(lab.path("other"))
    certificate, key = other.leaf("web", f"URI:{pair.web}")
    done = pair.client.run("curl", "-sS", "-k", "--cert", certificate, "--key", key, f"https://{pair.server.ipv4}:15006/x", check=False)
    assert done.returncode != 0 and not pair.origin.take()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_with_a_certificate_of_ours(lab, start_proxy, version):
    pair = Pair(lab, start_proxy)
    certificate, key = pair.client_leaf
    done = pair.client.run("curl", "-sS", "-k", f"--tlsv{version}", "--tls-max", version, "--cert", certificate, "--key", key,
                           f"https://{pair.server.ipv4}:15006/by-curl")
    assert '"/by-curl"' in done.stdout


def test_plaintext_to_a_tls_port_reaches_nobody(lab, start_proxy):
    pair = Pair(lab, start_proxy)
    with pair.client.connect(15006, pair.server.ipv4) as connection:
        connection.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200" not in connection.read_all()
    assert not pair.origin.take()
