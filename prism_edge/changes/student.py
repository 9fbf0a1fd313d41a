"""Student's t for even degrees of freedom, in closed form (Abramowitz and Stegun 26.7.4).

An odd number is taken for the even one below it, which claims less; fewer than two are two.
"""

from __future__ import annotations

import math
from functools import lru_cache


def chance_beyond(t: float, freedom: int) -> float:
    """Chance that a variable of this many degrees of freedom lies further than ``t`` from 0."""
    even = max(2, freedom - freedom % 2)
    angle = math.atan2(t, math.sqrt(even))
    term = total = 1.0
    for k in range(2, even, 2):
        term *= (k - 1) / k * math.cos(angle) ** 2
        total += term
    return max(0.0, 1 - math.sin(angle) * total)


@lru_cache
def half_width(level: float, freedom: int) -> float:
    """The ``t`` beyond which that variable lies with a chance of ``level``."""
    low, high = 0.0, 1.0
    while chance_beyond(high, freedom) > level:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if chance_beyond(middle, freedom) > level else (low, middle)
    return high
