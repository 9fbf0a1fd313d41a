"""The journal: every sample, executed batch, event and decision of one leader, in one SQLite file.

Appending is a queue operation and never waits for the disk, so an event loop may do it; a thread
writes what has gathered twice a second. A killed process loses at most a second and leaves a
readable file (WAL), and so does a power cut: every commit is synced. Readers work while the writer
is open. What cannot be written, because the disk is full, waits in memory until it can be; of what
no longer fits there, the file is told how much it was. The oldest rows go by age and by size of the
file (``Keep``). Missing values are NULL.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from types import TracebackType

import prism_edge
from prism_edge.energy.journal_file import (
    LATER_TABLES,
    SCHEMA,
    TABLES,
    WAL_BYTES,
    Keep,
    make_room,
    meta_of,
    told,
)
from prism_edge.energy.journal_reader import decisions, read
from prism_edge.energy.rows import DecisionRow, EventRow, JournalData, RequestRow
from prism_edge.energy.sample import Sample
from prism_edge.errors import JournalError

__all__ = [
    "DecisionRow",
    "EventRow",
    "Journal",
    "JournalData",
    "RequestRow",
    "decisions",
    "read",
]

KEPT = 20_000  # rows that wait in memory while the file cannot be written
FLUSH_S = 0.5
SLOWER = 5.0  # trying again, than writing
ROOM_S = 60.0  # between looks at how old and how large it is


class Journal:
    """The one writer of a journal; made by ``Journal.open``, ended by ``close``.

    ``complaint`` says why the last write failed, None: it did not. It is tried again and again.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, keep: Keep, flush_every_s: float
    ) -> None:
        self._path = path
        self._connection = connection
        self._keep = keep
        self._looked_s = time.monotonic()  # at how much is kept
        self._rows: deque[tuple[str, tuple[object, ...]]] = deque()
        self._missed = 0  # rows that there was no room for, neither there nor here
        self._counting = threading.Lock()
        self._writing = threading.Lock()
        self._closing = threading.Event()
        self.complaint: str | None = None
        self._closed = False
        self._thread = threading.Thread(
            target=self._flush_regularly, args=(flush_every_s,), name="journal", daemon=True
        )
        self._thread.start()

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        cluster: str,
        kind: str,
        power: Mapping[str, str],
        conditions: Mapping[str, str] | None = None,
        keep: Keep | None = None,
        flush_every_s: float = FLUSH_S,
    ) -> Journal:
        """A writer on ``path``: a new file, or one of the same cluster and kind to be continued.

        ``power`` is each board's label (sensor, modelled, none); ``conditions``: what a reader must
        know of the measurement. Raises JournalError for a file that is not a journal, of another
        schema, or of another cluster or kind.
        """
        labels = {f"power.{board}": label for board, label in power.items()}
        labels |= {f"condition.{name}": said for name, said in (conditions or {}).items()}
        wanted = {"cluster": cluster, "kind": kind}
        with told(path), contextlib.ExitStack() as undo:
            connection = sqlite3.connect(path, check_same_thread=False)
            undo.callback(connection.close)
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                connection.execute("PRAGMA journal_mode=WAL")
                first = {"schema": SCHEMA, "created": f"{time.time():.3f}", **wanted}
                connection.executescript(f"BEGIN; {TABLES}")
                connection.executemany("INSERT INTO meta VALUES (?, ?)", first.items())
                connection.commit()
            connection.execute("PRAGMA synchronous=FULL")  # a commit survives a power cut
            connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
            meta = meta_of(connection, path)
            for key, value in wanted.items():
                if meta.get(key) != value:
                    raise JournalError(
                        f"{path}: is the journal of {key} {meta.get(key)!r}, not of {value!r}; "
                        "name another file or move this one away"
                    )
            for table in LATER_TABLES:
                connection.execute(table)
            labels["prism_edge"] = prism_edge.__version__
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", labels.items())
            connection.commit()
            undo.pop_all()
        return cls(path, connection, keep or Keep(), flush_every_s)

    def sample(self, sample: Sample) -> None:
        """The sample is on its way to the file, at most a second from it."""
        if sample.power_w is not None:
            row = (sample.board, sample.t_s, sample.power_w, sample.source)
            self._append("INSERT INTO samples VALUES (?, ?, ?, ?)", row)
        if sample.gap is not None:
            self.event(_about("gap", sample, {"why": sample.gap}))
        if sample.events:
            self.event(_about("throttle", sample, dict(sample.events)))

    def rails(self, sample: Sample) -> None:
        """The sample's rails are on their way to the file."""
        row = (sample.board, sample.t_s, json.dumps(dict(sample.rails_mw)))
        self._append("INSERT INTO rails VALUES (?, ?, ?)", row)

    def condition(self, name: str, said: str) -> None:
        """One more condition, known only now, is on its way to the file."""
        row = (f"condition.{name}", said)
        self._append("INSERT OR REPLACE INTO meta VALUES (?, ?)", row)

    def request(self, request: RequestRow) -> None:
        """The executed batch is on its way to the file."""
        *row, spans = astuple(request)
        marks = ", ".join("?" * (len(row) + 1))
        self._append(f"INSERT INTO requests VALUES ({marks})", (*row, json.dumps(spans)))

    def event(self, event: EventRow) -> None:
        """The event is on its way to the file."""
        self._append("INSERT INTO events VALUES (?, ?, ?)", astuple(event))

    def decision(self, decision: DecisionRow) -> None:
        """The event, with what was decided, is on its way to the file behind those before it."""
        self._append("INSERT INTO decisions VALUES (NULL, ?, ?, ?, ?, ?)", astuple(decision))

    def flush(self) -> None:
        """Everything appended before this call is in the file; a few milliseconds, so rarely.

        Raises JournalError when it is not; then it is kept for the next time.
        """
        with self._writing:
            self._raise_if_closed()
            rows = [self._rows.popleft() for _ in range(len(self._rows))]
            missed = self._missed
            if not rows and not missed:
                return
            try:
                with self._connection:
                    for statement, row in (*rows, *_gap(missed)):
                        self._connection.execute(statement, row)
            except (sqlite3.Error, ValueError, TypeError, OverflowError) as error:
                self.complaint = f"{self._path}: cannot be written: {error}"
                if isinstance(error, sqlite3.OperationalError):
                    self._rows.extendleft(reversed(rows))
                else:  # it is the rows that are wrong, not the disk
                    self._miss(len(rows))
                raise JournalError(self.complaint) from error
            self._miss(-missed)
            self.complaint = None

    def close(self) -> None:
        """Everything is in the file and the file is closed, also when the last write failed."""
        if self._closed:
            return
        self._closing.set()
        self._thread.join()
        try:
            self.flush()
        finally:
            self._closed = True
            self._connection.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _append(self, statement: str, row: tuple[object, ...]) -> None:
        self._raise_if_closed()
        if len(self._rows) < KEPT:
            self._rows.append((statement, row))
        else:
            self._miss(1)

    def _miss(self, rows: int) -> None:
        with self._counting:
            self._missed += rows

    def _raise_if_closed(self) -> None:
        if self._closed:
            raise JournalError(f"{self._path}: is closed; open it again to write")

    def _flush_regularly(self, every_s: float) -> None:
        while not self._closing.wait(every_s if self.complaint is None else SLOWER * every_s):
            with contextlib.suppress(JournalError):  # told by ``complaint``
                self.flush()
            if time.monotonic() - self._looked_s >= ROOM_S:
                self.make_room()

    def make_room(self) -> None:
        """Rows over the limits are gone, or will be when the file can be written."""
        with self._writing, contextlib.suppress(sqlite3.Error):
            now_s = time.monotonic()
            make_room(self._connection, self._keep, now_s - self._looked_s)
            self._looked_s = now_s


def _about(kind: str, sample: Sample, said: Mapping[str, object]) -> EventRow:
    detail = json.dumps({"board": sample.board, **said})
    return EventRow(t_s=sample.t_s, kind=kind, detail=detail)


def _gap(rows: int) -> list[tuple[str, tuple[object, ...]]]:
    """What says that ``rows`` are missing here; the decision is one that no replay goes beyond."""
    if rows == 0:
        return []
    t_s, said = time.time(), f"{rows} rows are missing: the journal could not be written"
    return [
        ("INSERT INTO events VALUES (?, ?, ?)", (t_s, "journal", said)),
        ("INSERT INTO decisions VALUES (NULL, ?, ?, NULL, NULL, NULL)", (t_s, said)),
    ]
