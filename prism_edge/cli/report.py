"""``prism-edge report``: one HTML file, and the same numbers as JSON and CSV, from a journal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prism_edge.errors import SettingsError

if TYPE_CHECKING:
    from prism_edge.report.values import Report
    from prism_edge.schedule.events import Aim


def report(
    journals: Annotated[
        list[Path], typer.Argument(help="Journal of a leader, also while it serves.")
    ],
    compare: Annotated[
        bool, typer.Option("--compare", help="Compare two journals: how B differs from A.")
    ] = False,
    profile: Annotated[
        Path | None,
        typer.Option(help="Cost tables: predictions are checked, and the decision map drawn."),
    ] = None,
    output: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    json: Annotated[Path | None, typer.Option(help="Also write the numbers here.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write one line per plan here.")] = None,
) -> None:
    """Write what a journal says about latency, energy and decisions as one HTML file.

    Example: prism-edge report journal.db --profile profiles/lab --json report.json --csv plans.csv

    Example: prism-edge report --compare before.db after.db --output compared.html
    """
    if len(journals) != (2 if compare else 1):
        given = f"{len(journals)} journals are given"
        raise SettingsError(
            f"{given}; --compare takes two, A and B" if compare else f"{given}; one makes a report"
        )
    if compare and (profile is not None or csv is not None):
        raise SettingsError("--compare takes neither --profile nor --csv")

    from prism_edge.energy.journal import read
    from prism_edge.report.compare import compare as compared
    from prism_edge.report.files import write_comparison, write_report
    from prism_edge.report.numbers import numbers
    from prism_edge.schedule.events import Aim
    from prism_edge.tables import read as read_profile

    if compare:
        a, b = (numbers(read(journal), aim=_aim(journal)) for journal in journals)
        paths = write_comparison(a, b, compared(a, b), output, json)
    else:
        tables = None if profile is None else read_profile(profile)
        aim = _aim(journals[0])
        found = numbers(read(journals[0]), tables, aim)
        maps = [] if profile is None else _maps(found, profile, aim or Aim())
        paths = write_report(found, output, json_output=json, csv_output=csv, maps=maps)
    for path in paths:
        print(path)


def _aim(journal: Path) -> Aim | None:
    """What the policy of a journal was last told to minimise, within which limits."""
    from prism_edge.energy.journal import decisions
    from prism_edge.schedule.events import Started, from_json

    aim = None
    for _, row in decisions(journal):
        if '"started"' in row.event and isinstance(event := from_json(row.event), Started):
            aim = event.aim
    return aim


def _maps(found: Report, profile: Path, aim: Aim) -> list[tuple[str, str]]:
    """A decision map of every model that was asked and profiled, if there was a choice."""
    from prism_edge.cli.plan_map import made
    from prism_edge.cli.plan_situation import Wish, situation
    from prism_edge.decision_map.page import section
    from prism_edge.tables import read as read_profile

    profiled = [model.name for model in read_profile(profile).models]
    asked = dict.fromkeys(batch.model for batch in found.batches)
    sections = []
    for number, model in enumerate(name for name in asked if name in profiled):
        wish = Wish(model=model, batch=1, tokens=0, rate="", boards=0)
        given = situation(profile, wish, "", aim.of(model))
        if given.costs.links is not None:
            sections.append(section(*made(given), f"map-{number}"))
    return sections
