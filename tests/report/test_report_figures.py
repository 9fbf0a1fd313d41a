"""Figures show every request where it belongs, thin out a crowd, and of nothing there is none."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from synthetic_journal import synthetic, without

from prism_edge.report.canvas import MOST_POINTS, Drawing, thinned
from prism_edge.report.compared import distributions, energy_by_plan
from prism_edge.report.numbers import numbers
from prism_edge.report.over_time import power, timeline

REPORT = numbers(synthetic())


def texts(drawing: Drawing | None, wide: bool = True) -> list[str]:
    assert drawing is not None
    svg = drawing.wide if wide else drawing.narrow
    return re.findall(r"<text[^>]*>([^<]*)</text>", svg)


def marks(svg: str, name: str) -> int:
    """How many marks are drawn in the tone ``name``."""
    return len(re.findall(rf"<use [^>]*var\(--{name}\)", svg))


def test_every_request_is_in_the_timeline() -> None:
    found = timeline(REPORT)
    assert found is not None
    used = sum(marks(found.wide, name) for name in ("local", "split", "prism", "voltage"))
    assert used == len(REPORT.batches)
    # filled ones have an edge in the paper's tone: the policy's own choices
    filled = re.findall(r"<use [^>]*stroke: var\(--paper\)", found.wide)
    assert len(filled) == sum(not batch.asked for batch in REPORT.batches)


def test_phases_have_names_where_there_is_room_else_numbers() -> None:
    wide, narrow = texts(timeline(REPORT)), texts(timeline(REPORT), wide=False)
    assert "1 · link 100 Mbit/s" in wide
    assert "1 · link 100 Mbit/s" not in narrow
    assert {"1", "2", "3", "4", "5"} <= set(narrow)


def test_what_happened_is_on_the_rail() -> None:
    rail = [text for text in texts(timeline(REPORT)) if text in ("lost", "link", "epoch", "engine")]
    assert rail == ["lost", "link", "epoch", "engine"]
    quiet = replace(REPORT, events=())
    assert "lost" not in texts(timeline(quiet))


def test_a_failed_request_is_on_the_rail_without_a_latency() -> None:
    batch = replace(REPORT.batches[0], ok=False, latency_s=None)
    report = replace(REPORT, batches=(batch, *REPORT.batches[1:]))
    assert "failed" in texts(timeline(report))
    assert "failed" not in texts(timeline(REPORT))
    none = replace(REPORT, batches=(batch,), events=(), groups=())
    assert texts(timeline(none))


def test_distributions_have_a_row_per_way_that_was_taken() -> None:
    labels = [
        t for t in texts(distributions(REPORT)) if t in ("adaptive", "always local", "always full")
    ]
    # voltage fell back in the phase with one board
    assert labels.count("adaptive") == labels.count("always local") == 5
    assert labels.count("always full") == 4


def test_energy_has_a_bar_per_phase_and_plan() -> None:
    found = texts(energy_by_plan(REPORT))
    assert sum(text == "local" for text in found) == 5
    assert sum(" J · n " in text for text in found) == len(REPORT.plans)


def test_energy_that_is_not_known_says_so() -> None:
    some = list(REPORT.plans)
    gone = replace(some[0].series.energy, energy_j=None, missing="samples of x are few; 90 %")
    some[0] = replace(some[0], series=replace(some[0].series, energy=gone))
    weak = replace(some[1].series.energy, reliable=False, samples=7)
    some[1] = replace(some[1], series=replace(some[1].series, energy=weak))
    found = texts(energy_by_plan(replace(REPORT, plans=tuple(some))))
    assert "n/a: samples of x are few" in found
    assert any(text.endswith("unreliable (7 samples)") for text in found)


def test_power_has_a_panel_per_board_labelled_by_source() -> None:
    found = texts(power(REPORT))
    panels = [text for text in found if "mean" in text]
    assert len(panels) == 2
    assert all(" · modelled · mean " in text for text in panels)


@pytest.mark.parametrize("draw", [timeline, distributions, energy_by_plan, power])
def test_nothing_to_show_is_no_figure(draw) -> None:  # type: ignore[no-untyped-def]
    assert draw(numbers(without(synthetic(), "samples", "requests", "events"))) is None


def test_large_journals_are_thinned() -> None:
    many = REPORT.batches * 40
    found = thinned(many)
    assert MOST_POINTS / 2 < len(found) <= MOST_POINTS
    assert thinned(REPORT.batches) == list(REPORT.batches)
    assert thinned([]) == []


def test_a_very_short_run_is_drawn() -> None:
    journal = synthetic()
    one = replace(without(journal, "events"), requests=journal.requests[:1])
    report = numbers(one)
    assert all(draw(report) is not None for draw in (timeline, distributions, power))
