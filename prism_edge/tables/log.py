"""``unfinished.jsonl``: every finished cell of a run that has not ended, on disk before the next.

The first line is the profile without rows, every other one a finished cell, or what a later run
that continued found out. A line that was cut off at the end is no line. Each line carries a check
sum, because after a power cut a file may hold anything.
"""

from __future__ import annotations

import fcntl
import json
import os
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from prism_edge.errors import TableError
from prism_edge.tables.checked import build
from prism_edge.tables.csv_text import at
from prism_edge.tables.files import sync
from prism_edge.tables.head import head_of, profile_of
from prism_edge.tables.rows import TABLES, Profile, Row

LOG = "unfinished.jsonl"
SWEPT = "swept"  # the key of having measured all there is
NOT_FINISHED = "not finished: "  # a profile with a warning that begins so is partial
ANEW = "remove the file to begin again"
LOG_REMEDY = "remove the line, and `prism-edge profile --resume` measures its cell again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfinished:
    """What a log holds. ``planned``: cells by table; ``weight_s``: of the sweep, done so far;
    ``whole_bytes``: of the ``size_bytes`` of the file, up to a line that was cut off (``torn``)."""

    profile: Profile
    keys: frozenset[str]
    planned: Mapping[str, int]
    weight_s: float
    whole_bytes: int
    size_bytes: int

    @property
    def torn(self) -> bool:
        """True when the last line was cut off."""
        return self.size_bytes > self.whole_bytes

    @property
    def swept(self) -> bool:
        """True when nothing but refining was left to do."""
        return SWEPT in self.keys


