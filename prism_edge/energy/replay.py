"""Twins of a power source that need no hardware: a recorded file, and nothing at all."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

from prism_edge.energy.sample import Label, Sample
from prism_edge.energy.source import TegrastatsLines
from prism_edge.errors import EnergyError

OFFSET = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,12})?")


class ReplaySource:
    """The samples of a recorded file at ``start_s`` plus each line's offset.

    A line of the file is the offset in seconds, a blank, and the tegrastats line as it was printed;
    with ``interval_s`` it is the line alone, so long after the one before. ``speed`` 1 is the pace
    it was recorded at, 0 is without waiting. Lines without power yield nothing, exactly as in a
    live source. Raises EnergyError for a file that cannot be read, an offset that is no number, and
    a file without any power reading.
    """

    def __init__(
        self,
        *,
        board: str,
        path: Path,
        start_s: float,
        source: Label = "sensor",
        total: Sequence[str] = (),
        interval_s: float | None = None,
        speed: float = 0.0,
    ) -> None:
        self.rule: str | None = None
        self._path = path
        self._start_s = start_s
        self._read = TegrastatsLines(board=board, source=source, total=total)
        self._interval_s = interval_s
        self._speed = speed
        self._rows: Iterator[tuple[int, str]] = iter(())
        self._began_s = 0.0
        self._sampled = False

    async def __aenter__(self) -> ReplaySource:
        try:
            text = self._path.read_text(errors="replace")
        except OSError as error:
            raise EnergyError(
                f"{self._path}: cannot be replayed: {error.strerror}; "
                "name a file of 'offset_s tegrastats-line' rows"
            ) from error
        self._rows = enumerate(text.splitlines(), start=1)
        self._began_s = time.monotonic()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def __aiter__(self) -> ReplaySource:
        return self

    async def __anext__(self) -> Sample:
        reason = "the file is empty"
        for number, row in self._rows:
            offset_s, line = self._split(number, row)
            sample = self._read(line, self._start_s + offset_s)
            if isinstance(sample, str):
                reason = sample
                continue
            self.rule = sample.rule or self.rule
            self._sampled = True
            if self._speed > 0:
                due_s = self._began_s + offset_s / self._speed
                await asyncio.sleep(due_s - time.monotonic())
            return sample
        if not self._sampled:
            raise EnergyError(f"{self._path}: no power reading: {reason}")
        raise StopAsyncIteration

    def _split(self, number: int, row: str) -> tuple[float, str]:
        if self._interval_s is not None:
            return (number - 1) * self._interval_s, row
        offset, _, line = row.partition(" ")
        if not OFFSET.fullmatch(offset):
            raise EnergyError(
                f"{self._path}:{number}: {offset[:40]!r} is no offset in seconds; "
                "a row is 'offset_s tegrastats-line'"
            )
        return float(offset), line


class EmptySource:
    """No samples: the source of a board without a power sensor."""

    def __init__(self) -> None:
        self.rule: str | None = None

    async def __aenter__(self) -> EmptySource:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def __aiter__(self) -> EmptySource:
        return self

    async def __anext__(self) -> Sample:
        raise StopAsyncIteration
