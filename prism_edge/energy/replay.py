"""Twins of a power source that need no hardware: a recorded file, and nothing at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from prism_edge.energy.sample import Label, Sample
from prism_edge.energy.source import tegrastats_power_w
from prism_edge.errors import EnergyError

OFFSET = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,12})?")


class ReplaySource:
    """The samples of a recorded file at ``start_s`` plus each line's offset, without waiting.

    A line of the file is the offset in seconds, a blank, and the tegrastats line as it was
    printed. Lines without power yield nothing, exactly as in a live source. Raises EnergyError for
    a file that cannot be read, an offset that is no number, and a file without any power reading.
    """

    def __init__(self, *, board: str, path: Path, start_s: float, source: Label = "sensor") -> None:
        self.rule: str | None = None
        self._board = board
        self._path = path
        self._start_s = start_s
        self._source: Label = source
        self._rows: Iterator[tuple[int, str]] = iter(())

    async def __aenter__(self) -> ReplaySource:
        try:
            text = self._path.read_text(errors="replace")
        except OSError as error:
            raise EnergyError(
                f"{self._path}: cannot be replayed: {error.strerror}; "
                "name a file of 'offset_s tegrastats-line' rows"
            ) from error
        self._rows = enumerate(text.splitlines(), start=1)
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
            offset, _, line = row.partition(" ")
            power_w, reason = tegrastats_power_w(line)
            if not OFFSET.fullmatch(offset):
                raise EnergyError(
                    f"{self._path}:{number}: {offset[:40]!r} is no offset in seconds; "
                    "a row is 'offset_s tegrastats-line'"
                )
            if power_w is not None:
                self.rule = reason
                t_s = self._start_s + float(offset)
                return Sample(board=self._board, t_s=t_s, power_w=power_w, source=self._source)
        if self.rule is None:
            raise EnergyError(f"{self._path}: no power reading: {reason}")
        raise StopAsyncIteration


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
