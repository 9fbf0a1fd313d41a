"""Attention over columns equals the formula written out."""

from __future__ import annotations

import pytest
import torch
from nets import noise
from torch import Tensor

from prism_edge.tensors.attention import attention


def by_hand(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, scale: float) -> Tensor:
    score = torch.einsum("bhif,bhjf->bhij", q.double(), k.double()) * scale
    score = score if bias is None else score + bias.double()
    weight = score.exp() / score.exp().sum(dim=-1, keepdim=True)
    out = torch.einsum("bhij,bhjf->bihf", weight, v.double())
    return out.reshape(*out.shape[:2], -1)


def parts(queries: int, columns: int) -> tuple[Tensor, Tensor, Tensor]:
    return (
        noise(2, 4, queries, 8, seed=1),
        noise(2, 4, columns, 8, seed=2),
        noise(2, 4, columns, 8, seed=3),
    )


@pytest.mark.parametrize("scale", [1.0, 8**-0.5])
def test_it_is_a_softmax_over_scaled_products(scale: float) -> None:
    q, k, v = parts(5, 7)
    found = attention(q, k, v, None, causal=False, scale=scale)
    assert found.shape == (2, 5, 32)
    assert torch.allclose(found.double(), by_hand(q, k, v, None, scale), atol=1e-6)
    assert not torch.allclose(found.double(), by_hand(q, k, v, None, 0.5), atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 1, 1, 7), (2, 1, 1, 7), (1, 1, 5, 7), (2, 1, 5, 7)])
def test_a_bias_is_added_to_the_scores(shape: tuple[int, ...]) -> None:
    q, k, v = parts(5, 7)
    bias = noise(*shape, seed=4)
    bias[..., 2] = float("-inf")
    found = attention(q, k, v, bias, causal=False, scale=0.3)
    assert torch.allclose(found.double(), by_hand(q, k, v, bias, 0.3), atol=1e-6)
    changed = v.clone()
    changed[:, :, 2] += 5  # hidden: bit for bit without effect
    assert torch.equal(attention(q, k, changed, bias, causal=False, scale=0.3), found)
    assert not torch.equal(attention(q, k, changed, None, causal=False, scale=0.3), found)


def test_the_triangle_hides_what_comes_later() -> None:
    q, k, v = parts(6, 6)
    triangle = torch.zeros(6, 6).masked_fill(~torch.ones(6, 6).tril().bool(), float("-inf"))
    found = attention(q, k, v, None, causal=True, scale=0.3)
    assert torch.allclose(found.double(), by_hand(q, k, v, triangle, 0.3), atol=1e-6)
    assert not torch.allclose(found, attention(q, k, v, None, causal=False, scale=0.3), atol=1e-3)


def test_half_precision_takes_a_bias_in_fp32() -> None:
    q, k, v = (part.half() for part in parts(5, 7))
    bias = torch.tensor([1.0, 4, 2, 1, 1, 1, 0]).log()[None, None, None]
    found = attention(q, k, v, bias, causal=False, scale=0.3)
    assert found.dtype == torch.float16
    assert torch.allclose(found.double(), by_hand(q, k, v, bias, 0.3), atol=2e-2)
