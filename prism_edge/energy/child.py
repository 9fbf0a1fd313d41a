"""Power samples from a child process that prints one reading per line.

The thin edge: it starts the program, stamps every line on arrival and ends its own child, never
anyone else's (``tegrastats --stop`` would). Starting again after an error is the caller's decision.
The event loop must not be blocked: a line read late is stamped late.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from types import TracebackType

from prism_edge.energy.sample import Sample
from prism_edge.errors import EnergyError

PATIENCE_LINES = 5
GRACE_S = 2.0

Read = Callable[[str, float, float], Sample | str]


class ChildSource:
    """The samples one child process prints; ``read`` turns a line, stamped with CLOCK_REALTIME and
    the monotonic clock, into a sample or says why it is none.

    The first ``discard`` lines are start-up artefacts. Raises EnergyError when the program cannot
    be started, when its first five lines hold no power, when it is silent for ``silence_s``, and
    when it ends: a source that stops is always said, so a missing reading never looks like an idle
    board.
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
    ) -> None:
        self.rule: str | None = None
        self._name = f"board {board}: {name}"
        self._argv = tuple(argv)
        self._read = read
        self._sampled = False
        self._discard = discard
        self._silence_s = silence_s
        self._lines = 0
        self._last_line = ""
        self._child: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> ChildSource:
        try:
            self._child = await asyncio.create_subprocess_exec(
                *self._argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,  # its complaint is then the last line we read
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
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        child = self._running()
        if child.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                child.terminate()
        try:
            await asyncio.wait_for(child.communicate(), GRACE_S)
        except asyncio.TimeoutError:
            child.kill()
            await child.communicate()

    def __aiter__(self) -> ChildSource:
        return self

    async def __anext__(self) -> Sample:
        while True:
            line = await self._line()
            t_s, monotonic_s = time.time(), time.monotonic()
            self._lines += 1
            sample = self._read(line, t_s, monotonic_s)
            if isinstance(sample, Sample):
                if self._lines <= self._discard:
                    continue
                self.rule = sample.rule or self.rule
                self._sampled = True
                return sample
            if not self._sampled and self._lines >= PATIENCE_LINES:
                raise EnergyError(f"{self._name}: {sample}")

    async def _line(self) -> str:
        """The next complete line; "" for one too long to hold a reading."""
        child = self._running()
        assert child.stdout is not None
        try:
            raw = await asyncio.wait_for(child.stdout.readline(), self._silence_s)
        except asyncio.TimeoutError as error:
            raise EnergyError(
                f"{self._name} printed nothing for {self._silence_s:g} s; "
                "start it by hand as this user to see why"
            ) from error
        except ValueError:  # over the reader's limit of 64 KiB
            return ""
        if raw.endswith(b"\n"):
            self._last_line = raw.decode(errors="replace").strip()
            return self._last_line
        last = raw.decode(errors="replace").strip() or self._last_line
        raise EnergyError(
            f"{self._name} ended after {self._lines} lines; "
            f"its last line was {last[-400:]!r}; start it by hand as this user to see more"
        )

    def _running(self) -> asyncio.subprocess.Process:
        assert self._child is not None, "a source is used inside 'async with'"
        return self._child
