"""What a journal file is made of: its tables, what tells it from others, and how long rows stay.

A journal is one file. The oldest rows go when they are too old or the file is too large; the pages
they leave are used again, so that it does not grow beyond its limit.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from prism_edge.errors import JournalError

SCHEMA = "1"
TABLES = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE samples (board TEXT NOT NULL, t_s REAL NOT NULL, power_w REAL NOT NULL,
    source TEXT NOT NULL);
CREATE TABLE requests (id TEXT NOT NULL, model TEXT NOT NULL, batch INTEGER NOT NULL,
    plan TEXT NOT NULL, why TEXT, forced INTEGER NOT NULL, start_s REAL NOT NULL,
    stop_s REAL NOT NULL, latency_s REAL, ok INTEGER NOT NULL, error TEXT, wire_bytes INTEGER,
    spans TEXT NOT NULL);
CREATE TABLE events (t_s REAL NOT NULL, kind TEXT NOT NULL, detail TEXT);
"""
# Journals of before lack these; one that is continued gets them and keeps its rows.
LATER_TABLES = (
    """CREATE TABLE IF NOT EXISTS decisions (number INTEGER PRIMARY KEY, t_s REAL NOT NULL,
    event TEXT NOT NULL, plan TEXT, why TEXT, request TEXT)""",
    """CREATE TABLE IF NOT EXISTS rails (board TEXT NOT NULL, t_s REAL NOT NULL,
    rails_mw TEXT NOT NULL)""",
    # How far each table had come, and how long that has been, of the time it was written.
    "CREATE TABLE IF NOT EXISTS marks (age_s REAL NOT NULL, reached TEXT NOT NULL)",
)
WAL_BYTES = 16 * 2**20  # what stays of the log beside the file
MARK_S = 3600.0
AT_ONCE = 5000  # rows a transaction removes: others wait for it
_TABLES = ("samples", "rails", "requests", "events", "decisions")
# Without the offsets of clocks, samples that stay would be of no use.
_LEAVING = {"events": "kind <> 'clock'"}


def be_only_writer(path: Path) -> None:
    """No other process writes this journal for as long as this one lives, or ``JournalError``."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR, 0o644)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}; name another journal") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise JournalError(
            f"{path}: another process writes this journal; stop it, or name another one"
        ) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """How much stays: by default a month of running, and a gibibyte.

    ``days`` are counted while it is written: a board's clock may be years off until it is set, and
    nothing must go because of that.
    """

    days: float = 30.0
    bytes: int = 2**30


def make_room(connection: sqlite3.Connection, keep: Keep, passed_s: float) -> int:
    """Rows over the limits are gone; how many. ``passed_s``: of running, since the last call.

    Too large a file loses the oldest tenth of every table until it is not.
    """
    gone = 0
    with connection:
        connection.execute("UPDATE marks SET age_s = age_s + ?", (passed_s,))
        youngest = connection.execute("SELECT min(age_s) FROM marks").fetchone()[0]
        if youngest is None or youngest >= min(MARK_S, 86400 * keep.days):
            reached = {name: _rows(connection, name)[1] for name in _TABLES}
            connection.execute("INSERT INTO marks VALUES (0.0, ?)", (json.dumps(reached),))
    old = "FROM marks WHERE age_s >= ?"
    limit = (86400 * keep.days,)
    for (reached,) in connection.execute(f"SELECT reached {old} ORDER BY age_s", limit).fetchall():
        gone += sum(_remove(connection, name, row) for name, row in json.loads(reached).items())
    with connection:
        connection.execute(f"DELETE {old}", limit)
    while _used_bytes(connection) > keep.bytes:
        rows = {name: _rows(connection, name) for name in _TABLES}
        tenth = {name: first + (last - first) // 10 for name, (first, last) in rows.items()}
        removed = sum(_remove(connection, name, row) for name, row in tenth.items())
        if not removed:
            break
        gone += removed
    return gone


def _rows(connection: sqlite3.Connection, table: str) -> tuple[int, int]:
    """The first and the last row's number."""
    query = f"SELECT coalesce(min(rowid), 0), coalesce(max(rowid), 0) FROM {table}"
    first, last = connection.execute(query).fetchone()
    return int(first), int(last)


def _remove(connection: sqlite3.Connection, table: str, last: int) -> int:
    """How many rows there were up to that one. The last of all stays: no number is given twice."""
    gone = 0
    first, final = _rows(connection, table)
    last = min(last, final - 1)
    leaving = _LEAVING.get(table, "true")
    for begin in range(first, last + 1, AT_ONCE):
        with connection:
            gone += connection.execute(
                f"DELETE FROM {table} WHERE rowid BETWEEN ? AND ? AND {leaving}",
                (begin, min(begin + AT_ONCE - 1, last)),
            ).rowcount
    return gone


def _used_bytes(connection: sqlite3.Connection) -> int:
    pages, free, size = (
        int(connection.execute(f"PRAGMA {name}").fetchone()[0])
        for name in ("page_count", "freelist_count", "page_size")
    )
    return (pages - free) * size


def meta_of(connection: sqlite3.Connection, path: Path) -> dict[str, str]:
    """What a journal says of itself. Raises ``JournalError`` for a database that is none."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    if not {"meta", "samples", "requests", "events"} <= tables:
        raise JournalError(
            f"{path}: is a database, but not a prism-edge journal; name another file"
        )
    meta: dict[str, str] = dict(connection.execute("SELECT key, value FROM meta"))
    if meta.get("schema") != SCHEMA:
        raise JournalError(
            f"{path}: has journal schema {meta.get('schema')}, this prism-edge reads {SCHEMA}; "
            "use the version that wrote it"
        )
    return meta


@contextlib.contextmanager
def told(path: Path) -> Iterator[None]:
    """What SQLite or a damaged row says, as one ``JournalError`` naming the file."""
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise JournalError(
            f"{path}: is not a usable journal: {error}; name another file or move this one away"
        ) from error
