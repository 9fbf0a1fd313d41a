"""Engines are started where the cluster is: on its boards, in its lab, or pinned to cores here."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from prism_edge.errors import ClusterError, LabError, SettingsError
from prism_edge.mesh import MeshSettings
from prism_edge.profile.engines import local_hosts
from prism_edge.profile.place import find_place, link_of
from prism_edge.settings import BoardSettings, LinkSettings, Settings

PACED = Settings(
    name="nobody-has-this-lab",
    kind="paced",
    leader="b",
    profiles=Path("profiles"),
    boards=(
        BoardSettings(name="a", address="127.77.1.1"),
        BoardSettings(name="b", address="127.77.1.2"),
    ),
    link=LinkSettings(rate_bps=100e6, pace_file=Path("/lab/pace.json")),
)


def test_a_paced_cluster_is_pinned_processes_leader_first() -> None:
    place = find_place(PACED)
    assert [(host.name, host.address) for host in place.hosts] == [
        ("b", "127.77.1.2"),
        ("a", "127.77.1.1"),
    ]
    assert place.pace_file == Path("/lab/pace.json")
    assert place.link == "100mbit, paced in the transport, not by the kernel"


def test_a_link_nobody_described_is_unknown() -> None:
    assert find_place(replace(PACED, link=LinkSettings())).link.startswith("rate unknown")


def test_a_mesh_is_part_of_the_link() -> None:
    boards = replace(PACED, kind="boards")
    assert link_of(boards)[1] == "nominally 100mbit, the boards' own network"
    meshed = replace(boards, mesh=MeshSettings(subnet="10.99.0.0/24"))
    assert link_of(meshed)[1] == "nominally 100mbit, the boards' own network, inside WireGuard"


def test_a_board_without_ssh_is_named_before_any_is_asked() -> None:
    boards = (PACED.boards[0], replace(PACED.boards[1], ssh="u@b.invalid"))
    with pytest.raises(SettingsError, match=r"^board a: no ssh in cluster.toml; .*lab up"):
        find_place(replace(PACED, kind="boards", boards=boards))


@pytest.mark.ssh
def test_what_is_wrong_on_any_board_is_told_at_once(tmp_path: Path) -> None:
    """No network is needed to be told that a configuration is not there."""
    nowhere = tmp_path / "none"
    boards = tuple(replace(board, ssh="u@h", ssh_config=nowhere) for board in PACED.boards)
    with pytest.raises(ClusterError) as caught:
        find_place(replace(PACED, kind="boards", boards=boards))
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [
        "board b (u@h)",
        "board a (u@h)",
    ]


def test_a_lab_that_is_not_up_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(LabError, match="nobody-has-this-lab"):
        find_place(replace(PACED, kind="lab"))


def test_local_ranks_are_pinned_only_where_there_are_several() -> None:
    cores = sorted(os.sched_getaffinity(0))
    assert [host.core for host in local_hosts(1)] == [None]
    assert [host.core for host in local_hosts(3)] == [cores[i % len(cores)] for i in range(3)]
