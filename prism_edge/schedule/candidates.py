"""Plans worth comparing for a batch. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from prism_edge.errors import PlanError
from prism_edge.layout import ModelShape, check_fits, even, shared
from prism_edge.plan import LOCAL, Plan, WireDtype

USUAL_SEGMENTS = (1, 2, 5, 10, 20)
WIRE_DTYPES: tuple[WireDtype, ...] = ("fp32", "fp16")
UNEVEN = ((2, 1), (3, 1), (1, 2), (1, 3))  # shares of two boards of which one is slower


def candidates(
    shape: ModelShape,
    batch: int,
    tokens: int,
    boards: int,
    segments: Sequence[int] = USUAL_SEGMENTS,
) -> list[Plan]:
    """Every plan worth comparing that fits: local, split, prism with ``segments``, voltage; for
    batches that do not divide, part split and part prism; on two boards also uneven splits."""
    wanted = [LOCAL]
    ranks = range(2, min(boards, 8) + 1)
    wanted += [Plan(method="split", p=p) for p in ranks if p <= batch]
    if boards == 2:
        known = {even(batch, 2)}
        for share in UNEVEN:
            divided = shared(batch, share)
            if min(divided) > 0 and divided not in known:
                known.add(divided)
                wanted.append(Plan(method="split", p=2, share=share))
    for p in ranks:
        for l in segments:  # noqa: E741
            for dtype in WIRE_DTYPES:
                wanted.append(Plan(method="prism", p=p, l=l, dtype=dtype))
                if batch > p and batch % p:
                    wanted.append(Plan(method="split+prism", p=p, l=l, dtype=dtype))
        wanted += [Plan(method="voltage", p=p, dtype=dtype) for dtype in WIRE_DTYPES]
    return [plan for plan in wanted if _fits(plan, shape, batch, tokens, boards)]


def _fits(plan: Plan, shape: ModelShape, batch: int, tokens: int, boards: int) -> bool:
    try:
        check_fits(plan, shape, batch, tokens, boards)
    except PlanError:
        return False
    return True
