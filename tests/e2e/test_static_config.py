"""Static configuration: an Envoy bootstrap as it is; what is wrong is refused with its place and a remedy (rows CFG)."""
import copy
import json
import os
import re
import subprocess

import pytest

from lab import bootstrap, cluster, http_listener, need_tulle, route, virtual_host
from lab.config import to_yaml
from lab.programs import SANITIZERS

GOOD = bootstrap([http_listener(10000, virtual_host(route(to="up")))], [cluster("up", ("127.0.0.1", 9))])


@pytest.fixture
def validate(tmp_path):
    """validate(text) runs --mode validate; gives (exit status, output, path)."""
    def run(text, name="bootstrap.yaml", timeout=30):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return (*run_validate(path, timeout), str(path))
    return run


def run_validate(path, timeout=30):
    done = subprocess.run([need_tulle("tulle-proxy"), "--mode", "validate", "-c", str(path)], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", timeout=timeout, env={**os.environ, **SANITIZERS})
    assert "Sanitizer" not in done.stdout and "runtime error" not in done.stdout, done.stdout
    assert done.returncode in (0, 1, 2), f"ended with {done.returncode}: {done.stdout}"
    return done.returncode, done.stdout


def changed(change):
    document = copy.deepcopy(GOOD)
    change(document)
    return document


def test_a_good_document_is_valid(validate):
    status, output, _ = validate(to_yaml(GOOD))
    assert status == 0, output


def test_json_is_read_too(validate):
    status, output, _ = validate(json.dumps(GOOD), "bootstrap.json")
    assert status == 0, output


def place_of(text, word):
    """line:column of a word in a text, both from 1."""
    at = text.index(word)
    return f"{text.count(chr(10), 0, at) + 1}:{at - text.rfind(chr(10), 0, at)}"


WRONG = [
    ("unknown field", "connect_timeout", "conect_timeout", "conect_timeout", "connect_timeout"),
    ("unknown field at the top", "static_resources", "static_resource", "static_resource:", "static_resources"),
    ("unknown enum", "type: STATIC", "type: STATICC", "STATICC", "STATIC"),
    ("unknown type", "HttpConnectionManager\n", "HttpConnectionManagr\n", "type.googleapis.com/envoy.extensions.filters.network.http",
     "HttpConnectionManager"),
    ("bad duration", "connect_timeout: 2s", "connect_timeout: 2 seconds", "2 seconds", None),
    ("bad number", "port_value: 9", "port_value: nine", "nine", None),
    ("number too large", "port_value: 9", "port_value: 4294967296", "4294967296", None),
    ("negative number", "port_value: 9", "port_value: -1", "-1", None),
]


@pytest.mark.parametrize("good, bad, at, suggestion", [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_mistake_is_refused_with_its_place(validate, good, bad, at, suggestion):
    text = to_yaml(GOOD)
    assert good in text
    text = text.replace(good, bad, 1)
    status, output, path = validate(text)
    assert status != 0
    assert f"{path}:{place_of(text, at)}" in output, output
    if suggestion:
        assert suggestion in output.replace(at, ""), output


REFUSED = {
    "CFG-04 port 70000": lambda d: d["static_resources"]["listeners"][0]["address"]["socket_address"].update(port_value=70000),
    "CFG-04 weights": lambda d: routes(d)[0].update(route={"weighted_clusters": {"clusters": [
        {"name": "up", "weight": 4294967295}, {"name": "up", "weight": 4294967295}]}}),
    "CFG-04 negative timeout": lambda d: routes(d)[0].update(route={"cluster": "up", "timeout": "-1s"}),
    "CFG-18 long regex": lambda d: routes(d)[0].update(match={"safe_regex": {"regex": "a" * 1025}}),
    "CFG-18 large regex": lambda d: routes(d)[0].update(match={"safe_regex": {"regex": "((a{1000}){1000})"}}),
    "bad regex": lambda d: routes(d)[0].update(match={"safe_regex": {"regex": "a("}}),
    "route to no cluster": lambda d: routes(d)[0].update(route={"cluster": "nowhere"}),
    "no address": lambda d: d["static_resources"]["listeners"][0].pop("address"),
    "bad address": lambda d: d["static_resources"]["listeners"][0]["address"]["socket_address"].update(address="300.1.1.1"),
    "bad domain": lambda d: hosts(d)[0].update(domains=["a*b"]),
    "domain twice": lambda d: hosts(d).append({**hosts(d)[0], "name": "again"}),
    "no domain": lambda d: hosts(d)[0].update(domains=[]),
    "cluster twice": lambda d: d["static_resources"]["clusters"].append(d["static_resources"]["clusters"][0]),
    "router not last": lambda d: manager(d).update(http_filters=[]),
}


def manager(document):
    return document["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]


def hosts(document):
    return manager(document)["route_config"]["virtual_hosts"]


def routes(document):
    return hosts(document)[0]["routes"]


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_meant_is_refused(validate, change):
    status, output, _ = validate(to_yaml(changed(change)))
    assert status != 0, output
    assert "error" in output.lower()


def test_a_linear_regex_of_a_kind_that_explodes_elsewhere_is_fine(validate):
    document = changed(lambda d: routes(d)[0].update(match={"safe_regex": {"regex": "/(a+)+"}}))
    status, output, _ = validate(to_yaml(document))
    assert status == 0, output


def nested(open_, close, depth):
    return open_ * depth + close * depth


HOSTILE = {
    "CFG-02 nested flow sequences": nested("[", "]", 100000),
    "CFG-02 nested flow maps": "{a: " * 100000 + "}" * 100000,
    "CFG-02 nested block": "\n".join(" " * depth + "a:" for depth in range(2000)),
    "CFG-14 alias bomb": "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 10)),
    "CFG-14 merge bomb": "a: &a {x: 1}\nb: {<<: *a, <<: *a}\n",
    "CFG-16 duplicate keys": "node: {id: a}\nnode: {id: b}\n",
    "CFG-16 duplicate keys in JSON": '{"node": {"id": "a"}, "node": {"id": "b"}}',
    "CFG-16 huge number": "admin: {address: {socket_address: {address: a, port_value: 1e400}}}",
    "CFG-17 costly number": "admin: {address: {socket_address: {address: a, port_value: 1e999999999}}}",
    "CFG-16 lone surrogate": r'{"node": {"id": "\ud800"}}',
    "CFG-16 NUL": r'{"node": {"id": "a\u0000b"}}',
    "CFG-16 trailing": '{"node": {"id": "a"}} x',
    "not UTF-8": b"node: {id: \xff\xfe}\n",
    "binary": bytes(range(256)) * 16,
    "only a scalar": "hello",
    "a list": "- node",
    "two documents": "node: {id: a}\n---\nnode: {id: b}\n",
    "tab indent": "node:\n\tid: a\n",
    "cut": "static_resources: {listeners: [",
    "tag": "node: !!python/object:os.system {id: a}\n",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_files_are_refused_quickly(validate, text):
    status, output, path = validate(text, timeout=20)
    assert status != 0
    assert re.search(re.escape(path) + r":\d+:\d+", output) or path in output, output
    assert len(output) < 10000, "one error, not a flood"


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "empty", "too large"])
def test_cfg_20_files_that_are_no_files(tmp_path, kind):
    path = tmp_path / "bootstrap.yaml"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "empty":
        path.write_text("")
    elif kind == "too large":
        with open(path, "wb") as file:
            file.truncate(1 << 30)
    status, output = run_validate(path, timeout=20)
    assert status != 0 and (str(path) in output), output


def test_the_proxy_itself_refuses_to_start_with_a_mistake(tmp_path):
    path = tmp_path / "bootstrap.yaml"
    path.write_text(to_yaml(GOOD).replace("connect_timeout", "conect_timeout"))
    done = subprocess.run([need_tulle("tulle-proxy"), "-c", str(path)], capture_output=True, text=True, timeout=20,
                          env={**os.environ, **SANITIZERS})
    assert done.returncode != 0 and "conect_timeout" in done.stderr + done.stdout


def test_a_busy_port_is_named(lab):
    host = lab.host("a")
    lab.origin(host, port=10000)
    proxy = lab.tulle_proxy(host, GOOD, wait=False)
    proxy.expected_status = proxy.wait_for_exit()
    assert proxy.expected_status != 0
    assert "10000" in proxy.text() and "in use" in proxy.text().lower()


def test_version_and_help():
    binary = need_tulle("tulle-proxy")
    version = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True, env={**os.environ, **SANITIZERS}).stdout
    assert re.search(r"\d+\.\d+", version)
    usage = subprocess.run([binary, "--help"], capture_output=True, text=True, check=True, env={**os.environ, **SANITIZERS}).stdout
    for option in ("-c", "--mode", "--concurrency"):
        assert option in usage
    wrong = subprocess.run([binary, "--concurency", "2"], capture_output=True, text=True, env={**os.environ, **SANITIZERS})
    assert wrong.returncode != 0 and "concurency" in wrong.stderr
