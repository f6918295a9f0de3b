"""The commands that README.md and docs/ show are run as they stand there, so that the pages cannot lie.

Every fenced block of commands is run, in the order of its page, in a folder that holds a copy of samples/, with our programs
on PATH and a HOME of its own:

    ```console      lines that begin with "$ " are commands (and "> " goes on); what stands below must appear in
                    their output, in order; `...` stands for anything, blanks for any number of blanks
    ```console eventually    the same, tried again until it is so (20 s)
    ```console background    the command goes on running until the page ends
    ```sh           a script that must end with status 0
    ```sh clone     what is typed in a fresh clone (git clone, cd, make TARGET): the targets must exist
    ```yaml file=NAME, ```python file=NAME    is written to NAME first
    ```text demo    what `tulle demo` says

A page that says <!-- with the demo --> has a shop running, as `make demo` starts it.
"""
import glob
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from lab.local_mesh import LocalMesh
from lab.programs import TOP

FENCE = re.compile(r"^```(\w+)[ ]*([^\n]*)\n(.*?)^```[ ]*$", re.M | re.S)
PAGES = [os.path.join(TOP, "README.md"), os.path.join(TOP, "CONTRIBUTING.md"),
         *sorted(glob.glob(os.path.join(TOP, "docs", "**", "*.md"), recursive=True)),
         *sorted(glob.glob(os.path.join(TOP, "samples", "**", "*.md"), recursive=True))]
COMMANDS = ("console", "sh", "bash", "shell")
EVENTUALLY_S = 20
WITH_DEMO = "<!-- with the demo -->"


def read(path):
    with open(path) as file:
        return file.read()


def blocks(path):
    return [match.groups() for match in FENCE.finditer(read(path))]


def is_run(path):
    return any(kind in COMMANDS and "clone" not in words.split() for kind, words, _ in blocks(path))


def name_of(path):
    return os.path.relpath(path, TOP)


def steps(text):
    """[command, expected lines] of a console block."""
    found = []
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append([line[2:], []])
        elif line.startswith("> ") and found and not found[-1][1]:
            found[-1][0] += "\n" + line[2:]
        elif line.strip():
            found[-1][1].append(line.strip())
    return found


def missing_line(expected, output):
    """The first line that is promised and not there; None when all are, in order."""
    at, output = 0, re.sub(r"[ \t]+", " ", output)
    for line in expected:
        pattern = ".*".join(re.escape(re.sub(r"[ \t]+", " ", part)) for part in line.split("..."))
        found = re.compile(pattern).search(output, at)
        if not found:
            return line
        at = found.end()
    return None


class Page:
    """Runs one page's blocks."""

    def __init__(self, path, mesh, folder):
        self.path, self.mesh, self.folder, self.background = path, mesh, str(folder), []
        shutil.copytree(os.path.join(TOP, "samples"), os.path.join(self.folder, "samples"))

    def promise(self, command, expected, output):
        missing = missing_line(expected, output)
        assert not missing, f"{name_of(self.path)} promises this line of `{command}`:\n{missing}\nbut it printed:\n{output}"

    def console(self, words, text):
        for command, expected in steps(text):
            if "background" in words:
                self.start(command, expected)
                continue
            end = time.monotonic() + (EVENTUALLY_S if "eventually" in words else 0)
            done = self.mesh.shell(command, self.folder)
            while missing_line(expected, done.stdout) and time.monotonic() < end:
                time.sleep(0.3)
                done = self.mesh.shell(command, self.folder)
            self.promise(command, expected, done.stdout)

    def start(self, command, expected):
        log = os.path.join(self.folder, f"background-{len(self.background)}.log")
        with open(log, "wb") as output:
            process = subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self.folder, env=self.mesh.environment,
                                       stdout=output, stderr=output, start_new_session=True)
        self.background.append(process)
        end = time.monotonic() + 60
        while missing_line(expected, read(log)) and process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        self.promise(command, expected, read(log))

    def close(self):
        for process in reversed(self.background):
            process.send_signal(signal.SIGINT)
            assert process.wait(30) in (0, 130)

    def run(self):
        for kind, info, text in blocks(self.path):
            words = info.split()
            named = re.match(r"file=(\S+)", info)
            if named:
                target = os.path.join(self.folder, named.group(1))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "w") as file:
                    file.write(text)
            elif kind == "text" and words == ["demo"]:
                self.promise("tulle demo", [line.strip() for line in text.splitlines() if line.strip()], self.mesh.said())
            elif kind == "console":
                self.console(words, text)
            elif kind in COMMANDS and "clone" not in words:
                done = self.mesh.shell("set -e\n" + text, self.folder)
                assert done.returncode == 0, f"{text}\nended with {done.returncode}:\n{done.stdout}"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    mesh = LocalMesh(tmp_path_factory.mktemp("demo"))
    mesh.need_namespaces()
    mesh.start("demo", until="kubectl get")
    yield mesh
    mesh.stop()


