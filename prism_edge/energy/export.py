"""The tables of a journal as CSV or Parquet files, row by row, so that memory does not grow."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from prism_edge.energy.journal_file import meta_of
from prism_edge.energy.journal_reader import reading
from prism_edge.errors import EnergyError

TABLES = ("samples", "rails", "requests", "events", "decisions")
AT_ONCE = 50_000
NO_PYARROW = (
    "Parquet needs pyarrow, which is not installed: pip install 'prism-edge[parquet]', or "
    "export as csv"
)
# Columns by the affinity their table declares; what is neither is text.
_ARROW = {"REAL": "float64", "INTEGER": "int64", "TEXT": "string"}


def to_csv(journal: Path, directory: Path) -> dict[Path, int]:
    """A file for each table with its column names first; how many rows each has. NULL is empty."""
    written: dict[Path, int] = {}
    with reading(journal) as connection:
        for table, columns in _tables(connection, journal):
            path, count = directory / f"{table}.csv", 0
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(columns)
                for rows in _rows(connection, table):
                    writer.writerows(rows)
                    count += len(rows)
            written[path] = count
    return written


def to_parquet(journal: Path, directory: Path) -> dict[Path, int]:
    """A file for each table; how many rows each has. Raises ``EnergyError`` without pyarrow."""
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter
    except ImportError as error:
        raise EnergyError(NO_PYARROW) from error
    written: dict[Path, int] = {}
    with reading(journal) as connection:
        for table, columns in _tables(connection, journal):
            path, count = directory / f"{table}.parquet", 0
            schema = pa.schema(
                [(name, getattr(pa, _ARROW[kind])()) for name, kind in columns.items()]
            )
            with ParquetWriter(path, schema) as writer:
                for rows in _rows(connection, table):
                    by_column = [list(column) for column in zip(*rows, strict=True)]
                    writer.write_table(pa.table(by_column, schema=schema))
                    count += len(rows)
            written[path] = count
    return written


def _tables(connection: sqlite3.Connection, journal: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The tables that this journal has, with the columns and their kinds."""
    meta_of(connection, journal)
    for table in TABLES:
        columns = connection.execute(f"PRAGMA table_info({table})").fetchall()
        if columns:
            yield table, {str(column[1]): str(column[2]) for column in columns}


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[Sequence[tuple[Any, ...]]]:
    found = connection.execute(f"SELECT * FROM {table} ORDER BY rowid")
    while rows := found.fetchmany(AT_ONCE):
        yield rows
