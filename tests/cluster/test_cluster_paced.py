"""Labs without namespaces, the choice of a mode, and states that no longer hold: no privileges."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from prism_edge.cluster import modes
from prism_edge.cluster.lab import Lab, default_root
from prism_edge.cluster.local import kill_group
from prism_edge.cluster.processes import boot_id, stat
from prism_edge.cluster.state import Keeper, LabState, plan_state, to_json, write_text
from prism_edge.errors import LabError, SettingsError


def test_a_paced_lab_is_processes_on_the_loopback(tmp_path: Path) -> None:
    lab = Lab.up("t", 2, 10e6, mode="paced", root=tmp_path)
    one, two = lab.hosts()
    assert (one.address, two.address) == (f"127.77.{lab.state.subnet}.1", one.address[:-1] + "2")
    code = f"import socket; socket.create_server(({two.address!r}, 0)).close(); print('bound')"
    assert two.run([sys.executable, "-c", code], 60).stdout == "bound\n"
    assert lab.laptop().run(["true"], 60).returncode == 0
    assert lab.host("edge-2") == two
    assert Lab.plan("t2", 2, 1e6, mode="paced", root=tmp_path) == []
    assert lab.link_steps("edge-1", up=False) == []
    with pytest.raises(LabError, match="no board 'edge-3'"):
        lab.host("edge-3")
    lab.down()
    assert list(tmp_path.iterdir()) == []


def test_links_of_a_paced_lab_are_its_pace_file(tmp_path: Path) -> None:
    lab = Lab.up("t", 2, 10e6, mode="paced", root=tmp_path)
    file = lab.directory / "pace.json"
    assert json.loads(file.read_text()) == {"rate_bps": 10e6, "up": True}
    lab.set_link("edge-2", rate_bps=1e6)
    lab.set_link("edge-1", up=False)
    assert json.loads(file.read_text()) == {"rate_bps": 1e6, "up": False}
    lab.set_link("edge-1", up=True)
    assert json.loads(file.read_text()) == {"rate_bps": 1e6, "up": True}
    loaded = Lab.load("t", root=tmp_path)
    assert [board.rate_bps for board in loaded.status().boards] == [10e6, 1e6]
    with pytest.raises(SettingsError, match="out of range"):
        lab.set_link("edge-1", rate_bps=1.0)
    lab.down()


def test_a_link_changed_by_someone_else_is_not_forgotten(tmp_path: Path) -> None:
    """Two handles on one lab: the second change keeps the first."""
    first = Lab.up("t", 2, 10e6, mode="paced", root=tmp_path)
    second = Lab.load("t", root=tmp_path)
    first.set_link("edge-1", rate_bps=1e6)
    second.set_link("edge-2", up=False)
    boards = Lab.load("t", root=tmp_path).status().boards
    assert [(board.rate_bps, board.up) for board in boards] == [(1e6, True), (10e6, False)]
    first.down()


def test_down_ends_what_runs_on_paced_boards_and_spares_the_laptop(tmp_path: Path) -> None:
    lab = Lab.up("t", 1, 10e6, mode="paced", root=tmp_path)
    other = Lab.up("other", 1, 10e6, mode="paced", root=tmp_path)
    with (
        lab.hosts()[0].popen(["sleep", "600"]) as doomed,
        other.hosts()[0].popen(["sleep", "600"]) as neighbour,
        lab.laptop().popen(["sleep", "600"]) as laptop,
    ):
        try:
            assert lab.status().boards[0].processes == 1
            assert str(doomed.pid) in lab.down_steps()[0].argv
            lab.down()
            assert doomed.wait(60) != 0
            assert neighbour.poll() is None
            assert laptop.poll() is None
        finally:
            for process in (doomed, neighbour, laptop):
                kill_group(process)
    other.down()


def test_a_lab_needs_a_name_boards_and_a_rate_that_can_be(tmp_path: Path) -> None:
    for name, boards, rate_bps in [("../x", 2, 1e6), ("", 2, 1e6), ("t", 0, 1e6), ("t", 2, 1.0)]:
        with pytest.raises(SettingsError):
            Lab.up(name, boards, rate_bps, mode="paced", root=tmp_path)
    assert list(tmp_path.iterdir()) == []
    for name in ("../x", "", "."):
        with pytest.raises(SettingsError):
            Lab.remove(name, root=tmp_path)
        with pytest.raises(SettingsError):
            Lab.load(name, root=tmp_path)
    assert tmp_path.exists()


def test_an_unknown_lab_is_refused_and_the_known_ones_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"no lab 't' \(there are: none\)"):
        Lab.load("t", root=tmp_path)
    lab = Lab.up("one", 1, 1e6, mode="paced", root=tmp_path)
    with pytest.raises(LabError, match=r"there are: one\)"):
        Lab.load("t", root=tmp_path)
    lab.down()


def test_up_died_before_its_first_word(tmp_path: Path) -> None:
    (tmp_path / "t" / "bin").mkdir(parents=True)
    assert Lab.remove("t", root=tmp_path) is False
    assert list(tmp_path.iterdir()) == []


def old_state(boot: str, keeper: Keeper) -> LabState:
    state = plan_state(
        name="t",
        mode="rootless",
        token="fedcba9876543210",
        boot_id=boot,
        subnet=0,
        boards=1,
        rate_bps=1e6,
        cores=(0,),
    )
    state = state.with_keeper("switch", keeper).with_keeper("edge-1", keeper)
    return dataclasses.replace(state, phase="up")


def test_after_a_restart_a_lab_is_gone_and_strangers_with_its_pids_are_spared(
    tmp_path: Path,
) -> None:
    with subprocess.Popen(["sleep", "600"]) as stranger:
        try:
            now = stat(stranger.pid)
            assert now is not None
            stale = Keeper(pid=stranger.pid, start_ticks=now.start_ticks + 1)
            path = tmp_path / "t" / "state.json"

            write_text(path, to_json(old_state("another boot", stale)))
            lab = Lab.load("t", root=tmp_path)
            assert lab.status().problem == "the machine has restarted since"
            with pytest.raises(LabError, match="restarted since; `prism-edge lab down --name t`"):
                lab.hosts()

            write_text(path, to_json(old_state(boot_id(), stale)))
            lab = Lab.load("t", root=tmp_path)
            assert lab.status().problem == "the process that held switch is gone"
            assert [step.argv[0] for step in lab.down_steps()] == ["rm"]
            assert Lab.remove("t", root=tmp_path) is True
            assert stranger.poll() is None
        finally:
            kill_group(stranger)
    assert list(tmp_path.iterdir()) == []


def test_an_unreadable_state_is_an_error_and_nothing_is_deleted(tmp_path: Path) -> None:
    write_text(tmp_path / "t" / "state.json", "{}")
    with pytest.raises(LabError, match="not the state of a lab"):
        Lab.remove("t", root=tmp_path)
    assert (tmp_path / "t" / "state.json").exists()


# -- modes -------------------------------------------------------------------------------------


def test_paced_works_everywhere() -> None:
    assert modes.obstacle("paced") is None
    assert modes.choose("paced") == ("paced", "")


def test_auto_takes_the_best_mode_and_names_what_the_better_ones_lack() -> None:
    """Whatever this machine allows, the answer follows from trying one after the other."""
    refused = {mode: modes.obstacle(mode) for mode in ("root", "rootless")}
    chosen, why = modes.choose("auto")
    if refused["root"] is None:
        assert (chosen, why) == ("root", "")
    else:
        assert chosen == ("rootless" if refused["rootless"] is None else "paced")
        assert refused["root"] in why


def test_without_tools_there_are_only_paced_labs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An unshare that refuses, found first, stands for a kernel that does."""
    (tmp_path / "unshare").write_text("#!/bin/sh\necho forbidden here >&2\nexit 1\n")
    (tmp_path / "unshare").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert modes.choose("auto") == (
        "paced",
        "mode root: forbidden here; mode rootless: forbidden here",
    )
    with pytest.raises(LabError, match="mode rootless: forbidden here; try --mode auto"):
        modes.choose("rootless")


def test_labs_are_remembered_where_the_desktop_standard_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/var/x")
    assert default_root() == Path("/var/x/prism-edge/labs")
    monkeypatch.setenv("XDG_STATE_HOME", "")
    monkeypatch.setenv("HOME", "/home/me")
    assert default_root() == Path("/home/me/.local/state/prism-edge/labs")
