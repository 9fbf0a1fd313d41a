"""The loop of one rank: embed, then per block {encode, send, project, join, attend}, then the head.

One device is a plan with one rank: the same code with nobody to hear. Letters: B batch, N tokens,
n own tokens, R heard columns, D width.
"""

from __future__ import annotations

import time

import torch
from torch import Tensor

from prism_edge.echo import PROBE, follow_echo
from prism_edge.exchange import decode, encode
from prism_edge.families.model import Model, Tensors
from prism_edge.layout import Layout, batch_shares, check_fits, token_layout
from prism_edge.plan import LOCAL, Plan
from prism_edge.spans import Recorder, Span
from prism_edge.tensors.known import known
from prism_edge.transport import Transport
from prism_edge.wire import Header, pack_body, receive_header, send_request, unpack_body

ALL_ROWS = slice(None)


@torch.inference_mode()
def lead(
    model: Model,
    name: str,
    plan: Plan,
    inputs: Tensors,
    group: Transport | None,
    recorder: Recorder,
) -> Tensors:
    """The outputs of one request under ``plan``, on rank 0; ``name`` tells the ranks which model.

    Raises ``InputError`` and ``PlanError`` before anything is sent, ``PeerLostError`` when a rank
    goes missing on the way; the inputs are untouched, so the request can be answered again.
    """
    prepared = model.prepare(inputs)
    batch = next(iter(prepared.values())).shape[0]
    boards = 1 if group is None else group.size
    layout = check_fits(plan, model.shape, batch, model.tokens(prepared), boards)
    if plan.method == "local" or group is None:
        return answer_locally(model, prepared, recorder)
    if plan.method == "split":
        return _lead_split(model, name, plan, prepared, batch, group, recorder)
    return _lead_exchange(model, name, layout, prepared, batch, group, recorder)


@torch.inference_mode()
def follow(models: dict[str, Model], group: Transport) -> Header:
    """One request served as a worker, from its header to the last message; returns the header.

    Waits for the header as long as it takes. Raises ``PeerLostError`` when the group breaks.
    """
    header = receive_header(group)
    if header.model == PROBE:
        follow_echo(header, group)
        return header
    model, recorder = models[header.model], Recorder()
    received = unpack_body(header, group.begin({}, {0: header.body_bytes}).wait()[0])
    if header.plan.method == "split":
        outputs = answer_locally(model, received, recorder)
        group.begin({0: pack_body(outputs)}, {}).wait()
        return header
    layout = token_layout(header.plan, model.shape, header.tokens)
    first = received.pop("first", None)
    x, heard = _start(model, layout, group.rank, received, first)
    rows = run_blocks(model, layout, group.rank, x, heard, model.real(received), group, recorder)
    if rows is not None:
        group.begin({0: rows.float()}, {}).wait()
    return header


def answer_locally(model: Model, prepared: Tensors, recorder: Recorder) -> Tensors:
    """The outputs of prepared inputs on this device alone."""
    layout = token_layout(LOCAL, model.shape, model.tokens(prepared))
    with recorder.span("compute"):
        x = model.embed(prepared, 0, layout.tokens)
        rows = run_blocks(model, layout, 0, x, None, model.real(prepared), None, recorder)
        assert rows is not None
        return model.head(rows)


def run_blocks(
    model: Model,
    layout: Layout,
    rank: int,
    x: Tensor,
    heard: Tensor | None,
    real: Tensor | None,
    group: Transport | None,
    recorder: Recorder,
) -> Tensor | None:
    """Rows of the last block that the head needs, as far as ``rank`` owns them; else None.

    ``x`` [B,n,D]: embeddings of the own tokens. ``heard`` [B,R,D]: what is known of the others
    before block 0. A message leaves as soon as its block's input exists; own queries, keys and
    values are computed while the others' travel.
    """
    columns = known(layout, rank, real)
    bias = None if columns.plain_causal else columns.bias()
    own_real = None if real is None else real[:, _tokens(layout, rank)]
    if bias is not None:
        bias = bias.to(x.device)
    for index, block in enumerate(model.blocks):
        last = index == len(model.blocks) - 1
        h = block.inputs(x)
        pending = None
        messages = layout.messages(index)
        sends = [target for source, target in messages if source == rank]
        receives = {source: count for (source, target), count in messages.items() if target == rank}
        start_s = time.monotonic()
        if group is not None and (sends or receives):
            payload = encode(layout.plan, h, layout.segments[rank], own_real) if sends else None
            width = x.shape[0] * layout.row_bytes
            pending = group.begin(
                {} if payload is None else dict.fromkeys(sends, payload),
                {source: count * width for source, count in receives.items()},
            )
        if last and rank not in layout.finishers():
            if pending is not None:
                pending.wait()
            return None
        rows = _head_rows(layout) if last else ALL_ROWS
        own = block.project(h, rows)
        if pending is not None:
            joined_s = time.monotonic()
            payloads = pending.wait()
            stop_s = time.monotonic()
            moved = sum(payload.numel() for payload in payloads.values())
            recorder.spans.append(Span("exchange", start_s, stop_s, moved))
            recorder.spans.append(Span("wait", joined_s, stop_s, moved))
            if receives:
                heard = torch.cat(
                    [decode(layout.plan, payloads[q], receives[q], h) for q in layout.hears(rank)],
                    dim=1,
                )
        attended = block.attend(
            own,
            None if heard is None else block.keys_values(heard),
            bias if bias is None or bias.shape[2] == 1 else bias[:, :, rows],
            # the triangle starts at the first query: it is none for the last row alone
            causal=columns.plain_causal and not (last and layout.shape.needs == "last"),
        )
        x = block.finish(x[:, rows], attended)
    return x


