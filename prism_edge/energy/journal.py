"""The journal: every sample, executed batch, event and decision of one leader, in one SQLite file.

Appending is a queue operation and never waits for the disk, so an event loop may do it; a thread
writes what has gathered once a second. A killed process loses at most that second and leaves a
readable file (WAL); readers work while the writer is open. What cannot be written, because the disk
is full, waits in memory until it can be; of what no longer fits there, the file is told how much
it was. Missing values are NULL.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from urllib.parse import quote

import prism_edge
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

SCHEMA = "1"
KEPT = 20_000  # rows that wait in memory while the file cannot be written
SLOWER = 5.0  # trying again, than writing
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
# Journals of before have no decisions; one that is continued gets the table and keeps its rows.
DECISIONS = """CREATE TABLE IF NOT EXISTS decisions (number INTEGER PRIMARY KEY, t_s REAL NOT NULL,
    event TEXT NOT NULL, plan TEXT, why TEXT, request TEXT)"""


class Journal:
    """The one writer of a journal; made by ``Journal.open``, ended by ``close``.

    ``complaint`` says why the last write failed, None: it did not. It is tried again and again.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, flush_every_s: float) -> None:
        self._path = path
        self._connection = connection
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
        flush_every_s: float = 1.0,
    ) -> Journal:
        """A writer on ``path``: a new file, or one of the same cluster and kind to be continued.

        ``power`` is each board's label (sensor, modelled, none). Raises JournalError for a file
        that is not a journal, of another schema, or of another cluster or kind.
        """
        labels = {f"power.{board}": label for board, label in power.items()}
        wanted = {"cluster": cluster, "kind": kind}
        with _errors(path), contextlib.ExitStack() as undo:
            connection = sqlite3.connect(path, check_same_thread=False)
            undo.callback(connection.close)
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                connection.execute("PRAGMA journal_mode=WAL")
                first = {"schema": SCHEMA, "created": f"{time.time():.3f}", **wanted}
                connection.executescript(f"BEGIN; {TABLES}")
                connection.executemany("INSERT INTO meta VALUES (?, ?)", first.items())
                connection.commit()
            connection.execute("PRAGMA synchronous=FULL")
            meta = _meta(connection, path)
            for key, value in wanted.items():
                if meta.get(key) != value:
                    raise JournalError(
                        f"{path}: is the journal of {key} {meta.get(key)!r}, not of {value!r}; "
                        "name another file or move this one away"
                    )
            connection.execute(DECISIONS)
            labels["prism_edge"] = prism_edge.__version__
            connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", labels.items())
            connection.commit()
            undo.pop_all()
        return cls(path, connection, flush_every_s)

    def sample(self, sample: Sample) -> None:
        """The sample is on its way to the file, at most a second from it."""
        row = (sample.board, sample.t_s, sample.power_w, sample.source)
        self._append("INSERT INTO samples VALUES (?, ?, ?, ?)", row)

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


def _gap(rows: int) -> list[tuple[str, tuple[object, ...]]]:
    """What says that ``rows`` are missing here; the decision is one that no replay goes beyond."""
    if rows == 0:
        return []
    t_s, said = time.time(), f"{rows} rows are missing: the journal could not be written"
    return [
        ("INSERT INTO events VALUES (?, ?, ?)", (t_s, "journal", said)),
        ("INSERT INTO decisions VALUES (NULL, ?, ?, NULL, NULL, NULL)", (t_s, said)),
    ]


def read(path: Path) -> JournalData:
    """What was committed to a journal, also while its writer is open or after it was killed.

    All but the decisions, which are many. Raises JournalError for a file that is missing, not a
    journal, damaged or of another schema.
    """
    with _reading(path) as connection:
        meta = _meta(connection, path)
        samples = connection.execute(
            "SELECT board, t_s, power_w, source FROM samples ORDER BY t_s, rowid"
        )
        requests = connection.execute("SELECT * FROM requests ORDER BY start_s, rowid")
        requests.row_factory = sqlite3.Row
        events = connection.execute("SELECT t_s, kind, detail FROM events ORDER BY t_s, rowid")
        return JournalData(
            meta=meta,
            samples=tuple(Sample(board=b, t_s=t, power_w=p, source=s) for b, t, p, s in samples),
            requests=tuple(_request(row) for row in requests),
            events=tuple(EventRow(t_s=t, kind=k, detail=d) for t, k, d in events),
        )


def decisions(path: Path) -> Iterator[tuple[int, DecisionRow]]:
    """Every committed decision row in the order it was written, with its number in the file.

    Read as it is asked for, from one snapshot. Raises JournalError like ``read``; a journal of
    before there were decisions has none.
    """
    with _reading(path) as connection:
        _meta(connection, path)
        if ("decisions",) not in connection.execute("SELECT name FROM sqlite_master").fetchall():
            return
        rows = connection.execute(
            "SELECT number, t_s, event, plan, why, request FROM decisions ORDER BY number"
        )
        for number, t_s, event, plan, why, request in rows:
            yield number, DecisionRow(t_s=t_s, event=event, plan=plan, why=why, request=request)


@contextlib.contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """One snapshot of all tables; whatever is wrong with the file is a JournalError."""
    if not path.is_file():
        raise JournalError(f"{path}: no such journal; a leader writes one while it serves")
    where = f"file:{quote(str(path.absolute()))}?mode=ro"
    with _errors(path), contextlib.closing(sqlite3.connect(where, uri=True)) as connection:
        connection.execute("BEGIN")
        yield connection


def _request(row: sqlite3.Row) -> RequestRow:
    values = dict(row)
    values["spans"] = tuple(tuple(span) for span in json.loads(values["spans"]))
    values["forced"], values["ok"] = bool(values["forced"]), bool(values["ok"])
    return RequestRow(**values)


def _meta(connection: sqlite3.Connection, path: Path) -> dict[str, str]:
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
def _errors(path: Path) -> Iterator[None]:
    """What SQLite or a damaged row says, as one JournalError naming the file."""
    try:
        yield
    except (sqlite3.Error, ValueError, TypeError) as error:
        raise JournalError(
            f"{path}: is not a usable journal: {error}; name another file or move this one away"
        ) from error
