"""The loop of one rank: per block and piece of the batch {project, join, attend, send}.

One device is a plan with one rank: the same code with nobody to hear. A message leaves as soon as
the next block's input exists and is joined late: own queries, keys and values, and the other pieces
of the batch, are computed while it travels. There is no barrier. Letters: B batch, b samples of a
piece, N tokens, n own tokens, R heard columns, M = R + n, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from prism_edge.exchanges import Exchanges, together
from prism_edge.families.model import Model
from prism_edge.layout import Layout
from prism_edge.spans import Recorder
from prism_edge.tensors.attention import as_mask
from prism_edge.tensors.block import Block
from prism_edge.tensors.known import Known, known
from prism_edge.transport import Pending, Transport

# takes keys and values [B,H,M,F] of each block in turn, and what their columns stand for
Keep = Callable[[Tensor, Tensor, Known], None]


@dataclass(frozen=True, slots=True)
class Start:
    """What a rank begins with. ``x`` [b,n,D]: embeddings of the own tokens. ``heard``: what is
    known of the others before block 0, rows [b,R,D] or the leader's message with them. ``real``
    [b,N]: 0 for padding, None: no padding."""

    x: Tensor
    heard: Tensor | Pending | None = None
    real: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """Samples computed together; ``start`` is asked for once, when their turn comes first."""

    samples: int
    start: Callable[[], Start]


def whole(x: Tensor, heard: Tensor | None = None, real: Tensor | None = None) -> list[Piece]:
    """A batch in one piece."""
    return [Piece(x.shape[0], [Start(x, heard, real)].pop)]


def run_blocks(
    model: Model,
    layout: Layout,
    rank: int,
    pieces: Sequence[Piece],
    group: Transport | None,
    recorder: Recorder,
    keep: Keep | None = None,
) -> Tensor | None:
    """Rows of the last block that are needed, as far as ``rank`` owns them; else None.

    ``keep`` sees every block's keys and values; it wants the batch in one piece.
    """
    assert keep is None or len(pieces) == 1
    samples = [piece.samples for piece in pieces]
    exchanges = Exchanges(model, layout, rank, samples, group, recorder)
    flights = [Flight(layout, rank, number) for number in range(len(pieces))]
    for index, block in enumerate(model.blocks):
        last = index == len(model.blocks) - 1
        if last and not layout.rows(rank):
            break
        for flight, piece in zip(flights, pieces, strict=True):
            if index == 0:
                flight.begin(piece.start(), block, exchanges)
            flight.attend(index, block, exchanges, keep, last=last)
            if not last:
                flight.tell(index + 1, model.blocks[index + 1], exchanges)
    exchanges.finish()
    return together([flight.x for flight in flights], dim=0) if layout.rows(rank) else None


class Flight:
    """One piece of the batch on its way through the blocks. ``x`` [b,n,D]: where it has got to."""

    x: Tensor

    def __init__(self, layout: Layout, rank: int, number: int) -> None:
        self._layout = layout
        self._rank = rank
        self._number = number
        self._before = layout.plan.tap == "before"
        self._columns: dict[int, tuple[Known, Tensor | None]] = {}

    def begin(self, start: Start, block: Block, exchanges: Exchanges) -> None:
        """The piece is in front of the first block."""
        self.x, self._real = start.x, start.real
        self._h = block.inputs(self.x)
        exchanges.first(self._number, start.heard)

    def attend(
        self, index: int, block: Block, exchanges: Exchanges, keep: Keep | None, *, last: bool
    ) -> None:
        """The piece has passed ``block``."""
        rows = head_rows(self._layout) if last else slice(None)
        attended = self._attended(index, block, exchanges, keep, rows, last=last)
        self.x = block.finish(self.x[:, rows], attended)

    def _attended(
        self,
        index: int,
        block: Block,
        exchanges: Exchanges,
        keep: Keep | None,
        rows: slice,
        *,
        last: bool,
    ) -> Tensor:
        """The values that ``rows`` attend to; all that led to them is free again.  -> [b,.,D]"""
        q, k, v = block.project(self._h, rows)
        heard = exchanges.join(index, self._number, self._h)
        del self._h
        if heard is not None:
            k, v = block.prepend(block.inputs(heard) if self._before else heard, k, v)
        columns, bias = self._known(index)
        if keep is not None:
            keep(k, v, columns)
        return block.attend(
            q,
            k,
            v,
            bias if bias is None or bias.shape[2] == 1 else bias[:, :, rows],
            # the triangle starts at the first query: it is none for the last row alone
            causal=columns.plain_causal and not (last and self._layout.needs == "last"),
        )

    def tell(self, index: int, block: Block, exchanges: Exchanges) -> None:
        """The others are told of the piece in front of ``block``."""
        self._h = block.inputs(self.x)
        real = None if self._real is None else self._real[:, self._layout.part(self._rank)]
        told = self.x if self._before else self._h
        exchanges.send(index, self._number, told, None if real is None else real.to(told.device))

    def _known(self, index: int) -> tuple[Known, Tensor | None]:
        """The columns at a block, and what is added to their scores."""
        since = self._layout.known_since(index)
        if since not in self._columns:
            columns = known(self._layout, self._rank, self._real, since)
            bias = None if columns.plain_causal else columns.bias()
            self._columns[since] = columns, None if bias is None else as_mask(bias, self.x)
        return self._columns[since]


def head_rows(layout: Layout) -> slice:
    """Own rows of a finishing rank that are needed."""
    return {"first": slice(0, 1), "last": slice(-1, None), "all": slice(None)}[layout.needs]
