"""A lab's state survives the disk unchanged, and what is not a state is refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from prism_edge.cluster.shaping import Link
from prism_edge.cluster.state import (
    Keeper,
    LabState,
    Mode,
    check_name,
    from_json,
    plan_state,
    to_json,
    write_text,
)
from prism_edge.errors import LabError, SettingsError


def state(mode: Mode = "root", boards: int = 3, name: str = "lab") -> LabState:
    return plan_state(
        name=name,
        mode=mode,
        token="0123456789abcdef",
        boot_id="boot",
        subnet=7,
        boards=boards,
        rate_bps=100e6,
        cores=(2, 5),
    )


def test_boards_have_names_addresses_and_cores_in_turn() -> None:
    planned = state()
    assert [board.name for board in planned.boards] == ["edge-1", "edge-2", "edge-3"]
    assert [board.address for board in planned.boards] == ["10.77.7.1", "10.77.7.2", "10.77.7.3"]
    assert [board.core for board in planned.boards] == [2, 5, 2]
    assert all(board.link == Link(rate_bps=100e6) for board in planned.boards)


def test_paced_boards_live_behind_the_loopback() -> None:
    assert [board.address for board in state("paced", 2).boards] == ["127.77.7.1", "127.77.7.2"]


@pytest.mark.parametrize("boards", [0, -1, 9])
def test_too_few_or_too_many_boards_are_refused(boards: int) -> None:
    with pytest.raises(SettingsError, match="1 to 8"):
        state(boards=boards)


@pytest.mark.parametrize("name", ["", ".", "..", "../lab", "a/b", "-x", "Lab", "a b", "x" * 32])
def test_a_name_that_could_leave_the_directory_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="lab name"):
        check_name(name)
    with pytest.raises(SettingsError, match="lab name"):
        state(name=name)


def test_the_state_is_read_back_unchanged() -> None:
    whole = state().with_keeper("switch", Keeper(pid=1, start_ticks=2))
    whole = whole.with_keeper("edge-2", Keeper(pid=3, start_ticks=4))
    whole = whole.with_link("edge-3", Link(rate_bps=1e6, up=False))
    assert from_json(to_json(whole), Path("x/state.json")) == whole
    assert whole != state()


def test_changes_touch_one_member_only() -> None:
    before = state()
    after = before.with_link("edge-2", Link(rate_bps=5e6, up=False))
    assert after.board("edge-2").link == Link(rate_bps=5e6, up=False)
    assert after.board("edge-1") == before.board("edge-1")
    held = after.with_keeper("edge-1", Keeper(pid=9, start_ticks=9)).keepers()
    assert held["edge-1"] == Keeper(pid=9, start_ticks=9)
    assert [name for name, keeper in held.items() if keeper is None] == [
        "switch",
        "edge-2",
        "edge-3",
    ]


def test_an_unknown_board_is_refused_and_the_known_ones_are_named() -> None:
    with pytest.raises(LabError, match="no board 'edge-9'; there are edge-1, edge-2, edge-3"):
        state().board("edge-9")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"schema": 2}',
        to_json(state())[:-40],
        to_json(state()).replace('"schema": 1', '"schema": 99'),
        to_json(state()).replace('"core"', '"kore"'),
        to_json(state()).replace('"name": "lab"', '"name": "../lab"'),
    ],
)
def test_what_is_not_a_state_is_refused_with_its_path(text: str) -> None:
    with pytest.raises(LabError, match=r"labs/x/state\.json: not the state of a lab"):
        from_json(text, Path("labs/x/state.json"))


def test_a_file_is_replaced_whole_and_leaves_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "state.json"
    write_text(path, "one")
    write_text(path, "two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_a_directory_that_cannot_be_written_is_an_error_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(LabError, match="XDG_STATE_HOME"):
        write_text(tmp_path / "file" / "state.json", "x")
