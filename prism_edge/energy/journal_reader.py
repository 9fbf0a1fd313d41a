"""What was committed to a journal, read beside its writer or after it was killed."""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from prism_edge.energy.journal_file import meta_of, told
from prism_edge.energy.rows import DecisionRow, EventRow, JournalData, RequestRow
from prism_edge.energy.sample import Sample
from prism_edge.errors import JournalError

EVER = (-math.inf, math.inf)


def is_journal(path: Path) -> bool:
    """It begins as every SQLite file does."""
    try:
        with path.open("rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return False


def read(path: Path, between: tuple[float, float] = EVER) -> JournalData:
    """What happened ``between`` two moments by CLOCK_REALTIME; clock offsets of any time.

    All but the decisions and the rails, which are many. Raises JournalError for a file that is
    missing, not a journal, damaged or of another schema.
    """
    with reading(path) as connection:
        meta = meta_of(connection, path)
        samples = connection.execute(
            "SELECT board, t_s, power_w, source FROM samples WHERE t_s BETWEEN ? AND ? "
            "ORDER BY t_s, rowid",
            between,
        )
        requests = connection.execute(
            "SELECT * FROM requests WHERE stop_s >= ? AND start_s <= ? ORDER BY start_s, rowid",
            between,
        )
        requests.row_factory = sqlite3.Row
        found = connection.execute(
            "SELECT t_s, kind, detail FROM events WHERE kind = 'clock' OR t_s BETWEEN ? AND ? "
            "ORDER BY t_s, rowid",
            between,
        )
        events = tuple(EventRow(t_s=t, kind=k, detail=d) for t, k, d in found)
        gaps = dict(_gap(event) for event in events if event.kind == "gap")
        return JournalData(
            meta=meta,
            samples=tuple(
                Sample(board=b, t_s=t, power_w=p, source=s, gap=gaps.get((b, t)))
                for b, t, p, s in samples
            ),
            requests=tuple(_request(row) for row in requests),
            events=events,
        )


def ends(path: Path) -> JournalData:
    """The first and the last sample of every board, and the clock offsets."""
    with reading(path) as connection:
        meta = meta_of(connection, path)
        samples = connection.execute(
            "SELECT board, min(t_s), power_w, source FROM samples GROUP BY board UNION ALL "
            "SELECT board, max(t_s), power_w, source FROM samples GROUP BY board"
        )
        found = connection.execute("SELECT t_s, kind, detail FROM events WHERE kind = 'clock'")
        return JournalData(
            meta=meta,
            samples=tuple(Sample(board=b, t_s=t, power_w=p, source=s) for b, t, p, s in samples),
            requests=(),
            events=tuple(EventRow(t_s=t, kind=k, detail=d) for t, k, d in found),
        )


def decisions(path: Path) -> Iterator[tuple[int, DecisionRow]]:
    """Every committed decision row in the order it was written, with its number in the file.

    Read as it is asked for, from one snapshot. Raises JournalError like ``read``; a journal of
    before there were decisions has none.
    """
    with reading(path) as connection:
        meta_of(connection, path)
        if ("decisions",) not in connection.execute("SELECT name FROM sqlite_master").fetchall():
            return
        rows = connection.execute(
            "SELECT number, t_s, event, plan, why, request FROM decisions ORDER BY number"
        )
        for number, t_s, event, plan, why, request in rows:
            yield number, DecisionRow(t_s=t_s, event=event, plan=plan, why=why, request=request)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One snapshot of all tables; whatever is wrong with the file is a JournalError."""
    if not path.is_file():
        raise JournalError(f"{path}: no such journal; a leader writes one while it serves")
    where = f"file:{quote(str(path.absolute()))}?mode=ro"
    with told(path), contextlib.closing(sqlite3.connect(where, uri=True)) as connection:
        connection.execute("BEGIN")
        yield connection


def _gap(event: EventRow) -> tuple[tuple[str, float], str]:
    said = json.loads(event.detail or "{}")
    return (str(said.get("board")), event.t_s), str(said.get("why"))


def _request(row: sqlite3.Row) -> RequestRow:
    values = dict(row)
    values["spans"] = tuple(tuple(span) for span in json.loads(values["spans"]))
    values["forced"], values["ok"] = bool(values["forced"]), bool(values["ok"])
    return RequestRow(**values)
