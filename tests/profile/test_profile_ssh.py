"""All boards are profiled from one command over SSH; a lost board is named and left clean."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import checkpoints
import pytest
from sshd import SshBoards, gone, ssh_boards

from prism_edge import tables
from prism_edge.cluster.lab import Lab
from prism_edge.cluster.modes import obstacle
from prism_edge.profile.place import board_hosts
from prism_edge.settings import read_settings

pytestmark = [
    *(pytest.mark.gloo, pytest.mark.lab, pytest.mark.ssh, pytest.mark.slow),
    pytest.mark.timeout(600),
]

ENGINE = "prism_edge.engine.main"


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


@pytest.fixture
def cluster(boards: SshBoards, tmp_path: Path) -> Path:
    """A cluster.toml of boards, as a user would write it, with a small model."""
    checkpoints.write(tmp_path / "vit", *checkpoints.vit())
    lines = ["[cluster]", 'name = "two"', 'kind = "boards"', 'profiles = "tables"']
    for board in boards.boards():
        lines += ["[[boards]]", f'name = "{board.name}"', f'address = "{board.address}"']
        lines += ['power = "none"', f'ssh = "{board.ssh}"', f'ssh_config = "{board.ssh_config}"']
        lines += [f'python = "{board.python}"']
    lines += ["[[models]]", 'name = "vit"', 'path = "vit"', "[link]", "rate_bps = 100e6"]
    path = tmp_path / "cluster.toml"
    path.write_text("\n".join(lines))
    return path


def profile_argv(cluster: Path, *options: str) -> list[str]:
    argv = [sys.executable, "-m", "prism_edge", "profile", "--cluster", str(cluster)]
    return [*argv, "--batches", "1", "--l", "2", *options]


def test_on_a_mesh_engines_are_to_meet_there(boards: SshBoards, cluster: Path) -> None:
    cluster.write_text(cluster.read_text() + '\n[mesh]\nsubnet = "10.99.0.0/24"\n')
    hosts = board_hosts(read_settings(cluster))
    assert [host.address for host in hosts] == ["10.99.0.1", "10.99.0.2"]
    assert [host.target for host in hosts] == [board.ssh for board in boards.boards()]


def test_two_boards_are_profiled_from_one_command(boards: SshBoards, cluster: Path) -> None:
    argv = profile_argv(cluster, "--quick", "--json")
    done = subprocess.run(argv, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["directory"] == str(cluster.parent / "tables")
    profile = tables.read(cluster.parent / "tables")
    assert (profile.cluster, profile.kind) == ("two", "boards")
    assert profile.link_description == "nominally 100mbit, the boards' own network"
    assert [board.name for board in profile.boards] == ["edge-1", "edge-2"]
    assert [board.facts["cores"] for board in profile.boards] == ["1", "1"]
    assert {row.board for row in profile.compute} == {"edge-1", "edge-2"}
    assert profile.link
    assert {row.plan for row in profile.request} >= {"local", "voltage:p=2,dtype=fp32"}
    assert not any("emulated" in text for text in profile.warnings)
    for board in boards.boards():
        assert gone(boards, board.name, ENGINE)


def test_a_board_lost_half_way_is_named_and_no_engine_is_left(
    boards: SshBoards, cluster: Path
) -> None:
    """And the profile goes on where it was when the board is back."""
    argv, pipe = profile_argv(cluster, "--quick"), subprocess.PIPE
    boards.lab.set_link(
        "edge-2", rate_bps=1e6
    )  # what it exchanges lasts longer than any delay here
    with subprocess.Popen(argv, stdout=pipe, stderr=pipe, text=True) as command:
        try:
            until_s = time.monotonic() + 280
            while not (engines := boards.running("edge-2", ENGINE)):
                assert command.poll() is None, command.communicate()
                assert time.monotonic() < until_s
                time.sleep(0.05)
            assert command.stderr is not None
            progress = command.stderr.readline()  # it is measuring
            assert " %  " in progress, progress + command.stderr.read()
            for pid in boards.running("edge-2", "sshd: root@notty"):
                with contextlib.suppress(ProcessLookupError):  # of an earlier session, and ending
                    os.kill(pid, signal.SIGKILL)
            _, said = command.communicate(timeout=280)
        finally:
            command.kill()
            boards.lab.set_link("edge-2", rate_bps=100e6)
    assert engines
    assert command.returncode == 1, said
    assert said.rpartition("error: ")[2].startswith("not finished: board edge-2: ")
    assert "its SSH connection is lost: is the board on" in said
    assert "Traceback" not in said
    for board in boards.boards():
        assert gone(boards, board.name, ENGINE)
    resumed = [*argv, "--resume"]
    done = subprocess.run(resumed, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    assert {row.board for row in tables.read(cluster.parent / "tables").compute} == {
        "edge-1",
        "edge-2",
    }
