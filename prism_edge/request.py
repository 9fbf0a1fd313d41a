"""One request between ranks: rank 0 leads it, the others follow.

Letters: B batch, N tokens, n own tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from prism_edge.echo import PROBE, follow_echo
from prism_edge.errors import ClusterError
from prism_edge.exchanges import together
from prism_edge.families.model import Model, Tensors
from prism_edge.forward import Keep, run_blocks, whole
from prism_edge.layout import Layout, Needs, batch_shares, check_fits, even, token_layout
from prism_edge.plan import LOCAL, Plan
from prism_edge.scatter import expect_pieces, scatter
from prism_edge.spans import Recorder
from prism_edge.transport import Transport
from prism_edge.wire import Header, pack_body, receive_header, send_header, unpack_body

# Rows that a CPU computes at once. More are no faster and take memory: ViT-B/16, batch 8, in one
# part and in two: 2443 and 2379 ms of CPU (medians of three processes each, x86 core).
CPU_ROWS = 1024


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

    ``recorder`` has the spans, and the efforts of the ranks that sent anything.
    Raises ``InputError``, ``PlanError`` and ``ModelError`` before anything is sent,
    ``PeerLostError`` when a rank goes missing on the way; the inputs are untouched, so the request
    can be answered again.
    """
    prepared = model.prepare(inputs)
    batch, tokens = next(iter(prepared.values())).shape[0], model.tokens(prepared)
    check_fits(plan, model.shape, batch, tokens, 1 if group is None else group.size)
    if plan.method == "local" or group is None:
        return answer_locally(model, prepared, recorder)
    start, finishes, heard = 0, [], []
    for part, count in plan.parts(batch):
        share = {key: tensor[start : start + count] for key, tensor in prepared.items()}
        begin = _begin_split if part.method == "split" else _begin_exchange
        heard.append(group.tally.restart())
        finishes.append(begin(model, name, part, share, group, recorder))
        start += count
    answers = [finish() for finish in finishes]
    for efforts in heard:
        recorder.add_efforts(efforts)
    return {key: torch.cat([answer[key] for answer in answers]) for key in answers[0]}


@torch.inference_mode()
def follow(models: dict[str, Model], group: Transport) -> Header:
    """One request served as a worker, from its header to the last message; returns the header.

    Waits for the header as long as it takes. Raises ``PeerLostError`` when the group breaks.
    """
    header = receive_header(group)
    group.tally.restart()  # waiting for a request is no part of it
    if header.model == PROBE:
        follow_echo(header, group)
        return header
    recorder = Recorder()
    try:
        model = models[header.model]
    except KeyError:
        raise ClusterError(
            f"rank 0 asks for model {header.model!r}, which is not here (models: "
            f"{', '.join(models) or 'none'}); list the same models on every board"
        ) from None
    if header.plan.method == "split":
        body = group.begin({}, {0: header.body_bytes}).wait()[0]
        outputs = answer_locally(model, unpack_body(header, body), recorder)
        group.begin({0: pack_body(outputs)}, {}).wait()
        return header
    layout = token_layout(header.plan, model.shape, header.tokens, header.needs)
    pieces = expect_pieces(model, layout, header, group)
    rows = run_blocks(model, layout, group.rank, pieces, group, recorder)
    if rows is not None:
        group.begin({0: rows.float()}, {}).wait()
    return header


def answer_locally(model: Model, prepared: Tensors, recorder: Recorder) -> Tensors:
    """The outputs of prepared inputs on this device alone."""
    with recorder.span("compute"):
        rows = local_rows(model, prepared, recorder)
        return answers_of(model, rows)


def answers_of(model: Model, rows: Tensor) -> Tensors:
    """The outputs from the rows of the last block, in fp32 and in host memory.  [B,.,D] -> by name

    So do they travel, and so do they leave the engine.
    """
    return {name: tensor.float().cpu() for name, tensor in model.head(rows).items()}


