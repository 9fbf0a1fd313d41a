"""One board's part in a push and what came of it, and many of them at once."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

from prism_edge.deploy.diff import words
from prism_edge.deploy.facts import Facts
from prism_edge.deploy.site import Site
from prism_edge.deploy.step import Activate, Step
from prism_edge.errors import PrismError, UnreachableError
from prism_edge.settings import BoardSettings

T = TypeVar("T")
Tell: TypeAlias = Callable[[str, str], None]  # a board's name, and what it does now

State = Literal[
    "unchanged", "would change", "changed", "failed", "rolled back", "prepared", "interrupted"
]
WELL = frozenset({"unchanged", "would change", "changed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``old`` and ``new``: the releases that served before and that was wished, as far as known;
    ``steps``: done, or to be done; ``error``: what went wrong and what to do about it.

    ``prepared``: all is on the board, and it serves what it served before, because of another one.
    """

    board: str
    state: State
    old: str | None = None
    new: str | None = None
    steps: tuple[Step, ...] = ()
    seconds: float = 0.0
    error: str | None = None

    @property
    def ok(self) -> bool:
        return self.state in WELL


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0: all is well; 1: something failed; 2: something would change; 130: interrupted."""
    states = {outcome.state for outcome in outcomes}
    if "interrupted" in states:
        return 130
    if not states <= WELL:
        return 1
    return 2 if "would change" in states else 0


class Part:
    """What a push knows of one board. ``early``: steps that had to come before it could be planned;
    ``state``: None while nothing is decided; ``lost``: it was out of reach when it failed."""

    def __init__(self, settings: BoardSettings) -> None:
        self.settings = settings
        self.name = settings.name
        self.site: Site | None = None
        self.facts: Facts | None = None
        self.early: tuple[Step, ...] = ()
        self.planned: tuple[Step, ...] = ()
        self.done: list[Step] = []
        self.new: str | None = None
        self.state: State | None = None
        self.error: str | None = None
        self.lost = False
        self._stack = ExitStack()
        self._began_s = time.monotonic()
        self._ended_s = self._began_s

    def enter(self, context: AbstractContextManager[T]) -> T:
        """What the context gives; it is left at the end of the push."""
        return self._stack.enter_context(context)

    def close(self) -> None:
        """Its connection and lock are given back; a lost one has nothing to give."""
        try:
            self._stack.close()
        except PrismError as error:
            self.error = self.error or str(error)

    @property
    def known(self) -> Facts:
        assert self.facts is not None, "looked at before"
        return self.facts

    @property
    def there(self) -> Site:
        assert self.site is not None, "opened before"
        return self.site

    @property
    def old(self) -> str | None:
        """The release that served when it was looked at."""
        return None if self.facts is None else self.facts.installed.current

    @property
    def serves(self) -> bool:
        """A release of ours serves there now."""
        return self.old is not None or self.did(Activate)

    def to_do(self, kind: type[Step]) -> bool:
        return any(isinstance(step, kind) for step in self.planned)

    def did(self, kind: type[Step]) -> bool:
        return any(isinstance(step, kind) for step in self.done)

    def fail(self, why: str) -> None:
        self.state, self.error = "failed", why

    def touch(self) -> None:
        """Something was done for it just now."""
        self._ended_s = time.monotonic()

    def outcome(self) -> Outcome:
        dry = self.state in ("would change", "unchanged")
        return Outcome(
            board=self.name,
            state=self.state or "changed",
            old=self.old,
            new=self.new,
            steps=(*self.early, *self.planned) if dry else tuple(self.done),
            seconds=self._ended_s - self._began_s,
            error=self.error,
        )


class Together:
    """Work on many boards at once. An error ends its own board; Ctrl-C asks all to stop."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._stop = threading.Event()

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def stop(self) -> None:
        self._stop.set()

    def tell(self, part: Part, text: str) -> None:
        part.touch()
        self._tell(part.name, text)

    def each(
        self, parts: Sequence[Part], work: Callable[[Part], None], *, final: bool = False
    ) -> None:
        """``work`` was done for all, at once. ``final``: also after somebody asked to stop."""
        if not parts or (self.stopped and not final):
            return
        with ThreadPoolExecutor(len(parts)) as pool:
            futures = [pool.submit(self.guarded, part, work) for part in parts]
            self._wait(futures)
        for future in futures:
            future.result()  # whatever is not a PrismError is our own fault

    def guarded(self, part: Part, work: Callable[[Part], None]) -> None:
        """``work`` was done, or the part knows what went wrong."""
        try:
            work(part)
        except PrismError as error:
            part.lost = isinstance(error, UnreachableError)
            part.fail(str(error))
            self.tell(part, "failed; the reason follows when the others have ended")
        except _Stopped:
            part.state = "interrupted"
        part.touch()

    def apply(self, part: Part, step: Step, *, final: bool = False) -> None:
        """The step is done. Unless ``final``, Ctrl-C ends it at its next word."""

        def progress(text: str) -> None:
            if self.stopped and not final:
                raise _Stopped
            self.tell(part, text)

        progress(words(step))
        part.there.apply(step, progress)
        part.done.append(step)

    def _wait(self, futures: Sequence[Future[None]]) -> None:
        while True:
            try:
                wait(futures)
                return
            except KeyboardInterrupt:
                if self.stopped:
                    os._exit(130)  # twice: now; boards finish or take back what they do themselves
                self.stop()
                self._tell("", "stopping after what is under way; Ctrl-C again leaves at once")


class _Stopped(BaseException):
    """Somebody asked to stop."""
