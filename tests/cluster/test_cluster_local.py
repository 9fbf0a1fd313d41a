"""A local host runs, pins, times out and leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prism_edge.cluster.host import Host
from prism_edge.cluster.local import LocalHost, kill_group
from prism_edge.cluster.processes import stat
from prism_edge.errors import ClusterError

HERE = LocalHost(name="here")


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_it_is_a_host() -> None:
    host: Host = HERE
    assert (host.name, host.address) == ("here", "127.0.0.1")


def test_output_and_exit_code_come_back() -> None:
    done = HERE.run(["sh", "-c", "echo out; echo err >&2; exit 7"], 60)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")


def test_output_that_is_not_text_does_not_break() -> None:
    assert HERE.run(["printf", r"\377ok"], 60).stdout == "\ufffdok"


def test_the_program_runs_on_the_hosts_core_alone() -> None:
    core = max(os.sched_getaffinity(0))
    code = "import os, json; print(json.dumps(sorted(os.sched_getaffinity(0))))"
    pinned = LocalHost(name="pinned", core=core)
    assert json.loads(pinned.run(python(code), 60).stdout) == [core]
    free = json.loads(HERE.run(python(code), 60).stdout)
    assert free == sorted(os.sched_getaffinity(0))


def test_the_environment_is_the_callers_then_the_hosts_then_the_calls(tmp_path: Path) -> None:
    host = LocalHost(name="h", env={"A": "host", "B": "host"}, bin_dir=tmp_path)
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho $A $B $HOME\n")
    tool.chmod(0o755)
    with host.popen(["tool"], env={"B": "call"}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read().decode().split() == ["host", "call", os.environ["HOME"]]
    assert "A" not in os.environ


def test_a_prefix_leads_into_the_host() -> None:
    host = LocalHost(name="h", core=min(os.sched_getaffinity(0)), enter=("env", "INSIDE=yes"))
    assert host.run(["sh", "-c", "echo $INSIDE"], 60).stdout == "yes\n"
    assert host.command(["true"])[:3] == ["env", "INSIDE=yes", "taskset"]


def test_the_pid_is_the_programs_own_and_leads_its_group() -> None:
    """nsenter, taskset and the like exec: killing the pid kills the program, not a wrapper."""
    host = LocalHost(name="h", core=min(os.sched_getaffinity(0)), enter=("env", "X=1"))
    code = "import os; print(os.getpid(), os.getpgid(0), os.getsid(0))"
    with host.popen(python(code), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read().decode().split() == [str(process.pid)] * 3


def test_a_command_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    children = tmp_path / "child"
    children.touch()
    shell = f"sleep 600 & echo $! >{children}; wait"
    limit_s = 0.25
    while not children.read_text():  # a busy machine may not come so far in that time
        limit_s *= 2
        with pytest.raises(ClusterError, match=rf"host here: no end after {limit_s:g} s: sh -c"):
            HERE.run(["sh", "-c", shell], limit_s)
    while stat(int(children.read_text())) is not None:
        time.sleep(0.01)


def test_a_group_is_killed_and_reaped_even_twice() -> None:
    with HERE.popen(["sleep", "600"]) as process:
        kill_group(process)
        assert process.returncode == -signal.SIGKILL
        kill_group(process)


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ClusterError, match="host here: cannot start 'no-such-program'"):
        HERE.run(["no-such-program"], 10)


def test_an_empty_command_is_refused() -> None:
    with pytest.raises(ClusterError, match="no command"):
        HERE.run([], 1)
