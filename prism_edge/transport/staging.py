"""How a message gets from the device into host memory, from which GLOO sends, and back.

On a CPU device and host are one memory and nothing is staged. On CUDA there are three ways, which
deliver the same bytes; a ``StagingRule`` says which of them takes messages of which size. A way
that fails its own test is replaced by the next simpler one, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from prism_edge.tables.staging_rule import AUTO, PATHS, Path, StagingRule
from prism_edge.transport.mapped import Mapped
from prism_edge.transport.pinned import Pinned

TRIAL_BYTES = 4096
TRIAL_OFFSET = 16  # messages begin behind a frame


class Staging(Protocol):
    """One way for one device; used by one thread."""

    def empty(self, size: int) -> Tensor:
        """Host memory that messages can be sent from and received in.  -> uint8 [size]"""
        ...

    def to_host(self, payload: Tensor, out: Tensor) -> None:
        """``out``, cut from ``empty``, holds ``payload``, wherever that was.  2 x uint8 [bytes]"""
        ...

    def to_device(self, payload: Tensor) -> Tensor:
        """A received payload on the device; after the return its host memory may be used again.
        uint8 [bytes] -> uint8 [bytes]"""
        ...


class Plain:
    """Blocking copies from and to ordinary memory, as GLOO's collectives do with CUDA tensors.

    On a CPU ``to_device`` is the identity, valid as long as the received payload is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def empty(self, size: int) -> Tensor:
        return torch.empty(size, dtype=torch.uint8)

    def to_host(self, payload: Tensor, out: Tensor) -> None:
        out.copy_(payload)

    def to_device(self, payload: Tensor) -> Tensor:
        return payload.to(self._device)


WAYS: dict[Path, Callable[[torch.device], Staging]] = {
    "gloo": Plain,
    "pinned": Pinned,
    "mapped": Mapped,
}
HOST: Staging = Plain(torch.device("cpu"))


class BySize:
    """The way that a rule names for the size of each payload.

    All use the memory of the most demanding one, which the others can use as well.
    """

    def __init__(self, rule: StagingRule, device: torch.device) -> None:
        self._rule = rule
        self._ways = {path: WAYS[path](device) for path in rule.paths}
        self._memory = self._ways[max(rule.paths, key=PATHS.index)]

    def empty(self, size: int) -> Tensor:
        return self._memory.empty(size)

    def to_host(self, payload: Tensor, out: Tensor) -> None:
        self._ways[self._rule.path(payload.numel())].to_host(payload, out)

    def to_device(self, payload: Tensor) -> Tensor:
        return self._ways[self._rule.path(payload.numel())].to_device(payload)


def staging_of(rule: StagingRule, device: torch.device) -> Staging:
    """The staging of ``device`` under a rule that works there."""
    return HOST if device.type == "cpu" else BySize(rule, device)


def working_rule(wanted: str, device: torch.device) -> tuple[StagingRule, str | None]:
    """The rule for ``device``, every way of which has passed its test there, and why it is not the
    one wanted, if it is not. ``auto``, where nothing was measured, is pinned.

    Raises ``SettingsError`` when ``wanted`` is no rule.
    """
    rule = StagingRule.parse("pinned" if wanted == AUTO else wanted)
    return rule.working(lambda path: fault(WAYS[path], device))


@torch.inference_mode()
def fault(way: Callable[[torch.device], Staging], device: torch.device) -> str | None:
    """What is wrong with a way on ``device``; None when bytes arrive as they left, both ways."""
    pattern = torch.arange(TRIAL_BYTES).to(torch.uint8)
    try:
        staging = way(device)
        host = staging.empty(TRIAL_OFFSET + TRIAL_BYTES)[TRIAL_OFFSET:]
        staging.to_host(pattern.to(device), host)
        if not torch.equal(host, pattern):
            return "what the device wrote did not arrive in host memory"
        host.copy_(pattern.flip(0))
        if not torch.equal(staging.to_device(host).cpu(), pattern.flip(0)):
            return "what the host wrote did not arrive on the device"
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None
