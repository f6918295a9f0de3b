"""The running demo: what `tulle ps`, `stat`, `check`, `get`, `validate` and `apply` say beside it, and its end."""
import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
import urllib.request

import pytest

from lab.programs import need_tulle

class Running:
    """`tulle demo` in the background, until Ctrl-C."""

    def __init__(self, program, home, as_user=()):
        self.home, self.log, self.as_user = home, home.parent / "demo.log", list(as_user)
        self.environment = {**os.environ, "TULLE_HOME": str(home), "HOME": str(home.parent)}
        self.program = program
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([*self.as_user, program, "demo"], env=self.environment, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 60
        while "Ctrl-C" not in self.log.read_text():
            assert self.process.poll() is None and time.monotonic() < end, self.log.read_text()
            time.sleep(0.02)
        said = self.log.read_text()
        self.seconds = float(re.search(r"is up after ([\d.]+)s", said).group(1))
        self.window = re.search(r"http://[\d.]+:\d+/window", said).group()

    def __call__(self, *words, check=True, input=None):
        done = subprocess.run([*self.as_user, self.program, *words], env=self.environment, capture_output=True, text=True, timeout=60, input=input)
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done if not check else done.stdout

    def json(self, *words):
        return json.loads(self(*words, "-o", "json"))

    def seen(self):
        with urllib.request.urlopen(self.window, timeout=10) as answer:
            return json.load(answer)

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(20)


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    need_tulle("tulled"), need_tulle("tulle-proxy")
    folder = tmp_path_factory.mktemp("demo")
    checks = json.loads(subprocess.run([need_tulle("tulle"), "check", "--pre", "-o", "json"], capture_output=True, text=True).stdout)
    if checks[0]["result"] != "good":
        pytest.skip(f"NAMESPACES ARE FORBIDDEN HERE: {checks[0]['check']}")
    running = Running(need_tulle("tulle"), folder / "home")
    yield running
    if running.process.poll() is None:
        running.interrupt()


USER = 12345
SERVICES = {"ledger", "stock", "product", "cart", "web", "load"}
WORKLOADS = SERVICES - {"product"} | {"product-v1", "product-v2"}


@pytest.mark.release
def test_it_starts_soon(demo):
    assert demo.seconds < 3 * max(1, os.getloadavg()[0] / os.cpu_count())


def test_proxy_status_on_the_demo(demo):
    lines = demo("proxy", "status").strip().splitlines()
    head = lines[0].split()
    assert head[:5] == ["NAME", "CLUSTER", "CDS", "LDS", "EDS"]
    rows = [dict(zip(head, line.split())) for line in lines[1:]]
    assert {row["NAME"] for row in rows} == {f"{name}.default" for name in WORKLOADS}
    for row in rows:
        assert [row[kind] for kind in ("CDS", "LDS", "EDS", "RDS")] == ["SYNCED"] * 4 and row["CLUSTER"] == "Kubernetes", row
        assert re.fullmatch(r"\d+\.\d+\.\d+", row["VERSION"]) and re.fullmatch(r"\d+s|\d+m", row["AGE"]), row
    for row in demo.json("ps"):
        name = row["name"].removesuffix(".default")
        account = "product" if name.startswith("product") else name
        assert row["identity"] == f"spiffe://cluster.local/ns/default/sa/{account}" and row["program"] == "tulle-proxy", row
        assert row["rejections"] == [], row


def test_stat_on_the_demo(demo):
    rows = {row["name"]: row for row in demo.json("stat", "-t", "3s")}
    assert set(rows) == SERVICES
    for name in "web", "product", "cart", "stock":
        row = rows[name]
        assert row["success"] == 1 and row["mtls"] == 1 and row["rps"] > 5 and row["meshed"] == row["workloads"], row
        assert 0 < row["latency_p50_ms"] <= row["latency_p95_ms"] <= row["latency_p99_ms"], row
    assert rows["product"]["workloads"] == 2 and type(rows["product"]["tcp_connections"]) is int
    head = demo("stat").splitlines()[0].split()
    assert head[:4] == ["NAME", "MESHED", "SUCCESS", "RPS"] and head[-1] == "MTLS"


def test_check_on_the_demo(demo):
    rows = demo.json("check")
    assert {row["result"] for row in rows} == {"good"}, rows
    assert any(row["check"] == "7 of 7 sidecars are ready" for row in rows), rows
    assert {row["group"] for row in rows} == {"this machine", "control plane", "data plane"}


def test_get_and_validate_on_the_demo(demo, tmp_path):
    for kind, names in (("services", SERVICES), ("workloadentries", WORKLOADS), ("vs", {"product"}), ("dr", {"product"})):
        assert {line.split()[0] for line in demo("get", kind).strip().splitlines()[1:]} == names
    canary = demo("get", "vs", "product", "-o", "yaml")
    file = tmp_path / "canary.yaml"
    file.write_text(canary)
    assert "1 object, nothing wrong" in demo("validate", "-f", str(file))
    file.write_text(canary.replace("weight: 90", "wieght: 90"))
    wrong = demo("validate", "-f", str(file), check=False)
    assert wrong.returncode != 0 and "wieght" in wrong.stderr and "weight" in wrong.stderr and "canary.yaml" in wrong.stderr, wrong.stderr
    missing = demo("get", "vs", "nobody", check=False)
    assert missing.returncode != 0 and "nobody" in missing.stderr


def test_the_canary_by_hand(demo):
    """What the demo says one should try, is tried."""
    canary = demo("get", "vs", "product", "-o", "yaml")
    demo("apply", "-f", "-", input=canary.replace("weight: 90", "weight: 0").replace("weight: 10", "weight: 100"))
    end = time.monotonic() + 20
    with urllib.request.urlopen(demo.window + "/reset", timeout=10):
        pass
    while not (seen := demo.seen())["versions"].get("v2") or seen["versions"].get("v1", 0) * 4 > seen["versions"]["v2"]:
        assert time.monotonic() < end, seen
        time.sleep(0.1)
    demo("apply", "-f", "-", input=canary)
    assert demo.seen()["failures"] == 0, demo.seen()


def test_ctrl_c_leaves_nothing(demo):
    assert demo.interrupt() == 0, demo.log.read_text()
    assert list(demo.home.iterdir()) == []
    seen = subprocess.run(["ps", "-e", "-o", "args="], capture_output=True, text=True, check=True).stdout
    assert not [line for line in seen.splitlines() if str(demo.home) in line]
    assert "ERROR" not in demo.log.read_text()


def test_no_root_is_needed():
    """As a user who owns nothing but a folder."""
    with open("/proc/self/uid_map") as lines:
        if int(lines.readline().split()[2]) <= USER:
            pytest.skip("there is but one user in this namespace, and the other tests of the demo run as that one")
    with tempfile.TemporaryDirectory(dir="/run") as name:
        folder = pathlib.Path(name)
        os.chown(folder, USER, USER)
        running = Running(need_tulle("tulle"), folder / "home", ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"])
        assert {row["result"] for row in running.json("check")} == {"good"}
        assert running.seen()["requests"] >= 0
        assert running.interrupt() == 0 and list(running.home.iterdir()) == []
