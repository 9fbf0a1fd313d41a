"""Conditions are read from the board they are about, and left out where they cannot be read."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from prism_edge.cluster.local import LocalHost
from prism_edge.errors import ClusterError
from prism_edge.profile.conditions import board_facts, facts_of, hardware, load_average

CPUINFO = "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n\nmodel name\t: AMD EPYC\n"


def machine(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_dash_", "-")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_a_board_is_called_by_its_device_tree(tmp_path: Path) -> None:
    machine(tmp_path, proc__cpuinfo=CPUINFO)
    assert hardware(tmp_path) == "AMD EPYC"
    (tmp_path / "proc/device-tree").mkdir()
    (tmp_path / "proc/device-tree/model").write_bytes(b"NVIDIA Jetson Orin Nano\0")
    assert hardware(tmp_path) == "NVIDIA Jetson Orin Nano"


def test_facts_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    facts = board_facts(tmp_path)
    assert "governor" not in facts
    assert facts["python"] == platform.python_version()
    assert all(facts.values())
    machine(tmp_path, sys__devices__system__cpu__cpu0__cpufreq__scaling_governor="schedutil\n")
    assert board_facts(tmp_path)["governor"] == "schedutil"


def test_the_load_is_that_of_the_last_minute(tmp_path: Path) -> None:
    machine(tmp_path, proc__loadavg="0.52 1.10 2.20 1/123 4567\n")
    assert load_average(tmp_path) == "0.52"
    assert load_average(tmp_path / "nowhere") == ""


def test_a_host_is_asked_for_its_own_facts() -> None:
    core = min(os.sched_getaffinity(0))
    facts = facts_of(LocalHost(name="edge-1", core=core))
    assert facts["cores"] == "1"
    assert facts["kernel"] == platform.release()


def test_a_host_without_prism_edge_is_named() -> None:
    host = LocalHost(name="edge-7", env={"PYTHONHOME": "/nowhere"})
    with pytest.raises(ClusterError, match=r"board edge-7: .*is prism-edge installed there"):
        facts_of(host)
