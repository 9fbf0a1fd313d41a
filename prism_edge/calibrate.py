"""Codebooks fitted to the rows that would travel, taken from the production loop on real inputs.

Letters: B batch, N tokens, S rows taken per block, D width, G groups, K codes of a group.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from prism_edge.errors import InputError
from prism_edge.families.model import Model, Tensors
from prism_edge.forward import run_blocks, whole
from prism_edge.layout import token_layout
from prism_edge.plan import LOCAL, Tap
from prism_edge.spans import Recorder
from prism_edge.tensors.block import Block
from prism_edge.tensors.codebook import Codebooks
from prism_edge.tensors.kmeans import Quality, fit, quality

APART = 10  # every tenth row is kept from the fit, to see what codes make of rows they never met

Tell = Callable[[str, float, float], None]  # what is done, how much of it, of how much


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording(Block):
    """A block that keeps ``picked`` [B,N] rows of what it is given, or of their norms."""

    tap: Tap
    picked: Tensor
    rows: list[Tensor]

    def inputs(self, x: Tensor) -> Tensor:
        h = Block.inputs(self, x)
        self.rows.append((x if self.tap == "before" else h)[self.picked])
        return h


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrated:
    """Codebooks, the rows each block's were fitted to, and what they make of rows kept apart."""

    codebooks: Codebooks
    samples: int
    fitted: tuple[Quality, ...]
    unseen: tuple[Quality, ...]


@torch.inference_mode()
def calibrate(
    model: Model,
    batches: Sequence[Tensors],
    *,
    g: int,
    k: int,
    tap: Tap,
    samples: int,
    seed: int,
    tell: Tell,
) -> Calibrated:
    """Codebooks of ``model`` fitted to at most ``samples`` rows a block of prepared inputs.

    Raises ``InputError`` when there are too few rows.
    """
    taken = travelling_rows(model, batches, tap=tap, samples=samples, seed=seed, tell=tell)
    tables, fitted, unseen = [], [], []
    for block, rows in enumerate(taken):
        tell(f"codes of block {block + 1} of {len(taken)}", 0.5 + block / len(taken) / 2, 1)
        apart = torch.arange(rows.shape[0]) % APART == APART - 1
        tables.append(fit(rows[~apart], g, k, seed))
        fitted.append(quality(tables[-1], rows[~apart]))
        unseen.append(quality(tables[-1], rows[apart]))
    return Calibrated(
        codebooks=Codebooks(tables=torch.stack(tables), tap=tap),
        samples=int((~apart).sum()),
        fitted=tuple(fitted),
        unseen=tuple(unseen),
    )


@torch.inference_mode()
def travelling_rows(
    model: Model, batches: Sequence[Tensors], *, tap: Tap, samples: int, seed: int, tell: Tell
) -> list[Tensor]:
    """At most ``samples`` rows of every block, drawn at random from all that could be sent: no
    padding, no class token, of which every rank has its own.  -> [S,D] per block

    Raises ``InputError`` when there are too few rows.
    """
    masks = [sendable(model, batch) for batch in batches]
    counts = [int(mask.sum()) for mask in masks]
    if min(sum(counts), samples) < APART:
        raise InputError(
            f"{min(sum(counts), samples)} rows to fit codes to, at least {APART} are needed; "
            f"give more or longer inputs"
        )
    order = torch.randperm(sum(counts), generator=torch.Generator().manual_seed(seed))
    drawn = torch.zeros(sum(counts), dtype=torch.bool)
    drawn[order[:samples]] = True
    taken: list[list[Tensor]] = [[] for _ in model.blocks]
    parts = torch.split(drawn, counts)
    for index, (batch, mask, part) in enumerate(zip(batches, masks, parts, strict=True)):
        tell(f"rows of inputs {index + 1} of {len(batches)}", index / len(batches) / 2, 1)
        if bool(part.any()):
            picked = mask.clone()
            picked[mask] = part
            layout = token_layout(LOCAL, model.shape, model.tokens(batch))
            # in one piece, as the picked rows are numbered through the batch
            pieces = whole(model.embed(batch, 0, layout.tokens), real=model.real(batch))
            told = recording(model, tap, picked, taken)
            run_blocks(told, layout, 0, pieces, None, Recorder())
    return [torch.cat(rows) for rows in taken]


def sendable(model: Model, prepared: Tensors) -> Tensor:
    """True for the tokens that a rank may have to send.  -> bool [B,N]"""
    batch, tokens = next(iter(prepared.values())).shape[0], model.tokens(prepared)
    real = model.real(prepared)
    mask = torch.ones(batch, tokens, dtype=torch.bool) if real is None else real.cpu() > 0
    return mask & (torch.arange(tokens) >= int(model.shape.class_token))


def recording(model: Model, tap: Tap, picked: Tensor, taken: list[list[Tensor]]) -> Model:
    """The same model, whose blocks put the picked rows of what they are given into ``taken``."""
    twin = copy.copy(model)
    twin.blocks = [
        Recording(
            **{field.name: getattr(block, field.name) for field in fields(block)},
            tap=tap,
            picked=picked,
            rows=rows,
        )
        for block, rows in zip(model.blocks, taken, strict=True)
    ]
    return twin
