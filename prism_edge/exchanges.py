"""The messages of one rank in one request, in the order of the blocks.

Letters: B batch, N tokens, n own tokens, L announced rows, R heard columns, D width.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from prism_edge.exchange import Exchange, exchange_of
from prism_edge.families.model import Model
from prism_edge.layout import Layout
from prism_edge.spans import Recorder, Span
from prism_edge.transport import Pending, Transport

AHEAD = 2  # blocks; with 1, the word that a receive is posted often comes after the send


class Exchanges:
    """What a rank tells the others and what it hears of them.

    Receives are posted ahead: the sender then knows that it may send, and a message leaves in one
    go and arrives without the receiver's help while it computes. ``samples``: of each piece of the
    batch; a piece's messages are its own.
    """

    def __init__(
        self,
        model: Model,
        layout: Layout,
        rank: int,
        samples: Sequence[int],
        group: Transport | None,
        recorder: Recorder,
    ) -> None:
        self._layout = layout
        self._rank = rank
        self._samples = samples
        self._group = group
        self._recorder = recorder
        self._exchange: Exchange | None = None
        if layout.plan.exchanges:
            self._exchange = exchange_of(layout.plan, model.codebooks)
        self._heard: list[Tensor | None] = [None] * len(samples)
        self._arriving: dict[tuple[int, int], Pending] = {}  # by block and piece
        self._sent_s: dict[tuple[int, int], float] = {}
        self._leaving: Pending | None = None
        for block in range(1, 1 + AHEAD):
            for piece in range(len(samples)):
                self._expect(block, piece)

    def first(self, piece: int, heard: Tensor | Pending | None) -> None:
        """What is known of the others before block 0, or will be when its message is joined."""
        if heard is None or isinstance(heard, Tensor):
            self._heard[piece] = heard
        else:
            self._arriving[0, piece] = heard

    def send(self, block: int, piece: int, rows: Tensor, real: Tensor | None) -> None:
        """A piece's message before ``block`` is on its way.  [b,n,D], [b,part] or None"""
        targets = [t for s, t in self._layout.messages(block) if s == self._rank]
        if self._group is None or self._exchange is None or not targets:
            return
        self._sent_s[block, piece] = time.monotonic()
        self.finish()
        sizes = self._layout.segments(self._rank, block)
        payload = self._exchange.encode(rows[:, self._layout.replicas :], sizes, real, block)
        self._leaving = self._group.begin(dict.fromkeys(targets, payload), {})

    def join(self, block: int, piece: int, like: Tensor) -> Tensor | None:
        """The columns known of the others at ``block``, on the device of ``like`` [b,n,D].

        -> [b,R,D], or None when nobody is heard
        """
        arriving = self._arriving.pop((block, piece), None)
        if arriving is not None:
            assert self._exchange is not None
            assert self._group is not None
            start_s = time.monotonic()
            payloads = arriving.wait()
            stop_s = time.monotonic()
            moved = sum(payload.numel() for payload in payloads.values())
            sent_s = self._sent_s.pop((block, piece), start_s)
            self._recorder.spans.append(Span("exchange", sent_s, stop_s, moved))
            self._recorder.spans.append(Span("wait", start_s, stop_s, moved))
            if block == 0:
                payloads = _cut(self._layout, self._rank, like.shape[0], payloads[0])
            to_device = self._group.staging.to_device
            payloads = {rank: to_device(payload) for rank, payload in payloads.items()}
            self._heard[piece] = decode_heard(
                self._exchange, self._layout, self._rank, payloads, like, block
            )
        if block > 0:
            self._expect(block + AHEAD, piece)
        return self._heard[piece]

    def finish(self) -> None:
        """What this rank has sent has left."""
        if self._leaving is not None:
            self._leaving.wait()
            self._leaving = None

    def _expect(self, block: int, piece: int) -> None:
        """A piece's messages to this rank before ``block`` will be received when they come."""
        if self._group is None or block >= self._layout.shape.blocks:
            return
        sizes = {
            source: self._layout.payload_bytes(rows, self._samples[piece])
            for (source, target), rows in self._layout.messages(block).items()
            if target == self._rank
        }
        if sizes:
            self._arriving[block, piece] = self._group.begin({}, sizes)


def decode_heard(
    exchange: Exchange,
    layout: Layout,
    rank: int,
    payloads: Mapping[int, Tensor],
    like: Tensor,
    block: int = 0,
) -> Tensor:
    """The columns ``rank`` hears, out of the messages by source.  -> [B,R,D]"""
    rows = [
        exchange.decode(payloads[other], len(layout.segments(other, block)), block, like)
        for other in layout.hears(rank)
    ]
    return together(rows, dim=1)


def together(parts: list[Tensor], dim: int) -> Tensor:
    """The parts as one tensor; one part is itself."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)


def _cut(layout: Layout, rank: int, batch: int, payload: Tensor) -> dict[int, Tensor]:
    """The leader's one message to ``rank`` before block 0, cut into everyone's."""
    heard = layout.hears(rank)
    sizes = [layout.payload_bytes(len(layout.segments(other)), batch) for other in heard]
    return dict(zip(heard, torch.split(payload, sizes), strict=True))
