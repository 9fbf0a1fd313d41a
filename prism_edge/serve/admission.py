"""When a request would be answered, told before it waits. Pure: time is an argument.

A batch is expected to take what the last ones of its kind took: their mean and twice their mean
deviation, both moving, as TCP expects round trips (RFC 6298). What is late is expected to take as
much longer again. A request that would be answered past its limit is refused at once, with the
seconds after which it would not be. Where batches have become slower since, those who cannot be
answered in time any more are told so before the engine computes what nobody can use.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from prism_edge.errors import UnavailableError
from prism_edge.serve.batcher import Key, Waiting

T = TypeVar("T")
GAIN = 0.25  # of the newest in the mean
DEVIATIONS = 2.0
SHARE = 2 / 3  # of a request's limit may be planned: batches become slower, and answers have a way
SLOWER = "batches take longer than they did when this request came; try again later"
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
    batches, row by row; a model that has never run, to take no time: so somebody finds out."""

    max_batch: int
    _kinds: dict[tuple[Key, int], Lately] = field(default_factory=dict)
    _models: dict[str, Lately] = field(default_factory=dict)  # a row of them
    _under_way: tuple[float, float] | None = None  # since when, and what it was expected to take

    @property
    def busy(self) -> bool:
        """Whether a batch is under way."""
        return self._under_way is not None

    def started(self, batch: Sequence[Waiting[Any]], now_s: float) -> None:
        """A batch is under way."""
        self._under_way = now_s, self._expected_s(batch)

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
        found.took(seconds)
        self._models.setdefault(key[0], Lately()).took(seconds / kind[1])

    def lately(self, key: Key, rows: int) -> Lately:
        """How long such a batch takes."""
        row = self._models.get(key[0], Lately())
        return self._kinds.get((key, rows)) or Lately(row.mean_s * rows, row.deviation_s * rows)

    def hopeless(
        self, queue: Sequence[Waiting[T]], now_s: float
    ) -> list[tuple[Waiting[T], UnavailableError]]:
        """Who cannot be answered in time although the engine is free, and what they are told; never
        all: if batches have become faster again, somebody must find out."""
        found, at_s = [], now_s
        for batch in batches_of(queue, self.max_batch):
            end_s = at_s + self._expected_s(batch)
            late = [request for request in batch if request.deadline_s < end_s]
            found += [(one, UnavailableError(SLOWER, end_s - one.deadline_s)) for one in late]
            if len(late) < len(batch):
                at_s = end_s
        return found[:-1] if len(found) == len(queue) else found

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
        batches = batches_of([*queue, request], self.max_batch)
        ahead = next(at for at, batch in enumerate(batches) if batch[-1] is request)
        wait_s = left_s + sum(self._expected_s(batch) for batch in batches[: ahead + 1])
        patience_s = request.deadline_s - request.arrived_s
        if wait_s > SHARE * patience_s:
            raise UnavailableError(
                f"{len(queue)} requests wait: the answer would take about {wait_s:.2g} s, its "
                f"limit is {patience_s:.3g} s; try again later",
                wait_s - SHARE * patience_s,
            )

    def _expected_s(self, batch: Sequence[Waiting[Any]]) -> float:
        return self.lately(batch[0].key, sum(request.rows for request in batch)).expected_s


def batches_of(queue: Iterable[Waiting[T]], max_batch: int) -> list[list[Waiting[T]]]:
    """The batches that leave if nobody else comes, in order."""
    batches: list[list[Waiting[T]]] = []
    filling: dict[Key, tuple[int, list[Waiting[T]]]] = {}  # by kind, its rows and last batch
    for request in queue:
        rows, batch = filling.get(request.key, (max_batch, []))
        if rows + request.rows > max_batch:
            rows, batch = 0, []
            batches.append(batch)
        batch.append(request)
        filling[request.key] = rows + request.rows, batch
    return batches
