"""The house's own tools: each rule of the checks finds what it is for."""
import functools
import os
import re
import shutil
import subprocess
import time

import pytest

from lab.programs import TOP

FLOORS = "base:\nio: base\nnet: base io\nproxy: base io net\n"
GOOD = {
    "src/base/arena.h": "#pragma once\n",
    "src/base/arena.c": '#include "base/arena.h"\n#include <stdlib.h>\n',
    "src/io/loop.h": '#pragma once\n#include "base/arena.h"\n',
    "src/io/loop_internal.h": "#pragma once\n",
    "src/io/loop.c": '#include "io/loop.h"\n#include "io/loop_internal.h"\n',
    "src/net/conn.h": "#pragma once\n",
    "src/net/conn.c": '#include "net/conn.h"\n#include "io/loop.h"\n',
    "src/proxy/tcp/relay.h": "#pragma once\n",
    "src/proxy/listen/accept.h": '#pragma once\n#include "proxy/tcp/relay.h"\n',
}


def floors_of(tmp_path):
    for path, text in {"src/FLOORS": FLOORS, **GOOD}.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return subprocess.run([os.path.join(TOP, "script", "check-floors"), str(tmp_path)], capture_output=True, text=True)


def read(*path):
    with open(os.path.join(TOP, *path)) as file:
        return file.read()


def told_operators(part):
    return re.findall(r"`([A-Z][A-Z_0-9]+)`", part)


def test_the_page_of_access_logs_tells_which_operators_act():
    source, writer, page = read("src/build/format_operators.c"), read("src/proxy/observe/format_writer.c"), read("docs/reference/access-log.md")
    table = source[source.index("operators[] = {"):source.index("};", source.index("operators[] = {"))]
    fields = {**{name: name for name in re.findall(r"PLAIN\(([A-Z_0-9]+)\)", table)},
              **dict(re.findall(r'{"([A-Z_0-9]+)",\s*FORMAT_([A-Z_0-9]+),', table))}
    for name, field in re.findall(r'ADDRESS\("([A-Z_]+)", FORMAT_([A-Z_]+)\)', table):
        fields[name] = fields[name + "_WITHOUT_PORT"] = field
    silent = set(re.findall(r"case FORMAT_([A-Z_0-9]+):", writer[writer.index("not there in what this proxy does"):writer.index("/* --- programs ---")]))
    act, rest = page[page.index("## Operators that act"):].split("## Operators that are always")
    never = rest.split("## Response flags")[0]
    assert sorted(told_operators(act)) == sorted(name for name, field in fields.items() if field not in silent)
    assert sorted(told_operators(never)) == sorted(name for name, field in fields.items() if field in silent)


def test_the_page_of_access_logs_tells_which_flags_are_set():
    header, page = read("src/build/access_log.h"), read("docs/reference/access-log.md")
    known = set(re.findall(r"^    FLAG_([A-Z]+),", header, re.M))
    source = "".join(read(folder[len(TOP) + 1:], name) for folder, _, names in os.walk(os.path.join(TOP, "src", "proxy"))
                     for name in names if name.endswith(".c"))
    used = {flag for flag in known if re.search(rf"\bFLAG_{flag}\b", source)}
    happened, never = page[page.index("## Response flags"):].split("These of Envoy's never stand")
    assert set(re.findall(r"^\| `([A-Z]+)` ", happened, re.M)) == used
    assert set(re.findall(r"`([A-Z]+)`", never)) == known - used


