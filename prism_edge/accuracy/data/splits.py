"""Where a split lies in a folder as the hub, its cache or its library lay data out."""

from __future__ import annotations

import re
from pathlib import Path

from prism_edge.accuracy.data.rows import COLUMNS, Row, read_rows
from prism_edge.errors import InputError


def split_files(folder: Path, split: str) -> list[Path]:
    """All shards of a split, in order: ``validation-00000-of-00001.parquet``,
    ``validation/0000.parquet``, ``glue-validation.arrow`` or ``validation/data-*.arrow``."""
    named = re.compile(rf"(.+-)?{re.escape(split)}(-\d+-of-\d+)?", re.ASCII)
    for suffix in COLUMNS:
        found = [
            file
            for file in sorted(folder.rglob(f"*{suffix}"))
            if named.fullmatch(file.stem) or file.parent.name == split
        ]
        if found:
            return found
    return []


def split_rows(path: Path, split: str, limit: int | None = None) -> list[Row]:
    """The first rows of a file, or of a split in a folder. Raises ``InputError``."""
    files = [path] if path.is_file() else split_files(path, split)
    if not files:
        raise InputError(
            f"{path}: holds no {split} split as .parquet or .arrow; name the file itself"
        )
    rows: list[Row] = []
    for file in files:
        if limit is None or len(rows) < limit:
            rows += read_rows(file, None if limit is None else limit - len(rows))
    return rows
