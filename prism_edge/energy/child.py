"""Power samples from a child process that prints one reading per line.

The thin edge: it starts the program, stamps every line on arrival and ends its own child, never
anyone else's (``tegrastats --stop`` would). Starting again after an error is the caller's decision.
The event loop must not be blocked: a line read late is stamped late.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import select
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

from prism_edge.energy.sample import Sample
from prism_edge.errors import EnergyError

PATIENCE_LINES = 5
GRACE_S = 2.0
LONGEST_LINE = 1 << 16  # bytes; a longer one holds no reading
GATHER_S = 0.2  # samples that come faster are handed over together: waking somebody costs as much
WAITING = 1000  # samples that nobody has asked for yet, before the child has to wait

Arrival = tuple[bytes, float, float]  # what was read, CLOCK_REALTIME, the monotonic clock
Read = Callable[[str, float, float], Sample | str]


class ChildSource:
    """The samples one child process prints; ``read`` turns a line, stamped with CLOCK_REALTIME and
    the monotonic clock, into a sample or says why it is none.

    The first ``discard`` lines are start-up artefacts. Raises EnergyError when the program cannot
    be started, when its first five lines hold no power, when it is silent for ``silence_s``, and
    when it ends: a source that stops is always said, so a missing reading never looks like an idle
    board. A child that is asked to end has ``grace_s`` to do so.
    """

    def __init__(
        self,
        *,
        board: str,
        name: str,
        argv: Sequence[str],
        read: Read,
        discard: int = 0,
        silence_s: float = 10.0,
        grace_s: float = GRACE_S,
    ) -> None:
        self.rule: str | None = None
        self._name = f"board {board}: {name}"
        self._argv = tuple(argv)
        self._read = read
        self._discard = discard
        self._silence_s = silence_s
        self._grace_s = grace_s
        self._lines: _Lines | None = None

    async def __aenter__(self) -> ChildSource:
        try:
            child = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,  # its complaint is then the last line we read
                bufsize=0,
            )
        except FileNotFoundError as error:
            raise EnergyError(
                f"{self._name} is not on PATH; "
                'on a board without a power sensor set power = "none" in cluster.toml'
            ) from error
        except OSError as error:
            raise EnergyError(
                f"{self._name} cannot be started: {error.strerror}; "
                "start it by hand as this user to see why"
            ) from error
        self._lines = _Lines(child, self._read, self._discard, self._silence_s)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._lines is not None, "a source is used inside 'async with'"
        await self._lines.end(self._grace_s)

    def __aiter__(self) -> ChildSource:
        return self

    async def __anext__(self) -> Sample:
        assert self._lines is not None, "a source is used inside 'async with'"
        sample = await self._lines.next()
        if isinstance(sample, str):
            raise EnergyError(f"{self._name}{sample}")
        self.rule = sample.rule or self.rule
        return sample


class _Lines:
    """The lines of a running child, stamped as they arrive and not when somebody asks for them.

    A thread waits for them: waking it costs a quarter of what waking an event loop does.
    """

    def __init__(
        self, child: subprocess.Popen[bytes], read: Read, discard: int, silence_s: float
    ) -> None:
        assert child.stdout is not None
        self._child, self._pipe = child, child.stdout
        self._read = read
        self._discard = discard
        self._silence_s = silence_s
        self._loop = asyncio.get_running_loop()
        self._found: deque[Sample | str] = deque()
        self._ready = asyncio.Event()
        self._part = b""
        self._count = 0
        self._last_line = ""
        self._sampled = False
        self._closing = False
        self._heard_s = self._loop.time()
        self._watch = self._loop.call_later(silence_s, self._look)
        self._room = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="power", daemon=True)
        self._thread.start()

    async def next(self) -> Sample | str:
        """A sample, or what happened instead, to be put behind the source's name."""
        while not self._found:
            self._ready.clear()
            await self._ready.wait()
        if len(self._found) == WAITING // 2:
            self._room.set()
        return self._found.popleft()

    async def end(self, grace_s: float) -> None:
        """The child has ended, by request or by force, and is reaped."""
        self._watch.cancel()
        self._closing = True
        self._room.set()
        for ask in (self._child.terminate, self._child.kill):
            ask()  # nothing happens to one that is gone
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._child.wait, grace_s)
                break
        await asyncio.to_thread(self._thread.join)

    def _listen(self) -> None:
        """In the thread, whose the pipe is: its end may be long in coming, if a grandchild holds
        it, and this does not wait for that."""
        with self._pipe:
            self._hand_over()

    def _hand_over(self) -> None:
        """What came is with the event loop, together where it comes fast."""
        pipe = select.poll()
        pipe.register(self._pipe, select.POLLIN)
        arrived: list[Arrival] = []
        handed_s, size, more = -math.inf, 0, True
        while more and not self._closing:
            now_s = time.monotonic()
            if arrived and (now_s - handed_s >= GATHER_S or size >= LONGEST_LINE):
                self._room.clear()
                if not self._tell(self._arrive, arrived):
                    return
                self._room.wait()
                arrived, handed_s, size = [], now_s, 0
            if pipe.poll(GATHER_S * 1e3):
                data = os.read(self._pipe.fileno(), LONGEST_LINE)
                arrived.append((data, time.time(), time.monotonic()))
                size, more = size + len(data), bool(data)
        self._tell(self._arrive, arrived)
        self._tell(self._end_of_lines)

    def _tell(self, call: Callable[..., None], *values: object) -> bool:
        try:
            self._loop.call_soon_threadsafe(call, *values)
        except RuntimeError:  # the event loop is closed: nobody listens
            return False
        return True

    # what the event loop calls

    def _end_of_lines(self) -> None:
        last = self._part.decode(errors="replace").strip() or self._last_line
        self._fail(
            f" ended after {self._count} lines; "
            f"its last line was {last[-400:]!r}; start it by hand as this user to see more"
        )

    def _take(self, raw: bytes, t_s: float, monotonic_s: float) -> None:
        self._count += 1
        if len(raw) > LONGEST_LINE:
            return
        self._last_line = raw.decode(errors="replace").strip()
        sample = self._read(self._last_line, t_s, monotonic_s)
        if isinstance(sample, Sample):
            if self._count > self._discard:
                self._sampled = True
                self._found.append(sample)
        elif not self._sampled and self._count == PATIENCE_LINES:
            self._fail(f": {sample}")

    def _fail(self, why: str) -> None:
        self._found.append(why)
        self._ready.set()

    def _arrive(self, arrived: Sequence[Arrival]) -> None:
        self._heard_s = self._loop.time()
        for data, t_s, monotonic_s in arrived:
            *lines, self._part = (self._part + data).split(b"\n")
            for line in lines:
                self._take(line, t_s, monotonic_s)
            self._part = self._part[: LONGEST_LINE + 1]
        if len(self._found) <= WAITING or self._closing:
            self._room.set()
        self._ready.set()

    def _look(self) -> None:
        silent_s = self._loop.time() - self._heard_s
        held_back = len(self._found) >= WAITING // 2  # then it is us who do not listen
        if silent_s >= self._silence_s and not held_back:
            self._fail(
                f" printed nothing for {self._silence_s:g} s; "
                "start it by hand as this user to see why"
            )
        else:
            self._watch = self._loop.call_later(max(self._silence_s - silent_s, 1.0), self._look)
