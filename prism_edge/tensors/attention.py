"""Attention over known columns: score = q.k * scale + bias, softmax, weighted values.

The log counts stay a bias. The equivalent without one (sqrt(F) appended to q, log count to k, heads
padded to 72) took 8 to 44 % longer in PyTorch's flash kernel for CPUs, which takes a bias too:
ViT-B/16, 99 rows over 109 columns, batch 1 and 8, fp32, fp16 and bf16; medians of paired ratios,
torch 2.13, one x86 core. On CUDA a bias moves attention from the flash kernel to the efficient one,
which is fused as well. ``kernel_of`` says which one runs.
Letters: B batch, H heads, n query rows, M columns, F head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

ALIGNED = 8  # elements between rows of a bias that CUDA's efficient kernel reads without a copy
# PyTorch's numbers for its kernels (torch.nn.attention.SDPBackend, which older ones do not have)
KERNELS = {-1: "none", 0: "math", 1: "flash", 2: "efficient", 3: "cudnn"}


def attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *, causal: bool, scale: float
) -> Tensor:
    """The attended values.  [B,H,n,F], [B,H,M,F], [B,H,M,F], [B or 1,1,n or 1,M] -> [B,n,H*F]

    ``causal`` is the triangular mask over n = M own columns; it excludes a bias.
    """
    mask = None if bias is None else bias.to(q.dtype)
    out = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale)
    return out.transpose(1, 2).flatten(2)


def as_mask(bias: Tensor, like: Tensor) -> Tensor:
    """The fp32 bias as every block takes it: finite, in dtype and on device of ``like``, aligned.

    -inf becomes half the lowest finite number, whose exponential is 0 too: some kernels turn a tile
    that is -inf throughout into NaN.  [..., M] -> [..., M]
    """
    columns = bias.shape[-1]
    room = -(-columns // ALIGNED) * ALIGNED
    mask = like.new_zeros(*bias.shape[:-1], room)[..., :columns]
    return mask.copy_(bias).clamp_(min=torch.finfo(like.dtype).min / 2)


def kernel_of(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *, causal: bool, scale: float
) -> str:
    """The kernel behind ``attention`` for such tensors: flash, efficient, cudnn or math."""
    mask = None if bias is None else bias.to(q.dtype)
    choose: Any = torch._fused_sdp_choice
    number = int(choose(q, k, v, attn_mask=mask, dropout_p=0.0, is_causal=causal, scale=scale))
    return KERNELS.get(number, str(number))


def kernels(heads: int, width: int, like: Tensor) -> dict[str, str]:
    """The kernel of each kind of attention of a model: ``plain``, ``causal``, and ``counted``, with
    log counts or padding; on the device and in the dtype of ``like``."""
    q = like.new_zeros(1, 32, heads, width // heads).transpose(1, 2)
    bias = as_mask(torch.zeros(1, 1, 1, 32), q)
    kinds = {"plain": (None, False), "causal": (None, True), "counted": (bias, False)}
    return {
        kind: kernel_of(q, q, q, bias, causal=causal, scale=1.0)
        for kind, (bias, causal) in kinds.items()
    }
