"""What the demo asks, phase by phase. Pure values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

SPEED = "vit-b16"  # random weights: its answers mean nothing, its speed does
DIGITS = "digits"  # trained: its answers can be right or wrong
FULL = "voltage:p=2,dtype=fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One request. ``plan`` None leaves the choice to the policy. ``start``: which images."""

    model: str
    batch: int
    plan: str | None
    start: int = 0

    def json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of the demo. ``rate``: the link of edge-2 from here on."""

    name: str
    asks: tuple[Ask, ...]
    rate: str | None = None


def speed_phase(name: str, rate: str, *, ones: int, fours: int, full: int) -> Phase:
    """Photographs at batch 1 and 4, each asked of the policy and of this board alone, in turn.

    The first ``full`` requests are also asked with full exchange, which can be very slow.
    """

    def variants() -> Iterator[Ask]:
        for number, batch in enumerate([1] * ones + [4] * fours):
            # full exchange only where it fits the demo's time: the first of each batch size
            position = number if batch == 1 else number - ones
            plans = [None, "local", *([FULL] if position < full else [])]
            shift = number % len(plans)
            for plan in plans[shift:] + plans[:shift]:
                yield Ask(model=SPEED, batch=batch, plan=plan, start=number)

    return Phase(name=name, rate=rate, asks=tuple(variants()))


def accuracy_phase(images: int, batch: int) -> Phase:
    """Every handwritten test digit, by one board, by segment means, and by full exchange."""
    plans = (None, "local", "prism:p=2,l=8,dtype=fp16", "prism:p=2,l=2,dtype=fp16", FULL)
    asks = tuple(
        Ask(model=DIGITS, batch=batch, plan=plan, start=start)
        for start in range(0, images, batch)
        for plan in plans
    )
    return Phase(name="accuracy on digits", rate="100mbit", asks=asks)


def loss_phase(name: str, count: int) -> Phase:
    """Photographs one by one, while a board is lost or just back."""
    asks = tuple(Ask(model=SPEED, batch=2, plan=None, start=n) for n in range(count))
    return Phase(name=name, asks=asks)
