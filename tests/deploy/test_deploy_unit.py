"""The unit and the daemon agree on places and times."""

from __future__ import annotations

import shlex

import pytest

from prism_edge.deploy import paths
from prism_edge.deploy.sources import source
from prism_edge.serve.daemon import DRAIN_S, LAST_BYTES_S
from prism_edge.serve.supervisor import STUCK_S


@pytest.fixture(scope="module")
def unit() -> dict[str, list[str]]:
    """What it sets, by name; what is set several times adds up."""
    found: dict[str, list[str]] = {}
    for line in source("prism-edge.service").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


def test_it_runs_the_current_release_of_this_board(unit: dict[str, list[str]]) -> None:
    argv = shlex.split(unit["ExecStart"][0])
    assert argv == [
        f"{paths.CURRENT}/venv/bin/prism-edge",
        "serve",
        *("--cluster", f"{paths.CURRENT}/etc/cluster.toml"),
        *("--board", "${PRISM_EDGE_BOARD}"),
        *("--journal", paths.JOURNAL),
    ]
    assert unit["EnvironmentFile"] == [f"{paths.CURRENT}/etc/board.env"]
    assert unit["ConditionPathExists"] == [paths.CURRENT]
    assert unit["User"] == unit["Group"] == [paths.USER]
    assert f"/var/lib/{unit['StateDirectory'][0]}" == paths.STATE


def test_it_waits_as_long_as_the_daemon_takes(unit: dict[str, list[str]]) -> None:
    assert float(unit["TimeoutStopSec"][0]) > DRAIN_S + LAST_BYTES_S
    assert float(unit["WatchdogSec"][0]) >= 10
    assert float(unit["TimeoutStartSec"][0]) > 3 * STUCK_S


def test_it_hides_no_device_and_forbids_no_compiled_kernel(unit: dict[str, list[str]]) -> None:
    """Each of these has been seen or is documented to keep an engine from its work."""
    harmful = {
        "PrivateDevices",
        "DevicePolicy",
        "DeviceAllow",
        "ProtectClock",
        "MemoryDenyWriteExecute",
        "SupplementaryGroups",
        "ProcSubset",
    }
    assert not harmful & set(unit)
    assert "AF_NETLINK" in unit["RestrictAddressFamilies"][0]
    assert any("sched_setscheduler" in allowed for allowed in unit["SystemCallFilter"])
