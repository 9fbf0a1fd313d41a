"""A step can be pasted into a shell, and fails with its reason, its words and its command."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
import uuid

import pytest

from prism_edge.cluster.lock import machine_lock
from prism_edge.cluster.step import Step, run_step, tool_environment
from prism_edge.errors import LabError


def test_a_step_reads_as_shell() -> None:
    step = Step(argv=("sh", "-c", "echo 'a b' $HOME"), why="say it")
    assert shlex.split(str(step), comments=True) == ["sh", "-c", "echo 'a b' $HOME"]
    assert str(step).endswith("# say it")


def test_a_step_needs_a_program() -> None:
    with pytest.raises(ValueError, match="argv"):
        Step(argv=(), why="nothing")


def test_a_step_gives_its_output() -> None:
    assert run_step(Step(argv=("echo", "hello"), why="greet")) == "hello\n"


def test_a_failing_step_says_why_it_was_run_what_it_said_and_what_it_was() -> None:
    with pytest.raises(LabError, match=r"dig: no spade; the command was: sh -c"):
        run_step(Step(argv=("sh", "-c", "echo no spade >&2; exit 3"), why="dig"))
    with pytest.raises(LabError, match="dig: exit code 3"):
        run_step(Step(argv=("sh", "-c", "exit 3"), why="dig"))


def test_a_missing_program_says_what_to_install() -> None:
    with pytest.raises(LabError, match="no program 'no-such-ip'; install iproute2"):
        run_step(Step(argv=("no-such-ip",), why="dig"))


def test_system_directories_are_looked_in() -> None:
    assert {"/usr/sbin", "/sbin"} <= set(tool_environment()["PATH"].split(":"))


def test_the_lock_is_held_by_one_and_given_back() -> None:
    name = f"test-{uuid.uuid4()}"
    with (
        machine_lock(1, name),
        pytest.raises(LabError, match=r"running for 0.1 s"),
        machine_lock(0.1, name),
    ):
        pass
    with machine_lock(0.1, name):
        pass


def test_the_lock_of_a_dead_process_is_free() -> None:
    name = f"test-{uuid.uuid4()}"
    code = (
        "import os, sys; from prism_edge.cluster.lock import machine_lock\n"
        f"with machine_lock(1, {name!r}): print('held', flush=True); sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(LabError), machine_lock(0.1, name):
            pass
        holder.kill()
        holder.wait()
        with machine_lock(10, name):
            pass


def test_locks_leave_no_file() -> None:
    name = f"test-{uuid.uuid4()}"
    with (
        machine_lock(1, name),
        socket.socket(socket.AF_UNIX) as other,
        pytest.raises(OSError, match="in use"),
    ):
        other.bind(f"\0{name}")  # the name is taken although the file system holds nothing
