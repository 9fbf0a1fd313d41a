"""The cells of a profile: what was timed repeatedly under one description, visit by visit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import groupby
from typing import Any

from prism_edge.tables import Profile
from prism_edge.tables.rows import FOUND

TIMED = ("compute", "link", "staging", "request")
# Columns that say which machine was at work: visits are told apart within its rows.
PLACES = ("board", "src", "dst")
# ... and that say what it did.
KINDS = ("op", "load", "direction")

# By cell: the repeats of each visit, in the order of time.
Visits = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One row of a table without what was measured: columns and their values, in order."""

    table: str
    columns: tuple[tuple[str, Any], ...]

    def value(self, column: str) -> Any:
        """The value in ``column``; None where the table has none."""
        return dict(self.columns).get(column)

    @property
    def group(self) -> tuple[Any, ...]:
        """What machine and model it is of: cells that neighbour each other in cost."""
        return (self.table, *(self.value(name) for name in (*PLACES, *KINDS, "model")))

    @property
    def kind(self) -> tuple[Any, ...]:
        """What it does, on whatever machine."""
        return (self.table, *(self.value(name) for name in (*KINDS, "model")))

    @property
    def place(self) -> str:
        """``compute edge-1``, ``link edge-1 > edge-2``, ``request``."""
        names = [str(self.value(name)) for name in PLACES if self.value(name) is not None]
        return " ".join((self.table, *filter(None, (" > ".join(names),))))

    def __str__(self) -> str:
        """``edge-1 vit batch 4 own 98 known 197 fp32``: what tells it apart, in short."""
        words = []
        for name, value in self.columns:
            if name == "bytes":
                words.append(f"{value} B")
            elif name in ("batch", "tokens", "tokens_own", "tokens_known"):
                words.append(f"{name.removeprefix('tokens_')} {value}")
            elif (name, value) != ("world", 2):
                words.append(f"{value} ranks" if name == "world" else str(value))
        return " ".join(words)


def cells_of(profile: Profile, renamed: Mapping[str, str]) -> dict[Cell, Visits]:
    """Every timed cell with its visits; ``renamed``: models under the name in the other profile.

    Rows stand in the order in which they were measured. The repeats of one cell that follow each
    other on their machine are one visit: they share what the machine was like just then.
    """
    found: dict[Cell, list[list[float]]] = {}
    for table in TIMED:
        by_place: dict[tuple[Any, ...], list[tuple[Cell, float]]] = {}
        for row in getattr(profile, table):
            place = tuple(getattr(row, name, None) for name in PLACES)
            by_place.setdefault(place, []).append((_cell(table, row, renamed), row.latency_s))
        for rows in by_place.values():
            for cell, visit in groupby(rows, key=lambda item: item[0]):
                found.setdefault(cell, []).append([seconds for _, seconds in visit])
    return dict(found)


def _cell(table: str, row: Any, renamed: Mapping[str, str]) -> Cell:
    described = {
        field.name: getattr(row, field.name)
        for field in fields(row)
        if field.name not in {*FOUND, "repeat"}
    }
    if "model" in described:
        described["model"] = renamed.get(described["model"], described["model"])
    return Cell(table=table, columns=tuple(described.items()))