def _lead_exchange(
    model: Model,
    name: str,
    layout: Layout,
    prepared: Tensors,
    batch: int,
    group: Transport,
    recorder: Recorder,
) -> Tensors:
    """Rank 0 under prism and voltage."""
    everything = model.embed(prepared, 0, layout.tokens)
    h = model.blocks[0].inputs(everything)
    real = model.real(prepared)
    with recorder.span("scatter"):
        pending = []
        for rank in range(1, layout.ranks):
            part = prepared
            if not _embeds_all(model, layout):
                own = _tokens(layout, rank)
                part = dict(model.part(prepared, own.start, own.stop))
                part["first"] = _announced(layout, rank, h, real)
            pending.append(send_request(group, rank, name, layout.plan, batch, layout.tokens, part))
    heard = _hear_first(layout, 0, h, real)
    x = everything[:, _tokens(layout, 0)]
    rows = run_blocks(model, layout, 0, x, heard, real, group, recorder)
    with recorder.span("gather"):
        rows = _gather(layout, batch, rows, group)
        for message in pending:
            message.wait()
    with recorder.span("head"):
        return model.head(rows.to(x))


def _lead_split(
    model: Model,
    name: str,
    plan: Plan,
    prepared: Tensors,
    batch: int,
    group: Transport,
    recorder: Recorder,
) -> Tensors:
    """Rank 0 under split: every rank answers its share of the batch alone."""
    shares = batch_shares(plan, batch)
    tokens = model.tokens(prepared)
    pending, start = [], shares[0]
    with recorder.span("scatter"):
        for rank in range(1, plan.p):
            stop = start + shares[rank]
            part = {key: tensor[start:stop] for key, tensor in prepared.items()}
            pending.append(send_request(group, rank, name, plan, shares[rank], tokens, part))
            start = stop
    own = {key: tensor[: shares[0]] for key, tensor in prepared.items()}
    answers = [answer_locally(model, own, recorder)]
    with recorder.span("gather"):
        for rank in range(1, plan.p):
            like = {key: (shares[rank], *tensor.shape[1:]) for key, tensor in answers[0].items()}
            header = Header.of(name, plan, shares[rank], tokens, like)
            payload = group.begin({}, {rank: header.body_bytes}).wait()[rank]
            answers.append(unpack_body(header, payload))
        for message in pending:
            message.wait()
    return {key: torch.cat([answer[key] for answer in answers]) for key in answers[0]}


def _start(
    model: Model, layout: Layout, rank: int, received: Tensors, first: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Own embeddings and first knowledge of a worker.  -> [B,n,D], [B,R,D] or None"""
    own = _tokens(layout, rank)
    if not _embeds_all(model, layout):
        x = model.embed(received, own.start, own.stop)
        return x, None if first is None else first.to(x)
    everything = model.embed(received, 0, layout.tokens)
    h = model.blocks[0].inputs(everything)
    return everything[:, own], _hear_first(layout, rank, h, model.real(received))


def _embeds_all(model: Model, layout: Layout) -> bool:
    """True when a rank gets the whole input and forms everyone's first rows itself."""
    return model.positionwise or layout.plan.method == "voltage"


def _announced(layout: Layout, rank: int, h: Tensor, real: Tensor | None) -> Tensor:
    """The rows ``rank`` hears before block 0, as they travel.  [B,N,D] -> [B,R,D]"""
    rows = []
    for other in layout.hears(rank):
        part = _tokens(layout, other)
        mask = None if real is None else real[:, part]
        rows.append(encode(layout.plan, h[:, part], layout.segments[other], mask))
    return torch.cat(rows, dim=1)


def _hear_first(layout: Layout, rank: int, h: Tensor, real: Tensor | None) -> Tensor | None:
    """The rows ``rank`` hears before block 0, formed without a message.  [B,N,D] -> [B,R,D]"""
    return _announced(layout, rank, h, real).to(h) if layout.hears(rank) else None


def _tokens(layout: Layout, rank: int) -> slice:
    start = layout.offsets[rank]
    return slice(start, start + layout.own[rank])


def _head_rows(layout: Layout) -> slice:
    """Own rows of a finishing rank that the head needs."""
    return {"first": slice(0, 1), "last": slice(-1, None), "all": ALL_ROWS}[layout.shape.needs]


def _gather(layout: Layout, batch: int, rows: Tensor | None, group: Transport) -> Tensor:
    """The rows the head needs, from all ranks that finished.  -> [B,.,D]"""
    width = layout.shape.width
    others = [rank for rank in layout.finishers() if rank != 0]
    count = {rank: 1 if layout.shape.needs == "last" else layout.own[rank] for rank in others}
    payloads = group.begin({}, {rank: batch * count[rank] * width * 4 for rank in others}).wait()
    parts = [] if rows is None else [rows]
    parts += [payloads[rank].view(torch.float32).view(batch, count[rank], width) for rank in others]
    return torch.cat([part.float() for part in parts], dim=1)
