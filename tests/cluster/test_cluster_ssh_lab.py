"""Commands on lab boards behind a real sshd: they run, and nothing of them outlives who asked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sshd import PORT, SshBoards, gone, ssh_boards

from prism_edge.cluster.lab import Lab
from prism_edge.cluster.modes import obstacle
from prism_edge.cluster.ready import ready
from prism_edge.cluster.ssh import SshHost
from prism_edge.errors import ClusterError

pytestmark = [pytest.mark.lab, pytest.mark.ssh]
KILLED = 128 + signal.SIGKILL


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshBoards]:
    refused = obstacle("root")
    if refused is not None:
        pytest.skip(refused)
    lab = Lab.up("t", 2, 100e6, mode="root", root=tmp_path_factory.mktemp("labs"))
    try:
        with ssh_boards(lab, tmp_path_factory.mktemp("ssh")) as found:
            yield found
    finally:
        lab.down()


@pytest.fixture(scope="module")
def two(boards: SshBoards) -> SshHost:
    return ready(boards.boards()[1], [])


# -- a board is a host -------------------------------------------------------------------------


def test_a_command_runs_on_the_board(boards: SshBoards, two: SshHost) -> None:
    code = (
        "import json, os, sys\n"
        "print(json.dumps([os.environ['SSH_CONNECTION'].split()[2], os.environ['KEY'],\n"
        "                  sorted(os.sched_getaffinity(0)), sys.argv[1]]))"
    )
    argv = [sys.executable, "-c", code, "$HOME 'x' \"y\"\n"]
    with two.popen(argv, env={"KEY": "a b"}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        found = json.load(process.stdout)
    assert process.returncode == 0
    board = boards.lab.state.board("edge-2")
    assert found == [board.address, "a b", [board.core], "$HOME 'x' \"y\"\n"]


def test_output_and_exit_code_come_back(two: SshHost) -> None:
    done = two.run(["sh", "-c", "echo out; echo err >&2; cat; exit 7"], 60)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    done = two.run(["no-such-program"], 60)
    assert done.returncode == 127
    assert "cannot start 'no-such-program'" in done.stderr


def test_bytes_pass_both_ways_unchanged_until_stdin_ends(two: SshHost) -> None:
    data = os.urandom(300_000)
    with two.popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        out, _ = process.communicate(data, timeout=60)
    assert (out, process.returncode) == (data, 0)


def test_a_file_can_be_its_stdin(two: SshHost, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in a file")
    with (
        (tmp_path / "file").open("rb") as file,
        two.popen(["cat"], stdin=file, stdout=subprocess.PIPE) as process,
    ):
        assert process.communicate(timeout=60)[0] == b"in a file"


def test_a_host_of_the_users_configuration_is_reached_through_another(
    boards: SshBoards, tmp_path: Path
) -> None:
    one, two = boards.boards()
    config = tmp_path / "config"
    config.write_text(
        f"Host second\n HostName {two.address}\n Port {PORT}\n User root\n"
        f" ProxyJump root@{one.address}:{PORT}\nHost *\n{boards.config.read_text()}"
    )
    host = ready(replace(two, ssh="second", ssh_config=config), [])
    done = host.run(["sh", "-c", "echo $SSH_CONNECTION"], 60)
    came_from, _, arrived_at, _ = done.stdout.split()
    assert (came_from, arrived_at) == (one.address, two.address)


# -- nothing is left ---------------------------------------------------------------------------


def started(host: SshHost, seconds: int) -> subprocess.Popen[bytes]:
    """A process on the board that would last, and has begun."""
    process = host.popen(
        ["sh", "-c", f"echo begun; sleep {seconds}; true"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"begun\n"
    return process


def test_a_command_that_does_not_end_is_killed_there(boards: SshBoards, two: SshHost) -> None:
    with pytest.raises(ClusterError, match=r"board edge-2: no end after 3 s: sleep 601"):
        two.run(["sleep", "601"], 3)
    assert gone(boards, "edge-2", "sleep 601")


def test_killing_ssh_here_kills_the_command_there(boards: SshBoards, two: SshHost) -> None:
    with started(two, 602) as process:
        assert boards.running("edge-2", "sleep 602")
        process.kill()
    assert gone(boards, "edge-2", "sleep 602")


def test_a_session_that_is_killed_there_takes_the_command_along(
    boards: SshBoards, two: SshHost
) -> None:
    with started(two, 603) as process:
        for pid in boards.running("edge-2", "sshd: root"):
            with contextlib.suppress(ProcessLookupError):  # of an earlier session, and ending
                os.kill(pid, signal.SIGKILL)
        assert process.wait(60) == 255
    assert gone(boards, "edge-2", "sleep 603")


HOLDER = """
import subprocess, sys, time
from pathlib import Path
from prism_edge.cluster.ssh import SshHost
name, address, target, python, config = sys.argv[1:]
host = SshHost(name=name, address=address, target=target, python=python, config=Path(config))
process = host.popen(["sh", "-c", "echo begun; sleep 604; true"], stdin=subprocess.PIPE)
process.wait()
"""


def test_nothing_outlives_the_process_here_that_asked(boards: SshBoards, two: SshHost) -> None:
    words = [two.name, two.address, two.target, two.python, str(two.config)]
    argv = [sys.executable, "-c", HOLDER, *words]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"begun\n"
        holder.kill()
    assert gone(boards, "edge-2", "sleep 604")


def test_nothing_outlives_a_laptop_that_vanished(boards: SshBoards, two: SshHost) -> None:
    """No packet says goodbye: the board notices by the silence, and so does this side."""
    quick, code = replace(two, beat_s=0.5), KILLED
    while code == KILLED:  # there, while it could still be told here: this process was held up
        with started(quick, 605) as process:
            boards.lab.set_link("edge-2", up=False)
            try:
                assert gone(boards, "edge-2", "sleep 605")
                code = process.wait(60)
            finally:
                boards.lab.set_link("edge-2", up=True)
    assert code == 255


def test_control_a_plain_ssh_leaves_its_command_behind(boards: SshBoards, two: SshHost) -> None:
    """What the lifeline is for: sshd closes the session, and the command goes on."""
    argv = two.command(["true"])
    argv[-1] = "echo begun; exec sleep 606 >/dev/null 2>&1"
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        process.kill()
    left = boards.running("edge-2", "sleep 606")
    assert left
    assert gone(boards, "edge-2", "sshd: root@notty")
    assert boards.running("edge-2", "sleep 606") == left
    for pid in left:
        os.kill(pid, signal.SIGKILL)
