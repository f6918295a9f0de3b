"""The whole mesh: `tulle demo --check` shifts a canary under load while the control plane is killed."""
import json
import os
import subprocess

import pytest

from lab.programs import SANITIZERS, need_tulle


@pytest.fixture
def tulle(tmp_path):
    """Runs `tulle WORDS` with a home of its own; its loopback is up."""
    program = need_tulle("tulle")
    home = tmp_path / "home"
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    reports = tmp_path / "sanitizer-report"
    options = {name: f"{value}:log_path={reports}" for name, value in SANITIZERS.items()}
    environment = {**os.environ, **options, "TULLE_HOME": str(home)}

    def run(*words, timeout=120):
        return subprocess.run([program, *words], env=environment, capture_output=True, text=True, timeout=timeout)

    run.home = home
    yield run
    for report in tmp_path.glob(f"{reports.name}.*"):
        pytest.fail(f"a program of the mesh reported:\n{report.read_text()[:8000]}")


def need_mesh(tulle):
    need_tulle("tulle-proxy")
    need_tulle("tulled")
    checks = json.loads(tulle("check", "--pre", "-o", "json").stdout)
    network = checks[0]
    if network["result"] != "good":
        pytest.skip(f"NAMESPACES ARE FORBIDDEN HERE: {network['check']}")


def test_the_canary_shifts_without_losing_a_request(tulle):
    need_mesh(tulle)
    done = tulle("demo", "--check", "-o", "json")
    assert done.stdout, done.stderr
    result = json.loads(done.stdout)
    assert done.returncode == 0, json.dumps(result, indent=1) + done.stderr
    assert result["good"] is True and result["seconds"] < 60
    phases = result["phases"]
    assert [(phase["wanted"]["v1"], phase["wanted"]["v2"]) for phase in phases] == [(90, 10), (50, 50), (0, 100), (90, 10)]
    assert any(phase["control_plane_killed"] for phase in phases)
    for phase in phases:
        assert phase["failures"] == phase["switch_failures"] == 0, phase
        assert phase["requests"] > 100 and phase["mtls"] == 1, phase
        assert all(type(phase[count]) is int for count in ("requests", "failures", "switch_requests", "switch_failures"))
        assert all(len(repr(value)) < 10 for value in (*phase["latency_ms"].values(), *phase["split"].values())), "rounded"


def test_nothing_is_left_behind(tulle):
    need_mesh(tulle)
    assert tulle("demo", "--check", "-o", "json").returncode == 0
    assert list(tulle.home.iterdir()) == []
    seen = subprocess.run(["ps", "-e", "-o", "args="], capture_output=True, text=True, check=True).stdout
    assert not [line for line in seen.splitlines() if str(tulle.home) in line]


def test_a_machine_without_a_mesh_is_told_so(tulle):
    for words in (["stat"], ["ps"], ["get", "services"]):
        done = tulle(*words)
        assert done.returncode == 69 and "TUL5001" in done.stderr
