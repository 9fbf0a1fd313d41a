"""``prism-edge lab`` as people run it; paced, so that it needs no privileges."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Run]:
    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "prism_edge", "lab", *argv],
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, "XDG_STATE_HOME": str(tmp_path), "COLUMNS": "120"},
        )

    yield run
    run("down")


def test_a_life(lab: Run, tmp_path: Path) -> None:
    up = lab("up", "--mode", "paced", "--boards", "2", "--rate", "20mbit")
    assert up.returncode == 0, up.stderr
    assert "not by the kernel" in up.stderr
    assert "mode paced" in up.stdout
    assert "modelled from CPU time, not measured" in up.stdout

    link = lab("link", "edge-2", "--rate", "1.5mbit", "--down")
    assert (link.returncode, link.stdout) == (0, "edge-2: 1.5mbit, down\n")

    status = json.loads(lab("status", "--json").stdout)
    assert status["mode"] == "paced"
    assert [(b["rate_bps"], b["up"]) for b in status["boards"]] == [(20e6, True), (1.5e6, False)]
    assert Path(status["cluster_toml"]).is_file()
    assert "DOWN" in lab("status").stdout

    again = lab("up", "--mode", "paced")
    assert again.returncode == 1
    assert "error: lab 'lab' exists already" in again.stderr

    assert lab("down").stdout == "lab lab is down\n"
    gone = lab("down")
    assert (gone.returncode, gone.stdout) == (0, "no lab lab; nothing to do\n")
    assert lab("status").returncode == 1


def test_exec_is_the_command_itself(lab: Run) -> None:
    assert lab("up", "--mode", "paced").returncode == 0
    done = lab("exec", "edge-2", "--", "sh", "-c", "echo $PRISM_EDGE_LAB; echo e >&2; exit 7")
    assert done.returncode == 7
    assert done.stdout.endswith("/edge-2\n")
    assert done.stderr == "e\n"
    assert lab("exec", "edge-2", "--", "sh", "-c", "kill -9 $$").returncode == -9
    assert lab("exec", "laptop", "--", "echo", "--json", "-h").stdout == "--json -h\n"
    assert lab("exec", "edge-1", "--", "which", "tegrastats").stdout.endswith("bin/tegrastats\n")


def test_a_board_is_loaded_until_it_is_freed(lab: Run) -> None:
    def counts() -> list[int]:
        boards = json.loads(lab("status", "--json").stdout)["boards"]
        return [board["processes"] for board in boards]

    assert lab("up", "--mode", "paced").returncode == 0
    shown = lab("load", "edge-2", "--share", "0.25")
    assert (shown.returncode, shown.stdout) == (0, "edge-2: 75% of its core is left\n")
    assert counts() == [0, 1]
    assert lab("load", "edge-2", "--share", "0.5").returncode == 0  # instead, not besides
    assert counts() == [0, 1]
    assert lab("load", "edge-2", "--off").stdout == "edge-2: all of its core is left\n"
    assert counts() == [0, 0]


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (("load", "edge-1"), 2, "give either --share or --off"),
        (("load", "edge-1", "--share", "0.9"), 2, "share 0.9"),
        (("load", "edge-1", "--off"), 1, "no lab 'lab'"),
        (("up", "--rate", "fast"), 2, "rate 'fast' is not understood"),
        (("up", "--rate", "1bit"), 2, "out of range"),
        (("up", "--wireguard", "--mode", "paced"), 1, "mode paced has no network"),
        (("up", "--mode", "vm"), 2, "allowed are auto, root, rootless, paced"),
        (("up", "--boards", "0", "--mode", "paced"), 2, "allowed are 1 to 8"),
        (("up", "--boards", "many"), 2, "'--boards'"),
        (("up", "--name", "../x", "--mode", "paced"), 2, "lab name '../x'"),
        (("status",), 1, "no lab 'lab'"),
        (("link", "edge-1", "--up"), 1, "no lab 'lab'"),
        (("link", "edge-1"), 2, "nothing to change"),
        (("exec", "edge-1", "--", "true"), 1, "no lab 'lab'"),
        (("down", "--dry-run"), 1, "no lab 'lab'"),
        (("exec", "edge-1"), 2, "Missing argument"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(
    lab: Run, tmp_path: Path, argv: tuple[str, ...], code: int, says: str
) -> None:
    done = lab(*argv)
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("state.json"))


def test_misuse_of_a_lab_that_is_there(lab: Run) -> None:
    assert lab("up", "--mode", "paced").returncode == 0
    for argv, code, says in [
        (("link", "edge-9", "--down"), 1, "no board 'edge-9'; there are edge-1, edge-2"),
        (("link", "laptop", "--down"), 1, "no board 'laptop'"),
        (("link", "edge-1", "--rate", "20mbps"), 2, "rate '20mbps'"),
        (("exec", "edge-9", "--", "true"), 1, "no board 'edge-9'"),
        (("exec", "laptop", "--", "no-such-program"), 1, "no program 'no-such-program'"),
    ]:
        done = lab(*argv)
        assert (done.returncode, says in done.stderr) == (code, True), done.stderr
        assert "Traceback" not in done.stderr


def test_a_dry_run_changes_nothing(lab: Run, tmp_path: Path) -> None:
    assert lab("up", "--mode", "paced", "--dry-run").returncode == 0
    assert list(tmp_path.iterdir()) == []
    assert lab("up", "--mode", "paced").returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert lab("link", "edge-1", "--down", "--dry-run").returncode == 0
    down = lab("down", "--dry-run")
    assert "rm -r " in down.stdout
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.lab
@pytest.mark.parametrize("mode", ["root", "rootless"])
def test_a_dry_run_shows_the_commands(lab: Run, tmp_path: Path, mode: str) -> None:
    shown = lab("up", "--mode", mode, "--boards", "3", "--dry-run")
    if shown.returncode:
        pytest.skip(shown.stderr)
    assert shown.stdout.count("unshare") == 4
    assert shown.stdout.count(" tbf ") == 6
    assert "$EDGE_3" in shown.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["up", "down", "status", "link", "load", "exec"])
def test_help_has_an_example(lab: Run, verb: str) -> None:
    shown = lab(verb, "--help")
    assert shown.returncode == 0
    assert f"Example: prism-edge lab {verb}" in shown.stdout
