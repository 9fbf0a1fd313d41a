"""Attention over columns equals the formula written out."""

from __future__ import annotations

import pytest
import torch
from nets import noise
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from prism_edge.tensors.attention import as_mask, attention, kernel_of, kernels


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


# -- the bias as kernels take it ---------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("columns", [1, 7, 8, 109])
def test_a_mask_is_finite_aligned_and_hides_the_same(dtype: torch.dtype, columns: int) -> None:
    counts = torch.arange(columns).float()  # the first column is padding
    counts[-1] = 512
    bias = counts.log()[None, None, None]
    q = noise(2, 4, 3, 8, seed=1).to(dtype)
    k, v = (noise(2, 4, columns, 8, seed=s).to(dtype) for s in (2, 3))
    mask = as_mask(bias, q)
    assert mask.dtype == dtype
    assert mask.shape == bias.shape
    assert mask.isfinite().all()
    assert all(stride % 8 == 0 for stride in mask.stride()[:-1])
    assert mask.stride(-1) == 1
    found = attention(q, k, v, mask, causal=False, scale=0.3)
    assert torch.equal(found, attention(q, k, v, bias, causal=False, scale=0.3))


def test_a_hidden_column_has_no_effect_at_all() -> None:
    q, k, v = parts(5, 7)
    mask = as_mask(torch.tensor([1.0, 4, 0, 1, 1, 1, 0]).log()[None, None, None], q)
    found = attention(q, k, v, mask, causal=False, scale=0.3)
    changed = v.clone()
    changed[:, :, 2] += 1e6
    assert torch.equal(attention(q, k, changed, mask, causal=False, scale=0.3), found)
    changed[:, :, 3] += 1e6  # the control: a column of count 1
    assert not torch.equal(attention(q, k, changed, mask, causal=False, scale=0.3), found)


# -- which kernel runs -------------------------------------------------------------------------

FLASH = "aten::_scaled_dot_product_flash_attention_for_cpu"
MATH = "aten::_scaled_dot_product_attention_math"


def seen(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, causal: bool) -> set[str]:
    """The operators that really ran, among those of attention."""
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        attention(q, k, v, bias, causal=causal, scale=0.125)
    return {event.key for event in profiler.key_averages()} & {FLASH, MATH}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["plain", "counted", "rows", "causal"])
def test_the_fused_kernel_runs_whatever_the_bias(dtype: torch.dtype, kind: str) -> None:
    """ViT-B/16, prism, P = 2, L = 10: 99 own rows over 109 columns."""
    columns = 99 if kind == "causal" else 109
    q, k, v = (noise(1, 12, n, 64, seed=n).to(dtype) for n in (99, columns, columns))
    rows = {"counted": 1, "rows": 99}.get(kind)
    bias = None if rows is None else as_mask(torch.zeros(1, 1, rows, columns), q)
    assert kernel_of(q, k, v, bias, causal=kind == "causal", scale=0.125) == "flash"
    assert seen(q, k, v, bias, kind == "causal") == {FLASH}


def test_control_a_slow_path_is_seen_and_named() -> None:
    q, k, v = parts(5, 7)
    narrow = v[..., :4]  # values of another width are no case for the fused kernel
    assert kernel_of(q, k, narrow, None, causal=False, scale=0.125) == "math"
    assert seen(q, k, narrow, None, False) == {MATH}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_model_is_told_which_kernels_it_gets(dtype: torch.dtype) -> None:
    found = kernels(12, 768, torch.empty(0, dtype=dtype))
    assert found == {"plain": "flash", "causal": "flash", "counted": "flash"}


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_no_kernel_on_a_gpu_is_the_slow_one(dtype: torch.dtype) -> None:
    found = kernels(12, 768, torch.empty(0, dtype=dtype, device="cuda"))
    assert "math" not in found.values()
    assert "none" not in found.values()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_gpu_attends_as_the_formula_says(dtype: torch.dtype) -> None:
    q, k, v = (noise(2, 12, n, 64, seed=n).to("cuda", dtype) for n in (99, 109, 109))
    counts = torch.ones(109)
    counts[:10], counts[20] = 10, 0
    bias = counts.log()[None, None, None]
    found = attention(q, k, v, as_mask(bias, q), causal=False, scale=0.125)
    expected = by_hand(q.cpu(), k.cpu(), v.cpu(), bias, 0.125)
    assert torch.allclose(
        found.double().cpu(), expected, atol=2e-3 if dtype == torch.float32 else 2e-2
    )
