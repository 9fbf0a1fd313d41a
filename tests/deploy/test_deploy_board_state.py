"""What a board serves, from what its commands printed; recorded on test boards."""

from __future__ import annotations

import pytest

from prism_edge.deploy.board_state import BoardState, parse

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
