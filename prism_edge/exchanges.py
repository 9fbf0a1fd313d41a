"""The messages of one rank in one request, in the order of the blocks.

Letters: B batch, N tokens, n own tokens, L announced rows, R heard columns, D width.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor

from prism_edge.exchange import Exchange, exchange_of
from prism_edge.families.model import Model
from prism_edge.layout import Layout
from prism_edge.spans import Recorder, Span
from prism_edge.transport import Pending, Transport

AHEAD = 2  # blocks; with 1, the word that a receive is posted often comes after the send


class Exchanges:
    """What a rank tells the others and what it has heard of them.

    Receives are posted ahead: the sender then knows that it may send, and a message leaves in one
    go and arrives without the receiver's help while it computes. ``heard`` [B,R,D]: the rows heard
    last, or None; given before block 0 as rows, or as the leader's message that holds them.
    ``pieces``: the samples of each message before a block.
    """

    def __init__(
        self,
        model: Model,
        layout: Layout,
        rank: int,
        batch: int,
        heard: Tensor | Pending | None,
        group: Transport | None,
        recorder: Recorder,
    ) -> None:
        self.heard = heard if isinstance(heard, Tensor) else None
        self.pieces: list[slice] = []
        for samples in layout.pieces(batch):
            start = self.pieces[-1].stop if self.pieces else 0
            self.pieces.append(slice(start, start + samples))
        self._layout = layout
        self._rank = rank
        self._batch = batch
        self._group = group
        self._recorder = recorder
        self._exchange: Exchange | None = None
        if layout.plan.exchanges:
            self._exchange = exchange_of(layout.plan, model.codebooks)
        self._arriving: dict[int, list[Pending]] = {}
        if heard is not None and not isinstance(heard, Tensor):
            self._arriving[0] = [heard]
        self._leaving: Pending | None = None
        self._sent_s: float | None = None
        for block in range(1, 1 + AHEAD):
            self._expect(block)

    def send(self, block: int, rows: Tensor, real: Tensor | None) -> None:
        """A piece of this rank's message before ``block`` is on its way.

        ``rows`` [samples,n,D], ``real`` [samples,part] or None
        """
        targets = [t for s, t in self._layout.messages(block) if s == self._rank]
        if self._group is None or self._exchange is None or not targets:
            return
        if self._sent_s is None:
            self._sent_s = time.monotonic()
        self.finish()
        sizes = self._layout.segments(self._rank, block)
        payload = self._exchange.encode(rows[:, self._layout.replicas :], sizes, real, block)
        self._leaving = self._group.begin(dict.fromkeys(targets, payload), {})

    def join(self, block: int, like: Tensor) -> None:
        """What was sent to this rank before ``block`` is in ``heard``, on the device of ``like``
        [B,n,D]."""
        arriving = self._arriving.pop(block, None)
        if arriving is not None:
            pieces = self.pieces if len(arriving) > 1 else [slice(None)]
            start_s = time.monotonic()
            found = [
                self._take(block, pending, like[piece])
                for pending, piece in zip(arriving, pieces, strict=True)
            ]
            stop_s = time.monotonic()
            moved = sum(size for _, size in found)
            sent_s = start_s if self._sent_s is None else self._sent_s
            self._recorder.spans.append(Span("exchange", sent_s, stop_s, moved))
            self._recorder.spans.append(Span("wait", start_s, stop_s, moved))
            self.heard = together([rows for rows, _ in found], dim=0)
        self._sent_s = None
        if block > 0:
            self._expect(block + AHEAD)

    def finish(self) -> None:
        """What this rank has sent has left."""
        if self._leaving is not None:
            self._leaving.wait()
            self._leaving = None

    def _expect(self, block: int) -> None:
        """The messages to this rank before ``block`` will be received when they come."""
        if self._group is None or block >= self._layout.shape.blocks:
            return
        heard = {s: n for (s, t), n in self._layout.messages(block).items() if t == self._rank}
        if heard:
            self._arriving[block] = [
                self._group.begin(
                    {}, {s: self._layout.payload_bytes(n, samples) for s, n in heard.items()}
                )
                for samples in self._layout.pieces(self._batch)
            ]

    def _take(self, block: int, arriving: Pending, like: Tensor) -> tuple[Tensor, int]:
        """The columns of one piece and its bytes.  -> [samples,R,D]"""
        assert self._exchange is not None
        assert self._group is not None
        payloads = arriving.wait()
        moved = sum(payload.numel() for payload in payloads.values())
        if block == 0:
            payloads = _cut(self._layout, self._rank, self._batch, payloads[0])
        to_device = self._group.staging.to_device
        payloads = {rank: to_device(payload) for rank, payload in payloads.items()}
        rows = decode_heard(self._exchange, self._layout, self._rank, payloads, like, block)
        return rows, moved


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
