"""Requests the laws are drawn over: parts of any size, padding, and the plans that ask for them.

Nets are those of ``nets.py``; they attend sharply, so a wrong count or mask is a large error.
Letters: B batch, N tokens, D width.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from hypothesis import settings
from hypothesis import strategies as st
from nets import Net, noise
from torch import Tensor

from prism_edge.families.model import Model, Tensors
from prism_edge.plan import Tap
from prism_edge.tensors.codebook import Codebooks

EXACT = 1e-5  # fp32, relative to the spread of the outputs
# what is rounded to fp16 or int8 may fall the other way when it differs in its last bit
CLOSE = {"fp32": EXACT, "fp16": 1e-3, "int8": 5e-2}
VISIBLE = 1e-2  # a control is a mistake of at least this size
SIZES = ((37,), (19, 18), (5, 20, 12), (1, 36), (10, 9, 9, 9))

few = settings(max_examples=12, deadline=None, derandomize=True, database=None)
some = settings(max_examples=30, deadline=None, derandomize=True, database=None)


class LawNet(Net):
    """A net that computes in the dtype of its weights and has codebooks of any size."""

    def __init__(self, *, tables: Tensor | None = None, tap: Tap = "after", **options: Any) -> None:
        super().__init__(**options)
        self._tables = tables
        self._tap = tap
        self._dtype = self.blocks[0].out.weight.dtype

    def embed(self, part: Tensors, start: int, stop: int) -> Tensor:
        return super().embed(part, start, stop).to(self._dtype)

    def codebooks(self, g: int, k: int) -> Codebooks:
        return Codebooks(tables=self.tables(g, k).to(self._dtype), tap=self._tap)

    def tables(self, g: int, k: int) -> Tensor:
        """[blocks,G,K,D/G]"""
        shape = self.shape
        return noise(shape.blocks, g, k, shape.width // g) if self._tables is None else self._tables


@cache
def net(**options: Any) -> LawNet:
    """The net of these options, built once; causal or not, pre-norm or not, with sinks or not."""
    return LawNet(**options)


class Named(dict[str, Model]):
    """Nets by name, built where they are needed: a name is their options as JSON."""

    def __missing__(self, name: str) -> Model:
        self[name] = net(**json.loads(name))
        return self[name]


def plan_of(method: str, own: Sequence[int], **options: object) -> str:
    """The text of a plan under which rank p owns ``own[p]`` tokens; one rank is local."""
    if len(own) == 1:
        return "local"
    share = "/".join(str(n) for n in own)
    listed = {"p": len(own), **options, "share": share}
    return f"{method}:" + ",".join(f"{key}={value}" for key, value in listed.items())


kinds = st.fixed_dictionaries({"causal": st.booleans(), "pre_norm": st.booleans()})
taps = st.sampled_from(["after", "before"])


@st.composite
def shares(draw: st.DrawFn, *, ranks: int = 4, tokens: int = 26) -> tuple[int, ...]:
    """Tokens of 1 to ``ranks`` ranks, at least one each and ``tokens`` at most in all."""
    count = draw(st.integers(1, ranks))
    total = draw(st.integers(count, tokens))
    if count == 1:
        return (total,)
    cuts = draw(st.sets(st.integers(1, total - 1), min_size=count - 1, max_size=count - 1))
    edges = [0, *sorted(cuts), total]
    return tuple(stop - start for start, stop in pairwise(edges))


def embeddings(tokens: int, *, batch: int = 2, seed: int = 1, width: int = 32) -> Tensor:
    """[B,N,D]"""
    return noise(batch, tokens, width, seed=seed)


def masks(tokens: int, batch: int = 2) -> st.SearchStrategy[Tensor]:
    """Any padding, holes included, with a real token in every sample.  -> uint8 [B,N]"""
    bits = st.lists(st.integers(0, 1), min_size=tokens, max_size=tokens)
    row = st.tuples(bits, st.integers(0, tokens - 1)).map(
        lambda drawn: [bit | (i == drawn[1]) for i, bit in enumerate(drawn[0])]
    )
    return st.lists(row, min_size=batch, max_size=batch).map(
        lambda rows: torch.tensor(rows, dtype=torch.uint8)
    )
