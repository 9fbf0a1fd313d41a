"""Timing what it takes to bring a tensor from the device into host memory, and back.

GLOO sends from host memory only, so on a board with an accelerator every message is staged. On a
CPU board device and host are one memory: the figure is that of a plain copy, and its path says so.
"""

from __future__ import annotations

import time
from typing import Literal, get_args

import torch

from prism_edge.errors import InputError

Direction = Literal["d2h", "h2d"]
CPU_PATH = "copy"


def stage(direction: Direction, size: int, repeats: int) -> tuple[str, list[float]]:
    """The path taken, and the seconds of ``repeats`` copies of ``size`` bytes after a first one.

    Both buffers are allocated once, as a transport's are. Raises ``InputError`` on an unknown
    direction.
    """
    if direction not in get_args(Direction):
        raise InputError(f"direction {direction!r}, allowed is {' or '.join(get_args(Direction))}")
    source, target = torch.ones(size, dtype=torch.uint8), torch.zeros(size, dtype=torch.uint8)
    seconds = []
    for _ in range(repeats + 1):
        start_s = time.perf_counter()
        target.copy_(source)
        seconds.append(time.perf_counter() - start_s)
    return CPU_PATH, seconds[1:]
