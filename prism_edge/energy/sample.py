"""One power sample, and the protocol that every place samples come from speaks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, get_args

Label = Literal["sensor", "modelled"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """The total power of one board at one instant; a missing reading is no sample, never 0 W.

    ``t_s`` is CLOCK_REALTIME and comparable within the offset between boards; ``monotonic_s`` is
    the monotonic clock of the process that stamped the sample and None once it has left that
    machine. ``power_w`` may be negative: sensors have an offset, and clipping it would bias every
    sum.
    """

    board: str
    t_s: float
    power_w: float
    source: Label
    monotonic_s: float | None = None

    def __post_init__(self) -> None:
        if not self.board:
            raise ValueError("board is empty; a sample needs its board's name")
        if not math.isfinite(self.t_s):
            raise ValueError(f"t_s is {self.t_s}; it must be finite")
        if not math.isfinite(self.power_w):
            raise ValueError(f"power_w is {self.power_w}; it must be finite")
        if self.source not in get_args(Label):
            raise ValueError(f"source is {self.source!r}; allowed: {', '.join(get_args(Label))}")


class PowerSource(Protocol):
    """Samples of one board in order of arrival, between ``async with`` and its end.

    ``rule`` says which rail or sum ``power_w`` is; None until the first sample.
    """

    rule: str | None

    async def __aenter__(self) -> PowerSource: ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def __aiter__(self) -> PowerSource: ...

    async def __anext__(self) -> Sample: ...