def test_floors_hold_for_a_good_tree(tmp_path):
    done = floors_of(tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path, text, told", [
    ("src/base/arena.c", '#include "base/arena.h"\n#include "io/loop.h"\n', "src/base/arena.c:2: floor"),
    ("src/io/loop.c", '#include "io/loop.h"\n#include "net/conn.h"\n', "src/io/loop.c:2: floor"),
    ("src/net/conn.c", '#include "net/conn.h"\n#include "io/loop_internal.h"\n', "src/net/conn.c:2: internal"),
    ("src/net/conn.c", '#include "io/loop.h"\n#include "net/conn.h"\n', "src/net/conn.c:1: own"),
    ("src/net/conn.c", '#include "net/conn.h"\n#include "../io/loop.h"\n', "src/net/conn.c:2: path"),
    ("src/attic/x.h", "#pragma once\n", "src/attic/x.h:1: floor"),
    ("src/FLOORS", "base: io\nio: base\nnet: base io\nproxy: base io net\n", "src/FLOORS:1: order"),
])
def test_floors_find(tmp_path, path, text, told):
    floors_of(tmp_path)
    (tmp_path / path).parent.mkdir(exist_ok=True)
    (tmp_path / path).write_text(text)
    done = subprocess.run([os.path.join(TOP, "script", "check-floors"), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1 and told in done.stderr, done.stderr


def words_of(tmp_path, path, text):
    shutil.copytree(os.path.join(TOP, "script"), tmp_path / "script", ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    run = lambda *argv: subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True)  # noqa: E731
    run("git", "init", "-q")
    run("git", "add", "-A")
    return subprocess.run([tmp_path / "script" / "check-words"], capture_output=True, text=True)


@pytest.mark.parametrize("path, text, told", [
    ("tests/a.c", "int a; // why\n", "tests/a.c:1: comment"),
    ("tests/a.c", "/* " + "TO" + "DO: later */\n", "tests/a.c:1: marker"),
    ("tests/a.c", "int a; \n", "tests/a.c:1: end"),
    ("tests/a.c", "int a;\n\n", "tests/a.c: end"),
    ("tests/util.c", "int a;\n", "tests/util.c: name"),
    ("src/base/a.c", "int a;\n", "src/base: room"),
    ("src/base/a.h", "typedef struct a a_t;\n", "src/base/a.h:1: typedef"),
])
def test_words_find(tmp_path, path, text, told):
    done = words_of(tmp_path, path, text)
    assert done.returncode == 1 and told in done.stderr, done.stderr


def test_words_find_a_link_that_leads_out(tmp_path):
    (tmp_path / "environment").symlink_to("/somewhere/else")
    done = words_of(tmp_path, "tests/a.c", "int a;\n")
    assert done.returncode == 1 and "environment: path: a link to /somewhere/else" in done.stderr


@pytest.mark.parametrize("text", ["/* see https://example.com */\nint a;\n", 'char *a = "http://x";\n', "/* TO" "DO(#12): later */\n"])
def test_words_leave_alone(tmp_path, text):
    done = words_of(tmp_path, "tests/a.c", text)
    assert done.returncode == 0, done.stderr


def test_setup_has_nothing_to_do_and_says_nothing():
    started = time.monotonic()
    done = subprocess.run([os.path.join(TOP, "script", "setup"), "--offline"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert time.monotonic() - started < 3


def test_a_test_run_without_tests_is_a_failure(tmp_path):
    shutil.copytree(os.path.join(TOP, "script"), tmp_path / "script")
    done = subprocess.run([tmp_path / "script" / "run-tests", "fuzz"], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "0 passed, 1 failed"


# ---------------------------------------------------------------- hostile input

ROW = re.compile(r"\| ((SMG|HDR|PTH|H2|SLO|CFG|NET|RES)-\d\d) \| .* \| (.+?) \|")
NAMED = re.compile(r"(?:\b|_)(SMG|HDR|PTH|H2|SLO|CFG|NET|RES)([-_])(\d\d)(?!\d)", re.I)


@functools.lru_cache(None)
def rows_named_in(path):
    with open(os.path.join(TOP, path)) as file:
        found = NAMED.findall(file.read())
    return {f"{group.upper()}-{number}" for group, dash, number in found if dash == "-" and group.isupper() or dash == "_" and group.islower()}


def test_each_row_of_hostile_input_has_its_test_or_its_reason():
    """docs/reference/hostile-input.md tells the truth: the files that it names name the row, and no test names one that is not there."""
    with open(os.path.join(TOP, "docs", "reference", "hostile-input.md")) as file:
        rows = {match[1]: match[3] for match in map(ROW.match, file) if match}
    assert len(rows) > 180
    for row, held in rows.items():
        files = re.findall(r"`(tests/[^`]+)`", held)
        if not held.startswith("not yet: "):
            assert files and all(row in rows_named_in(path) for path in files), f"{row}: {held} does not name it"
    listed = subprocess.run(["git", "-C", TOP, "ls-files", "tests/e2e/*.py", "tests/unit"], capture_output=True, text=True, check=True).stdout.split()
    unknown = {row for path in listed for row in rows_named_in(path)} - set(rows)
    assert not unknown, f"tests name rows that the table lacks: {sorted(unknown)}"
