"""The demo's report, and the modelled energy of its closing table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from prism_edge.demo.phases import DIGITS, SPEED
from prism_edge.demo.summary import Results, accuracy
from prism_edge.energy.journal import read as read_journal
from prism_edge.intervals import wilson
from prism_edge.report.files import write_report as write_files
from prism_edge.report.numbers import numbers
from prism_edge.tables import AccuracyRow, write
from prism_edge.tables import read as read_profile


def write_report(
    journal: Path, profile: Path, directory: Path, results: Mapping[str, Results]
) -> tuple[Path, dict[tuple[str, int], float]]:
    """The HTML file (its numbers beside it as JSON), and joules per adaptive request.

    What the trained model got right becomes the profile's accuracy table. The joules are those of
    all boards, by phase and batch; what could not be measured is left out.
    """
    data, tables = read_journal(journal), read_profile(profile)
    tables = replace(tables, accuracy=accuracy_rows(results))
    write(profile, tables)
    page = directory / "report.html"
    found = numbers(data, tables)
    write_files(found, page, json_output=directory / "report.json")
    energy_j = {
        (group.phase, group.batch): group.adaptive.energy.energy_j
        for group in found.groups
        if group.model == SPEED and group.adaptive.energy.energy_j is not None
    }
    return page, energy_j


def accuracy_rows(results: Mapping[str, Results]) -> tuple[AccuracyRow, ...]:
    """Share of right answers by the plan that was asked for, with 95 % intervals (Wilson)."""
    rows = []
    for plan, (right, images) in accuracy(results).items():
        if plan is not None:
            low, high = wilson(right, images)
            rows.append(
                AccuracyRow(
                    model=DIGITS,
                    plan=plan,
                    dataset="scikit-learn digits, test split of examples/digits",
                    metric="accuracy",
                    value=right / images,
                    n=images,
                    ci_low=low,
                    ci_high=high,
                )
            )
    return tuple(rows)
