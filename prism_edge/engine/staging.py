"""Timing what it takes to bring a message from the device into host memory, and back.

GLOO sends from host memory only, so on a board with an accelerator every message is staged. On a
CPU board device and host are one memory: the figure is that of a plain copy, and its path says so.
"""

from __future__ import annotations

import time
from typing import Any, Literal, get_args

import torch

from prism_edge.errors import InputError
from prism_edge.families.device import synchronise
from prism_edge.tables.staging_rule import PATHS, Path
from prism_edge.transport.staging import HOST, WAYS, Staging, fault, staging_of, working_rule

Direction = Literal["d2h", "h2d"]
CPU_PATH = "copy"


def prepare(wanted: str, device: torch.device) -> tuple[Staging, dict[str, Any]]:
    """The staging of ``device`` by the rule ``wanted``, and what a driver needs to know of it:
    ``rule``, ``why`` it is another one, and ``paths`` that can be measured, with their faults.

    Raises ``SettingsError`` when ``wanted`` is no rule.
    """
    if device.type == "cpu":
        return HOST, {"rule": None, "why": None, "paths": {CPU_PATH: None}}
    rule, why = working_rule(wanted, device)
    paths = {path: fault(WAYS[path], device) for path in PATHS}
    return staging_of(rule, device), {"rule": str(rule), "why": why, "paths": paths}


@torch.inference_mode()
def stage(
    path: str, direction: Direction, size: int, repeats: int, device: torch.device
) -> list[float]:
    """Seconds of ``repeats`` passages of ``size`` bytes after a first one, which is not counted.

    Host memory is allocated once, as a transport's is. Raises ``InputError`` on an unknown
    direction, or a path that ``device`` does not have.
    """
    allowed = (CPU_PATH,) if device.type == "cpu" else PATHS
    if direction not in get_args(Direction):
        raise InputError(f"direction {direction!r}, allowed is {' or '.join(get_args(Direction))}")
    if path not in allowed:
        raise InputError(f"path {path!r}, allowed on {device} is {', '.join(allowed)}")
    way = HOST if path == CPU_PATH else WAYS[_path(path)](device)
    host = way.empty(size).fill_(1)
    payload = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(payload)
    seconds = []
    for _ in range(repeats + 1):
        synchronise(device)
        start_s = time.perf_counter()
        if direction == "d2h":
            way.to_host(payload, host)
        elif path == CPU_PATH:
            target.copy_(host)
        else:
            way.to_device(host)
        synchronise(device)
        seconds.append(time.perf_counter() - start_s)
    return seconds[1:]


def _path(text: str) -> Path:
    return next(path for path in PATHS if path == text)
