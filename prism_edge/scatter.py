"""Before block 0: raw inputs, and what ranks first know of each other, piece by piece of the batch.

Raw inputs travel, never embeddings. Text goes whole to every rank, which forms by itself what it
hears before block 0. Of an image a rank gets its own patches at once, and that first knowledge in a
second message, while it embeds. Letters: B batch, b samples of a piece, N tokens, n own tokens, R
heard columns, D width.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from prism_edge.exchange import Exchange, exchange_of
from prism_edge.exchanges import decode_heard
from prism_edge.families.model import Model, Tensors
from prism_edge.forward import Piece, Start
from prism_edge.layout import Layout, Needs
from prism_edge.tensors.known import own_rows
from prism_edge.transport import Pending, Transport
from prism_edge.wire import Header, pack_body, send_header, unpack_body


def scatter(
    model: Model,
    name: str,
    layout: Layout,
    prepared: Tensors,
    group: Transport,
    needs: Needs | None,
) -> tuple[list[Piece], list[Pending]]:
    """Rank 0's own pieces, everyone else being sent theirs; and messages to be waited for later."""
    exchange = exchange_of(layout.plan, model.codebooks)
    shares = {
        rank: model.part(prepared, layout.part(rank).start, layout.part(rank).stop)
        for rank in range(1, layout.ranks)
    }
    if embeds_all(model, layout):
        shares = dict.fromkeys(shares, prepared)
    leaving = [
        send_header(group, rank, name, layout.plan, layout.tokens, share, needs)
        for rank, share in shares.items()
    ]
    pieces: list[Piece] = []
    start = 0
    for samples in layout.pieces(next(iter(prepared.values())).shape[0]):
        cut = slice(start, start + samples)
        bodies = [
            group.begin({rank: pack_body({key: t[cut] for key, t in share.items()})}, {})
            for rank, share in shares.items()
        ]
        for message in (*leaving, *bodies):  # into the kernel's hands, which goes on from there
            message.wait()
        own = {key: tensor[cut] for key, tensor in prepared.items()}
        started, leaving = _lead_piece(model, exchange, layout, own, group)
        pieces.append(Piece(samples, [started].pop))  # once taken it is not kept here
        start += samples
    return pieces, leaving


def expect_pieces(model: Model, layout: Layout, header: Header, group: Transport) -> list[Piece]:
    """A worker's pieces, whose messages will be received when they come."""
    pieces = []
    for samples in layout.pieces(header.batch):
        part = header.piece(samples)
        body = group.begin({}, {0: part.body_bytes})
        first = None
        if not embeds_all(model, layout):
            first = group.begin({}, {0: first_bytes(layout, group.rank, samples)})
        start = partial(_follow_piece, model, layout, group.rank, part, body, first)
        pieces.append(Piece(samples, start))
    return pieces


def embeds_all(model: Model, layout: Layout) -> bool:
    """True when a rank gets the whole input and forms everyone's first rows itself."""
    return model.positionwise or layout.plan.method == "voltage"


def encode_first(
    exchange: Exchange,
    model: Model,
    layout: Layout,
    everything: Tensor,
    real: Tensor | None,
    speakers: tuple[int, ...],
) -> dict[int, Tensor]:
    """What each of ``speakers`` would send before block 0.  [b,N,D] -> uint8 [bytes] by rank"""
    rows = everything if layout.plan.tap == "before" else model.blocks[0].inputs(everything)
    return {
        rank: exchange.encode(
            rows[:, layout.part(rank)],
            layout.segments(rank),
            None if real is None else real[:, layout.part(rank)].to(rows.device),
            0,
        )
        for rank in speakers
    }


def first_bytes(layout: Layout, rank: int, samples: int) -> int:
    """Bytes of the leader's message with what ``rank`` hears before block 0."""
    return sum(
        layout.payload_bytes(len(layout.segments(other)), samples) for other in layout.hears(rank)
    )


def _lead_piece(
    model: Model, exchange: Exchange, layout: Layout, inputs: Tensors, group: Transport
) -> tuple[Start, list[Pending]]:
    """What rank 0 begins a piece with; the others' first knowledge is on its way."""
    everything, real = model.embed(inputs, 0, layout.tokens), model.real(inputs)
    whole = embeds_all(model, layout)
    speakers = layout.hears(0) if whole else tuple(range(layout.ranks))
    payloads = encode_first(exchange, model, layout, everything, real, speakers)
    leaving = []
    for rank in range(1, 1 if whole else layout.ranks):
        first = torch.cat([payloads[other] for other in layout.hears(rank)])
        leaving.append(group.begin({rank: first}, {}))
    heard = decode_heard(exchange, layout, 0, payloads, everything) if layout.hears(0) else None
    return Start(own_rows(layout, 0, everything), heard, real), leaving


def _follow_piece(
    model: Model, layout: Layout, rank: int, header: Header, body: Pending, first: Pending | None
) -> Start:
    """What a worker begins a piece with, once its input is here."""
    received = unpack_body(header, body.wait()[0])
    real = model.real(received)
    if first is None:
        exchange = exchange_of(layout.plan, model.codebooks)
        everything = model.embed(received, 0, layout.tokens)
        payloads = encode_first(exchange, model, layout, everything, real, layout.hears(rank))
        heard = decode_heard(exchange, layout, rank, payloads, everything) if payloads else None
        return Start(own_rows(layout, rank, everything), heard, real)
    part = layout.part(rank)
    x = model.embed(received, part.start, part.stop)
    if layout.replicas:
        lead = model.embed(model.part(received, 0, layout.replicas), 0, layout.replicas)
        x = torch.cat([lead, x], dim=1)
    return Start(x, first, real)
