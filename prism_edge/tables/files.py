"""Profiles on disk: ``profile.toml`` and a CSV file per table, written whole, read back checked."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TypeVar

from prism_edge.errors import TableError
from prism_edge.tables.checked import build, hints, parse, unknown
from prism_edge.tables.rows import HEADER, LATER, REMEDY, SCHEMA, TABLES, Profile, Row

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NEWLINE = "\n"
_R = TypeVar("_R", bound=Row)


def write(directory: Path, profile: Profile) -> None:
    """``directory`` holds ``profile``; every file appears whole, ``profile.toml`` last."""
    import tomli_w  # only who measures writes

    directory.mkdir(parents=True, exist_ok=True)
    counts: dict[str, int] = {}
    for table, cls in TABLES.items():
        rows = getattr(profile, table)
        counts[table] = len(rows)
        text = io.StringIO(newline="")
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(hints(cls))
        lines.writerows([_cell(getattr(row, name)) for name in hints(cls)] for row in rows)
        _replace(directory / f"{table}.csv", text.getvalue())
    head = {key: value for key, value in asdict(profile).items() if key not in TABLES}
    for board in head["boards"]:
        if board["idle_w"] is None:
            del board["idle_w"]
    _replace(directory / HEADER, tomli_w.dumps({**head, "rows": counts}))


def read(directory: Path) -> Profile:
    """The profile in ``directory``, all of it checked.

    Raises ``TableError`` naming file, line and remedy: a missing or truncated file, an unknown
    schema, an unknown or missing column (or unit), a foreign board or model, an impossible value.
    """
    path = directory / HEADER
    try:
        head = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise TableError(f"{path}: {error}; {REMEDY}") from error
    with _at(str(path)):
        if head.get("schema") != SCHEMA:
            raise TableError(f"schema is {head.get('schema')!r}, this version reads {SCHEMA}")
        counts = head.pop("rows", None)
        if not isinstance(counts, dict):
            raise TableError("table [rows] is missing")
        bare = build(Profile, head, exclude=tuple(TABLES))
    tables = {}
    for table, cls in TABLES.items():
        file = directory / f"{table}.csv"
        tables[table] = tuple(_rows(file, cls, bare))
        found, meant = len(tables[table]), counts.get(table)
        if found != meant:
            with _at(f"{file}:{found + 1}"):
                raise TableError(f"{found} rows, {HEADER} counts {meant}: cut short or foreign")
    return replace(bare, **tables)  # type: ignore[arg-type]


def _rows(path: Path, cls: type[_R], bare: Profile) -> Iterator[_R]:
    text = _text(path)
    with _at(f"{path}:{text.count(NEWLINE) + 1}"):
        if not text.endswith(NEWLINE):
            raise TableError("the last line is cut short")
    types = hints(cls)
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    columns = list[str]()
    for number in range(1, text.count(NEWLINE) + 1):
        with _at(f"{path}:{number}"):
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
            bare.check_names(row)
        yield row


def _known_columns(found: list[str], known: list[str]) -> list[str]:
    for name in found:
        if name not in known:
            raise TableError(unknown("column", name, known))
    for name in known:
        if found.count(name) != 1 and not (name in LATER and name not in found):
            raise TableError(f"column {name!r} is there {found.count(name)} times")
    return found


@contextmanager
def _at(where: str) -> Iterator[None]:
    """Any ``TableError`` inside says ``where``, and what to do."""
    try:
        yield
    except TableError as error:
        raise TableError(f"{where}: {error}; {REMEDY}") from error.__cause__


def _cell(value: str | int | float | None) -> str:
    return "" if value is None else str(value)


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError as error:
        raise TableError(f"{path}: no such file; {REMEDY}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read ({error}); {REMEDY}") from error


def _replace(path: Path, text: str) -> None:
    """``path`` holds ``text`` after a power cut too, or what it held before."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with beside.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