class Log:
    """The one writer of a log. Use ``Log.begin`` or ``Log.proceed``."""

    def __init__(self, path: Path, file: int) -> None:
        self._path, self._file = path, file

    @classmethod
    def begin(cls, directory: Path, head: Profile, planned: Mapping[str, int]) -> Log:
        """A new log in ``directory``. Raises ``TableError`` when another run writes one there, or
        has left one."""
        log = cls._open(directory)
        found = read_log(directory)
        if found is not None and found.keys:
            raise log._meddled()
        os.ftruncate(log._file, 0)
        log._append({"log": 1, "head": head_of(head), "planned": dict(planned)})
        sync(directory)
        return log

    @classmethod
    def proceed(cls, directory: Path, found: Unfinished) -> Log:
        """The log in ``directory``, to be continued after its last whole line.

        Raises ``TableError`` when it is no longer as it was found.
        """
        log = cls._open(directory)
        if os.fstat(log._file).st_size != found.size_bytes:
            raise log._meddled()
        os.ftruncate(log._file, found.whole_bytes)
        return log

    def cell(
        self,
        key: str,
        rows: Sequence[Row] = (),
        *,
        weight_s: float = 0.0,
        seconds: float = 0.0,
        warning: str | None = None,
    ) -> None:
        """The cell ``key`` is finished and on disk; ``seconds``: of all runs, so far."""
        named = {
            table: [asdict(row) for row in rows if type(row) is cls]
            for table, cls in TABLES.items()
        }
        entry: dict[str, Any] = {
            "key": key,
            "rows": {t: found for t, found in named.items() if found},
        }
        entry |= {"weight_s": weight_s} if weight_s else {}
        entry |= {"conditions": {"seconds": f"{seconds:.1f}"}} if seconds else {}
        entry |= {"warnings": [warning]} if warning else {}
        self._append(entry)

    def note(self, *, conditions: Mapping[str, str], warnings: Sequence[str] = ()) -> None:
        """What the profile says from now on."""
        self._append({"conditions": dict(conditions), "warnings": list(warnings)})

    def remove(self) -> None:
        """Everything is in the tables; there is no log."""
        self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """The log stays for a run that continues."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def __enter__(self) -> Log:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @classmethod
    def _open(cls, directory: Path) -> Log:
        path = directory / LOG
        try:
            directory.mkdir(parents=True, exist_ok=True)
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise TableError(f"{path}: cannot be written ({error})") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(file)
            raise TableError(
                f"{path}: another `prism-edge profile` is writing it; wait for its end, or give "
                f"another --out"
            ) from error
        except OSError as error:
            os.close(file)
            raise TableError(f"{path}: cannot be locked ({error}); give another --out") from error
        return cls(path, file)

    def _meddled(self) -> TableError:
        self.close()
        return TableError(
            f"{self._path}: another `prism-edge profile` has written it meanwhile; start again "
            f"with --resume"
        )

    def _append(self, entry: Mapping[str, Any]) -> None:
        line = f"{_checked(entry)}\n".encode()
        before = os.fstat(self._file).st_size
        try:
            if os.write(self._file, line) != len(line):
                raise OSError("no space for the whole line")
            os.fsync(self._file)
        except OSError as error:
            os.ftruncate(self._file, before)
            raise TableError(f"{self._path}: cannot be written ({error})") from error


def read_log(directory: Path) -> Unfinished | None:
    """What the log in ``directory`` holds; None when there is none, or no whole line in it.

    A last line that was cut off is left out. Raises ``TableError`` naming file, line and remedy.
    """
    path = directory / LOG
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise TableError(f"{path}: cannot be read ({error})") from error
    lines = raw.split(b"\n")[:-1]
    if lines and _entry(lines[-1]) is None:
        lines.pop()  # written, but what reached the disk is something else
    if not lines:
        return None
    entries = list[dict[str, Any]]()
    for number, line in enumerate(lines, 1):
        entry = _entry(line)
        if entry is None:
            raise TableError(f"{path}:{number}: is not as it was written; {LOG_REMEDY}")
        entries.append(entry)
    whole_bytes = sum(map(len, lines)) + len(lines)
    try:
        with at(f"{path}:1", ANEW):
            if entries[0].get("log") != 1:
                raise TableError(f"log is {entries[0].get('log')!r}, this version reads 1")
            head = profile_of(entries[0]["head"])
        return _gathered(path, head, entries, whole_bytes=whole_bytes, size_bytes=len(raw))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise TableError(f"{path}: is no log of this version ({error!r}); {ANEW}") from error


def _gathered(
    path: Path,
    head: Profile,
    entries: Sequence[Mapping[str, Any]],
    *,
    whole_bytes: int,
    size_bytes: int,
) -> Unfinished:
    rows: dict[str, list[Row]] = {table: [] for table in TABLES}
    conditions, warnings = dict(head.conditions), list(head.warnings)
    for number, entry in enumerate(entries[1:], 2):
        with at(f"{path}:{number}", LOG_REMEDY):
            for table, found in entry.get("rows", {}).items():
                rows[table] += [_row(head, table, values) for values in found]
        conditions |= entry.get("conditions", {})
        warnings += entry.get("warnings", [])
    with at(str(path), LOG_REMEDY):
        profile = replace(
            head,
            conditions=conditions,
            warnings=tuple(dict.fromkeys(warnings)),
            **{table: tuple(found) for table, found in rows.items()},  # type: ignore[arg-type]
        )
    return Unfinished(
        profile=profile,
        keys=frozenset(entry["key"] for entry in entries if "key" in entry),
        planned=entries[0]["planned"],
        weight_s=sum(entry.get("weight_s", 0.0) for entry in entries),
        whole_bytes=whole_bytes,
        size_bytes=size_bytes,
    )


def _row(head: Profile, table: str, values: Mapping[str, Any]) -> Row:
    row = build(TABLES[table], values)
    head.check_names(row)
    return row


def _checked(entry: Mapping[str, Any]) -> str:
    body = json.dumps(entry)
    return f'{body[:-1]}, "check": "{zlib.crc32(body.encode()):08x}"}}'


def _entry(line: bytes) -> dict[str, Any] | None:
    """What ``_checked`` made a line of; None when it is anything else."""
    try:
        entry = json.loads(line)
        del entry["check"]
        return entry if _checked(entry).encode() == line else None
    except (ValueError, TypeError, KeyError):
        return None
