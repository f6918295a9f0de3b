"""Programs: real processes on hosts. They are waited for by events and stopped by their own PID."""
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

TOP = os.path.abspath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
BUILD = os.path.join(TOP, os.environ.get("TULLE_BUILD", "build/dev"))
SANITIZED = os.path.basename(BUILD) not in ("release", "coverage", "clang")

# halt: a report ends the program, so that no test passes over it.
SANITIZERS = {
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1:exitcode=99",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
    "TSAN_OPTIONS": "halt_on_error=0:exitcode=99:second_deadlock_stack=1",
    "LSAN_OPTIONS": "exitcode=99",
}
REPORT = re.compile(r"(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed)")


def missing(what):
    """A missing peer is a loud skip on a desk and a failure where everything must run."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"missing: {what}")
    pytest.skip(f"missing: {what}")


def need_program(name):
    """The path of a program of the system, or of the Python environment."""
    found = shutil.which(name) or shutil.which(name, path=os.path.join(TOP, ".venv", "bin"))
    if not found:
        missing(f"{name} (script/setup test installs it)")
    return found


def need_go_peer(name):
    """The path of a program that script/setup builds from tests/peers: optional, also where everything else must run."""
    path = os.path.join(TOP, ".venv", "bin", name)
    if not os.access(path, os.X_OK):
        pytest.skip(f"missing: {name} (script/setup test builds it where there is a Go)")
    return path


def need_tulle(name):
    """The path of one of our programs in the build under test."""
    path = os.path.join(BUILD, "bin", name)
    if not os.path.exists(path):
        missing(f"{os.path.relpath(path, TOP)} (not built)")
    if name == "tulle" and os.path.basename(BUILD) == "tsan":
        return tulle_beside_tsan()
    return path


def tulle_beside_tsan():
    """ThreadSanitizer's own thread keeps a program from making a user namespace: there, the release build's `tulle` runs
    the others, which it looks for beside itself."""
    released = os.path.join(TOP, "build", "release", "bin", "tulle")
    if not os.path.exists(released):
        missing("build/release/bin/tulle (not built)")
    folder = os.path.join(BUILD, "mesh")
    os.makedirs(folder, exist_ok=True)
    copy = os.path.join(folder, "tulle")
    if not os.path.exists(copy) or os.path.getmtime(copy) != os.path.getmtime(released):  # it may be running
        shutil.copy2(released, copy + ".new")
        os.replace(copy + ".new", copy)
    for name in ("tulle-proxy", "tulled"):
        link = os.path.join(folder, name)
        if not os.path.lexists(link):
            os.symlink(os.path.join(BUILD, "bin", name), link)
    return copy


class Program:
    """A running process. `ours` means that it must end with status 0 on SIGTERM and without sanitizer reports."""

    def __init__(self, argv, host, log, env=None, cwd=None, ours=False, stdin=subprocess.DEVNULL):
        self.argv = [str(word) for word in argv]
        self.name = os.path.basename(self.argv[0])
        self.host, self.log, self.ours = host, str(log), ours
        self.expected_status = 0
        with open(self.log, "ab") as output:
            self.process = subprocess.Popen(
                (host.enter_argv() if host else []) + self.argv, stdin=stdin, stdout=output, stderr=output, cwd=cwd,
                env={**os.environ, **SANITIZERS, **(env or {})}, start_new_session=True)
        self.pid = self.process.pid

    @property
    def is_running(self):
        return self.process.poll() is None

    def text(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def wait_for(self, event, what, timeout=20):
        """Polls `event` until it gives something true; fails at once when the program has died."""
        end = time.monotonic() + timeout
        while True:
            result = event()
            if result:
                return result
            if not self.is_running:
                raise AssertionError(f"{self.name} ended with {self.process.returncode} before {what}:\n{self.tail()}")
            if time.monotonic() > end:
                raise AssertionError(f"{self.name}: no {what} within {timeout} s:\n{self.tail()}")
            time.sleep(0.005)

    def wait_for_log(self, pattern, timeout=20):
        regex = re.compile(pattern)
        return self.wait_for(lambda: regex.search(self.text()), f"log line /{pattern}/", timeout)

    def wait_for_port(self, port, timeout=20):
        """Waits for a TCP listener in the program's namespace without connecting to it."""
        return self.wait_for(lambda: port in listening_ports(self.pid), f"listener on port {port}", timeout)

    def wait_for_exit(self, timeout=20):
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {timeout} s:\n{self.tail()}") from None

    def send_signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """SIGKILL, as in a crash; for our own programs this is then the expected end."""
        self.expected_status = -signal.SIGKILL
        if self.is_running:
            self.process.kill()
        self.process.wait()

    def stop(self, number=signal.SIGTERM, timeout=20):
        """Asks the program to end and checks how it did."""
        if self.is_running:
            self.send_signal(number)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            if self.ours:
                raise AssertionError(f"{self.name} ignored signal {number} for {timeout} s:\n{self.tail()}") from None
        if self.ours:
            self.check_end()

    def check_end(self):
        text = self.text()
        report = REPORT.search(text)
        if report:
            raise AssertionError(f"{self.name}: {text[report.start():][:6000]}")
        if self.process.returncode != self.expected_status:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}, not {self.expected_status}:\n{self.tail()}")

    def tail(self, size=4000):
        return self.text()[-size:]

    def memory_kb(self):
        """{'rss', 'anon'} in KiB."""
        with open(f"/proc/{self.pid}/smaps_rollup") as file:
            text = file.read()
        return {key: int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M).group(1))
                for key, name in (("rss", "Rss"), ("anon", "Anonymous"))}

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_s(self):
        """CPU seconds used so far, user and system."""
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listening_ports(pid):
    ports = set()
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/{pid}/net/{table}") as file:
                rows = file.read().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            if fields[3] == "0A":
                ports.add(int(fields[1].rsplit(":", 1)[1], 16))
    return ports
