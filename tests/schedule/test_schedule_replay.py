"""The same events give the same decisions; whatever does not is told by its row."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest
from decided import LAB, day
from hypothesis import given, settings
from hypothesis import strategies as st

from prism_edge import tables
from prism_edge.energy.rows import DecisionRow
from prism_edge.schedule.cost import Costs
from prism_edge.schedule.events import Aim
from prism_edge.schedule.replay import FIRST, Life, costs_by_model, replay

PROFILE = tables.read(LAB)
COSTS = costs_by_model(PROFILE)
DAY = tuple(day(COSTS, "d1"))
ASKED = [number for number, row in enumerate(DAY) if row.plan is not None]


def lives(rows: Iterable[DecisionRow], costs: Mapping[str, Costs] = COSTS) -> list[Life]:
    return list(replay(enumerate(rows, start=1), costs))


def different(life: Life) -> int:
    return life.other_plan + life.other_why


def changed(rows: Sequence[DecisionRow], number: int, **change: Any) -> list[DecisionRow]:
    """The rows with one of them another."""
    found = list(rows)
    found[number] = dataclasses.replace(found[number], **change)
    return found


def retold(row: DecisionRow, **change: Any) -> str:
    """The row's event with other values."""
    return json.dumps({**json.loads(row.event), **change})


def test_the_same_events_give_the_same_decisions() -> None:
    (life,) = lives(DAY)
    assert (life.decisions, different(life), life.gaps) == (len(ASKED), 0, ())
    assert life.recorded == life.replayed
    assert len(life.recorded) > 2, "a day on which little is decided proves little"
    assert life.started is not None
    assert life.started.profile == "d1"


@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    aim=st.builds(Aim, exact=st.booleans(), hysteresis=st.floats(0, 0.5)),
)
def test_any_day_replays(seed: int, aim: Aim) -> None:
    (life,) = lives(day(COSTS, "d1", seed=seed, turns=15, aim=aim))
    assert (life.decisions, different(life), life.gaps) == (15, 0, ())


def test_a_changed_event_changes_what_follows() -> None:
    """Negative control: a probe that says the link is a hundred times slower."""
    probe = next(number for number, row in enumerate(DAY) if '"probed"' in row.event)
    event = retold(DAY[probe], seconds=[9.0, 9.0])
    (life,) = lives(changed(DAY, probe, event=event))
    assert different(life) > 0
    assert life.decisions == len(ASKED)
    first = life.differences[0]
    assert first.row > probe + 1
    row = DAY[first.row - 1]
    assert (first.recorded_plan, first.recorded_why, first.t_s) == (row.plan, row.why, row.t_s)
    assert (first.replayed_plan, first.replayed_why) != (row.plan, row.why)
    assert first.asked.batch == json.loads(row.event)["batch"]
    assert first.link is not None
    assert first.link.source == "observed"


def test_a_changed_cell_changes_what_follows() -> None:
    """Negative control: the whole model on one board, ten times faster than it was measured."""
    quick = tuple(
        dataclasses.replace(row, latency_s=row.latency_s / 10)
        if row.tokens_own == row.tokens_known
        else row
        for row in PROFILE.compute
    )
    (life,) = lives(DAY, costs_by_model(dataclasses.replace(PROFILE, compute=quick)))
    assert life.other_plan > 0
    assert sum(life.replayed.values()) == sum(life.recorded.values()) == life.decisions


@pytest.mark.parametrize("change", [{"plan": "prism:p=2,l=3,dtype=fp32"}, {"why": "a whim"}])
def test_plan_and_reason_both_count(change: dict[str, str]) -> None:
    (life,) = lives(changed(DAY, ASKED[3], **change))
    assert [item.row for item in life.differences] == [ASKED[3] + 1]
    assert (life.other_plan, life.other_why) == ((1, 0) if "plan" in change else (0, 1))


def test_the_first_differences_are_kept_whole_and_all_are_counted() -> None:
    rows = [dataclasses.replace(row, why=row.why and "a whim") for row in DAY]
    (life,) = lives(rows)
    assert (life.other_plan, life.other_why) == (0, len(ASKED))
    assert len(ASKED) > FIRST
    assert [item.row for item in life.differences] == [number + 1 for number in ASKED[:FIRST]]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ("{broken", "not a decision event"),
        ('{"event":"dreamt","now_s":1}', "not a decision event"),
        ('{"event":"probed","now_s":1.0,"bytes":1,"seconds":[1.0]}', "without a question"),
    ],
)
def test_behind_a_damaged_row_nothing_is_replayed_until_the_next_start(
    event: str, reason: str
) -> None:
    hole = ASKED[10]
    broken, whole = lives([*changed(DAY, hole, event=event), *day(COSTS, "d2", seed=2)])
    assert (broken.decisions, different(broken)) == (10, 0)
    (gap,) = broken.gaps
    assert (gap.row, gap.decisions) == (hole + 1, len(ASKED) - 10)
    assert reason in gap.reason
    assert (whole.decisions, different(whole), whole.gaps) == (60, 0, ())


def test_each_start_begins_with_nothing_but_the_tables() -> None:
    """Negative control: two days told as one are decided differently."""
    second = tuple(day(COSTS, "d2", seed=2))
    found = lives([*DAY, *second])
    assert [(life.row, life.decisions, different(life)) for life in found] == [
        (1, len(ASKED), 0),
        (len(DAY) + 1, 60, 0),
    ]
    (one,) = lives([*DAY, *second[1:]])
    assert different(one) > 0


def test_what_came_before_the_first_start_is_not_replayed() -> None:
    headless, whole = lives([*DAY[5:], *DAY])
    assert headless.started is None
    assert headless.decisions == 0
    assert [gap.reason for gap in headless.gaps] == ["the journal begins after the start"]
    assert (whole.decisions, different(whole)) == (len(ASKED), 0)


def test_a_model_without_tables_is_answered_locally_now() -> None:
    event = retold(DAY[ASKED[0]], model="bert")
    rows = [*DAY[:4], dataclasses.replace(DAY[ASKED[0]], event=event, plan="split:p=2"), *DAY[4:]]
    (life,) = lives(rows)
    assert (life.decisions, life.other_plan, life.other_why) == (len(ASKED) + 1, 1, 0)
    (item,) = life.differences
    assert (item.row, item.replayed_plan) == (5, "local")
    assert "model 'bert' was not profiled" in item.replayed_why


def test_an_event_that_means_nothing_is_a_gap_and_no_traceback() -> None:
    event = retold(DAY[ASKED[2]], batch="many")
    (life,) = lives(changed(DAY, ASKED[2], event=event))
    assert (life.decisions, different(life)) == (2, 0)
    assert [(gap.row, gap.decisions) for gap in life.gaps] == [(ASKED[2] + 1, len(ASKED) - 2)]


def test_a_board_without_tables_is_a_gap() -> None:
    event = retold(DAY[ASKED[0]], boards=["edge-1", "edge-9"])
    (life,) = lives(changed(DAY, ASKED[0], event=event))
    assert (life.decisions, life.gaps[0].decisions) == (0, len(ASKED))
    assert "board 'edge-9' was not profiled" in life.gaps[0].reason


def test_no_rows_have_no_life() -> None:
    assert lives([]) == []
