"""Which attention kernel PyTorch chooses, seen while the work runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from prism_edge.tensors.attention import KERNELS

# the kernels' own operators: what a call has become where it is taken apart before it is seen
OPERATORS = {
    "_scaled_dot_product_flash_attention": "flash",
    "_scaled_dot_product_flash_attention_for_cpu": "flash",
    "_scaled_dot_product_efficient_attention": "efficient",
    "_scaled_dot_product_cudnn_attention": "cudnn",
    "_safe_softmax": "math",
    "_softmax": "math",
    "softmax": "math",
}


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Collects the attention kernels of everything that runs inside it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten.scaled_dot_product_attention.default:
            choose: Any = torch._fused_sdp_choice
            self.seen.add(KERNELS.get(int(choose(*args, **kwargs)), "math"))
        elif func.overloadpacket.__name__ in OPERATORS:
            self.seen.add(OPERATORS[func.overloadpacket.__name__])
        return func(*args, **kwargs)


def attention_kernel(work: Callable[[], object]) -> str:
    """The kernels that ``work`` uses for attention, such as flash; several are joined by +."""
    with Watch() as watch:
        work()
    return "+".join(sorted(watch.seen)) or "none"
