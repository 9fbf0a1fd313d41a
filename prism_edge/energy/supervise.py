"""A source that has died is started again, later each time; its samples say what was lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType

from prism_edge.energy.sample import PowerSource, Sample
from prism_edge.errors import EnergyError

FIRST_S = 0.5
MOST_S = 30.0  # between two starts; a source that has lived so long starts again at once


class Supervised:
    """The samples of one source after the other; the first after an outage carries it as ``gap``.

    ``lost`` is told the reason when an outage begins. A source that ends without an error (none, a
    replay) ends this one.
    """

    def __init__(
        self,
        make: Callable[[], PowerSource],
        lost: Callable[[str], None],
        *,
        first_s: float = FIRST_S,
        most_s: float = MOST_S,
    ) -> None:
        self.rule: str | None = None
        self._make = make
        self._lost = lost
        self._first_s = first_s
        self._most_s = most_s
        self._wait_s = first_s
        self._source: PowerSource | None = None
        self._started_s = 0.0
        self._gap: str | None = None

    async def __aenter__(self) -> Supervised:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._leave()

    def __aiter__(self) -> Supervised:
        return self

    async def __anext__(self) -> Sample:
        while True:
            try:
                sample = await (await self._running()).__anext__()
            except EnergyError as error:
                await self._leave()
                if self._gap is None:
                    self._gap = str(error)
                    self._lost(self._gap)
                await self._back_off()
                continue
            self.rule = sample.rule or self.rule
            gap, self._gap = self._gap, None
            return sample if gap is None else replace(sample, gap=gap)

    async def _running(self) -> PowerSource:
        if self._source is None:
            source = self._make()
            self._started_s = time.monotonic()
            await source.__aenter__()
            self._source = source
        return self._source

    async def _leave(self) -> None:
        source, self._source = self._source, None
        if source is not None:
            await source.__aexit__(None, None, None)

    async def _back_off(self) -> None:
        if time.monotonic() - self._started_s >= self._most_s:
            self._wait_s = self._first_s
        await asyncio.sleep(self._wait_s)
        self._wait_s = min(2 * self._wait_s, self._most_s)
