"""The files of a lab are what the rest of prism-edge reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from prism_edge.cluster.files import cluster_toml, pace, tegrastats_script
from prism_edge.cluster.shaping import Link
from prism_edge.cluster.state import LabState, Mode, plan_state
from prism_edge.settings import read_settings


def state(mode: Mode) -> LabState:
    return plan_state(
        name="my-lab",
        mode=mode,
        token="0123456789abcdef",
        boot_id="boot",
        subnet=3,
        boards=2,
        rate_bps=800e3,
        cores=(0,),
    )


@pytest.mark.parametrize(("mode", "kind"), [("root", "lab"), ("rootless", "lab")])
def test_the_settings_file_is_valid_and_says_that_it_is_a_lab(
    mode: Mode, kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(cluster_toml(state(mode), tmp_path / "pace.json"))
    settings = read_settings(path)
    assert (settings.name, settings.kind, settings.leader) == ("my-lab", kind, "edge-1")
    assert [board.address for board in settings.boards] == ["10.77.3.1", "10.77.3.2"]
    assert {board.power for board in settings.boards} == {"modelled"}
    assert settings.profiles == tmp_path / "profiles"
    assert settings.models == ()
    assert settings.link.rate_bps == 800e3
    assert settings.link.pace_file is None


def test_the_settings_of_a_lab_with_wireguard_have_its_mesh(tmp_path: Path) -> None:
    path = tmp_path / "cluster.toml"
    path.write_text(cluster_toml(replace(state("root"), wireguard=True), tmp_path / "pace.json"))
    settings = read_settings(path)
    assert [settings.data_address(board.name) for board in settings.boards] == [
        "10.99.0.1",
        "10.99.0.2",
    ]
    assert [board.address for board in settings.boards] == ["10.77.3.1", "10.77.3.2"]


def test_a_paced_lab_names_its_pace_file_whatever_it_is_called(tmp_path: Path) -> None:
    odd = tmp_path / 'a "quoted" name' / "pace.json"
    path = tmp_path / "cluster.toml"
    path.write_text(cluster_toml(state("paced"), odd))
    settings = read_settings(path)
    assert settings.kind == "paced"
    assert settings.link.pace_file == odd


def test_the_pace_is_the_worst_of_the_links() -> None:
    lab = state("paced")
    assert json.loads(pace(lab)) == {"rate_bps": 800e3, "up": True}
    slower = lab.with_link("edge-2", Link(rate_bps=9e3))
    assert json.loads(pace(slower)) == {"rate_bps": 9e3, "up": True}
    cut = lab.with_link("edge-1", Link(rate_bps=1e9, up=False))
    assert json.loads(pace(cut)) == {"rate_bps": 800e3, "up": False}


@pytest.mark.parametrize(("mode", "by"), [("root", "network"), ("paced", "marker")])
def test_the_wrapper_runs_this_python_from_anywhere(mode: Mode, by: str, tmp_path: Path) -> None:
    package = Path(__file__).resolve().parents[2]
    script = tmp_path / "tegrastats"
    script.write_text(tegrastats_script(state(mode), sys.executable, package))
    script.chmod(0o755)
    assert f"--board-by {by}" in script.read_text()
    done = subprocess.run(
        [script, "--help"], cwd="/", capture_output=True, text=True, timeout=60, env={**os.environ}
    )
    assert done.returncode == 0, done.stderr
    assert "MODELLED" in done.stdout


def test_the_wrapper_survives_a_python_with_blanks_in_its_path(tmp_path: Path) -> None:
    python = tmp_path / "my python"
    python.write_text('#!/bin/sh\necho "$PYTHONPATH|$*"\n')
    python.chmod(0o755)
    script = tegrastats_script(state("root"), str(python), Path("/a b"))
    done = subprocess.run(
        ["sh", "-c", script.partition("\n")[2], "tegrastats", "--interval", "7"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": os.defpath, "PYTHONPATH": "/c"},
    )
    asked = "-m prism_edge.cluster.tegrastats --board-by network --interval 7"
    assert done.stdout == f"/a b:/c|{asked}\n"
