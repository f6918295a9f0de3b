"""LocalMesh: a mesh on this machine as a person starts it, by `tulle demo` or `tulle run`; `tulle` and shells speak to it."""
import os
import signal
import subprocess
import time

import pytest

from .programs import SANITIZERS, need_tulle

LINE_WAIT_S = 60


class LocalMesh:
    """`home` is $HOME of everything that runs: each mesh has its own ~/.tulle."""

    def __init__(self, home):
        for name in ("tulle-proxy", "tulled"):
            need_tulle(name)
        self.home, self.tulle, self.process = str(home), need_tulle("tulle"), None
        self.environment = {**os.environ, **SANITIZERS, "HOME": self.home, "LC_ALL": "C.UTF-8",
                            "PATH": f"{os.path.dirname(self.tulle)}:{os.environ['PATH']}"}
        for name in ("TULLE_HOME", "TULLE_SERVER", "KUBECONFIG"):
            self.environment.pop(name, None)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)

    def start(self, *words, until, cwd=None):
        """Starts `tulle WORDS` and returns what it said up to the line that holds `until`."""
        self.log = os.path.join(self.home, "mesh.log")
        with open(self.log, "wb") as output:
            self.process = subprocess.Popen([self.tulle, *words], stdout=output, stderr=output, cwd=cwd or self.home,
                                            env=self.environment, start_new_session=True)
        end = time.monotonic() + LINE_WAIT_S
        while until not in self.said():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"tulle {' '.join(words)} never said '{until}':\n{self.said()}")
            time.sleep(0.05)
        return self.said()

    def said(self):
        with open(self.log, errors="replace") as file:
            return file.read()

    def run(self, *words, **more):
        return subprocess.run([self.tulle, *words], env=self.environment, capture_output=True, text=True, timeout=60,
                              **{"cwd": self.home, **more})

    def shell(self, script, cwd, timeout=60):
        return subprocess.run(["bash", "-uo", "pipefail", "-c", script], cwd=cwd, env=self.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)

    def need_namespaces(self):
        if self.run("check", "--pre", "-o", "json").returncode != 0:
            pytest.skip("NAMESPACES ARE FORBIDDEN HERE: tulle check --pre says why")

    def stop(self):
        """Ctrl-C; returns the exit code."""
        if not self.process:
            return None
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(30)
        self.process = None
        return code
