"""One Transformer block on plain weights, split where an exchange can be joined late.

Letters: B batch, n own tokens, R heard columns, M = R + n, D width, H heads, F = D/H.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import layer_norm, linear

from prism_edge.tensors.attention import attention


@dataclass(frozen=True, slots=True)
class Affine:
    """x W^T + b.  weight [out,in], bias [out] or None"""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        return linear(x, self.weight, self.bias)

    @classmethod
    def stack(cls, parts: Sequence[Affine]) -> Affine:
        """All outputs of ``parts``, one below the other; a part without bias counts as bias 0."""
        weight = torch.cat([part.weight for part in parts])
        if all(part.bias is None for part in parts):
            return cls(weight, None)
        zeros = [part.weight.new_zeros(part.weight.shape[0]) for part in parts]
        biases = [
            zero if part.bias is None else part.bias
            for part, zero in zip(parts, zeros, strict=True)
        ]
        return cls(weight, torch.cat(biases))

    def rows(self, start: int, stop: int) -> Affine:
        """The outputs ``start`` to ``stop``, as a view."""
        return Affine(self.weight[start:stop], None if self.bias is None else self.bias[start:stop])


@dataclass(frozen=True, slots=True)
class Norm:
    """Layer normalisation over the last dimension."""

    weight: Tensor
    bias: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Weights of one block.

    ``pre_norm``: norms come before attention and feed-forward (ViT, GPT-2), else after them (BERT).
    ``qkv`` [3D,D] holds Wq, Wk, Wv one below the other.
    """

    norm1: Norm
    qkv: Affine
    out: Affine
    norm2: Norm
    up: Affine
    down: Affine
    activation: Callable[[Tensor], Tensor]
    heads: int
    scale: float
    pre_norm: bool

    def inputs(self, x: Tensor) -> Tensor:
        """What attention reads, and what ranks tell each other.  [B,n,D] -> [B,n,D]"""
        return self.norm1(x) if self.pre_norm else x

    def project(self, h: Tensor, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
        """Queries of ``rows``, keys and values of all own tokens.  [B,n,D] -> 3 x [B,H,.,F]"""
        width = h.shape[-1]
        if rows == slice(None):
            q, k, v = self.qkv(h).chunk(3, dim=-1)
        else:
            q = self.qkv.rows(0, width)(h[:, rows])
            k, v = self.qkv.rows(width, 3 * width)(h).chunk(2, dim=-1)
        return self._heads(q), self._heads(k), self._heads(v)

    def prepend(self, heard: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of [heard, own] columns.  [B,R,D], 2 x [B,H,n,F] -> 2 x [B,H,R+n,F]"""
        width = heard.shape[-1]
        heard_k, heard_v = self.qkv.rows(width, 3 * width)(heard).chunk(2, dim=-1)
        return (
            torch.cat([self._heads(heard_k), k], dim=2),
            torch.cat([self._heads(heard_v), v], dim=2),
        )

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *, causal: bool
    ) -> Tensor:
        """The attended values of own queries.  [B,H,n,F], 2 x [B,H,M,F] -> [B,n,D]"""
        return attention(q, k, v, bias, causal=causal, scale=self.scale)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """The block's output from its residual input and attended values.  [B,n,D] -> [B,n,D]"""
        if self.pre_norm:
            x = self.out(attended).add_(x)
            return self.down(self.activation(self.up(self.norm2(x)))).add_(x)
        x = self.norm1(self.out(attended).add_(x))
        return self.norm2(self.down(self.activation(self.up(x))).add_(x))

    def _heads(self, x: Tensor) -> Tensor:
        return x.view(*x.shape[:-1], self.heads, -1).transpose(1, 2)
