"""``prism-edge report``: one HTML file, and the same numbers as JSON, from a journal."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    journal: Annotated[Path, typer.Argument(help="journal of a leader, also while it serves")],
    profile: Annotated[
        Path | None, typer.Option(help="directory of cost tables, to check predictions by")
    ] = None,
    output: Annotated[Path, typer.Option(help="the HTML file to write")] = Path("report.html"),
    json: Annotated[Path | None, typer.Option(help="also write the numbers here")] = None,
) -> None:
    """Write what a journal says about latency, energy and decisions as one HTML file.

    Example: prism-edge report journal.db --profile profiles/lab --json report.json
    """
    from prism_edge.energy.journal import read
    from prism_edge.report.files import write_report
    from prism_edge.tables import read as read_profile

    tables = None if profile is None else read_profile(profile)
    for path in write_report(read(journal), tables, output, json):
        print(path)
