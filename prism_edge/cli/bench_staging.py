"""``prism-edge bench staging``: what it costs to bring messages from a device to GLOO and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from prism_edge import tables


def staging(
    device: Annotated[str, typer.Option(help="cuda, cuda:N or cpu")] = "cuda",
    board: Annotated[str, typer.Option(help="what the tables call this machine")] = "this-board",
    out: Annotated[Path | None, typer.Option(help="directory for the table as CSV")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Time every way of staging, 4 KiB to 16 MiB, both directions, on this machine.

    prism-edge bench staging --device cuda --out profiles/orin-nano-staging
    """
    from prism_edge import tables
    from prism_edge.profile.measured import Measured
    from prism_edge.profile.progress import progress_on
    from prism_edge.profile.staging import measure_machine

    progress = progress_on()
    done = 0.0

    def tell(measured: Measured, total: float) -> None:
        nonlocal done
        done += 1.0 if measured.rows else 0.0
        progress.advance(measured.text, done, total)

    try:
        found = measure_machine(board, device, tell)
    finally:
        progress.close()
    if out is not None:
        tables.write(out, found)
    print(json.dumps(summary(found)) if as_json else readable(found))


def summary(found: tables.Profile) -> dict[str, object]:
    """The table as JSON values: one row per size, path and direction, the rule and conditions."""
    from prism_edge.tables.staging_rule import fastest_rule, medians

    (board,) = found.boards
    rule = fastest_rule(found.staging, board.name)
    return {
        "board": board.name,
        "device": board.device,
        "facts": dict(board.facts),
        "conditions": dict(found.conditions),
        "warnings": list(found.warnings),
        "rule": None if rule is None else str(rule),
        "rows": [
            {"bytes": size, "path": path, "direction": direction, "median_s": seconds}
            for size, cells in medians(found.staging).items()
            for (path, direction), seconds in cells.items()
        ],
    }


def readable(found: tables.Profile) -> str:
    """The table for people: medians in microseconds."""
    from prism_edge.tables.staging_rule import fastest_rule, medians

    (board,) = found.boards
    by_size = medians(found.staging)
    columns = list(next(iter(by_size.values())))
    lines = [f"{'bytes':>10}" + "".join(f"{f'{path} {way}':>14}" for path, way in columns)]
    lines += [
        f"{size:>10,}" + "".join(f"{cells[key] * 1e6:>14.1f}" for key in columns)
        for size, cells in by_size.items()
    ]
    rule = fastest_rule(found.staging, board.name)
    lines.append(f"medians in us on {board.device}, torch {board.facts['torch']}")
    lines += [f"fastest: {rule}"] if rule is not None else []
    lines += [f"warning: {text}" for text in found.warnings]
    return "\n".join(lines)
