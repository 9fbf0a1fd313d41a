"""What the page shows: how each board stands, in a word, and why."""

from __future__ import annotations

from typing import Any

import pytest

from prism_edge.serve.history import History
from prism_edge.serve.service import Readiness
from prism_edge.serve.snapshot import snapshot, snapshots, standing
from prism_edge.serve.twin import Echo

READY = Readiness(ready=True)
BOARD = {
    "name": "edge-2",
    "address": "10.0.0.2",
    "in_group": False,
    "silent_s": 0.1,
    "why_out": None,
}


def lost(*details: str) -> list[dict[str, object]]:
    return [{"kind": "lost", "detail": detail} for detail in details]


@pytest.mark.parametrize(
    ("about", "state", "why"),
    [
        ({"in_group": True}, "in service", None),
        ({}, "joining", None),
        ({"why_out": "its engine is not ready"}, "out", "its engine is not ready"),
        ({"why_out": "silent", "silent_s": None}, "not seen", "it has not said hello"),
        ({"why_out": "silent for 2.1 s", "silent_s": 2.1}, "lost", None),
        ({"why_out": "silent", "silent_s": 2.1}, "lost", None),
        ({"why_out": "silent", "silent_s": 0.2}, "joining", None),
    ],
)
def test_how_a_worker_stands(about: dict[str, Any], state: str, why: str | None) -> None:
    found = standing({**BOARD, **about}, False, READY, [])
    assert found["state"] == state
    assert why is None if found["why"] is None else str(found["why"]).startswith(why or "?")
    assert found["silent_s"] == (2.1 if state == "lost" else None)


def test_a_lost_board_says_what_was_seen_of_its_loss_and_not_of_another() -> None:
    gone = {**BOARD, "why_out": "silent for 9.0 s", "silent_s": 9.0}
    for events, why in [
        (lost("edge-1: lost edge-2: closed by peer"), "edge-1: lost edge-2: closed by peer"),
        (lost("closing: board edge-2: its engine was restarted"), "its engine was restarted"),
        (lost("closing: board edge-2: silent for 1.6 s"), None),  # it says so itself
        (lost("lost edge-22: closed", "lost edge-2: refused"), "lost edge-2: refused"),
        (lost("lost edge-22: closed"), None),
        ([{"kind": "epoch", "detail": "3 open: edge-1, edge-2"}], None),
    ]:
        assert standing(gone, False, READY, events)["why"] == why


def test_the_leader_serves_when_the_daemon_is_ready() -> None:
    leader = {**BOARD, "name": "edge-1", "silent_s": None, "why_out": None}
    assert standing(leader, True, READY, [])["state"] == "in service"
    loading = Readiness(ready=False, reason="the engine is loading")
    found = standing(leader, True, loading, [])
    assert (found["state"], found["why"]) == ("starting", "the engine is loading")


@pytest.mark.parametrize(
    ("readiness", "state"),
    [
        (READY, "ready"),
        (Readiness(ready=True, reason="local only"), "degraded"),
        (Readiness(ready=False, reason="draining"), "not ready"),
    ],
)
def test_the_daemon_in_a_word(readiness: Readiness, state: str) -> None:
    found = snapshot(cluster="c", readiness=readiness, models=(), status={}, history={})
    assert (found["state"], found["reason"]) == (state, readiness.reason)
    assert found["boards"] == []


def test_any_service_can_be_shown() -> None:
    found = snapshots(Echo(), History(), cluster="c", board="b", release="1-x")()
    assert [model["name"] for model in found["models"]] == ["echo", "argmax"]  # type: ignore[attr-defined]
    assert (found["board"], found["release"], found["role"]) == ("b", "1-x", None)
