"""The loop of one rank: per block {encode, send, project, join, attend}.

One device is a plan with one rank: the same code with nobody to hear. A message leaves as soon as
its block's input exists and is joined late: own queries, keys and values are computed while the
others' travel. There is no barrier. Letters: B batch, N tokens, n own tokens, R heard columns,
M = R + n, D width.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from prism_edge.exchange import Exchange, exchange_of
from prism_edge.families.model import Model
from prism_edge.layout import Layout
from prism_edge.spans import Recorder, Span
from prism_edge.tensors.attention import as_mask
from prism_edge.tensors.known import Known, known
from prism_edge.transport import Pending, Transport

# takes keys and values [B,H,M,F] of each block in turn, and what their columns stand for
Keep = Callable[[Tensor, Tensor, Known], None]
AHEAD = 2  # blocks; with 1, the word that a receive is posted often comes after the send


def run_blocks(
    model: Model,
    layout: Layout,
    rank: int,
    x: Tensor,
    heard: Tensor | Pending | None,
    real: Tensor | None,
    group: Transport | None,
    recorder: Recorder,
    keep: Keep | None = None,
) -> Tensor | None:
    """Rows of the last block that are needed, as far as ``rank`` owns them; else None.

    ``x`` [B,n,D]: embeddings of the own tokens. ``heard``: what is known of the others before block
    0, rows [B,R,D] or the leader's message with them. ``real`` [B,N]: 0 for padding.
    """
    exchanges = Exchanges(model, layout, rank, x.shape[0], group, recorder)
    if isinstance(heard, Tensor):
        exchanges.heard = heard
    elif heard is not None:
        exchanges.arriving[0] = heard
    for block_ahead in range(1, 1 + AHEAD):
        exchanges.expect(block_ahead)
    columns: dict[int, tuple[Known, Tensor | None]] = {}
    own_real = None if real is None else real[:, layout.part(rank)].to(x.device)
    for index, block in enumerate(model.blocks):
        last = index == len(model.blocks) - 1
        h = block.inputs(x)
        exchanges.send(index, x if layout.plan.tap == "before" else h, own_real)
        if last and not layout.rows(rank):
            exchanges.finish()
            return None
        rows = head_rows(layout) if last else slice(None)
        q, k, v = block.project(h, rows)
        exchanges.join(index, h)
        if exchanges.heard is not None:
            others = exchanges.heard
            if layout.plan.tap == "before":
                others = block.inputs(others)
            k, v = block.prepend(others, k, v)
        since = layout.known_since(index)
        if since not in columns:
            found = known(layout, rank, real, since)
            bias = None if found.plain_causal else found.bias()
            columns[since] = found, None if bias is None else as_mask(bias, x)
        stand_for, bias = columns[since]
        if keep is not None:
            keep(k, v, stand_for)
        attended = block.attend(
            q,
            k,
            v,
            bias if bias is None or bias.shape[2] == 1 else bias[:, :, rows],
            # the triangle starts at the first query: it is none for the last row alone
            causal=stand_for.plain_causal and not (last and layout.needs == "last"),
        )
        x = block.finish(x[:, rows], attended)
    exchanges.finish()
    return x


def head_rows(layout: Layout) -> slice:
    """Own rows of a finishing rank that are needed."""
    return {"first": slice(0, 1), "last": slice(-1, None), "all": slice(None)}[layout.needs]


class Exchanges:
    """The messages of one rank in one request, in the order of the blocks.

    Receives are posted ahead: the sender then knows that it may send, and a message leaves in one
    piece and arrives without the receiver's help while it computes. ``heard`` [B,R,D]: the rows
    heard last.
    """

    def __init__(
        self,
        model: Model,
        layout: Layout,
        rank: int,
        batch: int,
        group: Transport | None,
        recorder: Recorder,
    ) -> None:
        self.heard: Tensor | None = None
        self.arriving: dict[int, Pending] = {}
        self._layout = layout
        self._rank = rank
        self._batch = batch
        self._group = group
        self._recorder = recorder
        self._exchange: Exchange | None = None
        if layout.plan.exchanges:
            self._exchange = exchange_of(layout.plan, model.codebooks)
        self._leaving: Pending | None = None
        self._sent_s = 0.0

    def expect(self, block: int) -> None:
        """The messages to this rank before ``block`` will be received when they come."""
        if self._group is None or block >= self._layout.shape.blocks:
            return
        sizes = {
            source: self._layout.payload_bytes(rows, self._batch)
            for (source, target), rows in self._layout.messages(block).items()
            if target == self._rank
        }
        if sizes:
            self.arriving[block] = self._group.begin({}, sizes)

    def send(self, block: int, rows: Tensor, real: Tensor | None) -> None:
        """This rank's message before ``block`` is on its way.  [B,n,D], [B,part] or None"""
        self._sent_s = time.monotonic()
        targets = [t for s, t in self._layout.messages(block) if s == self._rank]
        if self._group is None or self._exchange is None or not targets:
            return
        self.finish()
        sizes = self._layout.segments(self._rank, block)
        payload = self._exchange.encode(rows[:, self._layout.replicas :], sizes, real, block)
        self._leaving = self._group.begin(dict.fromkeys(targets, payload), {})

    def join(self, block: int, like: Tensor) -> None:
        """What was sent to this rank before ``block`` is in ``heard``."""
        arriving = self.arriving.pop(block, None)
        if arriving is not None and self._exchange is not None and self._group is not None:
            joined_s = time.monotonic()
            payloads = arriving.wait()
            stop_s = time.monotonic()
            if block == 0:
                payloads = cut_first(self._layout, self._rank, self._batch, payloads[0])
            moved = sum(payload.numel() for payload in payloads.values())
            self._recorder.spans.append(Span("exchange", self._sent_s, stop_s, moved))
            self._recorder.spans.append(Span("wait", joined_s, stop_s, moved))
            to_device = self._group.staging.to_device
            payloads = {rank: to_device(payload) for rank, payload in payloads.items()}
            self.heard = decode_heard(
                self._exchange, self._layout, self._rank, payloads, like, block
            )
        if block > 0:
            self.expect(block + AHEAD)

    def finish(self) -> None:
        """What this rank has sent has left."""
        if self._leaving is not None:
            self._leaving.wait()
            self._leaving = None


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
    return rows[0] if len(rows) == 1 else torch.cat(rows, dim=1)


def cut_first(layout: Layout, rank: int, batch: int, payload: Tensor) -> dict[int, Tensor]:
    """The leader's one message to ``rank`` before block 0, cut into everyone's."""
    heard = layout.hears(rank)
    sizes = [layout.payload_bytes(len(layout.segments(other)), batch) for other in heard]
    return dict(zip(heard, torch.split(payload, sizes), strict=True))
