"""What a run has found out, on disk as it is found out: the log first, the tables at the end."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from prism_edge import tables
from prism_edge.errors import SettingsError, TableError
from prism_edge.profile.clock import WallClock
from prism_edge.profile.measured import Measured
from prism_edge.profile.opening import Opening
from prism_edge.profile.same import differences
from prism_edge.tables import Profile
from prism_edge.tables.files import read_tables
from prism_edge.tables.log import LOG, NOT_FINISHED, SWEPT, Log, Unfinished, read_log
from prism_edge.tables.reading import covered, partial, with_accuracy


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """What earlier runs left in a directory: whole tables, a log, both or nothing."""

    tables: Profile | None
    log: Unfinished | None

    @property
    def profile(self) -> Profile | None:
        """What a run that resumes continues."""
        return self.log.profile if self.log is not None else self.tables

    @property
    def swept(self) -> bool:
        """True when there is nothing left but refining."""
        return self.log.swept if self.log is not None else self.tables is not None


def left_before(directory: Path, *, resume: bool) -> Before:
    """What is in ``directory``. Raises ``SettingsError`` when a new run would lose a log there,
    ``TableError`` when a run cannot be resumed because its log is damaged."""
    try:
        whole = read_tables(directory).profile
    except TableError:
        whole = None
    log = read_log(directory)
    log = log if log is not None and log.keys else None
    if log is not None and not resume:
        raise SettingsError(
            f"{directory / LOG}: a run that has not ended is kept there ({covered(log)}); continue "
            f"it by --resume, remove the file to begin again, or give another --out"
        )
    return Before(tables=None if whole is None or partial(whole) else whole, log=log)


class Record:
    """The rows of one run. Nothing is written before the first cell is finished."""

    def __init__(
        self,
        directory: Path,
        opening: Opening,
        before: Before,
        *,
        started_s: float,
        clock: WallClock,
        resume: bool,
    ) -> None:
        """``started_s``: on the monotonic clock. Raises ``TableError`` when what is there cannot be
        continued by this run."""
        self._directory, self._opening, self._before = directory, opening, before
        self._clock = clock
        self._log: Log | None = None
        self._kept: list[str] = []  # warnings that outlive this run
        self._of_run: list[str] = []
        self._keys = set[str]()
        then = before.profile if resume else None
        self._run = 1 if then is None else 1 + int(_number(then, "runs", 1))
        if then is not None:
            check_same(directory, then, opening.head)
            self._kept += [text for text in [clock.behind(then.created)] if text]
        self._started_s = started_s - (0.0 if then is None else _number(then, "seconds", 0))
        self._then = then
        self._done_before = frozenset() if before.log is None else before.log.keys

    @property
    def done(self) -> frozenset[str]:
        """Keys of what is finished."""
        return self._done_before | self._keys

    @property
    def weight_before_s(self) -> float:
        """The weight of what earlier runs finished."""
        return self._before.log.weight_s if self._before.log is not None else 0.0

    @property
    def untouched(self) -> bool:
        """True when whole tables are there and this run has added nothing to them."""
        return self._then is not None and self._before.log is None and self._log is None

    def take(self, measured: Measured) -> None:
        """What is finished is on disk; a key names one thing, once."""
        assert measured.key not in self.done, measured.key
        self._kept += [text for text in [self._clock.jump()] if text]
        if measured.key:
            self._writer().cell(
                measured.key,
                measured.rows,
                weight_s=measured.weight_s,
                seconds=time.monotonic() - self._started_s,
                warning=measured.warning,
            )
            self._keys.add(measured.key)
        elif measured.warning:
            (self._kept if measured.lasting else self._of_run).append(measured.warning)
        if self._kept and self._log is not None:
            self._log.note(conditions={}, warnings=self._kept)
            self._kept = []

    def swept(self) -> None:
        """All there is has been measured."""
        self._writer().cell(SWEPT)

    def warn(self, texts: Sequence[str]) -> None:
        """What is true of this run only."""
        self._of_run += texts

    def profile(self) -> Profile:
        """All that is on disk; of whole tables that nothing was added to, what they hold."""
        if self._log is None and self._then is not None:
            return self._then
        return self._on_disk().profile

    def unchanged(self) -> Profile:
        """The tables as they stay on disk, with what is true of this run said as well."""
        whole = self.profile()
        said = dict.fromkeys((*whole.warnings, *self._kept, *self._of_run))
        return replace(whole, warnings=tuple(said))

    def close(self, conditions: Mapping[str, str], stopped: str | None) -> Profile:
        """The profile; it is in the tables unless the run stopped and whole ones are there. The log
        stays for a run that resumes when this one ``stopped``."""
        log = self._writer()
        of_run = (
            conditions
            if self._run == 1
            else {f"{key} (run {self._run})": value for key, value in conditions.items()}
        )
        of_all = {"seconds": f"{time.monotonic() - self._started_s:.1f}"}
        log.note(conditions={**of_run, **of_all}, warnings=self._kept)
        with log:
            profile = self.profile()
            if self._before.tables is not None:
                profile = with_accuracy(profile, self._before.tables)
            said = list(self._of_run)
            if stopped is not None:
                said.append(f"{NOT_FINISHED}{stopped}: {covered(self._on_disk())}")
            whole = self._before.tables if stopped is not None else None
            if whole is not None:
                said.append(f"the tables of {whole.created} stay in {self._directory} until then")
            profile = replace(profile, warnings=tuple(dict.fromkeys((*profile.warnings, *said))))
            if whole is None:
                tables.write(self._directory, profile)
            if stopped is None:
                log.remove()
        return profile

    def _on_disk(self) -> Unfinished:
        self._writer()
        found = read_log(self._directory)
        assert found is not None
        return found

    def _writer(self) -> Log:
        """The log, begun or continued."""
        if self._log is not None:
            return self._log
        if self._then is None:
            self._log = Log.begin(self._directory, self._opening.head, self._opening.planned)
            return self._log
        if self._before.log is not None:
            self._log = Log.proceed(self._directory, self._before.log)
        else:  # whole tables are refined: what they hold comes first
            bare = dict.fromkeys(tables.rows.TABLES, ())
            head = replace(self._then, **bare)  # type: ignore[arg-type]
            self._log = Log.begin(self._directory, head, self._opening.planned)
            rows = [row for table in tables.rows.TABLES for row in getattr(self._then, table)]
            self._log.cell("tables", rows)
            self._log.cell(SWEPT)
        resumed = {f"started (run {self._run})": self._clock.now(), "runs": str(self._run)}
        self._log.note(conditions=resumed)
        return self._log


def _number(profile: Profile, key: str, default: float) -> float:
    """A condition that is a number; conditions are texts, and may have been edited."""
    try:
        return float(profile.conditions.get(key, default))
    except ValueError:
        return default


def check_same(directory: Path, then: Profile, now: Profile) -> None:
    """Raises ``TableError`` when what is kept there is not what is asked for now."""
    found = list(differences(then, now))
    log = directory / LOG
    anew = f"remove {log}" if log.exists() else "leave out --resume"
    if found:
        raise TableError(
            f"{directory}: cannot be resumed: {'; '.join(found)}; set it back, or measure anew "
            f"({anew}, or give another --out)"
        )
