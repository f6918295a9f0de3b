"""The command line as people and scripts meet it: help, formats, exit codes, completion, manual pages."""
import json
import os
import re
import shutil
import subprocess

import pytest
import yaml

from lab.local_mesh import LocalMesh
from lab.programs import BUILD, TOP, need_program, need_tulle

PROGRAMS = ("tulle", "tulled", "tulle-proxy")


def tulle(*words, **more):
    environment = {**os.environ, "TULLE_HOME": "/nonexistent", "LC_ALL": "C.UTF-8"}
    return subprocess.run([need_tulle("tulle"), *words], env=environment, capture_output=True, text=True, timeout=60, **more)


def commands():
    """Every command that `tulle help` lists."""
    program = os.path.join(BUILD, "bin", "tulle")
    if not os.path.exists(program):
        return ["help"]  # collecting needs no program; the tests then say that it is not built
    done = subprocess.run([program, "help"], capture_output=True, text=True)
    return re.findall(r"^  ([a-z]+(?: [a-z]+)?) {2,}[A-Z]", done.stdout, re.M)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    mesh = LocalMesh(tmp_path_factory.mktemp("shop"))
    mesh.need_namespaces()
    mesh.start("demo", until="What to try next")
    yield mesh
    assert mesh.stop() in (0, 130)


