"""Ranks as threads of one process: the transport for tests and for machines without a network."""

from __future__ import annotations

import queue
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from prism_edge.errors import OutOfStepError, PeerLostError
from prism_edge.spans import Effort
from prism_edge.transport.staging import HOST, Staging
from prism_edge.transport.tally import Tally

T = TypeVar("T")
Mailbox = dict[tuple[int, int], "queue.Queue[tuple[Effort, Tensor] | None]"]


class Loopback:
    """One rank of an in-process group; ``None`` in a mailbox means its sender is gone."""

    staging: Staging = HOST

    def __init__(self, rank: int, size: int, mail: Mailbox, timeout_s: float) -> None:
        self.rank = rank
        self.size = size
        self.sent_bytes = 0
        self.tally = Tally()
        self._mail = mail
        self._timeout_s = timeout_s
        self._asked: Counter[int] = Counter()  # messages asked for, by source
        self._taken: Counter[int] = Counter()  # messages out of the mailbox, by source
        # taken out before they are waited for, by source and number
        self._early: dict[tuple[int, int], tuple[Effort, Tensor]] = {}

    def begin(
        self,
        sends: Mapping[int, Tensor],
        receives: Mapping[int, int],
        effort: Effort | None = None,
    ) -> LoopbackPending:
        for rank, tensor in sends.items():
            payload = tensor.detach().contiguous().view(-1).view(torch.uint8).clone().cpu()
            self.sent_bytes += payload.numel()
            done = self.tally.effort() if effort is None else effort
            self._mail[self.rank, rank].put((done, payload))
        asked = {}
        for source, size in receives.items():
            asked[source] = self._asked[source], size
            self._asked[source] += 1
        return LoopbackPending(self, asked)

    def receive(
        self, source: int, number: int, size: int, timeout_s: float | None
    ) -> tuple[Effort, Tensor]:
        """The message of ``source`` with this number, whatever order they are waited for in."""
        while (source, number) not in self._early:
            self._early[source, self._taken[source]] = self._take(source, timeout_s)
            self._taken[source] += 1
        effort, payload = self._early.pop((source, number))
        if payload.numel() != size:
            raise OutOfStepError(
                f"rank {self.rank}: rank {source} sent {payload.numel()} bytes, agreed were {size}"
            )
        return effort, payload

    def _take(self, source: int, timeout_s: float | None) -> tuple[Effort, Tensor]:
        limit_s = self._timeout_s if timeout_s is None else timeout_s
        try:
            with self.tally:
                message = self._mail[source, self.rank].get(timeout=limit_s)
        except queue.Empty as error:
            raise PeerLostError(
                f"rank {self.rank}: nothing from rank {source} within {limit_s:g} s"
            ) from error
        if message is None:
            raise PeerLostError(f"rank {self.rank}: rank {source} has left the group")
        return message

    def abort(self) -> None:
        for (_, destination), box in self._mail.items():
            if destination == self.rank:
                box.put(None)

    def close(self) -> None:
        for (source, _), box in self._mail.items():
            if source == self.rank:
                box.put(None)


class LoopbackPending:
    """Receives that have been asked for and not yet taken."""

    def __init__(self, transport: Loopback, receives: dict[int, tuple[int, int]]) -> None:
        self._transport = transport
        self._receives = receives
        self._heard = transport.tally.heard

    def wait(self, timeout_s: float | None = None) -> dict[int, Tensor]:
        payloads = {}
        for source, (number, size) in self._receives.items():
            self._heard[source], payloads[source] = self._transport.receive(
                source, number, size, timeout_s
            )
        return payloads


def loopback_group(size: int, timeout_s: float = 60.0) -> list[Loopback]:
    """Transports of one group, one a rank."""
    mail: Mailbox = {
        (source, destination): queue.Queue()
        for source in range(size)
        for destination in range(size)
        if source != destination
    }
    return [Loopback(rank, size, mail, timeout_s) for rank in range(size)]


def run_ranks(ranks: Sequence[Callable[[], T]]) -> list[T]:
    """Results of all ranks, each run in a thread of its own; the first error is raised."""
    with ThreadPoolExecutor(max_workers=len(ranks)) as pool:
        futures = [pool.submit(rank) for rank in ranks]
        return [future.result() for future in futures]