@pytest.mark.parametrize("path", list(filter(is_run, PAGES)), ids=name_of)
def test_commands_of(path, tmp_path, request):
    mesh = request.getfixturevalue("demo") if WITH_DEMO in read(path) else LocalMesh(tmp_path)
    if any("tulle run" in text or "tulle demo" in text for _, _, text in blocks(path)):
        mesh.need_namespaces()
    page = Page(path, mesh, tmp_path)
    if mesh.process:
        assert mesh.run("apply", "-f", os.path.join(TOP, "samples", "shop", "mesh")).returncode == 0
    try:
        page.run()
    finally:
        page.close()


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_links_of(path):
    links = [link for link in re.findall(r"\]\(([^)\s]+)[^)]*\)", read(path)) if "://" not in link]
    links += re.findall(r'(?:src|srcset|href)="([^":]+)"', read(path))
    for link in links:
        file, _, anchor = link.partition("#")
        target = os.path.join(os.path.dirname(path), file) if file else path
        assert os.path.exists(target), f"{link} leads nowhere"
        if anchor and target.endswith(".md"):
            titles = re.findall(r"^#+ (.*)$", read(target), re.M)
            anchors = [re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles]
            assert anchor in anchors, f"{link}: no such heading"


def test_help_names_every_target_that_the_pages_name():
    listed = subprocess.run(["make", "-s", "-C", TOP, "help"], capture_output=True, text=True, check=True).stdout
    for path in PAGES:
        commands = re.findall(r"`make ([a-z0-9-]+)", FENCE.sub("", read(path)))
        for _, _, text in blocks(path):
            commands += re.findall(r"^(?:\$ )?make ([a-z0-9-]+)", text, re.M)
        for target in commands:
            assert f"make {target} " in listed, f"{name_of(path)} names make {target}"


def test_a_clone_block_holds_only_what_a_clone_is_for():
    for path in PAGES:
        for kind, words, text in blocks(path):
            if "clone" not in words.split():
                continue
            for line in filter(None, (line.split("#")[0].strip() for line in text.splitlines())):
                assert re.match(r"(git clone|cd|make|script/setup)\b", line), f"{name_of(path)}: `{line}` would never be run"


@pytest.mark.parametrize("page", sorted(glob.glob(os.path.join(TOP, "src", "**", "README.md"), recursive=True)), ids=name_of)
def test_a_room_names_files_that_are_there(page):
    for name in re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:c|h|cc))`", read(page)):
        found = [glob.glob(os.path.join(TOP, folder, name), recursive=True) for folder in ("src/**", "tests/**", "")]
        assert any(found), f"there is no {name}"


def test_every_error_code_is_explained_once():
    page = read(os.path.join(TOP, "docs", "reference", "errors.md"))
    explained = re.findall(r"^\| (TUL\d{4}) \|", page, re.M)
    assert explained == sorted(explained) and len(explained) == len(set(explained))
    used = set()
    for path in glob.glob(os.path.join(TOP, "src", "**", "*.c"), recursive=True):
        used |= set(re.findall(r"TUL\d{4}", read(path)))
    assert used <= set(explained), f"not explained: {sorted(used - set(explained))}"
    assert set(explained) <= used, f"explained and never said: {sorted(set(explained) - used)}"
