"""One status of a cluster, made of what its boards and its leader say."""

from __future__ import annotations

from typing import Any

import pytest

from prism_edge.deploy.ask import Answer
from prism_edge.deploy.everywhere import Found
from prism_edge.deploy.status import BoardState, parse, told

ACTIVE = BoardState(current="r2", previous="r1", service="active", since_s=9.0)


def leader_says(**second: Any) -> Answer:
    """As ``GET /status`` of a leader of two boards."""
    boards = [
        {"name": "edge-1", "ready": True, "in_group": True, "why_out": None},
        {"name": "edge-2", "ready": True, "in_group": True, "why_out": None, **second},
    ]
    last = [{"plan": plan, "why": f"{plan} is fastest"} for plan in ("split", "local", "split")]
    return Answer(status={"boards": boards, "last": last, "degraded": None})


def found(**states: BoardState | str) -> tuple[Found[BoardState], ...]:
    return tuple(
        Found(board=name, error=state) if isinstance(state, str) else Found(board=name, value=state)
        for name, state in ((key.replace("_", "-"), value) for key, value in states.items())
    )


def test_all_is_well() -> None:
    status = told("c", "edge-1", found(edge_1=ACTIVE, edge_2=ACTIVE), leader_says())
    assert [(row.serving, row.in_group, row.why) for row in status.rows] == [(True, True, None)] * 2
    assert status.plans == {"split": 2, "local": 1}
    assert status.last == {"plan": "split", "why": "split is fastest"}


def test_a_board_out_of_the_group_carries_the_leaders_reason() -> None:
    answer = leader_says(in_group=False, why_out="silent for 3.0 s")
    status = told("c", "edge-1", found(edge_1=ACTIVE, edge_2=ACTIVE), answer)
    assert (status.rows[1].in_group, status.rows[1].why) == (False, "silent for 3.0 s")


def test_boards_with_different_releases_are_told_apart() -> None:
    older, absent = BoardState(current="r1", service="active"), BoardState()
    for second, mixed in ((older, True), (ACTIVE, False), (absent, False), ("no route", False)):
        status = told("c", "edge-1", found(edge_1=ACTIVE, edge_2=second), leader_says())
        assert status.mixed is mixed


def test_every_way_not_to_serve_has_its_reason() -> None:
    states = found(
        edge_1=ACTIVE,
        edge_2="board edge-2: no route",
        edge_3=BoardState(),
        edge_4=BoardState(current="r2", pending="r2", service="active"),
        edge_5=BoardState(current="r2", service="failed"),
    )
    rows = told("c", "edge-1", states, Answer(error="refused")).rows
    assert [row.serving for row in rows] == [True, False, False, True, False]
    whys = [str(row.why) for row in rows]
    assert whys[:2] == ["refused", "board edge-2: no route"]
    assert "nothing is deployed" in whys[2]
    assert "r2 has not proved healthy" in whys[3]
    assert "the service is failed" in whys[4]
    assert [row.in_group for row in rows] == [None] * 5


SERVING = """\
current=0.1.0-67ac12f4
previous=0.1.0-98497539
up=26240.11
NRestarts=2
LoadState=loaded
ActiveState=active
StatusText=ready
ActiveEnterTimestampMonotonic=26232610000
"""
NEVER = """\
up=26240.11
NRestarts=0
LoadState=not-found
ActiveState=inactive
StatusText=
ActiveEnterTimestampMonotonic=0
"""
HALF = """\
current=b
previous=a
pending=b
up=30.5
NRestarts=0
LoadState=loaded
ActiveState=activating
StatusText=loading: model=vit
ActiveEnterTimestampMonotonic=0
"""


def test_a_board_that_serves() -> None:
    found = parse(SERVING)
    assert found.since_s == pytest.approx(7.5)
    assert found.serving
    assert (found.current, found.previous, found.pending) == (
        "0.1.0-67ac12f4",
        "0.1.0-98497539",
        None,
    )
    assert (found.restarts, found.says) == (2, "ready")


def test_a_board_with_nothing_of_ours() -> None:
    assert parse(NEVER) == BoardState()
    assert not parse(NEVER).serving


def test_a_board_in_the_middle_of_a_switch() -> None:
    found = parse(HALF)
    assert (found.pending, found.service, found.since_s) == ("b", "activating", None)
    assert found.says == "loading: model=vit"
    assert not found.serving
