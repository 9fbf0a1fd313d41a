"""Attention over known columns: score = q.k * scale + bias, softmax, weighted values.

Letters: B batch, H heads, n query rows, M columns, F head width.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention


def attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None, *, causal: bool, scale: float
) -> Tensor:
    """The attended values.  [B,H,n,F], [B,H,M,F], [B,H,M,F], [B or 1,1,n or 1,M] -> [B,n,H*F]

    ``causal`` is the triangular mask over n = M own columns; it excludes a bias.
    """
    mask = None if bias is None else bias.to(q.dtype)
    out = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scale)
    return out.transpose(1, 2).flatten(2)
