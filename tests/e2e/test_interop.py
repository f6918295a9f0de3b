"""gRPC's own interoperability suite: grpc-go's interop client and server, two proxies with mTLS between them."""
import pytest

from lab.programs import need_go_peer
from test_grpc import Pair

# What needs no credentials of Google's, no resolver with several servers and no balancer that listens to load reports.
CASES = ["empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
         "timeout_on_sleeping_server", "cancel_after_begin", "cancel_after_first_response", "custom_metadata",
         "status_code_and_message", "special_status_message", "unimplemented_method", "unimplemented_service"]


@pytest.fixture(scope="module")
def pair(shared_lab):
    server = need_go_peer("interop_server")
    pair = Pair(shared_lab, lambda lab, host, document: lab.tulle_proxy(host, document), serves=False)
    shared_lab.start(server, "-port", "9000", host=pair.server).wait_for_port(9000)
    return pair


def call(pair, case, *more):
    return pair.client.run(need_go_peer("interop_client"), "-server_host", "127.0.0.1", "-server_port", "10000",
                           "-test_case", case, *more, check=False, timeout=60)


@pytest.mark.parametrize("case", CASES)
def test_interop(pair, case):
    done = call(pair, case)
    assert done.returncode == 0, done.stderr[-2000:]


def test_interop_soak(pair):
    """Large calls one after another, on one connection and then each on a connection of its own."""
    for case in ("rpc_soak", "channel_soak"):
        done = call(pair, case, "-soak_iterations", "50", "-soak_overall_timeout_seconds", "50",
                    "-soak_per_iteration_max_acceptable_latency_ms", "10000")
        assert done.returncode == 0, done.stderr[-2000:]
