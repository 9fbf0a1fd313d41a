"""Whether repeated measurements have settled: the medians of their halves agree. Pure.

Noise is not drift: a cell that scatters by a tenth around one value is steady, one that creeps by a
tenth is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

TOLERANCE = 0.05  # a median that moves less does not drift; repeats of a quiet cell scatter by 0.02
LONG_S = 0.5  # passes from here on average over the noise themselves: two of them are compared
WARM_PASSES = 12


def drift(values: Sequence[float]) -> float:
    """By how much of itself the median grew from the first half to the second; below 0: it fell.

    The middle one of an odd number belongs to neither half. Fewer than two values drift nowhere.
    """
    half = len(values) // 2
    if half == 0:
        return 0.0
    before, after = median(values[:half]), median(values[-half:])
    return after / before - 1


def last_drift(seconds: Sequence[float]) -> float:
    """``drift`` over the last two passes of a long kind, the last four of a short one."""
    window = 2 if seconds and seconds[-1] >= LONG_S else 4
    return drift(seconds[-window:]) if len(seconds) >= window else float("inf")


def steady(seconds: Sequence[float]) -> bool:
    """True when passes in a row no longer drift, so that the next one may count."""
    return abs(last_drift(seconds)) <= TOLERANCE


def warm_enough(seconds: Sequence[float], most_s: float) -> bool:
    """True when warming up ends: steady, or too long for ``most_s``; not before two passes."""
    if len(seconds) < 2:
        return False
    return steady(seconds) or len(seconds) >= WARM_PASSES or sum(seconds) >= most_s
