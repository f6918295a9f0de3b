"""Fixtures: `lab` for one test, `shared_lab` for one module; the logs of a failed test's programs are shown."""
import os

import pytest

from lab import SANITIZED, Lab

LABS = pytest.StashKey()


def pytest_configure(config):
    if os.getpid() != 1 and not os.path.ismount("/run"):
        raise pytest.UsageError("run end-to-end tests by script/e2e: they need namespaces of their own")


def known_gaps():
    with open(os.path.join(os.path.dirname(__file__), "known_gaps.txt")) as lines:
        rows = (line.partition(" | ") for line in lines if not line.startswith("#") and line.strip())
        return {name.strip(): reason.strip() for name, _, reason in rows}


def pytest_collection_modifyitems(items):
    gaps = known_gaps()
    for item in items:
        if item.nodeid in gaps:
            item.add_marker(pytest.mark.xfail(reason=gaps[item.nodeid], strict=False))
        if SANITIZED and item.get_closest_marker("release"):
            item.add_marker(pytest.mark.skip(reason="measured on the release build only"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        for name in ("lab", "shared_lab"):
            lab = item.funcargs.get(name) if hasattr(item, "funcargs") else None
            for title, text in lab.logs() if lab else ():
                report.sections.append((title, text))
    return report


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def shared_lab(tmp_path_factory, request):
    lab = Lab(tmp_path_factory.mktemp(request.module.__name__))
    yield lab
    lab.close()


@pytest.fixture(params=["tulle", "envoy"])
def start_proxy(request):
    """start_proxy(lab, host, document): Tulle, and Envoy as the judge of what a document means."""
    def start(lab, host, document, **more):
        return (lab.tulle_proxy if request.param == "tulle" else lab.envoy)(host, document, **more)
    start.kind = request.param
    return start
