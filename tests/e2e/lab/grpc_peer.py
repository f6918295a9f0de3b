"""gRPC peers by grpcio, as programs of their own: `serve PORT`, or `call ADDRESS CALLS` with a JSON list of calls.

Messages are plain bytes. Methods of /test.Echo: Unary answers what it gets, ClientStream the sum of sizes, ServerStream as many
messages as it is told, BidiStream each message as it comes, Fail the status it is told (after a message, if it says so), Sleep.
"""
import json
import sys
import threading
import time
from concurrent import futures

import grpc

RAW = {"request_deserializer": None, "response_serializer": None}


def unary(request, context):
    context.send_initial_metadata((("x-initial", "one"),))
    context.set_trailing_metadata((("x-trailing", dict(context.invocation_metadata()).get("x-sent", "none")), ("x-data-bin", b"\x00\xff")))
    return request


def client_stream(requests, context):
    return str(sum(map(len, requests))).encode()


def server_stream(request, context):
    count, size = map(int, request.split())
    for number in range(count):
        yield (b"%08d" % number).ljust(size, b".")


def bidi_stream(requests, context):
    for request in requests:
        yield request


def fail(request, context):
    told = json.loads(request)
    if told.get("message_first"):
        yield b"first"
    context.set_trailing_metadata((("x-why", "told so"),))
    context.abort(getattr(grpc.StatusCode, told["code"]), told["text"])


def sleep(request, context):
    time.sleep(float(request))
    return b"slept"


def serve(port):
    handlers = {"Unary": grpc.unary_unary_rpc_method_handler(unary), "ClientStream": grpc.stream_unary_rpc_method_handler(client_stream),
                "ServerStream": grpc.unary_stream_rpc_method_handler(server_stream), "BidiStream": grpc.stream_stream_rpc_method_handler(bidi_stream),
                "Fail": grpc.unary_stream_rpc_method_handler(fail), "Sleep": grpc.unary_unary_rpc_method_handler(sleep)}
    server = grpc.server(futures.ThreadPoolExecutor(16))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    server.add_insecure_port(f"[::]:{port}")
    server.start()
    print("serving", flush=True)
    server.wait_for_termination()


def pairs(metadata):
    return [[key, value.hex() if isinstance(value, bytes) else value] for key, value in metadata or ()]


def run(channel, kind, method="", body="", bodies=(), timeout=20, metadata=(), turns=0, service="test.Echo"):
    """One call: what came back and how it ended."""
    path, more = f"/{service}/{method}", {"timeout": timeout, "metadata": [tuple(pair) for pair in metadata]}
    out = {"messages": []}
    body, bodies = body.encode(), [text.encode() * times for text, times in bodies]
    try:
        if kind == "unary":
            answer, call = channel.unary_unary(path).with_call(body, **more)
            out["messages"].append(answer.decode())
        elif kind == "client":
            answer, call = channel.stream_unary(path).with_call(iter(bodies), **more)
            out["messages"].append(answer.decode())
        elif kind == "server":
            call = channel.unary_stream(path)(body, **more)
            out["sizes"] = []
            for message in call:
                out["sizes"].append(len(message))
                out["messages"].append(message[:16].decode())
        elif kind == "bidi":
            # Each message is sent only when the one before has come back: a true ping-pong.
            turn = threading.Semaphore(1)

            def ask():
                for number in range(turns):
                    turn.acquire()
                    yield b"turn %d" % number
            call = channel.stream_stream(path)(ask(), **more)
            for message in call:
                out["messages"].append(message.decode())
                turn.release()
        out.update(code=call.code().name, initial=pairs(call.initial_metadata()), trailing=pairs(call.trailing_metadata()))
    except grpc.RpcError as error:
        out.update(code=error.code().name, details=error.details(), initial=pairs(error.initial_metadata()),
                   trailing=pairs(error.trailing_metadata()))
    return out


def call(address, calls):
    options = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options=options) as channel:
        print(json.dumps([run(channel, **one) for one in json.loads(calls)]))


if __name__ == "__main__":
    {"serve": serve, "call": call}[sys.argv[1]](*sys.argv[2:])
