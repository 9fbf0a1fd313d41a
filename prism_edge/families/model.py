"""What the loop of one rank needs of a model, whatever its family.

Letters: B batch, N tokens, n own tokens, D width.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from prism_edge.errors import ModelError
from prism_edge.families.codebook_file import read_codebooks
from prism_edge.layout import ModelShape
from prism_edge.tensors.block import Block
from prism_edge.tensors.codebook import Codebooks

Tensors = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A named input or output: dtype in the protocol's words, shape with -1 where it varies."""

    name: str
    datatype: str
    shape: tuple[int, ...]


class Model(ABC):
    """One checkpoint in memory, on one device.

    Inputs are prepared once on the leader (``prepare``), cut to what a rank needs (``part``), and
    travel so; a rank turns its part into embeddings (``embed``); the leader reads answers off
    hidden rows (``head``).
    """

    directory: Path
    device: torch.device = torch.device("cpu")
    shape: ModelShape
    blocks: Sequence[Block]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @abstractmethod
    def prepare(self, inputs: Mapping[str, Tensor]) -> Tensors:
        """Checked inputs in the form in which they travel; ``InputError`` names what is wrong."""

    @abstractmethod
    def part(self, prepared: Tensors, start: int, stop: int) -> Tensors:
        """The raw input from which tokens ``start`` to ``stop`` can be embedded."""

    @abstractmethod
    def embed(self, part: Tensors, start: int, stop: int) -> Tensor:
        """Embeddings of tokens ``start`` to ``stop`` from their part of the input.  -> [B,n,D]"""

    @abstractmethod
    def head(self, rows: Tensor) -> Tensors:
        """Outputs from the rows of the last block that the head needs.  [B,.,D] -> by name"""

    def tokens(self, prepared: Tensors) -> int:
        """Tokens N of a prepared input."""
        return self.shape.tokens

    def real(self, prepared: Tensors) -> Tensor | None:
        """1 for a token, 0 for padding; None when nothing is padded.  -> [B,N] or None"""
        return None

    @cached_property
    def _codebooks(self) -> dict[tuple[int, int], Codebooks]:
        return {}

    def codebooks(self, g: int, k: int) -> Codebooks:
        """The codebooks of g groups of k vectors made for this checkpoint.

        Raises ``ModelError`` when there are none, or those of another model.
        """
        if (g, k) not in self._codebooks:
            self._codebooks[g, k] = read_codebooks(self.directory, g, k).to(self.device)
        return self._codebooks[g, k]

    def keep_codebooks(self, codebooks: Codebooks) -> None:
        """From now on these are the codebooks of their size."""
        self._codebooks[codebooks.g, codebooks.k] = codebooks

    def share_codebooks(self, other: Model) -> None:
        """What either model reads of codebooks, both have."""
        self.__dict__["_codebooks"] = other._codebooks

    @property
    def positionwise(self) -> bool:
        """True when every rank can embed every token from the part it is sent."""
        return not self.shape.fixed_tokens


def gelu(x: Tensor) -> Tensor:
    """x times the normal distribution function, in the memory of ``x``."""
    return torch.ops.aten.gelu_(x)  # type: ignore[no-any-return]


def gelu_tanh(x: Tensor) -> Tensor:
    """The same by its tanh approximation."""
    return torch.ops.aten.gelu_(x, approximate="tanh")  # type: ignore[no-any-return]


# Most write over what they are given, which is a result of the line before: the widest tensor of a
# block is in memory once (a feed-forward of ViT-B/16 takes 0.6 to 1.4 % less time so, x86 core).
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": gelu,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "gelu_fast": gelu_tanh,
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
    "relu": torch.relu_,
    "silu": lambda x: functional.silu(x, inplace=True),
    "tanh": torch.tanh_,
}


def activation(name: str) -> Callable[[Tensor], Tensor]:
    """The activation that config.json calls ``name``; it may write over its input."""
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise ModelError(f"activation {name!r} is not supported (supported: {known})")
    return ACTIVATIONS[name]
