"""Where a model computes and in which dtype; what this PyTorch cannot do is refused at once.

Every operation of a block is tried on a few numbers first: builds differ in what they can do in
half precision on a CPU, and in which GPUs they hold kernels for.
"""

from __future__ import annotations

import torch
from torch.nn.functional import embedding, gelu, layer_norm, linear

from prism_edge.errors import ModelError
from prism_edge.tensors.attention import as_mask, attention

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
BF16_CAPABILITY = (8, 0)  # Ampere; older ones only emulate it
TOLERANCE = 0.05  # of a trial whose values are of the order of one


def usable(device: str, dtype: str) -> tuple[torch.device, torch.dtype]:
    """``device`` (cpu, cuda, cuda:N) and ``dtype`` (fp32, fp16, bf16), which work here.

    Raises ``ModelError`` that says what is missing and what to set instead.
    """
    if dtype not in DTYPES:
        raise ModelError(f"dtype {dtype!r}, allowed is {', '.join(DTYPES)}")
    place = _cuda(device) if device.startswith("cuda") else torch.device(device)
    if place.type == "cuda" and dtype == "bf16":
        capability = torch.cuda.get_device_capability(place)
        if capability < BF16_CAPABILITY:
            raise ModelError(
                f"dtype bf16: {described(place)} has compute capability "
                f"{capability[0]}.{capability[1]}, bf16 needs 8.0; set dtype = 'fp16'"
            )
    _try(place, dtype)
    return place, DTYPES[dtype]


def described(device: torch.device) -> str:
    """The device for people, such as ``cuda:0 Orin``."""
    return f"{device} {torch.cuda.get_device_name(device)}" if device.type == "cuda" else "cpu"


def synchronise(device: torch.device) -> None:
    """Everything asked of the device has been done."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _cuda(device: str) -> torch.device:
    if torch.version.cuda is None:
        raise ModelError(
            f"device {device}, but this torch ({torch.__version__}) has no CUDA; install NVIDIA's "
            f"wheel for your JetPack, or set device = 'cpu'"
        )
    if not torch.cuda.is_available():
        raise ModelError(
            f"device {device}, but torch {torch.__version__} (CUDA {torch.version.cuda}) finds no "
            f"GPU it can use; does the driver match, and may this user open the device? "
            f"Else set device = 'cpu'"
        )
    place = torch.device(device)
    index = torch.cuda.current_device() if place.index is None else place.index
    if index >= torch.cuda.device_count():
        raise ModelError(f"device {device}: this board has {torch.cuda.device_count()} GPU(s)")
    return torch.device("cuda", index)


@torch.inference_mode()
def _try(place: torch.device, dtype: str) -> None:
    """What a block does, on a few numbers: it runs, and comes out as in fp32 on the CPU."""
    expected = _trial(torch.device("cpu"), torch.float32)
    try:
        found = _trial(place, DTYPES[dtype]).float().cpu()
    except (RuntimeError, NotImplementedError) as error:
        raise ModelError(
            f"dtype {dtype} on {place}: this torch ({torch.__version__}) cannot compute a block "
            f"so ({str(error).splitlines()[0]}); set dtype = 'fp32' or device = 'cpu'"
        ) from error
    if not torch.allclose(found, expected, atol=TOLERANCE):
        raise ModelError(
            f"dtype {dtype} on {place}: this torch ({torch.__version__}) computes a block wrongly "
            f"(off by {(found - expected).abs().max():.2g}); set dtype = 'fp32' or device = 'cpu'"
        )


def _trial(place: torch.device, dtype: torch.dtype) -> torch.Tensor:
    numbers = torch.linspace(-1, 1, 128, dtype=torch.float32).view(4, 32).to(place, dtype)
    ids = torch.tensor([[0, 3, 1, 2]], device=place)
    x = layer_norm(embedding(ids, numbers), (32,), numbers[0], numbers[1], 1e-5)  # [1,4,32]
    q = linear(x, numbers.t() @ numbers / 32, numbers[2]).view(1, 4, 4, 8).transpose(1, 2)
    bias = as_mask(torch.tensor([1.0, 4.0, 0.0, 1.0]).log()[None, None, None], q)
    counted = attention(q, q, q, bias, causal=False, scale=8**-0.5)
    causal = attention(q, q, q, None, causal=True, scale=8**-0.5)
    return torch.tanh(gelu(counted) + gelu(causal, approximate="tanh"))
