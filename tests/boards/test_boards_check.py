"""``prism-edge check`` over SSH: one board looks like an Orin Nano, and things go wrong on both."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from boards.desk import Desk
from boards.l4t import COMPATIBLE, MODEL, become_jetson
from boards.machine import Board
from boards.rootfs import PASSWORD, USER

pytestmark = [pytest.mark.boards, pytest.mark.timeout(300)]  # the root file system may be made

CLUSTER = """
[cluster]
name = "desk"
{mesh}
"""
BOARD = """
[[boards]]
name = "{name}"
address = "{address}"
power = "none"
ssh = "{user}@{address}"
ssh_config = "{config}"
"""


@pytest.fixture(scope="module")
def orin(desk: Desk) -> Board:
    """edge-1, which looks like an Orin Nano from now on, in its slowest mode."""
    board = desk.boards[0]
    board.power_off()
    become_jetson(board, mode=0)
    board.power_on()
    board.booted()
    return board


class Check:
    """The command, as a person runs it; what it said, by board."""

    def __init__(self, desk: Desk, directory: Path, mesh: str = "") -> None:
        config = desk.directory / "ssh_config"
        self.file = directory / "cluster.toml"
        self.file.write_text(
            CLUSTER.format(mesh=mesh)
            + "".join(
                BOARD.format(name=board.name, address=board.address, user=USER, config=config)
                for board in desk.boards
            )
        )

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "prism_edge", "check", "--cluster", str(self.file), *argv],
            env={**os.environ, "PRISM_EDGE_SUDO_PASSWORD": PASSWORD, "COLUMNS": "80"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def json(self, *argv: str, code: int) -> dict[str, Any]:
        done = self.run(*argv, "--json")
        assert done.returncode == code, done.stdout + done.stderr
        made: dict[str, Any] = json.loads(done.stdout)
        return made


@pytest.fixture
def check(desk: Desk, tmp_path: Path) -> Check:
    return Check(desk, tmp_path)


def found(made: dict[str, Any], board: int | None) -> dict[str, dict[str, Any]]:
    """The findings of a board, or of those between boards, by code."""
    listed = made["between"] if board is None else made["boards"][board]["findings"]
    return {item["code"]: item for item in listed}


@contextmanager
def doing(board: Board, begin: str, end: str) -> Iterator[None]:
    board.sh(begin)
    try:
        yield
    finally:
        board.sh(end)


def test_the_board_the_mode_and_the_findings_are_right(orin: Board, check: Check) -> None:
    made = check.json(code=3)
    first, second = (board["facts"] for board in made["boards"])
    assert first["identity"]["model"] == MODEL
    assert tuple(first["identity"]["compatible"]) == COMPATIBLE
    assert (first["identity"]["l4t"], first["identity"]["jetpack"]) == ("36.4.3", "6.2")
    assert first["power"]["current"] == "15W"
    assert first["power"]["default"] == "25W"
    assert first["power"]["offered"] == {"0": "15W", "1": "25W", "2": "MAXN_SUPER"}
    assert second["identity"]["model"] is None
    assert second["identity"]["jetpack"] is None

    low = found(made, 0)["mode-low"]
    assert low["severity"] == "warning"
    assert low["what"] == "power mode 15W, slower than 25W, the board's default"
    assert low["remedy"].endswith("$ sudo nvpmodel -m 1")
    torch = found(made, 0)["torch-missing"]
    assert torch["severity"] == "warning"
    assert "the torch for JetPack 6.2" in torch["remedy"]
    assert found(made, 1)["torch-missing"]["severity"] == "note"
    assert "mode-low" not in found(made, 1)
    assert set(found(made, None)) == {"no-mesh"}, "the ways between them are well"


def test_people_read_the_same(orin: Board, check: Check) -> None:
    done = check.run("--limit", "edge-1")
    assert done.returncode == 3, done.stderr
    said = " ".join(done.stdout.split())
    assert f"edge-1 warning {MODEL}, JetPack 6.2 (L4T 36.4.3)" in said
    assert "power mode 15W" in said
    assert "      $ sudo nvpmodel -m 1\n" in done.stdout
    assert "edge-2" not in done.stdout


TORCH = "/usr/local/lib/python3.11/dist-packages/torch"
NVIDIA = "2.5.0a0+872d972e41.nv24.8"
WITHOUT = f"""
mkdir -p {TORCH}
echo '__version__ = "{NVIDIA}"' >{TORCH}/__init__.py
echo 'def is_available(): return False' >{TORCH}/distributed.py
"""
METADATA = f"{TORCH}-{NVIDIA}.dist-info"
BROKEN = f"""
mkdir -p {TORCH} {METADATA}
printf 'Metadata-Version: 2.1\\nName: torch\\nVersion: {NVIDIA}\\n' >{METADATA}/METADATA
echo 'import ctypes; ctypes.CDLL("libcusparseLt.so.0")' >{TORCH}/__init__.py
"""


def test_a_torch_that_is_built_without_distributed(orin: Board, check: Check) -> None:
    with doing(orin, WITHOUT, f"rm -r {TORCH}"):
        made = check.json(code=1)
    alone = found(made, 0)["torch-no-distributed"]
    assert alone["severity"] == "blocked"
    assert alone["what"] == (
        f"distributed mode unavailable: this PyTorch ({NVIDIA}) was built without "
        f"torch.distributed/GLOO; local mode only"
    )
    assert alone["remedy"] == (
        "Fix: install the torch for JetPack 6.2 from the Jetson AI Lab community index, or build "
        "PyTorch with USE_DISTRIBUTED=1 USE_GLOO=1."
    )
    assert "torch-cpu-only" in found(made, 0)


def test_a_torch_that_lacks_a_library(orin: Board, check: Check) -> None:
    with doing(orin, BROKEN, f"rm -r {TORCH} {METADATA}"):
        made = check.json("--limit", "edge-1", code=1)
    broken = found(made, 0)["torch-broken"]
    assert broken["what"].startswith(f"torch {NVIDIA} is installed and does not work: OSError: ")
    assert "libcusparseLt.so.0" in broken["what"]
    assert "libcusparse-lt from NVIDIA" in broken["remedy"]


def test_an_unknown_l4t_is_told_and_not_guessed(orin: Board, check: Check) -> None:
    path = "/etc/nv_tegra_release"
    new = "# R41 (release), REVISION: 0.1, GCID: 1, BOARD: generic, EABI: aarch64"
    with doing(orin, f"cp {path} /tmp/old; echo '{new}' >{path}", f"mv /tmp/old {path}"):
        made = check.json("--limit", "edge-1", code=3)
    assert made["boards"][0]["facts"]["identity"]["jetpack"] is None
    assert "L4T 41.0.1 is in no table" in found(made, 0)["l4t-unknown"]["what"]


def test_a_name_that_means_loopback(orin: Board, check: Check) -> None:
    line = "s/^.* edge-1$/127.0.1.1 edge-1/"
    with doing(
        orin, f"cp /etc/hosts /tmp/old; sed -i '{line}' /etc/hosts", "cp /tmp/old /etc/hosts"
    ):
        made = check.json("--limit", "edge-1", code=3)
    assert found(made, 0)["name-is-loopback"]["severity"] == "note"


def test_a_mesh_without_a_firewall(orin: Board, desk: Desk, tmp_path: Path) -> None:
    check = Check(desk, tmp_path, mesh='[mesh]\nsubnet = "10.99.0.0/24"')
    made = check.json(code=3)
    for board in (0, 1):
        assert {"firewall-absent", "mesh-userspace"} <= set(found(made, board))
    rules = "nft 'add table inet t; add chain inet t i { type filter hook input priority 0; }; "
    rules += "add rule inet t i udp dport 9 drop'"
    with doing(orin, rules, "nft delete table inet t"):
        made = check.json(code=3)
    assert "firewall-absent" not in found(made, 0)
    assert "firewall-absent" in found(made, 1)


def test_a_port_that_is_dropped_is_a_way_that_is_lost(orin: Board, check: Check) -> None:
    rules = "nft 'add table inet t; add chain inet t i { type filter hook input priority 0; }; "
    rules += "add rule inet t i tcp dport 8000 drop'"
    with doing(orin, rules, "nft delete table inet t"):
        made = check.json(code=1)
    lost = found(made, None)["way-lost"]
    assert lost["what"].startswith(f"edge-2 does not reach edge-1 at {orin.address}, port 8000")
    assert len(made["between"]) == 2, "and the mesh that is not there"


def test_a_board_whose_cable_is_out_and_the_other_is_checked(
    orin: Board, desk: Desk, check: Check
) -> None:
    desk.boards[1].cut()
    try:
        made = check.json(code=1)
    finally:
        desk.boards[1].mend()
    assert made["boards"][0]["facts"]["identity"]["model"] == MODEL
    assert set(found(made, 1)) == {"unreachable"}
    assert made["boards"][1]["facts"] is None


def test_a_service_that_does_not_run_and_a_release_on_trial(orin: Board, check: Check) -> None:
    begin = """
    set -e
    mkdir -p /opt/prism-edge/releases/0.1.0-aaaaaaaa
    ln -sfn releases/0.1.0-aaaaaaaa /opt/prism-edge/current
    echo '0.1.0-aaaaaaaa - -' >/opt/prism-edge/pending
    printf '[Service]\\nExecStart=/bin/false\\n' >/etc/systemd/system/prism-edge.service
    systemctl daemon-reload
    systemctl start prism-edge; until systemctl is-failed prism-edge >/dev/null; do sleep 0.1; done
    """
    end = """
    systemctl reset-failed prism-edge; rm -r /opt/prism-edge /etc/systemd/system/prism-edge.service
    systemctl daemon-reload
    """
    with doing(orin, begin, end):
        made = check.json("--limit", "edge-1", code=1)
    down = found(made, 0)["service-down"]
    assert down["what"] == "release 0.1.0-aaaaaaaa is there and its service is failed"
    assert "0.1.0-aaaaaaaa was switched to" in found(made, 0)["release-pending"]["what"]
    assert "service-disabled" in found(made, 0)


def test_fix_shows_then_repairs_and_looks_again(orin: Board, check: Check) -> None:
    with doing(orin, "useradd --system --groups video prism-edge", "userdel prism-edge"):
        dry = check.run("--limit", "edge-1", "--fix", "--dry-run")
        assert "usermod -aG render prism-edge; fi" in dry.stdout
        assert orin.sh("id -nG prism-edge").split() == ["prism-edge", "video"]

        done = check.run("--limit", "edge-1", "--fix", "--json")
        assert "usermod -aG render prism-edge; fi" in done.stderr
        assert orin.sh("id -nG prism-edge").split() == ["prism-edge", "video", "render"]
        made = json.loads(done.stdout)
        repairs = {item["code"]: item for item in made["boards"][0]["repairs"]}
        assert repairs["service-groups"]["error"] is None
        assert not repairs["service-groups"]["still_found"]
        assert "service-groups" not in found(made, 0)


def test_without_the_password_what_root_sees_is_left_out_and_said(
    orin: Board, check: Check
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "prism_edge", "check", "--cluster", str(check.file), "--json"],
        env={key: value for key, value in os.environ.items() if key != "PRISM_EDGE_SUDO_PASSWORD"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    made = json.loads(done.stdout)
    assert made["boards"][0]["facts"]["network"]["firewall"] is None
    assert found(made, 0)["no-root"]["severity"] == "note"
