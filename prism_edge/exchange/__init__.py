"""What ranks tell each other: how own tokens become bytes, and bytes what others know of them.

Letters: B batch, n own tokens, L announced rows, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from prism_edge.errors import PlanError
from prism_edge.exchange.codes import Codes
from prism_edge.exchange.rows import Rows
from prism_edge.plan import Plan
from prism_edge.tensors.codebook import Codebooks


class Exchange(Protocol):
    """One method's messages."""

    def encode(self, h: Tensor, sizes: Sequence[int], real: Tensor | None, block: int) -> Tensor:
        """The message a rank sends before ``block`` of its rows h, cut into segments of ``sizes``;
        ``real`` is 0 for padding.  [B,n,D], [B,n] or None -> uint8 [bytes]"""
        ...

    def decode(self, payload: Tensor, rows: int, block: int, like: Tensor) -> Tensor:
        """The columns behind a message, in dtype and on device of ``like`` [B,n,D].

        uint8 [bytes] -> [B,rows,D]
        """
        ...


def exchange_of(plan: Plan, codebooks: Callable[[int, int], Codebooks]) -> Exchange:
    """The exchange of ``plan``; ``codebooks(g, k)`` finds a model's, where the plan wants them.

    Raises ``PlanError`` when those are for the other tap.
    """
    if plan.g is not None and plan.k is not None:
        books = codebooks(plan.g, plan.k)
        if books.tap != plan.tap:
            raise PlanError(
                f"plan {plan}: the codebooks g={plan.g}, k={plan.k} were made for rows "
                f"{books.tap} the norm; ask for tap={books.tap}"
            )
        return Codes(books)
    assert plan.dtype is not None
    return Rows(plan.dtype, means=plan.l is not None)
