"""A recorder of named spans: the one clock that profiler, metrics and report read.

A span is ``(name, start_s, stop_s, bytes)`` on the monotonic clock of the process that recorded it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


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


@dataclass(slots=True)
class Recorder:
    """Collects spans in order of completion; one per request and rank, never shared by threads."""

    spans: list[Span] = field(default_factory=list)

    @contextmanager
    def span(self, name: str, payload_bytes: int = 0) -> Iterator[None]:
        start_s = time.monotonic()
        try:
            yield
        finally:
            self.spans.append(Span(name, start_s, time.monotonic(), payload_bytes))

    def total_s(self, name: str) -> float:
        """Summed duration in seconds of all spans called ``name``."""
        return sum(span.duration_s for span in self.spans if span.name == name)

    def total_bytes(self, name: str) -> int:
        """Summed payload in bytes of all spans called ``name``."""
        return sum(span.bytes for span in self.spans if span.name == name)