def local_rows(
    model: Model,
    prepared: Tensors,
    recorder: Recorder,
    needs: Needs | None = None,
    keep: Keep | None = None,
) -> Tensor:
    """The rows of the last block that are needed, computed on this device alone.  -> [B,.,D]

    Of a large batch a CPU computes one part after another. ``keep`` wants the batch in one piece.
    """
    layout = token_layout(LOCAL, model.shape, model.tokens(prepared), needs)
    batch = next(iter(prepared.values())).shape[0]
    parted = keep is None and model.blocks[0].qkv.weight.device.type == "cpu"
    parts = -(-batch * layout.tokens // CPU_ROWS) if parted else 1
    answers, start = [], 0
    for count in even(batch, min(parts, batch)):
        part = {key: tensor[start : start + count] for key, tensor in prepared.items()}
        pieces = whole(model.embed(part, 0, layout.tokens), real=model.real(part))
        rows = run_blocks(model, layout, 0, pieces, None, recorder, keep)
        assert rows is not None
        answers.append(rows)
        start += count
    return together(answers, dim=0)


def lead_rows(
    model: Model,
    name: str,
    plan: Plan,
    prepared: Tensors,
    group: Transport,
    recorder: Recorder,
    needs: Needs | None = None,
    keep: Keep | None = None,
) -> Tensor:
    """The rows of the last block that are needed, from all ranks.  -> [B,.,D]

    ``plan``: prism, voltage or astra.
    """
    batch = next(iter(prepared.values())).shape[0]
    if keep is not None:
        plan = replace(plan, pieces=1)
    layout = token_layout(plan, model.shape, model.tokens(prepared), needs)
    with recorder.span("scatter"):
        pieces, leaving = scatter(model, name, layout, prepared, group, needs)
    own = run_blocks(model, layout, 0, pieces, group, recorder, keep)
    with recorder.span("gather"):
        rows = _gather(model, layout, batch, own, group)
        for message in leaving:
            message.wait()
    return rows


def _begin_exchange(
    model: Model, name: str, plan: Plan, prepared: Tensors, group: Transport, recorder: Recorder
) -> Callable[[], Tensors]:
    """Rank 0 under prism, voltage and astra."""
    rows = lead_rows(model, name, plan, prepared, group, recorder)
    with recorder.span("head"):
        outputs = answers_of(model, rows)
    return lambda: outputs


def _begin_split(
    model: Model, name: str, plan: Plan, prepared: Tensors, group: Transport, recorder: Recorder
) -> Callable[[], Tensors]:
    """Rank 0 under split: every rank answers its share of the batch alone; the others' answers are
    taken when asked for."""
    shares = batch_shares(plan, next(iter(prepared.values())).shape[0])
    tokens = model.tokens(prepared)
    asked = [rank for rank in range(1, plan.p) if shares[rank]]
    sent, start = [], shares[0]
    with recorder.span("scatter"):
        for rank in asked:
            stop = start + shares[rank]
            part = {key: tensor[start:stop] for key, tensor in prepared.items()}
            sent.append(send_header(group, rank, name, plan, tokens, part))
            sent.append(group.begin({rank: pack_body(part)}, {}))
            start = stop
        for message in sent:  # in the kernel's hands, which goes on while this rank computes
            message.wait()
    answers = [answer_locally(model, {k: t[: shares[0]] for k, t in prepared.items()}, recorder)]
    headers, arriving = {}, {}
    for rank in asked:
        like = {key: (shares[rank], *tensor.shape[1:]) for key, tensor in answers[0].items()}
        headers[rank] = Header.of(name, plan, shares[rank], tokens, like)
        arriving[rank] = group.begin({}, {rank: headers[rank].body_bytes})

    def finish() -> Tensors:
        with recorder.span("gather"):
            answers.extend(unpack_body(headers[r], arriving[r].wait()[r]) for r in asked)
        return {key: torch.cat([answer[key] for answer in answers]) for key in answers[0]}

    return finish


def _gather(
    model: Model, layout: Layout, batch: int, own: Tensor | None, group: Transport
) -> Tensor:
    """The rows that are needed, from all ranks that finished, in order of position.  -> [B,.,D]

    A token that every rank owns is the mean of its replicas.
    """
    width, weight = layout.shape.width, model.blocks[0].qkv.weight
    others = [rank for rank in layout.finishers() if rank != 0]
    sizes = {rank: batch * layout.rows(rank) * width * 4 for rank in others}
    payloads = group.begin({}, sizes).wait() if sizes else {}
    parts = {
        rank: payload.view(torch.float32).view(batch, layout.rows(rank), width).to(weight)
        for rank, payload in payloads.items()
    }
    if own is not None:
        parts[0] = own
    ordered = [parts[rank] for rank in layout.order if rank in parts]
    if not layout.replicas or layout.needs == "last":
        return torch.cat(ordered, dim=1)
    shared = torch.stack([part[:, : layout.replicas] for part in ordered]).mean(dim=0)
    return torch.cat([shared, *(part[:, layout.replicas :] for part in ordered)], dim=1)
