"""One power sample, and the protocol that every place samples come from speaks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Literal, Protocol, get_args

Label = Literal["sensor", "modelled"]
LABELS = get_args(Label)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """What one board drew at one instant; a missing reading is absent or None, never 0.

    ``t_s`` is CLOCK_REALTIME and comparable within the offset between boards; ``monotonic_s`` is
    the monotonic clock of the process that stamped the sample and None once it has left that
    machine. ``power_w`` is the board's total by ``rule`` (``energy/rails.py``) and None where it is
    not known: then only the rails say something. Powers may be negative: sensors have an offset,
    and clipping it would bias every sum.

    ``events`` counts what throttled the board since the sample before, by name. ``gap`` says why
    nothing came right before this sample, where something was lost: do not bridge it.
    """

    board: str
    t_s: float
    power_w: float | None
    source: Label
    monotonic_s: float | None = None
    rule: str | None = None
    rails_mw: Mapping[str, float] = field(default_factory=dict)
    temps_c: Mapping[str, float] = field(default_factory=dict)
    gr3d_load_pct: int | None = None
    events: Mapping[str, int] = field(default_factory=dict)
    gap: str | None = None

    def __post_init__(self) -> None:
        if not self.board:
            raise ValueError("board is empty; a sample needs its board's name")
        if not math.isfinite(self.t_s):
            raise ValueError(f"t_s is {self.t_s}; it must be finite")
        if self.power_w is not None and not math.isfinite(self.power_w):
            raise ValueError(f"power_w is {self.power_w}; it must be finite")
        if self.source not in LABELS:
            raise ValueError(f"source is {self.source!r}; allowed: {', '.join(LABELS)}")


class PowerSource(Protocol):
    """Samples of one board in order of arrival, between ``async with`` and its end.

    ``rule`` says which rail or sum ``power_w`` is; None as long as no total is known.
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
