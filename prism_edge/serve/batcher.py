"""Requests wait here until they are a batch. Pure: time is an argument; the agent owns the clock.

Requests are batched together when model, shapes, dtypes and a forced plan agree. A batch leaves
when it is full, when it has as many requests as the one before it, or when its oldest request has
waited ``max_delay_s``; never past a deadline. So whoever asks alone waits for nobody; batches begin
with what came while the engine computed. Nobody overtakes: what no longer fits leads the next batch
of its kind.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from prism_edge.engine.messages import Array
from prism_edge.errors import UnavailableError

Ticket = TypeVar("Ticket")
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting(Generic[Ticket]):
    """One request: its tensors, when it came, when it must be answered, and whose it is. ``key``:
    what those of a batch have in common; every arrival looks at that of all who wait."""

    ticket: Ticket
    model: str
    inputs: Mapping[str, Array]
    plan: str | None
    arrived_s: float
    deadline_s: float
    rows: int = field(init=False)
    key: Key = field(init=False)

    def __post_init__(self) -> None:
        shapes = sorted((name, a.dtype.str, a.shape[1:]) for name, a in self.inputs.items())
        object.__setattr__(self, "key", (self.model, self.plan, tuple(shapes)))
        object.__setattr__(self, "rows", int(next(iter(self.inputs.values())).shape[0]))


@dataclass(slots=True)
class Batcher(Generic[Ticket]):
    """The queue, oldest first. ``max_batch`` rows a batch; a request with more rows goes alone.
    ``expected``: requests of the last batch, the company that may come again."""

    max_batch: int
    max_delay_s: float
    limit: int
    queue: list[Waiting[Ticket]] = field(default_factory=list)
    expected: int = 1

    def add(self, request: Waiting[Ticket]) -> None:
        """The request is queued; ``UnavailableError`` when the queue is full."""
        if len(self.queue) >= self.limit:
            raise UnavailableError(
                f"the queue is full ({self.limit} requests wait); try again shortly", 1.0
            )
        self.queue.append(request)

    def remove(self, ticket: Ticket) -> None:
        """A request whose client has gone no longer waits."""
        self.queue = [request for request in self.queue if request.ticket != ticket]

    def expired(self, now_s: float) -> list[Waiting[Ticket]]:
        """Requests whose deadline has passed; they no longer wait."""
        late = [request for request in self.queue if now_s >= request.deadline_s]
        self.queue = [request for request in self.queue if now_s < request.deadline_s]
        return late

    def take(self, now_s: float) -> list[Waiting[Ticket]]:
        """The next batch if one is due, else nothing."""
        batch, due_s = self._next()
        if not batch or now_s < due_s:
            return []
        self.expected = len(batch)
        chosen = {id(request) for request in batch}
        self.queue = [request for request in self.queue if id(request) not in chosen]
        return batch

    def wake_s(self) -> float | None:
        """When ``take`` or ``expired`` may next return something; None while nothing waits."""
        if not self.queue:
            return None
        return min(self._next()[1], *(request.deadline_s for request in self.queue))

    def _next(self) -> tuple[list[Waiting[Ticket]], float]:
        """The batch that the oldest request leads as things are, and when it is due."""
        if not self.queue:
            return [], math.inf
        oldest, key = self.queue[0], self.queue[0].key
        batch, rows, full = [oldest], oldest.rows, oldest.rows >= self.max_batch
        for request in self.queue[1:]:
            if full or request.key != key:
                continue
            full = rows + request.rows > self.max_batch
            if not full:
                batch.append(request)
                rows += request.rows
                full = rows == self.max_batch
        wait = not full and len(batch) < self.expected
        return batch, oldest.arrived_s + (self.max_delay_s if wait else 0.0)


def join_inputs(batch: list[Waiting[Ticket]]) -> dict[str, Array]:
    """The tensors of all requests, one after another along the batch dimension."""
    if len(batch) == 1:
        return dict(batch[0].inputs)
    names = batch[0].inputs
    return {name: np.concatenate([request.inputs[name] for request in batch]) for name in names}


def split_outputs(
    batch: list[Waiting[Ticket]], outputs: Mapping[str, Array]
) -> list[dict[str, Array]]:
    """Each request's rows of the batch's outputs."""
    parts, start = [], 0
    for request in batch:
        stop = start + request.rows
        parts.append({name: array[start:stop] for name, array in outputs.items()})
        start = stop
    return parts
