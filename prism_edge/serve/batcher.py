"""Requests wait here until they are a batch. Pure: time is an argument; the agent owns the clock.

Requests are batched together when model, shapes, dtypes and a forced plan agree. A batch leaves
when it is full, or when its oldest request has waited ``max_delay_s``; never past a deadline.
Nobody overtakes: what no longer fits leads the next batch of its kind.
"""

from __future__ import annotations

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
    """One request: its tensors, when it came, when it must be answered, and whose it is."""

    ticket: Ticket
    model: str
    inputs: Mapping[str, Array]
    plan: str | None
    arrived_s: float
    deadline_s: float

    @property
    def rows(self) -> int:
        return int(next(iter(self.inputs.values())).shape[0])

    @property
    def key(self) -> Key:
        shapes = sorted((name, a.dtype.str, a.shape[1:]) for name, a in self.inputs.items())
        return self.model, self.plan, tuple(shapes)


@dataclass(slots=True)
class Batcher(Generic[Ticket]):
    """The queue, oldest first. ``max_batch`` rows a batch; a request with more rows goes alone."""

    max_batch: int
    max_delay_s: float
    limit: int
    queue: list[Waiting[Ticket]] = field(default_factory=list)

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
        if not self.queue:
            return []
        oldest = self.queue[0]
        batch, rows, full = [oldest], oldest.rows, oldest.rows >= self.max_batch
        for request in self.queue[1:]:
            if full or request.key != oldest.key:
                continue
            full = rows + request.rows > self.max_batch
            if not full:
                batch.append(request)
                rows += request.rows
                full = rows == self.max_batch
        if not full and now_s < oldest.arrived_s + self.max_delay_s:
            return []
        chosen = {id(request) for request in batch}
        self.queue = [request for request in self.queue if id(request) not in chosen]
        return batch

    def wake_s(self) -> float | None:
        """When ``take`` or ``expired`` may next return something; None while nothing waits."""
        if not self.queue:
            return None
        nearest = min(request.deadline_s for request in self.queue)
        return min(self.queue[0].arrived_s + self.max_delay_s, nearest)


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
