"""One request after the other on one connection, until standard input ends; then tells how long each took. A process of its own, so
that it waits for the proxy and not for what the test does beside."""
import json
import select
import socket
import sys
import time

REQUEST = b"GET /quiet HTTP/1.1\r\nHost: canary\r\n\r\n"


def ask(connection):
    began = time.monotonic()
    connection.sendall(REQUEST)
    got = b""
    while b"\r\n\r\n" not in got:
        piece = connection.recv(65536)
        if not piece:
            raise EOFError("the canary's connection was closed")
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    size = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < size:
        body += connection.recv(65536)
    return time.monotonic() - began


def main():
    with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waits = [ask(connection)]
        print("begun", flush=True)
        while not select.select([sys.stdin], [], [], 0.005)[0]:
            waits.append(ask(connection))
    print(json.dumps(waits), flush=True)


main()
