"""The total power of this board, live: from its tegrastats, or from jtop."""

from __future__ import annotations

import json
import math
import sys

from prism_edge.energy.child import ChildSource
from prism_edge.energy.rails import total_power_w
from prism_edge.energy.sample import Label
from prism_edge.energy.tegrastats import parse

MINIMUM_INTERVAL_MS = 50  # one reading of three rails takes the sensor's driver up to 40 ms


def tegrastats_source(
    *,
    board: str,
    interval_ms: int = 100,
    source: Label = "sensor",
    program: str = "tegrastats",
    silence_s: float = 10.0,
) -> ChildSource:
    """The board's total power by its own tegrastats; ``source`` is "modelled" in a lab."""
    if interval_ms < MINIMUM_INTERVAL_MS:
        raise ValueError(f"interval_ms is {interval_ms}; allowed: {MINIMUM_INTERVAL_MS} or more")
    return ChildSource(
        board=board,
        name="tegrastats",
        argv=(program, "--interval", str(interval_ms)),
        power=tegrastats_power_w,
        source=source,
        discard=1,
        silence_s=silence_s,
    )


def jtop_source(*, board: str, interval_s: float = 0.5, silence_s: float = 30.0) -> ChildSource:
    """The board's total power from jtop's daemon, read by a helper process of its own.

    Silence is longer here: loading jtop and waiting for its service take seconds on a board.
    """
    if not interval_s > 0:
        raise ValueError(f"interval_s is {interval_s}; it must be above 0")
    return ChildSource(
        board=board,
        name="jtop helper",
        argv=(sys.executable, "-m", "prism_edge.energy.jtop", f"{interval_s:g}"),
        power=jtop_power_w,
        source="sensor",
        silence_s=silence_s,
    )


def tegrastats_power_w(line: str) -> tuple[float | None, str]:
    """The total power one tegrastats line shows; (None, the reason) when it shows none."""
    reading = parse(line)
    if reading is None:
        return None, f"no tegrastats line: {line[:200]!r}"
    return total_power_w(reading.rails_mw)


def jtop_power_w(line: str) -> tuple[float | None, str]:
    """The total power one line of the jtop helper shows; (None, the reason) when it shows none."""
    try:
        power_w = json.loads(line)["power_w"]
    except (ValueError, KeyError, TypeError):
        return None, f"no jtop reading: {line[:200]!r}"
    if not isinstance(power_w, (int, float)) or not math.isfinite(power_w):
        return None, "jtop knows no total power of this board: use tegrastats"
    return float(power_w), "jtop total"
