"""When requests come: as a Poisson process, which does not wait for answers. Pure."""

from __future__ import annotations

import numpy as np


def poisson(rate_hz: float, seconds: float, seed: int) -> list[float]:
    """Arrivals in seconds from the start, in order; the same seed gives the same ones."""
    random = np.random.default_rng(seed)
    found: list[float] = []
    now_s = float(random.exponential(1 / rate_hz))
    while now_s < seconds:
        found.append(now_s)
        now_s += float(random.exponential(1 / rate_hz))
    return found
