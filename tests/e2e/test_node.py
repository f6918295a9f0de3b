"""Node's http and http2 modules as client and server, in all four translations, two proxies with mTLS between them."""
import json
import os

import pytest

from lab import cluster, need_program
from test_grpc import Pair
from test_http2 import http2_cluster

PEER = os.path.join(os.path.dirname(__file__), "lab", "node_peer.js")


@pytest.mark.parametrize("client", ["h1", "h2"])
@pytest.mark.parametrize("server", ["h1", "h2"])
def test_node(lab, client, server):
    node = need_program("node")
    pair = Pair(lab, lambda lab, host, document: lab.tulle_proxy(host, document), serves=False, behind=http2_cluster if server == "h2" else cluster)
    lab.start(node, PEER, "serve", server, 9000, host=pair.server).wait_for_log("serving")
    got = json.loads(pair.client.run(node, PEER, "call", client, 10000).stdout)

    assert got["small"] == 200
    assert got["head"]["status"] == 200 and got["head"]["headers"]["x-method"] == "HEAD" and got["head"]["size"] == 0
    assert got["missing"]["status"] == 404 and got["missing"]["text"] == "missing 1"
    assert got["missing"]["headers"]["set-cookie"] == ["a=1", "b=2"]
    assert got["upload"]["headers"]["x-hash"] == got["body_hash"]
    assert got["trailers"]["headers"]["x-sent-trailer"] == "the last"
    assert got["expect"]["interim"] == 1 and got["expect"]["text"] == "up 3"
    assert [large["size"] for large in got["large"]] == [4 << 20] * 4
    assert all(large["hash"] == large["trailers"]["x-hash"] for large in got["large"])
