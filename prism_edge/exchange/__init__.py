"""What ranks tell each other: one file per method. What differs is how own tokens become rows.

Letters: B batch, n own tokens, L announced rows, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from prism_edge.exchange.full import announce_tokens
from prism_edge.exchange.means import announce_means
from prism_edge.plan import Method, Plan, WireDtype

# attention inputs [B,n,D], sizes of the L segments, real tokens [B,n] or None -> rows [B,L,D]
Announce = Callable[[Tensor, Sequence[int], Tensor | None], Tensor]

ANNOUNCE: dict[Method, Announce] = {"prism": announce_means, "voltage": announce_tokens}
WIRE_DTYPES: dict[WireDtype, torch.dtype] = {"fp32": torch.float32, "fp16": torch.float16}


def encode(plan: Plan, h: Tensor, sizes: Sequence[int], real: Tensor | None) -> Tensor:
    """The message a rank sends: its announced rows as they travel.  [B,n,D] -> [B,L,D]"""
    return ANNOUNCE[plan.method](h, sizes, real).to(wire_dtype(plan))


def decode(plan: Plan, payload: Tensor, rows: int, like: Tensor) -> Tensor:
    """The columns behind a received message, in the dtype and on the device of ``like`` [B,n,D].

    uint8 [B*L*D*bytes] -> [B,L,D]
    """
    return payload.view(wire_dtype(plan)).view(like.shape[0], rows, like.shape[2]).to(like)


def wire_dtype(plan: Plan) -> torch.dtype:
    """The dtype in which ``plan`` sends rows."""
    assert plan.dtype is not None
    return WIRE_DTYPES[plan.dtype]
