"""``prism-edge profile diff``: what changed from one profile to another, and how sure that is."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from prism_edge.changes.cells import Cell
    from prism_edge.changes.facts import Fact
    from prism_edge.changes.significance import Change

SHOWN = 15  # of the cells that changed, the biggest changes
WIDTH = 100  # columns where the output is no terminal


def diff(
    a: Annotated[Path, typer.Argument(help="directory of cost tables: before")],
    b: Annotated[Path, typer.Argument(help="directory of cost tables: after")],
    every: Annotated[
        bool, typer.Option("--all", help="list every cell, also those that did not change")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Compare two profiles: what is stated differently, and which measured cells have changed.

    Example: prism-edge profile diff profiles/before profiles/after
    """
    from prism_edge import tables
    from prism_edge.changes.cells import cells_of
    from prism_edge.changes.facts import differing, load_average, same_models
    from prism_edge.changes.significance import changes, floor_of

    before, after = tables.read(a), tables.read(b)
    cells_a, cells_b = cells_of(before, {}), cells_of(after, same_models(before, after))
    floor = floor_of(before, after)
    found = Found(
        floor=floor,
        facts=differing(before, after),
        load_averages=(load_average(before), load_average(after)),
        changes=changes(cells_a, cells_b, floor),
        only_a=tuple(cell for cell in cells_a if cell not in cells_b),
        only_b=tuple(cell for cell in cells_b if cell not in cells_a),
    )
    if as_json:
        print(json.dumps(as_dict(found), indent=2))
    else:
        _print(found, every)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """All that two profiles differ in. ``only_a``, ``only_b``: cells that the other one lacks."""

    floor: float
    facts: Sequence[Fact]
    load_averages: tuple[str | None, str | None]
    changes: Sequence[Change]
    only_a: Sequence[Cell]
    only_b: Sequence[Cell]

    @property
    def significant(self) -> list[Change]:
        """The cells that changed, the biggest change first."""
        sure = (change for change in self.changes if change.significant)
        return sorted(sure, key=lambda change: -change.size)

    @property
    def unchanged_share(self) -> float | None:
        """Of the compared cells; None when there are none."""
        count = len(self.changes)
        return 1 - len(self.significant) / count if count else None


def as_dict(found: Found) -> dict[str, Any]:
    """Everything as JSON holds it; ``changes`` are all compared cells."""
    from prism_edge.changes.groups import groups

    return {
        "facts": [dataclasses.asdict(fact) for fact in found.facts],
        "load_averages": found.load_averages,
        "compared": len(found.changes),
        "significant": len(found.significant),
        "floor": found.floor,
        "unchanged_share": found.unchanged_share,
        "groups": [dataclasses.asdict(group) for group in groups(found.changes, found.floor)],
        "only_a": dict(Counter(cell.table for cell in found.only_a)),
        "only_b": dict(Counter(cell.table for cell in found.only_b)),
        "changes": [
            {
                "table": change.cell.table,
                **dict(change.cell.columns),
                "a_s": change.a_s,
                "b_s": change.b_s,
                "n_a": change.n_a,
                "n_b": change.n_b,
                "ratio": change.ratio,
                "low": change.low,
                "high": change.high,
                "q": change.q,
                "significant": change.significant,
            }
            for change in found.changes
        ],
    }


def _print(found: Found, every: bool) -> None:
    from rich.console import Console

    from prism_edge.changes.significance import LEVEL

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    for fact in found.facts:
        said = " -> ".join("not stated" if text is None else text for text in (fact.a, fact.b))
        say(f"{fact.where}, {fact.key}: {said}")
    if not found.facts:
        say("the same facts: boards, link, models, settings")
    if any(found.load_averages):
        loads = " -> ".join(text or "not stated" for text in found.load_averages)
        say(f"load average while measuring: {loads}")
    for name, cells in (("the first", found.only_a), ("the second", found.only_b)):
        if cells:
            counts = Counter(cell.table for cell in cells)
            listed = ", ".join(f"{count} {table}" for table, count in counts.items())
            say(f"only in {name}: {listed} cells")
    share = found.unchanged_share
    if share is None:
        say("no cell is in both profiles: nothing to compare")
        return
    sure = found.significant
    say("")
    console.print(_by_group(found))
    say(
        f"{len(found.changes)} cells compared, {100 * share:.1f} % without a significant change "
        f"(one over {100 * found.floor:.0f} %; of those called changed at most "
        f"{100 * LEVEL:.0f} % should be false)"
    )
    listed_cells = found.changes if every else sure[:SHOWN]
    if listed_cells:
        say("")
        console.print(_listed(listed_cells))
    if not every and len(sure) > SHOWN:
        say(f"and {len(sure) - SHOWN} more; --all lists every cell")


def _by_group(found: Found) -> Any:
    from prism_edge.changes.groups import groups

    table = _table("  table and machine (> moved as a whole)", "cells", "changed", "ratio", "95 %")
    for group in groups(found.changes, found.floor):
        interval = "" if group.low is None else f"{group.low:.3f}-{group.high:.3f}"
        table.add_row(
            f"{'>' if group.moved else ' '} {group.place}",
            str(group.cells),
            str(group.significant),
            f"{group.ratio:.3f}",
            interval,
        )
    return table


def _listed(changes: Iterable[Change]) -> Any:
    table = _table("  cell (> changed)", "first", "second", "ratio", "95 %")
    for change in changes:
        mark = ">" if change.significant else " "
        table.add_row(
            f"{mark} {change.cell.table}: {change.cell}",
            _ms(change.a_s),
            _ms(change.b_s),
            f"{change.ratio:.3f}",
            f"{change.low:.2f}-{change.high:.2f}",
        )
    return table


def _table(first: str, *others: str) -> Any:
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold")
    for name in others:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _ms(value_s: float) -> str:
    return f"{1e3 * value_s:.3g} ms" if value_s < 1 else f"{value_s:.3g} s"
