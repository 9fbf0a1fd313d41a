"""WireGuard between the boards of a lab: its steps, and real tunnels."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from lab_traffic import receiver_on, send_argv

from prism_edge.cluster import build
from prism_edge.cluster.lab import Lab
from prism_edge.cluster.modes import obstacle, require_wireguard
from prism_edge.cluster.state import LabState, Mode, from_json, plan_state, to_json
from prism_edge.cluster.tunnel import MESH, keys_step, tunnel_step
from prism_edge.errors import LabError

PIDS = {"switch": "100", "edge-1": "101", "edge-2": "102", "edge-3": "103"}
KEYS = {"edge-1": "ONE=", "edge-2": "TWO=", "edge-3": "THREE="}
DIRECTORY = Path("/labs/lab")


def state() -> LabState:
    return plan_state(
        name="lab",
        mode="root",
        token="0123456789abcdef",
        boot_id="boot",
        subnet=3,
        boards=3,
        rate_bps=100e6,
        cores=(0, 7),
        wireguard=True,
    )


def test_a_tunnel_is_remembered_and_older_labs_have_none() -> None:
    assert from_json(to_json(state()), DIRECTORY) == state()
    older = json.loads(to_json(state()))
    del older["wireguard"]
    assert from_json(json.dumps(older), DIRECTORY) == replace(state(), wireguard=False)


def test_a_board_lets_every_other_in_with_its_own_address_only() -> None:
    lab = state()
    argv = tunnel_step(lab, lab.boards[1], DIRECTORY, PIDS, KEYS).argv
    assert " ".join(argv).endswith(
        "/labs/lab/edge-2.key prism0 10.99.0.2/24 1420 listen-port 51820 "
        "peer ONE= allowed-ips 10.99.0.1/32 endpoint 10.77.3.1:51820 "
        "peer THREE= allowed-ips 10.99.0.3/32 endpoint 10.77.3.3:51820"
    )
    assert argv[argv.index("--target") + 1] == "102"


def test_a_tunnel_takes_its_time_from_the_boards_own_core() -> None:
    lab = state()
    for board in lab.boards:
        argv = tunnel_step(lab, board, DIRECTORY, PIDS, KEYS).argv
        assert argv[argv.index("--cpu-list") + 1] == str(board.core)


@pytest.mark.wireguard
def test_only_the_owner_reads_a_private_key(tmp_path: Path) -> None:
    step = keys_step(state().boards[0], tmp_path)
    public = subprocess.run(step.argv, check=True, capture_output=True, text=True).stdout
    key = tmp_path / "edge-1.key"
    assert key.stat().st_mode & 0o777 == 0o600
    told = subprocess.run(["wg", "pubkey"], input=key.read_text(), capture_output=True, text=True)
    assert told.stdout == public != key.read_text()


def test_without_a_network_there_is_no_tunnel() -> None:
    with pytest.raises(LabError, match="mode paced has no network"):
        require_wireguard("paced")


@pytest.mark.lab
@pytest.mark.wireguard
@pytest.mark.parametrize("mode", ["root", "rootless"])
def test_boards_reach_each_other_through_it_and_nothing_is_left(mode: Mode, tmp_path: Path) -> None:
    if refused := obstacle(mode):
        pytest.skip(refused)
    lab = Lab.up("t", 2, 100e6, mode=mode, wireguard=True, root=tmp_path)
    try:
        one, two = lab.hosts()
        assert lab.status().mesh == MESH.subnet
        for source, target, number in [(one, two, 1), (two, one, 0)]:
            with receiver_on(target) as port:
                done = source.run(send_argv(MESH.address(number), port, 1_000_000, 1), 60)
                assert done.returncode == 0, done.stderr
    finally:
        lab.down()
    assert build.lab_processes(lab.state) == set()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.lab
def test_what_is_missing_is_named_with_its_package(tmp_path: Path) -> None:
    """Hidden by a mount of its own where it is there."""
    if refused := obstacle("root"):
        pytest.skip(refused)
    hide = "for file; do ! [ -e $file ] || mount --bind /dev/null $file; done\n"
    up = f"exec {sys.executable} -m prism_edge lab up --mode root --wireguard"
    places = [f"/{bin}/wg" for bin in ("usr/bin", "usr/local/bin", "usr/sbin")]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", hide + up, "sh", *places],
        capture_output=True,
        text=True,
        env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
    )
    assert done.returncode == 1
    assert "no program wg" in done.stderr
    assert "install the packages wireguard-tools" in done.stderr
    assert list(tmp_path.iterdir()) == []
