"""HTTP/2 conformance by h2spec, of one proxy and through two; the back end reads each request to its end."""
import json
import re

import pytest

from lab import bootstrap, cluster, http_listener, route, virtual_host
from lab.origin import Reply
from lab.programs import need_go_peer
from test_http2 import http2_cluster

FORWARD = virtual_host(route(to="up"))


@pytest.mark.parametrize("proxies", [1, 2])
def test_h2spec(lab, proxies):
    h2spec = need_go_peer("h2spec")
    host = lab.host("one")
    origin = lab.origin(host, answer=lambda request: Reply(body=b"hello"))
    up = cluster("up", ("127.0.0.1", origin.port))
    if proxies == 2:
        behind = bootstrap([http_listener(10001, FORWARD, codec_type="HTTP2")], [up], admin_port=15001)
        lab.start(lab.tulle_proxy(lab.host("other"), bootstrap()).argv[0], "-c", lab.write("behind.json", json.dumps(behind)),
                  host=host, ours=True).wait_for_port(10001)
        up = http2_cluster("up", ("127.0.0.1", 10001))
    lab.tulle_proxy(host, bootstrap([http_listener(10000, FORWARD, codec_type="HTTP2")], [up]))
    done = host.run(h2spec, "-S", "-h", "127.0.0.1", "-p", "10000", "-o", "5", check=False, timeout=150)
    told = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
    assert told, done.stdout[-2000:] + done.stderr[-2000:]
    total, passed, skipped, failed = map(int, told.groups())
    assert (failed, skipped) == (0, 0) and passed == total >= 146, done.stdout[done.stdout.find("Failures:"):]
