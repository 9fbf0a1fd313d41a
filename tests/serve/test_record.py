"""What the leader remembers, and that forgetting never costs a request."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prism_edge.energy.journal import Journal, decisions, read
from prism_edge.energy.sample import Sample
from prism_edge.errors import JournalError
from prism_edge.plan import LOCAL
from prism_edge.schedule.events import Asked, Probed, from_json
from prism_edge.schedule.policy import Fixed
from prism_edge.serve.batcher import Waiting
from prism_edge.serve.choice import Choice
from prism_edge.serve.history import LAST
from prism_edge.serve.metrics import Metrics
from prism_edge.serve.record import Record

RESULT: dict[str, Any] = {
    "plan": "voltage:p=2,dtype=fp32",
    "wire_bytes": 77,
    "spans": [["compute", 0.0, 0.25, 0]],
}


def waiting(arrived_s: float, plan: str | None = None) -> Waiting[int]:
    return Waiting(
        ticket=0,
        model="m",
        inputs={"x": np.zeros((1, 1))},
        plan=plan,
        arrived_s=arrived_s,
        deadline_s=arrived_s + 1,
    )


def journal_at(path: Path) -> Journal:
    return Journal.open(path, cluster="c", kind="lab", power={"a": "modelled"})


def test_batches_events_and_samples_are_on_disk_after_close(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    record = Record(journal_at(path), Metrics())
    now_s, wall_s = time.monotonic(), time.time()
    spans = [["compute", now_s + 0.1, 0.25, 0], ["exchange", now_s + 0.2, 0.1, 55]]
    record.answered(waiting(now_s - 1), 3, {**RESULT, "spans": spans}, "so", now_s, now_s + 0.5)
    record.failed(waiting(now_s, "local"), 2, None, "broken", now_s + 1)
    record.failed(waiting(now_s), 2, None, "broken", now_s + 2)
    record.event("phase", "slow")
    record.sample(Sample(board="a", t_s=1.0, power_w=5.0, source="modelled"))
    record.close()
    found = read(path)
    answered, refused, undecided = found.requests
    assert (answered.model, answered.batch, answered.plan, answered.why) == (
        "m",
        3,
        RESULT["plan"],
        "so",
    )
    assert (answered.ok, answered.forced, answered.wire_bytes) == (True, False, 77)
    assert answered.latency_s == pytest.approx(1.5)
    assert answered.stop_s - answered.start_s == pytest.approx(0.5)
    assert abs(answered.start_s - wall_s) < 5
    assert [span[0] for span in answered.spans] == ["compute", "exchange"]
    assert answered.spans[0][1] == pytest.approx(0.1)  # since the batch began
    assert answered.spans[1][3] == 55
    assert (refused.ok, refused.error, refused.forced, refused.plan) == (
        False,
        "broken",
        True,
        "local",
    )
    assert (undecided.plan, undecided.forced, undecided.latency_s) == ("none", False, None)
    assert [(event.kind, event.detail) for event in found.events] == [("phase", "slow")]
    assert [sample.power_w for sample in found.samples] == [5.0]


def test_a_decision_leads_to_the_request_that_was_answered_by_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    record = Record(journal_at(path), Metrics())
    now_s, wall_s = time.monotonic(), time.time()
    decision = Fixed("of a reason")
    events = [
        Probed(now_s=now_s - 60, bytes=1, seconds=(0.25,)),
        *(Asked(now_s=now_s, model="m", batch=k, tokens=5, boards=("a",)) for k in (1, 2)),
    ]
    record.noted(events[0], None, None)
    record.noted(events[1], decision, "r-1")
    record.answered(waiting(0.0), 1, RESULT, "so", 0.0, 0.1, "r-1")
    record.noted(events[2], decision, "r-2")
    choice = Choice(id="r-2", plan=LOCAL, model="m", batch=1, tokens=5, boards=("a",))
    record.failed(waiting(0.0), 1, choice, "broken", 0.0)
    record.failed(waiting(0.0), 1, None, "never asked", 0.0)
    record.close()
    rows = [row for _, row in decisions(path)]
    assert [from_json(row.event) for row in rows] == events
    local = ("local", "local: of a reason")
    assert [(row.plan, row.why) for row in rows] == [(None, None), local, local]
    assert rows[0].t_s == pytest.approx(wall_s - 60, abs=5)  # when it happened, not when noted
    assert rows[1].t_s == pytest.approx(wall_s, abs=5)
    ids = {request.id for request in read(path).requests}
    assert {row.request for row in rows} - {None} == {"r-1", "r-2"} < ids
    assert len(ids) == 3


def test_a_forced_plan_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    record = Record(journal_at(path), Metrics())
    record.answered(waiting(0.0, "local"), 1, RESULT, "asked for", 0.0, 0.1)
    record.close()
    assert [request.forced for request in read(path).requests] == [True]


def test_the_last_batches_are_kept_newest_first() -> None:
    record = Record(None, Metrics())
    for number in range(LAST + 5):
        record.answered(waiting(0.0), number + 1, RESULT, "so", 0.0, 0.1)
    record.failed(waiting(0.0), 99, None, "broken", 0.0)
    last = record.last()
    assert len(last) == LAST
    assert [batch["batch"] for batch in last[:3]] == [99, LAST + 5, LAST + 4]
    assert (last[0]["ok"], last[0]["error"]) == (False, "broken")


def rename(path: Path, table: str, name: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO {name}")


def test_a_journal_that_cannot_be_written_is_told_until_it_can_be(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, metrics = tmp_path / "journal.sqlite", Metrics()
    journal = journal_at(path)
    record = Record(journal, metrics)
    assert "prism_edge_journal_ok 1.0" in metrics.render().decode()
    rename(path, "events", "elsewhere")
    record.event("phase", "one")
    with pytest.raises(JournalError):
        journal.flush()
    for _ in range(3):
        record.event("phase", "more")
    assert "no such table: events" in str(record.complaint)
    assert "prism_edge_journal_ok 0.0" in metrics.render().decode()
    assert len(caplog.records) == 1  # not once a row
    rename(path, "elsewhere", "events")
    journal.flush()
    record.event("phase", "last")
    assert record.complaint is None
    assert "prism_edge_journal_ok 1.0" in metrics.render().decode()
    record.close()
    assert len(read(path).events) == 5
    assert "prism_edge_journal_ok nan" in without_one().lower()


def without_one() -> str:
    metrics = Metrics()
    Record(None, metrics)
    return metrics.render().decode()


def test_a_journal_that_is_closed_is_given_up_and_everything_else_goes_on(tmp_path: Path) -> None:
    journal = journal_at(tmp_path / "journal.sqlite")
    metrics = Metrics()
    record = Record(journal, metrics)
    journal.close()  # every write now fails
    for _ in range(2):
        record.event("phase", "x")
        record.noted(Probed(now_s=0.0, bytes=1, seconds=()), None, None)
        record.answered(waiting(0.0), 1, RESULT, "so", 0.0, 0.1)
        record.sample(Sample(board="a", t_s=1.0, power_w=5.0, source="sensor"))
    record.close()
    assert len(record.last()) == 2
    assert 'prism_edge_power_watts{board="a",source="sensor"} 5.0' in metrics.render().decode()


def energy_of(samples: list[tuple[float, float]]) -> float | None:
    metrics = Metrics()
    record = Record(None, metrics)
    for t_s, power_w in samples:
        record.sample(Sample(board="a", t_s=t_s, power_w=power_w, source="sensor"))
    for line in metrics.render().decode().splitlines():
        if line.startswith("prism_edge_energy_joules_total{"):
            return float(line.split()[-1])
    return None


def test_energy_is_integrated_between_neighbours_and_not_over_gaps() -> None:
    assert energy_of([(0.0, 4.0), (0.5, 8.0)]) == pytest.approx(3.0)
    assert energy_of([(0.0, 4.0), (0.5, 8.0), (9.0, 8.0), (9.5, 8.0)]) == pytest.approx(7.0)
    assert energy_of([(0.0, 4.0)]) is None  # nothing measured is no series, not 0
    assert energy_of([(5.0, 4.0), (4.5, 4.0)]) is None  # a clock that was set back
