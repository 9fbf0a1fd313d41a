"""The loop of one rank: per block {encode, send, project, join, attend}.

One device is a plan with one rank: the same code with nobody to hear. A message leaves as soon as
its block's input exists and is joined late: own queries, keys and values are computed while the
others' travel. There is no barrier. Letters: B batch, N tokens, n own tokens, R heard columns,
M = R + n, D width.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from prism_edge.exchanges import Exchanges, together
from prism_edge.families.model import Model
from prism_edge.layout import Layout
from prism_edge.spans import Recorder
from prism_edge.tensors.attention import as_mask
from prism_edge.tensors.known import Known, known
from prism_edge.transport import Pending, Transport

# takes keys and values [B,H,M,F] of each block in turn, and what their columns stand for
Keep = Callable[[Tensor, Tensor, Known], None]


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
    exchanges = Exchanges(model, layout, rank, x.shape[0], heard, group, recorder)
    columns: dict[int, tuple[Known, Tensor | None]] = {}
    own_real = None if real is None else real[:, layout.part(rank)].to(x.device)
    h = model.blocks[0].inputs(x)
    for index, block in enumerate(model.blocks):
        last = index == len(model.blocks) - 1
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
        if last:
            x = block.finish(x[:, rows], attended)
            break
        following = model.blocks[index + 1]
        outputs, inputs = [], []
        for piece in exchanges.pieces:
            outputs.append(block.finish(x[piece], attended[piece]))
            inputs.append(following.inputs(outputs[-1]))
            told = outputs[-1] if layout.plan.tap == "before" else inputs[-1]
            exchanges.send(index + 1, told, None if own_real is None else own_real[piece])
        x, h = together(outputs, dim=0), together(inputs, dim=0)
    exchanges.finish()
    return x


def head_rows(layout: Layout) -> slice:
    """Own rows of a finishing rank that are needed."""
    return {"first": slice(0, 1), "last": slice(-1, None), "all": slice(None)}[layout.needs]
