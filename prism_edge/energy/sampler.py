"""Power samples that this process reads from sysfs itself, in a thread of its own.

A read waits for the sensor to convert, up to 40 ms for three rails: too long for an event loop. A
sample is stamped in the middle of its reads.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from prism_edge.energy.rails import NO_RAILS, Total, total_of
from prism_edge.energy.sample import Sample
from prism_edge.energy.sysfs import Board
from prism_edge.errors import EnergyError

GATHER_S = 0.2  # samples that come faster are handed over together: waking somebody costs as much
# when its reads began and ended, CLOCK_REALTIME at the end, rails, zones, events
Reading = tuple[float, float, float, dict[str, float], dict[str, float], dict[str, int]]
PATIENCE = 5  # readings without any rail, before that is an error
TEMPERATURES_S = 1.0
SILENCE_S = 10.0
GRACE_S = 2.0


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
        self._silence_s = max(SILENCE_S, 3 * interval_s)
        self._declared = tuple(total)
        self._root = root
        self._read: asyncio.Queue[list[Sample | str]] = asyncio.Queue()
        self._batch: list[Sample | str] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    async def __aenter__(self) -> SysfsSource:
        loop = asyncio.get_running_loop()

        def hand_over(samples: list[Sample | str]) -> None:
            with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody listens
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
            await asyncio.to_thread(self._thread.join, GRACE_S)  # a driver may be stuck

    def __aiter__(self) -> SysfsSource:
        return self

    async def __anext__(self) -> Sample:
        if not self._batch:
            # before Python 3.12 wait_for may swallow that the caller is cancelled
            reading = asyncio.ensure_future(self._read.get())
            try:
                await asyncio.wait({reading}, timeout=self._silence_s)
                if not reading.done():
                    raise EnergyError(
                        f"board {self._board}: sysfs: no reading for {self._silence_s:g} s; "
                        "look for errors of i2c in the kernel's log"
                    )
                self._batch = reading.result()[::-1]
            finally:
                reading.cancel()
        sample = self._batch.pop()
        if isinstance(sample, str):
            raise EnergyError(f"board {self._board}: sysfs: {sample}")
        self.rule = sample.rule
        return sample

    def _run(self, hand_over: Callable[[list[Sample | str]], None]) -> None:
        sensors = Board(self._root)
        total = total_of([rail.name for rail in sensors.rails], self._declared)
        batch: list[Reading] = []
        empty, next_s, handed_s, warmed_s = 0, time.monotonic(), -math.inf, -math.inf
        try:
            while empty < PATIENCE and self._due(next_s):
                start_s = time.monotonic()
                rails_mw = sensors.rails_mw()
                now_s, t_s = time.monotonic(), time.time()
                next_s = max(next_s + self._interval_s, now_s)
                empty = 0 if rails_mw else empty + 1
                if rails_mw:
                    warm = start_s - warmed_s >= TEMPERATURES_S
                    warmed_s = start_s if warm else warmed_s
                    temps_c = sensors.temps_c() if warm else {}
                    batch.append((start_s, now_s, t_s, rails_mw, temps_c, sensors.events()))
                if batch and now_s - handed_s >= GATHER_S:
                    hand_over([self._sample(total, *reading) for reading in batch])
                    batch, handed_s = [], now_s
            hand_over([*(self._sample(total, *reading) for reading in batch), NO_RAILS])
        finally:
            sensors.close()

    def _due(self, next_s: float) -> bool:
        """Whether it is time, not the end. Sleeping is cheaper than waiting for an event."""
        while not self._stop.is_set():
            wait_s = next_s - time.monotonic()
            if wait_s <= 0:
                return True
            time.sleep(min(wait_s, GATHER_S))
        return False

    def _sample(
        self,
        total: Total | None,
        start_s: float,
        stop_s: float,
        t_s: float,
        rails_mw: dict[str, float],
        temps_c: dict[str, float],
        events: dict[str, int],
    ) -> Sample:
        half_s = (stop_s - start_s) / 2
        return Sample(
            board=self._board,
            t_s=t_s - half_s,
            power_w=None if total is None else total.power_w(rails_mw),
            source="sensor",
            monotonic_s=stop_s - half_s,
            rule=None if total is None else total.rule,
            rails_mw=rails_mw,
            temps_c=temps_c,
            events=events,
        )
