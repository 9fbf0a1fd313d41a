"""``prism-edge energy export``: a journal's samples and requests for other programs."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from prism_edge.errors import EnergyError


class Format(str, Enum):
    """What other programs read."""

    csv = "csv"
    parquet = "parquet"


def export(
    journal: Annotated[Path, typer.Argument(help="a journal, also while it is written")],
    directory: Annotated[Path, typer.Argument(help="where the files go; it is made")],
    format_: Annotated[Format, typer.Option("--format", help="of the files")] = Format.csv,
) -> None:
    """Write every table of a journal as a file: samples, rails, requests, events, decisions.

    Example: prism-edge energy export run.sqlite tables --format csv
    """
    from prism_edge.energy.export import to_csv, to_parquet

    try:
        directory.mkdir(parents=True, exist_ok=True)
        write = to_parquet if format_ is Format.parquet else to_csv
        for path, rows in write(journal, directory).items():
            print(f"{path}: {rows} rows")
    except OSError as error:
        raise EnergyError(f"{directory}: cannot be written: {error.strerror}") from error
