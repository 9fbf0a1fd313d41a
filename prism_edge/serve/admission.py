"""When a request would be answered, told before it waits. Pure: time is an argument.

A batch is expected to take what the last ones of its kind took: their mean and twice their mean
deviation, both moving, as TCP expects round trips (RFC 6298). What is late is expected to take as
much longer again. A request that would be answered past its limit is refused at once, with the
seconds after which it would not be: those who wait then are answered in time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from prism_edge.errors import UnavailableError
from prism_edge.serve.batcher import Key, Waiting

GAIN = 0.25  # of the newest in the mean
DEVIATIONS = 2.0
SHARE = 0.9  # of a request's limit; the rest is for its way in and out
KINDS = 256  # that are remembered


@dataclass(slots=True)
class Lately:
    """What something has taken lately; nothing yet at first."""

    mean_s: float = 0.0
    deviation_s: float = 0.0
    known: bool = False

    def took(self, seconds: float) -> None:
        if not self.known:
            self.mean_s, self.known = seconds, True
            return
        self.deviation_s += GAIN * (abs(seconds - self.mean_s) - self.deviation_s)
        self.mean_s += GAIN * (seconds - self.mean_s)

    @property
    def expected_s(self) -> float:
        return self.mean_s + DEVIATIONS * self.deviation_s


@dataclass(slots=True)
class Admission:
    """What is known of batches. A kind that has never run is expected to be like its model's last
    batches; a model that has never run, to take no time: so somebody finds out."""

    max_batch: int
    _kinds: dict[tuple[Key, int], Lately] = field(default_factory=dict)
    _models: dict[str, Lately] = field(default_factory=dict)
    _under_way: tuple[float, float] | None = None  # since when, and what it was expected to take

    @property
    def busy(self) -> bool:
        """Whether a batch is under way."""
        return self._under_way is not None

    def started(self, batch: Sequence[Waiting[Any]], now_s: float) -> None:
        """A batch is under way."""
        rows = sum(request.rows for request in batch)
        self._under_way = now_s, self.expected_s(batch[0].key, rows)

    def ended(self) -> None:
        """It is not any more, whatever came of it."""
        self._under_way = None

    def took(self, batch: Sequence[Waiting[Any]], seconds: float) -> None:
        """A batch was answered by the engine it was given to, with nothing gone wrong."""
        key, kind = batch[0].key, (batch[0].key, sum(request.rows for request in batch))
        found = self._kinds.pop(kind, Lately())
        self._kinds[kind] = found  # the last ones to run are the last ones to be forgotten
        if len(self._kinds) > KINDS:
            del self._kinds[next(iter(self._kinds))]
        for lately in (found, self._models.setdefault(key[0], Lately())):
            lately.took(seconds)

    def expected_s(self, key: Key, rows: int) -> float:
        """How long such a batch takes."""
        found = self._kinds.get((key, rows)) or self._models.get(key[0])
        return 0.0 if found is None else found.expected_s

    def check(
        self,
        queue: Sequence[Waiting[Any]],
        request: Waiting[Any],
        now_s: float,
        engine_s: float = 0.0,
    ) -> None:
        """Raises ``UnavailableError`` when ``request`` would be answered too late behind ``queue``,
        with an engine that is ready in ``engine_s``. The first in an idle daemon is always taken.
        """
        if not queue and self._under_way is None and not engine_s:
            return
        left_s = engine_s
        if self._under_way is not None:
            since_s, expected_s = self._under_way
            left_s = max(left_s, abs(since_s + expected_s - now_s))
        batches = batches_until([*queue, request], self.max_batch)
        wait_s = left_s + sum(self.expected_s(key, rows) for key, rows in batches)
        patience_s = request.deadline_s - request.arrived_s
        if wait_s > SHARE * patience_s:
            raise UnavailableError(
                f"{len(queue)} requests wait: the answer would take about {wait_s:.2g} s, its "
                f"limit is {patience_s:.3g} s; try again later",
                wait_s - SHARE * patience_s,
            )


def batches_until(queue: Iterable[Waiting[Any]], max_batch: int) -> list[tuple[Key, int]]:
    """The batches, by kind and rows, that leave until the last request of ``queue`` has left."""
    batches: list[tuple[Key, int]] = []
    filling: dict[Key, int] = {}  # by kind, which batch
    at = -1
    for request in queue:
        at = filling.get(request.key, -1)
        if at < 0 or batches[at][1] + request.rows > max_batch:
            at = filling[request.key] = len(batches)
            batches.append((request.key, 0))
        batches[at] = request.key, batches[at][1] + request.rows
    return batches[: at + 1]
