"""Profiles on disk: ``profile.toml`` and a CSV file per table, written whole, read back checked."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prism_edge.errors import TableError
from prism_edge.tables.csv_text import at, csv_of, rows_of
from prism_edge.tables.doubtful import missing_boards, strange_times
from prism_edge.tables.head import head_of, profile_of
from prism_edge.tables.rows import HEADER, REMEDY, TABLES, Profile

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A profile as its files have it. ``doubts``: what a reader should know of these files;
    ``edited``: files that are not as they were written."""

    profile: Profile
    doubts: tuple[str, ...]
    edited: tuple[str, ...]


def write(directory: Path, profile: Profile) -> None:
    """``directory`` holds ``profile``; every file appears whole, ``profile.toml`` last.

    Raises ``TableError`` when the directory cannot be written.
    """
    import tomli_w  # only who measures writes

    texts = {f"{table}.csv": csv_of(cls, getattr(profile, table)) for table, cls in TABLES.items()}
    counts = {table: len(getattr(profile, table)) for table in TABLES}
    head = {**head_of(profile), "digests": _digests(profile), "rows": counts}
    texts[HEADER] = tomli_w.dumps(head)
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            _write(_beside(directory / name), text)
        for name in texts:
            _beside(directory / name).replace(directory / name)
        sync(directory)
    except OSError as error:
        raise TableError(f"{directory}: cannot be written ({error}); is the disk full?") from error


def read_tables(directory: Path) -> Found:
    """The profile in the tables of ``directory``, all of it checked.

    Raises ``TableError`` naming file, line and remedy: a missing or truncated file, an unknown
    schema, an unknown or missing column (or unit), a foreign board or model, an impossible value.
    """
    path = directory / HEADER
    try:
        head = tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as error:
        raise TableError(f"{path}: {error}; {REMEDY}") from error
    with at(str(path)):
        counts, digests = head.pop("rows", None), head.pop("digests", {})
        bare = profile_of(head)
        if not isinstance(counts, dict) or not isinstance(digests, dict):
            raise TableError("table [rows] is missing")
        for key in (*counts, *digests):
            if key not in TABLES and not (key == HEADER and key in digests):
                raise TableError(f"unknown table {key!r}")
    tables, strange = dict[str, Any](), dict[str, list[tuple[int, str]]]()
    for table, cls in TABLES.items():
        file = directory / f"{table}.csv"
        found = list(rows_of(cls, _text(file), str(file), bare.check_names))
        if len(found) != counts.get(table):
            with at(f"{file}:{len(found) + 1}"):
                meant = counts.get(table)
                raise TableError(
                    f"{len(found)} rows, {HEADER} counts {meant}: cut short or foreign"
                )
        strange[file.name] = list(strange_times(found))
        tables[table] = tuple(row for _, row in found)
    profile = replace(bare, **tables)
    edited = tuple(_edited(profile, digests))
    doubts = [
        text
        for name, found in strange.items()
        if name in edited or not digests  # as measured, it is what a busy machine does
        for text in _strange(directory / name, found)
    ]
    doubts += [
        f"{directory / name}: not as it was written (edited, or of another run); {REMEDY}"
        for name in edited
    ]
    if not digests:
        doubts.append(f"{path}: has no [digests], so that edits by hand are not noticed")
    return Found(profile=profile, doubts=(*doubts, *missing_boards(profile)), edited=edited)


def sync(path: Path) -> None:
    """The names in directory ``path`` are on disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _strange(file: Path, found: list[tuple[int, str]]) -> Iterator[str]:
    if found:
        line, why = found[0]
        others = f" (and {len(found) - 1} more like it)" if len(found) > 1 else ""
        yield f"{file}:{line}: {why}{others}: another unit? {REMEDY}"


def _digests(profile: Profile) -> dict[str, str]:
    """Over the values of each table, and over the rest as ``profile.toml``."""
    texts = {table: csv_of(cls, getattr(profile, table)) for table, cls in TABLES.items()}
    texts[HEADER] = json.dumps(head_of(profile), sort_keys=True)
    return {key: hashlib.sha256(text.encode()).hexdigest()[:16] for key, text in texts.items()}


def _edited(profile: Profile, digests: Mapping[str, object]) -> Iterator[str]:
    if not digests:
        return
    for key, digest in _digests(profile).items():
        if digests.get(key) != digest:
            yield key if key == HEADER else f"{key}.csv"


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError as error:
        raise TableError(f"{path}: no such file; {REMEDY}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read ({error}); {REMEDY}") from error


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _write(path: Path, text: str) -> None:
    """``path`` holds ``text`` after a power cut too."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
