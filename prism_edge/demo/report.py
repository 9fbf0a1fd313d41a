"""The demo's report, and the modelled energy of its closing table."""

from __future__ import annotations

from pathlib import Path

from prism_edge.demo.phases import SPEED
from prism_edge.energy.journal import read as read_journal
from prism_edge.report.files import write_report as write_files
from prism_edge.report.numbers import numbers
from prism_edge.tables import read as read_profile


def write_report(
    journal: Path, profile: Path, directory: Path
) -> tuple[Path, dict[tuple[str, int], float]]:
    """The HTML file (its numbers beside it as JSON), and joules per adaptive request.

    The joules are those of all boards, by phase and batch; what could not be measured is left out.
    """
    data, tables = read_journal(journal), read_profile(profile)
    page = directory / "report.html"
    write_files(data, tables, page, directory / "report.json")
    energy_j = {
        (group.phase, group.batch): group.adaptive.energy.energy_j
        for group in numbers(data, tables).groups
        if group.model == SPEED and group.adaptive.energy.energy_j is not None
    }
    return page, energy_j
