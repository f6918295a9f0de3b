"""What the rules of `tulle capture` turn to the sidecar, what they leave alone, and what becomes of it while no sidecar is there (rows NET)."""
import socket

from lab import bootstrap, need_program, need_tulle, tcp_listener
from lab.config import TYPE

OUTBOUND, MARK, EXEMPT, OTHER = 15001, 1337, 4242, 4243
PASSTHROUGH = {"name": "passthrough", "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "2s"}


class Captured:
    """near, whose connections are turned to a sidecar that may not be there, and far, which says who came."""

    def __init__(self, lab):
        self.lab, self.near, self.far = lab, lab.host("near"), lab.host("far")
        self.origin = lab.origin(self.far)
        self.capture("on")

    def capture(self, verb):
        self.near.run(need_tulle("tulle"), "capture", verb, "--outbound-only", "--uid", str(EXEMPT))

    def rules(self):
        return self.near.run(need_program("nft"), "list", "table", "inet", "tulle").stdout

    def start(self):
        made = tcp_listener(OUTBOUND, "passthrough", address="::", listener={
            "use_original_dst": True, "listener_filters": [{"name": "original_dst", "typed_config": {
                "@type": TYPE + "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"}}]})
        made["address"]["socket_address"]["ipv4_compat"] = True
        return self.lab.tulle_proxy(self.near, bootstrap([made], [PASSTHROUGH]), arguments=["--upstream-mark", str(MARK)])

    def is_served(self, address=None, user=OTHER):
        """Asked by a process of that user, of its own."""
        done = self.near.run("setpriv", f"--reuid={user}", "--clear-groups", "curl", "-sS", "-o", "/dev/null", "-m", "10", "-g",
                             f"http://{address or self.far.ipv4}:{self.origin.port}/", check=False)
        return done.returncode == 0

    def turned(self, proxy):
        """How many connections have come to the sidecar."""
        text = self.lab.admin(proxy, f"/stats?filter=tcp.tcp_{OUTBOUND}.downstream_cx_total").text
        return int(text.rpartition(":")[2] or 0)


def test_net_04_only_the_exempt_user_goes_past_the_sidecar(lab):
    captured = Captured(lab)
    proxy = captured.start()
    assert captured.is_served(user=EXEMPT) and captured.turned(proxy) == 0
    assert captured.is_served(user=OTHER) and captured.turned(proxy) == 1
    assert captured.is_served(user=0) and captured.turned(proxy) == 2


def test_net_05_tcp_of_both_families_is_turned_and_nothing_else(lab):
    captured = Captured(lab)
    proxy = captured.start()
    assert captured.is_served() and captured.turned(proxy) == 1
    assert captured.is_served(f"[{captured.far.ipv6}]") and captured.turned(proxy) == 2
    with captured.far.inside():
        heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with captured.near.inside():
        said = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    heard.bind((captured.far.ipv4, 0))
    heard.settimeout(10)
    said.sendto(b"quic", heard.getsockname())
    assert heard.recv(100) == b"quic" and captured.turned(proxy) == 2
    heard.close()
    said.close()


def test_net_06_without_a_sidecar_nothing_passes(lab):
    """Rules before the sidecar, and after it was killed: connections fail, and none goes past it. Rules may be set again."""
    captured = Captured(lab)
    rules = captured.rules()
    assert not captured.is_served()
    captured.capture("on")
    assert captured.rules() == rules
    proxy = captured.start()
    assert captured.is_served()
    proxy.kill()
    assert not captured.is_served() and len(captured.origin.take()) == 1
    captured.capture("off")
    assert captured.is_served()
    captured.capture("off")
    assert captured.near.run(need_program("nft"), "list", "tables").stdout == ""
