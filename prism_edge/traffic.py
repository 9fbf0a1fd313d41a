"""What one request moves between boards, in bytes of payload; framing is excluded. Pure."""

from __future__ import annotations

from prism_edge.layout import Layout, ModelShape, Needs, batch_shares, token_layout
from prism_edge.plan import Plan


def input_bytes(layout: Layout, rank: int, batch: int) -> int:
    """Raw input plus first knowledge the leader sends to ``rank`` (0 for itself), framing excluded.

    Text: all token ids, from which a rank forms everyone's first rows itself. Images: under prism
    and astra the rank's own patches and the first rows it hears; under voltage and split whole
    images.
    """
    shape, plan = layout.shape, layout.plan
    if rank == 0 or plan.method == "local":
        return 0
    given = int(shape.class_token and shape.fixed_tokens)  # an image's class token is no input
    if plan.method == "split":
        return batch_shares(plan, batch)[rank] * (layout.tokens - given) * shape.token_bytes
    if plan.method == "voltage" or not shape.fixed_tokens:
        return batch * (layout.tokens - given) * shape.token_bytes
    first = sum(
        layout.payload_bytes(len(layout.segments(other)), samples)
        for samples in layout.pieces(batch)
        for other in layout.hears(rank)
    )
    return batch * layout.parts[rank] * shape.token_bytes + first


def output_bytes(layout: Layout, rank: int, batch: int) -> int:
    """What ``rank`` sends back to the leader: outputs under split, else rows of hidden state."""
    shape, plan = layout.shape, layout.plan
    if rank == 0 or plan.method == "local":
        return 0
    if plan.method == "split":
        floats = shape.output_fixed + shape.output_per_token * layout.tokens
        return batch_shares(plan, batch)[rank] * floats * 4
    return batch * layout.rows(rank) * shape.width * 4


def wire_bytes(
    plan: Plan, shape: ModelShape, batch: int, tokens: int, needs: Needs | None = None
) -> int:
    """Payload of everything one request sends between boards, either way, framing excluded."""
    total = 0
    for part, count in plan.parts(batch):
        layout = token_layout(part, shape, tokens, needs)
        total += layout.exchange_bytes(count)
        for rank in range(1, part.p):
            total += input_bytes(layout, rank, count) + output_bytes(layout, rank, count)
    return total
