"""A recorder of named spans: the one clock that profiler, metrics and report read.

A span is ``(name, start_s, stop_s, bytes)`` on the monotonic clock of the process that recorded it.
What other ranks did in the meantime is known by what they say of themselves: their ``Effort``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Span:
    """One named interval; ``bytes`` is the payload it moved, 0 when it moved none."""

    name: str
    start_s: float
    stop_s: float
    bytes: int = 0

    @property
    def duration_s(self) -> float:
        return self.stop_s - self.start_s


class Effort(NamedTuple):
    """What a rank did in a request, from its header (rank 0: from the inputs) to the last message
    it sent. ``busy_s``: everything but waiting; ``waited_s``: blocked until messages had come, or
    its own had left."""

    busy_s: float
    waited_s: float


@dataclass(slots=True)
class Recorder:
    """Collects spans in order of completion; one per request and rank, never shared by threads.

    ``efforts``: of the other ranks heard from, by rank.
    """

    spans: list[Span] = field(default_factory=list)
    efforts: dict[int, Effort] = field(default_factory=dict)

    @contextmanager
    def span(self, name: str, payload_bytes: int = 0) -> Iterator[None]:
        start_s = time.monotonic()
        try:
            yield
        finally:
            self.spans.append(Span(name, start_s, time.monotonic(), payload_bytes))

    def add_efforts(self, heard: Mapping[int, Effort]) -> None:
        """What ranks did in one more part of the request is added to what they did before."""
        for rank, (busy_s, waited_s) in heard.items():
            before = self.efforts.get(rank, Effort(0.0, 0.0))
            self.efforts[rank] = Effort(before.busy_s + busy_s, before.waited_s + waited_s)

    def efforts_of(self, ranks: int) -> list[Effort | None]:
        """Of ranks 1 to ``ranks`` - 1 in turn; None of one that sent nothing."""
        return [self.efforts.get(rank) for rank in range(1, ranks)]

    def total_s(self, name: str) -> float:
        """Summed duration in seconds of all spans called ``name``."""
        return sum(span.duration_s for span in self.spans if span.name == name)

    def total_bytes(self, name: str) -> int:
        """Summed payload in bytes of all spans called ``name``."""
        return sum(span.bytes for span in self.spans if span.name == name)
