"""Rows of a table file by column name, each with where it stands: .jsonl, .csv, .tsv, .parquet,
.arrow."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prism_edge.errors import InputError

DELIMITERS = {".csv": ",", ".tsv": "\t"}
COLUMNS = (".parquet", ".arrow")
SUFFIXES = (".jsonl", *DELIMITERS, *COLUMNS)
NO_PYARROW = (
    "{path}: reading {suffix} needs pyarrow, which is not installed: "
    "pip install 'prism-edge[parquet]', or convert it to .jsonl"
)
Row = tuple[str, Mapping[str, Any]]


def read_rows(path: Path, limit: int | None = None) -> list[Row]:
    """The first rows of a file. Raises ``InputError`` with file and line."""
    try:
        if path.suffix in COLUMNS:
            return _columns(path, limit)
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix in DELIMITERS:
                table = csv.DictReader(file, delimiter=DELIMITERS[path.suffix])
                rows: list[Row] = [(f"{path}:{table.line_num}", row) for row in table]
                return rows[:limit]
            lines = [(number, line) for number, line in enumerate(file, 1) if line.strip()]
        return [_object(f"{path}:{number}", line) for number, line in lines[:limit]]
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def _object(where: str, line: str) -> Row:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise InputError(f"{where}: not JSON ({error})") from error
    if not isinstance(found, dict):
        raise InputError(f"{where}: a JSON object is needed")
    return where, found


def _columns(path: Path, limit: int | None) -> list[Row]:
    try:
        import pyarrow as pa
        from pyarrow import ipc, parquet
    except ImportError as error:
        raise InputError(NO_PYARROW.format(path=path, suffix=path.suffix)) from error
    try:
        if path.suffix == ".parquet":
            table = parquet.read_table(path, partitioning=None)
        else:
            with pa.memory_map(str(path)) as file:
                # the hub's library writes streams; other programs write files
                is_file = file.read(6) == b"ARROW1"
                file.seek(0)
                table = (ipc.open_file if is_file else ipc.open_stream)(file).read_all()
        found = table.slice(0, limit).to_pylist()
    except pa.ArrowException as error:
        raise InputError(f"{path}: not {path.suffix} that can be read ({error})") from error
    return [(f"{path}, row {number}", row) for number, row in enumerate(found)]
