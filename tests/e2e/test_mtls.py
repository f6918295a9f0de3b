"""mTLS between two proxies: nothing readable on the wire, strangers refused, the peer's identity known."""
import hashlib
import os
import re
import socket
import ssl

import pytest

from lab import Client, Reply, bootstrap, cluster, http_listener, need_program, route, tcp_listener, virtual_host
from lab.ads import packed
from lab.config import ads_bootstrap

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


def test_operators_of_the_peers_certificate(lab, start_proxy):
    """What an access log can tell of both ends' certificates."""
    client, server, pki = lab.host("client"), lab.host("server"), lab.pki()
    web, cart = "spiffe://mesh.test/ns/shop/sa/web", "spiffe://mesh.test/ns/shop/sa/cart"
    leaf = pki.leaf("web", f"URI:{web}", "DNS:web.shop", "DNS:web.shop.svc")
    origin, path = lab.origin(server), lab.path("peers.log")
    operators = {"%DOWNSTREAM_PEER_URI_SAN%": web, "%DOWNSTREAM_PEER_DNS_SAN%": "web.shop,web.shop.svc", "%DOWNSTREAM_LOCAL_URI_SAN%": cart,
                 "%DOWNSTREAM_PEER_FINGERPRINT_256%": hashlib.sha256(ssl.PEM_cert_to_DER_cert(first_certificate(leaf[0]))).hexdigest(),
                 "%DOWNSTREAM_PEER_CERT_V_END(%Y)%": r"20\d\d", "%DOWNSTREAM_TLS_VERSION%": r"TLSv1\.[23]"}
    inbound = http_listener(15006, FORWARD, access_log=[{"name": "file", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": path,
        "log_format": {"text_format_source": {"inline_string": "\t".join(operators) + "\n"}}}}])
    inbound["filter_chains"][0]["transport_socket"] = tls_in(pki.leaf("cart", f"URI:{cart}"), pki.ca, web)
    proxy = start_proxy(lab, server, bootstrap([inbound], [cluster("up", ("127.0.0.1", origin.port))]))
    context = ssl.create_default_context(cafile=pki.ca)
    context.check_hostname = False
    context.load_cert_chain(*leaf)
    with client.inside():
        plain = socket.create_connection((server.ipv4, 15006), 10)
    with Client(context.wrap_socket(plain), 10) as connection:
        assert connection.exchange("GET", "/").status == 200
    proxy.wait_for(lambda: os.path.exists(path) and open(path).read().endswith("\n"), "a line of log")
    line, = open(path).read().splitlines()
    for (operator, expected), got in zip(operators.items(), line.split("\t"), strict=True):
        assert re.fullmatch(expected, got), (operator, got)


def first_certificate(path):
    with open(path) as file:
        return file.read().partition("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n"


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


# ---------------------------------------------------------------- secrets by ADS

def sds(name):
    return {"name": name, "sds_config": {"ads": {}, "resource_api_version": "V3"}}


def secret(name, leaf):
    certificate, key = (open(path).read() for path in leaf)
    return {"name": name, "tls_certificate": {"certificate_chain": {"inline_string": certificate}, "private_key": {"inline_string": key}}}


class SecretPair:
    """A proxy whose certificate and trust come by ADS; curl is the peer."""

    def __init__(self, lab, start_proxy):
        self.client, self.server = lab.host("client"), lab.host("server")
        self.pki = lab.pki()
        self.client_leaf = self.pki.leaf("web", "URI:spiffe://mesh.test/ns/shop/sa/web")
        self.origin = lab.origin(self.server)
        self.ads = lab.ads(lab.host("control"))
        self.issue(1)
        self.ads.set("secret", {"name": "ROOTCA", "validation_context": {"trusted_ca": {"inline_string": open(self.pki.ca).read()}}})
        inbound = http_listener(15006, FORWARD)
        inbound["filter_chains"][0]["transport_socket"] = {"name": "envoy.transport_sockets.tls", "typed_config": {
            "@type": TLS + "DownstreamTlsContext", "require_client_certificate": True, "common_tls_context": {
                "tls_certificate_sds_secret_configs": [sds("default")], "validation_context_sds_secret_config": sds("ROOTCA")}}}
        self.proxy = start_proxy(lab, self.server, ads_bootstrap(self.ads.address, [cluster("up", ("127.0.0.1", self.origin.port))], [inbound]))
        self.proxy.wait_for(lambda: self.serial() is not None, "a certificate")

    def issue(self, serial):
        self.ads.set("secret", secret("default", self.pki.leaf(f"cart-{serial}", "URI:spiffe://mesh.test/ns/shop/sa/cart")))

    def context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.pki.ca)
        context.load_cert_chain(*self.client_leaf)
        return context

    def connect(self):
        with self.client.inside():
            return Client(self.context().wrap_socket(socket.create_connection((self.server.ipv4, 15006), 10)))

    def serial(self):
        """The common name of the certificate that a new handshake is shown; None when there is none."""
        try:
            with self.connect() as connection:
                return dict(pair[0] for pair in connection.socket.getpeercert()["subject"])["commonName"]
        except OSError:
            return None


def test_a_renewed_secret_shows_in_new_handshakes_and_closes_no_connection(lab, start_proxy):
    pair = SecretPair(lab, start_proxy)
    with pair.connect() as held:
        assert held.exchange("GET", "/before").status == 200
        for number in range(2, 12):
            pair.issue(number)
            pair.proxy.wait_for(lambda: pair.serial() == f"cart-{number}", f"certificate {number}")
            assert held.exchange("GET", f"/{number}").status == 200
    connections = {request.connection for request in pair.origin.take() if request.target.startswith("/")}
    assert connections


@pytest.mark.parametrize("wrong", ["key of another", "no certificate", "no key"])
def test_rot_05_a_bad_secret_is_refused_and_the_old_one_stays(lab, start_proxy, wrong):
    pair = SecretPair(lab, start_proxy)
    document = secret("default", pair.pki.leaf("bad", "URI:spiffe://mesh.test/ns/shop/sa/bad"))
    if wrong == "key of another":
        document["tls_certificate"]["private_key"] = {"inline_string": open(pair.client_leaf[1]).read()}
    elif wrong == "no certificate":
        document["tls_certificate"]["certificate_chain"] = {"inline_string": "not a certificate"}
    else:
        document["tls_certificate"]["private_key"] = {"inline_string": "not a key"}
    pair.ads.wait_until_settled()
    nonce = pair.ads.send("secret", [("default", "bad", packed("secret", document))])
    reason = pair.ads.wait_for_nack(nonce)
    assert "BEGIN" not in reason, "a reason never shows a key"
    assert pair.serial() == "cart-1"


def test_app_19_no_page_of_admin_shows_a_key(lab, start_proxy):
    pair = SecretPair(lab, start_proxy)
    key = "".join(open(pair.pki.folder + "/cart-1.key").read().splitlines()[4:5])
    for page in ("/config_dump", "/certs", "/clusters?format=json", "/listeners?format=json", "/stats", "/server_info"):
        text = lab.admin(pair.proxy, page).text
        assert key not in text and "PRIVATE KEY" not in text, page
    assert "default" in lab.admin(pair.proxy, "/config_dump").text
