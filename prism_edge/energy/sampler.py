"""Power samples that this process reads from sysfs itself, in a thread of its own.

A read waits for the sensor to convert, up to 40 ms for three rails: too long for an event loop. A
sample is stamped in the middle of its reads.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from prism_edge.energy.rails import NO_RAILS, total_of
from prism_edge.energy.sample import Sample
from prism_edge.energy.sysfs import Board
from prism_edge.errors import EnergyError

GATHER_S = 0.2  # samples that come faster are handed over together: waking somebody costs as much
PATIENCE = 5  # readings without any rail, before that is an error
TEMPERATURES_S = 1.0


class SysfsSource:
    """The samples of the board under ``root``, every ``interval_s`` or as fast as its sensors are.

    Raises EnergyError when there is no sensor, and when five readings in a row hold no rail.
    """

    def __init__(
        self,
        *,
        board: str,
        interval_s: float = 0.1,
        total: Sequence[str] = (),
        root: Path = Path("/"),
    ) -> None:
        if not interval_s > 0:
            raise ValueError(f"interval_s is {interval_s}; it must be above 0")
        self.rule: str | None = None
        self._board = board
        self._interval_s = interval_s
        self._declared = tuple(total)
        self._root = root
        self._read: asyncio.Queue[list[Sample | str]] = asyncio.Queue()
        self._batch: list[Sample | str] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    async def __aenter__(self) -> SysfsSource:
        loop = asyncio.get_running_loop()

        def hand_over(samples: list[Sample | str]) -> None:
            loop.call_soon_threadsafe(self._read.put_nowait, samples)

        self._thread = threading.Thread(
            target=self._run, args=(hand_over,), name="power", daemon=True
        )
        self._thread.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)

    def __aiter__(self) -> SysfsSource:
        return self

    async def __anext__(self) -> Sample:
        if not self._batch:
            self._batch = (await self._read.get())[::-1]
        sample = self._batch.pop()
        if isinstance(sample, str):
            raise EnergyError(f"board {self._board}: sysfs: {sample}")
        self.rule = sample.rule
        return sample

    def _run(self, hand_over: Callable[[list[Sample | str]], None]) -> None:
        sensors = Board(self._root)
        total = total_of([rail.name for rail in sensors.rails], self._declared)
        empty, next_s, temperatures_s, handed_s = 0, time.monotonic(), -math.inf, -math.inf
        batch: list[Sample | str] = []
        try:
            while empty < PATIENCE and not self._stop.wait(max(0.0, next_s - time.monotonic())):
                start_s = time.monotonic()
                rails_mw = sensors.rails_mw()
                stop_s = time.monotonic()
                next_s = max(next_s + self._interval_s, stop_s)
                empty = 0 if rails_mw else empty + 1
                if not rails_mw:
                    continue
                warm = start_s - temperatures_s >= TEMPERATURES_S
                temperatures_s = start_s if warm else temperatures_s
                monotonic_s = (start_s + stop_s) / 2
                batch.append(
                    Sample(
                        board=self._board,
                        t_s=time.time() - (time.monotonic() - monotonic_s),
                        power_w=None if total is None else total.power_w(rails_mw),
                        source="sensor",
                        monotonic_s=monotonic_s,
                        rule=None if total is None else total.rule,
                        rails_mw=rails_mw,
                        temps_c=sensors.temps_c() if warm else {},
                        events=sensors.events(),
                    )
                )
                if stop_s - handed_s >= GATHER_S:
                    hand_over(batch)
                    batch, handed_s = [], stop_s
            if not self._stop.is_set():
                hand_over([*batch, NO_RAILS])
        finally:
            sensors.close()
