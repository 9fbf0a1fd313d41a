"""A table as CSV text, and back with every cell checked. Pure.

What spreadsheet programs do to a file without changing a value is understood: another order of
columns, CRLF, a mark at the beginning (BOM).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from prism_edge.errors import TableError
from prism_edge.tables.checked import hints, parse, unknown
from prism_edge.tables.rows import LATER, REMEDY, Row, identity

NEWLINE = "\n"
_R = TypeVar("_R", bound=Row)


def csv_of(cls: type[Row], rows: Iterable[Row]) -> str:
    """The table as ``write`` leaves it; the same rows are the same text."""
    text = io.StringIO(newline="")
    lines = csv.writer(text, lineterminator=NEWLINE)
    lines.writerow(hints(cls))
    lines.writerows([_cell(getattr(row, name)) for name in hints(cls)] for row in rows)
    return text.getvalue()


def rows_of(
    cls: type[_R], text: str, where: str, accept: Callable[[_R], None]
) -> Iterator[tuple[int, _R]]:
    """(line, row) of a file called ``where``; ``accept`` may refuse a row.

    Raises ``TableError`` naming file and line: a line cut short, an unknown or missing column, an
    impossible value, a repeat that is there twice.
    """
    text = text.replace("\r\n", NEWLINE)
    with at(f"{where}:{text.count(NEWLINE) + 1}"):
        if not text.endswith(NEWLINE):
            raise TableError("the last line is cut short")
    types = hints(cls)
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns = list[str]()
    seen: dict[tuple[object, ...], int] = {}
    for number in range(1, text.count(NEWLINE) + 1):
        with at(f"{where}:{number}"):
            try:
                cells = next(lines)
            except (csv.Error, StopIteration) as error:
                raise TableError(f"not a line of CSV: {error}") from error
            if not columns:
                columns = _known_columns(cells, list(types))
                continue
            if len(cells) != len(columns):
                raise TableError(f"{len(cells)} cells for {len(columns)} columns")
            named = zip(columns, cells, strict=True)
            row = cls(**{name: parse(name, types[name], cell) for name, cell in named})
            accept(row)
            first = seen.setdefault(identity(row), number)
            if first != number:
                raise TableError(f"the same repeat is already on line {first}")
        yield number, row


@contextmanager
def at(where: str, remedy: str = REMEDY) -> Iterator[None]:
    """Any ``TableError`` inside says ``where``, and what to do."""
    try:
        yield
    except TableError as error:
        raise TableError(f"{where}: {error}; {remedy}") from error.__cause__


def _known_columns(found: list[str], known: list[str]) -> list[str]:
    if len(found) == 1 and found[0].count(";") >= len(known) - 1:
        raise TableError("cells are separated by semicolons; save the table as CSV with commas")
    for name in found:
        if name not in known:
            raise TableError(unknown("column", name, known))
    for name in known:
        if found.count(name) != 1 and not (name in LATER and name not in found):
            raise TableError(f"column {name!r} is there {found.count(name)} times")
    return found


def _cell(value: str | int | float | None) -> str:
    return "" if value is None else str(value)
