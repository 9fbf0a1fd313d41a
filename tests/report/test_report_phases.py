"""Phases are the journal's own words, in order, and every request lies in one."""

from __future__ import annotations

import json

import pytest
from synthetic_journal import START_S, synthetic, without

from prism_edge.energy.rows import EventRow, JournalData, RequestRow
from prism_edge.report.phases import BEFORE, WHOLE, extent, phase_at, phases


def journal(
    *events: tuple[float, str, str | None], requests: tuple[float, ...] = ()
) -> JournalData:
    return JournalData(
        meta={},
        samples=(),
        events=tuple(EventRow(t_s=t, kind=k, detail=d) for t, k, d in events),
        requests=tuple(
            RequestRow(
                id="r",
                model="m",
                batch=1,
                plan="local",
                why=None,
                forced=False,
                start_s=t,
                stop_s=t + 1,
                latency_s=1.0,
                ok=True,
                error=None,
                wire_bytes=None,
            )
            for t in requests
        ),
    )


def named(name: object, **rest: object) -> str:
    return json.dumps({"name": name, **rest})


def test_a_phase_lasts_until_the_next_one() -> None:
    found = phases(
        journal(
            (10.0, "phase", named("fast", rate="100 Mbit/s", boards=2)),
            (15.0, "link", "rate"),
            (20.0, "phase", named("slow")),
            requests=(11.0, 25.0),
        )
    )
    assert [(p.name, p.note, p.start_s, p.stop_s) for p in found] == [
        ("fast", "rate: 100 Mbit/s, boards: 2", 10.0, 20.0),
        ("slow", "", 20.0, 26.0),
    ]


def test_a_run_without_phases_is_one() -> None:
    found = phases(journal((5.0, "link", "x"), requests=(7.0,)))
    assert [(p.name, p.start_s, p.stop_s) for p in found] == [(WHOLE, 5.0, 8.0)]
    assert [p.name for p in phases(journal())] == [WHOLE]


def test_requests_before_the_first_phase_have_one_of_their_own() -> None:
    found = phases(journal((10.0, "phase", named("a")), requests=(2.0, 12.0)))
    assert [(p.name, p.start_s) for p in found] == [(BEFORE, 2.0), ("a", 10.0)]
    # an event before it is no reason for one
    early = phases(journal((1.0, "engine", "ready"), (10.0, "phase", named("a")), requests=(12.0,)))
    assert [p.name for p in early] == ["a"]


def test_the_same_name_twice_is_told_apart() -> None:
    found = phases(journal(*((float(t), "phase", named("x")) for t in range(3))))
    assert [p.name for p in found] == ["x", "x (2)", "x (3)"]


@pytest.mark.parametrize(
    ("detail", "name"),
    [
        ("plain words", "plain words"),
        ("[1, 2]", "[1, 2]"),
        ('{"rate": 3}', "phase"),
        ('{"name": 7}', "7"),
        ('{"name": null}', "phase"),
        ("", "phase"),
        (None, "phase"),
    ],
)
def test_a_detail_that_is_not_as_agreed_still_names_a_phase(detail: str | None, name: str) -> None:
    assert phases(journal((1.0, "phase", detail)))[0].name == name


def test_the_phase_of_a_moment() -> None:
    found = phases(journal((10.0, "phase", named("a")), (20.0, "phase", named("b"))))
    times = (9.0, 10.0, 19.99, 20.0, 99.0)
    assert [phase_at(found, t) for t in times] == [0, 0, 0, 1, 1]


def test_extent_is_what_happened_not_when_it_was_sampled() -> None:
    full = synthetic()
    first_s, last_s = extent(full)
    assert first_s == START_S
    assert last_s == max(row.stop_s for row in full.requests)
    assert extent(without(full, "samples")) == (first_s, last_s)
    only = without(full, "requests", "events")
    assert extent(only) == (full.samples[0].t_s, full.samples[-1].t_s)
    assert extent(journal()) == (0.0, 0.0)