@pytest.mark.parametrize("name", commands())
def test_help_opens_with_two_examples(name):
    done = tulle(*name.split(), "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert len(re.findall(r"^  (?:sudo )?(?:tulle|source) ", done.stdout.split("Usage:")[0], re.M)) == 2, done.stdout
    assert f"Usage: tulle {name}" in done.stdout
    assert tulle("help", *name.split()).stdout == done.stdout


@pytest.mark.parametrize("words, code, told", [
    (["frobnicate"], 64, "TUL1006"),
    (["aply"], 64, "did you mean tulle apply?"),
    (["get", "vs", "--selecter", "a=b"], 64, "did you mean --selector?"),
    (["get"], 64, "TUL1005"),
    (["get", "virtualservic"], 64, "did you mean virtualservice?"),
    (["get", "vs,servic"], 64, "did you mean service?"),
    (["get", "vs", "-o"], 64, "TUL1002"),
    (["get", "vs", "-o", "xml"], 64, "TUL1003"),
    (["get", "vs", "--timeout", "0"], 64, "TUL1003"),
    (["version", "-f", "x.yaml"], 64, "TUL1001"),
    (["get", "vs", "-w"], 64, "TUL1001"),
    (["get", "vs", "--server", "https://x"], 64, "TUL0080"),
    (["explain", "vs.spec.htp"], 64, "http"),
    (["validate", "-f", "/nonexistent.yaml"], 65, "TUL0002"),
    (["run", "/nonexistent.yaml"], 65, "TUL1221"),
    (["get", "vs"], 69, "TUL5001"),
    (["check"], 79, ""),
])
def test_exit_codes(words, code, told):
    done = tulle(*words)
    assert done.returncode == code and told in done.stderr, done.stderr


def test_a_wrong_file_is_told_with_its_place(tmp_path):
    wrong = tmp_path / "cart.yaml"
    wrong.write_text("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\n"
                     "spec:\n  hosts: [a]\n  http:\n  - retires: 3\n")
    done = tulle("validate", "-f", wrong)
    assert done.returncode == 65
    assert re.search(r'error TUL0007: .*"retires".*\n --> .*cart\.yaml:7:5', done.stderr), done.stderr


@pytest.mark.parametrize("words", [
    ["ps"], ["proxy", "status"], ["stat"], ["get", "vs"], ["get", "we", "web"], ["check"], ["version"],
    ["validate", "-f", "MESH"], ["apply", "-f", "MESH"],
], ids=" ".join)
def test_each_command_prints_documents(shop, words):
    words = [os.path.join(TOP, "samples", "shop", "mesh") if word == "MESH" else word for word in words]
    as_json, as_yaml = shop.run(*words, "-o", "json"), shop.run(*words, "-o", "yaml")
    assert as_json.returncode == as_yaml.returncode == 0, as_json.stderr
    document, other = json.loads(as_json.stdout), yaml.safe_load(as_yaml.stdout)
    assert type(document) is type(other) and document
    assert not as_yaml.stdout.lstrip().startswith(("{", "[")), "this is JSON"
    assert shop.run(*words, "-o", "wide").returncode == 0


def test_several_kinds_at_once(shop):
    told = shop.run("get", "vs,destinationrule").stdout
    assert re.findall(r"^(\S+/\S+)", told, re.M) == ["virtualservice/product", "destinationrule/product"], told
    assert told.count("NAME") == 2 and "\n\n" in told
    everything = json.loads(shop.run("get", "all", "-o", "json").stdout)
    kinds = {item["kind"] for item in everything["items"]}
    assert everything["kind"] == "List" and kinds == {"Service", "WorkloadEntry", "VirtualService", "DestinationRule"}
    names = shop.run("get", "istio-io", "-o", "name").stdout.split()
    assert "virtualservice/product" in names and "service/product" not in names and "workloadentry/web" in names
    done = shop.run("get", "vs,se", "-n", "nowhere")
    assert done.stdout == "" and "no objects in nowhere" in done.stderr
    # All stand under their one name, or there is an error.
    assert [json.loads(shop.run("get", "svc,vs", "product", "-o", "json").stdout)["items"][i]["kind"] for i in (0, 1)] == ["Service", "VirtualService"]


def test_tcp_connections_are_seen_while_they_are_open(shop):
    """cart keeps its connection to the ledger."""
    rows = {row["name"]: row for row in json.loads(shop.run("stat", "-t", "1", "-o", "json").stdout)}
    assert rows["ledger"]["tcp_connections"] > 0, rows


def test_names_are_for_scripts(shop):
    assert sorted(shop.run("stat", "-t", "1", "-o", "name").stdout.split()) == [
        "cart", "ledger", "load", "product", "stock", "web"]
    assert "web.default" in shop.run("ps", "-o", "name").stdout.split()
    assert shop.run("get", "vs", "-o", "name").stdout == "virtualservice/product\n"


@pytest.mark.parametrize("words, offered", [
    (["ap"], ["apply"]),
    (["proxy", ""], ["status"]),
    (["get", "virt"], ["virtualservice"]),
    (["get", "vs", "pr"], ["product"]),
    (["get", "vs", "--sel"], ["--selector"]),
    (["stat", "--ti"], ["--time", "--timeout"]),
    (["get", "vs", "-o", "j"], ["json"]),
    (["completion", ""], ["bash", "zsh", "fish"]),
    (["apply", "-f", ""], [":files"]),
    (["run", ""], [":files"]),
])
def test_what_may_stand_next(shop, words, offered):
    assert shop.run("__complete", *words).stdout.split() == offered


@pytest.mark.parametrize("shell, script", [
    ("bash", 'source <(tulle completion bash); COMP_WORDS=(tulle get vs pr); COMP_CWORD=3; _tulle; echo "${COMPREPLY[@]}"'),
    ("zsh", 'compdef() { : }; compadd() { shift; print -- "$@" }; source <(tulle completion zsh); '
            'words=(tulle get vs pr); CURRENT=4; _tulle'),
    ("fish", 'tulle completion fish | source; complete -C "tulle get vs pr"'),
])
def test_each_shell_completes(shop, shell, script):
    done = subprocess.run([need_program(shell), "-c", script], env=shop.environment, capture_output=True, text=True,
                          timeout=60)
    assert done.stdout.split() == ["product"], done.stderr


def flags_of(program):
    done = subprocess.run([need_tulle(program), "--help"], capture_output=True, text=True, check=True)
    text = done.stdout
    if program == "tulle":
        text = "".join(tulle(*name.split(), "--help").stdout for name in commands())
    return sorted(set(re.findall(r"^  (?:-\w, |    )--([a-z-]+)", text, re.M)))


@pytest.mark.parametrize("program", PROGRAMS)
def test_manual_pages_have_each_flag(program):
    section = "1" if program == "tulle" else "8"
    page = os.path.join(TOP, "docs", "man", f"{program}.{section}")
    lint = subprocess.run([need_program("mandoc"), "-T", "lint", "-W", "warning", page], capture_output=True, text=True)
    assert lint.stdout == ""
    shown = subprocess.run(["mandoc", "-T", "ascii", page], capture_output=True, text=True, check=True).stdout
    shown = re.sub(r".\x08", "", shown)
    missing = [flag for flag in flags_of(program) if f"--{flag}" not in shown]
    assert not missing


def test_the_generated_reference_is_current():
    done = subprocess.run([os.path.join(TOP, "script", "reference"), "--check", "--programs", os.path.join(BUILD, "bin")],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_plugin_is_found_on_the_path(tmp_path):
    plugin = tmp_path / "tulle-hello"
    plugin.write_text("#!/bin/sh\necho hello $1\n")
    plugin.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run([need_tulle("tulle"), "hello", "you"], env=environment, capture_output=True, text=True)
    assert done.stdout == "hello you\n"
    assert shutil.which("tulle-proxy") is None or "tulle-proxy" not in done.stderr
