"""The commands that README.md and docs/ show are run as they stand there.

A block fenced as ```sh test is a shell script: it runs in a copy of the documentation's world, with our programs on PATH, and
must end with status 0. Lines of a block fenced as ```text expect right after it must then appear in its output, in
order, where `...` stands for anything. A block fenced as ```yaml file=NAME is written to NAME first.
"""
import glob
import os
import re
import subprocess

import pytest

from lab import BUILD
from lab.programs import TOP, SANITIZERS

FENCE = re.compile(r"^```(\w+)[ ]*([^\n]*)\n(.*?)^```[ ]*$", re.M | re.S)
PAGES = [os.path.join(TOP, "README.md"), os.path.join(TOP, "CONTRIBUTING.md"),
         *sorted(glob.glob(os.path.join(TOP, "docs", "**", "*.md"), recursive=True))]


def blocks(path):
    with open(path) as file:
        return [match.groups() for match in FENCE.finditer(file.read())]


def pages_with_commands():
    return [path for path in PAGES if any(words.split()[:1] == ["test"] for _, words, _ in blocks(path))]


@pytest.mark.parametrize("path", pages_with_commands(), ids=lambda path: os.path.relpath(path, TOP))
def test_commands_of(path, tmp_path):
    environment = {**os.environ, **SANITIZERS, "PATH": f"{os.path.join(BUILD, 'bin')}:{os.environ['PATH']}",
                   "HOME": str(tmp_path), "TULLE_SOURCE": TOP}
    output = ""
    for kind, words, text in blocks(path):
        named = re.match(r"file=(\S+)", words)
        if named:
            target = tmp_path / named.group(1)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        elif kind == "sh" and words.split()[:1] == ["test"]:
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=tmp_path, env=environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90)
            output = done.stdout
            assert done.returncode == 0, f"{text}\nended with {done.returncode}:\n{output}"
        elif kind == "text" and words.strip() == "expect":
            at = 0
            for line in filter(None, map(str.strip, text.splitlines())):
                pattern = ".*".join(map(re.escape, line.split("...")))
                found = re.compile(pattern).search(output, at)
                assert found, f"{os.path.relpath(path, TOP)} promises this line:\n{line}\nbut the command printed:\n{output}"
                at = found.end()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: os.path.relpath(path, TOP))
def test_links_of(path):
    with open(path) as file:
        text = file.read()
    links = [link for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", text) if "://" not in link]
    broken = [link for link in links if not os.path.exists(os.path.join(os.path.dirname(path), link))]
    assert not broken


def test_help_names_every_target_that_contributing_names():
    """CONTRIBUTING.md and README.md speak of make targets; `make help` must know them all."""
    listed = subprocess.run(["make", "-s", "-C", TOP, "help"], capture_output=True, text=True, check=True).stdout
    for path in PAGES:
        with open(path) as file:
            prose = FENCE.sub("", file.read())
        commands = re.findall(r"`make ([a-z0-9-]+)", prose)
        for _, _, text in blocks(path):
            commands += re.findall(r"^make ([a-z0-9-]+)", text, re.M)
        for target in commands:
            assert f"make {target} " in listed, f"{path} names make {target}"
