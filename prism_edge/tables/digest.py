"""The identity of a profile's tables: the same bytes have the same digest, other bytes another."""

from __future__ import annotations

import hashlib
from pathlib import Path

from prism_edge.errors import TableError
from prism_edge.tables.log import LOG
from prism_edge.tables.rows import HEADER, REMEDY, TABLES

HEX_DIGITS = 16  # as many as a model's fingerprint has


def digest(directory: Path) -> str:
    """16 hexadecimal digits over the bytes of every table in ``directory``, of profile.toml and of
    the log of a run that has not ended.

    A file that is not there counts as such. Raises ``TableError`` when there is no profile.
    """
    found = hashlib.sha256()
    for name in (HEADER, *(f"{table}.csv" for table in TABLES), LOG):
        path = directory / name
        try:
            body = path.read_bytes()
        except FileNotFoundError as error:
            if name == HEADER and not (directory / LOG).exists():
                raise TableError(f"{path}: no such file; {REMEDY}") from error
            continue
        except OSError as error:
            raise TableError(f"{path}: cannot be read ({error}); {REMEDY}") from error
        found.update(f"{name} {len(body)}\n".encode() + body)
    return found.hexdigest()[:HEX_DIGITS]
