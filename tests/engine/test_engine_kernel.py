"""The kernel that is told is the one that runs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from prism_edge.engine.kernel import attention_kernel

Grad = Callable[[], AbstractContextManager[object]]


def attend(**options: object) -> Tensor:
    q = torch.ones(1, 2, 5, 8)
    return scaled_dot_product_attention(q, q, q, **options)


@pytest.mark.parametrize("grad", [torch.inference_mode, torch.no_grad])
def test_fused_attention_is_told_from_spelled_out_attention(grad: Grad) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel

    with grad():
        assert attention_kernel(attend) == "flash"
        assert attention_kernel(lambda: attend(attn_mask=torch.zeros(1, 1, 1, 5))) == "flash"
        with sdpa_kernel(SDPBackend.MATH):
            assert attention_kernel(attend) == "math"
        assert attention_kernel(lambda: (attend(), torch.ones(2, 2).softmax(-1))) == "flash+math"
        assert attention_kernel(lambda: torch.ones(2)) == "none"
